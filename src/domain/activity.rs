//! What a user did.

use crate::domain::ids::ActivityId;
use crate::domain::indicator::Indicator;
use crate::domain::time::{UtcDay, Window};
use crate::domain::user::Personal;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How sensitive content is, lowest first (`risk-model.md` 1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Sensitivity {
    /// No label.
    #[default]
    None,
    /// General.
    General,
    /// Confidential.
    Confidential,
    /// Highly confidential.
    HighlyConfidential,
}

/// One activity of a user, of any indicator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Activity {
    /// The source's id, unique in the tenant.
    pub id: ActivityId,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What it is a sign of.
    pub indicator: Indicator,
    /// The source's operation.
    pub operation: Arc<str>,
    /// The object's name or path; may be empty.
    pub object_name: Personal,
    /// Where the data went; may be empty.
    pub destination: Personal,
    /// How sensitive the content is.
    pub sensitivity: Sensitivity,
    /// The organisation does not allow the destination.
    pub unallowed_destination: bool,
}

impl Activity {
    /// Returns the day on which it counts.
    #[must_use]
    pub fn day(&self) -> UtcDay {
        UtcDay::of(self.at)
    }
}

/// A user's activities, by day. Cheap to clone and to extend: days that are not touched are shared, old ones all
/// together.
#[derive(Clone, Debug, Default)]
pub struct Activities {
    /// Sorted by day; no day empty; all before those of `recent`.
    old: Arc<Vec<Day>>,
    /// The same, at most [`RECENT_DAYS`].
    recent: Vec<Day>,
}

/// How many days a commit to a recent one copies a pointer to. More go to the old ones.
const RECENT_DAYS: usize = 6;

/// A day and its activities, sorted by time, then id.
type Day = (UtcDay, Arc<Vec<Activity>>);

impl Activities {
    /// Adds one.
    pub fn insert(&mut self, activity: Activity) {
        let rows = self.rows_mut(activity.day());
        let row = rows.partition_point(|other| (other.at, &other.id) < (activity.at, &activity.id));
        if rows.len() == rows.capacity() {
            // Most days hold one or two: by itself a vector would make room for four.
            rows.reserve_exact(1 + rows.len() / 4);
        }
        rows.insert(row, activity);
    }

    /// Takes in another person's.
    pub fn absorb(&mut self, other: &Self) {
        for (day, rows) in other.all_days() {
            self.merge(*day, rows.to_vec());
        }
    }

    /// Drops the days before `first`, and says how many activities that were.
    pub fn expire_before(&mut self, first: UtcDay) -> usize {
        let before = self.len();
        if self.old.first().is_some_and(|(day, _)| *day < first) {
            Arc::make_mut(&mut self.old).retain(|(day, _)| *day >= first);
        }
        self.recent.retain(|(day, _)| *day >= first);
        before - self.len()
    }

    /// Finds the one of that id that happened at that instant.
    #[must_use]
    pub fn find(&self, at: DateTime<Utc>, id: &ActivityId) -> Option<&Activity> {
        let day = UtcDay::of(at);
        let (_, rows) = self.days(Window { first: day, last: day }).next()?;
        let row = rows.binary_search_by(|other| (other.at, &other.id).cmp(&(at, id))).ok()?;
        rows.get(row)
    }

    /// Returns the first day on which there is any.
    #[must_use]
    pub fn first_day(&self) -> Option<UtcDay> {
        self.all_days().next().map(|(day, _)| *day)
    }

    /// Returns all, oldest first; those of one instant by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Activity> {
        self.all_days().flat_map(|(_, rows)| rows.iter())
    }

    /// Returns the days of a window, oldest first, each with its activities.
    pub fn days(&self, window: Window) -> impl DoubleEndedIterator<Item = (UtcDay, &[Activity])> {
        let (old, recent) = (within(&self.old, window), within(&self.recent, window));
        old.iter().chain(recent).map(|(day, rows)| (*day, rows.as_slice()))
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all_days().map(|(_, rows)| rows.len()).sum()
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.old.is_empty() && self.recent.is_empty()
    }

    fn all_days(&self) -> impl DoubleEndedIterator<Item = &Day> {
        self.old.iter().chain(&self.recent)
    }

    /// Adds some of one day, copying that day once.
    fn merge(&mut self, day: UtcDay, mut new: Vec<Activity>) {
        let rows = self.rows_mut(day);
        new.reserve_exact(rows.len());
        new.append(rows);
        new.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        new.shrink_to_fit();
        *rows = new;
    }

    /// Returns the rows of a day that is about to get one.
    fn rows_mut(&mut self, day: UtcDay) -> &mut Vec<Activity> {
        let is_old = self.old.last().is_some_and(|(last, _)| day <= *last);
        if !is_old && self.recent.len() > RECENT_DAYS {
            // Half of them go at once: the old ones are copied rarely.
            Arc::make_mut(&mut self.old).extend(self.recent.drain(..RECENT_DAYS / 2));
            return self.rows_mut(day);
        }
        let days = if is_old { Arc::make_mut(&mut self.old) } else { &mut self.recent };
        let at = days.partition_point(|(other, _)| *other < day);
        if days.get(at).is_none_or(|(other, _)| *other != day) {
            days.insert(at, (day, Arc::default()));
        }
        Arc::make_mut(&mut days[at].1)
    }
}

