//! Who is one person does not depend on the order in which records or mentions come.

use super::naive;
use super::run::run;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use riskshare::domain::dlp_alert::{Person, join_mentions};
use riskshare::domain::facts::Declaration;
use riskshare::domain::user::{Identity, IdentityKey, Join, Personal, User, UserNo, join};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A record about a person of a world in which no two people share a key.
#[derive(Clone, Debug)]
struct Record {
    person: usize,
    /// Which of the person's keys it gives.
    keys: u8,
    declares: bool,
}

impl Record {
    fn identity(&self) -> Identity {
        let keys = (0..6).filter(|key| self.keys & 1 << key != 0);
        keys.fold(Identity::default(), |identity, key| match key {
            2 => identity.with_upn(key_of(self.person, key)),
            _ => identity.with(key_of(self.person, key)),
        })
    }
}

fn key_of(person: usize, key: u8) -> IdentityKey {
    match key {
        0 => IdentityKey::ObjectId(Uuid::from_u128(person as u128 + 1)),
        1 => IdentityKey::sid(&format!("S-1-5-21-{person}")).unwrap(),
        5 => IdentityKey::account(&format!("CORP\\p{person}")).unwrap(),
        _ => IdentityKey::address(&format!("p{person}-{key}@contoso.com")).unwrap(),
    }
}

/// Records of up to four people, each declared at most once.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = (
        0_usize..4,
        prop_oneof![4 => (0_u8..6, 0_u8..6).prop_map(|(a, b)| 1 << a | 1 << b), 1 => 1_u8..64],
        any::<bool>(),
    )
        .prop_map(|(person, keys, declares)| Record { person, keys, declares });
    vec(record, 1..14).prop_map(|mut records| {
        let mut declared = BTreeSet::new();
        for record in &mut records {
            record.declares &= declared.insert((record.person, record.declares)) && record.declares;
        }
        records
    })
}

/// Takes records in, one after another, as a store does. No two people share a key.
fn take_in(records: &[Record]) -> Vec<User> {
    let all = records.iter().map(|record| (record.identity(), record.declares));
    let (people, accepted) = take_in_all(&all.collect::<Vec<_>>());
    assert!(accepted.into_iter().all(|accepted| accepted), "nothing contradicts");
    people
}

/// Takes names in, each with whether it is a declaration, and says which are no conflict.
fn take_in_all(records: &[(Identity, bool)]) -> (Vec<User>, Vec<bool>) {
    let mut people: Vec<User> = vec![];
    let mut accepted = vec![];
    for (nth, (identity, declares)) in records.iter().enumerate() {
        let hits = people.iter().filter(|user| identity.keys().any(|key| user.identity.has(key)));
        let no = UserNo(u32::try_from(nth).unwrap());
        let may_be = |same: &[UserNo]| {
            let first = people.iter().find(|user| user.no == same[0]).unwrap();
            !declares || declaration(identity.clone()).may_be_of(first)
        };
        let same = match join(identity, hits) {
            Join::New => {
                people.push(User::named(no, Identity::default()));
                vec![no]
            }
            Join::Same(same) if may_be(&same) => same,
            Join::Same(_) | Join::Conflict => {
                accepted.push(false);
                continue;
            }
        };
        accepted.push(true);
        let (joined, mut others): (Vec<User>, Vec<User>) =
            people.into_iter().partition(|user| same.contains(&user.no));
        let mut person = joined.iter().find(|user| user.no == same[0]).unwrap().clone();
        for user in &joined {
            person.learn(&user.identity);
        }
        if *declares {
            person = declaration(identity.clone()).applied_to(&person);
        } else {
            person.learn(identity);
        }
        others.push(person);
        people = others;
    }
    (people, accepted)
}

fn declaration(identity: Identity) -> Declaration {
    Declaration { identity, guest: false, potential_high_impact: false, confirmed_violation_before: false }
}

fn key_sets<'a>(identities: impl IntoIterator<Item = &'a Identity>) -> BTreeSet<BTreeSet<IdentityKey>> {
    identities.into_iter().map(keys).collect()
}

fn keys(identity: &Identity) -> BTreeSet<IdentityKey> {
    identity.keys().cloned().collect()
}

/// Returns under which keys each person is shown to somebody who mentions nothing new.
fn shown(people: &[User]) -> BTreeSet<BTreeSet<IdentityKey>> {
    people.iter().map(|user| keys(&user.shown(&Identity::default()))).collect()
}

