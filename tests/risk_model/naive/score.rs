//! Section 4, the score of a policy.

use super::insight::{Insight, Raise, daily};
use super::{Seen, age, default_thresholds, derived, is_shared, seen};
use chrono::{DateTime, NaiveDate, Utc};
use riskshare::domain::facts::{TenantRules, UserFacts};
use riskshare::domain::indicator::{Indicator, taxonomy};
use riskshare::domain::policy::{Policy, Scope, TriggerRule};
use riskshare::domain::settings::Settings;

/// The result for one policy in scope.
pub struct Scored {
    pub score: i64,
    pub marks: Vec<&'static str>,
}

/// The score of a real policy, or nothing when the user is not in its scope.
pub fn of_policy(
    facts: &UserFacts,
    settings: &Settings,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Option<Scored> {
    let mut froms = Vec::new();
    for (id, intervals) in &facts.memberships {
        for interval in intervals {
            let is_current = interval.from <= now && interval.until.is_none_or(|until| now < until);
            if *id == policy.id && is_current {
                froms.push(interval.from);
            }
        }
    }
    if froms.is_empty() {
        return None;
    }
    let mut triggers: Vec<DateTime<Utc>> =
        facts.triggers.iter().filter(|t| t.policy == policy.id && t.at <= now).map(|t| t.at).collect();
    if policy.trigger_rule == TriggerRule::ExfiltrationActivity {
        for from in froms {
            triggers.extend(exfiltration(facts, settings, now).filter(|at| from <= *at));
        }
    }
    scored(facts, settings, Some(policy), &triggers, now)
}

/// The score of user analytics' implicit policy (section 6, last paragraph).
pub fn implicit(facts: &UserFacts, rules: &TenantRules, now: DateTime<Utc>) -> Option<Scored> {
    if !rules.settings.user_analytics || facts.user.guest {
        return None;
    }
    let triggers = exfiltration(facts, &rules.settings, now).collect::<Vec<_>>();
    scored(facts, &rules.settings, None, &triggers, now)
}

fn exfiltration(
    facts: &UserFacts,
    settings: &Settings,
    now: DateTime<Utc>,
) -> impl Iterator<Item = DateTime<Utc>> {
    let seen = seen(facts, settings, now.date_naive());
    seen.into_iter().filter(move |a| a.shared && a.at <= now).map(|a| a.at)
}

fn scored(
    facts: &UserFacts,
    settings: &Settings,
    policy: Option<&Policy>,
    triggers: &[DateTime<Utc>],
    now: DateTime<Utc>,
) -> Option<Scored> {
    let today = now.date_naive();
    let (past, activation) =
        policy.map_or((90, 30), |p| (i64::from(p.past_days), i64::from(p.activation_days)));
    let live: Vec<i64> = triggers.iter().map(|t| age(*t, today)).filter(|age| *age <= activation).collect();
    if live.is_empty() {
        return None;
    }
    let seen = seen(facts, settings, today);
    let mut insights = Vec::new();
    for insight in all_insights(&seen, facts, settings, policy) {
        let in_window = live.iter().any(|t| t + past >= insight.age && insight.age >= t - activation);
        let after_closing = closings(facts, policy, today).iter().all(|closed| insight.age < *closed);
        if in_window && after_closing {
            insights.push(insight);
        }
    }
    Some(sum(insights))
}

/// The ages of the days on which alerts of the policy and the user were closed.
fn closings(facts: &UserFacts, policy: Option<&Policy>, today: NaiveDate) -> Vec<i64> {
    let mut ages = Vec::new();
    for alert in facts.alerts.values() {
        if policy.is_some_and(|policy| policy.id == alert.policy) {
            ages.extend(alert.closed_at.map(|closed| age(closed, today)));
        }
    }
    ages
}

fn all_insights(
    seen: &[Seen],
    facts: &UserFacts,
    settings: &Settings,
    policy: Option<&Policy>,
) -> Vec<Insight> {
    let raise = raise(facts, policy);
    let mut all = Vec::new();
    for age in 0..=119 {
        let mut done: Vec<&str> = Vec::new();
        for activity in seen.iter().filter(|a| a.age == age) {
            let indicator = &activity.indicator;
            if let Some(thresholds) = thresholds(policy, indicator)
                && !done.contains(&indicator.name())
            {
                done.push(indicator.name());
                all.push(daily(seen, indicator, age, thresholds, raise));
            }
        }
    }
    if scores_something_shared(policy, settings) {
        all.extend((0..=29).filter_map(|age| derived::cumulative(seen, age)).map(|(insight, _)| insight));
        all.extend(derived::sequences(seen));
    }
    all
}

fn raise(facts: &UserFacts, policy: Option<&Policy>) -> Raise {
    let mut priority = facts.user.potential_high_impact;
    for key in facts.user.identity.keys() {
        priority |= policy.is_some_and(|policy| policy.priority_users.iter().any(|other| other == key));
    }
    Raise {
        cutoff: policy.map_or(20, |policy| i64::from(policy.volume_cutoff)),
        repeat: facts.user.confirmed_violation_before,
        priority,
    }
}

/// The thresholds at which the policy scores an indicator, if it does.
fn thresholds(policy: Option<&Policy>, indicator: &Indicator) -> Option<[i64; 3]> {
    match policy.map(|policy| &policy.scope) {
        None | Some(Scope::Every) => Some(default_thresholds(indicator)),
        Some(Scope::Listed(listed)) => {
            let found = listed.iter().find(|(other, _)| other.name() == indicator.name());
            found.map(|(_, t)| [i64::from(t.t1), i64::from(t.t2), i64::from(t.t3)])
        }
    }
}

fn scores_something_shared(policy: Option<&Policy>, settings: &Settings) -> bool {
    taxonomy()
        .chain(settings.custom.iter().cloned())
        .any(|indicator| is_shared(&indicator, settings) && thresholds(policy, &indicator).is_some())
}

fn sum(mut insights: Vec<Insight>) -> Scored {
    let is_cumulative = |i: &Insight| i.marks.contains(&"cumulative");
    let highest = insights.iter().filter(|i| is_cumulative(i)).max_by_key(|i| i.score).cloned();
    insights.retain(|i| !is_cumulative(i));
    insights.extend(highest);
    insights.sort_by_key(|i| -i.score);
    let s = |nth: usize| insights.get(nth - 1).map_or(0, |i| i.score);
    let rest = s(2) * 4 + s(3) * 3 + s(4) * 2 + s(5) + s(6) + s(7) + s(8) + s(9) + s(10);
    let marks = insights.iter().take(10).flat_map(|i| i.marks.iter().copied()).collect();
    Scored { score: 100.min(s(1) + rest / 16), marks }
}
