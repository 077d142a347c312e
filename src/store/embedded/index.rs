//! All tenants in memory, as readers see them.

use super::contents::Contents;
use super::notes::Notes;
use crate::domain::ids::TenantId;
use crate::store::book::switch::Switch;
use crate::store::book::tenant::Tenant;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All tenants.
#[derive(Default)]
pub struct Index {
    tenants: DashMap<TenantId, Arc<Tenant>>,
    /// What was exported of all of them.
    pub contents: Contents,
    /// The number of the last blob that was ever exported.
    last_content: AtomicU64,
    /// What floors above keep.
    pub notes: Notes,
}

impl Index {
    /// Returns an index of no tenant, with notes.
    pub fn with(notes: Notes) -> Self {
        Self { notes, ..Self::default() }
    }

    /// Returns a tenant if anything was ever recorded for it.
    pub fn get(&self, tenant: TenantId) -> Option<Arc<Tenant>> {
        self.tenants.get(&tenant).map(|tenant| Arc::clone(&tenant))
    }

    /// Returns a tenant, new if need be.
    pub fn get_or_add(&self, tenant: TenantId) -> Arc<Tenant> {
        Arc::clone(
            &self
                .tenants
                .entry(tenant)
                .or_insert_with(|| Arc::new(Tenant::new(tenant, Switch::at(0, false)))),
        )
    }

    /// Puts a tenant in at start.
    pub fn add(&self, tenant: Arc<Tenant>) {
        self.tenants.insert(tenant.id, tenant);
    }

    /// Returns the number of the last blob that was ever exported.
    pub fn last_content(&self) -> u64 {
        self.last_content.load(Ordering::SeqCst)
    }

    /// Notes the number of a blob that was exported.
    pub fn note_content(&self, number: u64) {
        self.last_content.fetch_max(number, Ordering::SeqCst);
    }
}
