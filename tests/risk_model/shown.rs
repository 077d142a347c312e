//! Reasons, summary and timeline are what the naive model says, and hidden activities leave no trace in them.

use super::draft::{Episode, INDICATORS, ago, any_facts, episode, now, rules};
use super::naive;
use super::naive::shown::{Reason, Summary};
use super::run::run;
use chrono::{DateTime, NaiveDate, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use riskshare::domain::facts::UserFacts;
use riskshare::domain::level;
use riskshare::domain::reason;
use riskshare::domain::settings::Settings;
use riskshare::domain::time::{UtcDay, Window};
use riskshare::domain::timeline;

/// All that the real model shows of a user, in the naive model's words.
#[derive(PartialEq, Debug)]
struct Shown {
    reasons: Vec<Reason>,
    summary: Summary,
    timeline: Vec<String>,
}

fn real(facts: &UserFacts, settings: &Settings, window: Window, now: DateTime<Utc>) -> Shown {
    let timeline = timeline::exfiltration(facts, settings, window);
    Shown {
        reasons: reasons(facts, settings, now),
        summary: summary(facts, settings, window),
        timeline: timeline.map(|row| row.activity().id.text()).collect(),
    }
}

fn reasons(facts: &UserFacts, settings: &Settings, now: DateTime<Utc>) -> Vec<Reason> {
    let all = reason::reasons(facts, settings, now).into_iter();
    all.map(|r| (r.indicator.name().to_owned(), date(r.day), r.count.into(), r.score.into(), r.severity))
        .collect()
}

fn summary(facts: &UserFacts, settings: &Settings, window: Window) -> Summary {
    let real = timeline::summarise(facts, settings, window);
    assert_eq!(real.window, window);
    let by_indicator = real.by_indicator.into_iter();
    let by_day = real.by_day.into_iter();
    Summary {
        total: real.total.into(),
        unusual_total: real.unusual_total.into(),
        by_indicator: by_indicator
            .map(|r| {
                let name = r.indicator.name().to_owned();
                (name, r.count.into(), r.unusual_count.into(), r.first_at, r.last_at)
            })
            .collect(),
        by_day: by_day.map(|r| (date(r.day), r.count.into(), r.unusual_count.into())).collect(),
    }
}

fn naive(facts: &UserFacts, settings: &Settings, window: Window, now: DateTime<Utc>) -> Shown {
    let (first, last) = (date(window.first), date(window.last));
    Shown {
        reasons: naive::shown::reasons(facts, settings, now),
        summary: naive::shown::summary(facts, settings, first, last),
        timeline: naive::shown::timeline(facts, settings, first, last),
    }
}

fn date(day: UtcDay) -> NaiveDate {
    day.start().date_naive()
}

/// The tenant's lookback, or another window.
fn window() -> impl Strategy<Value = Option<(i64, i64)>> {
    prop::option::weighted(0.3, (ago(), 0_i64..120))
}

fn window_of(draft: Option<(i64, i64)>, settings: &Settings, now: DateTime<Utc>) -> Window {
    let (last_ago, days) = draft.unwrap_or((0, i64::from(settings.lookback.days()) - 1));
    let ago = |days: i64| UtcDay::of(now - chrono::Duration::days(days));
    Window { first: ago(last_ago + days), last: ago(last_ago) }
}

#[test]
fn reasons_summary_and_timeline_are_those_of_the_naive_model() {
    let tally = run(5_000, &(now(), rules(), any_facts(), window()), |(now, rules, facts, window)| {
        let (settings, facts) = (rules.rules().settings, facts.facts(now));
        let window = window_of(window, &settings, now);
        let real = real(&facts, &settings, window, now);
        prop_assert_eq!(&real, &naive(&facts, &settings, window, now));
        let mut marks = marks(&real);
        let instants: Vec<_> = facts.activities.iter().map(|activity| activity.at).collect();
        if instants.windows(2).any(|two| two[0] == two[1]) {
            marks.push("same instant".to_owned());
        }
        Ok(marks)
    });
    tally.expect(20, &["Low", "Medium", "High", "cumulative", "no reason", "five reasons", "same score"]);
    tally.expect(20, &["unusual", "usual", "same count", "same instant", "nothing"]);
}

fn marks(shown: &Shown) -> Vec<String> {
    let mut marks: Vec<String> = shown.reasons.iter().map(|reason| format!("{:?}", reason.4)).collect();
    let mut mark = |is: bool, mark: &str| {
        if is {
            marks.push(mark.to_owned());
        }
    };
    mark(shown.reasons.iter().any(|r| r.0 == "CumulativeExfiltrationDetector"), "cumulative");
    mark(shown.reasons.is_empty(), "no reason");
    mark(shown.reasons.len() == 5, "five reasons");
    mark(shown.reasons.windows(2).any(|two| two[0].3 == two[1].3), "same score");
    mark(shown.summary.unusual_total > 0, "unusual");
    mark(shown.summary.unusual_total < shown.summary.total, "usual");
    mark(shown.summary.by_indicator.windows(2).any(|two| two[0].1 == two[1].1), "same count");
    mark(shown.timeline.is_empty(), "nothing");
    marks
}

#[test]
fn hidden_activities_change_nothing_that_is_shown_and_the_order_only_through_level_and_score() {
    let hidden = vec(episode((0..INDICATORS.len()).boxed()), 1..6);
    let tally = run(
        3_000,
        &(now(), rules(), any_facts(), hidden, window()),
        |(now, rules, facts, hidden, window)| {
            let (rules, facts) = (rules.rules(), facts.facts(now));
            let window = window_of(window, &rules.settings, now);
            let more = with_hidden(&facts, &hidden, &rules.settings, now);
            prop_assert_eq!(
                real(&facts, &rules.settings, window, now),
                real(&more, &rules.settings, window, now)
            );
            let (before, after) = (level::assess(&facts, &rules, now), level::assess(&more, &rules, now));
            prop_assert_eq!(before.latest_exfiltration, after.latest_exfiltration);
            prop_assert_eq!(before.valid_until, after.valid_until);
            let mut marks = vec![];
            if more.activities.len() > facts.activities.len() {
                marks.push("hidden".to_owned());
            }
            if before.score != after.score {
                marks.push("score".to_owned());
            }
            Ok(marks)
        },
    );
    tally.expect(500, &["hidden"]);
    tally.expect(10, &["score"]);
}

fn with_hidden(
    facts: &UserFacts,
    episodes: &[Episode],
    settings: &Settings,
    now: DateTime<Utc>,
) -> UserFacts {
    let mut more = facts.clone();
    for (index, episode) in episodes.iter().enumerate() {
        for activity in episode.activities(&format!("hidden-{index}"), now) {
            if !naive::is_shared(&activity.indicator, settings) {
                more.activities.insert(&activity);
            }
        }
    }
    more
}
