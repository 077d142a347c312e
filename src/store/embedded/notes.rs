//! What the floors above keep here, in their own words: subscriptions, and how far each delivery got.

use crate::domain::ids::TenantId;
use dashmap::DashMap;
use std::sync::Arc;

/// All notes, by tenant and name.
#[derive(Default)]
pub struct Notes(DashMap<(TenantId, String), Arc<str>>);

impl Notes {
    /// Returns a note.
    pub fn get(&self, tenant: TenantId, name: &str) -> Option<Arc<str>> {
        self.0.get(&(tenant, name.to_owned())).map(|text| Arc::clone(&text))
    }

    /// Puts a note in the place of the one before.
    pub fn put(&self, tenant: TenantId, name: &str, text: &str) {
        self.0.insert((tenant, name.to_owned()), text.into());
    }
}
