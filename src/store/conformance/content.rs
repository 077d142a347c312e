//! Promises about what is exported of risk alerts.

use super::reviews::{decision, imported, raised};
use super::{Place, asked, commit, decided, did, member, noon, person, policy, sid, tenant, today};
use crate::domain::audit::{AuditOutcome, SERVER_CHAIN};
use crate::domain::content::{AlertRecord, Content, ContentQuery, RECORDS_MAX};
use crate::domain::facts::Fact;
use crate::domain::ids::RiskAlertId;
use crate::domain::risk_alert::{RiskAlert, Status};
use crate::domain::settings::Settings;
use crate::domain::severity::Severity;
use crate::domain::user::Identity;
use crate::store::Store;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

async fn turn(store: &Arc<dyn Store>, t: u128, on: bool) {
    let version = store.settings(tenant(t)).await.unwrap().version;
    let settings = Settings { alert_export: on, ..Settings::default() };
    store.change_settings(tenant(t), version, settings, decided()).await.unwrap();
}

async fn all(store: &Arc<dyn Store>) -> Vec<Arc<Content>> {
    store.contents(&ContentQuery { size: usize::MAX, ..ContentQuery::default() }).await.unwrap()
}

fn records(contents: &[Arc<Content>]) -> Vec<&AlertRecord> {
    contents.iter().flat_map(|content| &content.records).collect()
}

fn told<'a>(records: &[&'a AlertRecord]) -> Vec<(&'a str, Status, bool)> {
    records.iter().map(|one| (one.alert.id.as_str(), one.alert.status, one.first)).collect()
}

pub async fn what_changes_while_export_is_on_is_exported_once(place: impl Place) {
    let store = place.open();
    commit(
        &store,
        tenant(0),
        vec![Fact::Policy(policy("p")), raised("ann", imported("before", 9, Severity::Low))],
    )
    .await;
    assert_eq!(store.publish(noon()).await.unwrap(), 0);
    turn(&store, 0, true).await;
    let update = RiskAlert { status: Status::Confirmed, ..imported("before", 1, Severity::Low) };
    commit(&store, tenant(0), vec![raised("ann", imported("new", 2, Severity::High)), raised("ann", update)])
        .await;
    commit(&store, tenant(1), vec![raised("ann", imported("elsewhere", 2, Severity::High))]).await;
    drop(store);
    let store = place.open();
    assert_eq!(store.publish(noon()).await.unwrap(), 1);
    assert_eq!(store.publish(noon()).await.unwrap(), 0);
    let closing = decision("before", Status::Resolved);
    store
        .decide(tenant(0), closing, asked("UpdateRiskAlertStatus", AuditOutcome::Changed))
        .await
        .unwrap()
        .unwrap();
    drop(store);
    let store = place.open();
    // A clock that goes back makes nothing older than what is listed.
    assert_eq!(store.publish(noon() - TimeDelta::hours(3)).await.unwrap(), 1);
    let contents = all(&store).await;
    let expected = [
        ("new", Status::NeedsReview, true),
        ("before", Status::Confirmed, true),
        ("before", Status::Resolved, false),
    ];
    assert_eq!(told(&records(&contents)), expected);
    assert_eq!(
        contents.iter().map(|one| (one.number, one.created)).collect::<Vec<_>>(),
        [(1, noon()), (2, noon())]
    );
    assert_eq!(records(&contents)[0].policy_name.as_deref(), Some("Data leaks"));
    // What was due when export is turned off is not exported, now or later.
    commit(&store, tenant(0), vec![raised("bob", imported("late", 2, Severity::Low))]).await;
    turn(&store, 0, false).await;
    turn(&store, 0, true).await;
    assert_eq!(store.publish(noon()).await.unwrap(), 0);
}

