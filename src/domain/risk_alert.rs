//! Risk alerts: raised here, or imported (`risk-model.md` 5).

use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::ids::{PolicyId, RiskAlertId, TenantId};
use crate::domain::severity::Severity;
use crate::domain::time::UtcDay;
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

impl RiskAlert {
    /// Says whether it is open on that day: needs review, and was raised less than 120 days ago, or confirmed.
    #[must_use]
    pub fn is_open(&self, _today: UtcDay) -> bool {
        todo!()
    }
}

/// Returns the alerts that are new or have risen now that facts of the user or of the rules have changed. The
/// caller keeps each under its id, in place of the one before, if any.
///
/// Depends on nothing but its arguments, the ids too: a replay of the same commits gives the same alerts.
#[must_use]
pub fn evaluate(
    _tenant: TenantId,
    _facts: &UserFacts,
    _rules: &TenantRules,
    _now: DateTime<Utc>,
) -> Vec<RiskAlert> {
    todo!()
}
