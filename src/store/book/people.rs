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

/// The people of a tenant.
#[derive(Default)]
pub struct People {
    hasher: DefaultHashBuilder,
    keys: [HashTable<(IdentityKey, UserNo)>; TABLES],
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
    pub fn look_up(&self, people: &[&Identity]) -> Vec<Hits> {
        let hashes: Vec<(usize, u64, &IdentityKey)> = people
            .iter()
            .enumerate()
            .flat_map(|(person, identity)| identity.keys().map(move |key| (person, key)))
            .map(|(person, key)| (person, self.hasher.hash_one(key), key))
            .collect();
        let numbers: Vec<(usize, UserNo)> = hashes
            .into_iter()
            .filter_map(|(person, hash, key)| Some((person, self.find(hash, key)?)))
            .collect();
        let mut found = vec![Hits::new(); people.len()];
        for (person, user) in numbers {
            let hits = &mut found[person];
            if let Some(facts) = self.facts(user) {
                match hits.binary_search_by_key(&user, |known| known.no()) {
                    Ok(_) => {}
                    Err(place) => hits.insert(place, facts.clone()),
                }
            }
        }
        found
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
