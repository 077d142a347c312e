//! What a record says: changes of one tenant's facts, or activities of one day. A change holds the state after it,
//! so that a replay needs no rule and gives what was given then.

#![expect(clippy::disallowed_methods, reason = "records hold names")]

use super::codec::{Decoder, Encoder, Malformed};
use super::person::{Person, read_person, write_person};
use super::state::{due_bytes, read_due};
use crate::domain::activity::{Activity, Sensitivity};
use crate::domain::content::Due;
use crate::domain::ids::{ActivityId, IdError, PolicyId, RiskAlertId};
use crate::domain::indicator::Indicator;
use crate::domain::policy::{Interval, Policy, Scope, Thresholds, Trigger, TriggerRule};
use crate::domain::pseudonym::Pseudonym;
use crate::domain::risk_alert::{Origin, RiskAlert, Status};
use crate::domain::settings::Settings;
use crate::domain::severity::Severity;
use crate::domain::time::{Lookback, UtcDay};
use crate::domain::user::{Identity, IdentityKey, Personal, User, UserNo};
use crate::store::VersionedSettings;
use chrono::DateTime;
use std::collections::BTreeSet;

/// A change of one tenant's facts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// This is now known of who the person is. The number may be new.
    User(User),
    /// One number turned out to be another person, who has everything of it from here on.
    Absorbed {
        /// The number that goes.
        from: UserNo,
        /// The number that stays.
        into: UserNo,
    },
    /// The policy is now this.
    Policy(Policy),
    /// The user is a member of the policy at these times and at no others.
    Membership {
        /// Whose.
        user: UserNo,
        /// Of what.
        policy: PolicyId,
        /// When.
        intervals: Vec<Interval>,
    },
    /// The trigger happened.
    Trigger {
        /// To whom.
        user: UserNo,
        /// The trigger.
        trigger: Trigger,
    },
    /// The risk alert is now this.
    Alert {
        /// Whose.
        user: UserNo,
        /// The alert.
        alert: RiskAlert,
    },
    /// The settings are now these.
    Settings {
        /// The settings and their version.
        settings: VersionedSettings,
        /// How often the sharing switch has moved.
        epoch: u64,
    },
    /// The user has the pseudonym.
    Pseudonym {
        /// Who.
        user: UserNo,
        /// Which.
        pseudonym: Pseudonym,
    },
    /// These numbers were people who were erased. No number comes again.
    Erased(BTreeSet<UserNo>),
    /// A reviewer decided about a risk alert, which is now this.
    Decided {
        /// Whose.
        user: UserNo,
        /// The alert.
        alert: RiskAlert,
        /// Who decided.
        by: String,
        /// Why.
        comment: String,
    },
    /// All changes of risk alerts that were due were exported, the last in the content of that number.
    Published(u64),
    /// All of this was kept of a user elsewhere, the activities aside. The number is new here.
    Brought(Box<Person>),
    /// The next new user gets this number, or a higher one.
    Next(UserNo),
    /// This change of a risk alert was due for export elsewhere.
    Due(Due),
}

impl Change {
    /// Writes it.
    pub fn write(&self, out: &mut Encoder) {
        match self {
            Self::User(user) => {
                out.byte(1);
                write_user(out, user);
            }
            Self::Absorbed { from, into } => {
                out.byte(2);
                write_no(out, *from);
                write_no(out, *into);
            }
            Self::Policy(policy) => {
                out.byte(3);
                write_policy(out, policy);
            }
            Self::Membership { user, policy, intervals } => {
                out.byte(4);
                write_no(out, *user);
                out.text(policy.as_str());
                write_intervals(out, intervals);
            }
            Self::Trigger { user, trigger } => {
                out.byte(5);
                write_no(out, *user);
                out.text(trigger.policy.as_str());
                out.instant(trigger.at);
                out.text(&trigger.kind);
            }
            Self::Alert { user, alert } => {
                out.byte(6);
                write_no(out, *user);
                write_alert(out, alert);
            }
            Self::Settings { settings, epoch } => {
                out.byte(7);
                out.number(settings.version);
                out.number(*epoch);
                write_settings(out, &settings.settings);
            }
            Self::Pseudonym { user, pseudonym } => {
                out.byte(8);
                write_no(out, *user);
                out.number(pseudonym.number().into());
            }
            Self::Erased(users) => {
                out.byte(9);
                out.count(users.len());
                for user in users {
                    write_no(out, *user);
                }
            }
            Self::Decided { user, alert, by, comment } => {
                out.byte(10);
                write_no(out, *user);
                write_alert(out, alert);
                out.text(by);
                out.text(comment);
            }
            Self::Published(number) => {
                out.byte(11);
                out.number(*number);
            }
            Self::Brought(person) => {
                out.byte(12);
                write_person(out, person);
            }
            Self::Next(user) => {
                out.byte(13);
                write_no(out, *user);
            }
            Self::Due(due) => {
                out.byte(14);
                write_no(out, due.user);
                out.block(&due_bytes(due));
            }
        }
    }

