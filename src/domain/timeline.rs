//! A user's exfiltration activities and their totals: the only activities that may leave (`domain.md` 1.1, fact 10).

use crate::domain::activities::Row;
use crate::domain::facts::UserFacts;
use crate::domain::indicator::Indicator;
use crate::domain::insight::{DayCount, Tally};
use crate::domain::policy::Policy;
use crate::domain::settings::Settings;
use crate::domain::time::{UtcDay, Window};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// An activity of an indicator that the tenant shares. Only [`exfiltration`] makes one, so whoever holds one may
/// show it:
///
/// ```compile_fail,E0451
/// let forged: riskshare::domain::timeline::ExfiltrationActivity<'_> =
///     riskshare::domain::timeline::ExfiltrationActivity { ..todo!() };
/// ```
///
/// ```no_run
/// let forged: riskshare::domain::timeline::ExfiltrationActivity<'_> =
///     todo!();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ExfiltrationActivity<'a>(Row<'a>);

impl<'a> ExfiltrationActivity<'a> {
    /// Returns the activity.
    #[must_use]
    pub fn activity(&self) -> Row<'a> {
        self.0
    }
}

/// The exfiltration of one user in a window, counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// The days that were counted.
    pub window: Window,
    /// All activities.
    pub total: i32,
    /// Those on a day that is unusual for their indicator.
    pub unusual_total: i32,
    /// One entry for each indicator with an activity: most activities first, then by name.
    pub by_indicator: Vec<IndicatorTotal>,
    /// One entry for each day with an activity, oldest first.
    pub by_day: Vec<DayTotal>,
}

/// The activities of one indicator in a window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndicatorTotal {
    /// The indicator.
    pub indicator: Indicator,
    /// How many.
    pub count: i32,
    /// How many of them on days that are unusual for it.
    pub unusual_count: i32,
    /// When the first one happened.
    pub first_at: DateTime<Utc>,
    /// When the latest one happened.
    pub last_at: DateTime<Utc>,
}

/// The activities of one day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DayTotal {
    /// The day.
    pub day: UtcDay,
    /// How many.
    pub count: i32,
    /// How many of them of indicators for which the day is unusual.
    pub unusual_count: i32,
}

/// Returns the exfiltration activities of the window, oldest first; those of one instant by id.
pub fn exfiltration<'a>(
    facts: &'a UserFacts,
    settings: &'a Settings,
    window: Window,
) -> impl DoubleEndedIterator<Item = ExfiltrationActivity<'a>> {
    let rows = facts.activities.within(window);
    rows.filter(|row| settings.shares(row.indicator)).map(ExfiltrationActivity)
}

/// Counts the exfiltration activities of a window of at most 120 days. What is unusual is judged as of the window's
/// last day and at the default volume cutoff, [`Policy::VOLUME_CUTOFF`]: a summary is of no policy.
#[must_use]
pub fn summarise(facts: &UserFacts, settings: &Settings, window: Window) -> Summary {
    summary_of(&Tally::of(&facts.activities, window.last), settings, window)
}

/// Returns the same from activities that were counted as of the window's last day.
#[must_use]
pub fn summary_of(tally: &Tally<'_>, settings: &Settings, window: Window) -> Summary {
    let mut by_indicator: Vec<IndicatorTotal> = Vec::new();
    let mut by_day: BTreeMap<UtcDay, DayTotal> = BTreeMap::new();
    for row in tally.rows().filter(|row| settings.shares(row.indicator)) {
        let days = row.days(window);
        by_indicator.extend(IndicatorTotal::of(row.indicator, days));
        for day in days {
            by_day.entry(day.day).or_insert(DayTotal { day: day.day, count: 0, unusual_count: 0 }).add(day);
        }
    }
    by_indicator.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.indicator.cmp(&b.indicator)));
    Summary {
        window,
        total: by_indicator.iter().map(|total| total.count).sum(),
        unusual_total: by_indicator.iter().map(|total| total.unusual_count).sum(),
        by_indicator,
        by_day: by_day.into_values().collect(),
    }
}

impl IndicatorTotal {
    /// Adds up the days of an indicator; nothing when there are none.
    fn of(indicator: &Indicator, days: &[DayCount]) -> Option<Self> {
        Some(Self {
            indicator: indicator.clone(),
            count: days.iter().map(|day| day.count).sum(),
            unusual_count: days.iter().map(unusual_count).sum(),
            first_at: days.first()?.first_at,
            last_at: days.last()?.last_at,
        })
    }
}

