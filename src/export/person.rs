//! A user's names in clear, as exports that are made for correlation have them (`domain.md` 7, "Not kept").

use crate::domain::user::{Identity, IdentityKey, Personal};

/// The names of a user that other systems know.
#[derive(Default)]
pub struct Person<'a> {
    /// The UPN; of somebody who is known without one, the first of the addresses.
    pub upn: Option<&'a str>,
    /// The Entra object id.
    pub object_id: Option<String>,
    /// The display name.
    pub display_name: Option<&'a str>,
    /// The SID, and `domain\account`.
    others: [Option<&'a str>; 2],
}

impl<'a> Person<'a> {
    /// Spells the names.
    pub fn of(identity: &'a Identity) -> Self {
        let mut person = Self {
            upn: identity.upn().map(spelled),
            display_name: identity.display_name.as_ref().map(spelled),
            ..Self::default()
        };
        for key in identity.keys() {
            match key {
                IdentityKey::ObjectId(id) => person.object_id = Some(id.to_string()),
                IdentityKey::Sid(sid) => person.others[0] = Some(spelled(sid)),
                IdentityKey::Address(address) => person.upn = person.upn.or(Some(spelled(address))),
                IdentityKey::Account(account) => person.others[1] = Some(spelled(account)),
            }
        }
        person
    }

    /// Returns what tells the user from all others: the object id, or else the strongest other name.
    pub fn unique(&self) -> String {
        let name = || self.others[0].or(self.upn).or(self.others[1]).unwrap_or_default();
        self.object_id.clone().unwrap_or_else(|| name().to_owned())
    }

    /// Returns the name by which people know the user.
    pub fn called(&self) -> String {
        self.upn.map_or_else(|| self.unique(), str::to_owned)
    }
}

#[expect(clippy::disallowed_methods, reason = "the format has clear names")]
fn spelled(name: &Personal) -> &str {
    name.spell()
}
