//! DLP alerts, each format with its own ways to name people.

use crate::outcome::{dlp_alert, with};
use serde_json::{Value, json};

const ALEX: &str = "6f1f3c1e-2b4a-4d5e-8f90-123456789abc";

fn graph(evidence: &Value) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.security.alert", "id": "da-1", "title": "DLP policy matched",
        "createdDateTime": "2026-05-04T12:30:00.1234567Z", "severity": "medium", "status": "new",
        "serviceSource": "dataLossPrevention", "detectionSource": "microsoftDataLossPrevention",
        "actorDisplayName": "Midnight Blizzard", "evidence": evidence,
    })
}

fn evidence(kind: &str, changes: &Value) -> Value {
    let mut item = changes.clone();
    item["@odata.type"] = json!(format!("#microsoft.graph.security.{kind}Evidence"));
    item
}

/// The users of an alert with one piece of evidence, or its refusal.
fn users(kind: &str, changes: &Value) -> String {
    let shown = dlp_alert(&graph(&json!([evidence(kind, changes)])).to_string());
    shown.rsplit(" | ").next().unwrap_or_default().to_owned()
}

#[test]
fn a_graph_alert_is_read_whole() {
    let account = json!({"userAccount": {"userPrincipalName": "ALEX@CONTOSO.COM", "displayName": "Alex Smith",
        "azureAdUserId": ALEX, "userSid": "S-1-5-21-1-2-3-1001", "accountName": "alex", "domainName": "CONTOSO"}});
    let alert = graph(&json!([evidence("user", &account)]));
    let user = format!("{ALEX} = S-1-5-21-1-2-3-1001 = alex@contoso.com = contoso\\alex (Alex Smith)");
    assert_eq!(
        dlp_alert(&alert.to_string()),
        format!("da-1 | DLP policy matched |  | 2026-05-04T12:30:00.123456700+00:00 | Medium | {user}")
    );
}

#[test]
fn graph_evidence_names_actors_each_kind_in_its_place() {
    let alex = json!({"userPrincipalName": "alex@contoso.com"});
    for (kind, changes, expected) in [
        ("user", json!({"userAccount": alex, "roles": ["policyViolator"]}), "alex@contoso.com"),
        (
            "mailbox",
            json!({"upn": "alex@contoso.com", "primaryAddress": "a.smith@contoso.com", "displayName": "Alex",
            "userAccount": {"azureAdUserId": ALEX}}),
            &*format!("{ALEX} = a.smith@contoso.com = alex@contoso.com (Alex)"),
        ),
        ("mailbox", json!({"primaryAddress": "a.smith@contoso.com"}), "a.smith@contoso.com"),
        ("cloudLogonSession", json!({"account": {"userAccount": alex}}), "alex@contoso.com"),
        ("hostLogonSession", json!({"account": {"userAccount": alex}}), "alex@contoso.com"),
        (
            "process",
            json!({"userAccount": {"accountName": "alex", "domainName": "CONTOSO"}}),
            "contoso\\alex",
        ),
        ("process", json!({"userAccount": {"accountName": "alex", "domainName": null}}), ""),
        ("device", json!({"loggedOnUsers": [{"accountName": "sam", "domainName": "CONTOSO"}]}), ""),
        (
            "analyzedMessage",
            json!({"p1Sender": {"emailAddress": "alex@contoso.com", "displayName": "Alex"},
            "p2Sender": {"emailAddress": "team@contoso.com"}, "recipientEmailAddress": "kim@fabrikam.com"}),
            "alex@contoso.com (Alex), team@contoso.com",
        ),
        (
            "teamsMessage",
            json!({"senderFromAddress": "alex@contoso.com", "recipients": ["kim@fabrikam.com"]}),
            "alex@contoso.com",
        ),
        ("file", json!({"fileDetails": {}}), ""),
        ("someNewKindOf", json!({"userAccount": alex}), ""),
    ] {
        assert_eq!(users(kind, &changes), expected, "{kind}");
    }
}

