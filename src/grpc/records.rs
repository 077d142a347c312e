//! Ingested items to facts, each judged alone.

use crate::domain::activity::{Activity, Sensitivity};
use crate::domain::facts::{Declaration, Fact};
use crate::domain::ids::{ActivityId, ID_BYTES_MAX, PolicyId, RiskAlertId};
use crate::domain::indicator::{Indicator, NAME_BYTES_MAX};
use crate::domain::policy::{Interval, Policy, Scope, Thresholds, Trigger, TriggerRule};
use crate::domain::risk_alert::{Origin, RiskAlert, Status};
use crate::domain::severity::Severity;
use crate::domain::user::{Identity, Personal};
use crate::engine::recorder::is_future;
use crate::grpc::parse::{Fields, not_understood};
use crate::grpc::status::{Invalid, Violation};
use crate::intake;
use crate::intake::{ACTIVITY_TIME, AlertTimes, AuditRecord};
use crate::pb;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;
use std::sync::Arc;

const RAW_RECORD_BYTES_MAX: usize = 256 * 1024;
const OPERATION_BYTES_MAX: usize = 256;
const OBJECT_NAME_BYTES_MAX: usize = 4_096;
const DESTINATION_BYTES_MAX: usize = 2_048;
const POLICY_NAME_BYTES_MAX: usize = 256;
const POLICY_INDICATORS_MAX: usize = 500;
const PRIORITY_USERS_MAX: usize = 10_000;
/// The most principals who may see the priority users of a policy.
const PRIORITY_REVIEWERS_MAX: usize = 100;
/// The longest name of a principal, in bytes.
const PRINCIPAL_BYTES_MAX: usize = 512;
const INTERVALS_MAX: usize = 20;
const KIND_BYTES_MAX: usize = 64;

/// What an item means.
#[derive(Clone, Debug)]
pub enum Item {
    /// This, and where it says when.
    Fact(Box<Fact>, TimePaths),
    /// Nothing that is kept.
    Ignored,
}

/// Where in an item its instants stand.
#[derive(Clone, Copy, Debug)]
pub struct TimePaths {
    is_raw: bool,
    fields: AlertTimes,
}

impl TimePaths {
    /// Of the messages of the API. An alert is closed when it was updated.
    const PLAIN: Self = Self {
        is_raw: false,
        fields: AlertTimes { created_at: "created_at", updated_at: "updated_at", closed_at: "updated_at" },
    };

    fn path(self, field: &str) -> String {
        if self.is_raw { format!("raw_record.{field}") } else { field.to_owned() }
    }
}

/// Why an item is refused: its first fault.
pub type Rejected = Violation;

type Read = Result<Item, Rejected>;

impl Item {
    /// Returns the fact.
    #[must_use]
    pub fn fact(&self) -> Option<&Fact> {
        match self {
            Self::Fact(fact, _) => Some(fact),
            Self::Ignored => None,
        }
    }

    /// Refuses an activity, trigger or alert that is dated further ahead of `now` than clocks may differ.
    ///
    /// # Errors
    /// Names the field.
    pub fn no_later_than(self, now: DateTime<Utc>) -> Read {
        let Self::Fact(fact, paths) = &self else { return Ok(self) };
        let happened = if paths.is_raw { ACTIVITY_TIME } else { "occurred_at" };
        let AlertTimes { created_at, updated_at, closed_at } = paths.fields;
        let times = match &**fact {
            Fact::Activity { activity, .. } => [Some((happened, activity.at)), None, None],
            Fact::Trigger { trigger, .. } => [Some((happened, trigger.at)), None, None],
            Fact::RiskAlert { alert, .. } => [
                Some((created_at, alert.created_at)),
                Some((updated_at, alert.updated_at)),
                alert.closed_at.map(|at| (closed_at, at)),
            ],
            Fact::User(_) | Fact::Policy(_) | Fact::Membership { .. } => [None; 3],
        };
        match times.into_iter().flatten().find(|(_, at)| is_future(*at, now)) {
            Some((field, _)) => Err(Violation::new(paths.path(field), TOO_FAR_AHEAD)),
            None => Ok(self),
        }
    }
}

const TOO_FAR_AHEAD: &str = "must be at most 5 minutes ahead of the server's clock";

fn accept(fields: Fields, fact: Option<Fact>) -> Read {
    match fields.finish(fact) {
        Ok(fact) => Ok(Item::Fact(Box::new(fact), TimePaths::PLAIN)),
        Err(invalid) => Err(first(invalid)),
    }
}

fn first(invalid: Invalid) -> Rejected {
    invalid.violations.into_iter().next().unwrap_or_else(|| Violation::new("", "is not valid"))
}

