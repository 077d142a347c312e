//! Section 3, derived insights.

use super::Seen;
use super::insight::{Insight, count};
use chrono::Duration;
use riskshare::domain::indicator::ActivityType;
use riskshare::domain::user::PersonalText;

/// The cumulative insight of a day of the last 30, with its count.
pub fn cumulative(seen: &[Seen], age: i64) -> Option<(Insight, i64)> {
    if age > 29 || !seen.iter().any(|a| a.shared && a.age == age) {
        return None;
    }
    let between = |first: i64, last: i64| {
        count(seen.iter().filter(|a| a.shared && first >= a.age && a.age >= last).count())
    };
    let c = between(age + 29, age);
    let b = between(age + 89, age + 30);
    if c >= 30 && 2 * c > 3 * b {
        let score = 100.min(34 + (2 * c - 3 * b) / 2);
        Some((Insight { age, score, marks: vec!["cumulative"] }, c))
    } else {
        None
    }
}

/// The object name: after the last slash or backslash, trimmed, in lower case.
#[expect(clippy::disallowed_methods, reason = "the model joins activities by the object's name")]
pub fn object_of(name: PersonalText<'_>) -> String {
    let mut last = String::new();
    for c in name.spell().chars() {
        if c == '/' || c == '\\' {
            last.clear();
        } else {
            last.push(c);
        }
    }
    last.trim().to_ascii_lowercase()
}

/// All sequence insights: the best of each object name and day of an exfiltration activity.
pub fn sequences(seen: &[Seen]) -> Vec<Insight> {
    let mut best: Vec<(String, Insight)> = Vec::new();
    for e in seen.iter().filter(|a| a.shared && !a.object.is_empty()) {
        for c in seen.iter().filter(|a| a.object == e.object) {
            let Some(insight) = sequence(seen, c, e) else { continue };
            match best.iter_mut().find(|(object, other)| *object == e.object && other.age == e.age) {
                Some((_, other)) if other.score >= insight.score => {}
                Some((_, other)) => *other = insight,
                None => best.push((e.object.clone(), insight)),
            }
        }
    }
    best.into_iter().map(|(_, insight)| insight).collect()
}

fn sequence(seen: &[Seen], c: &Seen, e: &Seen) -> Option<Insight> {
    let end = c.at + Duration::hours(7 * 24);
    if c.kind() != ActivityType::Collection || c.shared || c.at > e.at || e.at > end {
        return None;
    }
    let mut steps = 2;
    let mut marks = vec!["sequence"];
    let has = |kind, first, last| {
        seen.iter().any(|a| a.object == e.object && a.kind() == kind && first <= a.at && a.at <= last)
    };
    if has(ActivityType::Obfuscation, c.at, e.at) {
        steps += 1;
        marks.push("obfuscation");
    }
    if has(ActivityType::Deletion, e.at, end) {
        steps += 1;
        marks.push("deletion");
    }
    let score = [0, 0, 40, 67, 90][steps];
    Some(Insight { age: e.age, score, marks })
}