#[test]
fn records_of_the_same_people_join_to_them_in_any_order() {
    let orders = records().prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle()));
    let tally = run(1_500, &orders, |(records, shuffled)| {
        let (people, again) = (take_in(&records), take_in(&shuffled));
        let expected: Vec<_> = records.iter().map(|record| keys(&record.identity())).collect();
        let expected = naive::person::people(&expected);
        prop_assert_eq!(&key_sets(people.iter().map(|user| &user.identity)), &expected);
        prop_assert_eq!(&key_sets(again.iter().map(|user| &user.identity)), &expected);
        let declared = records.iter().filter(|record| record.declares);
        let mut declared: BTreeSet<_> = declared.map(|record| keys(&record.identity())).collect();
        if people.iter().any(|user| !user.declared) {
            declared.insert(BTreeSet::new());
        }
        prop_assert_eq!(&shown(&people), &declared, "only what was declared is shown");
        prop_assert_eq!(&shown(&again), &declared);
        Ok(if expected.len() < records.len() { vec!["joined".to_owned()] } else { vec![] })
    });
    tally.expect(300, &["joined"]);
}

/// Names of one of three people who have a UPN each and may have an object id, and among whom aliases, UPNs too, go
/// round. Tells whose they are.
fn names_with_shared_aliases() -> impl Strategy<Value = Vec<(usize, Identity, bool)>> {
    let name = (0_usize..3, any::<bool>(), vec((0_usize..3, 2_u8..5), 0..3), any::<bool>());
    let names = name.prop_map(|(person, object_id, aliases, declares)| {
        let mut identity = Identity::default().with_upn(key_of(person, 2));
        if object_id {
            identity = identity.with(key_of(person, 0));
        }
        let aliases = aliases.into_iter().map(|(other, key)| key_of(other, key));
        (person, aliases.fold(identity, Identity::with), declares)
    });
    vec(names, 1..12)
}

#[test]
fn whatever_names_go_round_a_declared_person_is_only_what_their_own_declarations_say() {
    let tally = run(3_000, &names_with_shared_aliases(), |names| {
        let records: Vec<_> =
            names.iter().map(|(_, identity, declares)| (identity.clone(), *declares)).collect();
        let (people, accepted) = take_in_all(&records);
        let mut own: BTreeMap<usize, Identity> = BTreeMap::new();
        let mut marks = vec![];
        for ((person, identity, declares), accepted) in names.iter().zip(&accepted) {
            match own.get(person) {
                _ if !accepted => marks.push("conflict".to_owned()),
                _ if !declares => {}
                Some(before) => {
                    marks.push("again".to_owned());
                    let object_id = before.keys().next().filter(|key| **key == key_of(*person, 0));
                    let all = object_id.cloned().into_iter().fold(identity.clone(), Identity::with);
                    own.insert(*person, all);
                }
                None => drop(own.insert(*person, identity.clone())),
            }
        }
        let declared: BTreeSet<_> =
            people.iter().filter_map(User::declared_identity).map(|identity| keys(&identity)).collect();
        prop_assert_eq!(declared.len(), own.len(), "nobody takes another over");
        prop_assert_eq!(declared, own.values().map(keys).collect());
        Ok(marks)
    });
    tally.expect(100, &["conflict", "again"]);
}

/// A user of a small world in which keys contradict each other.
fn user() -> impl Strategy<Value = User> {
    (0_u32..6, identity(), any::<bool>())
        .prop_map(|(no, identity, declared)| User { declared, ..User::named(UserNo(no), identity) })
}

/// Keys of any people mixed, but as in every record at most one object id and one SID.
fn identity() -> impl Strategy<Value = Identity> {
    let key = (0_usize..3, prop_oneof![1 => 0_u8..2, 2 => 2_u8..6]);
    (vec(key, 1..4), prop::option::of(select(vec!["Ann", "Bob"]))).prop_map(|(mut keys, name)| {
        keys.sort_by_key(|(_, key)| *key);
        keys.dedup_by(|one, other| one.1 == other.1 && one.1 < 2);
        let all = keys.into_iter().map(|(person, key)| (key, key_of(person, key)));
        let mut identity = all.fold(Identity::default(), |identity, (kind, key)| match kind {
            2 => identity.with_upn(key),
            _ => identity.with(key),
        });
        identity.display_name = name.map(Personal::new);
        identity
    })
}

