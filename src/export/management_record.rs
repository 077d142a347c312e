//! A record of the Office 365 Management Activity API: a Security and Compliance alert, RecordType 40, of category
//! InsiderRiskManagement (`domain.md` 5).

use crate::domain::content::AlertRecord;
use crate::domain::ids::TenantId;
use crate::domain::risk_alert::Status;
use crate::export::person::Person;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;

/// The type of the records.
const RECORD_TYPE: u8 = 40;
/// The user type of all of them: System.
const SYSTEM: u8 = 4;
/// The user of all of them.
const USER: &str = "SecurityComplianceAlerts";

/// The record, field by field.
#[expect(clippy::struct_field_names, reason = "the format names them so")]
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    creation_time: String,
    id: Uuid,
    operation: &'static str,
    organization_id: Uuid,
    record_type: u8,
    result_status: &'static str,
    user_key: &'static str,
    user_type: u8,
    version: u8,
    workload: &'static str,
    object_id: Uuid,
    user_id: &'static str,
    alert_id: Uuid,
    alert_links: [AlertLink; 1],
    alert_type: &'static str,
    category: &'static str,
    comments: &'static str,
    data: String,
    name: &'a str,
    policy_id: Uuid,
    severity: &'static str,
    source: &'static str,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AlertLink {
    alert_link_href: &'static str,
}

/// What `Data` holds as a text. The names of its keys are ours: Microsoft says what it holds, not under which keys.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data<'a> {
    user_id: String,
    user_principal_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    triggered_time: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    exfiltration: bool,
}

/// Returns a record as one line of JSON.
#[must_use]
pub fn line(tenant: TenantId, record: &AlertRecord) -> String {
    let AlertRecord { alert, first, .. } = record;
    let alert_id = guid(tenant, alert.id.as_str());
    let record = Record {
        creation_time: alert.updated_at.format("%Y-%m-%dT%H:%M:%S").to_string(),
        id: record.id,
        operation: operation(*first),
        organization_id: tenant.uuid(),
        record_type: RECORD_TYPE,
        result_status: "Succeeded",
        user_key: USER,
        user_type: SYSTEM,
        version: 1,
        workload: "SecurityComplianceCenter",
        object_id: alert_id,
        user_id: USER,
        alert_id,
        alert_links: [AlertLink { alert_link_href: "" }],
        alert_type: "Custom",
        category: "InsiderRiskManagement",
        comments: if *first { "New Alert" } else { "Alert Updated" },
        data: json(&data(record)),
        name: policy_name(record),
        policy_id: guid(tenant, alert.policy.as_str()),
        severity: alert.severity.word(),
        source: "Office 365 Security & Compliance",
        status: word(alert.status),
    };
    json(&record)
}

/// Returns records as a JSON array.
#[must_use]
pub fn array<'a>(tenant: TenantId, records: impl IntoIterator<Item = &'a AlertRecord>) -> String {
    let lines: Vec<String> = records.into_iter().map(|record| line(tenant, record)).collect();
    format!("[{}]", lines.join(","))
}

/// Returns what happened, in the words of the API.
#[must_use]
pub fn operation(first: bool) -> &'static str {
    if first { "AlertTriggered" } else { "AlertUpdated" }
}

/// Returns the name of the alert's policy, or its id where nobody declared the policy.
#[must_use]
pub fn policy_name(record: &AlertRecord) -> &str {
    record.policy_name.as_deref().unwrap_or(record.alert.policy.as_str())
}

/// Returns an id as the GUID that it is, or else one that is always the same for it: ids that were imported can be any
/// text.
#[must_use]
pub fn guid(tenant: TenantId, id: &str) -> Uuid {
    Uuid::try_parse(id).unwrap_or_else(|_| Uuid::new_v5(&tenant.uuid(), id.as_bytes()))
}

/// Returns the state in the words of the API (`domain.md` 1.2).
#[must_use]
pub fn word(status: Status) -> &'static str {
    match status {
        Status::NeedsReview => "Active",
        Status::Confirmed => "Investigating",
        Status::Resolved => "Resolved",
        Status::Dismissed => "Dismissed",
    }
}

fn data(record: &AlertRecord) -> Data<'_> {
    let person = Person::of(&record.identity);
    Data {
        user_id: person.unique(),
        user_principal_name: person.upn.unwrap_or_default(),
        triggered_time: record.triggered_at.map(second),
        exfiltration: record.alert.is_imported_exfiltration(),
    }
}

fn second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has neither maps nor floats")
}
