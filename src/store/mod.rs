//! The seam to storage: facts, settings and the audit log, durable, and the hold on a tenant's sharing switch.
//!
//! An engine differs in where it keeps things, never in a rule: identity joining is [`crate::domain::user::join`],
//! risk alerts are `domain::risk_alert::evaluate`, and every engine calls both inside its commit. A
//! driver's types and errors end in that engine's folder.

mod book;
pub mod database_state;
#[cfg(test)]
pub mod conformance;
pub mod embedded;
pub mod moving;
pub mod observed;
pub mod postgres;

use crate::domain::audit::{AuditEvent, AuditLine, AuditQuery, AuditVerdict, ChainHead};
use crate::domain::content::{Content, ContentQuery};
use crate::domain::decision::{AlertChange, Decision, RiskAlertQuery, Undecided};
use crate::domain::facts::{Batch, Outcome, TenantRules};
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::known_facts::SharedFacts;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::risk_alert::RiskAlert;
use crate::domain::settings::Settings;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, UserNo};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;
use tokio::time::Instant;

/// Why storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot answer now: the disk is full or broken, or it is shutting down. What was asked may have been done.
    /// Repeating the call is safe.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The settings are of another version than the caller expected. Nothing changed.
    #[error("the settings have changed")]
    SettingsChanged,
    /// The audit log cannot be written, or not be read. What was to be written down must not happen.
    #[error("the audit log is unavailable: {0}")]
    AuditUnavailable(String),
}