    /// Reads one.
    pub fn read(from: &mut Decoder) -> Result<Self, Malformed> {
        Ok(match from.byte()? {
            1 => Self::User(read_user(from)?),
            2 => Self::Absorbed { from: read_no(from)?, into: read_no(from)? },
            3 => Self::Policy(read_policy(from)?),
            4 => Self::Membership {
                user: read_no(from)?,
                policy: read_policy_id(from)?,
                intervals: from.several(read_interval)?,
            },
            5 => Self::Trigger { user: read_no(from)?, trigger: read_trigger(from)? },
            6 => Self::Alert { user: read_no(from)?, alert: read_alert(from)? },
            7 => {
                let (version, epoch) = (from.number()?, from.number()?);
                Self::Settings {
                    settings: VersionedSettings { settings: read_settings(from)?, version },
                    epoch,
                }
            }
            8 => Self::Pseudonym {
                user: read_no(from)?,
                pseudonym: Pseudonym::numbered(from.small()?).ok_or(Malformed)?,
            },
            9 => Self::Erased(from.several(read_no)?),
            10 => Self::Decided {
                user: read_no(from)?,
                alert: read_alert(from)?,
                by: from.text()?.to_string(),
                comment: from.text()?.to_string(),
            },
            11 => Self::Published(from.number()?),
            12 => Self::Brought(Box::new(read_person(from)?)),
            13 => Self::Next(read_no(from)?),
            14 => {
                let user = read_no(from)?;
                Self::Due(read_due(from.block()?, user)?)
            }
            _ => return Err(Malformed),
        })
    }
}

/// Has nanoseconds.
const NANOS: u8 = 1 << 2;
/// Went to a destination that is not allowed.
const UNALLOWED: u8 = 1 << 3;

/// Writes an activity into a record of its day.
pub fn write_activity(out: &mut Encoder, user: UserNo, activity: &Activity) {
    // Not a difference of instants, which counts a leap second as one more.
    let since = activity.at.timestamp() - activity.day().start().timestamp();
    let nanos = activity.at.timestamp_subsec_nanos();
    let sensitivity = match activity.sensitivity {
        Sensitivity::None => 0,
        Sensitivity::General => 1,
        Sensitivity::Confidential => 2,
        Sensitivity::HighlyConfidential => 3,
    };
    let nanos_flag = if nanos == 0 { 0 } else { NANOS };
    let unallowed = if activity.unallowed_destination { UNALLOWED } else { 0 };
    out.byte(sensitivity | nanos_flag | unallowed);
    write_no(out, user);
    out.number(since.cast_unsigned());
    if nanos != 0 {
        out.number(nanos.into());
    }
    out.unique(activity.id.as_str());
    out.text(activity.indicator.name());
    out.text(&activity.operation);
    out.text(activity.object_name.spell());
    out.text(activity.destination.spell());
}

/// Reads an activity from a record of that day.
pub fn read_activity(from: &mut Decoder, day: UtcDay) -> Result<(UserNo, Activity), Malformed> {
    let flags = from.byte()?;
    let user = read_no(from)?;
    let seconds: i64 = from.small()?;
    let nanos: u32 = if flags & NANOS == 0 { 0 } else { from.small()? };
    let seconds = day.start().timestamp().checked_add(seconds).ok_or(Malformed)?;
    let at = DateTime::from_timestamp(seconds, nanos).ok_or(Malformed)?;
    let id = ActivityId::new(from.unique()?).map_err(malformed)?;
    let activity = Activity {
        id,
        at,
        indicator: Indicator::named(&from.text()?),
        operation: from.text()?,
        object_name: from.personal()?,
        destination: from.personal()?,
        sensitivity: match flags & 3 {
            0 => Sensitivity::None,
            1 => Sensitivity::General,
            2 => Sensitivity::Confidential,
            _ => Sensitivity::HighlyConfidential,
        },
        unallowed_destination: flags & UNALLOWED != 0,
    };
    if flags > 15 || activity.day() != day { Err(Malformed) } else { Ok((user, activity)) }
}

