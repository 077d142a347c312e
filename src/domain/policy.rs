//! Policies, who is in them, and what starts the scoring (`risk-model.md` 1).

use crate::domain::ids::PolicyId;
use crate::domain::indicator::Indicator;
use crate::domain::user::{IdentityKey, User};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The three daily counts at which a day begins to pull low, medium and high. `0 < t1 < t2 < t3`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Low begins.
    pub t1: i32,
    /// Medium begins.
    pub t2: i32,
    /// High begins.
    pub t3: i32,
}

impl Thresholds {
    /// The largest count that a threshold may have.
    pub const MAX: i32 = 1_000_000;
    /// Microsoft's example, our default.
    const DEFAULT: Self = Self { t1: 10, t2: 20, t3: 30 };
    /// For indicators of which a handful a day is much; ours.
    const FEW: Self = Self { t1: 1, t2: 3, t3: 10 };

    /// Returns thresholds that rise, or nothing.
    #[must_use]
    pub fn new(t1: i32, t2: i32, t3: i32) -> Option<Self> {
        (0 < t1 && t1 < t2 && t2 < t3 && t3 <= Self::MAX).then_some(Self { t1, t2, t3 })
    }

    /// Returns the default of an indicator.
    #[must_use]
    pub fn default_of(indicator: &Indicator) -> Self {
        match indicator.name() {
            "CopyToUSB"
            | "CopyToPersonalCloud"
            | "EpoFileCopiedToRemoteDesktopSession"
            | "LakehouseExternalDataShareCreated" => Self::FEW,
            _ => Self::DEFAULT,
        }
    }
}

/// What starts the scoring of a policy's members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TriggerRule {
    /// Recorded triggers only.
    Recorded,
    /// Recorded triggers, and every exfiltration activity of a member.
    ExfiltrationActivity,
}

/// Which indicators a policy scores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// These, at these thresholds.
    Listed(BTreeMap<Indicator, Thresholds>),
    /// Every one, at its default thresholds: the implicit policy of user analytics.
    Every,
}

impl Scope {
    /// Returns the thresholds at which an indicator is scored, or nothing when it is not.
    #[must_use]
    pub fn thresholds(&self, indicator: &Indicator) -> Option<Thresholds> {
        match self {
            Self::Listed(listed) => listed.get(indicator).copied(),
            Self::Every => Some(Thresholds::default_of(indicator)),
        }
    }
}

/// A policy of insider risk management.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Its id.
    pub id: PolicyId,
    /// Its name.
    pub name: Arc<str>,
    /// What it scores.
    pub scope: Scope,
    /// What starts the scoring.
    pub trigger_rule: TriggerRule,
    /// How many days before a trigger are scored: 0 to 90.
    pub past_days: i32,
    /// How many days after a trigger are scored: 1 to 30.
    pub activation_days: i32,
    /// The score at which a risk alert opens: 1 to 100.
    pub alert_threshold: i32,
    /// The least daily count that can be unusual.
    pub volume_cutoff: i32,
    /// Keys of users whose score it raises.
    pub priority_users: BTreeSet<IdentityKey>,
    /// The principals who may learn anything of these priority users; everybody when empty (`domain.md` 7).
    pub priority_reviewers: BTreeSet<Arc<str>>,
}

impl Policy {
    /// The default of [`Policy::past_days`].
    pub const PAST_DAYS: i32 = 90;
    /// The default of [`Policy::activation_days`].
    pub const ACTIVATION_DAYS: i32 = 30;
    /// The default of [`Policy::alert_threshold`].
    pub const ALERT_THRESHOLD: i32 = 34;
    /// The default of [`Policy::volume_cutoff`].
    pub const VOLUME_CUTOFF: i32 = 20;

    /// Says whether it keeps the user from a principal: for them, the user is somebody whom nobody knows.
    #[must_use]
    pub fn hides(&self, user: &User, principal: &str) -> bool {
        self.hides_anybody(principal) && self.gives_priority_to(user)
    }

    /// Says whether it keeps its priority users from a principal.
    #[must_use]
    pub fn hides_anybody(&self, principal: &str) -> bool {
        !self.priority_reviewers.is_empty() && !self.priority_reviewers.contains(principal)
    }

    /// Says whether the user is one of its priority users.
    #[must_use]
    pub fn gives_priority_to(&self, user: &User) -> bool {
        !self.priority_users.is_empty() && user.identity.keys().any(|key| self.priority_users.contains(key))
    }
}

/// A span of time in which a user is a member of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    /// Included.
    pub from: DateTime<Utc>,
    /// Not included; `None` has no end.
    pub until: Option<DateTime<Utc>>,
}

impl Interval {
    /// Says whether the instant lies in it.
    #[must_use]
    pub fn contains(self, at: DateTime<Utc>) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// An event that starts the scoring of a user. Its kind is never shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Trigger {
    /// The policy.
    pub policy: PolicyId,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened: `hr`, `account_deleted`, `dlp_high`, `manual`, ...
    pub kind: Arc<str>,
}
