//! What is known, in memory, as readers see it. Readers never wait for the disk, and hold a writer up for no longer than a
//! page takes to look up.

use super::people::People;
use super::reviews;
use super::reviews::{Review, Reviews};
use super::switch::Switch;
use crate::domain::decision::RiskAlertQuery;
use crate::domain::facts::TenantRules;
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::known_facts::SharedFacts;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::user::{Identity, IdentityKey, UserNo};
use crate::store::{AlertCursor, AlertPage, Named, ReviewedAlert, Snapshot, VersionedSettings};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// So many risk alerts are looked at for a page.
const REVIEWS_MAX: usize = 10_000;

/// What is known of one tenant.
pub struct Tenant {
    /// The tenant.
    pub id: TenantId,
    /// The sharing switch.
    pub switch: Switch,
    /// Lets one change of settings happen after the other.
    pub turn: tokio::sync::Mutex<()>,
    seen: RwLock<Seen>,
    /// The risk alerts.
    pub reviews: Reviews,
}

/// What is as of one instant between commits.
#[derive(Default)]
struct Seen {
    decided: Decided,
    people: People,
    pseudonyms: HashMap<UserNo, Pseudonym>,
    /// Where numbers went that turned out to be somebody else.
    moved: HashMap<UserNo, UserNo>,
}

/// A tenant's rules and the version of the settings in them.
#[derive(Clone, Default)]
pub struct Decided {
    /// The settings and policies.
    pub rules: Arc<TenantRules>,
    /// How often the settings were changed.
    pub version: u64,
}

/// What a commit shows.
#[derive(Default)]
pub struct Shown {
    /// New rules, if they changed.
    pub decided: Option<Decided>,
    /// Whom keys point at from now on, if at anybody.
    pub keys: Vec<(IdentityKey, Option<UserNo>)>,
    /// What is now known of users.
    pub users: Vec<SharedFacts>,
    /// Numbers that are nobody's own any more.
    pub gone: Vec<UserNo>,
    /// New pseudonyms.
    pub pseudonyms: Vec<(UserNo, Pseudonym)>,
    /// Where numbers went that turned out to be somebody else.
    pub moved: Vec<(UserNo, UserNo)>,
    /// Numbers of which nothing may be left.
    pub erased: Vec<UserNo>,
    /// What is now kept of risk alerts.
    pub reviews: Vec<(RiskAlertId, Review)>,
    /// Risk alerts of which nothing may be left.
    pub unreviewed: Vec<RiskAlertId>,
}

impl Tenant {
    /// Returns a tenant of which nothing is known but its switch.
    pub fn new(id: TenantId, switch: Switch) -> Self {
        Self {
            id,
            switch,
            turn: tokio::sync::Mutex::default(),
            seen: RwLock::default(),
            reviews: Reviews::default(),
        }
    }

    /// Returns the rules.
    pub fn decided(&self) -> Decided {
        self.seen().decided.clone()
    }

    /// Returns the settings.
    pub fn settings(&self) -> VersionedSettings {
        let decided = self.decided();
        VersionedSettings { settings: decided.rules.settings.clone(), version: decided.version }
    }

    /// Returns whom a key points at.
    pub fn user_of(&self, key: &IdentityKey) -> Option<UserNo> {
        self.seen().people.user_of(key)
    }

    /// Returns what is known of a user.
    pub fn facts(&self, user: UserNo) -> Option<SharedFacts> {
        self.seen().people.facts(user).cloned()
    }

    /// Returns who a user is.
    pub fn named(&self, user: UserNo) -> Option<Named> {
        self.seen().named(user)
    }

    /// Returns a risk alert as reviewers see it.
    pub fn reviewed(&self, id: &RiskAlertId) -> Option<ReviewedAlert> {
        let review = self.reviews.get(id)?;
        let user = self.named(review.user)?;
        let alert = self.facts(user.user)?.alerts.get(id)?.clone();
        Some(ReviewedAlert { alert, user, history: review.history.clone() })
    }

