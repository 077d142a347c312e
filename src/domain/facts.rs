//! What is known: the facts of one user, the rules of one tenant, and the facts that come in.

use crate::domain::activities::Activities;
use crate::domain::activity::Activity;
use crate::domain::ids::{PolicyId, RiskAlertId, TenantId};
use crate::domain::policy::{Interval, Policy, Trigger};
use crate::domain::risk_alert::RiskAlert;
use crate::domain::settings::Settings;
use crate::domain::user::{Identity, User};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is known about one user. Never leaves: what may leave is computed from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserFacts {
    /// Who it is.
    pub user: User,
    /// What the user did, of every indicator.
    pub activities: Activities,
    /// When the user is a member of which policy.
    pub memberships: BTreeMap<PolicyId, Vec<Interval>>,
    /// What may start the scoring.
    pub triggers: BTreeSet<Trigger>,
    /// The user's risk alerts, open and closed, by id.
    pub alerts: BTreeMap<RiskAlertId, RiskAlert>,
}

impl UserFacts {
    /// Returns a user of whom nothing else is known.
    #[must_use]
    pub fn of(user: User) -> Self {
        Self {
            user,
            activities: Activities::default(),
            memberships: BTreeMap::new(),
            triggers: BTreeSet::new(),
            alerts: BTreeMap::new(),
        }
    }

    /// Takes in what is known of another number that turned out to be the same person.
    pub fn absorb(&mut self, other: &Self) {
        self.user.learn(&other.user.identity);
        self.user.guest |= other.user.guest;
        self.activities.absorb(&other.activities);
        for (policy, intervals) in &other.memberships {
            self.memberships.entry(policy.clone()).or_default().extend(intervals);
        }
        self.triggers.extend(other.triggers.iter().cloned());
        for (id, alert) in &other.alerts {
            self.alerts.entry(id.clone()).or_insert_with(|| alert.clone());
        }
    }
}

/// What a tenant has decided, and its policies.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TenantRules {
    /// The settings.
    pub settings: Settings,
    /// The policies, by id.
    pub policies: BTreeMap<PolicyId, Policy>,
}

impl TenantRules {
    /// Says whether any policy keeps the user from a principal ([`Policy::hides`]).
    #[must_use]
    pub fn hides(&self, user: &User, principal: &str) -> bool {
        self.policies.values().any(|policy| policy.hides(user, principal))
    }

    /// Says whether any policy may keep anybody from a principal.
    #[must_use]
    pub fn hides_anybody(&self, principal: &str) -> bool {
        self.policies.values().any(|policy| policy.hides_anybody(principal))
    }
}

/// What `UpsertUsers` says about a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declaration {
    /// All keys.
    pub identity: Identity,
    /// An account of another organisation.
    pub guest: bool,
    /// A position that makes exfiltration costly.
    pub potential_high_impact: bool,
    /// An earlier case was resolved as a violation.
    pub confirmed_violation_before: bool,
}

impl Declaration {
    /// Says whether it may be about a person who has some of its keys: somebody whom nobody declared, or whose own
    /// declaration is of the same account ([`Identity::is_account_of`]). Otherwise somebody who has an alias that
    /// once was another's, or learned it from one record, would be taken for the other.
    #[must_use]
    pub fn may_be_of(&self, known: &User) -> bool {
        known.declared_identity().is_none_or(|declared| declared.is_account_of(&self.identity))
    }

    /// Returns the user after it. The first declaration joins what other records said; a later one says all names
    /// that the user still has.
    #[must_use]
    pub fn applied_to(self, known: &User) -> User {
        let (identity, learned) = known.renamed(self.identity);
        User {
            no: known.no,
            declared: true,
            learned,
            guest: self.guest || identity.is_guest_name(),
            potential_high_impact: self.potential_high_impact,
            confirmed_violation_before: self.confirmed_violation_before,
            identity,
        }
    }
}

/// One fact that comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants are what they hold")]
pub enum Fact {
    Activity {
        user: Identity,
        activity: Activity,
    },
    User(Declaration),
    Policy(Policy),
    Membership {
        user: Identity,
        policy: PolicyId,
        intervals: Vec<Interval>,
    },
    Trigger {
        user: Identity,
        trigger: Trigger,
    },
    /// An imported risk alert.
    RiskAlert {
        user: Identity,
        alert: RiskAlert,
    },
}

/// Facts of one tenant that are applied together or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The tenant.
    pub tenant: TenantId,
    /// The commit's time, for the rules of `risk-model.md` 5.
    pub at: DateTime<Utc>,
    /// The facts, in order.
    pub facts: Vec<Fact>,
}

/// What became of one fact of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Recorded.
    Accepted,
    /// Known already; nothing changed.
    Duplicate,
    /// Contradicts what is known, which stays.
    Conflict(Conflict),
}

/// How a fact contradicts what is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// The activity id is taken by an activity with other content.
    ActivityId,
    /// The keys point at people who cannot be one, or would give one person more keys than a person has; or a
    /// declaration reaches somebody whose own is of another account.
    Identity,
    /// The alert id is taken by an alert of another user.
    RiskAlertId,
}
