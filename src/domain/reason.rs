//! Why a user has their level, told from exfiltration alone (`risk-model.md` 8).

use crate::domain::cumulative;
use crate::domain::facts::UserFacts;
use crate::domain::indicator::{CUMULATIVE, Indicator};
use crate::domain::insight;
use crate::domain::insight::{IndicatorDays, Tally};
use crate::domain::policy::Thresholds;
use crate::domain::settings::Settings;
use crate::domain::severity::Severity;
use crate::domain::time::{UtcDay, Window};
use chrono::{DateTime, Utc};
use std::cmp::Reverse;

/// The most reasons that are given.
pub const REASONS_MAX: usize = 5;

/// One insight that may be shown. It holds no booster, no trigger and no count of hidden activities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// A shared indicator, or [`CUMULATIVE`].
    pub indicator: Indicator,
    /// The day of the insight; the last of the 30 days when it is cumulative.
    pub day: UtcDay,
    /// How many activities: of that indicator on that day, or of all shared ones in the 30 days.
    pub count: i32,
    /// 1 to 100: the base score at the default thresholds, or the cumulative score.
    pub score: i32,
    /// The severity of that score.
    pub severity: Severity,
}

/// Returns at most [`REASONS_MAX`] reasons, the weightiest first. Ask for users above None only: this does not
/// look at the level.
#[must_use]
pub fn reasons(facts: &UserFacts, settings: &Settings, now: DateTime<Utc>) -> Vec<Reason> {
    let today = UtcDay::of(now);
    let tally = Tally::of(&facts.activities, today);
    let lookback = settings.lookback.window(today);
    let mut reasons: Vec<Reason> = tally
        .rows()
        .filter(|row| settings.shares(row.indicator))
        .flat_map(|row| daily(row, lookback))
        .collect();
    reasons.extend(highest_cumulative(&tally, settings, lookback));
    reasons.sort_by(|a, b| order(a).cmp(&order(b)));
    reasons.truncate(REASONS_MAX);
    reasons
}

fn order(reason: &Reason) -> (Reverse<i32>, Reverse<UtcDay>, &Indicator) {
    (Reverse(reason.score), Reverse(reason.day), &reason.indicator)
}

/// Returns one reason for each day of an indicator that weighs anything.
fn daily<'a>(row: &'a IndicatorDays<'_>, lookback: Window) -> impl Iterator<Item = Reason> + 'a {
    let thresholds = Thresholds::default_of(row.indicator);
    row.days(lookback).iter().filter_map(move |day| {
        let score = insight::base(day.count, thresholds);
        (score > 0).then(|| reason(row.indicator.clone(), day.day, day.count, score))
    })
}

/// Returns the highest 30-day insight, the latest of equals.
fn highest_cumulative(tally: &Tally<'_>, settings: &Settings, lookback: Window) -> Option<Reason> {
    cumulative::insights(tally, settings)
        .into_iter()
        .filter(|one| lookback.contains(one.day))
        .max_by_key(|one| (one.score, one.day))
        .map(|one| reason(Indicator::named(CUMULATIVE), one.day, one.count, one.score))
}

fn reason(indicator: Indicator, day: UtcDay, count: i32, score: i32) -> Reason {
    Reason { indicator, day, count, score, severity: Severity::of_score(score) }
}
