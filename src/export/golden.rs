//! The golden files: some records in each shape. To make them anew after a deliberate change, run the test with
//! RISKSHARE_TEST_GOLDEN=write, and read the difference.

use crate::domain::content::AlertRecord;
use crate::domain::decision::AlertChange;
use crate::domain::ids::{PolicyId, RiskAlertId, TenantId};
use crate::domain::pseudonym::Pseudonym;
use crate::domain::risk_alert::{Origin, RiskAlert, Status};
use crate::domain::severity::Severity;
use crate::domain::user::{Identity, IdentityKey, Personal, UserNo};
use crate::export::{cef, ediscovery, management_record, ocsf, syslog};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

const ALERT: &str = "9a1f0c52-6d0e-4f6c-8f0e-0b8f5a3c1d2e";
const ALEX: &str = "6f1f3c1e-2b4a-4d5e-8f90-123456789abc";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn tenant() -> TenantId {
    TenantId::new(Uuid::parse_str("3f2504e0-4f89-41d3-9a0c-0305e82c3301").unwrap())
}

/// An alert that this service raised about a declared user.
fn raised() -> AlertRecord {
    let mut identity = Identity::default()
        .with(IdentityKey::object_id(ALEX).unwrap())
        .with_upn(IdentityKey::address("alex@contoso.com").unwrap());
    identity.display_name = Some(Personal::new("Alex Wilber"));
    AlertRecord {
        id: Uuid::from_u128(1),
        user: UserNo(7),
        identity,
        alert: RiskAlert {
            id: RiskAlertId::new(ALERT).unwrap(),
            policy: PolicyId::new("leaks").unwrap(),
            severity: Severity::Medium,
            score: 54,
            status: Status::NeedsReview,
            origin: Origin::Engine,
            created_at: at("2026-11-24T10:00:00.25Z"),
            updated_at: at("2026-11-24T10:00:00.25Z"),
            closed_at: None,
        },
        policy_name: Some("Data leaks".into()),
        triggered_at: Some(at("2026-11-20T08:30:00Z")),
        first: true,
    }
}

/// The same, later: it rose, was confirmed, was resolved.
fn later(hour: u32, severity: Severity, score: i32, status: Status) -> AlertRecord {
    let first = raised();
    let updated_at = at(&format!("2026-11-25T{hour:02}:00:00Z"));
    let closed_at = status.is_closed().then_some(updated_at);
    AlertRecord {
        id: Uuid::from_u128(u128::from(hour)),
        alert: RiskAlert { severity, score, status, updated_at, closed_at, ..first.alert },
        first: false,
        ..first
    }
}

/// An imported alert of somebody of whom an account name is known, in a policy whose name tries everything.
fn imported() -> AlertRecord {
    let account = IdentityKey::account("contoso\\adele").unwrap();
    AlertRecord {
        id: Uuid::from_u128(9),
        user: UserNo(8),
        identity: Identity::default().with(account),
        alert: RiskAlert {
            id: RiskAlertId::new("ira|=\"1\"").unwrap(),
            severity: Severity::Low,
            score: 1,
            status: Status::Dismissed,
            origin: Origin::Imported { exfiltration: true },
            closed_at: Some(at("2026-11-25T11:00:00Z")),
            updated_at: at("2026-11-25T11:00:00Z"),
            ..raised().alert
        },
        policy_name: Some("A|b\\c=d \"e\" ÄÖ\n<14>1".into()),
        triggered_at: None,
        first: true,
    }
}

fn records() -> [AlertRecord; 5] {
    [
        raised(),
        later(8, Severity::High, 81, Status::NeedsReview),
        later(9, Severity::High, 81, Status::Confirmed),
        later(10, Severity::High, 81, Status::Resolved),
        imported(),
    ]
}

fn lines(line: impl Fn(&AlertRecord) -> String) -> String {
    let lines: Vec<String> = records().iter().map(line).collect();
    assert!(lines.iter().all(|line| !line.contains('\n')), "a record is one line, whatever its names are");
    lines.join("\n") + "\n"
}

#[track_caller]
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("RISKSHARE_TEST_GOLDEN").is_some_and(|how| how == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "{}", path.display());
}

#[test]
fn records_of_the_management_api_are_the_golden_ones() {
    check("exported-records.jsonl", &lines(|record| management_record::line(tenant(), record)));
}

#[test]
fn ocsf_findings_are_the_golden_ones() {
    check("exported-ocsf.jsonl", &lines(|record| ocsf::line(tenant(), record)));
}

#[test]
fn cef_lines_are_the_golden_ones() {
    check("exported.cef", &lines(|record| cef::line(tenant(), record)));
}