pub async fn a_raised_alert_is_exported_with_its_trigger_and_each_rise(place: impl Place) {
    let store = place.open();
    turn(&store, 0, true).await;
    let copies = |from: usize, to: usize| {
        (from..to).map(|n| did(person("ann"), super::copied(&n.to_string(), 1))).collect::<Vec<_>>()
    };
    commit(&store, tenant(0), vec![Fact::Policy(policy("p")), member(person("ann"), "p")]).await;
    for (from, to) in [(0, 5), (5, 6), (6, 40)] {
        commit(&store, tenant(0), copies(from, to)).await;
    }
    store.publish(noon()).await.unwrap();
    let contents = all(&store).await;
    let told: Vec<_> =
        records(&contents).iter().map(|one| (one.alert.severity, one.first, one.triggered_at)).collect();
    let trigger = Some(noon() - TimeDelta::days(1));
    assert_eq!(told, [(Severity::Medium, true, trigger), (Severity::High, false, trigger)]);
    assert!(records(&contents)[0].identity.has(&super::address("ann")));
}

pub async fn what_is_due_of_two_who_turn_out_to_be_one_is_exported(place: impl Place) {
    let store = place.open();
    turn(&store, 0, true).await;
    let story = |n: u32, name: &str| {
        let (known, both) = (Identity::default().with(sid(n)), person(name).with(sid(n)));
        let did = |who, part| did(who, super::copied(&format!("{n} {part}"), 1));
        vec![did(known, 1), raised(name, imported(name, 2, Severity::High)), did(both, 2)]
    };
    commit(&store, tenant(0), story(1, "ann")).await;
    for fact in story(2, "bob") {
        commit(&store, tenant(0), vec![fact]).await;
    }
    assert_eq!(store.publish(noon()).await.unwrap(), 1);
    let contents = all(&store).await;
    let expected = [("ann", Status::NeedsReview, true), ("bob", Status::NeedsReview, true)];
    assert_eq!(told(&records(&contents)), expected);
    assert!(records(&contents).iter().all(|one| one.identity.keys().count() == 2), "the names of both");
}

