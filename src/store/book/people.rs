//! Whom a tenant's keys point at, and what is known of them, so that a whole queue page is looked up at once: in one pass
//! over keys and then one over users, each of which waits for memory rather than for the look-up before it.

use crate::domain::known_facts::SharedFacts;
use crate::domain::user::{Identity, IdentityKey, UserNo};
use crate::store::Hits;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Keys are in so many tables. One that grows is made anew, which takes long where it is large.
const TABLES: usize = 16;
/// Numbers are given from 0 on, so users stand in pages by number. A book that holds a few of them has few pages.
const PAGE_USERS: usize = 256;

type Entry = (IdentityKey, UserNo);

/// A key that is looked up, and what has been found so far: that of the first entry that has its hash, as nearly always
/// only the key's own does.
struct Asked<'a> {
    person: usize,
    key: &'a IdentityKey,
    hash: u64,
    entry: Option<&'a Entry>,
    facts: Option<&'a SharedFacts>,
}

/// The people of a tenant.
#[derive(Default)]
pub struct People {
    hasher: DefaultHashBuilder,
    keys: [HashTable<Entry>; TABLES],
    pages: Vec<Option<Box<[Option<SharedFacts>; PAGE_USERS]>>>,
}

impl People {
    /// Returns whom a key points at.
    pub fn user_of(&self, key: &IdentityKey) -> Option<UserNo> {
        self.find(self.hasher.hash_one(key), key)
    }

    fn find(&self, hash: u64, key: &IdentityKey) -> Option<UserNo> {
        self.keys[table(hash)].find(hash, |(known, _)| known == key).map(|(_, user)| *user)
    }

    /// Returns what is known of a user.
    pub fn facts(&self, user: UserNo) -> Option<&SharedFacts> {
        let (page, place) = place(user);
        self.pages.get(page)?.as_ref()?[place].as_ref()
    }

    /// Returns whom the keys of each of these people point at, by number.
    ///
    /// Each step touches memory that the step before it found, of all keys before the next step begins: so a page waits
    /// for many of them at once, where one key after the other would wait for each.
    pub fn look_up(&self, people: &[&Identity]) -> Vec<Hits> {
        let mut all: Vec<Asked<'_>> = people
            .iter()
            .enumerate()
            .flat_map(|(person, identity)| identity.keys().map(move |key| (person, key)))
            .map(|(person, key)| Asked {
                person,
                key,
                hash: self.hasher.hash_one(key),
                entry: None,
                facts: None,
            })
            .collect();
        for one in &mut all {
            one.entry = self.keys[table(one.hash)].iter_hash(one.hash).next();
        }
        for one in &mut all {
            one.facts = one.entry.and_then(|(_, user)| self.facts(*user));
        }
        let numbers: Vec<Option<UserNo>> = all.iter().map(|one| one.facts.map(|facts| facts.no())).collect();
        let mut found = vec![Hits::new(); people.len()];
        for (one, number) in all.iter().zip(numbers) {
            let is_found = one.entry.is_some_and(|(known, _)| known == one.key);
            let hit = if is_found { one.facts.zip(number) } else { self.hit(one) };
            let Some((facts, user)) = hit else { continue };
            let hits = &mut found[one.person];
            if let Err(place) = hits.binary_search_by_key(&user, |known| known.no()) {
                hits.insert(place, facts.clone());
            }
        }
        found
    }

    /// Returns what is known of whom a key points at, where the first entry of its hash was another key's.
    fn hit(&self, asked: &Asked<'_>) -> Option<(&SharedFacts, UserNo)> {
        let user = self.find(asked.hash, asked.key)?;
        Some((self.facts(user)?, user))
    }

    /// Returns everybody.
    pub fn iter(&self) -> impl Iterator<Item = &SharedFacts> {
        self.pages.iter().flatten().flat_map(|page| page.iter().flatten())
    }

