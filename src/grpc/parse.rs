//! Requests to domain values: all fields at fault at once, before anything of the tenant is touched.

use crate::domain::dlp_alert::{AlertSeverity, DlpAlert, INVOLVED_USERS_MAX, distinct};
use crate::domain::ids::{TenantId, check_text};
use crate::domain::time::UtcDay;
use crate::domain::user::{ADDRESSES_MAX, Identity, IdentityKey, KEY_BYTES_MAX, KeyError, is_service_name};
use crate::grpc::status::{Invalid, Violation};
use crate::grpc::unread::{AlertView, UserView};
use crate::intake;
use crate::intake::IntakeError;
use crate::pb;
use crate::pb::ErrorReason;
use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use std::fmt::Arguments;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// The most alerts of one page.
pub const ALERTS_MAX: usize = 500;
/// The most involved users of one page, counted as given.
pub const PAGE_USERS_MAX: usize = 5_000;
/// The longest alert and incident id, in bytes.
pub const ALERT_ID_BYTES_MAX: usize = 256;
/// The longest title and policy name, in bytes.
const TITLE_BYTES_MAX: usize = 1_024;
/// The longest alert as JSON, in bytes.
const RAW_ALERT_BYTES_MAX: usize = 1024 * 1024;

/// Reads the tenant's id, by itself and first: whose data it is about is settled before anything else is read.
///
/// # Errors
/// When it is no UUID.
pub fn tenant(id: &str) -> Result<TenantId, Invalid> {
    let refusal = |_| Invalid::one(ErrorReason::InvalidField, "tenant_id", "must be a UUID");
    Uuid::try_parse(id).map(TenantId::new).map_err(refusal)
}

/// Collects what is wrong with a request. Paths are given as arguments: they are spelled out only for a fault.
#[derive(Default)]
pub struct Fields {
    violations: Vec<Violation>,
    /// The reason of a part that was refused for another reason than a field.
    reason: Option<ErrorReason>,
}

impl Fields {
    /// Notes a fault.
    pub fn refuse(&mut self, path: Arguments<'_>, description: impl Into<String>) {
        self.violations.push(Violation::new(path.to_string(), description));
    }

    /// Notes a fault unless `holds`.
    pub fn demand(&mut self, holds: bool, path: Arguments<'_>, description: &str) {
        if !holds {
            self.refuse(path, description);
        }
    }

    /// Takes a part over, or what is wrong with it.
    pub fn part<T>(&mut self, part: Result<T, Invalid>) -> Option<T> {
        part.map_err(|invalid| {
            self.violations.extend(invalid.violations);
            self.reason =
                Some(invalid.reason).filter(|reason| *reason != ErrorReason::InvalidField).or(self.reason);
        })
        .ok()
    }