pub async fn many_changes_make_several_blobs_that_are_read_in_order(place: impl Place) {
    let store = place.open();
    turn(&store, 0, true).await;
    turn(&store, 1, true).await;
    let count = RECORDS_MAX + 1;
    let many = (0..count).map(|n| raised("ann", imported(&n.to_string(), 2, Severity::Low)));
    commit(&store, tenant(0), many.collect()).await;
    commit(&store, tenant(1), vec![raised("ann", imported("elsewhere", 2, Severity::High))]).await;
    let day = TimeDelta::days(1);
    assert_eq!(store.publish(noon() - day).await.unwrap(), 3);
    commit(&store, tenant(0), vec![raised("bob", imported("later", 2, Severity::Low))]).await;
    assert_eq!(store.publish(noon()).await.unwrap(), 1);
    drop(store);
    let store = place.open();
    let of = ContentQuery { tenant: Some(tenant(0)), size: 9, ..ContentQuery::default() };
    let sizes = async |query: ContentQuery| {
        let contents = store.contents(&query).await.unwrap();
        contents.iter().map(|content| content.records.len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(of.clone()).await, [RECORDS_MAX, 1, 1]);
    assert_eq!(sizes(ContentQuery { size: 1, ..of.clone() }).await, [RECORDS_MAX]);
    assert_eq!(sizes(ContentQuery { until: Some(noon()), ..of.clone() }).await, [RECORDS_MAX, 1]);
    assert_eq!(sizes(ContentQuery { from: Some(noon()), ..of.clone() }).await, [1]);
    let last = store.contents(&of).await.unwrap().last().unwrap().number;
    assert!(sizes(ContentQuery { after: last, ..of.clone() }).await.is_empty());
    assert!(sizes(ContentQuery { after: u64::MAX, ..of.clone() }).await.is_empty());
    let everybody = all(&store).await;
    assert!(everybody.iter().map(|content| content.number).eq(1..=4), "numbers go on over all tenants");
    // Whole days go, and no number comes again.
    assert_eq!(store.expire_contents(today()).await.unwrap(), 3);
    assert_eq!(sizes(of.clone()).await, [1]);
    assert_eq!(store.expire_contents(today().plus(1)).await.unwrap(), 1);
    drop(store);
    let store = place.open();
    commit(&store, tenant(0), vec![raised("bob", imported("last", 2, Severity::Low))]).await;
    store.publish(noon()).await.unwrap();
    assert_eq!(all(&store).await[0].number, 5);
}

pub async fn nothing_of_an_erased_person_is_exported_any_more(place: impl Place) {
    let store = place.open();
    turn(&store, 0, true).await;
    turn(&store, 1, true).await;
    let both = || {
        vec![raised("ann", imported("a", 2, Severity::Low)), raised("bob", imported("b", 2, Severity::Low))]
    };
    commit(&store, tenant(0), both()).await;
    commit(&store, tenant(1), both()).await;
    store.publish(noon()).await.unwrap();
    let update = |id: &str| RiskAlert { status: Status::Confirmed, ..imported(id, 1, Severity::Low) };
    commit(&store, tenant(0), vec![raised("ann", update("a")), raised("bob", update("b"))]).await;
    store.erase(tenant(0), &person("ann"), asked("DeleteUser", AuditOutcome::Changed)).await.unwrap();
    let check = async |store: &Arc<dyn Store>| {
        let contents = all(store).await;
        let of = |t: u128| contents.iter().filter(|one| one.tenant == tenant(t)).cloned().collect::<Vec<_>>();
        let ids: Vec<_> = told(&records(&of(0))).into_iter().map(|(id, ..)| id.to_owned()).collect();
        assert_eq!(ids, ["b", "b"]);
        assert_eq!(records(&of(1)).len(), 2);
    };
    store.publish(noon()).await.unwrap();
    check(&store).await;
    drop(store);
    check(&place.open()).await;
}

pub async fn a_note_is_replaced_by_whoever_knows_what_it_says(place: impl Place) {
    let store = place.open();
    let note =
        async |store: &Arc<dyn Store>| store.note(tenant(0), "a").await.unwrap().map(|text| text.to_string());
    assert_eq!(note(&store).await, None);
    assert!(!store.put_note(tenant(0), "a", Some("x"), "1").await.unwrap());
    assert!(store.put_note(tenant(0), "a", None, "1").await.unwrap());
    assert!(!store.put_note(tenant(0), "a", None, "2").await.unwrap());
    assert!(store.put_note(tenant(0), "a", Some("1"), "2").await.unwrap());
    assert!(store.put_note(SERVER_CHAIN, "a", None, "other").await.unwrap());
    store.erase(tenant(0), &person("ann"), asked("DeleteUser", AuditOutcome::Changed)).await.unwrap();
    drop(store);
    assert_eq!(note(&place.open()).await.as_deref(), Some("2"));
}

#[derive(Clone, Debug)]
enum Step {
    Import(u128, &'static str, RiskAlert),
    Decide(u128, &'static str, Status),
    Turn(u128, bool),
    Publish(i64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let id = || select(vec!["a", "b", "c"]);
    let alert = (
        id(),
        0..50_i64,
        select(vec![Severity::Low, Severity::Medium, Severity::High]),
        select(vec![Status::NeedsReview, Status::Confirmed, Status::Resolved, Status::Dismissed]),
    );
    let alert = alert.prop_map(|(id, hours, severity, status)| {
        let alert = imported(id, hours, severity);
        let closed_at = status.is_closed().then_some(alert.updated_at);
        (id, RiskAlert { status, closed_at, ..alert })
    });
    let status = select(vec![Status::Confirmed, Status::Resolved, Status::Dismissed]);
    prop_oneof![
        8 => (0..2_u128, alert).prop_map(|(t, (id, alert))| Step::Import(t, id, alert)),
        4 => (0..2_u128, id(), status).prop_map(|(t, id, status)| Step::Decide(t, id, status)),
        2 => (0..2_u128, prop_oneof![3 => Just(true), 1 => Just(false)]).prop_map(|(t, on)| Step::Turn(t, on)),
        4 => (-48..48_i64).prop_map(Step::Publish),
        2 => Just(Step::Reopen),
    ]
}

/// What must come out: the changes of each alert of each tenant.
#[derive(Default)]
struct Expected {
    on: BTreeSet<u128>,
    alerts: BTreeMap<(u128, String), RiskAlert>,
    due: Vec<(u128, RiskAlert)>,
    exported: Vec<(u128, RiskAlert)>,
}

impl Expected {
    fn take(&mut self, t: u128, alert: RiskAlert) {
        let before = self.alerts.insert((t, alert.id.as_str().to_owned()), alert.clone());
        let is_new = before.is_none_or(|old| (old.status, old.severity) != (alert.status, alert.severity));
        if is_new && self.on.contains(&t) {
            self.due.push((t, alert));
        }
    }

    fn turn(&mut self, t: u128, on: bool) {
        if on {
            self.on.insert(t);
        } else {
            self.on.remove(&t);
            self.due.retain(|(due, _)| *due != t);
        }
    }
}

/// Whatever happens to alerts, to the switch, to the clock and to the process: what is exported is what changed, each
/// once and in order.
pub fn what_is_exported_is_the_history<P: Place>() {
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(P::PAUSED).build().unwrap();
    let ran =
        TestRunner::new(config).run(&vec(step(), 1..60), |story| runtime.block_on(tell(&P::new(), story)));
    if let Err(error) = ran {
        panic!("{error}");
    }
}

async fn tell(place: &impl Place, story: Vec<Step>) -> Result<(), TestCaseError> {
    let mut store = Some(place.open());
    let (mut expected, mut listed): (Expected, Vec<Arc<Content>>) = Default::default();
    for step in story.into_iter().chain([Step::Publish(0)]) {
        let now = store.as_ref().unwrap();
        match step {
            Step::Import(t, id, alert) => {
                commit(now, tenant(t), vec![raised(id, alert.clone())]).await;
                let known = expected.alerts.get(&(t, id.to_owned()));
                let updated = known.map_or(Some(alert.clone()), |known| known.updated(&alert));
                if let Some(alert) = updated {
                    expected.take(t, alert);
                }
            }
            Step::Decide(t, id, status) => {
                let decision = decision(id, status);
                let event = asked("UpdateRiskAlertStatus", AuditOutcome::Changed);
                let taken = now.decide(tenant(t), decision.clone(), event).await.unwrap();
                let known = expected.alerts.get(&(t, id.to_owned()));
                let decided = known.and_then(|known| known.decided(&decision).ok());
                prop_assert_eq!(taken.is_ok(), decided.is_some());
                if let Some(alert) = decided {
                    expected.take(t, alert);
                }
            }
            Step::Turn(t, on) => {
                turn(now, t, on).await;
                expected.turn(t, on);
            }
            Step::Publish(hours) => {
                now.publish(noon() + TimeDelta::hours(hours)).await.unwrap();
                expected.exported.append(&mut expected.due);
            }
            Step::Reopen => {
                drop(store.take());
                store = Some(place.open());
            }
        }
        let contents = all(store.as_ref().unwrap()).await;
        prop_assert_eq!(&contents[..listed.len()], &listed[..], "what is listed never changes");
        listed = contents;
        check(&expected, &listed)?;
    }
    Ok(())
}

fn check(expected: &Expected, listed: &[Arc<Content>]) -> Result<(), TestCaseError> {
    let mut ids = BTreeSet::new();
    for t in 0..2 {
        let of = listed.iter().filter(|content| content.tenant == tenant(t));
        let created: Vec<DateTime<Utc>> = of.clone().map(|content| content.created).collect();
        prop_assert!(created.is_sorted());
        let records: Vec<&AlertRecord> = of.flat_map(|content| &content.records).collect();
        let came: Vec<&RiskAlert> = records.iter().map(|record| &record.alert).collect();
        let due = expected.exported.iter().filter(|(of, _)| *of == t);
        prop_assert_eq!(came, due.map(|(_, alert)| alert).collect::<Vec<_>>());
        let mut seen: BTreeSet<&RiskAlertId> = BTreeSet::new();
        for record in records {
            prop_assert_eq!(record.first, seen.insert(&record.alert.id));
            prop_assert!(ids.insert(record.id), "an id came twice");
        }
    }
    Ok(())
}
