//! Risk alerts as reviewers see them: whose each one is, the states that it was in, and all of them in order.

use crate::domain::decision::AlertChange;
use crate::domain::facts::UserFacts;
use crate::domain::ids::RiskAlertId;
use crate::domain::risk_alert::RiskAlert;
use crate::domain::user::UserNo;
use crate::store::AlertCursor;
use chrono::{DateTime, Utc};
use dashmap::DashMap;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

/// What is kept of an alert beside the facts of its user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Review {
    /// Whose it is. The number may have gone into another since.
    pub user: UserNo,
    /// When it was raised.
    pub created_at: DateTime<Utc>,
    /// The states that it was in, the oldest first.
    pub history: Vec<AlertChange>,
    /// One of them was exported.
    pub exported: bool,
}

impl Review {
    /// Returns what is kept of an alert of which nothing was kept before.
    pub fn of(user: UserNo, alert: &RiskAlert) -> Self {
        Self { user, created_at: alert.created_at, history: Vec::new(), exported: false }
    }

    /// Notes the state that the alert is in now, unless its status and severity are what they were, and says whether
    /// they are not.
    pub fn note(&mut self, alert: &RiskAlert, by: Option<String>, comment: String) -> bool {
        self.created_at = alert.created_at;
        let is_same = |last: &AlertChange| (last.status, last.severity) == (alert.status, alert.severity);
        let is_new = !self.history.last().is_some_and(is_same);
        if is_new {
            self.history.push(AlertChange { by, comment, ..AlertChange::of(alert) });
        }
        is_new
    }
}

/// Where an alert stands among others.
type Place = (Reverse<DateTime<Utc>>, RiskAlertId);

/// Returns where a cursor stands.
pub fn place(cursor: &AlertCursor) -> Place {
    (Reverse(cursor.created_at), cursor.id.clone())
}

/// Returns where the alerts of a user stand.
pub fn places(facts: &UserFacts) -> Vec<AlertCursor> {
    let of = |alert: &RiskAlert| AlertCursor { created_at: alert.created_at, id: alert.id.clone() };
    facts.alerts.values().map(of).collect()
}

/// The alerts of a tenant.
#[derive(Default)]
pub struct Reviews {
    by_id: DashMap<RiskAlertId, Arc<Review>>,
    /// The newest first.
    in_order: RwLock<BTreeSet<Place>>,
}

impl Reviews {
    /// Returns what is kept of an alert.
    pub fn get(&self, alert: &RiskAlertId) -> Option<Arc<Review>> {
        self.by_id.get(alert).map(|review| Arc::clone(&review))
    }

    /// Returns what is kept of all alerts.
    pub fn all(&self) -> HashMap<RiskAlertId, Arc<Review>> {
        self.by_id.iter().map(|review| (review.key().clone(), Arc::clone(review.value()))).collect()
    }

    /// Returns the next alerts behind a cursor, at most `count`.
    pub fn behind(&self, cursor: Option<&AlertCursor>, count: usize, oldest_first: bool) -> Vec<AlertCursor> {
        let edge = cursor.map_or(Bound::Unbounded, |cursor| Bound::Excluded(place(cursor)));
        let in_order = self.in_order.read().unwrap_or_else(PoisonError::into_inner);
        let found = |(created_at, id): &Place| AlertCursor { created_at: created_at.0, id: id.clone() };
        if oldest_first {
            in_order.range((Bound::Unbounded, edge)).rev().take(count).map(found).collect()
        } else {
            in_order.range((edge, Bound::Unbounded)).take(count).map(found).collect()
        }
    }

    /// Puts an alert in, or in its new place.
    pub fn put(&self, id: RiskAlertId, review: Review) {
        let place = (Reverse(review.created_at), id.clone());
        let before = self.by_id.insert(id.clone(), Arc::new(review));
        let mut in_order = self.in_order.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before {
            in_order.remove(&(Reverse(before.created_at), id));
        }
        in_order.insert(place);
    }

    /// Takes an alert out.
    pub fn remove(&self, id: &RiskAlertId) {
        if let Some((id, before)) = self.by_id.remove(id) {
            let mut in_order = self.in_order.write().unwrap_or_else(PoisonError::into_inner);
            in_order.remove(&(Reverse(before.created_at), id));
        }
    }
}
