//! What is left of the log when a person is erased from it.

use super::change::{Change, read_activity, write_activity};
use super::codec::{Decoder, Encoder, Malformed};
use super::content;
use super::log::{Bucket, Rewrite};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::domain::user::{IdentityKey, UserNo};
use std::collections::BTreeSet;

/// People of one tenant who are to be forgotten.
#[derive(Default)]
pub struct Erasure {
    /// Every number that they ever had.
    pub numbers: BTreeSet<UserNo>,
    /// Every key that they have.
    pub keys: BTreeSet<IdentityKey>,
}

impl Erasure {
    /// Returns what is kept of a change, nothing when it is about them alone.
    fn kept(&self, change: Change) -> Option<Change> {
        let is_theirs = match &change {
            Change::User(user) => self.numbers.contains(&user.no),
            Change::Absorbed { from, into } => self.numbers.contains(from) || self.numbers.contains(into),
            Change::Membership { user, .. }
            | Change::Trigger { user, .. }
            | Change::Alert { user, .. }
            | Change::Decided { user, .. }
            | Change::Pseudonym { user, .. } => self.numbers.contains(user),
            Change::Policy(_) | Change::Settings { .. } | Change::Erased(_) | Change::Published(_) => false,
        };
        match change {
            _ if is_theirs => None,
            Change::Policy(mut policy) => {
                policy.priority_users.retain(|key| !self.keys.contains(key));
                Some(Change::Policy(policy))
            }
            other => Some(other),
        }
    }
}

/// Leaves people of one tenant out of a log.
pub struct Without<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// Who.
    pub erasure: &'a Erasure,
}

impl Without<'_> {
    /// Begins what is kept of a record, or says that the record is another tenant's.
    fn begin<'b>(&self, payload: &'b [u8]) -> Result<Option<(Decoder<'b>, Encoder)>, Malformed> {
        let mut from = Decoder::new(payload);
        let tenant = from.uuid()?;
        let mut out = Encoder::default();
        out.uuid(tenant);
        Ok((TenantId::new(tenant) == self.tenant).then_some((from, out)))
    }
}

impl Rewrite for Without<'_> {
    fn facts(&self, payload: &[u8]) -> Result<Vec<u8>, Malformed> {
        let Some((mut from, mut out)) = self.begin(payload)? else { return Ok(payload.to_vec()) };
        while !from.is_empty() {
            if let Some(kept) = self.erasure.kept(Change::read(&mut from)?) {
                kept.write(&mut out);
            }
        }
        Ok(out.finish())
    }

    fn bucket(&self, bucket: Bucket, payload: &[u8]) -> Result<(Vec<u8>, u64), Malformed> {
        match bucket {
            Bucket::Activities(day) => self.activities(day, payload),
            Bucket::Content(_) => self.content(payload).map(|kept| (kept, 0)),
        }
    }
}

impl Without<'_> {
    fn activities(&self, day: UtcDay, payload: &[u8]) -> Result<(Vec<u8>, u64), Malformed> {
        let is_other = self.begin(payload)?.is_none();
        let mut from = Decoder::new(payload);
        let mut out = Encoder::default();
        out.uuid(from.uuid()?);
        let mut kept = 0;
        while !from.is_empty() {
            let (user, activity) = read_activity(&mut from, day)?;
            if is_other || !self.erasure.numbers.contains(&user) {
                write_activity(&mut out, user, &activity);
                kept += 1;
            }
        }
        Ok((out.finish(), kept))
    }

    fn content(&self, payload: &[u8]) -> Result<Vec<u8>, Malformed> {
        let content = content::read(payload)?;
        let is_theirs = content.tenant == self.tenant;
        Ok(if is_theirs {
            content::write(&content::without(content, &self.erasure.numbers))
        } else {
            payload.to_vec()
        })
    }
}
