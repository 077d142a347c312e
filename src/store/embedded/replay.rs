//! Rebuilds the books at start: from a checkpoint and what the log says behind it, or from the log alone.

use super::checkpoint;
use super::checkpoint::LeftOut;
use super::checkpoints::Checkpoints;
use super::error::OpenError;
use super::folder::Folder;
use super::index::Index;
use super::log;
use super::log::{Bucket, Extent, Log, Replay};
use super::notes::Notes;
use super::sequences::Payload;
use crate::domain::activity::Activity;
use crate::domain::content::Content;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use crate::store::book::change::{Change, read_activity};
use crate::store::book::codec::{Decoder, Malformed};
use crate::store::book::content;
use crate::store::book::ledger::Ledger;
use crate::store::book::person::Person;
use crate::store::book::switch::Switch;
use crate::store::book::tenant::Tenant;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::thread;

/// Opens the log of a folder, and returns what it comes to and its checkpoints. What the last one stands for is not read.
pub fn open(folder: &Folder, first_bytes: u64) -> Result<(Log, Rebuilt, Checkpoints), OpenError> {
    let path = folder.checkpoint()?;
    // Neither waits for the other: the log may have a journal to recover.
    let (opened, read) = thread::scope(|scope| {
        let read = scope.spawn(|| checkpoint::read(&path));
        (log::open(folder), read.join().unwrap_or(Err(LeftOut::Damaged)))
    });
    let opened = opened?;
    match read {
        Ok((known, mut rebuilt, bytes)) => {
            let log = Log::since(&known, opened, folder, &mut rebuilt)?;
            let is_old = log.extent().last_day_gone_since(&known).is_some();
            return Ok((log, rebuilt, Checkpoints::of(first_bytes, bytes, is_old)));
        }
        Err(LeftOut::Io(error)) if error.kind() == ErrorKind::NotFound => {}
        Err(why) => tracing::warn!(%why, "the checkpoint is left out and the whole log is read"),
    }
    let mut rebuilt = Rebuilt::default();
    let log = Log::since(&Extent::default(), opened, folder, &mut rebuilt)?;
    Ok((log, rebuilt, Checkpoints::of(first_bytes, 0, false)))
}

/// The books so far.
#[derive(Default)]
pub struct Rebuilt {
    ledgers: HashMap<TenantId, Ledger>,
    /// How often each switch has moved, and whether it is open.
    switches: HashMap<TenantId, (u64, bool)>,
    contents: Vec<Content>,
    /// The number of the last blob that was ever exported.
    last_content: u64,
}

impl Rebuilt {
    /// Returns the books and what readers see.
    pub fn finish(self, notes: Notes) -> (HashMap<TenantId, Ledger>, Arc<Index>) {
        let index = Arc::new(Index::with(notes));
        let Self { mut ledgers, switches, contents, last_content } = self;
        index.contents.put(contents);
        index.note_content(last_content);
        for (id, ledger) in &mut ledgers {
            let (moved, open) = switches.get(id).copied().unwrap_or((0, false));
            let tenant = Arc::new(Tenant::new(*id, Switch::at(moved, open)));
            ledger.move_to(Arc::clone(&tenant));
            ledger.show();
            index.add(tenant);
        }
        (ledgers, index)
    }

    fn ledger(&mut self, tenant: TenantId) -> &mut Ledger {
        let new = || Ledger::new(Arc::new(Tenant::new(tenant, Switch::at(0, false))));
        self.ledgers.entry(tenant).or_insert_with(new)
    }
}

impl Replay for Rebuilt {
    fn forget_before(&mut self, first: UtcDay) {
        for ledger in self.ledgers.values_mut() {
            ledger.expire_before(first);
        }
    }

    fn facts(&mut self, payload: &[u8]) -> Result<(), OpenError> {
        let mut from = Decoder::new(payload);
        let tenant = TenantId::new(from.uuid()?);
        while !from.is_empty() {
            let change = Change::read(&mut from)?;
            if let Change::Settings { settings, epoch } = &change {
                self.switches.insert(tenant, (*epoch, settings.settings.data_sharing));
            }
            if let Change::Published(number) = &change {
                self.last_content = self.last_content.max(*number);
            }
            self.ledger(tenant).apply(change)?;
        }
        Ok(())
    }

    fn bucket(
        &mut self,
        bucket: Bucket,
        payloads: &mut dyn Iterator<Item = Payload>,
    ) -> Result<u64, OpenError> {
        match bucket {
            Bucket::Activities(day) => self.activities(day, payloads),
            Bucket::Content(_) => {
                for payload in payloads {
                    self.contents.push(content::read(&payload?)?);
                }
                Ok(0)
            }
        }
    }
}

impl Rebuilt {
    /// Takes in people of a checkpoint, with the hashes of what each did.
    pub fn people(&mut self, tenant: TenantId, people: Vec<(Person, Vec<u32>)>) -> Result<(), Malformed> {
        let ledger = self.ledger(tenant);
        people.into_iter().try_for_each(|(person, ids)| ledger.bring_all(person, ids))
    }

    /// Collects a whole day first, so that each user's day is sorted once.
    fn activities(
        &mut self,
        day: UtcDay,
        payloads: &mut dyn Iterator<Item = Payload>,
    ) -> Result<u64, OpenError> {
        let mut done: HashMap<(TenantId, UserNo), Vec<Activity>> = HashMap::new();
        let mut count = 0;
        for payload in payloads {
            let payload = payload?;
            let mut from = Decoder::new(&payload);
            let tenant = TenantId::new(from.uuid()?);
            while !from.is_empty() {
                let (user, activity) = read_activity(&mut from, day)?;
                done.entry((tenant, user)).or_default().push(activity);
                count += 1;
            }
        }
        for ((tenant, user), activities) in done {
            self.ledger(tenant).add_activities(user, activities)?;
        }
        Ok(count)
    }
}