    /// Returns a page of the risk alerts that are wanted, without their histories.
    pub fn reviewed_page(
        &self,
        query: &RiskAlertQuery,
        after: Option<&AlertCursor>,
        size: usize,
    ) -> AlertPage {
        let behind = |last: Option<&AlertCursor>, count| match &query.users {
            None => self.reviews.behind(last, count, query.oldest_first),
            Some(users) => self.places_of(users, last, count, query.oldest_first),
        };
        let is_of = |one: &ReviewedAlert| query.pseudonym.is_none_or(|wanted| one.user.pseudonym == wanted);
        let (mut alerts, mut last, mut looked) = (Vec::new(), after.cloned(), 0);
        let mut places = behind(after, size).into_iter();
        while alerts.len() < size && looked < REVIEWS_MAX {
            let Some(place) = places.next() else {
                places = behind(last.as_ref(), size).into_iter();
                if places.len() == 0 {
                    break;
                }
                continue;
            };
            let reviewed = self.reviewed(&place.id).filter(|one| query.wants(&one.alert) && is_of(one));
            alerts.extend(reviewed.map(|one| ReviewedAlert { history: Vec::new(), ..one }));
            (last, looked) = (Some(place), looked + 1);
        }
        let next = last.filter(|last| !behind(Some(last), 1).is_empty());
        AlertPage { rules: self.decided().rules, alerts, next }
    }

    /// Returns where the next alerts of some users are behind a cursor, at most `count`.
    fn places_of(
        &self,
        users: &BTreeSet<UserNo>,
        after: Option<&AlertCursor>,
        count: usize,
        oldest_first: bool,
    ) -> Vec<AlertCursor> {
        let users = users.iter().filter_map(|user| self.named(*user)).map(|named| named.user);
        let facts = users.collect::<BTreeSet<_>>().into_iter().filter_map(|user| self.facts(user));
        let mut places: Vec<AlertCursor> = facts.flat_map(|facts| reviews::places(&facts)).collect();
        places.sort_by_key(reviews::place);
        if oldest_first {
            places.reverse();
        }
        let is_behind = |place: &AlertCursor| {
            let order = after.map(|after| reviews::place(place).cmp(&reviews::place(after)));
            order.is_none_or(|order| if oldest_first { order.is_lt() } else { order.is_gt() })
        };
        places.into_iter().filter(is_behind).take(count).collect()
    }

    /// Returns everybody, by number.
    pub fn everybody(&self) -> Vec<SharedFacts> {
        self.seen().people.iter().cloned().collect()
    }

    /// Returns the users of whom `wanted` holds.
    pub fn users_of(&self, wanted: impl Fn(&SharedFacts) -> bool) -> Vec<UserNo> {
        self.seen().people.iter().filter(|facts| wanted(facts)).map(|facts| facts.user.no).collect()
    }

    /// Shows a commit.
    pub fn show(&self, shown: Shown) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        for facts in shown.users {
            seen.people.put(facts);
        }
        for (key, user) in shown.keys {
            match user {
                Some(user) => seen.people.point(key, user),
                None => seen.people.unpoint(&key),
            }
        }
        for user in shown.gone {
            seen.people.remove(user);
        }
        seen.pseudonyms.extend(shown.pseudonyms);
        seen.moved.extend(shown.moved);
        for (alert, review) in shown.reviews {
            self.reviews.put(alert, review);
        }
        for alert in shown.unreviewed {
            self.reviews.remove(&alert);
        }
        for user in shown.erased {
            seen.people.remove(user);
            seen.pseudonyms.remove(&user);
            seen.moved.remove(&user);
        }
        if let Some(decided) = shown.decided {
            seen.decided = decided;
        }
    }

    /// Reads people as of one instant between commits.
    pub fn snapshot(&self, people: &[&Identity]) -> Snapshot {
        let seen = self.seen();
        Snapshot { rules: Arc::clone(&seen.decided.rules), found: seen.people.look_up(people) }
    }

    fn seen(&self) -> RwLockReadGuard<'_, Seen> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn named(&self, mut user: UserNo) -> Option<Named> {
        while let Some(into) = self.moved.get(&user) {
            user = *into;
        }
        let pseudonym = *self.pseudonyms.get(&user)?;
        let facts = self.people.facts(user)?;
        let identity = facts.user.identity.clone();
        let shown = facts.user.declared_identity().unwrap_or_else(|| identity.clone());
        Some(Named { user, pseudonym, identity, shown })
    }
}
