//! Reads records from partitions, and finds out whether any are missing: their numbers are dense over all partitions.

use super::error::OpenError;
use super::record;
use fjall::Keyspace;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// A record's payload, or why there is none.
pub type Payload = Result<Vec<u8>, OpenError>;

/// Reads a partition's records behind one and notes their numbers.
pub fn payloads(partition: &Keyspace, after: u64, seen: &mut Sequences) -> impl Iterator<Item = Payload> {
    let behind = (Bound::Excluded(record::key(after)), Bound::Unbounded);
    partition.range(behind).map(|guard| {
        let (key, value) = guard.into_inner()?;
        let (sequence, payload) = record::unseal(&key, &value)?;
        seen.add(sequence)?;
        seen.bytes += payload.len() as u64;
        Ok(payload.to_vec())
    })
}

/// fjall 3.1 meets some damage with a failed assertion. That is damage too, not a reason to abort: nothing that it was
/// building is used afterwards.
pub fn unpanicked<T>(work: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(OpenError::damaged("the log cannot be read")))
}

/// The records of a log at some time.
pub struct Records {
    /// Where they are.
    pub partitions: Vec<Keyspace>,
    /// So many were dropped.
    pub dropped: u64,
    /// The number of the last one.
    pub last: u64,
}

impl Records {
    /// Reads all of them and says what is wrong with them, or that they are whole; or no when it is told to end.
    pub fn verify(&self, is_over: &AtomicBool) -> Result<bool, OpenError> {
        unpanicked(|| self.read(is_over))
    }

    fn read(&self, is_over: &AtomicBool) -> Result<bool, OpenError> {
        let mut seen = Sequences::behind(0);
        for partition in &self.partitions {
            for guard in partition.range(..=record::key(self.last)) {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let (key, value) = guard.into_inner()?;
                seen.add(record::unseal(&key, &value)?.0)?;
            }
        }
        seen.check(self.dropped, self.last)?;
        Ok(true)
    }
}

/// The numbers of the records that were read, and the bytes of their payloads.
pub struct Sequences {
    /// Records up to this one do not count.
    behind: u64,
    bits: Vec<u64>,
    /// So many were read.
    pub count: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
    /// The highest.
    pub last: u64,
    twice: bool,
}

/// The most records that a log can plausibly have; a higher number is damage, not 100 GB of bits.
const RECORDS_MAX: u64 = 1 << 36;

impl Sequences {
    /// Returns those of no record, where records up to `last` do not count.
    pub fn behind(last: u64) -> Self {
        Self { behind: last, bits: Vec::new(), count: 0, bytes: 0, last: 0, twice: false }
    }

    fn add(&mut self, sequence: u64) -> Result<(), OpenError> {
        if sequence <= self.behind {
            return Ok(());
        }
        if sequence > RECORDS_MAX {
            return Err(OpenError::damaged("a record's number"));
        }
        let place = sequence - self.behind;
        let word = usize::try_from(place / 64).map_err(|_| OpenError::damaged("a record's number"))?;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let bit = 1 << (place % 64);
        self.twice |= self.bits[word] & bit != 0;
        self.bits[word] |= bit;
        self.count += 1;
        self.last = self.last.max(sequence);
        Ok(())
    }

    /// Checks that those that were read, once each, and so many that were dropped are all up to the last.
    pub fn check(&self, dropped: u64, last: u64) -> Result<(), OpenError> {
        if self.behind + self.count + dropped == last && !self.twice {
            return Ok(());
        }
        Err(OpenError::damaged("records are missing, or are there twice"))
    }
}
