//! All that a tenant's book held at one instant, in one piece: what is carried elsewhere while the book goes on.

use super::change::Change;
use super::person::Person;
use super::reviews::Review;
use crate::domain::content::Due;
use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::known_facts::SharedFacts;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::user::UserNo;
use crate::store::VersionedSettings;
use crate::store::moving::MovedTenant;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What was shown at that instant. Cheap beside what it holds: all of it is shared.
pub struct Image {
    /// Whose.
    pub tenant: TenantId,
    /// The settings.
    pub settings: VersionedSettings,
    /// How often the sharing switch had moved.
    pub epoch: u64,
    /// The number that the next new user gets.
    pub next: UserNo,
    /// The rules.
    pub rules: Arc<TenantRules>,
    /// What was due for export, of users as they were numbered then.
    pub due: Vec<Due>,
    /// Everybody, by number.
    pub users: Vec<SharedFacts>,
    /// The numbers that turned out to be somebody else, by whom they were then.
    pub former: BTreeMap<UserNo, Vec<UserNo>>,
    /// Everybody's pseudonyms, and those of former numbers.
    pub pseudonyms: HashMap<UserNo, Pseudonym>,
    /// What was kept of risk alerts beside the facts.
    pub reviews: HashMap<RiskAlertId, Arc<Review>>,
}

impl Image {
    /// Returns a user of that number.
    pub fn user(&self, user: UserNo) -> Option<&SharedFacts> {
        let place = self.users.binary_search_by_key(&user, |facts| facts.no()).ok()?;
        Some(&self.users[place])
    }

    /// Returns all that is kept of a user.
    pub fn person(&self, facts: &SharedFacts) -> Option<Person> {
        let user = facts.no();
        let reviews = facts.alerts.keys().filter_map(|alert| {
            let review = self.reviews.get(alert)?;
            Some((alert.clone(), Review { user, ..Review::clone(review) }))
        });
        let former = self.former.get(&user).into_iter().flatten();
        Some(Person {
            pseudonym: *self.pseudonyms.get(&user)?,
            former: former.map(|from| (*from, self.pseudonyms.get(from).copied())).collect(),
            reviews: reviews.collect(),
            facts: UserFacts::clone(facts),
        })
    }

    /// Returns the tenant without its people. The number is that of the last blob that was exported of any.
    pub fn without_people(&self, published: u64) -> MovedTenant {
        MovedTenant {
            tenant: self.tenant,
            settings: self.settings.clone(),
            epoch: self.epoch,
            next: self.next,
            policies: self.rules.policies.values().cloned().collect(),
            published,
        }
    }
}

/// Returns the changes that make a book of nobody that of a tenant, but for its people and what is due, which come behind.
pub fn changes(tenant: MovedTenant) -> impl Iterator<Item = Change> {
    let MovedTenant { tenant: _, settings, epoch, next, policies, published } = tenant;
    let policies = policies.into_iter().map(Change::Policy);
    let last = [Change::Next(next), Change::Published(published)];
    [Change::Settings { settings, epoch }].into_iter().chain(policies).chain(last)
}
