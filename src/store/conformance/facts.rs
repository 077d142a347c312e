//! Promises about facts.

use super::{Place, commit, copied, did, found, known, member, noon, person, policy, tenant, today};
use crate::domain::activity::Activity;
use crate::domain::facts::{Batch, Conflict, Fact, Outcome};
use crate::domain::ids::{PolicyId, RiskAlertId};
use crate::domain::policy::{Policy, Scope, Trigger};
use crate::domain::risk_alert::{Origin, RiskAlert, Status};
use crate::domain::severity::Severity;
use crate::store::Store;
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::sync::Arc;

pub async fn an_activity_is_recorded_once_whatever_is_repeated(place: impl Place) {
    let store = place.open();
    let (ann, bob) = (person("ann"), person("bob"));
    let first = did(ann.clone(), copied("1", 1));
    let other = Activity { operation: "Renamed".into(), ..copied("1", 1) };
    let facts = vec![first.clone(), first.clone(), did(ann.clone(), other), did(bob.clone(), copied("1", 1))];
    let taken = Outcome::Conflict(Conflict::ActivityId);
    let outcomes = commit(&store, tenant(0), facts.clone()).await;
    assert_eq!(outcomes, [Outcome::Accepted, Outcome::Duplicate, taken, taken]);
    assert!(found(&store, tenant(0), bob.clone()).await.is_empty());

    drop(store);
    let store = place.open();
    assert_eq!(
        commit(&store, tenant(0), facts).await,
        [Outcome::Duplicate, Outcome::Duplicate, taken, taken]
    );
    let kept = known(&store, tenant(0), ann).await;
    assert_eq!(kept.activities, [copied("1", 1)].into_iter().collect());
    assert_eq!(commit(&store, tenant(0), vec![did(bob, copied("2", 1))]).await, [Outcome::Accepted]);
}

pub async fn tenants_never_meet(place: impl Place) {
    let store = place.open();
    commit(&store, tenant(0), vec![did(person("ann"), copied("1", 1))]).await;
    assert!(found(&store, tenant(1), person("ann")).await.is_empty());
    let outcome = commit(&store, tenant(1), vec![did(person("ann"), copied("1", 2))]).await;
    assert_eq!(outcome, [Outcome::Accepted]);
    drop(store);
    let store = place.open();
    for (number, days_ago) in [(0, 1), (1, 2)] {
        let kept = known(&store, tenant(number), person("ann")).await;
        assert_eq!(kept.activities, [copied("1", days_ago)].into_iter().collect());
    }
    assert!(store.read(&store.hold(tenant(1)).await.unwrap(), &[]).await.unwrap().rules.policies.is_empty());
}

pub async fn facts_that_are_repeated_change_nothing(place: impl Place) {
    let store = place.open();
    let trigger = Trigger { policy: PolicyId::new("p").unwrap(), at: noon(), kind: "hr".into() };
    let facts = vec![
        Fact::Policy(policy("p")),
        member(person("ann"), "p"),
        Fact::Trigger { user: person("ann"), trigger: trigger.clone() },
    ];
    assert_eq!(commit(&store, tenant(0), facts.clone()).await, [Outcome::Accepted; 3]);
    assert_eq!(commit(&store, tenant(0), facts.clone()).await, [Outcome::Duplicate; 3]);
    drop(store);
    let store = place.open();
    assert_eq!(commit(&store, tenant(0), facts).await, [Outcome::Duplicate; 3]);
    let ann = known(&store, tenant(0), person("ann")).await;
    assert_eq!((ann.triggers.len(), ann.memberships.len()), (1, 1));
    assert!(ann.triggers.contains(&trigger));

    let left = Fact::Membership { user: person("ann"), policy: trigger.policy, intervals: vec![] };
    assert_eq!(commit(&store, tenant(0), vec![left]).await, [Outcome::Accepted]);
    assert!(known(&store, tenant(0), person("ann")).await.memberships.is_empty());
}

fn imported(id: &str, score: i32, hour: i64) -> RiskAlert {
    RiskAlert {
        id: RiskAlertId::new(id).unwrap(),
        policy: PolicyId::new("p").unwrap(),
        severity: Severity::of_score(score),
        score,
        status: Status::NeedsReview,
        origin: Origin::Imported { exfiltration: true },
        created_at: noon() - TimeDelta::days(1),
        updated_at: noon() + TimeDelta::hours(hour),
        closed_at: None,
    }
}

pub async fn an_imported_alert_follows_its_newest_state_and_its_user(place: impl Place) {
    let store = place.open();
    let alert = |name, score, hour| Fact::RiskAlert { user: person(name), alert: imported("a", score, hour) };
    let facts = vec![
        alert("ann", 34, 2),
        alert("ann", 34, 2),
        alert("ann", 1, 1),
        alert("bob", 67, 3),
        alert("ann", 67, 3),
    ];
    let taken = Outcome::Conflict(Conflict::RiskAlertId);
    let outcomes = commit(&store, tenant(0), facts).await;
    assert_eq!(
        outcomes,
        [Outcome::Accepted, Outcome::Duplicate, Outcome::Duplicate, taken, Outcome::Accepted]
    );
    drop(store);
    let store = place.open();
    let ann = known(&store, tenant(0), person("ann")).await;
    assert_eq!(ann.alerts.values().collect::<Vec<_>>(), [&imported("a", 67, 3)]);
    assert!(found(&store, tenant(0), person("bob")).await.is_empty());
    assert_eq!(commit(&store, tenant(0), vec![alert("bob", 67, 4)]).await, [taken]);
}

