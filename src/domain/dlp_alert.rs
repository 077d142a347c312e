//! A DLP alert and the level that its involved users give it (`risk-model.md` 7).

use crate::domain::user::Identity;
use chrono::{DateTime, Utc};

/// The most involved users of one alert.
pub const INVOLVED_USERS_MAX: usize = 1_000;

/// The DLP alert's own severity; nothing to do with insider risk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the product's own words")]
pub enum AlertSeverity {
    Informational,
    Low,
    Medium,
    High,
}

/// A DLP alert as the DLP side knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DlpAlert {
    /// Its id in the caller's system.
    pub id: String,
    /// Its title; may be empty.
    pub title: String,
    /// The DLP policy that matched; may be empty.
    pub policy_name: String,
    /// When it was raised.
    pub created_at: Option<DateTime<Utc>>,
    /// Its own severity.
    pub severity: Option<AlertSeverity>,
    /// Who it involves: actors, not recipients, no services. One mention each, not yet joined.
    pub involved: Vec<Identity>,
}
