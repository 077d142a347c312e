//! The log on disk: one partition for each day of activity and for each day of what was exported, one for all other
//! facts, one for notes.
//!
//! Every record has the next sequence number, whatever its partition, so that a missing one is noticed: the records
//! that are there and those of dropped days add up to the last number.

use super::error::OpenError;
use super::folder::{Folder, Head};
use super::notes::Notes;
use super::record;
use super::sequences::{Payload, Records, Sequences, payloads, unpanicked};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::store::book::codec::{Decoder, Encoder, Malformed};
use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The partition of facts that are no activities.
const FACTS: &str = "facts";
/// The partition of the log's own notes.
const NOTES: &str = "notes";
/// The note that holds the key of page tokens.
const TOKEN_KEY: &str = "token_key";
/// The note that says how far a move into this store came.
const REACHED: &str = "reached";
/// Begins the notes about dropped buckets. The name of the bucket's partition follows.
const DROPPED: &str = "dropped/";
/// Begins the notes that are kept for the floors above. The tenant and the note's name follow.
const KEPT: &str = "kept/";
/// Memory for blocks that were read: little, for the log is read at start only.
const CACHE_BYTES: u64 = 8 << 20;
/// Memory of one partition's latest records before they go to a table.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// The journal's size at which old partitions are written to tables. Bounds the time to open.
const JOURNAL_BYTES_MAX: u64 = 256 << 20;

/// The log.
pub struct Log {
    database: Database,
    facts: Keyspace,
    notes: Keyspace,
    buckets: BTreeMap<Bucket, Held>,
    head: Head,
    /// The number of the last record.
    last: u64,
    /// The bytes of payloads that are in no checkpoint.
    behind: u64,
}

/// How far a log reached at some time, and what it held then.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// The number of the last record.
    pub last: u64,
    /// The records and the activities of each bucket that was there, by the name of its partition.
    pub buckets: BTreeMap<String, (u64, u64)>,
}

impl Extent {
    /// Returns the last day of activities that was dropped since it was another one.
    pub fn last_day_gone_since(&self, before: &Self) -> Option<UtcDay> {
        let gone = before.buckets.keys().filter(|name| !self.buckets.contains_key(*name));
        let day = |name: &String| match Bucket::named(name)? {
            Bucket::Activities(day) => Some(day),
            Bucket::Content(_) => None,
        };
        gone.filter_map(day).max()
    }
}

/// What is dropped as a whole, once it is old.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Bucket {
    /// The activities of a day.
    Activities(UtcDay),
    /// What was exported on a day.
    Content(UtcDay),
}

impl Bucket {
    /// Returns a bucket of its kind before all others.
    fn least(self) -> Self {
        match self {
            Self::Activities(_) => Self::Activities(UtcDay::MIN),
            Self::Content(_) => Self::Content(UtcDay::MIN),
        }
    }

    /// Returns the name of the bucket's partition. That of a new one holds the number of its first record, so that no
    /// name ever comes again.
    fn name(self, first: u64) -> String {
        match self {
            Self::Activities(day) => format!("day.{}.{first}", day.number()),
            Self::Content(day) => format!("content.{}.{first}", day.number()),
        }
    }

    fn named(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let (kind, day, first) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        first.parse::<u64>().ok()?;
        let day = UtcDay::from_number(day);
        match kind {
            "day" => Some(Self::Activities(day)),
            "content" => Some(Self::Content(day)),
            _ => None,
        }
        .filter(|_| parts.next().is_none())
    }
}

/// The partition of a bucket.
#[derive(Clone)]
struct Held {
    partition: Keyspace,
    records: u64,
    activities: u64,
}

