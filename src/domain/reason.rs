//! Why a user has their level, told from exfiltration alone (`risk-model.md` 8).

use crate::domain::facts::UserFacts;
use crate::domain::indicator::Indicator;
use crate::domain::settings::Settings;
use crate::domain::severity::Severity;
use crate::domain::time::UtcDay;
use chrono::{DateTime, Utc};

/// The most reasons that are given.
pub const REASONS_MAX: usize = 5;

/// One insight that may be shown. It holds no booster, no trigger and no count of hidden activities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// A shared indicator, or [`crate::domain::indicator::CUMULATIVE`].
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
pub fn reasons(_facts: &UserFacts, _settings: &Settings, _now: DateTime<Utc>) -> Vec<Reason> {
    todo!()
}