fn malformed(_: IdError) -> Malformed {
    Malformed
}

pub(in crate::store) fn write_no(out: &mut Encoder, no: UserNo) {
    out.number(no.0.into());
}

pub(in crate::store) fn read_no(from: &mut Decoder) -> Result<UserNo, Malformed> {
    from.small().map(UserNo)
}

fn read_policy_id(from: &mut Decoder) -> Result<PolicyId, Malformed> {
    PolicyId::new(&from.text()?).map_err(malformed)
}

fn write_user(out: &mut Encoder, user: &User) {
    write_no(out, user.no);
    out.byte(
        u8::from(user.declared)
            | u8::from(user.guest) << 1
            | u8::from(user.potential_high_impact) << 2
            | u8::from(user.confirmed_violation_before) << 3,
    );
    write_identity(out, &user.identity);
    out.count(user.learned.len());
    user.learned.iter().for_each(|key| write_key(out, key));
}

/// Writes names.
pub fn write_identity(out: &mut Encoder, identity: &Identity) {
    out.count(identity.keys().count());
    identity.keys().for_each(|key| write_key(out, key));
    out.option(upn_of(identity).as_ref(), write_key);
    out.option(identity.display_name.as_ref(), |out, name| out.text(name.spell()));
}

/// Reads names.
pub fn read_identity(from: &mut Decoder) -> Result<Identity, Malformed> {
    let keys: Vec<IdentityKey> = from.several(read_key)?;
    let mut identity = keys.into_iter().fold(Identity::default(), Identity::with);
    if let Some(upn) = from.option(read_key)? {
        identity = identity.with_upn(upn);
    }
    identity.display_name = from.option(Decoder::personal)?;
    Ok(identity)
}

/// Returns the key that was given as the UPN.
fn upn_of(identity: &Identity) -> Option<IdentityKey> {
    let address = identity.upn().map(|upn| IdentityKey::Address(upn.clone()));
    address.or_else(|| identity.canonical().filter(|key| Some(*key) != identity.keys().next()).cloned())
}

fn read_user(from: &mut Decoder) -> Result<User, Malformed> {
    let (no, flags) = (read_no(from)?, from.byte()?);
    let identity = read_identity(from)?;
    let learned: BTreeSet<IdentityKey> = from.several(read_key)?;
    if !learned.iter().all(|key| identity.has(key)) {
        return Err(Malformed);
    }
    Ok(User {
        no,
        identity,
        declared: flags & 1 != 0,
        learned,
        guest: flags & 2 != 0,
        potential_high_impact: flags & 4 != 0,
        confirmed_violation_before: flags & 8 != 0,
    })
}

pub(in crate::store) fn write_key(out: &mut Encoder, key: &IdentityKey) {
    let (kind, name) = match key {
        IdentityKey::ObjectId(id) => {
            out.byte(0);
            return out.uuid(*id);
        }
        IdentityKey::Sid(name) => (1, name),
        IdentityKey::Address(name) => (2, name),
        IdentityKey::Account(name) => (3, name),
    };
    out.byte(kind);
    out.text(name.spell());
}

pub(in crate::store) fn read_key(from: &mut Decoder) -> Result<IdentityKey, Malformed> {
    let kind: fn(Personal) -> IdentityKey = match from.byte()? {
        0 => return from.uuid().map(IdentityKey::ObjectId),
        1 => IdentityKey::Sid,
        2 => IdentityKey::Address,
        3 => IdentityKey::Account,
        _ => return Err(Malformed),
    };
    from.personal().map(kind)
}

fn write_policy(out: &mut Encoder, policy: &Policy) {
    out.text(policy.id.as_str());
    out.text(&policy.name);
    match &policy.scope {
        Scope::Every => out.flag(false),
        Scope::Listed(listed) => {
            out.flag(true);
            out.count(listed.len());
            for (indicator, Thresholds { t1, t2, t3 }) in listed {
                out.text(indicator.name());
                out.all_signed([*t1, *t2, *t3]);
            }
        }
    }
    out.flag(policy.trigger_rule == TriggerRule::ExfiltrationActivity);
    let Policy { past_days, activation_days, alert_threshold, volume_cutoff, .. } = *policy;
    out.all_signed([past_days, activation_days, alert_threshold, volume_cutoff]);
    out.count(policy.priority_users.len());
    policy.priority_users.iter().for_each(|key| write_key(out, key));
    out.count(policy.priority_reviewers.len());
    policy.priority_reviewers.iter().for_each(|principal| out.text(principal));
}