/// Keeps facts, settings and the audit log.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Looks at a tenant's sharing switch and at nothing else, least of all at users. A tenant nobody knows shares
    /// nothing, and looking at it leaves no trace.
    async fn hold(&self, tenant: TenantId) -> Result<Hold, StoreError>;

    /// Does the same, and where the tenant shares may read these people in the same breath, for a [`Store::read`] of them
    /// under that hold. Where it does not share nobody is looked up, and the answer takes as long whoever they are.
    async fn hold_to_read(&self, tenant: TenantId, _people: &[&Identity]) -> Result<Hold, StoreError> {
        self.hold(tenant).await
    }

    /// Reads people of the hold's tenant, all as of one instant between commits.
    async fn read(&self, hold: &Hold, people: &[&Identity]) -> Result<Snapshot, StoreError>;

    /// Applies a batch whole or not at all, and returns once it is durable and seen by every later read: one
    /// outcome for each fact, in order. Facts of one batch see the ones before them. Idempotent.
    ///
    /// Raises risk alerts by `risk-model.md` section 5 for every user whom a fact of the batch, or of a policy in
    /// it, touches.
    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError>;

    /// Reads a tenant's settings, the defaults at version 0 when it was never configured.
    async fn settings(&self, tenant: TenantId) -> Result<VersionedSettings, StoreError>;

    /// Replaces a tenant's settings if they still are of version `expected`. The event is recorded before, and once
    /// more as failed should the change then fail. When this turns sharing off, no hold
    /// taken before gives a pass from the moment the switch moves, and the call waits up to two seconds for passes
    /// that were given: it says whether all were dropped by then.
    ///
    /// # Errors
    /// [`StoreError::SettingsChanged`] for another version; nothing is recorded then. After any other error sharing is
    /// off, in memory at least, if this would have turned it off.
    async fn change_settings(
        &self,
        tenant: TenantId,
        expected: u64,
        settings: Settings,
        event: AuditEvent,
    ) -> Result<ChangedSettings, StoreError>;

    /// Says whether anything was ever recorded or written down of a tenant. Looking leaves no trace.
    async fn knows(&self, tenant: TenantId) -> Result<bool, StoreError>;

    /// Puts a line into a tenant's chain and returns once it is durable.
    ///
    /// # Errors
    /// [`StoreError::AuditUnavailable`]: the line may be there or not.
    async fn record(&self, tenant: TenantId, event: AuditEvent) -> Result<(), StoreError>;

    /// Reads a tenant's lines that are wanted, the oldest first, from behind a cursor: at most `size`, and fewer, even
    /// none, when they are large or far apart. Damaged lines are left out.
    async fn audit_page(
        &self,
        tenant: TenantId,
        query: AuditQuery,
        after: Option<AuditCursor>,
        size: usize,
    ) -> Result<AuditPage, StoreError>;

    /// Checks a tenant's chain from end to end: that nothing was changed, put in, left out or moved, and that it holds
    /// `kept`, a line that somebody remembers.
    async fn verify_audit(
        &self,
        tenant: TenantId,
        kept: Option<ChainHead>,
    ) -> Result<AuditVerdict, StoreError>;

    /// Removes lines of days before this one, in units of the engine's choice, and returns how many units. The last
    /// line of each chain that goes is kept as the chain's anchor.
    async fn expire_audit(&self, before: UtcDay) -> Result<u64, StoreError>;

    /// Forgets activities of days before the horizon that ends with `today`, and returns how many.
    async fn expire(&self, today: UtcDay) -> Result<u64, StoreError>;

    /// Erases whom the keys point at: everything that was recorded of them, from memory and from every file, and their
    /// keys from the priority users of policies. Returns how many people that were, once it is durable, or `None`,
    /// with nobody erased, when the keys point at people who cannot be one. Their numbers never come again.
    ///
    /// The event is recorded before, with every number that they ever had; as refused, with the numbers of those whom
    /// the keys point at, when they cannot be one; and once more as failed should erasing then fail.
    async fn erase(
        &self,
        tenant: TenantId,
        person: &Identity,
        event: AuditEvent,
    ) -> Result<Option<u64>, StoreError>;

    /// Returns who users are, by their numbers, for those who may resolve them; nothing for a number that is nobody's
    /// or was erased. A number that went into another is that one.
    async fn named(&self, tenant: TenantId, users: &[UserNo]) -> Result<Vec<Option<Named>>, StoreError>;

    /// Reads risk alerts of the hold's tenant that are wanted, the newest first, those of one instant by id, or the other
    /// way round, from behind a cursor: at most `size`, and fewer, even none, when they are far apart. Their histories are left out.
    async fn risk_alerts(
        &self,
        hold: &Hold,
        query: &RiskAlertQuery,
        after: Option<&AlertCursor>,
        size: usize,
    ) -> Result<AlertPage, StoreError>;

    /// Reads one risk alert of the hold's tenant with its history, or none: a page of at most one.
    async fn risk_alert(&self, hold: &Hold, alert: &RiskAlertId) -> Result<AlertPage, StoreError>;

    /// Takes a reviewer's decision. Once it is durable and seen by every later read, this returns. The event is recorded
    /// before, with the number of whom the alert is about; a decision that is not taken leaves no line.
    async fn decide(
        &self,
        tenant: TenantId,
        decision: Decision,
        event: AuditEvent,
    ) -> Result<Result<(), Undecided>, StoreError>;

    /// Makes content of all changes of risk alerts that are due for export, of every tenant, and returns how many blobs
    /// that are once they are durable and listed. Due is each change of status or severity since the tenant turned
    /// export on, once; turning it off drops what was due.
    async fn publish(&self, at: DateTime<Utc>) -> Result<u64, StoreError>;

    /// Reads blobs that are wanted, by number from the lowest.
    async fn contents(&self, query: &ContentQuery) -> Result<Vec<Arc<Content>>, StoreError>;

    /// Forgets blobs of days before this one, and returns how many.
    async fn expire_contents(&self, before: UtcDay) -> Result<u64, StoreError>;

    /// Reads a note that a floor above keeps for a tenant, or for the server under
    /// [`SERVER_CHAIN`](crate::domain::audit::SERVER_CHAIN). Notes hold nothing about users.
    async fn note(&self, tenant: TenantId, name: &str) -> Result<Option<Arc<str>>, StoreError>;

    /// Replaces a note if it still says what is expected, nothing for one that is not there yet, and returns whether it
    /// did, once that is durable.
    async fn put_note(
        &self,
        tenant: TenantId,
        name: &str,
        before: Option<&str>,
        after: &str,
    ) -> Result<bool, StoreError>;

    /// Says what it can do now, without a wait.
    async fn condition(&self) -> Condition;

    /// Returns the random key with which page tokens are authenticated: the same for the life of the data.
    async fn token_key(&self) -> Result<[u8; 32], StoreError>;
}

/// What a store can do at the moment, as far as it knows. Once it failed at something, it says so until that went well
/// again, or until it is worth another try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Reads people.
    pub reads: bool,
    /// Commits facts and settings.
    pub commits: bool,
    /// Writes audit lines.
    pub audits: bool,
}

/// Some of a tenant's risk alerts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AlertPage {
    /// The tenant's settings and policies.
    pub rules: Arc<TenantRules>,
    /// The alerts.
    pub alerts: Vec<ReviewedAlert>,
    /// Where to go on, if there may be more.
    pub next: Option<AlertCursor>,
}

/// A risk alert as reviewers see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReviewedAlert {
    /// The alert.
    pub alert: RiskAlert,
    /// Whom it is about.
    pub user: Named,
    /// The states that it was in, the oldest first, each with another status or severity than the one before.
    pub history: Vec<AlertChange>,
}

