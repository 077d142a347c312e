//! Who is one person (design, "Identity of a user"): records that share a key, directly or through others.

use riskshare::domain::user::IdentityKey;
use std::collections::BTreeSet;

/// Joins sets of keys until no two have a key in common.
pub fn people(records: &[BTreeSet<IdentityKey>]) -> BTreeSet<BTreeSet<IdentityKey>> {
    let mut people: Vec<BTreeSet<IdentityKey>> = Vec::new();
    for record in records {
        let mut person = record.clone();
        let mut others = Vec::new();
        for other in people {
            if other.is_disjoint(&person) {
                others.push(other);
            } else {
                person.extend(other);
            }
        }
        people = others;
        people.push(person);
    }
    people.into_iter().collect()
}
