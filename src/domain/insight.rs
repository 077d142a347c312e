//! Daily insights: what one user did on one day with one indicator, and how much it weighs (`risk-model.md` 2).

use crate::domain::activities::{Activities, Row};
use crate::domain::activity::Sensitivity;
use crate::domain::indicator::Indicator;
use crate::domain::policy::{Policy, Thresholds};
use crate::domain::time::{UtcDay, Window};
use crate::domain::user::User;
use chrono::{DateTime, Utc};
use std::collections::HashMap;

/// A day is compared with at most so many days before it.
const BASELINE_DAYS: i32 = 90;
/// With fewer days before it in the horizon, no day is unusual: too little is known of what is usual.
const BASELINE_DAYS_MIN: i32 = 14;
/// A day is unusual above so many times the mean of the days before it.
const UNUSUAL_FACTOR: i64 = 3;

/// The points that boosters add to a base score.
const UNUSUAL: i32 = 20;
const CONFIDENTIAL: i32 = 8;
const HIGHLY_CONFIDENTIAL: i32 = 16;
const UNALLOWED: i32 = 10;
const REPEAT: i32 = 15;
const PRIORITY: i32 = 10;

/// The highest score of an insight, a policy or a user.
pub const SCORE_MAX: i32 = 100;

/// A user's activities of the horizon, counted by indicator and day: all that daily insights need. Built in one
/// pass, then every question about a day is answered without going back to the activities.
#[derive(Clone, Debug)]
pub struct Tally<'a> {
    horizon: Window,
    rows: Vec<IndicatorDays<'a>>,
}

/// The days on which a user did something of one indicator.
#[derive(Clone, Debug)]
pub struct IndicatorDays<'a> {
    /// The indicator.
    pub indicator: &'a Indicator,
    /// Oldest first; each with at least one activity.
    days: Vec<DayCount>,
}

/// What a user did with one indicator on one day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DayCount {
    /// The day.
    pub day: UtcDay,
    /// How many activities, at least 1.
    pub count: i32,
    /// The first of them.
    pub first_at: DateTime<Utc>,
    /// The last of them.
    pub last_at: DateTime<Utc>,
    /// The highest sensitivity among them.
    sensitivity: Sensitivity,
    /// Any of them went to a destination that is not allowed.
    unallowed: bool,
    baseline: Baseline,
}

/// The days of the horizon just before a day, at most [`BASELINE_DAYS`], and the activities of the same indicator
/// on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Baseline {
    days: i32,
    activities: i32,
}

/// The boosters that a user has on every day, in one policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UserBoosters {
    /// An earlier case was resolved as a violation.
    pub repeat: bool,
    /// A priority user of the policy, or of potential high impact, or both: boosts once.
    pub priority: bool,
}

impl UserBoosters {
    /// Returns those of a user in a policy.
    #[must_use]
    pub fn of(user: &User, policy: &Policy) -> Self {
        Self {
            repeat: user.confirmed_violation_before,
            priority: user.potential_high_impact || policy.gives_priority_to(user),
        }
    }

    fn points(self) -> i32 {
        i32::from(self.repeat) * REPEAT + i32::from(self.priority) * PRIORITY
    }
}

/// Returns the base score of `count` activities on one day: 0 to 100.
#[must_use]
pub fn base(count: i32, thresholds: Thresholds) -> i32 {
    let Thresholds { t1, t2, t3 } = thresholds;
    if count < t1 {
        15 * count / t1
    } else if count < t2 {
        16 + 17 * (count - t1) / (t2 - t1)
    } else if count < t3 {
        34 + 32 * (count - t2) / (t3 - t2)
    } else {
        67 + 33 * (count - t3).min(t3) / t3
    }
}

