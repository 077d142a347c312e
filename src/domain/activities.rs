//! What a user did, in as little memory as it takes: a hundred million activities are what a server is made for.
//!
//! Activities stand in chunks of a few dozen, each one piece of memory in which texts that come again are kept once. They
//! are read as [`Row`]s, which borrow from there, and never as a whole.

use crate::domain::activity::{Activity, Sensitivity};
use crate::domain::ids::ActivityId;
use crate::domain::indicator::Indicator;
use crate::domain::time::{UtcDay, Window};
use crate::domain::user::{Personal, PersonalText};
use chrono::{DateTime, Utc};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// The most activities of a chunk. A commit copies the chunk to which it adds, and the list of them.
const CHUNK_ROWS: usize = 64;
/// A text is looked for in so many rows before its own.
const SHARED_ROWS: usize = 8;

/// A user's activities, by time, those of one instant by id. Cheap to clone: chunks are shared until one changes.
#[derive(Clone, Default)]
pub struct Activities {
    /// In order, none empty.
    chunks: SmallVec<[Arc<Chunk>; 1]>,
}

/// An activity as it is kept. Its texts are looked at when they are asked for: most rules need none.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// The source's id.
    pub id: RowId<'a>,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What it is a sign of.
    pub indicator: &'a Indicator,
    /// How sensitive the content is.
    pub sensitivity: Sensitivity,
    /// The organisation does not allow the destination.
    pub unallowed_destination: bool,
    texts: Texts<'a>,
}

/// Where a row's texts are.
#[derive(Clone, Copy)]
enum Texts<'a> {
    In(&'a Activity),
    /// In a chunk, from a place on.
    At(Reader<'a>),
}

/// An activity's id as it is kept. Most sources give UUIDs, which take less than half of their text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RowId<'a> {
    /// A UUID in lower case with hyphens.
    Uuid(Uuid),
    /// Any other text.
    Text(&'a str),
}

impl<'a> RowId<'a> {
    /// Returns how an id is kept.
    #[must_use]
    pub fn of(id: &'a ActivityId) -> Self {
        let text = id.as_str();
        let uuid = if text.len() == 36 { Uuid::try_parse(text).ok() } else { None };
        // Only what comes out of it as it went in.
        uuid.map(Self::Uuid).filter(|uuid| uuid.with_text(|same| same == text)).unwrap_or(Self::Text(text))
    }

    /// Gives its text to `use_it`.
    pub fn with_text<T>(&self, use_it: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Uuid(uuid) => use_it(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Self::Text(text) => use_it(text),
        }
    }

    /// Returns its text.
    #[must_use]
    pub fn text(&self) -> String {
        self.with_text(str::to_owned)
    }
}

/// As their texts are ordered.
impl Ord for RowId<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Uuid(one), Self::Uuid(other)) => one.cmp(other), // Digits are in order, and hyphens in one place.
            _ => self.with_text(|one| other.with_text(|other| one.cmp(other))),
        }
    }
}

impl PartialOrd for RowId<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for RowId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| text.fmt(f))
    }
}

impl<'a> Row<'a> {
    /// Returns an activity as if it were kept.
    #[must_use]
    pub fn of(activity: &'a Activity) -> Self {
        Self {
            id: RowId::of(&activity.id),
            at: activity.at,
            indicator: &activity.indicator,
            sensitivity: activity.sensitivity,
            unallowed_destination: activity.unallowed_destination,
            texts: Texts::In(activity),
        }
    }

