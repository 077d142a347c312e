//! The level and the score of a user, and how long they hold (`risk-model.md` 6, 9).

use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::severity::Severity;
use chrono::{DateTime, Utc};

/// What is true of a user from `as_of` until `valid_until`, as long as no new fact comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assessment {
    /// The level.
    pub level: Severity,
    /// 1 to 100, and 0 when the level is None.
    pub score: i32,
    /// The instant for which it was made.
    pub as_of: DateTime<Utc>,
    /// The first instant at which it may no longer be true. Never before the next instant after `as_of`, never
    /// after the next UTC midnight.
    pub valid_until: DateTime<Utc>,
    /// The latest exfiltration activity in the lookback, whatever the level. Orders the users of an alert.
    pub latest_exfiltration: Option<DateTime<Utc>>,
}

/// Judges a user as of `now`. The level does not change within `as_of <= t < valid_until` unless a fact comes in.
#[must_use]
pub fn assess(_facts: &UserFacts, _rules: &TenantRules, _now: DateTime<Utc>) -> Assessment {
    todo!()
}

/// Returns the assessment of a user whom nobody knows: None, until the next UTC midnight.
#[must_use]
pub fn unknown(_now: DateTime<Utc>) -> Assessment {
    todo!()
}