#[test]
fn recipients_and_services_are_not_involved() {
    let kim = json!({"userPrincipalName": "kim@contoso.com"});
    assert_eq!(users("user", &json!({"userAccount": kim, "roles": ["destination"]})), "");
    assert_eq!(
        users("user", &json!({"userAccount": kim, "roles": ["destination", "source"]})),
        "kim@contoso.com"
    );
    for account in [
        json!({"accountName": "root", "userPrincipalName": null}),
        json!({"accountName": "SYSTEM", "domainName": "NT AUTHORITY", "userSid": "S-1-5-18"}),
        json!({"userPrincipalName": "app@sharepoint"}),
    ] {
        assert_eq!(users("user", &json!({"userAccount": account})), "", "{account}");
    }
}

#[test]
fn each_different_mention_is_one_identity_and_a_guest_is_one_too() {
    let account = |upn: &str| evidence("user", &json!({"userAccount": {"userPrincipalName": upn}}));
    let upns = ["alex@contoso.com", "ALEX@contoso.com", "kim_fabrikam.com#EXT#@contoso.onmicrosoft.com"];
    let alert = graph(&json!(upns.map(account)));
    let shown = dlp_alert(&alert.to_string());
    let expected = "| alex@contoso.com, kim_fabrikam.com#ext#@contoso.onmicrosoft.com";
    assert!(shown.ends_with(expected), "{shown}");
}

#[test]
fn a_graph_alert_without_evidence_involves_nobody() {
    let alert = with(&graph(&json!([])), &json!({"evidence": null, "severity": "unknown", "title": null}));
    assert_eq!(dlp_alert(&alert), "da-1 |  |  | 2026-05-04T12:30:00.123456700+00:00 | - | ");
}

#[test]
fn a_person_who_cannot_be_read_is_a_fault_with_a_path() {
    for (kind, changes, expected) in [
        (
            "user",
            json!({"userAccount": {"accountName": "alex"}}),
            "! evidence[0].userAccount names nobody: it needs an object id, SID, UPN, address, or account and domain",
        ),
        (
            "user",
            json!({}),
            "! evidence[0].userAccount names nobody: it needs an object id, SID, UPN, address, or account and domain",
        ),
        (
            "user",
            json!({"userAccount": {"userPrincipalName": "alex"}}),
            "! evidence[0].userAccount.userPrincipalName is not of the form user@domain",
        ),
        (
            "user",
            json!({"userAccount": {"azureAdUserId": "7"}}),
            "! evidence[0].userAccount.azureAdUserId is not of the form of a GUID",
        ),
        (
            "user",
            json!({"userAccount": "alex@contoso.com"}),
            "! evidence[0].userAccount.azureAdUserId must stand in an object",
        ),
        (
            "hostLogonSession",
            json!({"account": {"userAccount": {"userSid": "1"}}}),
            "! evidence[0].account.userAccount.userSid is not of the form S-1-...",
        ),
        (
            "analyzedMessage",
            json!({"p2Sender": {"emailAddress": "a@b@c"}}),
            "! evidence[0].p2Sender.emailAddress is not of the form user@domain",
        ),
        (
            "mailbox",
            json!({}),
            "! evidence[0].upn names nobody: it needs an object id, SID, UPN, address, or account and domain",
        ),
    ] {
        assert_eq!(users(kind, &changes), expected);
    }
    let nil = json!({"userAccount": {"azureAdUserId": "00000000-0000-0000-0000-000000000000",
        "userPrincipalName": "alex@contoso.com"}});
    assert_eq!(users("user", &nil), "alex@contoso.com");
    let no_kind = dlp_alert(&graph(&json!([{"userAccount": {}}])).to_string());
    assert_eq!(no_kind, "! evidence[0].@odata.type is missing");
}

#[test]
fn a_graph_alert_says_what_is_wrong_with_it() {
    let source = "must be dataLossPrevention or microsoftDataLossPrevention";
    for (changes, expected) in [
        (
            json!({"serviceSource": "microsoftDefenderForEndpoint", "detectionSource": "customTi"}),
            &*format!("! serviceSource {source}"),
        ),
        (json!({"serviceSource": "microsoftInsiderRiskManagement"}), &*format!("! serviceSource {source}")),
        (json!({"serviceSource": null, "detectionSource": null}), "! serviceSource is missing"),
        (
            json!({"serviceSource": "unknownFutureValue"}),
            "! serviceSource is hidden: ask with the header Prefer: include-unknown-enum-members",
        ),
        (
            json!({"id": null, "createdDateTime": "x", "severity": "extreme"}),
            "! id is missing; createdDateTime must be a UTC time such as 2026-05-04T12:30:00Z, of the years 1970 to \
             2261, with no other offset; severity must be informational, low, medium or high",
        ),
        (json!({"evidence": {}}), "! evidence must be a list"),
    ] {
        assert_eq!(dlp_alert(&with(&graph(&json!([])), &changes)), expected);
    }
    for source in ["microsoftDataLossPrevention", "DATALOSSPREVENTION"] {
        let alert = with(&graph(&json!([])), &json!({"serviceSource": source, "detectionSource": null}));
        assert!(dlp_alert(&alert).starts_with("da-1"), "{source}");
    }
}