fn read_policy(from: &mut Decoder) -> Result<Policy, Malformed> {
    let (id, name) = (read_policy_id(from)?, from.text()?);
    let scope = if from.flag()? { Scope::Listed(from.several(read_thresholds)?) } else { Scope::Every };
    Ok(Policy {
        id,
        name,
        scope,
        trigger_rule: if from.flag()? { TriggerRule::ExfiltrationActivity } else { TriggerRule::Recorded },
        past_days: from.small_signed()?,
        activation_days: from.small_signed()?,
        alert_threshold: from.small_signed()?,
        volume_cutoff: from.small_signed()?,
        priority_users: from.several(read_key)?,
        priority_reviewers: from.several(Decoder::text)?,
    })
}

fn read_thresholds(from: &mut Decoder) -> Result<(Indicator, Thresholds), Malformed> {
    let indicator = Indicator::named(&from.text()?);
    let (t1, t2, t3) = (from.small_signed()?, from.small_signed()?, from.small_signed()?);
    Ok((indicator, Thresholds { t1, t2, t3 }))
}

fn write_intervals(out: &mut Encoder, intervals: &[Interval]) {
    out.count(intervals.len());
    for interval in intervals {
        out.instant(interval.from);
        out.option(interval.until, Encoder::instant);
    }
}

fn read_interval(from: &mut Decoder) -> Result<Interval, Malformed> {
    Ok(Interval { from: from.instant()?, until: from.option(Decoder::instant)? })
}

fn read_trigger(from: &mut Decoder) -> Result<Trigger, Malformed> {
    Ok(Trigger { policy: read_policy_id(from)?, at: from.instant()?, kind: from.text()? })
}

pub(in crate::store) fn write_alert(out: &mut Encoder, alert: &RiskAlert) {
    out.unique(alert.id.as_str());
    out.text(alert.policy.as_str());
    out.byte(match alert.severity {
        Severity::None => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
    });
    out.signed(alert.score.into());
    out.byte(match alert.status {
        Status::NeedsReview => 0,
        Status::Confirmed => 1,
        Status::Resolved => 2,
        Status::Dismissed => 3,
    });
    out.byte(match alert.origin {
        Origin::Engine => 0,
        Origin::Imported { exfiltration: false } => 1,
        Origin::Imported { exfiltration: true } => 2,
    });
    out.instant(alert.created_at);
    out.instant(alert.updated_at);
    out.option(alert.closed_at, Encoder::instant);
}

pub(in crate::store) fn read_alert(from: &mut Decoder) -> Result<RiskAlert, Malformed> {
    Ok(RiskAlert {
        id: RiskAlertId::new(from.unique()?).map_err(malformed)?,
        policy: read_policy_id(from)?,
        severity: match from.byte()? {
            0 => Severity::None,
            1 => Severity::Low,
            2 => Severity::Medium,
            3 => Severity::High,
            _ => return Err(Malformed),
        },
        score: from.small_signed()?,
        status: match from.byte()? {
            0 => Status::NeedsReview,
            1 => Status::Confirmed,
            2 => Status::Resolved,
            3 => Status::Dismissed,
            _ => return Err(Malformed),
        },
        origin: match from.byte()? {
            0 => Origin::Engine,
            1 => Origin::Imported { exfiltration: false },
            2 => Origin::Imported { exfiltration: true },
            _ => return Err(Malformed),
        },
        created_at: from.instant()?,
        updated_at: from.instant()?,
        closed_at: from.option(Decoder::instant)?,
    })
}

fn write_settings(out: &mut Encoder, settings: &Settings) {
    let Settings { data_sharing, alert_export, anonymization, user_analytics, lookback, overrides, custom } =
        settings;
    for on in [data_sharing, alert_export, anonymization, user_analytics] {
        out.flag(*on);
    }
    out.signed(lookback.days().into());
    out.count(overrides.len());
    for (indicator, shared) in overrides {
        out.text(indicator.name());
        out.flag(*shared);
    }
    out.count(custom.len());
    for indicator in custom {
        out.text(indicator.name());
    }
}

fn read_settings(from: &mut Decoder) -> Result<Settings, Malformed> {
    Ok(Settings {
        data_sharing: from.flag()?,
        alert_export: from.flag()?,
        anonymization: from.flag()?,
        user_analytics: from.flag()?,
        lookback: Lookback::new(from.small_signed()?).ok_or(Malformed)?,
        overrides: from.several(|from| Ok((Indicator::named(&from.text()?), from.flag()?)))?,
        custom: from.several(|from| Ok(Indicator::named(&from.text()?)))?,
    })
}