/// What goes into one record.
#[derive(Debug)]
pub struct Part {
    /// Where it goes, or nothing for the facts that stay.
    pub bucket: Option<Bucket>,
    /// How many activities it holds.
    pub activities: u64,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Takes records in at start.
pub trait Replay {
    /// Takes in the changes of a record.
    fn facts(&mut self, payload: &[u8]) -> Result<(), OpenError>;
    /// Forgets activities of days before this one: they were dropped since they were taken in.
    fn forget_before(&mut self, first: UtcDay);
    /// Takes in a bucket's records and returns how many activities they hold.
    fn bucket(
        &mut self,
        bucket: Bucket,
        payloads: &mut dyn Iterator<Item = Payload>,
    ) -> Result<u64, OpenError>;
}

/// What is kept of a payload.
type Rewritten = Result<Vec<u8>, Malformed>;

/// Says what becomes of records when the log is written anew.
pub trait Rewrite {
    /// Returns what is kept of a record of facts.
    fn facts(&self, payload: &[u8]) -> Result<Vec<u8>, Malformed>;
    /// Returns what is kept of a bucket's record, and how many activities that are.
    fn bucket(&self, bucket: Bucket, payload: &[u8]) -> Result<(Vec<u8>, u64), Malformed>;
}

/// The log could not be written anew. It is what it was, or is not trusted any more.
#[derive(Debug)]
pub struct RewriteFailed(pub String);

impl<E: Into<OpenError>> From<E> for RewriteFailed {
    fn from(error: E) -> Self {
        Self(error.into().to_string())
    }
}

/// A write failed. What was to be written may be on disk or not.
#[derive(Debug)]
pub struct WriteFailed(pub String);

impl From<fjall::Error> for WriteFailed {
    fn from(error: fjall::Error) -> Self {
        Self(match error {
            fjall::Error::Io(error) => error.to_string(),
            _ => "the log refuses to write".to_owned(),
        })
    }
}

impl From<io::Error> for WriteFailed {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl Log {
    /// Opens the log of a folder and replays it: first the facts, then the days, oldest first.
    pub fn open(folder: &Folder, replay: &mut impl Replay) -> Result<Self, OpenError> {
        Self::since(&Extent::default(), open(folder)?, folder, replay)
    }

    /// Replays what came since the log reached `known`, which has been taken in; but all of what was exported, which nobody
    /// has taken in. What came before is not looked at: see [`Log::records`].
    pub fn since(
        known: &Extent,
        Opened { database, head }: Opened,
        folder: &Folder,
        replay: &mut impl Replay,
    ) -> Result<Self, OpenError> {
        unpanicked(|| {
            let facts = database.keyspace(FACTS, options)?;
            let notes = database.keyspace(NOTES, options)?;
            let mut log = Self { database, facts, notes, buckets: BTreeMap::new(), head, last: 0, behind: 0 };
            log.read(known, replay)?;
            if log.head.is_new() {
                log.head.begin().map_err(OpenError::Io)?;
            }
            folder.sync().map_err(OpenError::Io)?;
            Ok(log)
        })
    }

    /// Returns the key of page tokens. It is made when the log is new.
    pub fn token_key(&self) -> Result<[u8; 32], OpenError> {
        if let Some(note) = self.notes.get(TOKEN_KEY)? {
            return read_note(&note)?.try_into().map_err(|_| OpenError::damaged("the token key"));
        }
        if self.last > 0 {
            return Err(OpenError::damaged("the token key is missing"));
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| OpenError::Io(io::Error::other(error)))?;
        self.set_token_key(&key)?;
        Ok(key)
    }

    /// Takes over the key of page tokens of another store.
    pub fn set_token_key(&self, key: &[u8; 32]) -> Result<(), OpenError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.notes, TOKEN_KEY, note(key));
        Ok(batch.commit()?)
    }

    /// Says whether nothing was ever recorded.
    pub fn is_empty(&self) -> bool {
        self.last == 0
    }

    /// Returns how far a move into this store came, in its own words.
    pub fn reached(&self) -> Result<Option<String>, OpenError> {
        let Some(kept) = self.notes.get(REACHED)? else { return Ok(None) };
        let text = std::str::from_utf8(read_note(&kept)?).map_err(|_| OpenError::damaged("a note"))?;
        Ok(Some(text.to_owned()))
    }

    /// Returns what is kept for the floors above.
    pub fn kept(&self) -> Result<Notes, OpenError> {
        let (notes, damaged) = (Notes::default(), || OpenError::damaged("a note"));
        for guard in self.notes.prefix(KEPT) {
            let (key, value) = guard.into_inner()?;
            let key = std::str::from_utf8(&key[KEPT.len()..]).map_err(|_| damaged())?;
            let (tenant, name) = key.split_once('/').ok_or_else(damaged)?;
            let tenant = tenant.parse().map(TenantId::new).map_err(|_| damaged())?;
            let text = std::str::from_utf8(read_note(&value)?).map_err(|_| damaged())?;
            notes.put(tenant, name, text);
        }
        Ok(notes)
    }

