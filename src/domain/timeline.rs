//! A user's exfiltration activities and their totals: the only activities that may leave (`domain.md` 1.1, fact 10).

use crate::domain::activity::Activity;
use crate::domain::facts::UserFacts;
use crate::domain::indicator::Indicator;
use crate::domain::settings::Settings;
use crate::domain::time::{UtcDay, Window};
use chrono::{DateTime, Utc};

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

/// Counts the exfiltration activities of the window. What is unusual is judged as of the window's last day and at
/// the default volume cutoff, [`crate::domain::policy::Policy::VOLUME_CUTOFF`]: a summary is of no policy.
#[must_use]
pub fn summarise(_facts: &UserFacts, _settings: &Settings, _window: Window) -> Summary {
    todo!()
}