impl DayTotal {
    fn add(&mut self, day: &DayCount) {
        self.count += day.count;
        self.unusual_count += unusual_count(day);
    }
}

/// Returns how many of a day's activities are unusual: all or none.
fn unusual_count(day: &DayCount) -> i32 {
    if day.is_unusual(Policy::VOLUME_CUTOFF) { day.count } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::example::Example;
    use chrono::TimeDelta;

    fn ids(example: &Example, window: Window) -> Vec<String> {
        let rows = exfiltration(&example.facts, &example.rules.settings, window);
        rows.map(|row| row.activity().id.text()).collect()
    }

    fn window(example: &Example, first: i32, last: i32) -> Window {
        Window { first: example.day(first), last: example.day(last) }
    }

    #[test]
    fn a_timeline_holds_the_shared_activities_of_its_window_in_order() {
        let example = Example::new()
            .did("Print", 3, 1)
            .did("EmailExternal", 1, 2)
            .did("PhysicalAccess", 1, 1)
            .did("SpoDownload", 1, 1)
            .did("Invented", 1, 1)
            .did("Print", 2, 1)
            .did("Print", 1, 1)
            .did("Print", 0, 1);
        assert_eq!(ids(&example, window(&example, 2, 1)), ["000007", "000002", "000008", "000003"]);
        assert!(ids(&example, window(&example, 1, 2)).is_empty());
        let all = window(&example, 119, 0);
        let mut backwards: Vec<String> = exfiltration(&example.facts, &example.rules.settings, all)
            .rev()
            .map(|row| row.activity().id.text())
            .collect();
        backwards.reverse();
        assert_eq!(backwards, ids(&example, all));
    }

    #[test]
    fn what_the_tenant_turns_on_or_off_shows_or_not() {
        let example = Example::new().did("Print", 0, 1).did("SpoDownload", 0, 1).did("Invented", 0, 1);
        let example = example.with(|example| {
            let settings = &mut example.rules.settings;
            settings.overrides.insert(Indicator::named("Print"), false);
            settings.overrides.insert(Indicator::named("SpoDownload"), true);
            settings.custom.insert(Indicator::named("Invented"));
        });
        assert_eq!(ids(&example, window(&example, 0, 0)), ["000002", "000003"]);
    }

    #[test]
    fn a_summary_adds_up_by_indicator_and_by_day() {
        let example = Example::new()
            .did("Print", 5, 1)
            .did("Print", 2, 20)
            .did("EmailExternal", 2, 2)
            .did("CopyToUSB", 1, 2)
            .did("PhysicalAccess", 1, 50);
        let summary = summarise(&example.facts, &example.rules.settings, window(&example, 119, 0));
        assert_eq!((summary.total, summary.unusual_total), (25, 20));
        let by_indicator: Vec<_> = summary
            .by_indicator
            .iter()
            .map(|total| (total.indicator.name(), total.count, total.unusual_count))
            .collect();
        assert_eq!(by_indicator, [("Print", 21, 20), ("CopyToUSB", 2, 0), ("EmailExternal", 2, 0)]);
        let print = &summary.by_indicator[0];
        let (first, last) = (example.at(5), example.at(2) + TimeDelta::seconds(19));
        assert_eq!((print.first_at, print.last_at), (first, last));
        let by_day: Vec<_> = summary
            .by_day
            .iter()
            .map(|total| (example.day(0).since(total.day), total.count, total.unusual_count))
            .collect();
        assert_eq!(by_day, [(5, 1, 0), (2, 22, 20), (1, 2, 0)]);
    }

    #[test]
    fn days_before_the_window_count_for_what_is_usual_and_for_nothing_else() {
        let example = Example::new().did("Print", 30, 600).did("Print", 2, 20);
        let summary = summarise(&example.facts, &example.rules.settings, window(&example, 10, 0));
        assert_eq!((summary.total, summary.unusual_total, summary.by_day.len()), (20, 0, 1));
        let longer = summarise(&example.facts, &example.rules.settings, window(&example, 30, 0));
        assert_eq!((longer.total, longer.unusual_total), (620, 600));
    }

    #[test]
    fn nothing_adds_up_to_nothing() {
        let example = Example::new();
        let all = window(&example, 119, 0);
        let expected =
            Summary { window: all, total: 0, unusual_total: 0, by_indicator: Vec::new(), by_day: Vec::new() };
        assert_eq!(summarise(&example.facts, &example.rules.settings, all), expected);
    }
}