    /// Makes a note of the floors above durable, in the place of the one before.
    pub fn keep(&self, tenant: TenantId, name: &str, text: &str) -> Result<(), WriteFailed> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.notes, format!("{KEPT}{tenant}/{name}"), note(text.as_bytes()));
        Ok(batch.commit()?)
    }

    /// Makes records durable, all or none, in this order.
    pub fn write(&mut self, parts: &[Part]) -> Result<(), WriteFailed> {
        if parts.is_empty() { Ok(()) } else { self.write_noted(parts, None) }
    }

    /// Does so together with a note of how far a move into this store came with them.
    pub fn write_noted(&mut self, parts: &[Part], reached: Option<&str>) -> Result<(), WriteFailed> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        if let Some(reached) = reached {
            batch.insert(&self.notes, REACHED, note(reached.as_bytes()));
        }
        for part in parts {
            self.last += 1;
            self.behind += part.payload.len() as u64;
            let partition = match part.bucket {
                None => self.facts.clone(),
                Some(bucket) => self.count_in(bucket, part.activities)?,
            };
            batch.insert(&partition, record::key(self.last), record::seal(self.last, &part.payload));
        }
        batch.commit()?;
        Ok(self.head.set(self.last)?)
    }

    /// Drops the buckets of this one's kind that are of days before its own, and says whether there were any. A note about what goes is durable before
    /// anything goes: a crash in between is put right at the next start.
    pub fn drop_before(&mut self, first: Bucket) -> Result<bool, WriteFailed> {
        let old: Vec<Bucket> = self.buckets.range(first.least()..first).map(|(bucket, _)| *bucket).collect();
        if old.is_empty() {
            return Ok(false);
        }
        self.note_dropped(first)?;
        for bucket in old {
            if let Some(held) = self.buckets.remove(&bucket) {
                self.database.delete_keyspace(held.partition)?;
            }
        }
        Ok(true)
    }

    /// Writes the whole log anew as `rewrite` says, with one record more at its end, and goes on in that one. The old
    /// one goes from the disk with all its files: nothing else takes a record out of a journal for sure.
    ///
    /// Takes a time that grows with the log. Until the new log is durable and in its place the old one is the log,
    /// whatever happens.
    pub fn write_anew(
        &mut self,
        folder: &Folder,
        rewrite: &dyn Rewrite,
        last: &[u8],
    ) -> Result<(), RewriteFailed> {
        let mut next = Self::like(self, &folder.next_log()?)?;
        let (_, bytes) = copy_records(&self.facts, &next.facts, &mut |payload| rewrite.facts(payload))?;
        next.behind = bytes;
        copy_values(&self.notes, &next.notes)?;
        for (bucket, old) in &self.buckets {
            let partition = next.database.keyspace(old.partition.name(), options)?;
            let mut activities = 0;
            let (records, bytes) = copy_records(&old.partition, &partition, &mut |payload| {
                let (kept, count) = rewrite.bucket(*bucket, payload)?;
                activities += count;
                Ok(kept)
            })?;
            next.behind += bytes;
            next.buckets.insert(*bucket, Held { partition, records, activities });
        }
        next.last += 1;
        next.facts.insert(record::key(next.last), record::seal(next.last, last))?;
        next.database.persist(PersistMode::SyncAll)?;
        folder.go_on()?;
        *self = next;
        self.head.set(self.last).map_err(fjall::Error::Io)?;
        folder.log()?;
        Ok(())
    }

    /// Makes an empty log in a folder that goes on where another one is.
    fn like(other: &Self, path: &Path) -> Result<Self, RewriteFailed> {
        let database = database(path)?;
        let facts = database.keyspace(FACTS, options)?;
        let notes = database.keyspace(NOTES, options)?;
        let head = other.head.again().map_err(fjall::Error::Io)?;
        Ok(Self { database, facts, notes, buckets: BTreeMap::new(), head, last: other.last, behind: 0 })
    }

    /// Makes everything durable that is not yet.
    pub fn close(&self) -> Result<(), WriteFailed> {
        self.database.persist(PersistMode::SyncAll)?;
        Ok(self.head.sync()?)
    }

    fn note_dropped(&self, first: Bucket) -> Result<(), WriteFailed> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for held in self.buckets.range(first.least()..first).map(|(_, held)| held) {
            let mut out = Encoder::default();
            for number in [held.records, held.activities, self.last] {
                out.number(number);
            }
            let name = format!("{DROPPED}{}", &**held.partition.name());
            batch.insert(&self.notes, name, note(&out.finish()));
        }
        Ok(batch.commit()?)
    }

    /// Counts a record into its bucket and returns the bucket's partition.
    fn count_in(&mut self, bucket: Bucket, activities: u64) -> Result<Keyspace, WriteFailed> {
        if !self.buckets.contains_key(&bucket) {
            let partition = self.database.keyspace(&bucket.name(self.last), options)?;
            self.buckets.insert(bucket, Held { partition, records: 0, activities: 0 });
        }
        let Some(held) = self.buckets.get_mut(&bucket) else {
            return Err(WriteFailed("a bucket has no partition".to_owned()));
        };
        held.records += 1;
        held.activities += activities;
        Ok(held.partition.clone())
    }

    /// Returns how far it reaches.
    pub fn extent(&self) -> Extent {
        let of = |held: &Held| (held.partition.name().to_string(), (held.records, held.activities));
        Extent { last: self.last, buckets: self.buckets.values().map(of).collect() }
    }

    /// Returns how many bytes of payloads are in no checkpoint.
    pub fn behind(&self) -> u64 {
        self.behind
    }

    /// Notes that a checkpoint holds so many bytes of payloads more.
    pub fn caught_up(&mut self, bytes: u64) {
        self.behind = self.behind.saturating_sub(bytes);
    }

    /// Returns all records that are there, to be looked at while the log goes on.
    pub fn records(&self) -> Result<Records, OpenError> {
        let buckets = self.buckets.values().map(|held| held.partition.clone());
        let partitions = buckets.chain([self.facts.clone()]).collect();
        Ok(Records { partitions, dropped: self.dropped(&Extent::default())?.records, last: self.last })
    }

    fn read(&mut self, known: &Extent, replay: &mut impl Replay) -> Result<(), OpenError> {
        self.finish_dropping()?;
        self.find_buckets()?;
        if let Some(day) = self.extent().last_day_gone_since(known) {
            replay.forget_before(day.plus(1));
        }
        let dropped = self.dropped(known)?;
        let mut seen = Sequences::behind(known.last);
        for payload in payloads(&self.facts, known.last, &mut seen) {
            replay.facts(&payload?)?;
        }
        for (bucket, held) in &mut self.buckets {
            let (records, activities) =
                known.buckets.get(&**held.partition.name()).copied().unwrap_or_default();
            let after = match bucket {
                Bucket::Activities(_) => known.last,
                Bucket::Content(_) => 0,
            };
            let before = seen.count;
            let new = replay.bucket(*bucket, &mut payloads(&held.partition, after, &mut seen))?;
            (held.records, held.activities) = (records + seen.count - before, activities + new);
        }
        self.behind = seen.bytes;
        self.last = seen.last.max(dropped.last).max(self.last_there()?);
        seen.check(dropped.records, self.last)?;
        if self.last < self.head.sequence() || (self.head.is_new() && self.last > 0) {
            return Err(OpenError::damaged(
                "the log ends before its last acknowledged record, or HEAD is missing",
            ));
        }
        Ok(())
    }

    /// Returns the number of the last record that is there.
    fn last_there(&self) -> Result<u64, OpenError> {
        let partitions = self.buckets.values().map(|held| &held.partition).chain([&self.facts]);
        let mut last = 0;
        for guard in partitions.filter_map(Keyspace::last_key_value) {
            let key = guard.key()?;
            let key = key.first_chunk().ok_or_else(|| OpenError::damaged("a record's key"))?;
            last = last.max(u64::from_be_bytes(*key));
        }
        Ok(last)
    }

    /// Adds up what was dropped of what came since the log reached `known`.
    fn dropped(&self, known: &Extent) -> Result<Dropped, OpenError> {
        let mut total = Dropped::default();
        for guard in self.notes.prefix(DROPPED) {
            let (key, value) = guard.into_inner()?;
            let mut from = Decoder::new(read_note(&value)?);
            let (records, _activities, last) = (from.number()?, from.number()?, from.number()?);
            let known_records = known.buckets.get(dropped_name(&key)?).map_or(0, |(records, _)| *records);
            if last > known.last {
                total.records += records.saturating_sub(known_records);
            }
            total.last = total.last.max(last);
        }
        Ok(total)
    }

    /// Drops what a crash left behind.
    fn finish_dropping(&self) -> Result<(), OpenError> {
        for guard in self.notes.prefix(DROPPED) {
            let key = guard.key()?;
            let name = dropped_name(&key)?;
            if self.database.keyspace_exists(name) {
                let left = self.database.keyspace(name, options)?;
                self.database.delete_keyspace(left)?;
            }
        }
        Ok(())
    }

    fn find_buckets(&mut self) -> Result<(), OpenError> {
        for name in self.database.list_keyspace_names() {
            if matches!(&*name, FACTS | NOTES) {
                continue;
            }
            let bucket = Bucket::named(&name).ok_or_else(|| OpenError::damaged("an unknown partition"))?;
            let partition = self.database.keyspace(&name, options)?;
            if self.buckets.insert(bucket, Held { partition, records: 0, activities: 0 }).is_some() {
                return Err(OpenError::damaged("a bucket has two partitions"));
            }
        }
        Ok(())
    }
}

