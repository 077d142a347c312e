//! What the gate writes down about those who ask: whom they asked about, and whom they read.

use crate::domain::audit::{ALERTS_MAX, AuditEvent, AuditOutcome, USERS_MAX};
use crate::domain::user::UserNo;
use crate::gate::caller::Access;
use crate::store::{AlertPage, Named, Snapshot};
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// What a question is about, as the caller named it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// The incident, if it is about one.
    pub incident: String,
    /// The alerts, if it is about some.
    pub alerts: Vec<Arc<str>>,
    /// Why it is asked, if callers have to say.
    pub reason: String,
}

impl About {
    /// Returns a question about alerts.
    pub fn alerts<'a>(ids: impl IntoIterator<Item = &'a Arc<str>>) -> Self {
        Self { alerts: ids.into_iter().cloned().collect(), ..Self::default() }
    }

    /// Returns a question that is about no alert, and why it is asked.
    #[must_use]
    pub fn because(reason: String) -> Self {
        Self { reason, ..Self::default() }
    }

    /// Says of which incident they are.
    #[must_use]
    pub fn of_incident(self, incident: &str) -> Self {
        Self { incident: incident.to_owned(), ..self }
    }
}

/// Whom somebody has read so far, by number, some more than once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trail {
    users: Vec<UserNo>,
    unknown: usize,
}

impl Trail {
    /// Notes whose names were looked up.
    pub fn note_named(&mut self, named: &[Option<Named>]) {
        self.users.extend(named.iter().flatten().map(|named| named.user));
        self.unknown += named.iter().filter(|named| named.is_none()).count();
    }

    /// Notes whose risk alerts were read.
    pub fn note_alerts(&mut self, page: &AlertPage) {
        self.users.extend(page.alerts.iter().map(|one| one.user.user));
    }

    /// Notes whom a reading found.
    pub fn note(&mut self, snapshot: &Snapshot) {
        self.users.extend(snapshot.found.iter().flatten().map(|facts| facts.no()));
        self.unknown += snapshot.found.iter().filter(|found| found.is_empty()).count();
    }
}

/// Returns what is written down of a question.
#[must_use]
pub fn event(
    access: &Access,
    at: DateTime<Utc>,
    outcome: AuditOutcome,
    about: About,
    trail: &Trail,
) -> AuditEvent {
    let mut alerts = about.alerts;
    let mut users = trail.users.clone();
    users.sort_unstable();
    users.dedup();
    let more_users = more(users.len(), USERS_MAX);
    users.truncate(USERS_MAX);
    let more_alerts = more(alerts.len(), ALERTS_MAX);
    alerts.truncate(ALERTS_MAX);
    AuditEvent {
        incident: about.incident,
        reason: about.reason,
        alerts,
        more_alerts,
        users,
        more_users,
        unknown: u32::try_from(trail.unknown).unwrap_or(u32::MAX),
        ..AuditEvent::new(at, access.caller().principal(), access.right().name(), outcome)
    }
}

fn more(count: usize, max: usize) -> u32 {
    u32::try_from(count.saturating_sub(max)).unwrap_or(u32::MAX)
}
