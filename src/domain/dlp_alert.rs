//! A DLP alert and the level that its involved users give it (`risk-model.md` 7).

use crate::domain::severity::Severity;
use crate::domain::user::{Identity, IdentityKey, UserNo};
use chrono::{DateTime, Utc};
use std::cmp::Ordering;
use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most involved users of one alert.
pub const INVOLVED_USERS_MAX: usize = 1_000;

/// The DLP alert's own severity; nothing to do with insider risk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the product's own words")]
pub enum AlertSeverity {
    Informational,
    Low,
    Medium,
    High,
}

/// A DLP alert as the DLP side knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DlpAlert {
    /// Its id in the caller's system.
    pub id: String,
    /// Its title; may be empty.
    pub title: String,
    /// The DLP policy that matched; may be empty.
    pub policy_name: String,
    /// When it was raised.
    pub created_at: Option<DateTime<Utc>>,
    /// Its own severity.
    pub severity: Option<AlertSeverity>,
    /// Who it involves: actors, not recipients, no services. One mention each, not yet joined.
    pub involved: Vec<Identity>,
}

/// What decides a person's place in an alert. Ordered: the highest risk first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The level.
    pub level: Severity,
    /// The score.
    pub score: i32,
    /// The latest exfiltration activity in the lookback.
    pub latest_exfiltration: Option<DateTime<Utc>>,
    /// The person's canonical key ([`Identity::canonical`]), which breaks ties: the lower first, none last.
    pub id: Option<IdentityKey>,
}

impl Ord for Standing {
    fn cmp(&self, other: &Self) -> Ordering {
        let risk = |s: &Self| Reverse((s.level, s.score, s.latest_exfiltration));
        let id = |s: &Self| s.id.is_none();
        risk(self).cmp(&risk(other)).then_with(|| (id(self), &self.id).cmp(&(id(other), &other.id)))
    }
}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One person whom an alert involves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// All that the alert says about who it is.
    pub identity: Identity,
    /// The known users at whom the keys point, by number: none for a stranger, several when the keys contradict
    /// each other.
    pub users: Vec<UserNo>,
}

/// Joins the mentions of an alert to people. Each mention comes with the known users at whom its keys point. The
/// result does not depend on the order of the mentions.
///
/// Mentions that point at the same known users are one person. So are mentions that share a key, the strongest kind
/// of key first, unless people who contradict each other share it too: they point at other known users, or have
/// other object ids or SIDs. Those stay apart, never merged silently (design section 6).
#[must_use]
pub fn join_mentions(mentions: &[(Identity, Vec<UserNo>)]) -> Vec<Person> {
    let mut people: Vec<Person> = mentions.iter().map(Person::mentioned).collect();
    // Which of two names a person keeps depends on their order: this makes it always the same.
    people.sort_by(Person::order);
    people = joined_by_users(people);
    for kind in KEY_KINDS {
        people = joined_by_key(people, kind);
    }
    people
}

/// Says whether a key is of some kind.
type KeyKind = fn(&IdentityKey) -> bool;

/// The kinds of keys, strongest first.
const KEY_KINDS: [KeyKind; 4] = [
    |key| matches!(key, IdentityKey::ObjectId(_)),
    |key| matches!(key, IdentityKey::Sid(_)),
    |key| matches!(key, IdentityKey::Address(_)),
    |key| matches!(key, IdentityKey::Account(_)),
];

impl Person {
    fn mentioned((identity, users): &(Identity, Vec<UserNo>)) -> Self {
        let users: BTreeSet<UserNo> = users.iter().copied().collect();
        Self { identity: identity.clone(), users: users.into_iter().collect() }
    }

    /// Orders people by all that is known of them.
    fn order(&self, other: &Self) -> Ordering {
        let names = |person: &Self| (person.identity.upn().cloned(), person.identity.display_name.clone());
        let keys = self.identity.keys().cmp(other.identity.keys());
        keys.then_with(|| names(self).cmp(&names(other))).then_with(|| self.users.cmp(&other.users))
    }

    /// Says whether both may be one person. People who point at the same known users have been joined before.
    fn may_be(&self, other: &Self) -> bool {
        (self.users.is_empty() || other.users.is_empty()) && self.identity.is_compatible(&other.identity)
    }

    /// Says whether there is anything with which another person can contradict it.
    fn is_definite(&self) -> bool {
        let definite = |key: &IdentityKey| matches!(key, IdentityKey::ObjectId(_) | IdentityKey::Sid(_));
        !self.users.is_empty() || self.identity.keys().any(definite)
    }

    fn absorb(&mut self, other: &Self) {
        self.identity.absorb(&other.identity);
        if self.users.is_empty() {
            self.users.clone_from(&other.users);
        }
    }
}

/// Joins those who point at the same known users.
fn joined_by_users(people: Vec<Person>) -> Vec<Person> {
    let (known, mut joined): (Vec<_>, Vec<_>) = people.into_iter().partition(|one| !one.users.is_empty());
    let mut by_users: BTreeMap<Vec<UserNo>, Person> = BTreeMap::new();
    for person in known {
        match by_users.entry(person.users.clone()) {
            Entry::Occupied(mut same) => same.get_mut().absorb(&person),
            Entry::Vacant(new) => drop(new.insert(person)),
        }
    }
    joined.extend(by_users.into_values());
    joined
}

/// Joins those who share a key of that kind, if nobody who shares it, directly or through others, contradicts.
fn joined_by_key(people: Vec<Person>, kind: KeyKind) -> Vec<Person> {
    let mut joined = Vec::new();
    for group in sharing(people, kind) {
        if let Some(person) = one_person(&group) {
            joined.push(person);
            continue;
        }
        // The indefinite ones contradict nobody, but may be any of the others: they are people of their own.
        let (definite, indefinite): (Vec<_>, Vec<_>) = group.into_iter().partition(Person::is_definite);
        joined.extend(definite);
        joined.extend(sharing(indefinite, kind).iter().filter_map(|group| one_person(group)));
    }
    joined
}

/// Returns the person whom all of a group are, unless some contradict each other.
fn one_person(group: &[Person]) -> Option<Person> {
    let (first, others) = group.split_first()?;
    let mut whole = first.clone();
    for other in others {
        if !whole.may_be(other) {
            return None;
        }
        whole.absorb(other);
    }
    Some(whole)
}

/// Sorts people into groups that share keys of that kind, directly or through others of the group.
fn sharing(people: Vec<Person>, kind: KeyKind) -> Vec<Vec<Person>> {
    let mut group_of: Vec<usize> = (0..people.len()).collect();
    let mut holder: HashMap<&IdentityKey, usize> = HashMap::new();
    for (index, person) in people.iter().enumerate() {
        for key in person.identity.keys().filter(|key| kind(key)) {
            let first = *holder.entry(key).or_insert(index);
            let (one, other) = (root(&mut group_of, first), root(&mut group_of, index));
            group_of[one.max(other)] = one.min(other);
        }
    }
    drop(holder);
    let mut groups: BTreeMap<usize, Vec<Person>> = BTreeMap::new();
    for (index, person) in people.into_iter().enumerate() {
        groups.entry(root(&mut group_of, index)).or_default().push(person);
    }
    groups.into_values().collect()
}

/// Finds the first member of a group, and shortens the way there for the next look.
fn root(group_of: &mut [usize], mut index: usize) -> usize {
    while group_of[index] != index {
        group_of[index] = group_of[group_of[index]];
        index = group_of[index];
    }
    index
}
