//! A file that holds what a log comes to, up to one of its records, so that a start need not replay all of it.
//!
//! It is a copy of what is in memory, and no more than that: the log is the truth, and whoever has doubts about the file
//! leaves it out. So a file that is damaged, cut off, or of a build that keeps things in another way is no error.
//!
//! | | |
//! |---|---|
//! | [`MAGIC`], and a checksum of how activities are kept ([`Activities::layout`]) | |
//! | block: extent | how far the log reached |
//! | blocks: facts | the settings and policies of each tenant, and what is due: payloads as in the log |
//! | blocks: people | a tenant's UUID, then people with what they did |
//! | block: end | how many people there are |
//!
//! A block is its kind (1 byte), the length of its payload (4), a checksum of all of it (4), and the payload.

use super::folder::place;
use super::log::{Extent, Replay};
use super::replay::Rebuilt;
use crate::domain::activities::Activities;
use crate::domain::ids::TenantId;
use crate::store::book::change::Change;
use crate::store::book::codec::{Decoder, Encoder, Malformed};
use crate::store::book::doers;
use crate::store::book::image::{Image, changes};
use crate::store::book::person::{Person, read_person, write_person};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

const MAGIC: &[u8] = b"riskshare checkpoint 1\n";
/// A block of people ends behind the one with whom it gets so long.
const BLOCK_BYTES: usize = 1 << 20;
/// A block that says it is longer is none. One person may have this much; there is no bound but memory.
const BLOCK_BYTES_MAX: u32 = 1 << 30;
/// So many blocks wait to be taken apart, and so many to be taken in.
const WAITING: usize = 8;

const EXTENT: u8 = 1;
const FACTS: u8 = 2;
const PEOPLE: u8 = 3;
const END: u8 = 4;

/// What a checkpoint holds.
pub struct Moment {
    /// How far the log reached.
    pub extent: Extent,
    /// The number of the last blob that was exported.
    pub published: u64,
    /// What was known of each tenant.
    pub images: Vec<Image>,
}

impl Moment {
    /// Writes it into the place of the one before, durably and whole, and returns how many bytes it has. Nothing is written
    /// when `is_over` becomes true on the way.
    ///
    /// # Errors
    /// When it cannot be written, or is over. What was written of it is removed.
    pub fn write(&self, path: &Path, is_over: &AtomicBool) -> io::Result<u64> {
        let written = place(path, |file| {
            self.write_to(file, is_over)?;
            Ok(file.metadata()?.len())
        });
        if written.is_err() {
            // Whatever is left goes at the next start.
            let _ = fs::remove_file(path.with_added_extension("new"));
        }
        written
    }

    fn write_to(&self, file: &mut File, is_over: &AtomicBool) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(BLOCK_BYTES, file);
        out.write_all(MAGIC)?;
        out.write_all(&layout())?;
        put_block(&mut out, EXTENT, &self.extent_bytes())?;
        for image in &self.images {
            put_block(&mut out, FACTS, &self.facts(image))?;
        }
        let mut count = 0;
        for image in &self.images {
            let mut people = image.users.iter().peekable();
            while people.peek().is_some() {
                if is_over.load(Ordering::Relaxed) {
                    return Err(ErrorKind::Interrupted.into());
                }
                let mut block = Encoder::default();
                block.uuid(image.tenant.uuid());
                while block.len() < BLOCK_BYTES
                    && let Some(facts) = people.next()
                {
                    // Everybody has a pseudonym.
                    let Some(person) = image.person(facts) else { return Err(ErrorKind::InvalidData.into()) };
                    let mut activities = Vec::new();
                    person.facts.activities.pack(&mut activities);
                    write_person(&mut block, &person);
                    block.block(&activities);
                    count += 1;
                }
                put_block(&mut out, PEOPLE, &block.finish())?;
            }
        }
        put_block(&mut out, END, &u64::to_le_bytes(count))?;
        out.flush()
    }

    fn extent_bytes(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.number(self.extent.last);
        out.count(self.extent.buckets.len());
        for (name, (records, activities)) in &self.extent.buckets {
            out.unique(name);
            out.number(*records);
            out.number(*activities);
        }
        out.finish()
    }

    fn facts(&self, image: &Image) -> Vec<u8> {
        let mut out = Encoder::default();
        out.uuid(image.tenant.uuid());
        let due = image.due.iter().cloned().map(Change::Due);
        changes(image.without_people(self.published)).chain(due).for_each(|change| change.write(&mut out));
        out.finish()
    }
}

fn layout() -> [u8; 4] {
    crc32fast::hash(Activities::layout().as_bytes()).to_le_bytes()
}

fn put_block(out: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).ok().filter(|length| *length <= BLOCK_BYTES_MAX);
    let length = length.ok_or(ErrorKind::FileTooLarge)?.to_le_bytes();
    out.write_all(&[kind])?;
    out.write_all(&length)?;
    out.write_all(&checksum(kind, length, payload))?;
    out.write_all(payload)
}

fn checksum(kind: u8, length: [u8; 4], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize().to_le_bytes()
}

