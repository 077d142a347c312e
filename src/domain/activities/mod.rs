//! What a user did, in as little memory as it takes: a hundred million activities are what a server is made for.
//!
//! Activities stand in chunks of a few dozen, each one piece of memory in which texts that come again are kept once. They
//! are read as [`Row`]s, which borrow from there, and never as a whole. `row` is what one says, `chunk` how it is kept.

mod chunk;
mod row;

pub use row::{Row, RowId};

use crate::domain::activity::Activity;
use crate::domain::ids::ActivityId;
use crate::domain::indicator::taxonomy;
use crate::domain::time::{UtcDay, Window};
use chrono::{DateTime, Utc};
use chunk::Chunk;
use row::Place;
use smallvec::SmallVec;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The most activities of a chunk. A commit copies the chunk to which it adds, and the list of them.
const CHUNK_ROWS: usize = 64;
/// Another number whenever a chunk is kept in another way.
const LAYOUT: u32 = 1;

/// A user's activities, by time, those of one instant by id. Cheap to clone: chunks are shared until one changes.
#[derive(Clone, Default)]
pub struct Activities {
    /// In order, none empty.
    chunks: SmallVec<[Arc<Chunk>; 1]>,
    /// So many rows of the first chunk are forgotten, and not all. They take room until the last of them is.
    forgotten: usize,
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
        self.forgotten = 0;
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
        if is_last && chunk.len() == CHUNK_ROWS {
            self.chunks.push(Arc::new(Chunk::of([*row])));
            return;
        }
        let at = if is_last { chunk.len() } else { chunk.partition_point(|other| other <= new) };
        let forgotten = if place == 0 { self.forgotten } else { 0 };
        if chunk.len() < CHUNK_ROWS && at >= forgotten {
            Arc::make_mut(&mut self.chunks[place]).insert(at, row);
        } else {
            let mut rows: Vec<Row<'_>> = chunk.rows(forgotten..chunk.len()).collect();
            let at = rows.partition_point(|other| other.place() <= new);
            rows.insert(at, *row);
            // Halves, so that the next ones find room.
            let size = if rows.len() > CHUNK_ROWS { rows.len().div_ceil(2) } else { rows.len() };
            let new: SmallVec<[Arc<Chunk>; 2]> =
                rows.chunks(size).map(|rows| Arc::new(Chunk::of(rows.iter().copied()))).collect();
            self.chunks.remove(place);
            self.chunks.insert_many(place, new);
            self.forgotten -= forgotten;
        }
    }

    /// Drops the days before `first`, and says how many activities that were.
    ///
    /// It makes no chunk anew: that would cost more than to take activities in.
    pub fn expire_before(&mut self, first: UtcDay) -> usize {
        let (before, start) = (self.len(), first.start().timestamp());
        let old = self.chunks.partition_point(|chunk| chunk.last().seconds < start);
        self.chunks.drain(..old);
        let in_first =
            self.chunks.first().map_or(0, |chunk| chunk.partition_point(|row| row.seconds < start));
        // None that was forgotten before is known again.
        self.forgotten = if old == 0 { self.forgotten.max(in_first) } else { in_first };
        before - self.len()
    }

    /// Finds the one of that id that happened at that instant.
    #[must_use]
    pub fn find(&self, at: DateTime<Utc>, id: &ActivityId) -> Option<Row<'_>> {
        let place = Place::of(at, RowId::of(id));
        let number = self.chunks.partition_point(|chunk| chunk.last() < place);
        let chunk = self.chunks.get(number)?;
        // The same may have been forgotten, and have come again.
        let row = chunk.partition_point(|row| row < place).max(self.known(number).start);
        (chunk.place(row) == place).then(|| chunk.row(row))
    }

    /// Says whether there is one of that id, at whatever instant.
    #[must_use]
    pub fn has(&self, id: &ActivityId) -> bool {
        let id = RowId::of(id);
        self.ids().any(|known| known == id)
    }

    /// Returns the ids of all, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = RowId<'_>> {
        let chunks = self.chunks.iter().enumerate();
        chunks.flat_map(|(number, chunk)| self.known(number).map(|row| chunk.place(row).id))
    }

    /// Returns the first day on which there is any.
    #[must_use]
    pub fn first_day(&self) -> Option<UtcDay> {
        self.chunks.first().map(|chunk| chunk.row(self.forgotten).day())
    }

    /// Returns all, oldest first; those of one instant by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Row<'_>> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| chunk.rows(self.known(number)))
    }

    /// Returns those of a window, oldest first.
    pub fn within(&self, window: Window) -> impl DoubleEndedIterator<Item = Row<'_>> {
        let (start, end) = (window.first.start().timestamp(), window.last.plus(1).start().timestamp());
        let from = self.chunks.partition_point(|chunk| chunk.last().seconds < start);
        let to = self.chunks.partition_point(|chunk| chunk.place(0).seconds < end).max(from);
        (from..to).flat_map(move |number| {
            let (chunk, known) = (&self.chunks[number], self.known(number));
            let from = chunk.partition_point(|row| row.seconds < start).max(known.start);
            let to = chunk.partition_point(|row| row.seconds < end).max(from);
            chunk.rows(from..to)
        })
    }

    /// Returns which rows of the chunk of that number are not forgotten.
    fn known(&self, number: usize) -> Range<usize> {
        if number == 0 { self.forgotten..self.chunks[0].len() } else { 0..self.chunks[number].len() }
    }

    /// Writes them as they are kept, for a build that keeps them in the same way: see [`Activities::layout`]. Nothing that
    /// was forgotten is written.
    pub fn pack(&self, out: &mut Vec<u8>) {
        for (number, chunk) in self.chunks.iter().enumerate() {
            match self.known(number) {
                all if all.len() == chunk.len() => chunk.pack(out),
                some => Chunk::of(chunk.rows(some)).pack(out),
            }
        }
    }

    /// Reads what [`Activities::pack`] wrote, to the last byte, or nothing when it is something else. It does not look at
    /// what rows say: whoever kept the bytes knows that they are those.
    #[must_use]
    pub fn unpack(mut from: &[u8]) -> Option<Self> {
        let mut chunks = SmallVec::new();
        while !from.is_empty() {
            chunks.push(Arc::new(Chunk::unpack(&mut from)?));
        }
        Some(Self { chunks, forgotten: 0 })
    }

    /// Returns a text that differs wherever activities are kept in another way.
    #[must_use]
    pub fn layout() -> String {
        taxonomy().fold(format!("{LAYOUT}"), |layout, indicator| layout + "," + indicator.name())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum::<usize>() - self.forgotten
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

#[cfg(test)]
mod tests {
    use super::chunk::SENSITIVITIES;
    use super::*;
    use crate::domain::activity::Sensitivity;
    use crate::domain::indicator::Indicator;
    use crate::domain::user::Personal;
    use proptest::prelude::*;
    use uuid::Uuid;

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
            let mut packed = Vec::new();
            kept.pack(&mut packed);
            prop_assert_eq!(Activities::unpack(&packed), Some(kept.clone()));
            prop_assert!(packed.is_empty() || Activities::unpack(&packed[..packed.len() - 1]).is_none());
            let mut other = Activities::default();
            other.absorb(&kept);
            prop_assert_eq!(kept.expire_before(day(first)), old.len());
            prop_assert_eq!(&kept, &new.iter().cloned().collect());
            prop_assert_eq!(kept.first_day(), new.first().map(Activity::day));
            other.expire_before(day(first - 1));
            other.expire_before(day(first));
            prop_assert_eq!(&kept, &other);
            prop_assert_eq!(other.expire_before(day(first - 1)), 0);
            prop_assert_eq!(&kept, &other);
            for one in &old {
                prop_assert!(kept.find(one.at, &one.id).is_none());
            }
            prop_assert_eq!(kept.within(window).count(), new.iter().filter(|one| window.contains(one.day())).count());
            let mut packed = Vec::new();
            kept.pack(&mut packed);
            let unpacked = Activities::unpack(&packed).unwrap();
            prop_assert!(unpacked.forgotten == 0 && unpacked == kept);
            // What comes late for a day that is gone begins it anew.
            for one in old.iter().rev().take(3) {
                kept.insert(one);
                prop_assert_eq!(kept.find(one.at, &one.id), Some(Row::of(one)));
            }
            prop_assert_eq!(kept.len(), new.len() + old.len().min(3));
            prop_assert!(kept.iter().is_sorted_by_key(|row| row.place()));
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

    /// A change of this layout needs another number, and then another text here.
    #[test]
    fn the_layout_is_what_its_number_says() {
        let mut packed = Vec::new();
        let one = Activity {
            indicator: Indicator::named("Own"),
            object_name: Personal::new("a"),
            destination: Personal::new("b"),
            ..at("x", "2026-01-02T08:00:00.5Z")
        };
        [one.clone(), one].into_iter().collect::<Activities>().pack(&mut packed);
        let hex = packed.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let kept = concat!(
            "2a000000020000000100000030007b57690000000000000065cd1d0278000261026230007b576900000000",
            "00000065cd1d02780025290000000016000000030000004f776e"
        );
        assert_eq!((LAYOUT, hex.as_str()), (1, kept));
    }

    #[test]
    fn debug_never_prints_a_name() {
        let mut one = at("a", "2026-01-02T08:00:00Z");
        one.object_name = Personal::new("john.docx");
        let all: Activities = [one].into_iter().collect();
        assert!(!format!("{all:?}").contains("john"));
    }
}
