//! Who did which activity, in eight bytes each: of an id only a hash is kept, so whoever asks looks at what that user did.

use crate::domain::activities::RowId;
use crate::domain::ids::ActivityId;
use crate::domain::user::UserNo;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::sync::LazyLock;

/// One for all, so that hashes can be made where there is time. Nobody outside can guess it.
static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

/// The users by the hashes of what they did.
#[derive(Default)]
pub struct Doers {
    table: HashTable<(u32, UserNo)>,
}

/// Returns the hash of an id.
pub fn hash(id: RowId<'_>) -> u32 {
    let hash = match id {
        RowId::Uuid(uuid) => HASHER.hash_one(uuid.as_u128()),
        RowId::Text(text) => HASHER.hash_one(text),
    };
    (hash >> 32) as u32
}

impl Doers {
    /// Returns users one of whom did that activity, if anybody did.
    pub fn of(&self, id: &ActivityId) -> impl Iterator<Item = UserNo> {
        let hash = hash(RowId::of(id));
        self.table.iter_hash(spread(hash)).filter(move |(other, _)| *other == hash).map(|(_, user)| *user)
    }

    /// Notes that a user did an activity.
    pub fn add(&mut self, id: RowId<'_>, user: UserNo) {
        self.add_hashed(hash(id), user);
    }

    /// Notes that a user did an activity whose id has that hash.
    pub fn add_hashed(&mut self, hash: u32, user: UserNo) {
        self.table.insert_unique(spread(hash), (hash, user), |(hash, _)| spread(*hash));
    }

    /// Forgets that a user of whom `is_theirs` holds did an activity.
    pub fn remove(&mut self, id: RowId<'_>, is_theirs: impl Fn(UserNo) -> bool) {
        let hash = hash(id);
        let found = self.table.find_entry(spread(hash), |(other, user)| *other == hash && is_theirs(*user));
        if let Ok(entry) = found {
            entry.remove();
        }
    }
}

/// Spreads a hash over the bits at both ends, which a table looks at.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn ids() -> Vec<ActivityId> {
        let uuids = (0..500_u128).map(|n| Uuid::from_u128(n << 64 | n).to_string());
        uuids.chain((0..500).map(|n| n.to_string())).map(|id| ActivityId::new(&id).unwrap()).collect()
    }

    #[test]
    fn whoever_did_something_is_found_until_it_is_forgotten() {
        let mut doers = Doers::default();
        for (id, user) in ids().iter().zip(0..) {
            doers.add(RowId::of(id), UserNo(user));
        }
        for (id, user) in ids().iter().zip(0..) {
            assert!(doers.of(id).any(|found| found == UserNo(user)));
            assert!(doers.of(id).count() < 3, "most of others are not looked at");
            doers.remove(RowId::of(id), |found| found == UserNo(user + 1));
            assert!(doers.of(id).any(|found| found == UserNo(user)), "of somebody else");
            doers.remove(RowId::of(id), |found| found == UserNo(user));
            assert!(doers.of(id).all(|found| found != UserNo(user)));
        }
    }
}
