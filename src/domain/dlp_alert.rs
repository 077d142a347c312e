//! A DLP alert and the level that its involved users give it (`risk-model.md` 7).

use crate::domain::severity::Severity;
use crate::domain::user::{Identity, IdentityKey, UserNo};
use chrono::{DateTime, Utc};
use std::cmp::Ordering;
use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The most involved users of one alert.
pub const INVOLVED_USERS_MAX: usize = 1_000;

/// So few mentions are compared with each other sooner than hashed.
const FEW: usize = 8;

/// The DLP alert's own severity; nothing to do with insider risk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
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
    pub id: Arc<str>,
    /// Its title; may be empty.
    pub title: String,
    /// The DLP policy that matched; may be empty.
    pub policy_name: String,
    /// When it was raised.
    pub created_at: Option<DateTime<Utc>>,
    /// Its own severity.
    pub severity: Option<AlertSeverity>,
    /// Who it involves: actors, not recipients, no services. Distinct mentions, not yet joined.
    pub involved: Vec<Identity>,
}

/// Returns whom alerts involve, one alert after the other.
#[must_use]
pub fn involved<'a>(alerts: impl IntoIterator<Item = &'a DlpAlert>) -> Vec<&'a Identity> {
    alerts.into_iter().flat_map(|alert| &alert.involved).collect()
}

/// Leaves out mentions that say what an earlier one said: an alert about many mails names their sender with each, and
/// only people count towards [`INVOLVED_USERS_MAX`] (`domain.md` 3.1).
#[must_use]
pub fn distinct(mut mentions: Vec<Identity>) -> Vec<Identity> {
    if mentions.len() <= FEW {
        for last in (1..mentions.len()).rev() {
            if mentions[..last].contains(&mentions[last]) {
                mentions.remove(last);
            }
        }
        return mentions;
    }
    let mut seen = HashSet::new();
    let is_new: Vec<bool> = mentions.iter().map(|mention| seen.insert(mention)).collect();
    drop(seen);
    let mut is_new = is_new.into_iter();
    mentions.retain(|_| is_new.next().unwrap_or(false));
    mentions
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
    /// Which mentions these are, by index, lowest first.
    pub mentions: Vec<usize>,
}