/// Reads an activity.
///
/// # Errors
/// The first field at fault.
pub fn activity(record: &pb::ActivityRecord) -> Read {
    let mut fields = Fields::default();
    fields.text(format_args!("activity_id"), &record.activity_id, ID_BYTES_MAX);
    fields.length(format_args!("operation"), &record.operation, OPERATION_BYTES_MAX);
    fields.length(format_args!("object_name"), &record.object_name, OBJECT_NAME_BYTES_MAX);
    fields.length(format_args!("destination"), &record.destination, DESTINATION_BYTES_MAX);
    let user = fields.person(format_args!("user"), record.user.as_ref());
    let at = fields.instant(format_args!("occurred_at"), record.occurred_at);
    let indicator = observable(&mut fields, &record.indicator);
    let sensitivity = fields.known(format_args!("sensitivity"), record.sensitivity);
    if user.as_ref().is_some_and(Identity::is_empty) {
        return Ok(Item::Ignored); // A service account's.
    }
    let id = ActivityId::new(&record.activity_id).ok();
    let fact = id.zip(user).zip(at).zip(sensitivity).map(|(((id, user), at), sensitivity)| Fact::Activity {
        user,
        activity: Activity {
            id,
            at,
            indicator,
            operation: record.operation.as_str().into(),
            object_name: Personal::new(&record.object_name),
            destination: Personal::new(&record.destination),
            sensitivity: self::sensitivity(sensitivity),
            unallowed_destination: record.unallowed_destination,
        },
    });
    accept(fields, fact)
}

fn observable(fields: &mut Fields, name: &str) -> Indicator {
    fields.text(format_args!("indicator"), name, NAME_BYTES_MAX);
    let indicator = Indicator::named(name);
    let rule = "must be of an activity: this one is computed here";
    fields.demand(indicator.is_observable(), format_args!("indicator"), rule);
    indicator
}

fn sensitivity(sensitivity: pb::Sensitivity) -> Sensitivity {
    match sensitivity {
        pb::Sensitivity::Unspecified | pb::Sensitivity::None => Sensitivity::None,
        pb::Sensitivity::General => Sensitivity::General,
        pb::Sensitivity::Confidential => Sensitivity::Confidential,
        pb::Sensitivity::HighlyConfidential => Sensitivity::HighlyConfidential,
    }
}

fn raw(text: &str) -> Result<&str, Rejected> {
    let mut fields = Fields::default();
    fields.length(format_args!("raw_record"), text, RAW_RECORD_BYTES_MAX);
    fields.finish(Some(text)).map_err(first)
}

/// Reads an audit record.
///
/// # Errors
/// The first field at fault.
pub fn raw_activity(text: &str) -> Read {
    match intake::activity(raw(text)?) {
        Ok(AuditRecord::Activity { user, activity }) => {
            let times = TimePaths { is_raw: true, ..TimePaths::PLAIN };
            Ok(Item::Fact(Box::new(Fact::Activity { user, activity }), times))
        }
        Ok(AuditRecord::Ignored) => Ok(Item::Ignored),
        Err(error) => Err(first(not_understood(format_args!("raw_record"), error))),
    }
}

/// Reads a risk alert of insider risk management.
///
/// # Errors
/// The first field at fault.
pub fn raw_risk_alert(text: &str) -> Read {
    match intake::risk_alert(raw(text)?) {
        Ok(imported) => {
            let fact = Fact::RiskAlert { user: imported.user, alert: imported.alert };
            Ok(Item::Fact(Box::new(fact), TimePaths { is_raw: true, fields: imported.times }))
        }
        Err(error) => Err(first(not_understood(format_args!("raw_record"), error))),
    }
}

/// Reads a user's declaration.
///
/// # Errors
/// The first field at fault.
pub fn user(record: &pb::UserRecord) -> Read {
    let mut fields = Fields::default();
    let identity = fields.person(format_args!("user"), record.user.as_ref());
    demand_person(&mut fields, identity.as_ref());
    let fact = identity.map(|identity| {
        Fact::User(Declaration {
            guest: record.guest || identity.is_guest_name(),
            identity,
            potential_high_impact: record.potential_high_impact,
            confirmed_violation_before: record.confirmed_violation_before,
        })
    });
    accept(fields, fact)
}

fn demand_person(fields: &mut Fields, identity: Option<&Identity>) {
    let is_person = identity.is_none_or(|identity| !identity.is_empty());
    fields.demand(is_person, format_args!("user"), "must not be a service account");
}

