//! A user and a tenant to try the rules on. For tests alone.

use crate::domain::activity::{Activity, Sensitivity};
use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::ids::{ActivityId, PolicyId, RiskAlertId, TenantId};
use crate::domain::indicator::Indicator;
use crate::domain::policy::{Interval, Policy, Scope, Thresholds, Trigger, TriggerRule};
use crate::domain::risk_alert::{Origin, RiskAlert, Status};
use crate::domain::severity::Severity;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, IdentityKey, Personal, User, UserNo};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// The tenant.
pub const TENANT: uuid::Uuid = uuid::Uuid::from_u128(1);
/// The policy that [`Example::new`] has.
pub const POLICY: &str = "leaks";

/// A user and a tenant at noon of 2026-05-01. Days are told from today: 0 is today, 3 is three days ago.
#[derive(Clone)]
#[must_use]
pub struct Example {
    /// What is known of the user.
    pub facts: UserFacts,
    /// What the tenant has decided.
    pub rules: TenantRules,
    /// Noon of today.
    pub now: DateTime<Utc>,
    activities: usize,
}

impl Example {
    /// A user of whom nothing is known, and a policy without members that scores `Print` and recorded triggers.
    pub fn new() -> Self {
        let dana = Identity::default().with_upn(IdentityKey::address("dana@contoso.com").unwrap());
        let example = Self {
            facts: UserFacts::of(User::named(UserNo(7), dana)),
            rules: TenantRules::default(),
            now: "2026-05-01T12:00:00Z".parse().unwrap(),
            activities: 0,
        };
        example.policy(POLICY, |_| ())
    }

    /// A member for two years, with a recorded trigger of today.
    pub fn in_scope() -> Self {
        Self::new().member(730).trigger(0)
    }

    /// Adds a policy, or changes it.
    pub fn policy(mut self, id: &str, change: impl FnOnce(&mut Policy)) -> Self {
        let id = PolicyId::new(id).unwrap();
        change(self.rules.policies.entry(id.clone()).or_insert_with(|| policy(id)));
        self
    }

    /// Lets the policy score these indicators too, at their defaults.
    pub fn scores(self, indicators: &[&str]) -> Self {
        self.policy(POLICY, |policy| {
            let Scope::Listed(listed) = &mut policy.scope else { return };
            for name in indicators {
                let indicator = Indicator::named(name);
                listed.insert(indicator.clone(), Thresholds::default_of(&indicator));
            }
        })
    }

    /// Makes the user a member of the policy since so many days.
    pub fn member(self, days_ago: i32) -> Self {
        let from = self.at(days_ago);
        self.member_of(POLICY, from, None)
    }

    /// Makes the user a member of a policy.
    pub fn member_of(mut self, id: &str, from: DateTime<Utc>, until: Option<DateTime<Utc>>) -> Self {
        let id = PolicyId::new(id).unwrap();
        self.facts.memberships.entry(id).or_default().push(Interval { from, until });
        self
    }

    /// Records a trigger of the policy.
    pub fn trigger(self, days_ago: i32) -> Self {
        let at = self.at(days_ago);
        self.trigger_at(at)
    }

    /// Records a trigger of the policy.
    pub fn trigger_at(mut self, at: DateTime<Utc>) -> Self {
        let trigger = Trigger { policy: PolicyId::new(POLICY).unwrap(), at, kind: "hr".into() };
        self.facts.triggers.insert(trigger);
        self
    }

    /// Adds so many activities, one second apart.
    pub fn did(mut self, indicator: &str, days_ago: i32, count: usize) -> Self {
        for second in 0..count {
            let at = self.at(days_ago) + TimeDelta::seconds(i64::try_from(second).unwrap());
            self = self.did_at(indicator, at, |_| ());
        }
        self
    }

    /// Adds an activity and lets `change` say more of it.
    pub fn did_at(mut self, indicator: &str, at: DateTime<Utc>, change: impl FnOnce(&mut Activity)) -> Self {
        self.activities += 1;
        let mut activity = Activity {
            id: ActivityId::new(&format!("{:06}", self.activities)).unwrap(),
            at,
            indicator: Indicator::named(indicator),
            operation: "".into(),
            object_name: Personal::default(),
            destination: Personal::default(),
            sensitivity: Sensitivity::None,
            unallowed_destination: false,
        };
        change(&mut activity);
        self.facts.activities.insert(&activity);
        self
    }

    /// Adds an activity with an object.
    pub fn touched(self, indicator: &str, at: DateTime<Utc>, object: &str) -> Self {
        self.did_at(indicator, at, |activity| activity.object_name = Personal::new(object))
    }

    /// Adds a risk alert of the policy, raised so many days ago.
    pub fn alert(
        mut self,
        id: &str,
        origin: Origin,
        severity: Severity,
        days_ago: i32,
        status: Status,
    ) -> Self {
        let created_at = self.at(days_ago);
        let alert = RiskAlert {
            id: RiskAlertId::new(id).unwrap(),
            policy: PolicyId::new(POLICY).unwrap(),
            severity,
            score: severity.cut(),
            status,
            origin,
            created_at,
            updated_at: created_at,
            closed_at: None,
        };
        self.facts.alerts.insert(alert.id.clone(), alert);
        self
    }

    /// Dismisses an alert.
    pub fn dismissed(mut self, id: &str, days_ago: i32) -> Self {
        let closed_at = self.at(days_ago);
        let alert = self.facts.alerts.get_mut(&RiskAlertId::new(id).unwrap()).unwrap();
        (alert.status, alert.closed_at) = (Status::Dismissed, Some(closed_at));
        self
    }

    /// Changes anything.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Returns a day.
    pub fn day(&self, days_ago: i32) -> UtcDay {
        UtcDay::of(self.now).plus(-days_ago)
    }

    /// Returns eight in the morning of a day.
    pub fn at(&self, days_ago: i32) -> DateTime<Utc> {
        self.day(days_ago).start() + TimeDelta::hours(8)
    }

    /// Returns the tenant.
    pub fn tenant() -> TenantId {
        TenantId::new(TENANT)
    }
}

fn policy(id: PolicyId) -> Policy {
    let print = Indicator::named("Print");
    let thresholds = Thresholds::default_of(&print);
    Policy {
        name: id.as_str().into(),
        id,
        scope: Scope::Listed(BTreeMap::from([(print, thresholds)])),
        trigger_rule: TriggerRule::Recorded,
        past_days: Policy::PAST_DAYS,
        activation_days: Policy::ACTIVATION_DAYS,
        alert_threshold: Policy::ALERT_THRESHOLD,
        volume_cutoff: Policy::VOLUME_CUTOFF,
        priority_users: std::collections::BTreeSet::new(),
        priority_reviewers: std::collections::BTreeSet::new(),
    }
}