/// Enough copies today to open an alert of `policy("p")`.
fn spree(name: &str) -> Vec<Fact> {
    (0..40).map(|n| did(person(name), copied(&format!("{name}{n}"), 0))).collect()
}

async fn engine_alerts(store: &Arc<dyn Store>, name: &str) -> Vec<RiskAlert> {
    let facts = known(store, tenant(0), person(name)).await;
    facts.alerts.values().filter(|alert| alert.origin == Origin::Engine).cloned().collect()
}

pub async fn risk_alerts_are_raised_in_the_commit_that_gives_cause(place: impl Place) {
    let store = place.open();
    let mut facts = vec![member(person("ann"), "p"), member(person("bob"), "p"), Fact::Policy(policy("p"))];
    facts.extend(spree("ann"));
    commit(&store, tenant(0), facts).await;
    let by_activity = engine_alerts(&store, "ann").await;
    assert_eq!(by_activity.len(), 1);
    assert!(engine_alerts(&store, "bob").await.is_empty());

    // A policy gives cause for all its members.
    commit(&store, tenant(0), spree("bob")).await;
    let deaf = Policy { scope: Scope::Listed(BTreeMap::new()), ..policy("q") };
    commit(&store, tenant(0), vec![Fact::Policy(deaf), member(person("bob"), "q")]).await;
    let before = engine_alerts(&store, "bob").await.len();
    commit(&store, tenant(0), vec![Fact::Policy(policy("q"))]).await;
    let bobs = engine_alerts(&store, "bob").await;
    assert_eq!(bobs.len(), before + 1);

    drop(store);
    let store = place.open();
    assert_eq!(engine_alerts(&store, "ann").await, by_activity);
    assert_eq!(engine_alerts(&store, "bob").await, bobs);
}

pub async fn expiry_forgets_whole_days_and_frees_their_ids(place: impl Place) {
    let store = place.open();
    let facts = vec![
        did(person("ann"), copied("today", 0)),
        did(person("ann"), copied("119", 119)),
        did(person("ann"), copied("120", 120)),
        did(person("bob"), copied("bob", 120)),
        did(person("ann"), copied("130", 130)),
    ];
    commit(&store, tenant(0), facts).await;
    assert_eq!(store.expire(today()).await.unwrap(), 3);
    assert_eq!(store.expire(today()).await.unwrap(), 0);
    let ann = known(&store, tenant(0), person("ann")).await;
    let ids: Vec<_> = ann.activities.iter().map(|activity| activity.id.text()).collect();
    assert_eq!(ids, ["119", "today"]);
    assert!(known(&store, tenant(0), person("bob")).await.activities.is_empty());
    drop(store);
    let store = place.open();
    assert_eq!(known(&store, tenant(0), person("ann")).await.activities.len(), 2);
    // Late facts of a day that is gone begin that day anew, until the next expiry.
    let late = vec![did(person("bob"), copied("120", 120)), did(person("bob"), copied("119", 119))];
    let taken = Outcome::Conflict(Conflict::ActivityId);
    assert_eq!(commit(&store, tenant(0), late).await, [Outcome::Accepted, taken]);
    drop(store);
    let store = place.open();
    assert_eq!(known(&store, tenant(0), person("bob")).await.activities.len(), 1);
    assert_eq!(store.expire(today().plus(1)).await.unwrap(), 2);
    drop(store);
    assert_eq!(known(&place.open(), tenant(0), person("ann")).await.activities.len(), 1);
}

pub async fn the_token_key_is_made_once(place: impl Place) {
    let store = place.open();
    let key = store.token_key().await.unwrap();
    assert_ne!(key, [0; 32]);
    commit(&store, tenant(0), vec![did(person("ann"), copied("1", 0))]).await;
    drop(store);
    assert_eq!(place.open().token_key().await.unwrap(), key);
}

pub async fn a_read_is_of_one_instant_between_commits(place: impl Place) {
    const COMMITS: usize = 150;
    let store = place.open();
    let both = |n: usize| {
        vec![did(person("ann"), copied(&format!("a{n}"), 0)), did(person("bob"), copied(&format!("b{n}"), 0))]
    };
    commit(&store, tenant(0), both(0)).await;
    let reader = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let hold = store.hold(tenant(0)).await.unwrap();
            let mut last = 0;
            while last < COMMITS {
                let found = store.read(&hold, &[&person("ann"), &person("bob")]).await.unwrap().found;
                let counts = (found[0][0].activities.len(), found[1][0].activities.len());
                assert_eq!(counts.0, counts.1);
                assert!(counts.0 >= last);
                last = counts.0;
                tokio::task::yield_now().await;
            }
        }
    });
    for n in 1..COMMITS {
        commit(&store, tenant(0), both(n)).await;
    }
    reader.await.unwrap();
}

pub async fn commits_of_many_callers_are_all_kept(place: impl Place) {
    let store = place.open();
    let callers: Vec<_> = (0..20)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..10 {
                    let fact = did(person(&format!("p{}", caller % 3)), copied(&format!("{caller}-{n}"), n));
                    let batch = Batch { tenant: tenant(caller % 2), at: noon(), facts: vec![fact] };
                    assert_eq!(store.commit(batch).await.unwrap(), [Outcome::Accepted]);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    drop(store);
    let store = place.open();
    let mut kept = 0;
    for (number, name) in [(0, "p0"), (0, "p1"), (0, "p2"), (1, "p0"), (1, "p1"), (1, "p2")] {
        kept += known(&store, tenant(number), person(name)).await.activities.len();
    }
    assert_eq!(kept, 200);
}
