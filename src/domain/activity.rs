//! One thing that a user did.

use crate::domain::ids::ActivityId;
use crate::domain::indicator::Indicator;
use crate::domain::time::UtcDay;
use crate::domain::user::Personal;
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// How sensitive content is, lowest first (`risk-model.md` 1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Sensitivity {
    /// No label.
    #[default]
    None,
    /// General.
    General,
    /// Confidential.
    Confidential,
    /// Highly confidential.
    HighlyConfidential,
}

/// One activity of a user, of any indicator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Activity {
    /// The source's id, unique in the tenant.
    pub id: ActivityId,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What it is a sign of.
    pub indicator: Indicator,
    /// The source's operation.
    pub operation: Arc<str>,
    /// The object's name or path; may be empty.
    pub object_name: Personal,
    /// Where the data went; may be empty.
    pub destination: Personal,
    /// How sensitive the content is.
    pub sensitivity: Sensitivity,
    /// The organisation does not allow the destination.
    pub unallowed_destination: bool,
}

impl Activity {
    /// Returns the day on which it counts.
    #[must_use]
    pub fn day(&self) -> UtcDay {
        UtcDay::of(self.at)
    }
}
