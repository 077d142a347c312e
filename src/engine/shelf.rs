//! What floors above made of people's facts, kept beside those facts as long as there is room: it goes when they do, with a
//! commit that changes them or with the person.

use crate::domain::facts::TenantRules;
use crate::domain::known_facts::{KnownFacts, SharedFacts};
use crate::domain::time::UtcDay;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// All that is kept comes to at most so many bytes.
pub const SHELF_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What keeping anything costs by itself, in bytes.
const PLACE_BYTES: usize = 128;

/// Bounds what is kept. The oldest goes first.
pub struct Shelf {
    bytes_max: usize,
    bytes: Arc<AtomicUsize>,
    /// Beside whose facts something is kept, once each. Of facts that are gone so is what was kept.
    places: Mutex<VecDeque<Weak<KnownFacts>>>,
}

/// Something that was made of facts by some rules on one day.
struct Derived<T> {
    rules: Weak<TenantRules>,
    day: UtcDay,
    value: Arc<T>,
    #[expect(dead_code, reason = "kept for its drop")]
    room: Room,
}

/// The bytes that something takes until it is dropped.
struct Room {
    bytes: usize,
    of: Arc<AtomicUsize>,
}

impl Room {
    fn take(bytes: usize, of: &Arc<AtomicUsize>) -> Self {
        of.fetch_add(bytes, Ordering::Relaxed);
        Self { bytes, of: Arc::clone(of) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Default for Shelf {
    fn default() -> Self {
        Self::of(SHELF_BYTES_MAX)
    }
}

impl Shelf {
    /// Returns one with room for so many bytes.
    #[must_use]
    pub fn of(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: Arc::default(), places: Mutex::default() }
    }

    /// Returns what was made of these facts by these rules on this day, if it is kept and `fits`.
    pub(super) fn get<T: Any + Send + Sync>(
        facts: &SharedFacts,
        rules: &Arc<TenantRules>,
        day: UtcDay,
        fits: impl FnOnce(&T) -> bool,
    ) -> Option<Arc<T>> {
        let derived = facts.derived()?.downcast::<Derived<T>>().ok()?;
        let is_same = std::ptr::eq(derived.rules.as_ptr(), Arc::as_ptr(rules)) && derived.day == day;
        (is_same && fits(&derived.value)).then(|| Arc::clone(&derived.value))
    }

    /// Keeps something of so many bytes.
    pub(super) fn put<T: Any + Send + Sync>(
        &self,
        facts: &SharedFacts,
        rules: &Arc<TenantRules>,
        day: UtcDay,
        (value, bytes): (Arc<T>, usize),
    ) {
        let bytes = bytes + PLACE_BYTES;
        if bytes > self.bytes_max {
            return;
        }
        let (rules, room) = (Arc::downgrade(rules), Room::take(bytes, &self.bytes));
        let before = facts.derive(Some(Arc::new(Derived { rules, day, value, room })));
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if before.is_none() {
            if places.len() == places.capacity() {
                places.retain(|facts| facts.strong_count() > 0); // Before it grows.
            }
            places.push_back(Arc::downgrade(facts));
        }
        drop(before);
        while self.bytes.load(Ordering::Relaxed) > self.bytes_max {
            let Some(oldest) = places.pop_front() else { return };
            drop(oldest.upgrade().and_then(|facts| facts.derive(None)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::facts::UserFacts;
    use crate::domain::user::{Identity, User, UserNo};

    fn facts(number: u32) -> SharedFacts {
        KnownFacts::new(UserFacts::of(User::named(UserNo(number), Identity::default())))
    }

    fn value(shelf: &Shelf, of: &SharedFacts, rules: &Arc<TenantRules>, value: u32) {
        shelf.put(of, rules, UtcDay::from_number(1), (Arc::new(value), 1_000));
    }

    fn kept(of: &SharedFacts, rules: &Arc<TenantRules>, day: i32) -> Option<u32> {
        Shelf::get::<u32>(of, rules, UtcDay::from_number(day), |value| *value != 13).map(|value| *value)
    }

    #[test]
    fn only_what_was_made_of_the_same_facts_by_the_same_rules_on_the_same_day_is_found() {
        let (shelf, ann, bob) = (Shelf::default(), facts(1), facts(2));
        let (rules, others) = (Arc::<TenantRules>::default(), Arc::<TenantRules>::default());
        value(&shelf, &ann, &rules, 7);
        value(&shelf, &bob, &rules, 13);
        assert_eq!(kept(&ann, &rules, 1), Some(7));
        assert_eq!((kept(&ann, &rules, 2), kept(&ann, &others, 1)), (None, None));
        assert_eq!(kept(&bob, &rules, 1), None, "it does not fit");
        assert!(Shelf::get::<String>(&ann, &rules, UtcDay::from_number(1), |_| true).is_none());
    }

    #[test]
    fn what_goes_with_its_facts_or_is_made_anew_takes_no_more_room() {
        let shelf = Shelf::default();
        let (rules, ann) = (Arc::default(), facts(1));
        for number in 0..3 {
            value(&shelf, &ann, &rules, number);
            value(&shelf, &facts(2), &rules, number);
        }
        assert_eq!(
            (kept(&ann, &rules, 1), shelf.bytes.load(Ordering::Relaxed)),
            (Some(2), 1_000 + PLACE_BYTES)
        );
        drop(ann);
        assert_eq!(shelf.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_more_room() {
        let shelf = Shelf::of(3 * (1_000 + PLACE_BYTES));
        let (rules, people) = (Arc::default(), (0..5).map(facts).collect::<Vec<_>>());
        for (number, one) in (0..).zip(&people) {
            value(&shelf, one, &rules, number);
        }
        let found: Vec<_> = people.iter().map(|one| kept(one, &rules, 1)).collect();
        assert_eq!(found, [None, None, Some(2), Some(3), Some(4)]);
        shelf.put(&people[0], &rules, UtcDay::from_number(1), (Arc::new(9_u32), 10_000));
        assert_eq!(kept(&people[0], &rules, 1), None, "larger than all the room");
    }
}
