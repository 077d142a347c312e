//! Sequences: collected, perhaps disguised, exfiltrated, perhaps deleted (`risk-model.md` 3).

use crate::domain::activity::{Activities, Activity};
use crate::domain::indicator::ActivityType;
use crate::domain::settings::Settings;
use crate::domain::time::{UtcDay, Window};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, HashMap};

/// How long after its collection an object counts as part of one sequence.
const SPAN: TimeDelta = TimeDelta::days(7);

/// A sequence that ended in exfiltration on `day`. It has no booster, and nothing of it is ever shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SequenceInsight {
    /// The day of the exfiltration.
    pub day: UtcDay,
    /// 40, 67 or 90, for 2, 3 or 4 steps.
    pub score: i32,
}

/// A step that an activity can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Collection,
    Obfuscation,
    Exfiltration,
    Deletion,
}

/// What happened to the objects of one name. Each list is in order of time.
#[derive(Default)]
struct Object {
    collected: Vec<DateTime<Utc>>,
    obfuscated: Vec<DateTime<Utc>>,
    exfiltrated: Vec<DateTime<Utc>>,
    deleted: Vec<DateTime<Utc>>,
}

/// Returns the sequences of the window: for each object name and day of exfiltration the one with most steps.
#[must_use]
pub fn insights(activities: &Activities, settings: &Settings, window: Window) -> Vec<SequenceInsight> {
    objects(activities, settings, window).values().flat_map(Object::insights).collect()
}

/// Sorts the steps by the object's name: of objects that were collected, as all others are in no sequence.
fn objects(activities: &Activities, settings: &Settings, window: Window) -> HashMap<String, Object> {
    let steps = || {
        let activities = activities.days(window).flat_map(|(_, rows)| rows);
        activities.filter_map(|activity| Some((Step::of(activity, settings)?, activity)))
    };
    let mut objects: HashMap<String, Object> = HashMap::new();
    for (_, activity) in steps().filter(|(step, _)| *step == Step::Collection) {
        if let Some(name) = object_name(activity) {
            objects.entry(name).or_default().list(Step::Collection).push(activity.at);
        }
    }
    if objects.is_empty() {
        return objects;
    }
    for (step, activity) in steps().filter(|(step, _)| *step != Step::Collection) {
        if let Some(object) = object_name(activity).and_then(|name| objects.get_mut(&name)) {
            object.list(step).push(activity.at);
        }
    }
    objects
}

impl Step {
    fn of(activity: &Activity, settings: &Settings) -> Option<Self> {
        if settings.shares(&activity.indicator) {
            return Some(Self::Exfiltration);
        }
        match activity.indicator.activity_type() {
            ActivityType::Collection => Some(Self::Collection),
            ActivityType::Obfuscation => Some(Self::Obfuscation),
            ActivityType::Deletion => Some(Self::Deletion),
            _ => None,
        }
    }
}

impl Object {
    fn list(&mut self, step: Step) -> &mut Vec<DateTime<Utc>> {
        match step {
            Step::Collection => &mut self.collected,
            Step::Obfuscation => &mut self.obfuscated,
            Step::Exfiltration => &mut self.exfiltrated,
            Step::Deletion => &mut self.deleted,
        }
    }

    fn insights(&self) -> Vec<SequenceInsight> {
        let mut best: BTreeMap<UtcDay, i32> = BTreeMap::new();
        for &at in &self.exfiltrated {
            if let Some(score) = self.score(at) {
                let day = best.entry(UtcDay::of(at)).or_default();
                *day = score.max(*day);
            }
        }
        best.into_iter().map(|(day, score)| SequenceInsight { day, score }).collect()
    }

    /// Returns the score of the best sequence that an exfiltration at that instant ends, if any.
    ///
    /// An obfuscation serves every collection up to the latest one before the exfiltration, a deletion every
    /// collection from seven days before the earliest one after it: so a look at the bounds finds the best of all
    /// collections.
    fn score(&self, at: DateTime<Utc>) -> Option<i32> {
        let earliest = at - SPAN;
        let disguised_until = last_until(&self.obfuscated, at);
        let erased_from = first_from(&self.deleted, at).map(|deleted| deleted - SPAN);
        let collected = |from: DateTime<Utc>, until: DateTime<Utc>| {
            first_from(&self.collected, from).is_some_and(|collected| collected <= until)
        };
        let disguised = disguised_until.is_some_and(|until| collected(earliest, until));
        let erased = erased_from.is_some_and(|from| collected(from, at));
        let both = disguised_until.zip(erased_from).is_some_and(|(until, from)| collected(from, until));
        match (collected(earliest, at), disguised || erased, both) {
            (false, _, _) => None,
            (true, false, _) => Some(40),
            (true, true, false) => Some(67),
            (true, true, true) => Some(90),
        }
    }
}

/// Returns the first instant at or after `from`.
fn first_from(sorted: &[DateTime<Utc>], from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    sorted.get(sorted.partition_point(|at| *at < from)).copied()
}

/// Returns the last instant at or before `until`.
fn last_until(sorted: &[DateTime<Utc>], until: DateTime<Utc>) -> Option<DateTime<Utc>> {
    sorted[..sorted.partition_point(|at| *at <= until)].last().copied()
}

/// Returns by what name an object is told from others: the last part of its path, trimmed, in ASCII lower case.
#[expect(clippy::disallowed_methods, reason = "the name is compared and dropped, never handed out")]
fn object_name(activity: &Activity) -> Option<String> {
    let name = activity.object_name.spell().rsplit(['/', '\\']).next()?.trim();
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}
