//! What reviewers decide about risk alerts, and what became of an alert over time (`risk-model.md` 5).

use crate::domain::ids::{PolicyId, RiskAlertId};
use crate::domain::pseudonym::Pseudonym;
use crate::domain::risk_alert::{RiskAlert, Status};
use crate::domain::severity::Severity;
use crate::domain::user::UserNo;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// The longest comment, in bytes.
pub const COMMENT_BYTES_MAX: usize = 1_024;

/// What a reviewer decides about an alert.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Which alert.
    pub alert: RiskAlertId,
    /// The state that it is to have.
    pub status: Status,
    /// The version that the reviewer saw ([`RiskAlert::version`]); any when unset.
    pub expected: Option<String>,
    /// Who decides, as authentication named them.
    pub by: String,
    /// Why, in the reviewer's words: at most [`COMMENT_BYTES_MAX`].
    pub comment: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Why a decision was not taken. Nothing changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Undecided {
    /// There is no such alert.
    Unknown,
    /// The alert is of another version.
    Changed,
    /// No alert goes from the state that it has to that one.
    Illegal {
        /// The state that it has.
        from: Status,
        /// The state that it was to have.
        to: Status,
    },
}

/// One state that an alert was in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertChange {
    /// Since when.
    pub at: DateTime<Utc>,
    /// Its state.
    pub status: Status,
    /// Its severity.
    pub severity: Severity,
    /// Its score.
    pub score: i32,
    /// Who decided so. Unset when the service, or an import, did.
    pub by: Option<String>,
    /// The reviewer's comment.
    pub comment: String,
}

impl AlertChange {
    /// Returns the state that an alert is in now, by itself.
    #[must_use]
    pub fn of(alert: &RiskAlert) -> Self {
        let RiskAlert { status, severity, score, updated_at, .. } = alert;
        Self {
            at: *updated_at,
            status: *status,
            severity: *severity,
            score: *score,
            by: None,
            comment: String::new(),
        }
    }
}

impl Status {
    /// Says whether an alert goes from this state to that one: what needs review is confirmed or dismissed, what is
    /// confirmed is resolved or dismissed, and what is closed stays so.
    #[must_use]
    pub fn leads_to(self, next: Self) -> bool {
        match self {
            Self::NeedsReview => matches!(next, Self::Confirmed | Self::Dismissed),
            Self::Confirmed => next.is_closed(),
            Self::Resolved | Self::Dismissed => false,
        }
    }
}

impl RiskAlert {
    /// Names this state of it: another one whenever it changed.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{}-{}-{}", self.updated_at.timestamp_micros(), self.status as u8, self.score)
    }

    /// Returns it after a decision.
    ///
    /// # Errors
    /// When it is of another version than the reviewer saw, or does not go to that state.
    pub fn decided(&self, decision: &Decision) -> Result<Self, Undecided> {
        if decision.expected.as_ref().is_some_and(|expected| *expected != self.version()) {
            return Err(Undecided::Changed);
        }
        if !self.status.leads_to(decision.status) {
            return Err(Undecided::Illegal { from: self.status, to: decision.status });
        }
        // An import may have come with a time ahead of ours; the decision is still the later one.
        let at = decision.at.max(self.updated_at);
        Ok(Self {
            status: decision.status,
            updated_at: at,
            closed_at: decision.status.is_closed().then_some(at),
            ..self.clone()
        })
    }
}

/// Which risk alerts are wanted. What is not set does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RiskAlertQuery {
    /// Of one of these states; of any when empty.
    pub statuses: BTreeSet<Status>,
    /// Of one of these severities; of any when empty.
    pub severities: BTreeSet<Severity>,
    /// Of this policy.
    pub policy: Option<PolicyId>,
    /// Raised from this instant on.
    pub from: Option<DateTime<Utc>>,
    /// Raised before this instant.
    pub until: Option<DateTime<Utc>>,
    /// Of the user with this pseudonym.
    pub pseudonym: Option<Pseudonym>,
    /// Of one of these users; of any when unset.
    pub users: Option<BTreeSet<UserNo>>,
    /// The oldest first, not the newest.
    pub oldest_first: bool,
}