    /// Returns the source's operation.
    #[must_use]
    pub fn operation(&self) -> &'a str {
        match self.texts {
            Texts::In(activity) => &activity.operation,
            Texts::At(mut from) => from.text(),
        }
    }

    /// Returns the object's name or path; may be empty.
    #[must_use]
    pub fn object_name(&self) -> PersonalText<'a> {
        match self.texts {
            Texts::In(activity) => activity.object_name.borrowed(),
            Texts::At(from) => PersonalText::new(from.behind(1).text()),
        }
    }

    /// Returns where the data went; may be empty.
    #[must_use]
    pub fn destination(&self) -> PersonalText<'a> {
        match self.texts {
            Texts::In(activity) => activity.destination.borrowed(),
            Texts::At(from) => PersonalText::new(from.behind(2).text()),
        }
    }

    /// Returns the activity by itself.
    #[must_use]
    pub fn to_activity(&self) -> Activity {
        Activity {
            id: self.id.with_text(ActivityId::kept),
            at: self.at,
            indicator: self.indicator.clone(),
            operation: self.operation().into(),
            object_name: Personal::from(self.object_name()),
            destination: Personal::from(self.destination()),
            sensitivity: self.sensitivity,
            unallowed_destination: self.unallowed_destination,
        }
    }

    /// Returns the day on which it counts.
    #[must_use]
    pub fn day(&self) -> UtcDay {
        UtcDay::of(self.at)
    }

    fn place(&self) -> Place<'a> {
        Place::of(self.at, self.id)
    }
}

impl PartialEq for Row<'_> {
    fn eq(&self, other: &Self) -> bool {
        let told = |row: &Self| (row.at, row.sensitivity, row.unallowed_destination);
        (told(self), self.id, self.indicator) == (told(other), other.id, other.indicator)
            && self.operation() == other.operation()
            && self.object_name() == other.object_name()
            && self.destination() == other.destination()
    }
}

impl Eq for Row<'_> {}

/// What puts rows in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    seconds: i64,
    nanos: u32,
    id: RowId<'a>,
}

impl<'a> Place<'a> {
    fn of(at: DateTime<Utc>, id: RowId<'a>) -> Self {
        Self { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos(), id }
    }
}

impl PartialEq<Activity> for Row<'_> {
    fn eq(&self, other: &Activity) -> bool {
        *self == Row::of(other)
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_activity().fmt(f)
    }
}

impl Activities {
    /// Adds one.
    pub fn insert(&mut self, activity: &Activity) {
        self.add(&Row::of(activity));
    }

    /// Takes in another person's.
    pub fn absorb(&mut self, other: &Self) {
        self.merge(other.iter().collect());
    }

    /// Adds rows that are in order. Where they are many beside what is known, and not all behind it, all chunks are made
    /// anew: that costs less than to make room for one after the other.
    fn merge(&mut self, new: Vec<Row<'_>>) {
        let is_behind =
            new.first().zip(self.chunks.last()).is_none_or(|(first, last)| last.last() <= first.place());
        if is_behind || new.len() * CHUNK_ROWS < self.len() {
            return new.iter().for_each(|row| self.add(row));
        }
        let mut rows: Vec<Row<'_>> = self.iter().chain(new).collect();
        rows.sort_by(|a, b| a.place().cmp(&b.place()));
        self.chunks = rows.chunks(CHUNK_ROWS).map(|rows| Arc::new(Chunk::of(rows.iter().copied()))).collect();
    }

    fn add(&mut self, row: &Row<'_>) {
        let new = row.place();
        let behind = self.chunks.partition_point(|chunk| chunk.place(0) <= new);
        let Some(place) = behind.checked_sub(1).or((!self.chunks.is_empty()).then_some(0)) else {
            self.chunks.push(Arc::new(Chunk::of([*row])));
            return;
        };
        let chunk = &self.chunks[place];
        let is_last = place + 1 == self.chunks.len() && chunk.last() <= new;
        if is_last && chunk.len() < CHUNK_ROWS {
            Arc::make_mut(&mut self.chunks[place]).push(row);
        } else if is_last {
            self.chunks.push(Arc::new(Chunk::of([*row])));
        } else {
            let at = chunk.partition_point(|other| other <= new);
            let mut rows: Vec<Row<'_>> = chunk.rows().collect();
            rows.insert(at, *row);
            // Halves, so that the next ones find room.
            let size = if rows.len() > CHUNK_ROWS { rows.len().div_ceil(2) } else { rows.len() };
            let new: SmallVec<[Arc<Chunk>; 2]> =
                rows.chunks(size).map(|rows| Arc::new(Chunk::of(rows.iter().copied()))).collect();
            self.chunks.remove(place);
            self.chunks.insert_many(place, new);
        }
    }