/// Reads a policy.
///
/// # Errors
/// The first field at fault.
pub fn policy(record: &pb::PolicyRecord) -> Read {
    let mut fields = Fields::default();
    let id = policy_id(&mut fields, &record.policy_id);
    fields.length(format_args!("name"), &record.name, POLICY_NAME_BYTES_MAX);
    let scope = scope(&mut fields, &record.indicators);
    let trigger_rule = fields.known(format_args!("trigger_kind"), record.trigger_kind);
    let past_days = fields.between("past_days", record.past_days, 0..=90, Policy::PAST_DAYS);
    let activation_days =
        fields.between("activation_days", record.activation_days, 1..=30, Policy::ACTIVATION_DAYS);
    let alert_threshold =
        fields.between("alert_threshold", record.alert_threshold, 1..=100, Policy::ALERT_THRESHOLD);
    let volume_cutoff =
        fields.between("volume_cutoff", record.volume_cutoff, 1..=Thresholds::MAX, Policy::VOLUME_CUTOFF);
    let priority_users = priority_users(&mut fields, &record.priority_users);
    let priority_reviewers = priority_reviewers(&mut fields, &record.priority_reviewers);
    let fact = id.zip(trigger_rule).map(|(id, rule)| {
        Fact::Policy(Policy {
            id,
            name: record.name.as_str().into(),
            scope: Scope::Listed(scope),
            trigger_rule: match rule {
                pb::TriggerKind::Unspecified | pb::TriggerKind::Recorded => TriggerRule::Recorded,
                pb::TriggerKind::ExfiltrationActivity => TriggerRule::ExfiltrationActivity,
            },
            past_days,
            activation_days,
            alert_threshold,
            volume_cutoff,
            priority_users,
            priority_reviewers,
        })
    });
    accept(fields, fact)
}

/// Reads the id of a policy.
pub fn policy_id(fields: &mut Fields, id: &str) -> Option<PolicyId> {
    PolicyId::new(id).map_err(|error| fields.refuse(format_args!("policy_id"), error.to_string())).ok()
}

fn scope(fields: &mut Fields, listed: &[pb::PolicyIndicator]) -> BTreeMap<Indicator, Thresholds> {
    fields.demand(listed.len() <= POLICY_INDICATORS_MAX, format_args!("indicators"), "must be at most 500");
    let mut scope = BTreeMap::new();
    for (i, one) in listed.iter().take(POLICY_INDICATORS_MAX).enumerate() {
        fields.text(format_args!("indicators[{i}].indicator"), &one.indicator, NAME_BYTES_MAX);
        let indicator = Indicator::named(&one.indicator);
        let thresholds = match *one.daily_thresholds.as_slice() {
            [] => Some(Thresholds::default_of(&indicator)),
            [t1, t2, t3] => Thresholds::new(t1, t2, t3),
            _ => None,
        };
        let path = format_args!("indicators[{i}].daily_thresholds");
        fields.demand(thresholds.is_some(), path, "must be three rising counts of 1 to 1000000, or none");
        let earlier = thresholds.and_then(|thresholds| scope.insert(indicator, thresholds));
        fields.demand(
            earlier.is_none(),
            format_args!("indicators[{i}].indicator"),
            "must not be listed twice",
        );
    }
    scope
}

fn priority_users(
    fields: &mut Fields,
    users: &[pb::UserIdentity],
) -> BTreeSet<crate::domain::user::IdentityKey> {
    fields.demand(users.len() <= PRIORITY_USERS_MAX, format_args!("priority_users"), "must be at most 10000");
    let mut keys = BTreeSet::new();
    for (i, user) in users.iter().take(PRIORITY_USERS_MAX).enumerate() {
        let identity = fields.person(format_args!("priority_users[{i}]"), Some(user));
        keys.extend(identity.iter().flat_map(Identity::keys).cloned());
    }
    keys
}

fn priority_reviewers(fields: &mut Fields, principals: &[String]) -> BTreeSet<Arc<str>> {
    let list = format_args!("priority_reviewers");
    fields.demand(principals.len() <= PRIORITY_REVIEWERS_MAX, list, "must be at most 100");
    for (i, principal) in principals.iter().take(PRIORITY_REVIEWERS_MAX).enumerate() {
        fields.text(format_args!("priority_reviewers[{i}]"), principal, PRINCIPAL_BYTES_MAX);
    }
    principals.iter().map(|principal| principal.as_str().into()).collect()
}

