//! Cumulative exfiltration: much more of it in 30 days than in the 60 days before (`risk-model.md` 3).

use crate::domain::insight::{SCORE_MAX, Tally};
use crate::domain::settings::Settings;
use crate::domain::time::{HORIZON_DAYS, UtcDay};

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
    let horizon = tally.horizon();
    for row in tally.rows().filter(|row| settings.shares(row.indicator)) {
        for day in row.days(horizon) {
            let place = usize::try_from(day.day.since(horizon.first));
            before[place.expect("no day is before the first") + 1] += i64::from(day.count);
        }
    }
    for day in 1..before.len() {
        before[day] += before[day - 1];
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::example::Example;
    use crate::domain::indicator::Indicator;

    fn found(example: &Example) -> Vec<(i32, i32, i32)> {
        let tally = Tally::of(&example.facts.activities, example.day(0));
        insights(&tally, &example.rules.settings)
            .into_iter()
            .map(|one| (example.day(0).since(one.day), one.count, one.score))
            .collect()
    }

    #[test]
    fn thirty_activities_in_thirty_days_are_needed() {
        assert_eq!(found(&Example::new().did("Print", 29, 29).did("EmailExternal", 0, 1)), [(0, 30, 64)]);
        assert_eq!(found(&Example::new().did("Print", 29, 28).did("EmailExternal", 0, 1)), []);
        assert_eq!(found(&Example::new().did("Print", 30, 29).did("EmailExternal", 0, 1)), []);
    }

    #[test]
    fn it_must_be_more_than_one_and_a_half_times_the_sixty_days_before() {
        // 2 * 30 against 3 * B.
        let now = Example::new().did("Print", 0, 30);
        assert_eq!(found(&now.clone().did("Print", 30, 19)), [(0, 30, 34 + 1)]);
        assert_eq!(found(&now.clone().did("Print", 30, 20)), []);
        assert_eq!(found(&now.clone().did("Print", 89, 20)), []);
        assert_eq!(found(&now.clone().did("Print", 90, 20)), [(0, 30, 64)]);
        // An odd excess is halved and rounded down.
        assert_eq!(found(&now.did("Print", 60, 1)), [(0, 30, 34 + 28)]);
    }

    #[test]
    fn the_score_ends_at_100() {
        assert_eq!(found(&Example::new().did("Print", 0, 65)), [(0, 65, 99)]);
        assert_eq!(found(&Example::new().did("Print", 0, 67)), [(0, 67, 100)]);
    }

    #[test]
    fn each_of_the_last_30_days_with_exfiltration_has_one() {
        let example = Example::new().did("Print", 30, 30).did("Print", 29, 30).did("Print", 10, 1);
        assert_eq!(found(&example), [(29, 60, 94), (10, 61, 95)]);
    }

    #[test]
    fn activities_that_are_not_shared_do_not_count() {
        let hidden = Example::new().did("SpoDownload", 0, 30).did("PhysicalAccess", 0, 30);
        assert_eq!(found(&hidden), []);
        let shared = hidden.with(|example| {
            example.rules.settings.overrides.insert(Indicator::named("SpoDownload"), true);
        });
        assert_eq!(found(&shared), [(0, 30, 64)]);
    }
}