    /// Returns the value if nothing was noted.
    ///
    /// # Errors
    /// All that was.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Invalid> {
        match value {
            Some(value) if self.violations.is_empty() => Ok(value),
            _ => Err(Invalid {
                reason: self.reason.unwrap_or(ErrorReason::InvalidField),
                violations: self.violations,
            }),
        }
    }

    /// Reads a text of 1 to `max` visible bytes.
    pub fn text(&mut self, path: Arguments<'_>, text: &str, max: usize) {
        if let Err(error) = check_text(text, max) {
            self.refuse(path, error.to_string());
        }
    }

    /// Checks the length of a text that may be empty.
    pub fn length(&mut self, path: Arguments<'_>, text: &str, max: usize) {
        if text.len() > max {
            self.refuse(path, format!("must be at most {max} bytes"));
        }
    }

    /// Reads an instant that must be there.
    pub fn instant(&mut self, path: Arguments<'_>, at: Option<Timestamp>) -> Option<DateTime<Utc>> {
        if at.is_none() {
            self.refuse(path, "must be set");
            return None;
        }
        self.instant_if_set(path, at)
    }

    /// Reads an instant that may be absent.
    pub fn instant_if_set(&mut self, path: Arguments<'_>, at: Option<Timestamp>) -> Option<DateTime<Utc>> {
        let at = at?;
        // More nanoseconds would be a leap second, which chrono reads and a Timestamp has not.
        let nanos = u32::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        let read = nanos.and_then(|nanos| DateTime::from_timestamp(at.seconds, nanos));
        let read = read.filter(|at| (1..=9999).contains(&chrono::Datelike::year(at)));
        self.demand(read.is_some(), path, "must be an instant of the years 1 to 9999");
        read
    }

    /// Reads a day, `None` when empty.
    pub fn day(&mut self, path: Arguments<'_>, text: &str) -> Option<UtcDay> {
        let day = UtcDay::parse(text);
        self.demand(day.is_some() || text.is_empty(), path, "must be a day, YYYY-MM-DD");
        day
    }

    /// Reads a value of an enum.
    pub fn known<E: TryFrom<i32>>(&mut self, path: Arguments<'_>, value: i32) -> Option<E> {
        let known = E::try_from(value).ok();
        self.demand(known.is_some(), path, "must be a value that this version knows");
        known
    }

    /// Reads how much to answer: `default` when 0, at most `max`.
    pub fn size(&mut self, path: Arguments<'_>, size: i32, default: usize, max: usize) -> usize {
        match usize::try_from(size) {
            Ok(0) => default,
            Ok(size) if size <= max => size,
            _ => {
                self.refuse(path, format!("must be 0 to {max}"));
                default
            }
        }
    }

    /// Reads a number within bounds, `unset` when absent.
    pub fn between(
        &mut self,
        path: &str,
        number: Option<i32>,
        bounds: RangeInclusive<i32>,
        unset: i32,
    ) -> i32 {
        let number = number.unwrap_or(unset);
        if !bounds.contains(&number) {
            self.refuse(format_args!("{path}"), format!("must be {} to {}", bounds.start(), bounds.end()));
        }
        number
    }

    /// Reads a person. A service account, which is never an actor, has no keys.
    pub fn person(&mut self, path: Arguments<'_>, user: Option<&pb::UserIdentity>) -> Option<Identity> {
        let Some(user) = user else {
            self.refuse(path, "must be set");
            return None;
        };
        self.viewed_person(path, &UserView::from(user))
    }

    fn viewed_person(&mut self, path: Arguments<'_>, user: &UserView<'_>) -> Option<Identity> {
        if names_a_service(user) {
            return Some(Identity::default());
        }
        let faults = self.violations.len();
        let identity = self.keys(path, user);
        if identity.is_empty() && self.violations.len() == faults {
            let keys = "entra_object_id, sid, upn, smtp_addresses, account_name";
            self.refuse(path, format!("must have at least one of {keys}"));
        }
        (self.violations.len() == faults).then_some(identity)
    }

    fn keys(&mut self, path: Arguments<'_>, user: &UserView<'_>) -> Identity {
        let mut identity = Identity::default();
        let mut key = |field: Arguments<'_>, text: &str, read: fn(&str) -> Result<IdentityKey, KeyError>| {
            if text.is_empty() || is_service_name(text) {
                return None;
            }
            read(text).map_err(|error| self.refuse(format_args!("{path}.{field}"), error.to_string())).ok()
        };
        let keys = [
            key(format_args!("entra_object_id"), user.entra_object_id, IdentityKey::object_id),
            key(format_args!("sid"), user.sid, IdentityKey::sid),
            key(format_args!("account_name"), user.account_name, IdentityKey::account),
        ];
        identity = keys.into_iter().flatten().fold(identity, Identity::with);
        for (i, address) in user.smtp_addresses.iter().take(ADDRESSES_MAX).enumerate() {
            let address = key(format_args!("smtp_addresses[{i}]"), address, IdentityKey::address);
            identity = address.into_iter().fold(identity, Identity::with);
        }
        if let Some(upn) = key(format_args!("upn"), user.upn, IdentityKey::address) {
            identity = identity.with_upn(upn);
        }
        if user.smtp_addresses.len() > ADDRESSES_MAX {
            let bound = format!("must be at most {ADDRESSES_MAX}");
            self.refuse(format_args!("{path}.smtp_addresses"), bound);
        }
        self.length(format_args!("{path}.display_name"), user.display_name, KEY_BYTES_MAX);
        if !user.display_name.is_empty() {
            identity.display_name = Some(crate::domain::user::Personal::new(user.display_name));
        }
        identity
    }
}

/// An account name says so only where it stands alone: people have been logged on as `root`.
fn names_a_service(user: &UserView<'_>) -> bool {
    let addresses = user.smtp_addresses.iter().copied();
    let others = [user.entra_object_id, user.sid, user.upn].into_iter().chain(addresses);
    let is_alone = others.clone().all(str::is_empty);
    let names = others.chain(is_alone.then_some(user.account_name));
    names.filter(|name| !name.is_empty()).any(is_service_name)
}

/// Reads one alert.
///
/// # Errors
/// All fields at fault, by their paths from `path` on.
pub fn dlp_alert(path: Arguments<'_>, alert: Option<&pb::DlpAlert>) -> Result<DlpAlert, Invalid> {
    let unset = || Invalid::one(ErrorReason::InvalidField, path.to_string(), "must be set");
    viewed_alert(path, &AlertView::from(alert.ok_or_else(unset)?))
}

