//! The export gate: the door on the way from what is exported to SIEMs. It knows its own switch and not the one of
//! sharing: a tenant has either, both or none. A leaf, like the sharing gate.

use crate::clock::Clock;
use crate::domain::audit::{AuditEvent, AuditOutcome, USERS_MAX};
use crate::domain::content::{Content, ContentQuery};
use crate::domain::ids::TenantId;
use crate::domain::user::UserNo;
use crate::gate::admission::{AuditUnavailable, Unavailable};
use crate::gate::caller::Access;
use crate::store::{Store, StoreError};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Lets out what a tenant exports, and to nobody what it does not.
#[derive(Clone)]
pub struct ExportGate {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// Why nothing is let out.
#[derive(Debug, thiserror::Error)]
pub enum ExportRefusal {
    /// The tenant does not export.
    #[error("the tenant does not export risk alerts")]
    Off,
    /// The store cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It cannot be written down.
    #[error(transparent)]
    AuditUnavailable(#[from] AuditUnavailable),
}

impl From<StoreError> for ExportRefusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::AuditUnavailable(cause) => AuditUnavailable(cause).into(),
            other => Unavailable::from(other).into(),
        }
    }
}

/// Proof that the tenant exported its risk alerts when somebody asked.
///
/// ```compile_fail,E0451
/// let forged: riskshare::gate::export::ExportGrant =
///     riskshare::gate::export::ExportGrant { ..todo!() };
/// ```
///
/// ```no_run
/// let forged: riskshare::gate::export::ExportGrant =
///     todo!();
/// ```
#[must_use]
pub struct ExportGrant {
    store: Arc<dyn Store>,
    tenant: TenantId,
    as_of: DateTime<Utc>,
    principal: String,
    action: String,
}

/// A blob of which the audit log says who has it.
///
/// ```compile_fail,E0423
/// let forged: riskshare::gate::export::Released =
///     riskshare::gate::export::Released(todo!());
/// ```
///
/// ```no_run
/// let forged: riskshare::gate::export::Released =
///     todo!();
/// ```
#[must_use]
pub struct Released(Arc<Content>);

/// What may be told of a blob without a line in the audit log: nothing about anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub created: DateTime<Utc>,
}

impl ExportGate {
    /// Returns the export gate of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Lets a caller in whose tenant exports. One that nobody knows does not.
    ///
    /// # Errors
    /// When it does not, or the store cannot answer.
    pub async fn admit(&self, access: &Access) -> Result<ExportGrant, ExportRefusal> {
        let (principal, action) = (access.caller().principal(), access.right().name());
        self.grant(access.tenant(), principal, action).await
    }

    /// Lets the server itself deliver what a tenant exports to a receiver of the configuration, which is named in the
    /// audit log.
    ///
    /// # Errors
    /// When the tenant does not export, or the store cannot answer.
    pub async fn deliver(&self, tenant: TenantId, receiver: &str) -> Result<ExportGrant, ExportRefusal> {
        self.grant(tenant, receiver, "DeliverContent").await
    }

    async fn grant(
        &self,
        tenant: TenantId,
        principal: &str,
        action: &str,
    ) -> Result<ExportGrant, ExportRefusal> {
        let (store, as_of) = (Arc::clone(&self.store), self.clock.now());
        let (principal, action) = (principal.to_owned(), action.to_owned());
        let grant = ExportGrant { store, tenant, as_of, principal, action };
        grant.still().await?;
        Ok(grant)
    }
}

impl ExportGrant {
    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Returns the instant at which it was given.
    #[must_use]
    pub fn as_of(&self) -> DateTime<Utc> {
        self.as_of
    }

    /// Lists the tenant's blobs that are wanted.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn list(&self, query: ContentQuery) -> Result<Vec<Listed>, ExportRefusal> {
        let query = ContentQuery { tenant: Some(self.tenant), ..query };
        let contents = self.store.contents(&query).await?;
        Ok(contents.iter().map(|one| Listed { number: one.number, created: one.created }).collect())
    }

    /// Returns a blob of the tenant's, if there is one of that number, once the audit log says who has it.
    ///
    /// # Errors
    /// When the tenant has stopped exporting, when it cannot be written down, or when the store cannot answer.
    pub async fn release(&self, number: u64) -> Result<Option<Released>, ExportRefusal> {
        let after = number.checked_sub(1);
        let Some(after) = after else { return Ok(None) };
        let query = ContentQuery { tenant: Some(self.tenant), after, size: 1, ..ContentQuery::default() };
        let found = self.store.contents(&query).await?.into_iter().find(|content| content.number == number);
        let Some(content) = found else { return Ok(None) };
        self.store.record(self.tenant, self.event(&content)).await?;
        self.still().await?; // It took time to write.
        Ok(Some(Released(content)))
    }

    fn event(&self, content: &Content) -> AuditEvent {
        let users: BTreeSet<UserNo> = content.records.iter().map(|record| record.user).collect();
        let event = AuditEvent::new(self.as_of, &self.principal, &self.action, AuditOutcome::Disclosed);
        let more_users = u32::try_from(users.len().saturating_sub(USERS_MAX)).unwrap_or(u32::MAX);
        AuditEvent { users: users.into_iter().take(USERS_MAX).collect(), more_users, ..event }
    }

    async fn still(&self) -> Result<(), ExportRefusal> {
        let exports = self.store.settings(self.tenant).await?.settings.alert_export;
        if exports { Ok(()) } else { Err(ExportRefusal::Off) }
    }
}

impl Released {
    /// Returns the blob.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.0
    }
}
