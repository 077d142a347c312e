//! What is left of the log when a person is erased from it.

use super::log::{Bucket, Rewrite};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::store::book::change::{Change, read_activity, write_activity};
use crate::store::book::codec::{Decoder, Encoder, Malformed};
use crate::store::book::content;
use crate::store::book::erasure::Erasure;

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
