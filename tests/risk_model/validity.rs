//! An assessment holds until `valid_until` and not a nanosecond less or longer than the facts allow.

use super::draft::{any_facts, facts, midnight, now, rules};
use super::naive;
use super::run::run;
use chrono::{DateTime, Duration, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use riskshare::domain::facts::{TenantRules, UserFacts};
use riskshare::domain::level;
use riskshare::domain::severity::Severity;
use std::collections::BTreeSet;

/// What must not change while an assessment holds, as the naive model sees it.
fn judged(
    facts: &UserFacts,
    rules: &TenantRules,
    at: DateTime<Utc>,
) -> (Severity, i64, Option<DateTime<Utc>>) {
    let naive = naive::level::assess(facts, rules, at);
    (naive.severity, naive.score, naive.latest)
}

const INSTANT: Duration = Duration::nanoseconds(1);

#[test]
fn nothing_changes_before_valid_until() {
    let probes = vec(0_u32..1_000_000, 3);
    let tally = run(3_000, &(now(), rules(), any_facts(), probes), |(now, rules, facts, probes)| {
        let (rules, facts) = (rules.rules(), facts.facts(now));
        let real = level::assess(&facts, &rules, now);
        let until = real.valid_until;
        let before = judged(&facts, &rules, now);
        let span = until - now;
        let ahead = naive::level::facts_ahead(&facts, &rules.settings, now);
        let probes =
            probes.iter().map(|millionths| now + span * i32::try_from(*millionths).unwrap() / 1_000_000);
        let inside = probes.chain(ahead.iter().copied()).filter(|at| now <= *at && *at < until);
        for at in inside.chain([until - INSTANT]) {
            prop_assert_eq!(judged(&facts, &rules, at), before, "at {} of {}..{}", at, now, until);
        }
        let paper = naive::level::valid_until(&facts, now);
        prop_assert_eq!(until, ahead.iter().copied().fold(paper, Ord::min));
        let mut marks = vec![];
        if paper < midnight(now) + Duration::days(1) {
            marks.push("membership".to_owned());
        }
        if until < paper {
            marks.push("fact ahead".to_owned());
        }
        let after = judged(&facts, &rules, until);
        if after != before {
            marks.push("change".to_owned());
        }
        if after.0 != before.0 && until != midnight(until) {
            marks.push("level within a day".to_owned());
        }
        Ok(marks)
    });
    tally.expect(50, &["membership", "change"]);
    tally.expect(10, &["fact ahead"]);
    tally.expect(3, &["level within a day"]);
}

#[test]
fn the_level_of_an_idle_user_changes_only_where_one_assessment_ends_and_the_next_begins() {
    let facts = facts(0..=5, vec(super::draft::alert(), 0..2), 6);
    let tally = run(200, &(now(), rules(), facts), |(start, rules, facts)| {
        let (rules, facts) = (rules.rules(), facts.facts(start));
        let end = start + Duration::days(130);
        let mut ends = BTreeSet::new();
        let mut now = start;
        while now < end {
            let real = level::assess(&facts, &rules, now);
            prop_assert!(now < real.valid_until);
            let judged = judged(&facts, &rules, now);
            prop_assert_eq!((real.level, i64::from(real.score), real.latest_exfiltration), judged);
            ends.insert(real.valid_until);
            now = real.valid_until;
        }
        let mut marks = vec![];
        for at in candidates(&facts, start, end) {
            let (before, after) = (judged(&facts, &rules, at - INSTANT), judged(&facts, &rules, at));
            if before != after {
                prop_assert!(ends.contains(&at), "changes at {} from {:?} to {:?}", at, before, after);
                marks.push("change".to_owned());
            }
            if before.0 != after.0 {
                if at == midnight(at) {
                    marks.push("level at midnight".to_owned());
                }
                marks.push(format!("{:?} to {:?}", before.0, after.0));
            }
        }
        Ok(marks)
    });
    tally.expect(200, &["change", "level at midnight"]);
    tally.expect(10, &["High to None", "Medium to None", "Low to None"]);
}

/// Every instant after `start` at which something might change: midnights and the times of facts.
fn candidates(facts: &UserFacts, start: DateTime<Utc>, end: DateTime<Utc>) -> BTreeSet<DateTime<Utc>> {
    let midnights = (1..=130).map(|days| midnight(start) + Duration::days(days));
    let memberships = facts.memberships.values().flatten().flat_map(|i| [Some(i.from), i.until]).flatten();
    let activities = facts.activities.iter().map(|activity| activity.at);
    let triggers = facts.triggers.iter().map(|trigger| trigger.at);
    let all = midnights.chain(memberships).chain(activities).chain(triggers);
    all.filter(|at| start < *at && *at < end).collect()
}

#[test]
fn a_stranger_is_none_until_midnight() {
    run(200, &now(), |now| {
        let unknown = level::unknown(now);
        prop_assert_eq!(
            (unknown.level, unknown.score, unknown.latest_exfiltration),
            (Severity::None, 0, None)
        );
        prop_assert_eq!((unknown.as_of, unknown.valid_until), (now, midnight(now) + Duration::days(1)));
        Ok(vec![])
    });
}
