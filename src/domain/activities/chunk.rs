//! Some rows in one piece of memory.

use super::row::{Place, Row, RowId, Texts};
use crate::domain::activity::Sensitivity;
use crate::domain::indicator::Indicator;
use chrono::DateTime;
use std::ops::Range;
use uuid::Uuid;

/// A text is looked for in so many rows before its own.
const SHARED_ROWS: usize = 8;

/// Some rows, in order of time by their starts, in the order of arrival by their bytes:
///
/// | | bytes |
/// |---|---|
/// | what follows, and the sensitivity | 1 |
/// | the instant's seconds | 8 |
/// | the indicator: its number in the taxonomy, or in `others` | 2 |
/// | the instant's nanoseconds, unless they are 0 | 4 |
/// | the id: a UUID, or a text | 16, or as a text |
/// | operation, object's name, destination | as texts |
///
/// A text is its length, doubled, and its bytes; or, when the same was there before, the place of that, doubled, and one.
#[derive(Clone, Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// Where each row begins, in order of time.
    starts: Vec<u32>,
    /// Indicators outside the taxonomy.
    others: Vec<Indicator>,
}

/// What the first byte of a row says.
const SENSITIVITY: u8 = 0b11;
const UNALLOWED: u8 = 1 << 2;
const UUID: u8 = 1 << 3;
const NANOS: u8 = 1 << 4;
const OTHER: u8 = 1 << 5;

/// What every row begins with.
const FIXED_BYTES: usize = 11;
/// What a row takes beside its texts, if its id is a UUID and its instant has nanoseconds.
const FIXED_BYTES_MAX: usize = 31;

/// What stands before a row's texts.
struct Head<'c> {
    flags: u8,
    place: Place<'c>,
    indicator: u16,
}