    /// Says whom a key points at from now on.
    pub fn point(&mut self, key: IdentityKey, user: UserNo) {
        let (hasher, hash) = (&self.hasher, self.hasher.hash_one(&key));
        let table = &mut self.keys[table(hash)];
        match table.find_mut(hash, |(known, _)| *known == key) {
            Some((_, known)) => *known = user,
            None => drop(table.insert_unique(hash, (key, user), |(key, _)| hasher.hash_one(key))),
        }
    }

    /// Takes a key away.
    pub fn unpoint(&mut self, key: &IdentityKey) {
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.keys[table(hash)].find_entry(hash, |(known, _)| known == key) {
            entry.remove();
        }
    }

    /// Says what is known of a user from now on.
    pub fn put(&mut self, facts: SharedFacts) {
        let (page, place) = place(facts.user.no);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([const { None }; PAGE_USERS]));
        page[place] = Some(facts);
    }

    /// Forgets a user.
    pub fn remove(&mut self, user: UserNo) {
        let (page, place) = place(user);
        if let Some(Some(page)) = self.pages.get_mut(page) {
            page[place] = None;
        }
    }
}

/// Returns in which table keys of that hash are. Within a table the lowest and the highest bits count.
fn table(hash: u64) -> usize {
    (hash >> 40) as usize % TABLES
}

fn place(user: UserNo) -> (usize, usize) {
    (user.0 as usize / PAGE_USERS, user.0 as usize % PAGE_USERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::facts::UserFacts;
    use crate::domain::known_facts::KnownFacts;
    use crate::domain::user::User;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn key(number: u32) -> IdentityKey {
        IdentityKey::address(&format!("u{number}@contoso.com")).unwrap()
    }

    fn facts(number: u32) -> SharedFacts {
        KnownFacts::new(UserFacts::of(User::named(UserNo(number), Identity::default().with(key(number)))))
    }

    #[test]
    fn keys_whose_hashes_look_alike_are_told_apart() {
        let mut people = People::default();
        for number in 0..5_000 {
            people.point(key(number), UserNo(number));
            people.put(facts(number));
        }
        let asked: Vec<Identity> = (0..10_000).map(|number| Identity::default().with(key(number))).collect();
        let found = people.look_up(&asked.iter().collect::<Vec<_>>());
        for (number, hits) in (0..).zip(found) {
            let hits: Vec<u32> = hits.iter().map(|facts| facts.user.no.0).collect();
            assert_eq!(hits, (number < 5_000).then_some(number).into_iter().collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_from_keys_to_numbers_and_from_numbers_to_facts(
            steps in prop::collection::vec((0_u32..4, 0_u32..20, 0_u32..1_000), 0..200),
            asked in prop::collection::vec(prop::collection::vec(0_u32..20, 0..4), 0..8),
        ) {
            let mut people = People::default();
            let (mut keys, mut users) = (BTreeMap::new(), BTreeSet::new());
            for (step, number, user) in steps {
                match step {
                    0 => { people.point(key(number), UserNo(user)); keys.insert(number, user); }
                    1 => { people.unpoint(&key(number)); keys.remove(&number); }
                    2 => { people.put(facts(user)); users.insert(user); }
                    _ => { people.remove(UserNo(user)); users.remove(&user); }
                }
            }
            for number in 0..20 {
                prop_assert_eq!(people.user_of(&key(number)), keys.get(&number).map(|user| UserNo(*user)));
            }
            prop_assert_eq!(people.iter().map(|facts| facts.user.no.0).collect::<Vec<_>>(), users.iter().copied().collect::<Vec<_>>());
            let identity = |numbers: &Vec<u32>| numbers.iter().map(|number| key(*number)).fold(Identity::default(), Identity::with);
            let identities: Vec<Identity> = asked.iter().map(identity).collect();
            let found = people.look_up(&identities.iter().collect::<Vec<_>>());
            for (numbers, hits) in asked.iter().zip(found) {
                let hit: BTreeSet<u32> = numbers.iter().filter_map(|number| keys.get(number)).copied().filter(|user| users.contains(user)).collect();
                prop_assert_eq!(hits.iter().map(|facts| facts.user.no.0).collect::<Vec<_>>(), hit.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
