//! Sequences: collected, perhaps disguised, exfiltrated, perhaps deleted (`risk-model.md` 3).

use crate::domain::activities::{Activities, Row};
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
    let steps = || activities.within(window).filter_map(|row| Some((Step::of(&row, settings)?, row)));
    let mut objects: HashMap<String, Object> = HashMap::new();
    for (_, activity) in steps().filter(|(step, _)| *step == Step::Collection) {
        if let Some(name) = object_name(&activity) {
            objects.entry(name).or_default().list(Step::Collection).push(activity.at);
        }
    }
    if objects.is_empty() {
        return objects;
    }
    for (step, activity) in steps().filter(|(step, _)| *step != Step::Collection) {
        if let Some(object) = object_name(&activity).and_then(|name| objects.get_mut(&name)) {
            object.list(step).push(activity.at);
        }
    }
    objects
}

impl Step {
    fn of(activity: &Row<'_>, settings: &Settings) -> Option<Self> {
        if settings.shares(activity.indicator) {
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
fn object_name(activity: &Row<'_>) -> Option<String> {
    let name = activity.object_name().spell().rsplit(['/', '\\']).next()?.trim();
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::example::Example;
    use crate::domain::indicator::Indicator;

    const COLLECT: &str = "SpoDownload";
    const DISGUISE: &str = "EpoFileRenamed";
    const EXFILTRATE: &str = "CopyToUSB";
    const DELETE: &str = "EpoFileDeleted";

    /// What happened to `plan.docx`, so many seconds after some instant ten days ago.
    fn story(steps: &[(&str, i64)]) -> Example {
        let example = Example::new();
        let start = example.at(10);
        steps.iter().fold(example, |example, (indicator, seconds)| {
            example.touched(indicator, start + TimeDelta::seconds(*seconds), "plan.docx")
        })
    }

    fn scores(example: &Example) -> Vec<i32> {
        found(example).into_iter().map(|(_, score)| score).collect()
    }

    /// Days ago and score, the oldest first.
    fn found(example: &Example) -> Vec<(i32, i32)> {
        let horizon = Window { first: example.day(119), last: example.day(0) };
        let mut found: Vec<_> = insights(&example.facts.activities, &example.rules.settings, horizon)
            .into_iter()
            .map(|one| (example.day(0).since(one.day), one.score))
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }

    const WEEK: i64 = 7 * 24 * 3600;

    #[test]
    fn steps_add_up() {
        assert_eq!(scores(&story(&[(COLLECT, 0)])), Vec::<i32>::new());
        assert_eq!(scores(&story(&[(EXFILTRATE, 0)])), Vec::<i32>::new());
        assert_eq!(scores(&story(&[(DISGUISE, 0), (EXFILTRATE, 1), (DELETE, 2)])), Vec::<i32>::new());
        assert_eq!(scores(&story(&[(COLLECT, 0), (EXFILTRATE, 1)])), [40]);
        assert_eq!(scores(&story(&[(COLLECT, 0), (DISGUISE, 1), (EXFILTRATE, 2)])), [67]);
        assert_eq!(scores(&story(&[(COLLECT, 0), (EXFILTRATE, 2), (DELETE, 3)])), [67]);
        assert_eq!(scores(&story(&[(COLLECT, 0), (DISGUISE, 1), (EXFILTRATE, 2), (DELETE, 3)])), [90]);
    }

    #[test]
    fn seven_days_after_the_collection_it_is_over() {
        assert_eq!(scores(&story(&[(COLLECT, 0), (EXFILTRATE, WEEK)])), [40]);
        assert_eq!(scores(&story(&[(COLLECT, 0), (EXFILTRATE, WEEK + 1)])), Vec::<i32>::new());
        assert_eq!(scores(&story(&[(COLLECT, 0), (EXFILTRATE, 1), (DELETE, WEEK)])), [67]);
        assert_eq!(scores(&story(&[(COLLECT, 0), (EXFILTRATE, 1), (DELETE, WEEK + 1)])), [40]);
    }

    #[test]
    fn steps_of_one_instant_are_in_order_and_others_must_be() {
        let at_once = [(DELETE, 0), (EXFILTRATE, 0), (DISGUISE, 0), (COLLECT, 0)];
        assert_eq!(scores(&story(&at_once)), [90]);
        assert_eq!(scores(&story(&[(EXFILTRATE, 0), (COLLECT, 1)])), Vec::<i32>::new());
        assert_eq!(scores(&story(&[(DISGUISE, 0), (COLLECT, 1), (EXFILTRATE, 2)])), [40]);
        assert_eq!(scores(&story(&[(COLLECT, 1), (EXFILTRATE, 2), (DISGUISE, 3)])), [40]);
        assert_eq!(scores(&story(&[(COLLECT, 1), (DELETE, 2), (EXFILTRATE, 3)])), [40]);
    }

    #[test]
    fn the_best_of_all_collections_counts() {
        // The first collection has the disguise, the second the deletion, and no one has both.
        let apart = [(COLLECT, 0), (DISGUISE, 1), (COLLECT, 2), (EXFILTRATE, 3), (DELETE, WEEK + 1)];
        assert_eq!(scores(&story(&apart)), [67]);
        // One in the middle has both.
        let middle =
            [(COLLECT, 0), (COLLECT, 1), (DISGUISE, 1), (COLLECT, 2), (EXFILTRATE, 3), (DELETE, WEEK + 1)];
        assert_eq!(scores(&story(&middle)), [90]);
    }

    #[test]
    fn the_object_is_the_last_part_of_the_path_in_any_case() {
        let named = |collected: &str, exfiltrated: &str| {
            let example = Example::new();
            let at = example.at(3);
            scores(&example.touched(COLLECT, at, collected).touched(EXFILTRATE, at, exfiltrated))
        };
        assert_eq!(named("https://x/y/Plan.DOCX", "E:\\old\\ plan.docx "), [40]);
        assert_eq!(named("plan.docx", "plan.doc"), Vec::<i32>::new());
        assert_eq!(named("", ""), Vec::<i32>::new());
        assert_eq!(named("a/ ", "b/ "), Vec::<i32>::new());
        // ASCII only: other letters are told apart by case.
        assert_eq!(named("\u{c4}.txt", "\u{e4}.txt"), Vec::<i32>::new());
    }

    #[test]
    fn each_name_and_day_has_at_most_one() {
        let example = Example::new();
        let at = |days_ago| example.at(days_ago);
        let (a, b, c) = (at(5), at(4), at(3));
        let example = [(COLLECT, a), (EXFILTRATE, b), (EXFILTRATE, b + TimeDelta::hours(1)), (EXFILTRATE, c)]
            .into_iter()
            .fold(Example::new(), |example, (indicator, at)| {
                example.touched(indicator, at, "a.txt").touched(indicator, at, "b.txt")
            });
        assert_eq!(found(&example), [(4, 40), (4, 40), (3, 40), (3, 40)]);
        let better = example.touched(DISGUISE, b + TimeDelta::minutes(1), "a.txt");
        assert_eq!(found(&better), [(4, 67), (4, 40), (3, 67), (3, 40)]);
    }

    #[test]
    fn a_collection_that_is_shared_is_exfiltration_here() {
        let shared = |example: Example| {
            example.with(|example| {
                example.rules.settings.overrides.insert(Indicator::named(COLLECT), true);
            })
        };
        assert_eq!(scores(&shared(story(&[(COLLECT, 0), (EXFILTRATE, 1)]))), Vec::<i32>::new());
        assert_eq!(scores(&shared(story(&[("EpoFileArchived", 0), (COLLECT, 1)]))), [40]);
    }

    #[test]
    fn a_step_out_of_the_horizon_is_not_seen() {
        let example = Example::new();
        let (before, first) = (example.at(120), example.at(119));
        let with = |at| Example::new().touched(COLLECT, at, "a").touched(EXFILTRATE, first, "a");
        assert_eq!(found(&with(first)), [(119, 40)]);
        assert_eq!(found(&with(before)), Vec::<(i32, i32)>::new());
    }
}
