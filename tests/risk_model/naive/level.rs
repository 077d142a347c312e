//! Sections 6 and 9, the level of a user.

use super::{age, alert, is_shared, score, seen, severity};
use chrono::{DateTime, Days, Utc};
use riskshare::domain::facts::{TenantRules, UserFacts};
use riskshare::domain::risk_alert::{Origin, RiskAlert};
use riskshare::domain::settings::Settings;
use riskshare::domain::severity::Severity;

/// What the model says about a user.
pub struct Level {
    pub severity: Severity,
    pub score: i64,
    pub latest: Option<DateTime<Utc>>,
    /// What happened on the way, so that a test can count what it has seen.
    pub marks: Vec<&'static str>,
}

pub fn assess(facts: &UserFacts, rules: &TenantRules, now: DateTime<Utc>) -> Level {
    let mut marks = Vec::new();
    let (severity, score) = level_and_score(facts, rules, now, &mut marks);
    Level { severity, score, latest: latest_exfiltration(facts, rules, now), marks }
}

fn level_and_score(
    facts: &UserFacts,
    rules: &TenantRules,
    now: DateTime<Utc>,
    marks: &mut Vec<&'static str>,
) -> (Severity, i64) {
    if facts.user.guest {
        marks.push("1: guest");
        return (Severity::None, 0);
    }
    let mut scores = Vec::new();
    for policy in rules.policies.values() {
        scores.extend(score::of_policy(facts, &rules.settings, policy, now));
    }
    if let Some(implicit) = score::implicit(facts, rules, now) {
        marks.push("implicit policy");
        scores.push(implicit);
    }
    let open: Vec<&RiskAlert> =
        facts.alerts.values().filter(|a| alert::is_open(a, now.date_naive())).collect();
    if scores.is_empty() && open.is_empty() {
        marks.push("2: out of scope");
        return (Severity::None, 0);
    }
    let says_exfiltration = |a: &&RiskAlert| a.origin == Origin::Imported { exfiltration: true };
    if latest_exfiltration(facts, rules, now).is_none() && !open.iter().any(says_exfiltration) {
        marks.push("3: no exfiltration");
        return (Severity::None, 0);
    }
    if latest_exfiltration(facts, rules, now).is_none() {
        marks.push("exfiltration by import only");
    }
    let mut level = Severity::Low;
    let mut highest = 1;
    for scored in scores {
        marks.extend(scored.marks);
        level = level.max(severity(scored.score));
        highest = highest.max(scored.score);
    }
    for alert in open {
        level = level.max(alert.severity);
        let cut = match alert.severity {
            Severity::None => 0,
            Severity::Low => 1,
            Severity::Medium => 34,
            Severity::High => 67,
        };
        let (mark, score) = match alert.origin {
            Origin::Engine => ("engine alert", i64::from(alert.score)),
            Origin::Imported { .. } => ("imported alert", cut),
        };
        if score >= highest {
            marks.push(mark);
        }
        highest = highest.max(score);
    }
    (level, highest)
}

fn latest_exfiltration(facts: &UserFacts, rules: &TenantRules, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let lookback = i64::from(rules.settings.lookback.days());
    let seen = seen(facts, &rules.settings, now.date_naive());
    seen.iter().filter(|a| a.shared && a.age < lookback).map(|a| a.at).max()
}

/// Section 9, but for facts that are dated ahead: midnight, or a membership that starts or ends before it.
pub fn valid_until(facts: &UserFacts, now: DateTime<Utc>) -> DateTime<Utc> {
    let mut instants = vec![(now.date_naive() + Days::new(1)).and_hms_opt(0, 0, 0).unwrap().and_utc()];
    for interval in facts.memberships.values().flatten() {
        instants.push(interval.from);
        instants.extend(interval.until);
    }
    instants.into_iter().filter(|at| *at > now).min().unwrap()
}

/// Section 9, the rest: the instants after `now` and on its day at which a trigger or an exfiltration activity is
/// dated. It starts to count as a trigger then.
pub fn facts_ahead(facts: &UserFacts, settings: &Settings, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut instants: Vec<DateTime<Utc>> = facts.triggers.iter().map(|trigger| trigger.at).collect();
    for activity in facts.activities.iter() {
        if is_shared(activity.indicator, settings) {
            instants.push(activity.at);
        }
    }
    instants.retain(|at| *at > now && age(*at, now.date_naive()) == 0);
    instants
}
