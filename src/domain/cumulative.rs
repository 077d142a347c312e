//! Cumulative exfiltration: much more of it in 30 days than in the 60 days before (`risk-model.md` 3).

use crate::domain::insight::{SCORE_MAX, Tally};
use crate::domain::settings::Settings;
use crate::domain::time::{HORIZON_DAYS, UtcDay, Window};

/// An insight is made for each of so many days, and counts so many days.
const DAYS: usize = 30;
/// The days that are counted and those that they are compared with.
const DAYS_WITH_BASELINE: usize = 90;
/// Fewer activities in 30 days are never cumulative exfiltration.
const COUNT_MIN: i64 = 30;

/// Exfiltration has grown over the 30 days that end with `day`. It has no booster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CumulativeInsight {
    /// The last of the 30 days.
    pub day: UtcDay,
    /// Exfiltration activities on them.
    pub count: i32,
    /// 34 to 100.
    pub score: i32,
}

/// Returns the insights of the last 30 days, oldest first: at most one a day.
#[must_use]
pub fn insights(tally: &Tally<'_>, settings: &Settings) -> Vec<CumulativeInsight> {
    let before = exfiltration_before(tally, settings);
    let first = tally.horizon().first;
    (before.len() - 1 - DAYS..before.len() - 1)
        .filter(|&day| before[day + 1] > before[day])
        .filter_map(|day| {
            let end = day + 1;
            let count = before[end] - before[end - DAYS];
            let baseline = before[end - DAYS] - before[end - DAYS_WITH_BASELINE];
            Some(CumulativeInsight {
                day: first.plus(i32::try_from(day).ok()?),
                count: i32::try_from(count).unwrap_or(i32::MAX),
                score: score(count, baseline)?,
            })
        })
        .collect()
}

/// Returns how heavy `count` activities in 30 days are after `baseline` in the 60 days before, if at all.
fn score(count: i64, baseline: i64) -> Option<i32> {
    let excess = 2 * count - 3 * baseline;
    (count >= COUNT_MIN && excess > 0)
        .then(|| i32::try_from((34 + excess / 2).min(i64::from(SCORE_MAX))).unwrap_or(SCORE_MAX))
}

/// Returns, for each day of the horizon and the day after it, the exfiltration activities before that day.
fn exfiltration_before(tally: &Tally<'_>, settings: &Settings) -> [i64; HORIZON_DAYS as usize + 1] {
    let mut before = [0; HORIZON_DAYS as usize + 1];
    let horizon: Window = tally.horizon();
    for row in tally.rows().filter(|row| settings.shares(row.indicator)) {
        for day in row.days(horizon) {
            if let Some(sum) =
                usize::try_from(day.day.since(horizon.first) + 1).ok().and_then(|i| before.get_mut(i))
            {
                *sum += i64::from(day.count);
            }
        }
    }
    for day in 1..before.len() {
        before[day] += before[day - 1];
    }
    before
}
