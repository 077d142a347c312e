//! Who is to be forgotten, and what is left of changes then.

use super::change::Change;
use crate::domain::user::{IdentityKey, UserNo};
use std::collections::BTreeSet;

/// People of one tenant who are to be forgotten.
#[derive(Default)]
pub struct Erasure {
    /// Every number that they ever had.
    pub numbers: BTreeSet<UserNo>,
    /// Every key that they have.
    pub keys: BTreeSet<IdentityKey>,
}

impl Erasure {
    /// Returns what is kept of a change, nothing when it is about them alone.
    pub fn kept(&self, change: Change) -> Option<Change> {
        let is_theirs = match &change {
            Change::User(user) => self.numbers.contains(&user.no),
            Change::Absorbed { from, into } => self.numbers.contains(from) || self.numbers.contains(into),
            Change::Membership { user, .. }
            | Change::Trigger { user, .. }
            | Change::Alert { user, .. }
            | Change::Decided { user, .. }
            | Change::Pseudonym { user, .. } => self.numbers.contains(user),
            Change::Brought(person) => self.numbers.contains(&person.facts.user.no),
            Change::Due(due) => self.numbers.contains(&due.user),
            Change::Policy(_)
            | Change::Settings { .. }
            | Change::Erased(_)
            | Change::Published(_)
            | Change::Next(_) => false,
        };
        match change {
            _ if is_theirs => None,
            Change::Policy(mut policy) => {
                policy.priority_users.retain(|key| !self.keys.contains(key));
                Some(Change::Policy(policy))
            }
            other => Some(other),
        }
    }
}
