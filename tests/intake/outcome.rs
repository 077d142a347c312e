//! What a parser made of a record, as one line to compare.

use riskshare::domain::dlp_alert::DlpAlert;
use riskshare::domain::risk_alert::Origin;
use riskshare::domain::user::{Identity, IdentityKey};
use riskshare::intake::{self, AuditRecord, IntakeError};
use serde_json::Value;

/// `id | title | policy | time | severity | users`.
pub fn dlp_alert(json: &str) -> String {
    let show = |alert: DlpAlert| {
        let users: Vec<_> = alert.involved.iter().map(user).collect();
        let severity = alert.severity.map_or("-".to_owned(), |severity| format!("{severity:?}"));
        let created_at = alert.created_at.map(|at| at.to_rfc3339()).unwrap_or_default();
        let DlpAlert { id, title, policy_name, .. } = alert;
        format!("{id} | {title} | {policy_name} | {created_at} | {severity} | {}", users.join(", "))
    };
    intake::dlp_alert(json).map_or_else(|error| refusal(&error), show)
}

/// `indicator | operation | object | destination | sensitivity | user`, or `ignored`.
pub fn activity(json: &str) -> String {
    match intake::activity(json) {
        Ok(AuditRecord::Activity { user: who, activity }) => format!(
            "{} | {} | {} | {} | {:?} | {}",
            activity.indicator.name(),
            activity.operation,
            activity.object_name.spell(),
            activity.destination.spell(),
            activity.sensitivity,
            user(&who)
        ),
        Ok(AuditRecord::Ignored) => "ignored".to_owned(),
        Err(error) => refusal(&error),
    }
}

/// `id | policy | severity score | status | exfiltration | created, updated, closed | user`.
pub fn risk_alert(json: &str) -> String {
    match intake::risk_alert(json) {
        Ok(imported) => {
            let alert = imported.alert;
            let exfiltration = matches!(alert.origin, Origin::Imported { exfiltration: true });
            let closed = alert.closed_at.map(|at| at.to_rfc3339()).unwrap_or_default();
            format!(
                "{} | {} | {} {} | {:?} | {exfiltration} | {}, {}, {closed} | {}",
                alert.id.as_str(),
                alert.policy.as_str(),
                alert.severity.word(),
                alert.score,
                alert.status,
                alert.created_at.to_rfc3339(),
                alert.updated_at.to_rfc3339(),
                user(&imported.user)
            )
        }
        Err(error) => refusal(&error),
    }
}

/// `not JSON`, `unknown format`, or the fields at fault.
pub fn refusal(error: &IntakeError) -> String {
    match error {
        IntakeError::NotJson => "not JSON".to_owned(),
        IntakeError::UnknownFormat { .. } => "unknown format".to_owned(),
        IntakeError::Field(errors) => {
            assert!(!errors.is_empty(), "a refusal names a field");
            format!("! {error}")
        }
    }
}

fn user(identity: &Identity) -> String {
    let key = |key: &IdentityKey| match key {
        IdentityKey::ObjectId(id) => id.to_string(),
        IdentityKey::Sid(text) | IdentityKey::Address(text) | IdentityKey::Account(text) => {
            text.spell().to_owned()
        }
    };
    let keys: Vec<_> = identity.keys().map(key).collect();
    let name = identity.display_name.as_ref().map(|name| format!(" ({})", name.spell())).unwrap_or_default();
    keys.join(" = ") + &name
}

/// Lays the members of `changes` over those of `base`; null takes a member away.
pub fn with(base: &Value, changes: &Value) -> String {
    let mut record = base.clone();
    if let (Some(record), Some(changes)) = (record.as_object_mut(), changes.as_object()) {
        for (key, value) in changes {
            match value {
                Value::Null => drop(record.remove(key)),
                value => drop(record.insert(key.clone(), value.clone())),
            }
        }
    }
    record.to_string()
}
