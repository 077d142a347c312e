//! What a tenant has decided: reads and changes its settings.

use crate::domain::settings::Settings;
use crate::gate::admission::{AuditUnavailable, Permit, Unavailable};
pub use crate::store::{ChangedSettings, VersionedSettings};
use crate::store::{Store, StoreError};
use std::sync::Arc;

/// How often a change is tried again when another one came first.
const TRIES: usize = 16;

/// Reads and changes settings.
pub struct Decisions {
    store: Arc<dyn Store>,
}

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// They are of another version than the caller read.
    #[error("the settings have changed")]
    EtagMismatch,
    /// The store cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The change cannot be written down. It was not made; but sharing that was to be turned off is off, in memory at
    /// least.
    #[error(transparent)]
    AuditUnavailable(#[from] AuditUnavailable),
}

impl Decisions {
    /// Returns the decisions in a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Reads a tenant's settings.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn get(&self, permit: &Permit) -> Result<VersionedSettings, Unavailable> {
        Ok(self.store.settings(permit.tenant()).await?)
    }

    /// Changes a tenant's settings by `change`, if they are of version `expected`; whatever they are when that is
    /// `None`. Returns once the change is durable and, when it turns sharing off, in force.
    ///
    /// # Errors
    /// When the version is another, or the store cannot answer.
    pub async fn change(
        &self,
        permit: &Permit,
        expected: Option<u64>,
        change: impl Fn(Settings) -> Settings,
    ) -> Result<ChangedSettings, ChangeError> {
        for _ in 0..TRIES {
            let now = self.get(permit).await?;
            if expected.is_some_and(|expected| expected != now.version) {
                break;
            }
            let next = change(now.settings.clone());
            let event = permit.change(now.settings.changes(&next));
            match self.store.change_settings(permit.tenant(), now.version, next, event).await {
                Err(StoreError::SettingsChanged) => {}
                Err(StoreError::AuditUnavailable(cause)) => return Err(AuditUnavailable(cause).into()),
                other => return Ok(other.map_err(Unavailable::from)?),
            }
        }
        Err(ChangeError::EtagMismatch)
    }
}
