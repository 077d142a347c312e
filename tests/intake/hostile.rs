//! Input that was made to hurt.

use crate::outcome::{self, refusal};
use proptest::prelude::*;
use proptest::sample::Index;
use riskshare::intake::{self, IntakeError, RECORD_BYTES_MAX};
use serde_json::{Value, json};

/// A valid record of each format, in which every text that could be personal holds a marker.
fn seeds() -> Vec<Value> {
    let data = json!({"f3u": "MARK1@MARK2.example", "dpn": "MARK3"}).to_string();
    let risk = json!({"UserPrincipalName": "MARK4@MARK5.example"}).to_string();
    let account = json!({"userPrincipalName": "MARK6@MARK7.example", "displayName": "MARK8", "accountName": "MARK9",
        "domainName": "MARK10", "userSid": "S-1-5-21-1", "azureAdUserId": "6f1f3c1e-2b4a-4d5e-8f90-123456789abc"});
    let evidence = |kind: &str| {
        json!({"@odata.type": kind, "userAccount": account, "roles": ["source"],
        "upn": "MARK11@MARK7.example", "p1Sender": {"emailAddress": "MARK12@MARK7.example"}})
    };
    let all_evidence: Vec<_> =
        ["userEvidence", "mailboxEvidence", "processEvidence", "analyzedMessageEvidence"]
            .map(evidence)
            .into();
    let record = |record_type: i64, operation: &str, more: Value| {
        let mut record = json!({"Id": "MARK13", "CreationTime": "2026-05-04T12:30:00", "RecordType": record_type,
            "Operation": operation, "UserId": "MARK14@MARK15.example", "UserType": 0, "Workload": "SharePoint",
            "ObjectId": "MARK16", "OrganizationName": "MARK17.example"});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    vec![
        json!({"id": "MARK18", "title": "MARK19", "createdDateTime": "2026-05-04T12:30:00Z", "severity": "low",
            "serviceSource": "dataLossPrevention", "evidence": all_evidence}),
        json!({"id": "MARK20", "alertPolicyId": "MARK21", "createdDateTime": "2026-05-04T12:30:00Z", "severity": "low",
            "lastUpdateDateTime": "2026-05-04T12:30:00Z", "status": "resolved", "classification": "truePositive",
            "serviceSource": "microsoftInsiderRiskManagement", "evidence": [evidence("userEvidence")]}),
        json!({"class_uid": 2006, "time": 1_777_897_800_000_i64, "severity_id": 2,
            "finding_info": {"uid": "MARK22", "title": "MARK23"}, "actor": {"user": {"name": "MARK24@MARK25.example"}},
            "data_security": {"policy": {"name": "MARK26"}}}),
        record(
            40,
            "AlertTriggered",
            json!({"AlertId": "MARK27", "Category": "DataLossPrevention", "Name": "MARK28", "Data": data}),
        ),
        record(
            40,
            "AlertUpdated",
            json!({"AlertId": "MARK29", "Category": "InsiderRiskManagement", "Name": "MARK30",
            "PolicyId": "MARK31", "Severity": "High", "Status": "Resolved", "Data": risk}),
        ),
        record(
            13,
            "DlpRuleMatch",
            json!({"ExchangeMetaData": {"From": "MARK32@MARK33.example"},
            "PolicyDetails": [{"PolicyName": "MARK34", "Rules": [{"Severity": "Low"}]}]}),
        ),
        record(6, "FileDownloaded", json!({})),
        record(
            14,
            "SharingSet",
            json!({"ItemType": "File", "TargetUserOrGroupType": "Guest", "TargetUserOrGroupName": "MARK35"}),
        ),
        record(
            63,
            "FileUploadedToCloud",
            json!({"TargetDomain": "MARK36", "PolicyMatchInfo": {"PolicyName": "MARK37"}}),
        ),
        record(
            1,
            "Set-Mailbox",
            json!({"Parameters": [{"Name": "ForwardTo", "Value": "MARK38@MARK39.example"}]}),
        ),
        record(
            2,
            "Send",
            json!({"Item": {"Attachments": "MARK40 (1b)"}, "recipientList": [{"Address": "MARK41@MARK42.example"}]}),
        ),
        record(25, "ChatCreated", json!({"Members": [{"UPN": "MARK43@MARK44.example"}]})),
        record(83, "SensitivityLabelUpdated", json!({"SensitivityLabelEventData": {"LabelEventType": 2}})),
    ]
}

/// Collects the places of a tree.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            places(value, &format!("{at}/{key}"), found);
        }),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn replacement() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        any::<f64>().prop_map(|number| json!(number)),
        "MARK[0-9]{3}[@\\\\. a-zA-Z0-9\u{200b}\u{212a}é\u{0}-\u{1f}:;,-]{0,40}".prop_map(Value::from),
        Just(json!("MARK900".repeat(60))),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{"MARK901": "MARK902"}, "MARK903", 7])),
        Just(json!({"MARK904": ["MARK905"], "Name": "MARK906", "f3u": "MARK907"})),
    ]
}

