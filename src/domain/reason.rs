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
    reasons_of(&Tally::of(&facts.activities, today), settings, today)
}

/// Returns the same from activities that were counted as of today.
#[must_use]
pub fn reasons_of(tally: &Tally<'_>, settings: &Settings, today: UtcDay) -> Vec<Reason> {
    let lookback = settings.lookback.window(today);
    let mut reasons: Vec<Reason> = tally
        .rows()
        .filter(|row| settings.shares(row.indicator))
        .flat_map(|row| daily(row, lookback))
        .collect();
    reasons.extend(highest_cumulative(tally, settings, lookback));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::activity::Sensitivity;
    use crate::domain::example::Example;
    use crate::domain::time::Lookback;

    /// Indicator, days ago, count and score of each reason.
    fn given(example: &Example) -> Vec<(String, i32, i32, i32)> {
        reasons(&example.facts, &example.rules.settings, example.now)
            .into_iter()
            .map(|one| {
                assert_eq!(one.severity, Severity::of_score(one.score));
                let days_ago = example.day(0).since(one.day);
                (one.indicator.name().to_owned(), days_ago, one.count, one.score)
            })
            .collect()
    }

    fn rows(rows: &[(&str, i32, i32, i32)]) -> Vec<(String, i32, i32, i32)> {
        rows.iter().map(|(name, day, count, score)| ((*name).to_owned(), *day, *count, *score)).collect()
    }

    #[test]
    fn the_weightiest_come_first_then_the_latest_then_by_name() {
        let example = Example::new()
            .did("Print", 4, 10)
            .did("EmailExternal", 4, 10)
            .did("CopyToUSB", 3, 1)
            .did("CopyToUSB", 50, 2);
        let expected = [
            ("CopyToUSB", 50, 2, 24),
            ("CopyToUSB", 3, 1, 16),
            ("EmailExternal", 4, 10, 16),
            ("Print", 4, 10, 16),
        ];
        assert_eq!(given(&example), rows(&expected));
    }

    #[test]
    fn there_are_at_most_five() {
        let example = (0..9).fold(Example::new(), |example, days_ago| example.did("CopyToUSB", days_ago, 1));
        let expected: Vec<_> = (0..5).map(|days_ago| ("CopyToUSB", days_ago, 1, 16)).collect();
        assert_eq!(given(&example), rows(&expected));
    }

    #[test]
    fn the_highest_cumulative_insight_is_one_of_the_five_and_the_latest_of_equals() {
        let example =
            Example::new().did("Print", 29, 26).did("EmailExternal", 3, 9).did("EmailExternal", 1, 1);
        let expected = [
            (CUMULATIVE, 1, 36, 70),
            ("Print", 29, 26, 53),
            ("EmailExternal", 3, 9, 13),
            ("EmailExternal", 1, 1, 1),
        ];
        assert_eq!(given(&example), rows(&expected));
        let equals = Example::new().did("Print", 29, 67).did("Print", 0, 1);
        assert_eq!(given(&equals)[0], rows(&[(CUMULATIVE, 0, 68, 100)])[0]);
    }

    #[test]
    fn no_booster_no_sequence_and_no_hidden_activity_is_told() {
        let example = Example::in_scope()
            .did("PhysicalAccess", 0, 50)
            .did("EpoFileRenamed", 0, 50)
            .with(|example| example.facts.user.confirmed_violation_before = true);
        let at = example.at(1);
        let example = example.touched("SpoDownload", at, "a").did_at("CopyToUSB", at, |activity| {
            activity.object_name = crate::domain::user::Personal::new("a");
            activity.sensitivity = Sensitivity::HighlyConfidential;
            activity.unallowed_destination = true;
        });
        assert_eq!(given(&example), rows(&[("CopyToUSB", 1, 1, 16)]));
    }

    #[test]
    fn a_policys_own_thresholds_do_not_show() {
        let strict = Thresholds { t1: 1, t2: 2, t3: 3 };
        let example = Example::in_scope().did("Print", 0, 10).policy("leaks", |policy| {
            policy.scope = crate::domain::policy::Scope::Listed([(Indicator::named("Print"), strict)].into());
        });
        assert_eq!(given(&example), rows(&[("Print", 0, 10, 16)]));
    }

    #[test]
    fn days_before_the_lookback_and_of_no_weight_are_left_out() {
        let example = Example::new().did("CopyToUSB", 90, 1).did("CopyToUSB", 89, 2).with(|example| {
            example.rules.settings.lookback = Lookback::new(90).unwrap();
        });
        assert_eq!(given(&example), rows(&[("CopyToUSB", 89, 2, 24)]));
        assert_eq!(given(&Example::new().did("CopyToUSB", -1, 1)), []);
    }
}
