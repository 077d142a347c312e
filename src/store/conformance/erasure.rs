//! Promises about who is forgotten, and about pseudonyms.

use super::{
    Place, address, asked, commit, copied, did, found, known, member, noon, person, policy, sid, tenant,
};
use crate::domain::activity::Activity;
use crate::domain::audit::{AuditEvent, AuditOutcome, AuditQuery};
use crate::domain::facts::{Declaration, Fact, Outcome};
use crate::domain::ids::{PolicyId, TenantId};
use crate::domain::known_facts::SharedFacts;
use crate::domain::policy::{Policy, Trigger};
use crate::domain::user::{Identity, Personal, UserNo};
use crate::store::Store;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The line of an erasure.
fn forgotten() -> AuditEvent {
    asked("DeleteUser", AuditOutcome::Changed)
}

/// Returns the numbers in the last line of a tenant, and what came of it.
async fn last_line(store: &Arc<dyn Store>, tenant: TenantId) -> (Vec<UserNo>, AuditOutcome) {
    let page = store.audit_page(tenant, AuditQuery::default(), None, 100).await.unwrap();
    let event = page.lines.last().unwrap().event.clone();
    (event.users, event.outcome)
}

/// Facts of every kind about one person.
fn story(name: &str) -> Vec<Fact> {
    let facts = (0..3).map(|n| did(person(name), copied(&format!("{name}{n}"), n)));
    let trigger = Trigger { policy: PolicyId::new("p").unwrap(), at: noon(), kind: "hr".into() };
    facts
        .chain([
            member(person(name), "p"),
            Fact::Trigger { user: person(name), trigger },
            Fact::User(Declaration {
                identity: declared(name),
                guest: false,
                potential_high_impact: true,
                confirmed_violation_before: false,
            }),
        ])
        .collect()
}

fn declared(name: &str) -> Identity {
    let mut identity = person(name).with(address(&format!("{name}.alias")));
    identity.display_name = Some(Personal::new(name));
    identity
}

pub async fn an_erased_person_is_nowhere_and_everybody_else_is_as_before(place: impl Place) {
    let store = place.open();
    let priority = [address("ann"), address("bob")].into();
    commit(&store, tenant(0), vec![Fact::Policy(Policy { priority_users: priority, ..policy("p") })]).await;
    for number in [0, 1] {
        commit(&store, tenant(number), [story("ann"), story("bob")].concat()).await;
    }
    let ann = known(&store, tenant(0), person("ann")).await.user.no;
    let before = others(&store).await;
    assert_eq!(store.erase(tenant(0), &person("ann.alias"), forgotten()).await.unwrap(), Some(1));
    assert_eq!(last_line(&store, tenant(0)).await, (vec![ann], AuditOutcome::Changed));
    is_gone(&store, ann).await;
    assert_eq!(last_line(&store, tenant(0)).await, (vec![], AuditOutcome::Changed), "nobody was known");
    assert_eq!(others(&store).await, before);

    drop(store);
    let store = place.open();
    is_gone(&store, ann).await;
    assert_eq!(others(&store).await, before);
    // Whoever has the name later is somebody else, and the ids of what is gone are free.
    let again = vec![did(person("ann"), copied("ann0", 0))];
    assert_eq!(commit(&store, tenant(0), again).await, [Outcome::Accepted]);
    let later = known(&store, tenant(0), person("ann")).await;
    assert!(later.user.no > ann && !later.user.potential_high_impact && later.activities.len() == 1);
}

async fn is_gone(store: &Arc<dyn Store>, ann: UserNo) {
    assert!(found(store, tenant(0), person("ann")).await.is_empty());
    assert!(found(store, tenant(0), person("ann.alias")).await.is_empty());
    assert_eq!(store.named(tenant(0), &[ann]).await.unwrap(), [None]);
    let hold = store.hold(tenant(0)).await.unwrap();
    let rules = store.read(&hold, &[]).await.unwrap().rules;
    let priority = &rules.policies[&PolicyId::new("p").unwrap()].priority_users;
    assert_eq!(*priority, BTreeSet::from([address("bob")]));
    assert_eq!(store.erase(tenant(0), &person("ann"), forgotten()).await.unwrap(), Some(0));
}

async fn others(store: &Arc<dyn Store>) -> [SharedFacts; 2] {
    [known(store, tenant(0), person("bob")).await, known(store, tenant(1), person("ann")).await]
}

pub async fn whoever_cannot_be_one_person_is_not_erased(place: impl Place) {
    let store = place.open();
    let two = [Identity::default().with(sid(1)), Identity::default().with(sid(2)).with(address("bob"))];
    for (n, one) in two.iter().enumerate() {
        commit(&store, tenant(0), vec![did(one.clone(), copied(&n.to_string(), 1))]).await;
    }
    let both = Identity::default().with(sid(1)).with(address("bob"));
    assert_eq!(store.erase(tenant(0), &both, forgotten()).await.unwrap(), None);
    let (named, outcome) = last_line(&store, tenant(0)).await;
    assert_eq!((named.len(), outcome), (2, AuditOutcome::Refused));
    for one in two {
        assert_eq!(known(&store, tenant(0), one).await.activities.len(), 1);
    }
    assert_eq!(store.erase(tenant(7), &person("ann"), forgotten()).await.unwrap(), Some(0));
}

pub async fn a_pseudonym_is_kept_for_ever_and_is_nobody_elses(place: impl Place) {
    let store = place.open();
    let facts = (0..200).map(|n| did(person(&format!("user{n}")), copied(&n.to_string(), 1))).collect();
    commit(&store, tenant(0), facts).await;
    let joined = Activity { object_name: Personal::new("x"), ..copied("join", 1) };
    let mut numbers = Vec::new();
    for n in 0..200 {
        numbers.push(known(&store, tenant(0), person(&format!("user{n}"))).await.user.no);
    }
    let before = store.named(tenant(0), &numbers).await.unwrap();
    let spelled: BTreeSet<_> = before.iter().flatten().map(|named| named.pseudonym.to_string()).collect();
    assert_eq!(spelled.len(), 200);
    // Two turn out to be one, who keeps the pseudonym of the number that stays.
    commit(&store, tenant(0), vec![did(person("user0").with(address("user1")), joined)]).await;
    drop(store);
    let store = place.open();
    let after = store.named(tenant(0), &numbers).await.unwrap();
    assert_eq!(after[2..], before[2..]);
    assert_eq!(
        (&after[0], after[0].as_ref().map(|named| named.pseudonym)),
        (&after[1], before[0].as_ref().map(|named| named.pseudonym))
    );
}