fn check_refusal(error: &IntakeError) {
    let said = format!("{error} {error:?}");
    assert!(!said.contains("MARK"), "{said}");
    refusal(error);
}

fn check_all(text: &str) {
    for error in [
        intake::dlp_alert(text).err(),
        intake::activity(text).err(),
        intake::risk_alert(text).err(),
        intake::records(text.as_bytes()).err(),
    ] {
        error.iter().for_each(check_refusal);
    }
}

#[test]
fn every_seed_is_read_by_some_parser() {
    for seed in seeds() {
        let text = seed.to_string();
        let read = intake::dlp_alert(&text).is_ok()
            || intake::risk_alert(&text).is_ok()
            || outcome::activity(&text).contains(" | ");
        assert!(read, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn a_record_changed_anywhere_never_panics_and_no_refusal_repeats_it(
        seed in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), replacement()), 1..4),
    ) {
        let seeds = seeds();
        let mut record = seeds[seed.index(seeds.len())].clone();
        for (at, value) in changes {
            let mut found = Vec::new();
            places(&record, "", &mut found);
            *record.pointer_mut(&found[at.index(found.len())]).unwrap() = value;
        }
        check_all(&record.to_string());
    }

    #[test]
    fn a_text_cut_or_overwritten_anywhere_never_panics_and_no_refusal_repeats_it(
        seed in any::<Index>(), at in any::<Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let seeds = seeds();
        let mut text = seeds[seed.index(seeds.len())].to_string().into_bytes();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        drop(intake::records(&text));
        if let Ok(text) = std::str::from_utf8(&text) {
            check_all(text);
        }
    }

    #[test]
    fn bytes_of_json_in_any_order_split_without_panic(
        pieces in prop::collection::vec(prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"", "\\", "\n", " ", "\"value\"", "1", "é"]), 0..40),
    ) {
        let file = pieces.concat();
        if let Ok(records) = intake::records(file.as_bytes()) {
            prop_assert!(records.iter().flatten().all(|record| file.contains(record)));
        }
        check_all(&file);
    }
}

#[test]
fn bombs_are_refused() {
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    for bomb in [
        deep("[", "]", 100_000),
        deep("{\"a\":", "}", 100_000),
        format!("{{\"serviceSource\":\"dataLossPrevention\",\"evidence\":{}}}", deep("[", "]", 128)),
        "{\"a\":1e999}".to_owned(),
        "\"".repeat(1_000),
    ] {
        assert_eq!(outcome::dlp_alert(&bomb), "not JSON");
    }
    let inner = json!({"f3u": "x", "y": 1}).to_string().replace('1', &deep("[", "]", 200));
    let alert = json!({"Id": "x", "CreationTime": "2026-05-04T12:30:00", "RecordType": 40, "AlertId": "x", "Name": "n",
        "Operation": "AlertTriggered", "UserId": "x", "Category": "DataLossPrevention", "Data": inner});
    assert_eq!(outcome::dlp_alert(&alert.to_string()), "! Data must be a JSON object in a string");
    let large = json!({"class_uid": "x".repeat(4 * RECORD_BYTES_MAX)}).to_string();
    for parse in [outcome::dlp_alert, outcome::activity, outcome::risk_alert] {
        assert_eq!(parse(&large), "! the record must be at most 1 MiB");
    }
}

#[test]
fn a_refusal_names_a_bounded_number_of_fields() {
    let alert = json!({"id": "x", "createdDateTime": "2026-05-04T12:30:00Z", "serviceSource": "dataLossPrevention",
        "evidence": vec![json!({}); 5_000]});
    let Err(IntakeError::Field(errors)) = intake::dlp_alert(&alert.to_string()) else { panic!() };
    assert_eq!(errors.len(), intake::FIELD_ERRORS_MAX);
}
