//! The level and the score of a user, and how long they hold (`risk-model.md` 6, 9).

use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::risk_alert::RiskAlert;
use crate::domain::score;
use crate::domain::score::{Evidence, InScope};
use crate::domain::settings::Settings;
use crate::domain::severity::Severity;
use crate::domain::time::{UtcDay, Window};
use crate::domain::timeline;
use chrono::{DateTime, Utc};
use std::iter;

/// What is true of a user from `as_of` until `valid_until`, as long as no new fact comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assessment {
    /// The level.
    pub level: Severity,
    /// 1 to 100, and 0 when the level is None.
    pub score: i32,
    /// The instant for which it was made.
    pub as_of: DateTime<Utc>,
    /// The first instant at which it may no longer be true: after `as_of`, and at the latest the next UTC midnight.
    pub valid_until: DateTime<Utc>,
    /// The latest exfiltration activity in the lookback, whatever the level. Orders the users of an alert.
    pub latest_exfiltration: Option<DateTime<Utc>>,
}

/// Judges a user as of `now`. The level does not change within `as_of <= t < valid_until` unless a fact comes in.
#[must_use]
pub fn assess(facts: &UserFacts, rules: &TenantRules, now: DateTime<Utc>) -> Assessment {
    let latest_exfiltration = latest_exfiltration(facts, &rules.settings, now);
    let standing = if facts.user.guest { None } else { standing(facts, rules, latest_exfiltration, now) };
    let (level, score) = standing.unwrap_or((Severity::None, 0));
    let valid_until = valid_until(facts, &rules.settings, now);
    Assessment { level, score, as_of: now, valid_until, latest_exfiltration }
}

/// Returns the assessment of a user whom nobody knows: None, until the next UTC midnight.
#[must_use]
pub fn unknown(now: DateTime<Utc>) -> Assessment {
    Assessment {
        level: Severity::None,
        score: 0,
        as_of: now,
        valid_until: midnight(now),
        latest_exfiltration: None,
    }
}

/// Returns level and score of a user who is no guest, or nothing when the level is None.
fn standing(
    facts: &UserFacts,
    rules: &TenantRules,
    latest_exfiltration: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<(Severity, i32)> {
    let today = UtcDay::of(now);
    let open: Vec<&RiskAlert> = facts.alerts.values().filter(|alert| alert.is_open(today)).collect();
    if latest_exfiltration.is_none() && !open.iter().any(|alert| alert.is_imported_exfiltration()) {
        return None; // Beats every alert.
    }
    let mut scopes = score::in_scope(facts, rules, now);
    scopes.extend(score::user_analytics(facts, &rules.settings, now));
    if scopes.is_empty() && open.is_empty() {
        return None;
    }
    let scores = scores(facts, rules, &scopes, today);
    let of_scores = scores.iter().map(|score| (Severity::of_score(*score), *score));
    let of_alerts = open.iter().map(|alert| (alert.severity, alert.weight()));
    let (levels, scores): (Vec<_>, Vec<_>) = of_scores.chain(of_alerts).unzip();
    let level = levels.into_iter().max().unwrap_or(Severity::Low).max(Severity::Low);
    Some((level, scores.into_iter().max().unwrap_or(1).max(1)))
}

fn scores(facts: &UserFacts, rules: &TenantRules, scopes: &[InScope<'_>], today: UtcDay) -> Vec<i32> {
    if scopes.is_empty() {
        return Vec::new(); // Spares the counting.
    }
    let evidence = Evidence::of(facts, &rules.settings, today);
    scopes.iter().map(|scope| evidence.score(*scope)).collect()
}

fn latest_exfiltration(facts: &UserFacts, settings: &Settings, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let lookback = settings.lookback.window(UtcDay::of(now));
    timeline::exfiltration(facts, settings, lookback).next_back().map(|row| row.activity().at)
}

/// Returns the next instant at which the same facts may give another level: midnight, the edge of a membership, or,
/// as facts may be dated some minutes ahead, the instant of a trigger or of an exfiltration activity, which may be
/// one.
fn valid_until(facts: &UserFacts, settings: &Settings, now: DateTime<Utc>) -> DateTime<Utc> {
    let edges = facts.memberships.values().flatten().flat_map(|one| iter::once(one.from).chain(one.until));
    let triggers = facts.triggers.iter().map(|trigger| trigger.at);
    let today = UtcDay::of(now);
    let exfiltration = timeline::exfiltration(facts, settings, Window { first: today, last: today })
        .rev()
        .map(|row| row.activity().at)
        .take_while(|at| *at > now);
    let coming = edges.chain(triggers).chain(exfiltration).filter(|at| *at > now);
    coming.fold(midnight(now), DateTime::min)
}

fn midnight(now: DateTime<Utc>) -> DateTime<Utc> {
    UtcDay::of(now).plus(1).start()
}