    /// Drops the days before `first`, and says how many activities that were.
    pub fn expire_before(&mut self, first: UtcDay) -> usize {
        let (before, start) = (self.len(), first.start().timestamp());
        let old = self.chunks.partition_point(|chunk| chunk.last().seconds < start);
        self.chunks.drain(..old);
        if let Some(chunk) = self.chunks.first_mut()
            && chunk.place(0).seconds < start
        {
            let old = chunk.partition_point(|row| row.seconds < start);
            *chunk = Arc::new(Chunk::of(chunk.rows().skip(old)));
        }
        before - self.len()
    }

    /// Finds the one of that id that happened at that instant.
    #[must_use]
    pub fn find(&self, at: DateTime<Utc>, id: &ActivityId) -> Option<Row<'_>> {
        let place = Place::of(at, RowId::of(id));
        let chunk = self.chunks.get(self.chunks.partition_point(|chunk| chunk.last() < place))?;
        let row = chunk.partition_point(|row| row < place);
        (chunk.place(row) == place).then(|| chunk.row(row))
    }

    /// Says whether there is one of that id, at whatever instant.
    #[must_use]
    pub fn has(&self, id: &ActivityId) -> bool {
        let id = RowId::of(id);
        self.chunks.iter().any(|chunk| (0..chunk.len()).any(|row| chunk.place(row).id == id))
    }

    /// Returns the first day on which there is any.
    #[must_use]
    pub fn first_day(&self) -> Option<UtcDay> {
        self.chunks.first().map(|chunk| chunk.row(0).day())
    }

    /// Returns all, oldest first; those of one instant by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Row<'_>> {
        self.chunks.iter().flat_map(|chunk| chunk.rows())
    }

    /// Returns those of a window, oldest first.
    pub fn within(&self, window: Window) -> impl DoubleEndedIterator<Item = Row<'_>> {
        let (start, end) = (window.first.start().timestamp(), window.last.plus(1).start().timestamp());
        let from = self.chunks.partition_point(|chunk| chunk.last().seconds < start);
        let to = self.chunks.partition_point(|chunk| chunk.place(0).seconds < end).max(from);
        self.chunks[from..to].iter().flat_map(move |chunk| {
            let from = chunk.partition_point(|row| row.seconds < start);
            let to = chunk.partition_point(|row| row.seconds < end).max(from);
            (from..to).map(|row| chunk.row(row))
        })
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// Where chunks end depends on the order of arrival, and means nothing.
impl PartialEq for Activities {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Activities {}

impl fmt::Debug for Activities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Extend<Activity> for Activities {
    fn extend<I: IntoIterator<Item = Activity>>(&mut self, all: I) {
        let mut all: Vec<Activity> = all.into_iter().collect();
        all.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        self.merge(all.iter().map(Row::of).collect());
    }
}

impl FromIterator<Activity> for Activities {
    fn from_iter<I: IntoIterator<Item = Activity>>(all: I) -> Self {
        let mut activities = Self::default();
        activities.extend(all);
        activities
    }
}

/// Some rows, one after the other:
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
struct Chunk {
    bytes: Vec<u8>,
    /// Where each row begins.
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
    fn of<'r>(rows: impl IntoIterator<Item = Row<'r>>) -> Self {
        let mut chunk = Self::default();
        rows.into_iter().for_each(|row| chunk.push(&row));
        chunk.bytes.shrink_to_fit();
        chunk.starts.shrink_to_fit();
        chunk
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    fn rows(&self) -> impl DoubleEndedIterator<Item = Row<'_>> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// Returns the place of the last row of a chunk that is not empty.
    fn last(&self) -> Place<'_> {
        self.place(self.len() - 1)
    }