#[test]
fn an_alert_involves_at_most_a_thousand_people_however_often_it_names_each() {
    let user =
        |n| evidence("user", &json!({"userAccount": {"userPrincipalName": format!("alex{n}@contoso.com")}}));
    let alert = |count| dlp_alert(&graph(&(0..count).map(user).collect::<Value>()).to_string());
    assert!(alert(1_000).starts_with("da-1"));
    assert_eq!(alert(1_001), "! evidence must name at most 1000 users");
    let sender = json!({"emailAddress": "alex@contoso.com"});
    let mail = evidence("analyzedMessage", &json!({"p1Sender": sender, "p2Sender": sender}));
    let mails = dlp_alert(&graph(&Value::Array(vec![mail; 501])).to_string());
    assert!(mails.ends_with("| alex@contoso.com"), "{mails}");

    let finding = |owners: Vec<Value>| {
        let resources: Vec<Value> = owners.iter().map(|owner| json!({"owner": owner})).collect();
        dlp_alert(
            &json!({"class_uid": 2006, "time": 1_777_000_000_000_i64, "finding_info": {"uid": "f-1"},
            "resources": resources})
            .to_string(),
        )
    };
    let owner = |n| json!({"email_addr": format!("alex{n}@contoso.com")});
    assert_eq!(finding((0..1_001).map(owner).collect()), "! resources must name at most 1000 users");
    assert!(finding(vec![owner(1); 1_001]).ends_with("| alex1@contoso.com"));
}

fn record(record_type: i64, changes: &Value) -> String {
    let base = json!({
        "Id": "r-1", "CreationTime": "2026-05-04T12:30:00", "RecordType": record_type,
        "Operation": "DlpRuleMatch", "UserId": "DlpAgent", "UserKey": "DlpAgent", "UserType": 4,
        "PolicyDetails": [
            {"PolicyName": "Cards", "Rules": [{"Severity": "Low"}, {"Severity": "High"}]},
            {"PolicyName": "Other", "Rules": [{"Severity": "Medium"}]},
        ],
        "SensitiveInfoDetectionIsIncluded": false,
    });
    dlp_alert(&with(&base, changes))
}

#[test]
fn the_actor_of_a_dlp_record_is_in_its_metadata_first() {
    let at = "2026-05-04T12:30:00+00:00";
    let mail = json!({"ExchangeMetaData": {"From": "alex@contoso.com", "To": ["kim@fabrikam.com"], "CC": [], "BCC": []}});
    assert_eq!(record(13, &mail), format!("r-1 |  | Cards | {at} | High | alex@contoso.com"));
    for (file, expected) in [
        (
            json!({"UserId": "alex@contoso.com", "SharePointMetaData": {"From": "alex@contoso.com"}}),
            "alex@contoso.com",
        ),
        (
            json!({"UserId": "alex@contoso.com", "SharePointMetaData": {"From": "SHAREPOINT\\system"}}),
            "alex@contoso.com",
        ),
        (json!({"UserId": "alex@contoso.com", "Operation": "DLPRuleMatch"}), "alex@contoso.com"),
        (
            json!({"SharePointMetaData": {"From": "sam@contoso.com", "DocumentSharer": "x"}}),
            "sam@contoso.com",
        ),
        (json!({"SharePointMetaData": {"From": "app@sharepoint"}}), ""),
    ] {
        assert_eq!(record(11, &file), format!("r-1 |  | Cards | {at} | High | {expected}"), "{file}");
    }
    let device = json!({"UserId": "CONTOSO\\alex", "Operation": "FileUploadedToCloud", "PolicyDetails": null,
        "PolicyMatchInfo": {"PolicyName": "Devices", "RuleName": "Block"}});
    for record_type in [63, 108] {
        assert_eq!(record(record_type, &device), format!("r-1 |  | Devices | {at} | - | contoso\\alex"));
    }
}

