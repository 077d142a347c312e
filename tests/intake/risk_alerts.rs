//! Risk alerts of insider risk management.

use crate::outcome::{risk_alert, with};
use serde_json::{Value, json};

const ALEX: &str = "6f1f3c1e-2b4a-4d5e-8f90-123456789abc";
const AT: &str = "2026-05-04T12:30:00+00:00";

fn record(changes: &Value) -> String {
    let data = json!({"UserId": ALEX, "UserPrincipalName": "alex@contoso.com", "TriggeredTime": "2026-05-01T00:00:00Z"});
    let base = json!({
        "Id": "line-1", "AlertId": "alert-1", "CreationTime": "2026-05-04T12:30:00", "RecordType": 40,
        "Operation": "AlertTriggered", "UserId": "SecurityComplianceAlerts", "UserKey": "SecurityComplianceAlerts",
        "UserType": 4, "AlertType": "Custom", "Category": "InsiderRiskManagement", "Name": "Data leaks",
        "PolicyId": "p-1", "Severity": "High", "Status": "Active", "Comments": "New Alert", "Data": data.to_string(),
    });
    risk_alert(&with(&base, changes))
}

#[test]
fn a_record_maps_its_status_and_severity() {
    let user = format!("{ALEX} = alex@contoso.com");
    for (status, expected, closed) in [
        ("Active", "NeedsReview", ""),
        ("Investigating", "Confirmed", ""),
        ("Resolved", "Resolved", AT),
        ("Dismissed", "Dismissed", AT),
    ] {
        assert_eq!(
            record(&json!({"Status": status})),
            format!("alert-1 | p-1 | High 67 | {expected} | false | {AT}, {AT}, {closed} | {user}")
        );
    }
    for (severity, expected) in [("low", "Low 1"), ("Medium", "Medium 34"), ("HIGH", "High 67")] {
        assert!(record(&json!({"Severity": severity})).contains(expected));
    }
}

#[test]
fn a_record_names_its_user_in_data() {
    let user =
        |data: Value| record(&json!({"Data": data})).rsplit(" | ").next().unwrap_or_default().to_owned();
    assert_eq!(user(json!({"upn": "ALEX@contoso.com"})), "alex@contoso.com");
    assert_eq!(user(json!({"AadUserId": ALEX})), ALEX);
    assert_eq!(user(json!({"UPN": "alex@contoso.com", "UserId": "1003BFFD8EC47CA6"})), "alex@contoso.com");
    assert_eq!(user(json!({"UPN": "DlpAgent"})), "! Data.UPN names a service");
    assert_eq!(user(json!({"UserId": "77"})), "! Data.UserPrincipalName is missing");
    let raised = record(&json!({"Data": {"UPN": "alex@contoso.com", "Exfiltration": true}}));
    assert!(raised.contains("| true |"), "{raised}");
    assert!(record(&json!({"PolicyId": null})).starts_with("alert-1 | Data leaks |"));
}

#[test]
fn a_record_says_what_is_wrong_with_it() {
    for (changes, expected) in [
        (json!({"Severity": "None"}), "! Severity must be low, medium or high"),
        (json!({"Severity": null}), "! Severity is missing"),
        (json!({"Status": null}), "! Status is missing"),
        (json!({"Status": "Open"}), "! Status must be Active, Investigating, Resolved or Dismissed"),
        (json!({"Category": "DataLossPrevention"}), "! Category must be InsiderRiskManagement"),
        (json!({"RecordType": 6}), "! RecordType must be 40"),
        (json!({"AlertId": "  ", "CreationTime": null}), "! CreationTime is missing; AlertId is missing"),
        (json!({"PolicyId": null, "Name": null}), "! PolicyId is missing"),
    ] {
        assert_eq!(record(&changes), expected);
    }
}

fn graph(changes: &Value) -> String {
    let base = json!({
        "id": "ir-1", "alertPolicyId": "p-1", "severity": "high", "status": "new", "category": "Exfiltration",
        "serviceSource": "microsoftInsiderRiskManagement", "detectionSource": "microsoftInsiderRiskManagement",
        "createdDateTime": "2026-05-01T00:00:00Z", "lastUpdateDateTime": "2026-05-04T12:30:00Z",
        "evidence": [user("alex@contoso.com", ALEX)],
    });
    risk_alert(&with(&base, changes))
}

fn user(upn: &str, object_id: &str) -> Value {
    json!({"@odata.type": "#microsoft.graph.security.userEvidence",
        "userAccount": {"userPrincipalName": upn, "azureAdUserId": object_id}})
}

#[test]
fn a_graph_alert_maps_defenders_status_and_classification() {
    for (status, classification, expected) in [
        ("new", Value::Null, "NeedsReview"),
        ("inProgress", json!("truePositive"), "NeedsReview"),
        ("resolved", json!("truePositive"), "Confirmed"),
        ("resolved", json!("falsePositive"), "Dismissed"),
        ("resolved", json!("informationalExpectedActivity"), "Dismissed"),
        ("resolved", json!("unknown"), "Dismissed"),
        ("resolved", Value::Null, "Dismissed"),
    ] {
        let closed = if expected == "Dismissed" { "2026-05-03T00:00:00+00:00" } else { "" };
        let changes = json!({"status": status, "classification": classification, "resolvedDateTime": "2026-05-03T00:00:00Z"});
        assert_eq!(
            graph(&changes),
            format!(
                "ir-1 | p-1 | High 67 | {expected} | true | 2026-05-01T00:00:00+00:00, {AT}, {closed} | {ALEX} = alex@contoso.com"
            )
        );
    }
    assert!(graph(&json!({"category": "InsiderRisk"})).contains("| NeedsReview | false |"));
    assert!(graph(&json!({"category": null, "categories": ["exfiltration"]})).contains("| true |"));
}

#[test]
fn a_graph_alert_is_of_one_user() {
    let sam = "7f1f3c1e-2b4a-4d5e-8f90-123456789abc";
    let mut violator = user("sam@contoso.com", sam);
    violator["roles"] = json!(["policyViolator"]);
    let alex = user("alex@contoso.com", ALEX);
    assert!(graph(&json!({"evidence": [alex, violator]})).ends_with(&format!("| {sam} = sam@contoso.com")));
    let again =
        json!({"@odata.type": "#microsoft.graph.security.mailboxEvidence", "upn": "ALEX@contoso.com"});
    assert!(graph(&json!({"evidence": [alex, again]})).ends_with(&format!("| {ALEX} = alex@contoso.com")));
    let two = json!({"evidence": [alex, user("sam@contoso.com", sam)]});
    assert_eq!(graph(&two), "! evidence must name one user");
    assert_eq!(graph(&json!({"evidence": []})), "! evidence must name the user");
}

#[test]
fn a_graph_alert_says_what_is_wrong_with_it() {
    for (changes, expected) in [
        (json!({"severity": "informational"}), "! severity must be low, medium or high"),
        (json!({"status": "unknown"}), "! status must be new, inProgress or resolved"),
        (
            json!({"status": "resolved", "classification": "perhaps"}),
            "! classification must be unknown, truePositive, falsePositive or informationalExpectedActivity",
        ),
        (json!({"alertPolicyId": null}), "! alertPolicyId is missing"),
        (json!({"lastUpdateDateTime": null}), "! lastUpdateDateTime is missing"),
        (
            json!({"serviceSource": "dataLossPrevention"}),
            "! serviceSource must be microsoftInsiderRiskManagement",
        ),
    ] {
        assert_eq!(graph(&changes), expected);
    }
}
