//! Risk alerts: raised here, or imported (`risk-model.md` 5).

use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::ids::{PolicyId, RiskAlertId, TenantId};
use crate::domain::policy::Policy;
use crate::domain::score;
use crate::domain::score::{Evidence, InScope};
use crate::domain::severity::Severity;
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use chrono::{DateTime, Utc};
use std::cmp::Reverse;
use uuid::Uuid;

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
    /// Says whether it is open on that day: confirmed, or in need of review and raised less than 120 days before.
    #[must_use]
    pub fn is_open(&self, today: UtcDay) -> bool {
        match self.status {
            Status::NeedsReview => UtcDay::of(self.created_at) >= today.horizon_start(),
            Status::Confirmed => true,
            Status::Resolved | Status::Dismissed => false,
        }
    }

    /// Says whether exfiltration activity raised it elsewhere, which counts when that activity is not known here.
    #[must_use]
    pub fn is_imported_exfiltration(&self) -> bool {
        matches!(self.origin, Origin::Imported { exfiltration: true })
    }

    /// Returns what it adds to the user's score: its own score, or the cut of its severity when imported
    /// (`risk-model.md` 6).
    #[must_use]
    pub fn weight(&self) -> i32 {
        match self.origin {
            Origin::Engine => self.score,
            Origin::Imported { .. } => self.severity.cut(),
        }
    }

    /// Returns the alert with a higher score, or nothing when the score is not higher: it only rises. An imported
    /// one stays as it came.
    fn raised(&self, score: i32, now: DateTime<Utc>) -> Option<Self> {
        (self.origin == Origin::Engine && score > self.score).then(|| Self {
            score,
            severity: self.severity.max(Severity::of_score(score)),
            updated_at: now,
            ..self.clone()
        })
    }
}

/// Returns the alerts that are new or have risen now that facts of the user or of the rules have changed. The
/// caller keeps each under its id, in place of the one before, if any.
///
/// Depends on nothing but its arguments, the ids too: a replay of the same commits gives the same alerts. A guest
/// and the implicit policy of user analytics never have one. While an imported alert of a policy is open, none is
/// opened beside it: one open alert for each policy and user.
#[must_use]
pub fn evaluate(
    tenant: TenantId,
    facts: &UserFacts,
    rules: &TenantRules,
    now: DateTime<Utc>,
) -> Vec<RiskAlert> {
    let scopes = score::in_scope(facts, rules, now);
    if scopes.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(facts, &rules.settings, UtcDay::of(now));
    let changed = |scope: InScope<'_>| match open_alert(facts, &scope.policy.id, UtcDay::of(now)) {
        Some(open) => open.raised(evidence.score(scope), now),
        None => opened(tenant, facts.user.no, scope.policy, evidence.score(scope), now),
    };
    scopes.into_iter().filter_map(changed).collect()
}

/// Returns the open alert of a policy. Two people who turn out to be one, or an import, can leave several: then
/// ours with the highest score, so that the same one goes on rising.
fn open_alert<'a>(facts: &'a UserFacts, policy: &PolicyId, today: UtcDay) -> Option<&'a RiskAlert> {
    facts
        .alerts
        .values()
        .filter(|alert| alert.policy == *policy && alert.is_open(today))
        .max_by_key(|alert| (alert.origin == Origin::Engine, alert.score, Reverse(&alert.id)))
}

fn opened(
    tenant: TenantId,
    user: UserNo,
    policy: &Policy,
    score: i32,
    now: DateTime<Utc>,
) -> Option<RiskAlert> {
    if score < policy.alert_threshold {
        return None;
    }
    Some(RiskAlert {
        id: alert_id(tenant, user, &policy.id, now),
        policy: policy.id.clone(),
        severity: Severity::of_score(score),
        score,
        status: Status::NeedsReview,
        origin: Origin::Engine,
        created_at: now,
        updated_at: now,
        closed_at: None,
    })
}

/// Makes an id of what makes an alert one of its kind: a user cannot have two of a policy at one instant. The
/// user's number tells nothing about who it is.
fn alert_id(tenant: TenantId, user: UserNo, policy: &PolicyId, created: DateTime<Utc>) -> RiskAlertId {
    let name = format!("{}/{}/{}", user.0, created.timestamp_micros(), policy.as_str());
    let id = Uuid::new_v5(&tenant.uuid(), name.as_bytes());
    RiskAlertId::new(&id.to_string()).expect("a UUID is short and visible")
}
