//! A user's exfiltration activities and their totals: the only activities that may leave (`domain.md` 1.1, fact 10).

use crate::domain::activity::Activity;
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
/// ```compile_fail
/// let forged = riskshare::domain::timeline::ExfiltrationActivity { ..todo!() };
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ExfiltrationActivity<'a>(&'a Activity);

impl<'a> ExfiltrationActivity<'a> {
    /// Returns the activity.
    #[must_use]
    pub fn activity(&self) -> &'a Activity {
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
    let rows = facts.activities.days(window).flat_map(|(_, rows)| rows.iter());
    rows.filter(|activity| settings.shares(&activity.indicator)).map(ExfiltrationActivity)
}

/// Counts the exfiltration activities of a window of at most 120 days. What is unusual is judged as of the window's
/// last day and at the default volume cutoff, [`Policy::VOLUME_CUTOFF`]: a summary is of no policy.
#[must_use]
pub fn summarise(facts: &UserFacts, settings: &Settings, window: Window) -> Summary {
    let tally = Tally::of(&facts.activities, window.last);
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
