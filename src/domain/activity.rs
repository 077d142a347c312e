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

/// A user's activities, by day. Cheap to clone and to extend: a day that is not touched is shared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Activities {
    /// Sorted by day; each day sorted by time, then id; no day empty.
    days: Vec<(UtcDay, Arc<Vec<Activity>>)>,
}

impl Activities {
    /// Adds one.
    pub fn insert(&mut self, activity: Activity) {
        let day = activity.day();
        let at = self.days.partition_point(|(other, _)| *other < day);
        if self.days.get(at).is_none_or(|(other, _)| *other != day) {
            self.days.insert(at, (day, Arc::default()));
        }
        let rows = Arc::make_mut(&mut self.days[at].1);
        let row = rows.partition_point(|other| (other.at, &other.id) < (activity.at, &activity.id));
        rows.insert(row, activity);
    }

    /// Takes in another person's.
    pub fn absorb(&mut self, other: &Self) {
        for (day, rows) in &other.days {
            self.merge(*day, rows.iter().cloned());
        }
    }

    /// Finds the one of that id that happened at that instant.
    #[must_use]
    pub fn find(&self, at: DateTime<Utc>, id: &ActivityId) -> Option<&Activity> {
        let day = self.days.binary_search_by_key(&UtcDay::of(at), |(day, _)| *day).ok()?;
        let rows = &self.days[day].1;
        let row = rows.binary_search_by(|other| (other.at, &other.id).cmp(&(at, id))).ok()?;
        rows.get(row)
    }

    /// Returns the first day on which there is any.
    #[must_use]
    pub fn first_day(&self) -> Option<UtcDay> {
        self.days.first().map(|(day, _)| *day)
    }

    /// Adds some of one day, copying that day once.
    fn merge(&mut self, day: UtcDay, new: impl Iterator<Item = Activity>) {
        let mut rows: Vec<Activity> = new.collect();
        let at = self.days.partition_point(|(other, _)| *other < day);
        if let Some((_, known)) = self.days.get(at).filter(|(other, _)| *other == day) {
            rows.extend(known.iter().cloned());
        } else {
            self.days.insert(at, (day, Arc::default()));
        }
        rows.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        self.days[at].1 = Arc::new(rows);
    }

    /// Drops the days before `first`, and says how many activities that were.
    pub fn expire_before(&mut self, first: UtcDay) -> usize {
        let kept = self.days.partition_point(|(day, _)| *day < first);
        self.days.drain(..kept).map(|(_, rows)| rows.len()).sum()
    }

    /// Returns all, oldest first; those of one instant by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Activity> {
        self.days.iter().flat_map(|(_, rows)| rows.iter())
    }

    /// Returns the days of a window, oldest first, each with its activities.
    pub fn days(&self, window: Window) -> impl DoubleEndedIterator<Item = (UtcDay, &[Activity])> {
        let from = self.days.partition_point(|(day, _)| *day < window.first);
        let to = self.days.partition_point(|(day, _)| *day <= window.last).max(from);
        self.days[from..to].iter().map(|(day, rows)| (*day, rows.as_slice()))
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.days.iter().map(|(_, rows)| rows.len()).sum()
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }
}

/// Adds many at a cost of one copy of each day that they touch.
impl Extend<Activity> for Activities {
    fn extend<I: IntoIterator<Item = Activity>>(&mut self, all: I) {
        let mut by_day: BTreeMap<UtcDay, Vec<Activity>> = BTreeMap::new();
        for activity in all {
            by_day.entry(activity.day()).or_default().push(activity);
        }
        for (day, rows) in by_day {
            self.merge(day, rows.into_iter());
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