/// Joins the mentions of an alert to people. Each mention comes with the known users at whom its keys point. The
/// result does not depend on the order of the mentions.
///
/// Mentions that point at the same known users, or have the same keys, are one person. So are mentions that share a
/// key, the strongest kind of key first, unless people who contradict each other share it too: they point at other
/// known users, or have other object ids or SIDs. Those stay apart, never merged silently (design section 6).
#[must_use]
pub fn join_mentions(mentions: Vec<(Identity, Vec<UserNo>)>) -> Vec<Person> {
    let mut people: Vec<Person> = mentions.into_iter().enumerate().map(Person::mentioned).collect();
    if people.len() == 1 {
        return people; // Most alerts name one person once.
    }
    // Which of two names a person keeps depends on their order: this makes it always the same.
    people.sort_by(Person::order);
    people = joined_by_users(people);
    for kind in KEY_KINDS {
        people = joined_by_key(people, kind);
    }
    for person in &mut people {
        person.mentions.sort_unstable();
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
    fn mentioned((mention, (identity, mut users)): (usize, (Identity, Vec<UserNo>))) -> Self {
        users.sort_unstable();
        users.dedup();
        Self { identity, users, mentions: vec![mention] }
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
        self.mentions.extend(&other.mentions);
    }
}

/// Joins those who point at the same known users, and strangers with the same keys: one mention that comes twice.
fn joined_by_users(people: Vec<Person>) -> Vec<Person> {
    let (nameless, named): (Vec<_>, Vec<_>) =
        people.into_iter().partition(|one| one.users.is_empty() && one.identity.is_empty());
    let mut same: BTreeMap<(Vec<UserNo>, Vec<IdentityKey>), Person> = BTreeMap::new();
    for person in named {
        let keys =
            if person.users.is_empty() { person.identity.keys().cloned().collect() } else { Vec::new() };
        match same.entry((person.users.clone(), keys)) {
            Entry::Occupied(mut same) => same.get_mut().absorb(&person),
            Entry::Vacant(new) => drop(new.insert(person)),
        }
    }
    nameless.into_iter().chain(same.into_values()).collect()
}

/// Joins those who share a key of that kind, if nobody who shares it, directly or through others, contradicts.
fn joined_by_key(people: Vec<Person>, kind: KeyKind) -> Vec<Person> {
    if !is_any_shared(&people, kind) {
        return people;
    }
    let mut joined = Vec::new();
    for group in sharing(people, kind) {
        let group = match one_person(group) {
            Ok(person) => {
                joined.push(person);
                continue;
            }
            Err(group) => group,
        };
        // The indefinite ones contradict nobody, but may be any of the others: they are people of their own.
        let (definite, indefinite): (Vec<_>, Vec<_>) = group.into_iter().partition(Person::is_definite);
        joined.extend(definite);
        joined.extend(sharing(indefinite, kind).into_iter().filter_map(|group| one_person(group).ok()));
    }
    joined
}

/// Says whether two people have a key of that kind in common.
fn is_any_shared(people: &[Person], kind: KeyKind) -> bool {
    let mut keys: Vec<&IdentityKey> =
        people.iter().flat_map(|person| person.identity.keys().filter(|key| kind(key))).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Returns the person whom all of a group are, or the group when some contradict each other.
fn one_person(mut group: Vec<Person>) -> Result<Person, Vec<Person>> {
    if group.len() == 1 {
        return Ok(group.swap_remove(0));
    }
    let mut whole = group[0].clone();
    for other in &group[1..] {
        if !whole.may_be(other) {
            return Err(group);
        }
        whole.absorb(other);
    }
    Ok(whole)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::user::Personal;
    use uuid::Uuid;

    fn oid(number: u128) -> IdentityKey {
        IdentityKey::object_id(&Uuid::from_u128(number).to_string()).unwrap()
    }

    fn sid(number: u32) -> IdentityKey {
        IdentityKey::sid(&format!("S-1-5-21-{number}")).unwrap()
    }

    fn address(name: &str) -> IdentityKey {
        IdentityKey::address(&format!("{name}@x.com")).unwrap()
    }

    fn account(name: &str) -> IdentityKey {
        IdentityKey::account(&format!("corp\\{name}")).unwrap()
    }

    fn mention(keys: &[IdentityKey], users: &[u32]) -> (Identity, Vec<UserNo>) {
        let identity = keys.iter().cloned().fold(Identity::default(), Identity::with);
        (identity, users.iter().copied().map(UserNo).collect())
    }

    /// Joins in every order of a few mentions, and demands one result.
    fn joined(mentions: &[(Identity, Vec<UserNo>)]) -> Vec<Person> {
        let joined = join_mentions(mentions.to_vec());
        for order in orders(mentions.len()) {
            let mentions: Vec<_> = order.iter().map(|index| mentions[*index].clone()).collect();
            let mut people = join_mentions(mentions);
            for person in &mut people {
                person.mentions = person.mentions.iter().map(|mention| order[*mention]).collect();
                person.mentions.sort_unstable();
            }
            assert_eq!(people, joined);
        }
        joined
    }

    fn orders(count: usize) -> Vec<Vec<usize>> {
        let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
        let insert = |order: Vec<usize>| {
            (0..=last).map(move |at| {
                let mut order = order.clone();
                order.insert(at, last);
                order
            })
        };
        orders(last).into_iter().flat_map(insert).collect()
    }

    /// How many keys and which users each person has, in any order.
    fn shape(mentions: &[(Identity, Vec<UserNo>)]) -> Vec<(usize, Vec<u32>)> {
        let shape = |person: Person| {
            (person.identity.keys().count(), person.users.iter().map(|user| user.0).collect())
        };
        let mut shapes: Vec<_> = joined(mentions).into_iter().map(shape).collect();
        shapes.sort();
        shapes
    }

    #[test]
    fn the_highest_risk_comes_first_and_ties_go_by_score_time_and_key() {
        let at = |hour: i64| DateTime::from_timestamp(hour * 3600, 0);
        let standing = |level, score, latest_exfiltration, id: &IdentityKey| Standing {
            level,
            score,
            latest_exfiltration,
            id: Some(id.clone()),
        };
        let (a, b) = (address("a"), address("b"));
        let expected = [
            standing(Severity::High, 67, None, &b),
            standing(Severity::Medium, 66, at(1), &b),
            standing(Severity::Medium, 50, at(2), &b),
            standing(Severity::Medium, 50, at(1), &oid(9)),
            standing(Severity::Medium, 50, at(1), &sid(1)),
            standing(Severity::Medium, 50, at(1), &a),
            standing(Severity::Medium, 50, at(1), &b),
            standing(Severity::Medium, 50, None, &a),
            standing(Severity::None, 0, at(3), &a),
            Standing { id: None, ..standing(Severity::None, 0, at(3), &a) },
        ];
        let mut sorted = expected.to_vec();
        sorted.reverse();
        sorted.sort();
        assert_eq!(sorted, expected);
    }

    #[test]
    fn mentions_of_one_known_user_are_one_person() {
        let mentions = [mention(&[sid(1)], &[7]), mention(&[address("a")], &[7]), mention(&[oid(2)], &[8])];
        assert_eq!(shape(&mentions), [(1, vec![8]), (2, vec![7])]);
    }

    #[test]
    fn strangers_join_by_any_key_also_through_others() {
        let mentions = [
            mention(&[oid(1), sid(1)], &[]),
            mention(&[sid(1), address("a")], &[]),
            mention(&[address("a"), account("a")], &[]),
            mention(&[account("b")], &[]),
        ];
        assert_eq!(shape(&mentions), [(1, vec![]), (4, vec![])]);
    }

    #[test]
    fn a_stranger_joins_the_known_user_whose_key_it_shares() {
        let mentions =
            [mention(&[address("known"), account("a")], &[7]), mention(&[account("a"), address("b")], &[])];
        assert_eq!(shape(&mentions), [(3, vec![7])]);
    }

    #[test]
    fn people_who_contradict_each_other_stay_apart_although_they_share_a_key() {
        assert_eq!(
            shape(&[mention(&[oid(1), address("a")], &[]), mention(&[oid(2), address("a")], &[])]),
            [(2, vec![]), (2, vec![])]
        );
        assert_eq!(
            shape(&[mention(&[sid(1), account("a")], &[]), mention(&[sid(2), account("a")], &[])]),
            [(2, vec![]), (2, vec![])]
        );
        assert_eq!(
            shape(&[
                mention(&[address("a"), account("x")], &[1]),
                mention(&[address("b"), account("x")], &[2])
            ]),
            [(2, vec![1]), (2, vec![2])]
        );
    }

    #[test]
    fn who_may_be_either_of_two_is_neither() {
        let either = [
            mention(&[oid(1), address("a")], &[]),
            mention(&[oid(2), address("a")], &[]),
            mention(&[address("a")], &[]),
            mention(&[address("a"), account("a")], &[]),
        ];
        assert_eq!(shape(&either), [(2, vec![]), (2, vec![]), (2, vec![])]);
    }

    #[test]
    fn a_mention_that_comes_twice_is_one_person_also_among_people_who_contradict_each_other() {
        let mentions = [
            mention(&[oid(1), address("a")], &[1]),
            mention(&[oid(1), address("b")], &[2]),
            mention(&[oid(1)], &[]),
            mention(&[oid(1)], &[]),
        ];
        assert_eq!(shape(&mentions), [(1, vec![]), (2, vec![1]), (2, vec![2])]);
        let nameless = [mention(&[], &[]), mention(&[], &[])];
        assert_eq!(join_mentions(nameless.to_vec()).len(), 2, "nothing says who they are");
    }

    #[test]
    fn a_stronger_key_decides_before_a_weaker_one_contradicts() {
        let mentions = [
            mention(&[oid(1), account("a")], &[]),
            mention(&[oid(1), address("a")], &[]),
            mention(&[address("a")], &[]),
            mention(&[oid(2), account("a")], &[]),
        ];
        assert_eq!(shape(&mentions), [(2, vec![]), (3, vec![])]);
    }

    #[test]
    fn keys_that_point_at_several_users_make_a_person_of_their_own() {
        let ambiguous = mention(&[address("a"), address("b")], &[2, 1]);
        let mentions = [
            ambiguous.clone(),
            (ambiguous.0, vec![UserNo(1), UserNo(2)]),
            mention(&[address("a")], &[1]),
            mention(&[address("b")], &[2]),
        ];
        assert_eq!(shape(&mentions), [(1, vec![1]), (1, vec![2]), (2, vec![1, 2])]);
    }

    #[test]
    fn the_name_that_is_kept_does_not_depend_on_the_order() {
        let named = |name: &str| {
            let (mut identity, users) = mention(&[address("a")], &[]);
            identity.display_name = Some(Personal::new(name));
            (identity, users)
        };
        assert_eq!(joined(&[named("B"), named("A"), named("C"), mention(&[address("a")], &[])]).len(), 1);
    }

    #[test]
    fn no_mention_is_nobody() {
        assert_eq!(join_mentions(Vec::new()), []);
    }
}