#[test]
fn a_dlp_record_says_what_is_wrong_with_it() {
    let mail = json!({"From": "alex@contoso.com"});
    for (record_type, changes, expected) in [
        (13, json!({}), "! ExchangeMetaData.From is missing"),
        (
            13,
            json!({"ExchangeMetaData": {"From": "alex"}}),
            "! ExchangeMetaData.From is not of the form user@domain",
        ),
        (11, json!({"UserId": "DlpAgent"}), "! SharePointMetaData.From is missing"),
        (
            13,
            json!({"ExchangeMetaData": mail, "Operation": "DlpRuleUndo"}),
            "! Operation must be DlpRuleMatch",
        ),
        (13, json!({"ExchangeMetaData": mail, "Operation": "DlpInfo"}), "! Operation must be DlpRuleMatch"),
        (13, json!({"ExchangeMetaData": mail, "PolicyDetails": null}), "! PolicyDetails is missing"),
        (
            13,
            json!({"ExchangeMetaData": mail, "PolicyDetails": [{"Rules": [{"Severity": "Huge"}]}]}),
            "! PolicyDetails[0].Rules[0].Severity must be informational, low, medium or high",
        ),
        (
            63,
            json!({"UserId": "alex@contoso.com", "PolicyDetails": null}),
            "! PolicyMatchInfo names no policy: the record is an activity and no alert",
        ),
        (
            108,
            json!({"UserId": "alex@contoso.com", "PolicyDetails": null}),
            "! PolicyMatchInfo names no policy: the record is an activity and no alert",
        ),
        (6, json!({}), "! RecordType must be of a DLP record: 11, 13, 40, 63 or 108"),
        (33, json!({}), "! RecordType must be of a DLP record: 11, 13, 40, 63 or 108"),
    ] {
        assert_eq!(record(record_type, &changes), expected);
    }
}

fn alert_40(changes: &Value, data: &Value) -> String {
    let base = json!({
        "Id": "line-1", "AlertId": "alert-1", "CreationTime": "2026-05-04T12:30:00", "RecordType": 40,
        "Operation": "AlertTriggered", "UserId": "SecurityComplianceAlerts", "UserKey": "SecurityComplianceAlerts",
        "UserType": 4, "AlertType": "Custom", "Name": "Cards leave", "Category": "DataLossPrevention",
        "Severity": "Medium", "Status": "Active", "Data": data.to_string(),
    });
    dlp_alert(&with(&base, changes))
}

#[test]
fn the_involved_user_of_a_security_alert_is_in_its_data() {
    let at = "2026-05-04T12:30:00+00:00";
    let data = json!({"f3u": "alex@contoso.com", "dpn": "Cards", "tdmn": "fabrikam.com"});
    let expected = format!("alert-1 | Cards leave | Cards | {at} | Medium | alex@contoso.com");
    assert_eq!(alert_40(&json!({}), &data), expected);
    assert_eq!(
        alert_40(&json!({"Data": data, "RecordType": "40", "Operation": "AlertUpdated"}), &json!({})),
        expected
    );
    let mail = json!({"mfrm": "alex@contoso.com", "to": "kim@fabrikam.com", "cc": "sam@contoso.com", "etype": "MalwareFamily"});
    assert!(alert_40(&json!({"Operation": "AlertEntityGenerated"}), &mail).ends_with("| alex@contoso.com"));
    assert!(alert_40(&json!({}), &json!({"f3u": "DlpAgent"})).ends_with("| Medium | "));
}

#[test]
fn a_security_alert_says_what_is_wrong_with_it() {
    let data = json!({"f3u": "alex@contoso.com"});
    for (changes, data, expected) in [
        (json!({}), json!({"wl": "x"}), "! Data.f3u is missing"),
        (
            json!({}),
            json!({"f3u": "alex"}),
            "! Data.f3u is not of the form user@domain, a GUID, S-1-... or domain\\account",
        ),
        (json!({"Data": "{"}), json!({}), "! Data must be a JSON object in a string"),
        (json!({"Data": "[]"}), json!({}), "! Data must be a JSON object in a string"),
        (json!({"Data": null}), json!({}), "! Data is missing"),
        (json!({"Category": "ThreatManagement"}), data.clone(), "! Category must be DataLossPrevention"),
        (json!({"Category": "InsiderRiskManagement"}), data.clone(), "! Category must be DataLossPrevention"),
        (json!({"AlertId": null}), data.clone(), "! AlertId is missing"),
        (
            json!({"Operation": "AlertEaten"}),
            data,
            "! Operation must be AlertTriggered, AlertUpdated or AlertEntityGenerated",
        ),
    ] {
        assert_eq!(alert_40(&changes, &data), expected);
    }
}