/// Where a page of risk alerts ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertCursor {
    /// When the last alert that was looked at was raised.
    pub created_at: DateTime<Utc>,
    /// Its id.
    pub id: RiskAlertId,
}

/// Some of a tenant's audit lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditPage {
    /// The lines.
    pub lines: Vec<AuditLine>,
    /// Where to go on, if there may be more.
    pub next: Option<AuditCursor>,
}

/// Where a page of audit lines ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditCursor {
    /// The last line that was looked at.
    pub sequence: u64,
    /// The last line that there was when the first page was asked for: pages of a log that grows come to an end.
    pub last: u64,
    /// Where the engine goes on: a day.
    pub day: UtcDay,
    /// Where the engine goes on: a place in that day.
    pub offset: u64,
}

/// A tenant's settings and how often they were changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VersionedSettings {
    /// The settings.
    pub settings: Settings,
    /// 0 before the first change, then one more with each.
    pub version: u64,
}

/// A tenant's settings after a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangedSettings {
    /// The settings.
    pub settings: VersionedSettings,
    /// No pass of the time before is left.
    pub drained: bool,
    /// The replicas that were cut off because they still held an answer.
    pub cut_off: Vec<String>,
}

/// Who a user is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The number now.
    pub user: UserNo,
    /// The pseudonym, given with the first fact and kept for ever.
    pub pseudonym: Pseudonym,
    /// All names and keys by which the user is known.
    pub identity: Identity,
    /// The names to show: those that were declared, or all of somebody whom nobody declared.
    pub shown: Identity,
}

/// What is known of some people at one instant.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The tenant's settings and policies.
    pub rules: Arc<TenantRules>,
    /// For each identity asked for, the people its keys point at.
    pub found: Vec<Hits>,
}

/// The people whom one identity's keys point at, by number: none, one, or, in a conflict, more.
pub type Hits = SmallVec<[SharedFacts; 1]>;

/// What the sharing switch of a tenant said when it was looked at, and the means to hand something over only while
/// it still says so.
pub struct Hold {
    tenant: TenantId,
    sharing: bool,
    epoch: u64,
    guard: Box<dyn HoldGuard>,
}

/// How an engine keeps a switch from moving.
#[async_trait]
pub trait HoldGuard: Send + Sync {
    /// Lets one thing be handed over: turning sharing off waits, within bounds, until the pass is dropped.
    ///
    /// # Errors
    /// When the switch has moved, or is moving, since the hold was taken.
    fn pass(&self) -> Result<Pass, Moved>;

    /// Keeps the switch no longer, unless something is being handed over: nothing is read under it any more.
    async fn release(&self) {}

    /// Returns itself for its engine, which alone knows what it is.
    fn as_any(&self) -> &dyn Any;
}

/// Leave to hand one thing over. Goes with the thing and is dropped when the transport has taken it.
#[must_use]
pub struct Pass {
    until: Option<Instant>,
    #[expect(dead_code, reason = "kept for its drop")]
    guard: Box<dyn Any + Send + Sync>,
}

impl Pass {
    /// Made by engines only: `guard` tells the switch when it is dropped.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self { until: None, guard: Box::new(guard) }
    }

    /// Made by engines only: what is handed over must have left by an instant.
    pub fn until(instant: Instant, guard: impl Any + Send + Sync) -> Self {
        Self { until: Some(instant), guard: Box::new(guard) }
    }

    /// Returns by when it must have left, if it matters.
    #[must_use]
    pub fn ends(&self) -> Option<Instant> {
        self.until
    }
}

/// The switch has moved since the hold was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved;

impl Hold {
    /// Made by engines only.
    #[must_use]
    pub fn new(tenant: TenantId, sharing: bool, epoch: u64, guard: Box<dyn HoldGuard>) -> Self {
        Self { tenant, sharing, epoch, guard }
    }

    /// Returns what the engine keeps.
    pub(in crate::store) fn guard(&self) -> &dyn HoldGuard {
        &*self.guard
    }

    /// Returns whose switch it is.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Says whether the tenant shared when the switch was looked at.
    #[must_use]
    pub fn is_sharing(&self) -> bool {
        self.sharing
    }

    /// Returns how often the switch had moved.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Lets one thing be handed over.
    ///
    /// # Errors
    /// When the tenant did not share, or the switch has moved since.
    pub fn pass(&self) -> Result<Pass, Moved> {
        if self.sharing { self.guard.pass() } else { Err(Moved) }
    }

    /// Gives the hold up: whoever turns sharing off waits for it no longer, and nothing more is read under it.
    pub async fn release(&self) {
        self.guard.release().await;
    }
}
