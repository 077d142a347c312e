//! What is exported of risk alerts: a record for each change, in blobs that do not change once they are listed
//! (`domain.md` 5; Microsoft calls them content).

use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::ids::TenantId;
use crate::domain::risk_alert::RiskAlert;
use crate::domain::score;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, UserNo};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// The most records of a blob. A cycle that has more makes several.
pub const RECORDS_MAX: usize = 1_000;
/// How many days a blob can be had, from the instant at which it was made.
pub const AVAILABLE_DAYS: i64 = 7;

/// A change of a risk alert that the next cycle exports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    /// The alert after the change.
    pub alert: RiskAlert,
    /// Whose it is. The number may have gone into another since.
    pub user: UserNo,
    /// How many changes of status or severity the alert had before.
    pub change: usize,
}

impl Due {
    /// Returns the record of it, with the names that the user has now.
    #[must_use]
    pub fn record(
        &self,
        tenant: TenantId,
        facts: &UserFacts,
        rules: &TenantRules,
        first: bool,
    ) -> AlertRecord {
        let user = &facts.user;
        let Self { alert, change, .. } = self;
        // The time tells apart what an id that was erased and came again stood for.
        let name = format!("{}/{change}/{}", alert.id.as_str(), alert.updated_at.timestamp_micros());
        AlertRecord {
            id: Uuid::new_v5(&tenant.uuid(), name.as_bytes()),
            user: user.no,
            identity: user.declared_identity().unwrap_or_else(|| user.identity.clone()),
            policy_name: rules.policies.get(&alert.policy).map(|policy| Arc::clone(&policy.name)),
            triggered_at: score::triggered_at(facts, rules, &alert.policy, alert.created_at),
            alert: alert.clone(),
            first,
        }
    }
}

/// What is exported of one change of a risk alert.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertRecord {
    /// Its id: no two records have the same, and the same change has the same for ever.
    pub id: Uuid,
    /// Whom the alert is about.
    pub user: UserNo,
    /// The user's names when the record was made.
    pub identity: Identity,
    /// The alert after the change.
    pub alert: RiskAlert,
    /// The policy's name when the record was made; none for a policy that nobody declared.
    pub policy_name: Option<Arc<str>>,
    /// When the user was triggered into the policy, as far as that is known.
    pub triggered_at: Option<DateTime<Utc>>,
    /// It is the first of its alert.
    pub first: bool,
}

/// A blob of one tenant's records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// Its number: higher than that of every blob before, of any tenant.
    pub number: u64,
    /// Whose.
    pub tenant: TenantId,
    /// When it was made: never before an earlier one of the tenant.
    pub created: DateTime<Utc>,
    /// The records in the order of the changes: at most [`RECORDS_MAX`].
    pub records: Vec<AlertRecord>,
}

impl Content {
    /// Returns the instant from which on it cannot be had.
    #[must_use]
    pub fn expires(&self) -> DateTime<Utc> {
        expiry(self.created)
    }

    /// Returns the day under which it is kept.
    #[must_use]
    pub fn day(&self) -> UtcDay {
        UtcDay::of(self.created)
    }
}

/// Returns when what was made at that instant cannot be had any more.
#[must_use]
pub fn expiry(created: DateTime<Utc>) -> DateTime<Utc> {
    created.checked_add_signed(TimeDelta::days(AVAILABLE_DAYS)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Which blobs are wanted, by number from the lowest. What is not set does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ContentQuery {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// Made from this instant on.
    pub from: Option<DateTime<Utc>>,
    /// Made before this instant.
    pub until: Option<DateTime<Utc>>,
    /// Behind this number.
    pub after: u64,
    /// At most so many.
    pub size: usize,
}

impl ContentQuery {
    /// Says whether a blob is wanted, the number of blobs aside.
    #[must_use]
    pub fn wants(&self, content: &Content) -> bool {
        content.number > self.after
            && self.tenant.is_none_or(|tenant| content.tenant == tenant)
            && self.from.is_none_or(|from| content.created >= from)
            && self.until.is_none_or(|until| content.created < until)
    }
}