fn ocsf(changes: &Value) -> String {
    let base = json!({
        "class_uid": 2006, "category_uid": 2, "activity_id": 1, "type_uid": 200_601, "severity_id": 4,
        "time": 1_777_897_800_000_i64, "metadata": {"version": "1.8.0"},
        "finding_info": {"uid": "f-1", "title": "Cards leave"},
        "data_security": {"policy": {"name": "Cards"}, "detection_system_id": 1},
        "actor": {"user": {"uid": ALEX, "name": "alex@contoso.com", "type_id": 1, "full_name": "Alex Smith"}},
    });
    dlp_alert(&with(&base, changes))
}

#[test]
fn an_ocsf_finding_is_read_whole() {
    let start = "f-1 | Cards leave | Cards | 2026-05-04T12:30:00+00:00";
    assert_eq!(ocsf(&json!({})), format!("{start} | High | {ALEX} = alex@contoso.com (Alex Smith)"));
    for (severity, expected) in [
        (0, "-"),
        (1, "Informational"),
        (2, "Low"),
        (3, "Medium"),
        (4, "High"),
        (5, "High"),
        (6, "High"),
        (99, "-"),
    ] {
        assert!(ocsf(&json!({"severity_id": severity})).contains(&format!("| {expected} |")), "{severity}");
    }
    let created = json!({"uid": "f-1", "created_time_dt": "2026-05-03T00:00:00Z"});
    assert!(ocsf(&json!({"finding_info": created, "time": null})).contains("| 2026-05-03T00:00:00+00:00 |"));
}

#[test]
fn an_ocsf_finding_involves_its_actor_or_else_the_owners() {
    let last = |changes: Value| ocsf(&changes).rsplit(" | ").next().unwrap_or_default().to_owned();
    for (user, expected) in [
        (json!({"uid": "S-1-5-21-1"}), "S-1-5-21-1"),
        (json!({"uid": "77", "email_addr": "a@contoso.com"}), "a@contoso.com"),
        (json!({"name": "alex", "domain": "CONTOSO"}), "contoso\\alex"),
        (json!({"name": "app@sharepoint"}), ""),
        (json!({"name": "alex@contoso.com", "type_id": 3}), ""),
        (json!({"name": "alex@contoso.com", "type_id": 4}), ""),
        (json!({"name": "alex"}), "! actor.user names nobody: it needs a uid, name or email_addr"),
        (json!({"name": "alex@contoso.com", "type_id": 7}), "! actor.user.type_id must be 0 to 4, or 99"),
    ] {
        assert_eq!(last(json!({"actor": {"user": user}})), expected, "{user}");
    }
    let owned = |name: &str| json!({"name": "x", "owner": {"name": name}});
    let resources = json!([owned("alex@contoso.com"), {"name": "y"}, owned("sam@contoso.com")]);
    let owners = last(json!({"actor": null, "resources": resources, "file": owned("kim@contoso.com")}));
    assert_eq!(owners, "alex@contoso.com, sam@contoso.com, kim@contoso.com");
    assert_eq!(last(json!({"resources": resources})), format!("{ALEX} = alex@contoso.com (Alex Smith)"));
    assert_eq!(last(json!({"actor": null})), "");
}

#[test]
fn an_ocsf_finding_says_what_is_wrong_with_it() {
    for (changes, expected) in [
        (json!({"class_uid": 2005}), "! class_uid must be 2006, Data Security Finding"),
        (json!({"class_uid": "x"}), "! class_uid must be a whole number"),
        (json!({"finding_info": {}}), "! finding_info.uid is missing"),
        (json!({"time": null}), "! time is missing"),
        (json!({"time": 0}), "! time must be milliseconds of the years 1970 to 2261"),
        (json!({"severity_id": 7}), "! severity_id must be 0 to 6, or 99"),
    ] {
        assert_eq!(ocsf(&changes), expected);
    }
}
