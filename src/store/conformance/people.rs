//! Promises about who is who.

use super::{Place, address, commit, copied, did, found, known, person, sid, tenant};
use crate::domain::facts::{Conflict, Declaration, Fact, Outcome};
use crate::domain::user::{Identity, Personal};

fn declared(identity: Identity) -> Declaration {
    Declaration { identity, guest: false, potential_high_impact: false, confirmed_violation_before: false }
}

pub async fn people_join_when_a_record_names_both(place: impl Place) {
    let store = place.open();
    let (ann, by_sid) = (person("ann"), Identity::default().with(sid(1)));
    let both = ann.clone().with(sid(1));
    commit(&store, tenant(0), vec![did(ann.clone(), copied("1", 1)), did(by_sid.clone(), copied("2", 2))])
        .await;
    assert_eq!(found(&store, tenant(0), both.clone()).await.len(), 2);
    let outcome = commit(&store, tenant(0), vec![did(both.clone(), copied("3", 3))]).await;
    assert_eq!(outcome, [Outcome::Accepted]);
    drop(store);
    let store = place.open();
    for name in [&ann, &by_sid, &both] {
        assert_eq!(known(&store, tenant(0), name.clone()).await.activities.len(), 3);
    }
    // What was recorded under the number that went is known under the one that stayed.
    let again = vec![did(by_sid, copied("2", 2)), did(ann, copied("1", 1))];
    assert_eq!(commit(&store, tenant(0), again).await, [Outcome::Duplicate; 2]);
}

pub async fn declared_people_never_join(place: impl Place) {
    let store = place.open();
    let (ann, bob) = (person("ann"), person("bob"));
    let both = ann.clone().with(address("bob"));
    let facts = vec![
        Fact::User(declared(ann.clone())),
        Fact::User(declared(bob.clone())),
        did(both.clone(), copied("1", 1)),
        Fact::User(declared(both.clone())),
    ];
    let conflict = Outcome::Conflict(Conflict::Identity);
    let outcomes = commit(&store, tenant(0), facts).await;
    assert_eq!(outcomes, [Outcome::Accepted, Outcome::Accepted, conflict, conflict]);
    let hits = found(&store, tenant(0), both).await;
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().all(|user| user.activities.is_empty()));
}

pub async fn a_declaration_replaces_the_one_before(place: impl Place) {
    let store = place.open();
    commit(&store, tenant(0), vec![did(person("alias"), copied("1", 1))]).await;
    let named = |name: &str| {
        let mut identity = Identity::default().with_upn(address("ann")).with(address("alias"));
        identity.display_name = Some(Personal::new(name));
        identity
    };
    let first = Declaration { potential_high_impact: true, ..declared(named("Ann")) };
    let second = Declaration { confirmed_violation_before: true, ..declared(named("Ann B.")) };
    for (declaration, outcome) in [
        (&first, Outcome::Accepted),
        (&first, Outcome::Duplicate),
        (&second, Outcome::Accepted),
        (&second, Outcome::Duplicate),
    ] {
        assert_eq!(commit(&store, tenant(0), vec![Fact::User(declaration.clone())]).await, [outcome]);
    }
    drop(store);
    let store = place.open();
    let ann = known(&store, tenant(0), person("ann")).await;
    assert_eq!(ann.user.identity.display_name, Some(Personal::new("Ann B.")));
    assert_eq!(ann.user.identity.canonical(), Some(&address("ann")));
    assert!(ann.user.declared && ann.user.confirmed_violation_before && !ann.user.potential_high_impact);
    assert_eq!(ann.activities.len(), 1);
}

pub async fn a_declaration_never_takes_over_somebody_of_another_account(place: impl Place) {
    let store = place.open();
    let (ann, bob) =
        (Identity::default().with_upn(address("ann")), Identity::default().with_upn(address("bob")));
    let both = ann.clone().with(address("bob"));
    let conflict = Outcome::Conflict(Conflict::Identity);
    // In whatever order they come, two of the three are accepted and nobody has what another did.
    for (number, facts) in [
        vec![
            did(both.clone(), copied("1", 1)),
            Fact::User(declared(ann.clone())),
            Fact::User(declared(bob.clone())),
        ],
        vec![
            Fact::User(declared(ann.clone())),
            did(both.clone(), copied("1", 1)),
            Fact::User(declared(bob.clone())),
        ],
        vec![
            Fact::User(declared(ann.clone())),
            Fact::User(declared(bob.clone())),
            did(both.clone(), copied("1", 1)),
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let tenant = tenant(number as u128);
        let outcomes = commit(&store, tenant, facts).await;
        assert_eq!(outcomes, [Outcome::Accepted, Outcome::Accepted, conflict]);
        let kept = known(&store, tenant, ann.clone()).await;
        assert_eq!(kept.user.declared_identity(), Some(ann.clone()));
    }
    // A later declaration of Ann says that the name is not hers, and then it is free.
    let freed = vec![Fact::User(declared(ann)), Fact::User(declared(bob.clone()))];
    assert_eq!(commit(&store, tenant(0), freed).await, [Outcome::Accepted; 2]);
    assert!(known(&store, tenant(0), bob).await.activities.is_empty());
}
