//! Over any history of commits, the same risk alerts open and rise as in the naive model.

use super::draft::{FactsDraft, alert, any_facts, facts, now, rules};
use super::naive;
use super::run::run;
use chrono::{DateTime, Duration, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use riskshare::domain::facts::{TenantRules, UserFacts};
use riskshare::domain::ids::{PolicyId, RiskAlertId, TenantId};
use riskshare::domain::risk_alert;
use riskshare::domain::risk_alert::{Origin, RiskAlert, Status};
use riskshare::domain::severity::Severity;
use riskshare::domain::time::UtcDay;
use uuid::Uuid;

/// Facts that come in together, after analysts have decided.
#[derive(Clone, Debug)]
struct Commit {
    hours_later: i64,
    /// Which open alert, and whether it goes towards a case.
    decisions: Vec<(usize, bool)>,
    facts: FactsDraft,
}

fn commit() -> impl Strategy<Value = Commit> {
    let hours_later = select(vec![0, 1, 5, 24, 24, 24, 72, 24 * 7, 24 * 30, 24 * 119, 24 * 120]);
    let imports = prop_oneof![6 => Just(vec![]), 1 => vec(alert(), 1..2)];
    (hours_later, vec((0_usize..2, prop::bool::weighted(0.3)), 0..2), facts(0..=1, imports, 4)).prop_map(
        |(hours_later, decisions, facts)| Commit { hours_later, decisions, facts: import_only(facts) },
    )
}

/// Of alerts, only imported ones come in.
fn import_only(mut facts: FactsDraft) -> FactsDraft {
    facts.alerts.iter_mut().for_each(|alert| alert.imported = alert.imported.or(Some(true)));
    facts
}

impl Commit {
    fn apply(&self, facts: &mut UserFacts, nth: usize, now: DateTime<Utc>) {
        self.facts.add_to(facts, &format!("commit-{nth}"), now);
        for (index, towards_case) in &self.decisions {
            let mut open: Vec<&mut RiskAlert> = facts
                .alerts
                .values_mut()
                .filter(|alert| naive::alert::is_open(alert, now.date_naive()))
                .collect();
            open.sort_by_key(|alert| key(alert));
            if let Some(alert) = open.into_iter().nth(*index) {
                decide(alert, *towards_case, now);
            }
        }
    }
}

fn decide(alert: &mut RiskAlert, towards_case: bool, now: DateTime<Utc>) {
    alert.status = match (alert.status, towards_case) {
        (Status::NeedsReview, true) => Status::Confirmed,
        (Status::Confirmed, true) => Status::Resolved,
        _ => Status::Dismissed,
    };
    alert.updated_at = now;
    alert.closed_at = alert.status.is_closed().then_some(now);
}

type Key = (String, bool, DateTime<Utc>, i32);

/// Names an alert without its id, which each model chooses for itself.
fn key(alert: &RiskAlert) -> Key {
    (alert.policy.as_str().to_owned(), alert.origin == Origin::Engine, alert.created_at, alert.score)
}

/// Alerts in an order that does not depend on their ids, without those.
fn without_ids<'a>(alerts: impl IntoIterator<Item = &'a RiskAlert>) -> Vec<(Key, String)> {
    let mut all: Vec<_> = alerts
        .into_iter()
        .map(|a| (key(a), format!("{:?}", (a.severity, a.status, a.origin, a.updated_at, a.closed_at))))
        .collect();
    all.sort();
    all
}

fn keep(facts: &mut UserFacts, alerts: Vec<RiskAlert>) {
    facts.alerts.extend(alerts.into_iter().map(|alert| (alert.id.clone(), alert)));
}

#[test]
fn a_history_of_commits_opens_and_raises_the_alerts_of_the_naive_model() {
    let start = any_facts().prop_map(|facts| import_only(FactsDraft { alerts: vec![], ..facts }));
    let tally =
        run(2_500, &(now(), rules(), start, vec(commit(), 1..9)), |(start, rules, first, commits)| {
            let rules = rules.rules();
            let mut now = start;
            let mut real = first.facts(now);
            let mut naive = real.clone();
            let mut marks = vec![];
            for (nth, commit) in commits.iter().enumerate() {
                now += Duration::hours(commit.hours_later);
                commit.apply(&mut real, nth, now);
                commit.apply(&mut naive, nth, now);
                marks.extend(evaluate(&mut real, &mut naive, &rules, now)?);
            }
            Ok(marks)
        });
    tally.expect(30, &["opened", "raised", "new after a closed one", "nothing", "old enough to expire"]);
    tally.expect(5, &["new after an expired one", "import holds the place"]);
}

