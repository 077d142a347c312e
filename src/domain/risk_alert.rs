//! Risk alerts: raised here, or imported (`risk-model.md` 5).

use crate::domain::ids::{PolicyId, RiskAlertId};
use crate::domain::severity::Severity;
use chrono::{DateTime, Utc};

/// The state of a risk alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nobody has decided yet.
    NeedsReview,
    /// Confirmed to a case.
    Confirmed,
    /// Its case was resolved.
    Resolved,
    /// Dismissed.
    Dismissed,
}

impl Status {
    /// Says whether an alert in this state is closed, for good.
    #[must_use]
    pub fn is_closed(self) -> bool {
        matches!(self, Self::Resolved | Self::Dismissed)
    }
}

/// Who raised an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// This service.
    Engine,
    /// Insider risk management; `exfiltration` says that exfiltration activity raised it.
    Imported {
        /// Exfiltration activity raised it.
        exfiltration: bool,
    },
}

/// A risk alert of one user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RiskAlert {
    /// Its id, stable over its life.
    pub id: RiskAlertId,
    /// The policy that it belongs to.
    pub policy: PolicyId,
    /// Low, Medium or High.
    pub severity: Severity,
    /// 1 to 100; the cut of the severity when imported.
    pub score: i32,
    /// Its state.
    pub status: Status,
    /// Who raised it.
    pub origin: Origin,
    /// When it was raised.
    pub created_at: DateTime<Utc>,
    /// When this state of it was true.
    pub updated_at: DateTime<Utc>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
}
