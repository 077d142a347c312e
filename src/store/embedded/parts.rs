//! The records that a batch comes to.

use super::log::{Bucket, Part};
use crate::domain::activity::Activity;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use crate::store::book::change::{Change, write_activity};
use crate::store::book::codec::Encoder;
use crate::store::book::plan::Writing;
use std::collections::BTreeMap;

/// Writes what is taken down into records: one for facts, one for each day of activities.
pub struct Parts {
    tenant: TenantId,
    facts: Option<Encoder>,
    days: BTreeMap<UtcDay, (Encoder, u64)>,
}

impl Parts {
    /// Returns the records of a batch in which nothing has happened yet.
    pub fn new(tenant: TenantId) -> Self {
        Self { tenant, facts: None, days: BTreeMap::new() }
    }

    /// Returns the records, nothing when the batch changes nothing.
    pub fn finish(self) -> Vec<Part> {
        let facts = self.facts.map(|out| Part { bucket: None, activities: 0, payload: out.finish() });
        let days = self.days.into_iter().map(|(day, (out, activities))| Part {
            bucket: Some(Bucket::Activities(day)),
            activities,
            payload: out.finish(),
        });
        facts.into_iter().chain(days).collect()
    }
}

impl Writing for Parts {
    fn change(&mut self, change: &Change) {
        let tenant = self.tenant;
        change.write(self.facts.get_or_insert_with(|| begin(tenant)));
    }

    fn activity(&mut self, user: UserNo, activity: &Activity) {
        let tenant = self.tenant;
        let (out, count) = self.days.entry(activity.day()).or_insert_with(|| (begin(tenant), 0));
        write_activity(out, user, activity);
        *count += 1;
    }
}

/// Begins the payload of a record: whose it is.
fn begin(tenant: TenantId) -> Encoder {
    let mut out = Encoder::default();
    out.uuid(tenant.uuid());
    out
}