#[test]
fn syslog_frames_are_the_golden_ones_and_say_how_long_they_are() {
    let frame = |record: &AlertRecord| syslog::frame(record, &cef::line(tenant(), record));
    check("exported.syslog", &lines(frame));
    for record in records() {
        let frame = frame(&record);
        let (length, message) = frame.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
    }
    let long = syslog::frame(&raised(), &"ä".repeat(9_000));
    let (length, message) = long.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), message.len());
    assert!((syslog::MESSAGE_BYTES_MAX - 1..=syslog::MESSAGE_BYTES_MAX).contains(&message.len()));
}

#[test]
fn lines_of_an_investigation_are_the_golden_ones() {
    let confirmed = AlertChange {
        by: Some("oidc:investigator".to_owned()),
        comment: "seen with the \"badge\"\nof a friend".to_owned(),
        ..AlertChange::of(&later(9, Severity::High, 81, Status::Confirmed).alert)
    };
    let lines = records().map(|record| {
        let line = ediscovery::line(&ediscovery::Row {
            tenant: tenant(),
            alert: &record.alert,
            history: &[AlertChange::of(&raised().alert), confirmed.clone()],
            policy: record.policy_name.as_deref().unwrap_or_default(),
            user: &record.identity,
            pseudonym: Pseudonym::numbered(988).unwrap(),
        });
        assert_eq!(line.matches('\n').count(), 1);
        line
    });
    check("investigation.jsonl", &lines.concat());
}

/// `domain.md` 5, the table of an insider risk alert's record, row by row.
#[test]
fn every_field_of_a_record_is_what_the_table_says() {
    let read = |record: &AlertRecord| -> Value {
        serde_json::from_str(&management_record::line(tenant(), record)).unwrap()
    };
    let [first, rose, confirmed, resolved, imported] = records();
    let fields = read(&first);
    for (field, value) in [
        ("CreationTime", json!("2026-11-24T10:00:00")),
        ("Id", json!(first.id)),
        ("OrganizationId", json!(tenant())),
        ("Operation", json!("AlertTriggered")),
        ("RecordType", json!(40)),
        ("UserType", json!(4)),
        ("Version", json!(1)),
        ("UserId", json!("SecurityComplianceAlerts")),
        ("UserKey", json!("SecurityComplianceAlerts")),
        ("Workload", json!("SecurityComplianceCenter")),
        ("ResultStatus", json!("Succeeded")),
        ("ObjectId", json!(ALERT)),
        ("AlertLinks", json!([{"AlertLinkHref": ""}])),
        ("AlertId", json!(ALERT)),
        ("AlertType", json!("Custom")),
        ("Category", json!("InsiderRiskManagement")),
        ("Source", json!("Office 365 Security & Compliance")),
        ("Comments", json!("New Alert")),
        ("Name", json!("Data leaks")),
        ("Severity", json!("Medium")),
        ("Status", json!("Active")),
    ] {
        assert_eq!(fields[field], value, "{field}");
    }
    let data: Value = serde_json::from_str(fields["Data"].as_str().unwrap()).unwrap();
    let named = json!({"UserId": ALEX, "UserPrincipalName": "alex@contoso.com", "TriggeredTime": "2026-11-20T08:30:00Z"});
    assert_eq!(data, named);
    assert!(Uuid::parse_str(fields["PolicyId"].as_str().unwrap()).is_ok());
    assert_eq!(fields.as_object().unwrap().len(), 23, "and no other");
    for (record, status, severity) in
        [(&rose, "Active", "High"), (&confirmed, "Investigating", "High"), (&resolved, "Resolved", "High")]
    {
        let fields = read(record);
        assert_eq!((&fields["Status"], &fields["Severity"]), (&json!(status), &json!(severity)));
        assert_eq!(
            (&fields["Operation"], &fields["Comments"]),
            (&json!("AlertUpdated"), &json!("Alert Updated"))
        );
        assert_eq!(fields["AlertId"], ALERT);
    }
    // An id that is no GUID becomes one, always the same.
    let guid = read(&imported)["AlertId"].clone();
    assert!(Uuid::parse_str(guid.as_str().unwrap()).is_ok());
    assert_eq!(read(&imported)["AlertId"], guid);
    assert_eq!(read(&imported)["Status"], "Dismissed");
}

#[test]
fn what_is_exported_can_be_imported_elsewhere() {
    // The last has no UPN, by which importers know a user.
    for record in &records()[..4] {
        let line = management_record::line(tenant(), record);
        let read = crate::intake::risk_alert(&line).unwrap();
        assert_eq!((read.alert.severity, read.alert.status), (record.alert.severity, record.alert.status));
        assert_eq!(read.alert.is_imported_exfiltration(), record.alert.is_imported_exfiltration());
    }
}
