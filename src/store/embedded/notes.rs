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

    /// Returns all notes, in order: whose, their names, and what they say.
    pub fn all(&self) -> Vec<(TenantId, String, String)> {
        let note = |of: dashmap::mapref::multiple::RefMulti<'_, (TenantId, String), Arc<str>>| {
            (of.key().0, of.key().1.clone(), of.value().to_string())
        };
        let mut all: Vec<_> = self.0.iter().map(note).collect();
        all.sort_unstable();
        all
    }

    /// Puts a note in the place of the one before.
    pub fn put(&self, tenant: TenantId, name: &str, text: &str) {
        self.0.insert((tenant, name.to_owned()), text.into());
    }
}