impl Chunk {
    pub(super) fn of<'r>(rows: impl IntoIterator<Item = Row<'r>>) -> Self {
        let mut chunk = Self::default();
        rows.into_iter().for_each(|row| chunk.push(&row));
        chunk.bytes.shrink_to_fit();
        chunk.starts.shrink_to_fit();
        chunk
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn rows(&self, rows: Range<usize>) -> impl DoubleEndedIterator<Item = Row<'_>> {
        rows.map(|row| self.row(row))
    }

    /// Returns the place of the last row of a chunk that is not empty.
    pub(super) fn last(&self) -> Place<'_> {
        self.place(self.len() - 1)
    }

    /// Returns the first row of which `is_before` does not hold, as a binary search does.
    pub(super) fn partition_point<'c>(&'c self, is_before: impl Fn(Place<'c>) -> bool) -> usize {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            if is_before(self.place(middle)) { from = middle + 1 } else { to = middle }
        }
        from
    }

    pub(super) fn row(&self, row: usize) -> Row<'_> {
        let (head, texts) = self.head(row);
        let Place { seconds, nanos, id } = head.place;
        let indicator = if head.flags & OTHER == 0 {
            Indicator::numbered(head.indicator)
        } else {
            &self.others[usize::from(head.indicator)]
        };
        Row {
            id,
            at: DateTime::from_timestamp(seconds, nanos).expect("it was an instant"),
            indicator,
            sensitivity: SENSITIVITIES[usize::from(head.flags & SENSITIVITY)],
            unallowed_destination: head.flags & UNALLOWED != 0,
            texts: Texts::At(texts),
        }
    }

    pub(super) fn place(&self, row: usize) -> Place<'_> {
        self.head(row).0.place
    }

    /// Reads what stands before a row's texts.
    fn head(&self, row: usize) -> (Head<'_>, Reader<'_>) {
        let start = self.starts[row] as usize;
        let (flags, fixed) = (self.bytes[start], &self.bytes[start + 1..]);
        let seconds = i64::from_le_bytes(*fixed.first_chunk().expect("so many were written"));
        let indicator = u16::from_le_bytes([fixed[8], fixed[9]]);
        let mut from = Reader { bytes: &self.bytes, at: start + FIXED_BYTES };
        let nanos = if flags & NANOS == 0 { 0 } else { u32::from_le_bytes(from.array()) };
        let id = if flags & UUID == 0 {
            RowId::Text(from.text())
        } else {
            RowId::Uuid(Uuid::from_bytes(from.array()))
        };
        (Head { flags, place: Place { seconds, nanos, id }, indicator }, from)
    }

    /// Reads a row from its texts on.
    fn texts(&self, row: usize) -> Reader<'_> {
        let start = self.starts[row] as usize;
        let flags = self.bytes[start];
        let nanos = if flags & NANOS == 0 { 0 } else { 4 };
        let from = Reader { bytes: &self.bytes, at: start + FIXED_BYTES + nanos };
        if flags & UUID == 0 { from.behind(1) } else { Reader { at: from.at + 16, ..from } }
    }

    /// Writes it as it is kept. No format for long: another build may keep it in another way.
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        for count in [self.bytes.len(), self.starts.len(), self.others.len()] {
            out.extend_from_slice(&u32::try_from(count).expect("less than 4 GiB").to_le_bytes());
        }
        out.extend_from_slice(&self.bytes);
        self.starts.iter().for_each(|start| out.extend_from_slice(&start.to_le_bytes()));
        for other in &self.others {
            let name = other.name().as_bytes();
            out.extend_from_slice(&u32::try_from(name.len()).expect("less than 4 GiB").to_le_bytes());
            out.extend_from_slice(name);
        }
    }

    /// Reads what [`Chunk::pack`] wrote, or nothing when there is less.
    pub(super) fn unpack(from: &mut &[u8]) -> Option<Self> {
        let [bytes, starts, others] = [number(from)?, number(from)?, number(from)?];
        let bytes = take(from, bytes)?.to_vec();
        let (starts, _) = take(from, starts.checked_mul(4)?)?.as_chunks();
        let starts = starts.iter().copied().map(u32::from_le_bytes).collect();
        let mut chunk = Self { bytes, starts, others: Vec::new() };
        for _ in 0..others {
            let length = number(from)?;
            chunk.others.push(Indicator::named(std::str::from_utf8(take(from, length)?).ok()?));
        }
        Some(chunk)
    }

    /// Adds a row behind all others.
    pub(super) fn push(&mut self, row: &Row<'_>) {
        self.insert(self.len(), row);
    }

    /// Adds a row before the one of that number. Its bytes stand behind those of all others.
    #[expect(clippy::disallowed_methods, reason = "what is hidden stays hidden in here")]
    pub(super) fn insert(&mut self, at: usize, row: &Row<'_>) {
        let texts = [row.operation(), row.object_name().spell(), row.destination().spell()];
        let known = self.places_of(texts, at);
        let nanos = row.at.timestamp_subsec_nanos();
        let number = row.indicator.number();
        let mut flags = row.sensitivity as u8;
        for (flag, is_set) in [
            (UNALLOWED, row.unallowed_destination),
            (UUID, matches!(row.id, RowId::Uuid(_))),
            (NANOS, nanos != 0),
            (OTHER, number.is_none()),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        // No more room than is needed: most chunks get one row, and are kept.
        let new =
            texts.iter().zip(&known).map(|(text, known)| 3 + if known.is_none() { text.len() } else { 0 });
        self.bytes.reserve_exact(FIXED_BYTES_MAX + new.sum::<usize>());
        self.starts.reserve_exact(1);
        let start = u32::try_from(self.bytes.len()).expect("some dozens of rows are less than 4 GiB");
        self.starts.insert(at, start);
        self.bytes.push(flags);
        self.bytes.extend_from_slice(&row.at.timestamp().to_le_bytes());
        let number = number.unwrap_or_else(|| self.number_of(row.indicator));
        self.bytes.extend_from_slice(&number.to_le_bytes());
        if nanos != 0 {
            self.bytes.extend_from_slice(&nanos.to_le_bytes());
        }
        match row.id {
            RowId::Uuid(uuid) => self.bytes.extend_from_slice(uuid.as_bytes()),
            RowId::Text(text) => self.put_text(text, None),
        }
        for (text, known) in texts.into_iter().zip(known) {
            self.put_text(text, known);
        }
    }

    /// Returns where the last rows before one have these texts, each of its kind, if they have.
    fn places_of(&self, texts: [&str; 3], before: usize) -> [Option<usize>; 3] {
        let mut places = [None; 3];
        let mut wanted = texts.map(|text| !text.is_empty());
        for row in (0..before).rev().take(SHARED_ROWS) {
            if wanted == [false; 3] {
                break;
            }
            let mut from = self.texts(row);
            for n in 0..3 {
                let (place, bytes) = from.raw();
                if wanted[n] && texts[n].as_bytes() == bytes {
                    (places[n], wanted[n]) = (Some(place), false);
                }
            }
        }
        places
    }

    /// Returns the number of an indicator outside the taxonomy.
    fn number_of(&mut self, indicator: &Indicator) -> u16 {
        let known = self.others.iter().position(|other| other == indicator);
        let number = known.unwrap_or_else(|| {
            self.others.push(indicator.clone());
            self.others.len() - 1
        });
        u16::try_from(number).expect("a chunk has few rows")
    }

    fn put_text(&mut self, text: &str, known: Option<usize>) {
        if let Some(place) = known {
            return self.put_number(place << 1 | 1);
        }
        self.put_number(text.len() << 1);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn put_number(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.bytes.push(0x80 | number.to_le_bytes()[0]);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }
}

fn take<'b>(from: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}

fn number(from: &mut &[u8]) -> Option<usize> {
    let number = u32::from_le_bytes(take(from, 4)?.try_into().ok()?);
    usize::try_from(number).ok()
}

pub(super) const SENSITIVITIES: [Sensitivity; 4] =
    [Sensitivity::None, Sensitivity::General, Sensitivity::Confidential, Sensitivity::HighlyConfidential];

/// Reads what [`Chunk::push`] wrote.
#[derive(Clone, Copy)]
pub(super) struct Reader<'c> {
    bytes: &'c [u8],
    at: usize,
}

impl<'c> Reader<'c> {
    fn take(&mut self, count: usize) -> &'c [u8] {
        self.at += count;
        &self.bytes[self.at - count..self.at]
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().expect("so many were taken")
    }

    fn number(&mut self) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }

    pub(super) fn text(&mut self) -> &'c str {
        std::str::from_utf8(self.raw().1).expect("it was text")
    }

    /// Reads the bytes of a text, and where they stand.
    fn raw(&mut self) -> (usize, &'c [u8]) {
        let place = self.at;
        let number = self.number();
        if number & 1 == 1 {
            return Reader { bytes: self.bytes, at: number >> 1 }.raw();
        }
        (place, self.take(number >> 1))
    }

    /// Returns the same behind so many texts.
    pub(super) fn behind(mut self, texts: usize) -> Self {
        for _ in 0..texts {
            let number = self.number();
            self.at += if number & 1 == 1 { 0 } else { number >> 1 };
        }
        self
    }
}
