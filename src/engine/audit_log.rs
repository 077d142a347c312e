//! Who asked for what: reads the audit log for those who may.

pub use crate::domain::audit::{AuditLine, AuditQuery, AuditVerdict, ChainHead};
use crate::domain::user::UserNo;
use crate::gate::admission::{AuditGrant, AuditUnavailable, Unavailable};
pub use crate::store::{AuditCursor, AuditPage, Named};
use crate::store::{Store, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads the audit log.
pub struct AuditLog {
    store: Arc<dyn Store>,
}

impl AuditLog {
    /// Returns the log in a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Reads lines that are wanted, from behind a cursor: at most `size`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn page(
        &self,
        grant: &AuditGrant,
        query: AuditQuery,
        after: Option<AuditCursor>,
        size: usize,
    ) -> Result<AuditPage, AuditUnavailable> {
        self.store.audit_page(grant.tenant(), query, after, size).await.map_err(unavailable)
    }

    /// Returns who the users in some lines are now, by their numbers; nobody for those who were erased.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn named(
        &self,
        grant: &AuditGrant,
        lines: &[AuditLine],
    ) -> Result<Vec<(UserNo, Named)>, Unavailable> {
        let users: BTreeSet<UserNo> = lines.iter().flat_map(|line| &line.event.users).copied().collect();
        let users: Vec<UserNo> = users.into_iter().collect();
        let named = self.store.named(grant.tenant(), &users).await?;
        Ok(users.into_iter().zip(named).filter_map(|(user, named)| Some((user, named?))).collect())
    }

    /// Checks the chain, and that it holds `kept`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn verify(
        &self,
        grant: &AuditGrant,
        kept: Option<ChainHead>,
    ) -> Result<AuditVerdict, AuditUnavailable> {
        self.store.verify_audit(grant.tenant(), kept).await.map_err(unavailable)
    }
}

fn unavailable(error: StoreError) -> AuditUnavailable {
    match error {
        StoreError::AuditUnavailable(cause) => AuditUnavailable(cause),
        other => AuditUnavailable(other.to_string()),
    }
}