impl<'a> Tally<'a> {
    /// Counts the activities of the horizon that ends with `today`.
    #[must_use]
    pub fn of(activities: &'a Activities, today: UtcDay) -> Self {
        let horizon = Window { first: today.horizon_start(), last: today };
        let mut rows: Vec<IndicatorDays<'a>> = Vec::new();
        let mut by_indicator: HashMap<&Indicator, usize> = HashMap::new();
        let mut last: Option<(&Indicator, usize)> = None;
        for activity in activities.within(horizon) {
            let indicator = activity.indicator;
            // What people do, they do several times.
            let row = last.filter(|(same, _)| *same == indicator).map_or_else(
                || {
                    *by_indicator.entry(indicator).or_insert_with(|| {
                        rows.push(IndicatorDays { indicator, days: Vec::new() });
                        rows.len() - 1
                    })
                },
                |(_, row)| row,
            );
            rows[row].add(DayCount::of(&activity));
            last = Some((indicator, row));
        }
        for row in &mut rows {
            row.measure_baselines(horizon.first);
        }
        Self { horizon, rows }
    }

    /// Returns the days that were counted.
    #[must_use]
    pub fn horizon(&self) -> Window {
        self.horizon
    }

    /// Returns the counts, by indicator, in no particular order.
    pub fn rows(&self) -> impl Iterator<Item = &IndicatorDays<'a>> {
        self.rows.iter()
    }
}

impl IndicatorDays<'_> {
    /// Returns the days of a window, oldest first.
    #[must_use]
    pub fn days(&self, window: Window) -> &[DayCount] {
        let from = self.days.partition_point(|day| day.day < window.first);
        let to = self.days.partition_point(|day| day.day <= window.last);
        &self.days[from..to.max(from)]
    }

    fn add(&mut self, new: DayCount) {
        match self.days.last_mut() {
            Some(last) if last.day == new.day => last.absorb(&new),
            _ => self.days.push(new),
        }
    }

    fn measure_baselines(&mut self, horizon_start: UtcDay) {
        let (mut first, mut activities) = (0, 0); // those of days[first..index]
        for index in 0..self.days.len() {
            let day = self.days[index].day;
            let start = horizon_start.max(day.plus(-BASELINE_DAYS));
            while self.days[first].day < start {
                activities -= self.days[first].count;
                first += 1;
            }
            self.days[index].baseline = Baseline { days: day.since(start), activities };
            activities += self.days[index].count;
        }
    }
}

impl DayCount {
    /// Counts one activity.
    fn of(activity: &Row<'_>) -> Self {
        Self {
            day: activity.day(),
            count: 1,
            first_at: activity.at,
            last_at: activity.at,
            sensitivity: activity.sensitivity,
            unallowed: activity.unallowed_destination,
            baseline: Baseline::default(),
        }
    }

    /// Takes in later activities of the same day and indicator.
    fn absorb(&mut self, later: &Self) {
        self.count = self.count.saturating_add(later.count);
        self.last_at = later.last_at;
        self.sensitivity = self.sensitivity.max(later.sensitivity);
        self.unallowed |= later.unallowed;
    }

    /// Says whether the day stands out from the user's days before it: at least `volume_cutoff` activities, and
    /// more than three times the mean of a baseline of at least 14 days.
    #[must_use]
    pub fn is_unusual(&self, volume_cutoff: i32) -> bool {
        let Baseline { days, activities } = self.baseline;
        self.count >= volume_cutoff
            && days >= BASELINE_DAYS_MIN
            && i64::from(self.count) * i64::from(days) > UNUSUAL_FACTOR * i64::from(activities)
    }