impl RiskAlertQuery {
    /// Says whether an alert is wanted, its user aside.
    #[must_use]
    pub fn wants(&self, alert: &RiskAlert) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&alert.status))
            && (self.severities.is_empty() || self.severities.contains(&alert.severity))
            && self.policy.as_ref().is_none_or(|policy| alert.policy == *policy)
            && self.from.is_none_or(|from| alert.created_at >= from)
            && self.until.is_none_or(|until| alert.created_at < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::risk_alert::Origin;
    use Status::{Confirmed, Dismissed, NeedsReview, Resolved};

    const ALL: [Status; 4] = [NeedsReview, Confirmed, Resolved, Dismissed];

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn alert(status: Status) -> RiskAlert {
        RiskAlert {
            id: RiskAlertId::new("ra-1").unwrap(),
            policy: PolicyId::new("leaks").unwrap(),
            severity: Severity::Medium,
            score: 54,
            status,
            origin: Origin::Engine,
            created_at: at("2026-11-24T10:00:00Z"),
            updated_at: at("2026-11-24T11:00:00Z"),
            closed_at: None,
        }
    }

    fn decision(status: Status) -> Decision {
        Decision {
            alert: RiskAlertId::new("ra-1").unwrap(),
            status,
            expected: None,
            by: "ann".to_owned(),
            comment: "seen".to_owned(),
            at: at("2026-11-24T12:00:00Z"),
        }
    }

    #[test]
    fn an_alert_goes_these_ways_and_no_other() {
        let ways = [
            (NeedsReview, Confirmed),
            (NeedsReview, Dismissed),
            (Confirmed, Resolved),
            (Confirmed, Dismissed),
        ];
        for from in ALL {
            for to in ALL {
                let decided = alert(from).decided(&decision(to));
                if ways.contains(&(from, to)) {
                    let decided = decided.unwrap();
                    let noon = at("2026-11-24T12:00:00Z");
                    assert_eq!((decided.status, decided.updated_at), (to, noon));
                    assert_eq!(decided.closed_at, to.is_closed().then_some(noon));
                    assert_eq!((decided.score, decided.severity), (54, Severity::Medium));
                } else {
                    assert_eq!(decided, Err(Undecided::Illegal { from, to }));
                }
            }
        }
    }

    #[test]
    fn a_reviewer_who_saw_another_version_decides_nothing() {
        let seen = alert(NeedsReview);
        let expecting = |version: String| Decision { expected: Some(version), ..decision(Confirmed) };
        assert!(seen.decided(&expecting(seen.version())).is_ok());
        let risen = RiskAlert { score: 60, ..seen.clone() };
        assert_eq!(risen.decided(&expecting(seen.version())), Err(Undecided::Changed));
        let later = RiskAlert { updated_at: at("2026-11-24T11:00:01Z"), ..seen.clone() };
        assert_eq!(later.decided(&expecting(seen.version())), Err(Undecided::Changed));
        // Whoever saw an older version is told that first, whatever they want.
        let closed = alert(Dismissed);
        assert_eq!(closed.decided(&expecting(seen.version())), Err(Undecided::Changed));
    }

    #[test]
    fn a_decision_is_later_than_an_import_of_a_clock_ahead() {
        let ahead = RiskAlert { updated_at: at("2026-11-25T00:00:00Z"), ..alert(NeedsReview) };
        assert_eq!(ahead.decided(&decision(Dismissed)).unwrap().updated_at, ahead.updated_at);
    }

    #[test]
    fn a_query_wants_what_has_all_that_it_names() {
        let alert = alert(Confirmed);
        let wants = |query: RiskAlertQuery| query.wants(&alert);
        let any = RiskAlertQuery::default;
        assert!(wants(any()));
        assert!(wants(RiskAlertQuery { statuses: [Confirmed, Resolved].into(), ..any() }));
        assert!(!wants(RiskAlertQuery { statuses: [NeedsReview].into(), ..any() }));
        assert!(wants(RiskAlertQuery { severities: [Severity::Medium].into(), ..any() }));
        assert!(!wants(RiskAlertQuery { severities: [Severity::High].into(), ..any() }));
        assert!(!wants(RiskAlertQuery { policy: PolicyId::new("other").ok(), ..any() }));
        assert!(wants(RiskAlertQuery { from: Some(alert.created_at), ..any() }));
        assert!(!wants(RiskAlertQuery { until: Some(alert.created_at), ..any() }));
    }
}
