//! What is known, in memory, as readers see it. Readers never wait for the disk and never hold a writer up.

use super::reviews;
use super::reviews::{Review, Reviews};
use super::switch::Switch;
use crate::domain::decision::RiskAlertQuery;
use crate::domain::facts::{SharedFacts, TenantRules};
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::pseudonym::Pseudonym;
use crate::domain::user::{Identity, IdentityKey, UserNo};
use crate::store::{AlertCursor, AlertPage, Named, ReviewedAlert, Snapshot, VersionedSettings};
use dashmap::DashMap;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// How often a reader that met a writer tries again before it makes the writer wait.
const TRIES: usize = 32;
/// So many risk alerts are looked at for a page.
const REVIEWS_MAX: usize = 10_000;
/// Tenants are many and mostly small: few shards each.
const SHARDS: usize = 8;

/// What is known of one tenant.
pub struct Tenant {
    /// The tenant.
    pub id: TenantId,
    /// The sharing switch.
    pub switch: Switch,
    /// Lets one change of settings happen after the other.
    pub turn: tokio::sync::Mutex<()>,
    /// Odd while a commit is being shown, and higher after it.
    shown: AtomicU64,
    showing: Mutex<()>,
    decided: RwLock<Decided>,
    keys: DashMap<IdentityKey, UserNo>,
    users: DashMap<UserNo, SharedFacts>,
    pseudonyms: DashMap<UserNo, Pseudonym>,
    /// Where numbers went that turned out to be somebody else.
    moved: DashMap<UserNo, UserNo>,
    /// The risk alerts.
    pub reviews: Reviews,
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
            shown: AtomicU64::new(0),
            showing: Mutex::default(),
            decided: RwLock::default(),
            keys: DashMap::with_shard_amount(SHARDS),
            users: DashMap::with_shard_amount(SHARDS),
            pseudonyms: DashMap::with_shard_amount(SHARDS),
            moved: DashMap::with_shard_amount(SHARDS),
            reviews: Reviews::default(),
        }
    }

    /// Returns the rules.
    pub fn decided(&self) -> Decided {
        self.decided.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the settings.
    pub fn settings(&self) -> VersionedSettings {
        let decided = self.decided();
        VersionedSettings { settings: decided.rules.settings.clone(), version: decided.version }
    }

    /// Returns whom a key points at.
    pub fn user_of(&self, key: &IdentityKey) -> Option<UserNo> {
        self.keys.get(key).map(|no| *no)
    }

    /// Returns what is known of a user.
    pub fn facts(&self, user: UserNo) -> Option<SharedFacts> {
        self.users.get(&user).map(|facts| Arc::clone(&facts))
    }

    /// Returns who a user is.
    pub fn named(&self, mut user: UserNo) -> Option<Named> {
        while let Some(into) = self.moved.get(&user).map(|into| *into) {
            user = into;
        }
        let pseudonym = *self.pseudonyms.get(&user)?;
        let facts = self.facts(user)?;
        let identity = facts.user.identity.clone();
        let shown = facts.user.declared_identity().unwrap_or_else(|| identity.clone());
        Some(Named { user, pseudonym, identity, shown })
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

    /// Returns the users of whom `wanted` holds.
    pub fn users_of(&self, wanted: impl Fn(&SharedFacts) -> bool) -> Vec<UserNo> {
        self.users.iter().filter(|entry| wanted(entry.value())).map(|entry| *entry.key()).collect()
    }

    /// Shows a commit. Only one thread may call it.
    pub fn show(&self, shown: Shown) {
        let _showing = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        self.shown.fetch_add(1, Ordering::SeqCst);
        for facts in shown.users {
            self.users.insert(facts.user.no, facts);
        }
        for (key, user) in shown.keys {
            match user {
                Some(user) => drop(self.keys.insert(key, user)),
                None => drop(self.keys.remove(&key)),
            }
        }
        for user in shown.gone {
            self.users.remove(&user);
        }
        for (user, pseudonym) in shown.pseudonyms {
            self.pseudonyms.insert(user, pseudonym);
        }
        for (from, into) in shown.moved {
            self.moved.insert(from, into);
        }
        for (alert, review) in shown.reviews {
            self.reviews.put(alert, review);
        }
        for alert in shown.unreviewed {
            self.reviews.remove(&alert);
        }
        for user in shown.erased {
            self.users.remove(&user);
            self.pseudonyms.remove(&user);
            self.moved.remove(&user);
        }
        if let Some(decided) = shown.decided {
            *self.decided.write().unwrap_or_else(PoisonError::into_inner) = decided;
        }
        self.shown.fetch_add(1, Ordering::SeqCst);
    }

    /// Reads people as of one instant between commits.
    ///
    /// It reads and looks whether a commit was shown meanwhile: every map access synchronises with the writer, so a
    /// reader that saw anything of a commit also sees that the count has moved.
    pub async fn snapshot(&self, people: &[Identity]) -> Snapshot {
        for _ in 0..TRIES {
            let before = self.shown.load(Ordering::SeqCst);
            if before.is_multiple_of(2) {
                let snapshot = self.look_up(people);
                if self.shown.load(Ordering::SeqCst) == before {
                    return snapshot;
                }
            }
            tokio::task::yield_now().await;
        }
        let _showing = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_up(people)
    }

    fn look_up(&self, people: &[Identity]) -> Snapshot {
        let found = people.iter().map(|person| {
            let hits: BTreeSet<UserNo> = person.keys().filter_map(|key| self.user_of(key)).collect();
            hits.into_iter().filter_map(|user| self.facts(user)).collect()
        });
        Snapshot { found: found.collect(), rules: self.decided().rules }
    }
}