/// Reads a user's membership of a policy.
///
/// # Errors
/// The first field at fault.
pub fn membership(record: &pb::MembershipRecord) -> Read {
    let mut fields = Fields::default();
    let policy = policy_id(&mut fields, &record.policy_id);
    let user = fields.person(format_args!("user"), record.user.as_ref());
    demand_person(&mut fields, user.as_ref());
    let given = &record.intervals;
    fields.demand(given.len() <= INTERVALS_MAX, format_args!("intervals"), "must be at most 20");
    let mut intervals = Vec::new();
    for (i, one) in given.iter().take(INTERVALS_MAX).enumerate() {
        intervals.extend(interval(&mut fields, format_args!("intervals[{i}]"), one));
    }
    intervals.sort_by_key(|interval| (interval.from, interval.until));
    accept(fields, policy.zip(user).map(|(policy, user)| Fact::Membership { user, policy, intervals }))
}

fn interval(fields: &mut Fields, path: Arguments<'_>, one: &pb::MembershipInterval) -> Option<Interval> {
    let from = fields.instant(format_args!("{path}.from"), one.from)?;
    let until = fields.instant_if_set(format_args!("{path}.until"), one.until);
    let in_order = until.is_none_or(|until| from < until);
    fields.demand(in_order, format_args!("{path}.until"), "must be after from");
    Some(Interval { from, until })
}

/// Reads a trigger.
///
/// # Errors
/// The first field at fault.
pub fn trigger(record: &pb::TriggerRecord) -> Read {
    let mut fields = Fields::default();
    let policy = policy_id(&mut fields, &record.policy_id);
    let user = fields.person(format_args!("user"), record.user.as_ref());
    demand_person(&mut fields, user.as_ref());
    let at = fields.instant(format_args!("occurred_at"), record.occurred_at);
    fields.text(format_args!("kind"), &record.kind, KIND_BYTES_MAX);
    let kind = record.kind.as_str().into();
    let fact = policy
        .zip(user)
        .zip(at)
        .map(|((policy, user), at)| Fact::Trigger { user, trigger: Trigger { policy, at, kind } });
    accept(fields, fact)
}

/// Reads a risk alert.
///
/// # Errors
/// The first field at fault.
pub fn risk_alert(record: &pb::ImportedRiskAlert) -> Read {
    let mut fields = Fields::default();
    let id = RiskAlertId::new(&record.alert_id)
        .map_err(|error| fields.refuse(format_args!("alert_id"), error.to_string()))
        .ok();
    let policy = policy_id(&mut fields, &record.policy_id);
    let user = fields.person(format_args!("user"), record.user.as_ref());
    demand_person(&mut fields, user.as_ref());
    let severity = alert_severity(&mut fields, format_args!("severity"), record.severity);
    let status = alert_status(&mut fields, format_args!("status"), record.status);
    let created_at = fields.instant(format_args!("created_at"), record.created_at);
    let updated_at = fields.instant(format_args!("updated_at"), record.updated_at);
    let in_order = created_at.zip(updated_at).is_none_or(|(created, updated)| created <= updated);
    fields.demand(in_order, format_args!("updated_at"), "must not be before created_at");
    let times = created_at.zip(updated_at);
    let fact = id.zip(policy).zip(user).zip(severity.zip(status)).zip(times).map(
        |((((id, policy), user), (severity, status)), (created_at, updated_at))| Fact::RiskAlert {
            user,
            alert: RiskAlert {
                id,
                policy,
                severity,
                score: severity.cut(),
                status,
                origin: Origin::Imported { exfiltration: record.exfiltration },
                created_at,
                updated_at,
                closed_at: status.is_closed().then_some(updated_at),
            },
        },
    );
    accept(fields, fact)
}

/// Reads a severity that an alert can have.
pub fn alert_severity(fields: &mut Fields, path: Arguments<'_>, severity: i32) -> Option<Severity> {
    let severity = match pb::Severity::try_from(severity) {
        Ok(pb::Severity::Low) => Some(Severity::Low),
        Ok(pb::Severity::Medium) => Some(Severity::Medium),
        Ok(pb::Severity::High) => Some(Severity::High),
        _ => None,
    };
    fields.demand(severity.is_some(), path, "must be LOW, MEDIUM or HIGH");
    severity
}

/// Reads the state of a risk alert.
pub fn alert_status(fields: &mut Fields, path: Arguments<'_>, status: i32) -> Option<Status> {
    let status = match pb::RiskAlertStatus::try_from(status) {
        Ok(pb::RiskAlertStatus::NeedsReview) => Some(Status::NeedsReview),
        Ok(pb::RiskAlertStatus::Confirmed) => Some(Status::Confirmed),
        Ok(pb::RiskAlertStatus::Resolved) => Some(Status::Resolved),
        Ok(pb::RiskAlertStatus::Dismissed) => Some(Status::Dismissed),
        Ok(pb::RiskAlertStatus::Unspecified) | Err(_) => None,
    };
    let rule = "must be NEEDS_REVIEW, CONFIRMED, RESOLVED or DISMISSED";
    fields.demand(status.is_some(), path, rule);
    status
}