fn within(days: &[Day], window: Window) -> &[Day] {
    let from = days.partition_point(|(day, _)| *day < window.first);
    let to = days.partition_point(|(day, _)| *day <= window.last).max(from);
    &days[from..to]
}

/// Which days are old depends on the order of arrival, and means nothing.
impl PartialEq for Activities {
    fn eq(&self, other: &Self) -> bool {
        self.all_days().eq(other.all_days())
    }
}

impl Eq for Activities {}

/// Adds many at a cost of one copy of each day that they touch.
impl Extend<Activity> for Activities {
    fn extend<I: IntoIterator<Item = Activity>>(&mut self, all: I) {
        let mut by_day: BTreeMap<UtcDay, Vec<Activity>> = BTreeMap::new();
        for activity in all {
            by_day.entry(activity.day()).or_default().push(activity);
        }
        for (day, rows) in by_day {
            self.merge(day, rows);
        }
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
    use super::*;

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

    #[test]
    fn activities_keep_their_order_whatever_the_order_of_arrival() {
        let mut all = [
            at("b", "2026-01-02T08:00:00Z"),
            at("a", "2026-01-02T08:00:00Z"),
            at("c", "2026-01-01T09:00:00Z"),
        ];
        let forward: Activities = all.iter().cloned().collect();
        all.reverse();
        assert_eq!(forward, all.into_iter().collect());
        let ids: Vec<_> = forward.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["c", "a", "b"]);
        let mut one_by_one = Activities::default();
        forward.iter().rev().for_each(|activity| one_by_one.insert(activity.clone()));
        assert_eq!(one_by_one, forward);
    }

    #[test]
    fn an_activity_is_found_by_its_instant_and_id() {
        let known = at("a", "2026-01-02T08:00:00Z");
        let all: Activities = [known.clone(), at("b", "2026-01-02T08:00:00Z")].into_iter().collect();
        assert_eq!(all.find(known.at, &known.id), Some(&known));
        assert_eq!(all.find(known.at, &ActivityId::new("c").unwrap()), None);
        assert_eq!(all.find("2026-01-03T08:00:00Z".parse().unwrap(), &known.id), None);
    }

    #[test]
    fn days_are_in_order_however_far_apart_they_came() {
        let day = |n: i32| UtcDay::from_number(20_000 + n);
        let one = |n: i32| Activity { at: day(n).start(), ..at(&n.to_string(), "2026-01-01T00:00:00Z") };
        let order: Vec<i32> = (0..40).map(|n| n * 17 % 40).collect();
        let mut all = Activities::default();
        let mut before = Vec::new();
        for n in &order {
            before.push(all.clone());
            all.insert(one(*n));
        }
        assert_eq!(all, order.iter().map(|n| one(*n)).collect());
        for (n, shared) in before.iter().enumerate() {
            assert_eq!(shared.len(), n);
        }
        let window = Window { first: day(5), last: day(30) };
        let found: Vec<_> = all.days(window).map(|(day, _)| day).collect();
        assert_eq!(found, (5..=30).map(day).collect::<Vec<_>>());
        assert_eq!(all.expire_before(day(20)), 20);
        assert_eq!(all.first_day(), Some(day(20)));
        assert_eq!(all, (20..40).map(one).collect());
    }

    #[test]
    fn a_window_holds_both_its_ends_and_expiry_drops_what_is_before() {
        let mut all: Activities =
            (1..=5).map(|d| at(&d.to_string(), &format!("2026-01-0{d}T00:00:00Z"))).collect();
        let day = |d: i32| UtcDay::parse(&format!("2026-01-0{d}")).unwrap();
        let window = Window { first: day(2), last: day(4) };
        assert_eq!(all.days(window).count(), 3);
        assert_eq!(all.expire_before(day(4)), 3);
        assert_eq!(all.len(), 2);
    }
}