/// Why a checkpoint is left out.
#[derive(Debug, thiserror::Error)]
pub enum LeftOut {
    /// There is none, or it cannot be read.
    #[error("it cannot be read ({0})")]
    Io(#[from] io::Error),
    /// Another build wrote it.
    #[error("another build wrote it")]
    OfAnotherBuild,
    /// It is not what was written.
    #[error("it is damaged")]
    Damaged,
}

impl From<Malformed> for LeftOut {
    fn from(_: Malformed) -> Self {
        Self::Damaged
    }
}

/// Reads a checkpoint: how far the log reached, what it came to, and how many bytes the file has.
///
/// One thread reads, others take blocks apart, and this one takes people in.
///
/// # Errors
/// When there is none that can be trusted.
pub fn read(path: &Path) -> Result<(Extent, Rebuilt, u64), LeftOut> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut from = BufReader::with_capacity(BLOCK_BYTES, file);
    let mut head = [0; MAGIC.len() + 4];
    from.read_exact(&mut head)?;
    if head != *[MAGIC, &layout()].concat() {
        return Err(LeftOut::OfAnotherBuild);
    }
    let (kind, payload) = block(&mut from)?;
    let extent = if kind == EXTENT { extent_of(&payload)? } else { return Err(LeftOut::Damaged) };
    let mut rebuilt = Rebuilt::default();
    let (mut kind, mut payload) = block(&mut from)?;
    while kind == FACTS {
        rebuilt.facts(&payload).map_err(|_| LeftOut::Damaged)?;
        (kind, payload) = block(&mut from)?;
    }
    take_people_in(&mut rebuilt, &mut from, (kind, payload))?;
    Ok((extent, rebuilt, bytes))
}

/// People of a tenant, with the hashes of what each did.
type People = (TenantId, Vec<(Person, Vec<u32>)>);

fn take_people_in(
    rebuilt: &mut Rebuilt,
    from: &mut (impl Read + Send),
    first: (u8, Vec<u8>),
) -> Result<(), LeftOut> {
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let (blocks, packed) = sync_channel(WAITING);
        let (taken_apart, people) = sync_channel(WAITING);
        let packed = Arc::new(Mutex::new(packed));
        let reader = scope.spawn(move || read_blocks(from, first, &blocks));
        for _ in 0..workers {
            let (packed, taken_apart) = (Arc::clone(&packed), taken_apart.clone());
            scope.spawn(move || take_apart(&packed, &taken_apart));
        }
        drop((packed, taken_apart));
        let mut count = 0;
        for some in people {
            let (tenant, people) = some?;
            count += people.len() as u64;
            rebuilt.people(tenant, people).map_err(|_| LeftOut::Damaged)?;
        }
        let promised = reader.join().map_err(|_| LeftOut::Damaged)??;
        if count == promised { Ok(()) } else { Err(LeftOut::Damaged) }
    })
}

/// Sends blocks of people until the last block, and returns how many people it says there are. Ends when nobody wants them.
fn read_blocks(
    from: &mut impl Read,
    first: (u8, Vec<u8>),
    blocks: &SyncSender<Vec<u8>>,
) -> Result<u64, LeftOut> {
    let (mut kind, mut payload) = first;
    while kind == PEOPLE {
        if blocks.send(payload).is_err() {
            return Err(LeftOut::Damaged);
        }
        (kind, payload) = block(from)?;
    }
    let is_last = kind == END && from.read(&mut [0])? == 0;
    let count = payload.try_into().map(u64::from_le_bytes).map_err(|_| LeftOut::Damaged)?;
    if is_last { Ok(count) } else { Err(LeftOut::Damaged) }
}

/// Takes blocks apart until there are no more, or nobody wants them.
fn take_apart(blocks: &Mutex<Receiver<Vec<u8>>>, people: &SyncSender<Result<People, Malformed>>) {
    loop {
        let next = blocks.lock().map(|blocks| blocks.recv());
        let Ok(Ok(payload)) = next else { return };
        if people.send(people_of(&payload)).is_err() {
            return;
        }
    }
}

fn people_of(payload: &[u8]) -> Result<People, Malformed> {
    let mut from = Decoder::new(payload);
    let tenant = TenantId::new(from.uuid()?);
    let mut people = Vec::new();
    while !from.is_empty() {
        let mut person = read_person(&mut from)?;
        person.facts.activities = Activities::unpack(from.block()?).ok_or(Malformed)?;
        let ids = person.facts.activities.ids().map(doers::hash).collect();
        people.push((person, ids));
    }
    Ok((tenant, people))
}

fn extent_of(payload: &[u8]) -> Result<Extent, Malformed> {
    let mut from = Decoder::new(payload);
    let last = from.number()?;
    let buckets = from.several(|from| Ok((from.unique()?.to_owned(), (from.number()?, from.number()?))))?;
    Ok(Extent { last, buckets })
}

/// Reads a block: its kind and its payload.
fn block(from: &mut impl Read) -> Result<(u8, Vec<u8>), LeftOut> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let [kind, a, b, c, d, sum @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > BLOCK_BYTES_MAX {
        return Err(LeftOut::Damaged);
    }
    let mut payload = Vec::new();
    let read = from.take(length.into()).read_to_end(&mut payload)?;
    let is_whole = read as u64 == u64::from(length) && sum == checksum(kind, [a, b, c, d], &payload);
    if is_whole { Ok((kind, payload)) } else { Err(LeftOut::Damaged) }
}