    /// Returns the score of the day's insight: the base and the boosters, 0 to 100. Boosters never lift a base of 0.
    #[must_use]
    pub fn score(&self, thresholds: Thresholds, volume_cutoff: i32, user: UserBoosters) -> i32 {
        let base = base(self.count, thresholds);
        if base == 0 {
            return 0;
        }
        let sensitive = match self.sensitivity {
            Sensitivity::None | Sensitivity::General => 0,
            Sensitivity::Confidential => CONFIDENTIAL,
            Sensitivity::HighlyConfidential => HIGHLY_CONFIDENTIAL,
        };
        let unusual = i32::from(self.is_unusual(volume_cutoff)) * UNUSUAL;
        let unallowed = i32::from(self.unallowed) * UNALLOWED;
        (base + unusual + sensitive + unallowed + user.points()).min(SCORE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::example::Example;
    use crate::domain::user::IdentityKey;

    const DEFAULT: Thresholds = Thresholds { t1: 10, t2: 20, t3: 30 };
    const FEW: Thresholds = Thresholds { t1: 1, t2: 3, t3: 10 };
    const CUTOFF: i32 = Policy::VOLUME_CUTOFF;

    fn score(example: &Example, days_ago: i32) -> i32 {
        score_of(example, days_ago, UserBoosters::default())
    }

    fn score_of(example: &Example, days_ago: i32, user: UserBoosters) -> i32 {
        on(example, days_ago, |day| day.score(DEFAULT, CUTOFF, user))
    }

    fn is_unusual(example: &Example, days_ago: i32) -> bool {
        on(example, days_ago, |day| day.is_unusual(CUTOFF))
    }

    /// Asks the day of `Print`.
    fn on<T>(example: &Example, days_ago: i32, ask: impl Fn(&DayCount) -> T) -> T {
        let tally = Tally::of(&example.facts.activities, example.day(0));
        let print = tally.rows().find(|row| row.indicator.name() == "Print").unwrap();
        let day = example.day(days_ago);
        ask(&print.days(Window { first: day, last: day })[0])
    }

    #[test]
    fn the_base_rises_by_line_of_the_table() {
        let expected = [
            (1, 1),
            (9, 13),
            (10, 16),
            (11, 17),
            (19, 31),
            (20, 34),
            (21, 37),
            (29, 62),
            (30, 67),
            (31, 68),
            (59, 98),
            (60, 100),
            (61, 100),
        ];
        for (count, score) in expected {
            assert_eq!(base(count, DEFAULT), score, "{count}");
        }
    }

    #[test]
    fn few_are_much_for_some_indicators() {
        for (count, score) in [(1, 16), (2, 24), (3, 34), (4, 38), (9, 61), (10, 67), (11, 70), (20, 100)] {
            assert_eq!(base(count, FEW), score, "{count}");
        }
        assert_eq!(Thresholds::default_of(&Indicator::named("CopyToUSB")), FEW);
    }

    #[test]
    fn the_largest_counts_and_thresholds_do_not_overflow() {
        let widest = Thresholds::new(999_998, 999_999, 1_000_000).unwrap();
        assert_eq!(base(999_997, widest), 14);
        assert_eq!(base(i32::MAX, widest), 100);
        assert_eq!(base(i32::MAX, DEFAULT), 100);
    }

    #[test]
    fn a_base_of_0_is_never_boosted() {
        let t1_of_20 = Thresholds { t1: 20, t2: 30, t3: 40 };
        let example = Example::new().did_at("Print", Example::new().at(0), |activity| {
            activity.sensitivity = Sensitivity::HighlyConfidential;
            activity.unallowed_destination = true;
        });
        let all = UserBoosters { repeat: true, priority: true };
        assert_eq!(on(&example, 0, |day| day.score(t1_of_20, 1, all)), 0);
        assert_eq!(on(&example, 0, |day| day.score(DEFAULT, CUTOFF, all)), 1 + 16 + 10 + 15 + 10);
    }

    #[test]
    fn the_higher_sensitivity_of_the_day_boosts_once() {
        let labels = |labels: &[Sensitivity]| {
            labels.iter().fold(Example::new().did("Print", 0, 10 - labels.len()), |example, label| {
                let at = example.at(0);
                example.did_at("Print", at, |activity| activity.sensitivity = *label)
            })
        };
        let (general, confidential, highly) =
            (Sensitivity::General, Sensitivity::Confidential, Sensitivity::HighlyConfidential);
        assert_eq!(score(&labels(&[general]), 0), 16);
        assert_eq!(score(&labels(&[confidential, confidential]), 0), 16 + 8);
        assert_eq!(score(&labels(&[highly, confidential]), 0), 16 + 16);
    }

    #[test]
    fn one_unallowed_destination_boosts_the_day() {
        let example = Example::new().did("Print", 0, 9);
        let at = example.at(0);
        let example = example.did_at("Print", at, |activity| activity.unallowed_destination = true);
        assert_eq!(score(&example, 0), 16 + 10);
    }

    #[test]
    fn repeat_and_priority_boost_and_two_kinds_of_priority_boost_once() {
        let example = Example::new().did("Print", 0, 10);
        let policy = example.rules.policies.values().next().unwrap().clone();
        let chosen = Policy {
            priority_users: [IdentityKey::address("dana@contoso.com").unwrap()].into(),
            priority_reviewers: [].into(),
            ..policy.clone()
        };
        let user = User { potential_high_impact: true, ..example.facts.user.clone() };
        for (user, policy, score) in [
            (&example.facts.user, &policy, 16),
            (&example.facts.user, &chosen, 16 + 10),
            (&user, &policy, 16 + 10),
            (&user, &chosen, 16 + 10),
            (&User { confirmed_violation_before: true, ..user.clone() }, &chosen, 16 + 10 + 15),
        ] {
            assert_eq!(score_of(&example, 0, UserBoosters::of(user, policy)), score);
        }
    }

    #[test]
    fn a_score_is_never_above_100() {
        let all = UserBoosters { repeat: true, priority: true };
        assert_eq!(score_of(&Example::new().did("Print", 0, 50), 0, all), 100);
    }

    #[test]
    fn a_day_is_unusual_from_the_volume_cutoff_on() {
        assert!(!is_unusual(&Example::new().did("Print", 0, 19), 0));
        assert!(is_unusual(&Example::new().did("Print", 0, 20), 0));
        assert_eq!(score(&Example::new().did("Print", 0, 20), 0), 34 + 20);
    }

    #[test]
    fn a_day_needs_14_days_of_the_horizon_before_it_to_be_unusual() {
        assert!(!is_unusual(&Example::new().did("Print", 106, 20), 106));
        assert!(is_unusual(&Example::new().did("Print", 105, 20), 105));
    }

    #[test]
    fn a_day_is_unusual_above_three_times_the_mean_of_the_90_days_before() {
        // 20 * 90 > 3 * P up to P = 599.
        let base = Example::new().did("Print", 0, 20);
        assert!(is_unusual(&base.clone().did("Print", 90, 599), 0));
        assert!(!is_unusual(&base.clone().did("Print", 90, 600), 0));
        assert!(!is_unusual(&base.clone().did("Print", 1, 600), 0));
        // Not of the 90 days, and not of the indicator.
        assert!(is_unusual(&base.clone().did("Print", 91, 600), 0));
        assert!(is_unusual(&base.clone().did("CopyToUSB", 1, 600), 0));
        // The mean of an earlier day is over fewer days: 20 * 20 > 3 * P up to P = 133.
        let early = Example::new().did("Print", 99, 20);
        assert!(is_unusual(&early.clone().did("Print", 119, 133), 99));
        assert!(!is_unusual(&early.clone().did("Print", 119, 134), 99));
        // What is before the horizon is not seen.
        assert!(is_unusual(&early.clone().did("Print", 119, 133).did("Print", 120, 500), 99));
    }

    #[test]
    fn indicators_that_take_turns_are_counted_apart() {
        let mut example = Example::new();
        for _ in 0..6 {
            example = example.did("Print", 0, 1).did("CopyToUSB", 0, 1).did("PhysicalAccess", 0, 1);
        }
        let tally = Tally::of(&example.facts.activities, example.day(0));
        let counts: Vec<i32> =
            tally.rows().flat_map(|row| row.days(tally.horizon())).map(|day| day.count).collect();
        assert_eq!(counts, [6, 6, 6]);
    }

    #[test]
    fn the_model_sees_the_120_days_that_end_today_and_nothing_else() {
        let example = Example::new().did("Print", 120, 1).did("Print", 119, 2).did("Print", -1, 3);
        let tally = Tally::of(&example.facts.activities, example.day(0));
        let counts: Vec<i32> =
            tally.rows().flat_map(|row| row.days(tally.horizon())).map(|day| day.count).collect();
        assert_eq!(counts, [2]);
    }
}