/// A log of which nothing was read.
pub struct Opened {
    /// What it is kept in.
    pub database: Database,
    head: Head,
}

/// Opens the log of a folder and reads nothing.
pub fn open(folder: &Folder) -> Result<Opened, OpenError> {
    unpanicked(|| Ok(Opened { head: folder.head()?, database: database(&folder.log()?)? }))
}

/// What dropped buckets held.
#[derive(Default)]
struct Dropped {
    records: u64,
    last: u64,
}

/// Returns the name of the partition of which a note says that it was dropped.
fn dropped_name(key: &[u8]) -> Result<&str, OpenError> {
    std::str::from_utf8(&key[DROPPED.len()..]).map_err(|_| OpenError::damaged("a note"))
}

/// Copies records to another log as `rewrite` says, and returns how many, and the bytes of their payloads. They are not durable yet.
fn copy_records(
    from: &Keyspace,
    to: &Keyspace,
    rewrite: &mut dyn FnMut(&[u8]) -> Rewritten,
) -> Result<(u64, u64), RewriteFailed> {
    let (mut records, mut bytes) = (0, 0);
    for guard in from.iter() {
        let (key, value) = guard.into_inner()?;
        let (sequence, payload) = record::unseal(&key, &value)?;
        let kept = rewrite(payload)?;
        to.insert(record::key(sequence), record::seal(sequence, &kept))?;
        (records, bytes) = (records + 1, bytes + kept.len() as u64);
    }
    Ok((records, bytes))
}

