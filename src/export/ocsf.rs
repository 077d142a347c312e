//! A record as a Data Security Finding of the Open Cybersecurity Schema Framework (`domain.md` 3.4).

use crate::domain::content::AlertRecord;
use crate::domain::ids::TenantId;
use crate::domain::risk_alert::Status;
use crate::domain::severity::Severity;
use crate::export::management_record::{guid, policy_name};
use crate::export::person::Person;
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

/// The version of the schema: the class has all fields that are used here since then.
const VERSION: &str = "1.4.0";
const CATEGORY: u32 = 2;
const CLASS: u32 = 2006;

#[expect(clippy::struct_field_names, reason = "the format names them so")]
#[derive(Serialize)]
struct Finding<'a> {
    activity_id: u32,
    activity_name: &'static str,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    type_uid: u32,
    time: i64,
    severity_id: u32,
    severity: &'static str,
    status_id: u32,
    status: &'static str,
    is_alert: bool,
    risk_level_id: u32,
    risk_level: &'static str,
    risk_score: i32,
    metadata: Metadata,
    finding_info: FindingInfo<'a>,
    actor: Actor<'a>,
    data_security: DataSecurity<'a>,
}

#[derive(Serialize)]
struct Metadata {
    version: &'static str,
    uid: Uuid,
    tenant_uid: Uuid,
    product: Product,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct FindingInfo<'a> {
    uid: Uuid,
    title: &'a str,
    types: [&'static str; 1],
    created_time: i64,
    modified_time: i64,
}

#[derive(Serialize)]
struct Actor<'a> {
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    uid: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_name: Option<&'a str>,
    type_id: u32,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct DataSecurity<'a> {
    policy: Policy<'a>,
}

#[derive(Serialize)]
struct Policy<'a> {
    uid: Uuid,
    name: &'a str,
}

/// Returns a record as one line of JSON.
#[must_use]
pub fn line(tenant: TenantId, record: &AlertRecord) -> String {
    let AlertRecord { alert, .. } = record;
    let (activity_id, activity_name) = activity(record);
    let (severity_id, risk_level_id, severity) = level(alert.severity);
    let (status_id, status) = status(alert.status);
    let person = Person::of(&record.identity);
    let finding = Finding {
        activity_id,
        activity_name,
        category_uid: CATEGORY,
        category_name: "Findings",
        class_uid: CLASS,
        class_name: "Data Security Finding",
        type_uid: CLASS * 100 + activity_id,
        time: millis(alert.updated_at),
        severity_id,
        severity,
        status_id,
        status,
        is_alert: true,
        risk_level_id,
        risk_level: severity,
        risk_score: alert.score,
        metadata: Metadata {
            version: VERSION,
            uid: record.id,
            tenant_uid: tenant.uuid(),
            product: Product {
                name: "riskshare",
                vendor_name: "riskshare",
                version: env!("CARGO_PKG_VERSION"),
            },
        },
        finding_info: FindingInfo {
            uid: guid(tenant, alert.id.as_str()),
            title: policy_name(record),
            types: ["Insider risk"],
            created_time: millis(alert.created_at),
            modified_time: millis(alert.updated_at),
        },
        actor: Actor {
            user: User {
                uid: person.unique(),
                name: person.called(),
                email_addr: person.upn,
                full_name: person.display_name,
                type_id: 1,
                kind: "User",
            },
        },
        data_security: DataSecurity {
            policy: Policy { uid: guid(tenant, alert.policy.as_str()), name: policy_name(record) },
        },
    };
    serde_json::to_string(&finding).expect("it has neither maps nor floats")
}

fn activity(record: &AlertRecord) -> (u32, &'static str) {
    match record.first {
        _ if record.alert.status.is_closed() => (3, "Close"),
        true => (1, "Create"),
        false => (2, "Update"),
    }
}

/// Returns the ids of severity and risk level. A finding is never of risk level Info, which would say "no risk".
fn level(severity: Severity) -> (u32, u32, &'static str) {
    match severity {
        Severity::None | Severity::Low => (2, 1, "Low"),
        Severity::Medium => (3, 2, "Medium"),
        Severity::High => (4, 3, "High"),
    }
}

fn status(status: Status) -> (u32, &'static str) {
    match status {
        Status::NeedsReview => (1, "New"),
        Status::Confirmed => (2, "In Progress"),
        Status::Dismissed => (3, "Suppressed"),
        Status::Resolved => (4, "Resolved"),
    }
}

fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}
