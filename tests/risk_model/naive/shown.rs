//! Section 8 and what is shown of a user: reasons, summary, timeline.

use super::insight::{base, count, is_unusual, of_day};
use super::{Seen, default_thresholds, derived, seen, severity};
use chrono::{DateTime, Days, NaiveDate, Utc};
use riskshare::domain::facts::UserFacts;
use riskshare::domain::indicator::Indicator;
use riskshare::domain::settings::Settings;
use riskshare::domain::severity::Severity;

/// A reason: indicator, day, count, score, severity.
pub type Reason = (String, NaiveDate, i64, i64, Severity);

pub fn reasons(facts: &UserFacts, settings: &Settings, now: DateTime<Utc>) -> Vec<Reason> {
    let today = now.date_naive();
    let seen = seen(facts, settings, today);
    let day = |age: i64| today - Days::new(u64::try_from(age).unwrap());
    let mut all = Vec::new();
    for a in seen.iter().filter(|a| a.shared && a.age < i64::from(settings.lookback.days())) {
        let n = count(of_day(&seen, &a.indicator, a.age).len());
        let score = base(n, default_thresholds(&a.indicator));
        let reason = (a.indicator.name().to_owned(), day(a.age), n, score, severity(score));
        if score > 0 && !all.contains(&reason) {
            all.push(reason);
        }
    }
    let mut cumulative = Vec::new();
    for age in 0..=29 {
        if let Some((insight, n)) = derived::cumulative(&seen, age) {
            let name = "CumulativeExfiltrationDetector".to_owned();
            cumulative.push((name, day(age), n, insight.score, severity(insight.score)));
        }
    }
    heaviest_first(&mut cumulative);
    all.extend(cumulative.into_iter().take(1));
    heaviest_first(&mut all);
    all.truncate(5);
    all
}

fn heaviest_first(reasons: &mut [Reason]) {
    reasons.sort_by(|a, b| b.3.cmp(&a.3).then(b.1.cmp(&a.1)).then(a.0.cmp(&b.0)));
}

/// The ids of the shared activities on the days `first..=last`, oldest first, those of one instant by id.
pub fn timeline(facts: &UserFacts, settings: &Settings, first: NaiveDate, last: NaiveDate) -> Vec<String> {
    let mut rows: Vec<(DateTime<Utc>, String)> = Vec::new();
    for activity in facts.activities.iter() {
        let day = activity.at.date_naive();
        if first <= day && day <= last && super::is_shared(activity.indicator, settings) {
            rows.push((activity.at, activity.id.text()));
        }
    }
    rows.sort();
    rows.into_iter().map(|(_, id)| id).collect()
}

/// Name, count, unusual count, first, last.
pub type IndicatorTotal = (String, i64, i64, DateTime<Utc>, DateTime<Utc>);

#[derive(PartialEq, Debug)]
pub struct Summary {
    pub total: i64,
    pub unusual_total: i64,
    pub by_indicator: Vec<IndicatorTotal>,
    /// Day, count, unusual count.
    pub by_day: Vec<(NaiveDate, i64, i64)>,
}

pub fn summary(facts: &UserFacts, settings: &Settings, first: NaiveDate, last: NaiveDate) -> Summary {
    let all = seen(facts, settings, last);
    let unusual = |a: &&Seen| is_unusual(&all, &a.indicator, a.age, 20);
    let day = |a: &Seen| a.at.date_naive();
    let shown: Vec<Seen> = all.iter().filter(|a| a.shared && first <= day(a)).cloned().collect();
    let totals = |of: &[&Seen]| {
        let unusual = of.iter().copied().filter(unusual).count();
        (count(of.len()), count(unusual))
    };

    let mut indicators: Vec<&Indicator> = shown.iter().map(|a| &a.indicator).collect();
    indicators.sort_by_key(|indicator| indicator.name());
    indicators.dedup();
    let mut by_indicator = Vec::new();
    for indicator in indicators {
        let of: Vec<&Seen> = shown.iter().filter(|a| a.indicator.name() == indicator.name()).collect();
        let (n, unusual) = totals(&of);
        let (first, last) = (of.iter().map(|a| a.at).min().unwrap(), of.iter().map(|a| a.at).max().unwrap());
        by_indicator.push((indicator.name().to_owned(), n, unusual, first, last));
    }
    by_indicator.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));

    let mut days: Vec<NaiveDate> = shown.iter().map(day).collect();
    days.sort();
    days.dedup();
    let mut by_day = Vec::new();
    for d in days {
        let of: Vec<&Seen> = shown.iter().filter(|a| day(a) == d).collect();
        let (n, unusual) = totals(&of);
        by_day.push((d, n, unusual));
    }

    let (total, unusual_total) = totals(&shown.iter().collect::<Vec<_>>());
    Summary { total, unusual_total, by_indicator, by_day }
}