fn copy_values(from: &Keyspace, to: &Keyspace) -> Result<(), RewriteFailed> {
    for guard in from.iter() {
        let (key, value) = guard.into_inner()?;
        to.insert(key, value)?;
    }
    Ok(())
}

fn database(path: &Path) -> fjall::Result<Database> {
    Database::builder(path)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .worker_threads(2)
        .open()
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
}

/// Returns a note with its checksum.
fn note(content: &[u8]) -> Vec<u8> {
    [content, &crc32fast::hash(content).to_le_bytes()].concat()
}

fn read_note(bytes: &[u8]) -> Result<&[u8], OpenError> {
    let (content, sum) = bytes.split_last_chunk::<4>().ok_or_else(|| OpenError::damaged("a note"))?;
    if *sum == crc32fast::hash(content).to_le_bytes() {
        Ok(content)
    } else {
        Err(OpenError::damaged("a note's checksum does not match"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what is replayed. A payload holds one byte for each of its activities.
    #[derive(Default)]
    struct Counted {
        facts: u64,
        activities: u64,
    }

    impl Replay for Counted {
        fn facts(&mut self, _: &[u8]) -> Result<(), OpenError> {
            self.facts += 1;
            Ok(())
        }

        fn forget_before(&mut self, _: UtcDay) {}

        fn bucket(
            &mut self,
            _: Bucket,
            payloads: &mut dyn Iterator<Item = Payload>,
        ) -> Result<u64, OpenError> {
            let mut count = 0;
            for payload in payloads {
                count += payload?.len() as u64;
            }
            self.activities += count;
            Ok(count)
        }
    }

    fn open(path: &std::path::Path) -> (Log, Counted, Folder) {
        let (folder, mut counted) = (Folder::open(path).unwrap(), Counted::default());
        (Log::open(&folder, &mut counted).unwrap(), counted, folder)
    }

    fn bucket(day: i32) -> Bucket {
        Bucket::Activities(UtcDay::from_number(day))
    }

    fn part(day: Option<i32>, activities: u64) -> Part {
        let payload = vec![7; usize::try_from(activities).unwrap()];
        Part { bucket: day.map(bucket), activities, payload }
    }

    #[test]
    fn a_crash_between_the_note_and_the_drop_is_put_right_at_the_next_start() {
        let at = tempfile::tempdir().unwrap();
        let (mut log, _, folder) = open(at.path());
        log.token_key().unwrap();
        log.write(&[part(None, 0), part(Some(-1), 2), part(Some(3), 5)]).unwrap();
        log.note_dropped(bucket(3)).unwrap();
        drop((log, folder));

        let (mut log, counted, folder) = open(at.path());
        assert_eq!((counted.facts, counted.activities), (1, 5));
        // The day begins anew, under another name.
        log.write(&[part(Some(-1), 1)]).unwrap();
        drop((log, folder));
        let (mut log, counted, folder) = open(at.path());
        assert_eq!(counted.activities, 6);
        log.drop_before(bucket(9)).unwrap();
        drop((log, folder));
        let (log, counted, _folder) = open(at.path());
        assert_eq!((counted.facts, counted.activities, log.last), (1, 0, 4));
    }

    #[test]
    fn a_power_cut_before_head_reached_the_disk_for_the_first_time_is_no_damage() {
        let at = tempfile::tempdir().unwrap();
        let (mut log, _, folder) = open(at.path());
        log.token_key().unwrap();
        let head = at.path().join("HEAD");
        let synced = std::fs::read(&head).unwrap();
        log.write(&[part(Some(3), 1)]).unwrap();
        drop((log, folder));
        std::fs::write(&head, synced).unwrap();
        let (log, counted, folder) = open(at.path());
        assert_eq!((counted.activities, log.last), (1, 1));
        drop((log, folder));
        // A HEAD that is not there at all is another matter, however often one looks.
        std::fs::remove_file(&head).unwrap();
        for _ in 0..2 {
            let folder = Folder::open(at.path()).unwrap();
            let opened = Log::open(&folder, &mut Counted::default());
            assert!(matches!(opened, Err(OpenError::Damaged(_))));
        }
    }

    #[test]
    fn a_partition_that_a_crash_left_empty_is_used() {
        let at = tempfile::tempdir().unwrap();
        let (mut log, _, folder) = open(at.path());
        log.token_key().unwrap();
        log.count_in(bucket(3), 1).unwrap();
        drop((log, folder));
        let (mut log, _, folder) = open(at.path());
        log.write(&[part(Some(3), 1)]).unwrap();
        drop((log, folder));
        assert_eq!(open(at.path()).1.activities, 1);
    }

    #[test]
    fn records_are_read_back_from_tables_and_a_flipped_byte_there_is_damage() {
        let at = tempfile::tempdir().unwrap();
        let (mut log, _, folder) = open(at.path());
        log.token_key().unwrap();
        log.write(&[part(Some(3), 500)]).unwrap();
        let day = log.buckets[&bucket(3)].partition.clone();
        day.rotate_memtable_and_wait().unwrap();
        let tables = day.path().join("tables");
        drop((log, folder, day));
        assert_eq!(open(at.path()).1.activities, 500);

        let table = std::fs::read_dir(tables).unwrap().next().unwrap().unwrap().path();
        let whole = std::fs::read(&table).unwrap();
        let mut damaged = 0;
        for byte in (0..whole.len()).step_by(17) {
            let mut flipped = whole.clone();
            flipped[byte] ^= 0x15;
            std::fs::write(&table, flipped).unwrap();
            let (folder, mut counted) = (Folder::open(at.path()).unwrap(), Counted::default());
            match Log::open(&folder, &mut counted) {
                Ok(_) => assert_eq!(counted.activities, 500, "flipped at {byte}"),
                Err(OpenError::Damaged(_) | OpenError::UnknownVersion(_)) => damaged += 1,
                Err(error) => panic!("flipped at {byte}: {error}"),
            }
        }
        assert!(damaged > 0);
    }
}
