//! All exported blobs that are kept, by number.

use crate::domain::content::{Content, ContentQuery};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use crate::store::book::content::without;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

/// All blobs that are kept.
#[derive(Default)]
pub struct Contents(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    all: BTreeMap<u64, Arc<Content>>,
    of_tenants: BTreeMap<TenantId, BTreeMap<u64, Arc<Content>>>,
}

impl Contents {
    /// Puts blobs in, all at once.
    pub fn put(&self, contents: impl IntoIterator<Item = Content>) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        contents.into_iter().map(Arc::new).for_each(|content| kept.put(content));
    }

    /// Returns those that are wanted.
    pub fn wanted(&self, query: &ContentQuery) -> Vec<Arc<Content>> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let from = match query.tenant {
            None => Some(&kept.all),
            Some(tenant) => kept.of_tenants.get(&tenant),
        };
        let Some(behind) = query.after.checked_add(1) else { return Vec::new() };
        let all = from.into_iter().flat_map(|all| all.range(behind..));
        let wanted = all.map(|(_, content)| content).filter(|content| query.wants(content));
        wanted.take(query.size).cloned().collect()
    }

    /// Returns when the last blob of a tenant was made, as far as it is kept.
    pub fn created(&self, tenant: TenantId) -> Option<DateTime<Utc>> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.of_tenants.get(&tenant)?.last_key_value().map(|(_, content)| content.created)
    }

    /// Forgets those of days before this one, and returns how many.
    pub fn expire_before(&self, first: UtcDay) -> u64 {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = kept.all.len();
        kept.all.retain(|_, content| content.day() >= first);
        for all in kept.of_tenants.values_mut() {
            all.retain(|_, content| content.day() >= first);
        }
        (before - kept.all.len()) as u64
    }

    /// Takes people of a tenant out of everything.
    pub fn forget(&self, tenant: TenantId, users: &BTreeSet<UserNo>) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> =
            kept.of_tenants.get(&tenant).into_iter().flat_map(BTreeMap::values).cloned().collect();
        for content in all {
            kept.put(Arc::new(without((*content).clone(), users)));
        }
    }
}

impl Kept {
    fn put(&mut self, content: Arc<Content>) {
        self.of_tenants.entry(content.tenant).or_default().insert(content.number, Arc::clone(&content));
        self.all.insert(content.number, content);
    }
}