fn viewed_alert(path: Arguments<'_>, alert: &AlertView<'_>) -> Result<DlpAlert, Invalid> {
    if alert.raw_json.is_empty() { plain_alert(path, alert) } else { raw_alert(path, alert) }
}

fn plain_alert(path: Arguments<'_>, alert: &AlertView<'_>) -> Result<DlpAlert, Invalid> {
    let mut fields = Fields::default();
    fields.text(format_args!("{path}.alert_id"), alert.alert_id, ALERT_ID_BYTES_MAX);
    fields.length(format_args!("{path}.title"), alert.title, TITLE_BYTES_MAX);
    fields.length(format_args!("{path}.policy_name"), alert.policy_name, TITLE_BYTES_MAX);
    let severity = fields.known(format_args!("{path}.severity"), alert.severity);
    let created_at = fields.instant_if_set(format_args!("{path}.created_at"), alert.created_at);
    let users = &alert.involved_users;
    let mut involved = Vec::with_capacity(users.len().min(PAGE_USERS_MAX));
    for (i, user) in users.iter().take(PAGE_USERS_MAX).enumerate() {
        let person = fields.viewed_person(format_args!("{path}.involved_users[{i}]"), user);
        involved.extend(person.filter(|person| !person.is_empty()));
    }
    let involved = distinct(involved);
    let is_few = users.len() <= PAGE_USERS_MAX && involved.len() <= INVOLVED_USERS_MAX;
    fields.demand(is_few, format_args!("{path}.involved_users"), TOO_MANY_USERS);
    fields.finish(Some(DlpAlert {
        id: alert.alert_id.into(),
        title: alert.title.to_owned(),
        policy_name: alert.policy_name.to_owned(),
        created_at,
        severity: severity.and_then(alert_severity),
        involved,
    }))
}

const TOO_MANY_USERS: &str = "must be at most 1000 users";

fn alert_severity(severity: pb::AlertSeverity) -> Option<AlertSeverity> {
    match severity {
        pb::AlertSeverity::Unspecified => None,
        pb::AlertSeverity::Informational => Some(AlertSeverity::Informational),
        pb::AlertSeverity::Low => Some(AlertSeverity::Low),
        pb::AlertSeverity::Medium => Some(AlertSeverity::Medium),
        pb::AlertSeverity::High => Some(AlertSeverity::High),
    }
}

fn raw_alert(path: Arguments<'_>, alert: &AlertView<'_>) -> Result<DlpAlert, Invalid> {
    let mut fields = Fields::default();
    let path = format_args!("{path}.raw_json");
    let raw = AlertView { raw_json: alert.raw_json, ..AlertView::default() };
    fields.demand(*alert == raw, path, "must be the only field that is set");
    fields.length(path, alert.raw_json, RAW_ALERT_BYTES_MAX);
    fields.finish(Some(()))?;
    let read = intake::dlp_alert(alert.raw_json).map_err(|error| not_understood(path, error))?;
    let mut fields = Fields::default();
    fields.demand(read.involved.len() <= INVOLVED_USERS_MAX, path, TOO_MANY_USERS);
    fields.finish(Some(read))
}

/// Turns a format's refusal into one of ours, by paths into the JSON.
#[must_use]
pub fn not_understood(path: Arguments<'_>, error: IntakeError) -> Invalid {
    let path = path.to_string();
    match error {
        IntakeError::Field(faults) => Invalid {
            reason: ErrorReason::InvalidField,
            violations: faults
                .into_iter()
                .map(|fault| Violation::new(joined(&path, &fault.field), fault.reason))
                .collect(),
        },
        IntakeError::NotJson => Invalid::one(ErrorReason::InvalidField, path, "is not JSON"),
        error @ IntakeError::UnknownFormat { .. } => {
            Invalid::one(ErrorReason::UnknownFormat, path, error.to_string())
        }
    }
}

/// Joins the path of a record and that of a field in it, which is empty when the whole record is at fault.
fn joined(path: &str, field: &str) -> String {
    if field.is_empty() { path.to_owned() } else { format!("{path}.{field}") }
}

