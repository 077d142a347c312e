//! Two engines hear the same story and say the same, to the byte: what they keep, list, export and write down. Only
//! pseudonyms are drawn by lot, in each engine for itself.

use super::model::{Step, all_keys, step};
use super::{Place, asked, decided, noon, tenant, today};
use crate::domain::audit::{AuditLine, AuditOutcome, AuditQuery, AuditVerdict};
use crate::domain::content::{Content, ContentQuery};
use crate::domain::decision::{Decision, RiskAlertQuery};
use crate::domain::facts::{Batch, TenantRules};
use crate::domain::pseudonym::Pseudonym;
use crate::domain::risk_alert::Status;
use crate::domain::settings::Settings;
use crate::domain::user::Identity;
use crate::store::{AlertPage, Hits, Snapshot, Store, VersionedSettings};
use chrono::TimeDelta;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;

/// What happens in a story of two engines: more than the naive model knows of.
#[derive(Clone, Debug)]
pub enum Turn {
    /// One that the naive model knows.
    Step(Step),
    /// A reviewer decides about one of the risk alerts of a tenant.
    Decide(u128, usize, Status),
    /// Somebody of a tenant is erased.
    Erase(u128, usize),
    /// What is due is exported, so many hours after noon.
    Publish(i64),
}

/// Returns a random turn.
pub fn turn() -> impl Strategy<Value = Turn> {
    let status = prop_oneof![Just(Status::Confirmed), Just(Status::Dismissed), Just(Status::Resolved)];
    prop_oneof![
        12 => step().prop_map(Turn::Step),
        3 => (0..2_u128, 0..4_usize, status).prop_map(|(t, nth, status)| Turn::Decide(t, nth, status)),
        1 => (0..2_u128, 0..8_usize).prop_map(|(t, key)| Turn::Erase(t, key)),
        2 => (0..48_i64).prop_map(Turn::Publish),
    ]
}

/// Tells random stories to two engines.
pub fn two_engines_say_the_same<A: Place, B: Place>() {
    let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
    let paused = A::PAUSED && B::PAUSED;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap();
    let ran = TestRunner::new(config)
        .run(&vec(turn(), 1..40), |story| runtime.block_on(tell(&A::new(), &B::new(), story)));
    if let Err(error) = ran {
        panic!("{error}");
    }
}

async fn tell(a: &impl Place, b: &impl Place, story: Vec<Turn>) -> Result<(), TestCaseError> {
    let (mut one, mut other) = (Some(a.open()), Some(b.open()));
    for turn in story {
        if matches!(turn, Turn::Step(Step::Reopen)) {
            drop((one.take(), other.take()));
            (one, other) = (Some(a.open()), Some(b.open()));
        }
        let (one, other) = (one.as_ref().unwrap(), other.as_ref().unwrap());
        prop_assert_eq!(take(one, turn.clone()).await, take(other, turn.clone()).await, "{:?}", turn);
        let (one, other) = (said(one).await, said(other).await);
        prop_assert!(one == other, "after {:?}: {}", turn, first_difference(&one, &other));
    }
    Ok(())
}

/// Returns the first line in which two answers differ.
pub fn first_difference(one: &Said, other: &Said) -> String {
    let (one, other) = (format!("{one:#?}"), format!("{other:#?}"));
    let differ = one.lines().zip(other.lines()).enumerate().find(|(_, (one, other))| one != other);
    format!("{differ:?}")
}

/// Lets a turn happen and returns what the engine answered.
pub async fn take(store: &Arc<dyn Store>, turn: Turn) -> String {
    match turn {
        Turn::Step(Step::Commit(t, hour, facts)) => {
            let batch = Batch { tenant: tenant(t), at: noon() + TimeDelta::hours(hour), facts };
            format!("{:?}", store.commit(batch).await)
        }
        Turn::Step(Step::Settings(t, version, settings)) => {
            let settings = Settings { alert_export: settings.user_analytics, ..settings };
            format!("{:?}", store.change_settings(tenant(t), version, settings, decided()).await)
        }
        Turn::Step(Step::Expire(days)) => format!("{:?}", store.expire(today().plus(days)).await),
        Turn::Step(Step::Reopen) => String::new(),
        Turn::Decide(t, nth, status) => {
            let Some(alert) = alerts(store, t).await.alerts.into_iter().nth(nth) else {
                return String::new();
            };
            let decision = Decision {
                alert: alert.alert.id,
                status,
                expected: None,
                by: "ann".to_owned(),
                comment: "why".to_owned(),
                at: noon(),
            };
            format!(
                "{:?}",
                store
                    .decide(tenant(t), decision, asked("UpdateRiskAlertStatus", AuditOutcome::Changed))
                    .await
            )
        }
        Turn::Erase(t, key) => {
            let person = Identity::default().with(all_keys().swap_remove(key));
            format!("{:?}", store.erase(tenant(t), &person, asked("DeleteUser", AuditOutcome::Changed)).await)
        }
        Turn::Publish(hour) => format!("{:?}", store.publish(noon() + TimeDelta::hours(hour)).await),
    }
}

/// All that an engine says when it is asked about everything.
#[derive(PartialEq, Debug)]
pub struct Said {
    exported: Vec<Arc<Content>>,
    tenants: Vec<SaidOfTenant>,
}

#[derive(PartialEq, Debug)]
struct SaidOfTenant {
    sharing: bool,
    epoch: u64,
    is_known: bool,
    settings: VersionedSettings,
    rules: Arc<TenantRules>,
    people: Vec<Hits>,
    alerts: AlertPage,
    lines: Vec<String>,
    chain: AuditVerdict,
}

/// Asks an engine about everything.
pub async fn said(store: &Arc<dyn Store>) -> Said {
    let exported = ContentQuery { size: usize::MAX, ..ContentQuery::default() };
    let exported = store.contents(&exported).await.unwrap();
    Said { exported, tenants: vec![said_of(store, 0).await, said_of(store, 1).await] }
}

async fn said_of(store: &Arc<dyn Store>, t: u128) -> SaidOfTenant {
    let everybody: Vec<Identity> = all_keys().into_iter().map(|key| Identity::default().with(key)).collect();
    let everybody: Vec<&Identity> = everybody.iter().collect();
    let hold = store.hold_to_read(tenant(t), &everybody).await.unwrap();
    let Snapshot { rules, found } = store.read(&hold, &everybody).await.unwrap();
    let again = store.read(&hold, &everybody).await.unwrap();
    assert_eq!((&again.rules, &again.found), (&rules, &found), "what was read with the hold");
    let (sharing, epoch) = (hold.is_sharing(), hold.epoch());
    drop(hold);
    let mut alerts = alerts(store, t).await;
    for alert in &mut alerts.alerts {
        alert.user.pseudonym = Pseudonym::numbered(0).unwrap();
    }
    let page = store.audit_page(tenant(t), AuditQuery::default(), None, 100).await.unwrap();
    SaidOfTenant {
        sharing,
        epoch,
        is_known: store.knows(tenant(t)).await.unwrap(),
        settings: store.settings(tenant(t)).await.unwrap(),
        rules,
        people: found,
        alerts,
        lines: page.lines.iter().map(AuditLine::text).collect(),
        chain: store.verify_audit(tenant(t), None).await.unwrap(),
    }
}

async fn alerts(store: &Arc<dyn Store>, t: u128) -> AlertPage {
    let hold = store.hold(tenant(t)).await.unwrap();
    store.risk_alerts(&hold, &RiskAlertQuery::default(), None, 100).await.unwrap()
}