fn evaluate(
    real: &mut UserFacts,
    naive: &mut UserFacts,
    rules: &TenantRules,
    now: DateTime<Utc>,
) -> Result<Vec<String>, TestCaseError> {
    let tenant = TenantId::new(Uuid::from_u128(1));
    let by_real = risk_alert::evaluate(tenant, real, rules, now);
    let by_naive = naive::alert::evaluate(naive, rules, now);
    prop_assert_eq!(without_ids(&by_real), without_ids(&by_naive));
    for alert in &by_real {
        let before = real.alerts.get(&alert.id);
        let is_its_own =
            before.is_none_or(|b| (&b.policy, b.created_at) == (&alert.policy, alert.created_at));
        prop_assert!(is_its_own, "the id of another alert");
    }
    let marks = marks(real, &by_real, rules, now);
    keep(real, by_real);
    keep(naive, by_naive);
    prop_assert_eq!(without_ids(real.alerts.values()), without_ids(naive.alerts.values()));
    prop_assert_eq!(risk_alert::evaluate(tenant, real, rules, now), vec![], "evaluated twice");
    for alert in real.alerts.values() {
        for days in [0, 1, 118, 119, 120, 121] {
            let later = now + Duration::days(days);
            prop_assert_eq!(
                alert.is_open(UtcDay::of(later)),
                naive::alert::is_open(alert, later.date_naive())
            );
        }
    }
    Ok(marks)
}

fn marks(facts: &UserFacts, changed: &[RiskAlert], rules: &TenantRules, now: DateTime<Utc>) -> Vec<String> {
    let mut marks = vec![];
    let mut mark = |is: bool, mark: &str| {
        if is {
            marks.push(mark.to_owned());
        }
    };
    mark(changed.is_empty(), "nothing");
    let is_expired = |a: &RiskAlert| !a.status.is_closed() && !naive::alert::is_open(a, now.date_naive());
    mark(facts.alerts.values().any(is_expired), "old enough to expire");
    for alert in changed {
        let is_new = !facts.alerts.contains_key(&alert.id);
        mark(is_new, "opened");
        mark(!is_new, "raised");
        let mut others = facts.alerts.values().filter(|other| is_new && other.policy == alert.policy);
        mark(others.clone().any(|other| other.status.is_closed()), "new after a closed one");
        mark(others.any(is_expired), "new after an expired one");
    }
    for policy in rules.policies.values() {
        let score =
            naive::score::of_policy(facts, &rules.settings, policy, now).map_or(0, |scored| scored.score);
        let mut open = facts
            .alerts
            .values()
            .filter(|a| a.policy == policy.id && naive::alert::is_open(a, now.date_naive()))
            .peekable();
        let is_held = open.peek().is_some() && open.all(|alert| alert.origin != Origin::Engine);
        mark(is_held && score >= i64::from(policy.alert_threshold), "import holds the place");
    }
    marks
}

/// Records of one imported alert, many of one instant.
fn records() -> impl Strategy<Value = Vec<RiskAlert>> {
    let statuses = vec![Status::NeedsReview, Status::Confirmed, Status::Resolved, Status::Dismissed];
    let severities = vec![Severity::Low, Severity::Medium, Severity::High];
    let record = (0_i64..3, 0_i64..3, select(statuses), select(severities), any::<bool>(), 0_i64..2);
    let record = record.prop_map(|(created, updated, status, severity, exfiltration, closed)| {
        let at = |hour: i64| DateTime::from_timestamp(hour * 3600, 0).unwrap();
        RiskAlert {
            id: RiskAlertId::new("risk-1").unwrap(),
            policy: PolicyId::new(["p", "q"][usize::from(closed == 1)]).unwrap(),
            severity,
            score: severity.cut(),
            status,
            origin: Origin::Imported { exfiltration },
            created_at: at(created),
            updated_at: at(updated + 3),
            closed_at: status.is_closed().then(|| at(updated + closed)),
        }
    });
    vec(record, 1..6)
}

#[test]
fn records_of_one_alert_end_in_one_state_in_whatever_order_they_arrive() {
    let orders = records().prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle()));
    let tally = run(2_000, &orders, |(records, shuffled)| {
        let end = |records: &[RiskAlert]| {
            let (first, others) = records.split_first().unwrap();
            others.iter().fold(first.clone(), |known, record| known.updated(record).unwrap_or(known))
        };
        let (last, again) = (end(&records), end(&shuffled));
        prop_assert_eq!(&last, &again);
        prop_assert_eq!(last.updated(&records[0]), None, "a record that comes again");
        let latest: Vec<_> = records.iter().filter(|record| record.updated_at == last.updated_at).collect();
        prop_assert!(records.iter().all(|record| record.updated_at <= last.updated_at));
        let is_closed = latest.iter().any(|record| record.status.is_closed());
        prop_assert_eq!(last.status.is_closed(), is_closed, "closed counts before open");
        let of_kind = latest.iter().filter(|record| record.status.is_closed() == is_closed);
        prop_assert_eq!(Some(last.severity), of_kind.map(|record| record.severity).max());
        Ok(if latest.len() > 1 { vec!["tie".to_owned()] } else { vec![] })
    });
    tally.expect(200, &["tie"]);
}