/// Reads the alerts of a page: each one, or why it cannot be read.
///
/// # Errors
/// When there is no alert, or more alerts or users than a page may hold.
pub fn alert_page(alerts: &[AlertView<'_>]) -> Result<Vec<Result<DlpAlert, Invalid>>, Invalid> {
    let too_large = |field: &str, bound: &str| Err(Invalid::one(ErrorReason::BatchTooLarge, field, bound));
    if alerts.is_empty() {
        return Err(Invalid::one(ErrorReason::InvalidField, "alerts", "must be 1 to 500 alerts"));
    }
    if alerts.len() > ALERTS_MAX {
        return too_large("alerts", "must be at most 500 alerts");
    }
    let given = |alert: &AlertView<'_>| alert.involved_users.len();
    let users_max = "must involve at most 5000 users in all";
    if alerts.iter().map(given).sum::<usize>() > PAGE_USERS_MAX {
        return too_large("alerts.involved_users", users_max);
    }
    let read: Vec<_> = alerts
        .iter()
        .enumerate()
        .map(|(i, alert)| viewed_alert(format_args!("alerts[{i}]"), alert))
        .collect();
    let involved = read.iter().flatten().map(|alert| alert.involved.len()).sum::<usize>();
    if involved > PAGE_USERS_MAX { too_large("alerts.raw_json", users_max) } else { Ok(read) }
}

/// Reads the alerts of an incident, all of which must be readable.
///
/// # Errors
/// As [`alert_page`]; and all fields at fault of all alerts.
pub fn incident_alerts(alerts: &[pb::DlpAlert]) -> Result<Vec<DlpAlert>, Invalid> {
    let mut fields = Fields::default();
    let viewed: Vec<_> = alerts.iter().map(AlertView::from).collect();
    let read: Vec<_> = alert_page(&viewed)?.into_iter().filter_map(|alert| fields.part(alert)).collect();
    fields.finish(Some(read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upn(upn: &str) -> pb::UserIdentity {
        pb::UserIdentity { upn: upn.to_owned(), ..pb::UserIdentity::default() }
    }

    fn alert(users: Vec<pb::UserIdentity>) -> pb::DlpAlert {
        pb::DlpAlert { alert_id: "a".to_owned(), involved_users: users, ..pb::DlpAlert::default() }
    }

    fn fields_at_fault(alert: &pb::DlpAlert) -> Vec<String> {
        let invalid = dlp_alert(format_args!("alert"), Some(alert)).unwrap_err();
        invalid.violations.into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn all_fields_at_fault_are_named_at_once() {
        let bad = pb::DlpAlert {
            severity: 77,
            title: "x".repeat(1_025),
            created_at: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
            ..alert(vec![upn("john"), pb::UserIdentity::default()])
        };
        let faults = ["title", "severity", "created_at", "involved_users[0].upn", "involved_users[1]"]
            .map(|f| format!("alert.{f}"));
        assert_eq!(fields_at_fault(&bad), faults);
        assert_eq!(fields_at_fault(&pb::DlpAlert::default()), ["alert.alert_id"]);
    }

    #[test]
    fn an_alert_involves_at_most_1000_users_and_no_services() {
        let users = |count| (0..count).map(|n| upn(&format!("a{n}@x.com"))).collect::<Vec<_>>();
        let read = |users| dlp_alert(format_args!("alert"), Some(&alert(users)));
        assert_eq!(read(users(1_000)).unwrap().involved.len(), 1_000);
        assert_eq!(fields_at_fault(&alert(users(1_001))), ["alert.involved_users"]);
        let again = [users(1_000), users(1_000)].concat();
        assert_eq!(read(again).unwrap().involved.len(), 1_000, "who is named twice counts once");
        assert_eq!(fields_at_fault(&alert(vec![upn("a@x.com"); 5_001])), ["alert.involved_users"]);
        let service = pb::UserIdentity { account_name: "DlpAgent".to_owned(), ..upn("") };
        assert!(read(vec![service]).unwrap().involved.is_empty());
    }

    #[test]
    fn raw_json_stands_alone() {
        let both = pb::DlpAlert { raw_json: "{}".to_owned(), ..alert(vec![]) };
        assert_eq!(fields_at_fault(&both), ["alert.raw_json"]);
    }

    #[test]
    fn a_page_holds_1_to_500_alerts_and_5000_users() {
        let read =
            |alerts: &[pb::DlpAlert]| alert_page(&alerts.iter().map(AlertView::from).collect::<Vec<_>>());
        let reason = |alerts: Vec<pb::DlpAlert>| read(&alerts).unwrap_err().reason;
        assert_eq!(reason(vec![]), ErrorReason::InvalidField);
        assert_eq!(reason(vec![alert(vec![]); 501]), ErrorReason::BatchTooLarge);
        assert_eq!(reason(vec![alert(vec![upn("a@x.com"); 51]); 99]), ErrorReason::BatchTooLarge);
        assert!(read(&vec![alert(vec![upn("a@x.com"); 50]); 100]).is_ok());
    }
}
