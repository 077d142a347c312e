//! A DLP alert and the level that its involved users give it (`risk-model.md` 7).

use crate::domain::severity::Severity;
use crate::domain::user::{Identity, IdentityKey, UserNo};
use chrono::{DateTime, Utc};
use std::cmp::Ordering;
use std::cmp::Reverse;

/// The most involved users of one alert.
pub const INVOLVED_USERS_MAX: usize = 1_000;

/// The DLP alert's own severity; nothing to do with insider risk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the product's own words")]
pub enum AlertSeverity {
    Informational,
    Low,
    Medium,
    High,
}

/// A DLP alert as the DLP side knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DlpAlert {
    /// Its id in the caller's system.
    pub id: String,
    /// Its title; may be empty.
    pub title: String,
    /// The DLP policy that matched; may be empty.
    pub policy_name: String,
    /// When it was raised.
    pub created_at: Option<DateTime<Utc>>,
    /// Its own severity.
    pub severity: Option<AlertSeverity>,
    /// Who it involves: actors, not recipients, no services. One mention each, not yet joined.
    pub involved: Vec<Identity>,
}

/// What decides a person's place in an alert. Ordered: the highest risk first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The level.
    pub level: Severity,
    /// The score.
    pub score: i32,
    /// The latest exfiltration activity in the lookback.
    pub latest_exfiltration: Option<DateTime<Utc>>,
    /// The person's canonical key ([`Identity::canonical`]), which breaks ties: the lower first, none last.
    pub id: Option<IdentityKey>,
}

impl Ord for Standing {
    fn cmp(&self, other: &Self) -> Ordering {
        let risk = |s: &Self| Reverse((s.level, s.score, s.latest_exfiltration));
        let id = |s: &Self| s.id.is_none();
        risk(self).cmp(&risk(other)).then_with(|| (id(self), &self.id).cmp(&(id(other), &other.id)))
    }
}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One person whom an alert involves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// All that the alert says about who it is.
    pub identity: Identity,
    /// The known users at whom the keys point, by number: none for a stranger, several when the keys contradict
    /// each other.
    pub users: Vec<UserNo>,
}

/// Joins the mentions of an alert to people. Each mention comes with the known users at whom its keys point. The
/// result does not depend on the order of the mentions.
#[must_use]
pub fn join_mentions(_mentions: &[(Identity, Vec<UserNo>)]) -> Vec<Person> {
    todo!()
}