    /// Returns the first row of which `is_before` does not hold, as a binary search does.
    fn partition_point<'c>(&'c self, is_before: impl Fn(Place<'c>) -> bool) -> usize {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            if is_before(self.place(middle)) { from = middle + 1 } else { to = middle }
        }
        from
    }

    fn row(&self, row: usize) -> Row<'_> {
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

    fn place(&self, row: usize) -> Place<'_> {
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

    /// Adds a row behind all others.
    #[expect(clippy::disallowed_methods, reason = "what is hidden stays hidden in here")]
    fn push(&mut self, row: &Row<'_>) {
        let texts = [row.operation(), row.object_name().spell(), row.destination().spell()];
        let known = self.places_of(texts);
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
        self.starts.push(u32::try_from(self.bytes.len()).expect("some dozens of rows are less than 4 GiB"));
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

    /// Returns where the last rows have these texts, each of its kind, if they have.
    fn places_of(&self, texts: [&str; 3]) -> [Option<usize>; 3] {
        let mut places = [None; 3];
        let mut wanted = texts.map(|text| !text.is_empty());
        for row in (0..self.len()).rev().take(SHARED_ROWS) {
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

const SENSITIVITIES: [Sensitivity; 4] =
    [Sensitivity::None, Sensitivity::General, Sensitivity::Confidential, Sensitivity::HighlyConfidential];

/// Reads what [`Chunk::push`] wrote.
#[derive(Clone, Copy)]
struct Reader<'c> {
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

    fn text(&mut self) -> &'c str {
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
    fn behind(mut self, texts: usize) -> Self {
        for _ in 0..texts {
            let number = self.number();
            self.at += if number & 1 == 1 { 0 } else { number >> 1 };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(id: &str, at: &str) -> Activity {
        Activity {
            id: ActivityId::new(id).unwrap(),
            at: at.parse().unwrap(),
            indicator: Indicator::named("Print"),
            operation: "".into(),
            object_name: Personal::default(),
            destination: Personal::default(),
            sensitivity: Sensitivity::None,
            unallowed_destination: false,
        }
    }

    fn day(n: i32) -> UtcDay {
        UtcDay::from_number(20_000 + n)
    }

    /// Activities of a few days, ids, texts and indicators, so that much comes again.
    fn activity() -> impl Strategy<Value = Activity> {
        let id = prop_oneof![
            (0_u128..40).prop_map(|n| Uuid::from_u128(n << 100 | n).to_string()),
            (0_u8..20).prop_map(|n| n.to_string()),
            (0_u128..4).prop_map(|n| Uuid::from_u128(n).to_string().to_uppercase()),
            (0_u128..4).prop_map(|n| Uuid::from_u128(n).braced().to_string()),
        ];
        let text = || "([ab]?|[a-z]{1,300}|.{0,8})";
        let instant = (0_i64..6, 0_i64..3, prop_oneof![Just(0), 0_u32..2_000_000_000]);
        let indicator = "(Print|CopyToUSB|Own[a-c])";
        (id, instant, indicator, [text(), text(), text()], 0_usize..4, any::<bool>()).prop_map(
            |(
                id,
                (days, seconds, nanos),
                indicator,
                [operation, object_name, destination],
                sensitivity,
                unallowed,
            )| Activity {
                id: ActivityId::new(&id).unwrap(),
                // The last second of a day can be a leap second.
                at: DateTime::from_timestamp((20_000 + days) * 86_400 + 60 * seconds - 1, nanos).unwrap(),
                indicator: Indicator::named(&indicator),
                operation: operation.into(),
                object_name: Personal::new(&object_name),
                destination: Personal::new(&destination),
                sensitivity: SENSITIVITIES[sensitivity],
                unallowed_destination: unallowed,
            },
        )
    }

    proptest! {
        #[test]
        fn it_holds_what_a_sorted_list_would(
            all in prop::collection::vec(activity(), 0..400),
            first in -1_i32..7,
            days in 0_i32..4,
            in_order in any::<bool>(),
        ) {
            let mut all = all;
            all.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
            all.dedup_by(|a, b| (a.at, &a.id) == (b.at, &b.id));
            let mut kept = Activities::default();
            let mut before = Vec::new();
            for n in 0..all.len() {
                before.push(kept.clone());
                // Every other one first, then the rest.
                let n = if in_order { n } else { (2 * n) % all.len().max(1) + usize::from(all.len().is_multiple_of(2) && 2 * n >= all.len()) };
                kept.insert(&all[n]);
            }
            for (n, shared) in before.iter().enumerate() {
                prop_assert_eq!(shared.len(), n);
            }
            prop_assert_eq!(kept.iter().map(|row| row.to_activity()).collect::<Vec<_>>(), all.clone());
            let mut back: Vec<_> = kept.iter().rev().map(|row| row.to_activity()).collect();
            back.reverse();
            prop_assert_eq!(&back, &all);
            prop_assert_eq!(&kept, &all.iter().cloned().collect());
            let mut halves: Activities = all.iter().step_by(2).cloned().collect();
            halves.extend(all.iter().skip(1).step_by(2).cloned());
            prop_assert_eq!(&kept, &halves);
            prop_assert!(kept.chunks.iter().all(|chunk| (1..=CHUNK_ROWS).contains(&chunk.len())));
            for one in &all {
                prop_assert_eq!(kept.find(one.at, &one.id), Some(Row::of(one)));
                prop_assert!(kept.has(&one.id));
            }
            let stranger = ActivityId::new("stranger").unwrap();
            prop_assert!(!kept.has(&stranger) && kept.find(day(1).start(), &stranger).is_none());
            let window = Window { first: day(first), last: day(first + days) };
            let wanted: Vec<_> = all.iter().filter(|one| window.contains(one.day())).cloned().collect();
            prop_assert_eq!(kept.within(window).map(|row| row.to_activity()).collect::<Vec<_>>(), wanted.clone());
            prop_assert_eq!(kept.within(window).rev().count(), wanted.len());
            prop_assert_eq!(kept.first_day(), all.first().map(Activity::day));
            let (old, new): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.day() < day(first));
            let mut other = Activities::default();
            other.absorb(&kept);
            prop_assert_eq!(kept.expire_before(day(first)), old.len());
            prop_assert_eq!(&kept, &new.into_iter().collect());
            other.expire_before(day(first));
            prop_assert_eq!(kept, other);
        }
    }

    #[test]
    fn ids_are_in_the_order_of_their_texts_and_come_out_as_they_went_in() {
        let texts = [
            "0",
            "00000000-0000-0000-0000-00000000000A",
            "00000000-0000-0000-0000-00000000000a",
            "a",
            "{00000000-0000-0000-0000-00000000000a}",
        ];
        let ids: Vec<ActivityId> = texts.iter().map(|text| ActivityId::new(text).unwrap()).collect();
        let rows: Vec<RowId<'_>> = ids.iter().map(RowId::of).collect();
        assert!(rows.is_sorted());
        assert_eq!(rows.iter().map(RowId::text).collect::<Vec<_>>(), texts);
        assert_eq!(rows.iter().filter(|id| matches!(id, RowId::Uuid(_))).count(), 1);
    }

    #[test]
    fn what_comes_again_takes_no_more_room() {
        let one = |n: usize| Activity {
            object_name: Personal::new("C:\\Users\\john\\Documents\\plan.docx"),
            destination: Personal::new("https://destination.example.com/"),
            ..at(&Uuid::from_u128(n as u128).to_string(), &format!("2026-01-02T08:{n:02}:00Z"))
        };
        let all: Activities = (0..60).map(one).collect();
        let bytes: usize = all.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        assert!(bytes < 60 * 40, "{bytes}");
    }

    #[test]
    fn debug_never_prints_a_name() {
        let mut one = at("a", "2026-01-02T08:00:00Z");
        one.object_name = Personal::new("john.docx");
        let all: Activities = [one].into_iter().collect();
        assert!(!format!("{all:?}").contains("john"));
    }
}