#[test]
fn whom_a_record_names_does_not_depend_on_the_order_of_the_people_found() {
    let hits = vec(user(), 0..4).prop_map(|mut users| {
        users.sort_by_key(|user| user.no);
        users.dedup_by_key(|user| user.no);
        users
    });
    let orders = hits.prop_flat_map(|hits| (identity(), Just(hits.clone()), Just(hits).prop_shuffle()));
    let tally = run(1_000, &orders, |(record, hits, shuffled)| {
        let joined = join(&record, &hits);
        prop_assert_eq!(&joined, &join(&record, &shuffled));
        Ok(vec![
            match joined {
                Join::New => "new",
                Join::Same(same) if same.len() > 1 => "several",
                Join::Same(_) => "one",
                Join::Conflict => "conflict",
            }
            .to_owned(),
        ])
    });
    tally.expect(30, &["new", "one", "several", "conflict"]);
}

/// Mentions of an alert, each with the users whom a directory finds by its keys.
fn mentions() -> impl Strategy<Value = Vec<(Identity, Vec<UserNo>)>> {
    (vec(identity(), 1..8), vec(prop::option::of(0_u32..5), 18)).prop_map(|(identities, directory)| {
        let known = |key: &IdentityKey| {
            let all = (0..3).flat_map(|person| (0..6).map(move |key| key_of(person, key)));
            all.zip(&directory).find(|(other, _)| other == key).and_then(|(_, no)| no.map(UserNo))
        };
        let users = |identity: &Identity| identity.keys().filter_map(known).collect::<BTreeSet<_>>();
        identities
            .into_iter()
            .map(|identity| (identity.clone(), users(&identity).into_iter().collect()))
            .collect()
    })
}

/// Who the people are, without the numbers of their mentions, which follow the order.
fn who(people: Vec<Person>) -> Vec<(Identity, Vec<UserNo>)> {
    people.into_iter().map(|person| (person.identity, person.users)).collect()
}

#[test]
fn the_people_of_an_alert_do_not_depend_on_the_order_of_its_mentions() {
    let orders = mentions().prop_flat_map(|mentions| (Just(mentions.clone()), Just(mentions).prop_shuffle()));
    let tally = run(2_000, &orders, |(mentions, shuffled)| {
        let people = join_mentions(mentions.clone());
        prop_assert_eq!(who(people.clone()), who(join_mentions(shuffled.clone())));
        let twice = [mentions.clone(), shuffled].concat();
        prop_assert_eq!(who(people.clone()), who(join_mentions(twice)), "mentions that come twice");
        let mut told: Vec<usize> = people.iter().flat_map(|person| person.mentions.clone()).collect();
        told.sort_unstable();
        prop_assert_eq!(told, (0..mentions.len()).collect::<Vec<_>>(), "every mention is one person's");
        for (identity, users) in &mentions {
            let holds = |keys: &Identity| identity.keys().all(|key| keys.has(key));
            let found =
                people.iter().any(|p| holds(&p.identity) && users.iter().all(|no| p.users.contains(no)));
            prop_assert!(found, "a mention is lost");
        }
        let mut marks = vec![];
        if people.iter().any(|person| person.users.len() > 1) {
            marks.push("ambiguous".to_owned());
        }
        if people.iter().any(|person| person.users.is_empty()) {
            marks.push("stranger".to_owned());
        }
        if people.len() < mentions.len() {
            marks.push("joined".to_owned());
        }
        Ok(marks)
    });
    tally.expect(50, &["ambiguous", "stranger", "joined"]);
}

#[test]
fn mentions_of_the_same_people_join_to_them() {
    run(1_000, &records(), |records| {
        let identities: Vec<Identity> = records.iter().map(Record::identity).collect();
        let mentions: Vec<(Identity, Vec<UserNo>)> = identities.iter().map(|i| (i.clone(), vec![])).collect();
        let people = join_mentions(mentions.clone());
        let expected: Vec<_> = identities.iter().map(keys).collect();
        prop_assert_eq!(people.len(), naive::person::people(&expected).len());
        prop_assert_eq!(key_sets(people.iter().map(|p| &p.identity)), naive::person::people(&expected));
        Ok(vec![])
    });
}
