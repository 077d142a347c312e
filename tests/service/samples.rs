//! Other systems' real records over the wire: each is taken or refused as `tests/intake` says of the parsers.

use crate::world::*;
use riskshare::intake;
use riskshare::pb;
use std::fs;
use tonic::Code;

/// Returns every record of every sample with a name to tell it by.
fn records() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir("tests/samples").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let bytes = fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy();
            let records = intake::records(&bytes).unwrap().into_iter().enumerate();
            all.extend(records.map(|(n, record)| (format!("{name}[{n}]"), record.unwrap().to_owned())));
        }
    }
    assert!(all.len() >= 30, "{} records", all.len());
    all
}

#[tokio::test]
async fn every_sample_is_enriched_as_an_alert_or_refused_with_a_field() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for (name, raw_json) in records() {
        let alert = Some(pb::DlpAlert { raw_json: raw_json.clone(), ..Default::default() });
        let request = pb::EnrichAlertRequest { alert, ..tenant.ask(pb::EnrichmentView::Full, vec![]) };
        match (intake::dlp_alert(&raw_json), world.enrichment().enrich_alert(request).await) {
            (Ok(read), Ok(answer)) => {
                assert_eq!(answer.into_inner().alert.unwrap().alert_id, *read.id, "{name}");
            }
            (Err(_), Err(refusal)) => {
                assert_eq!(refusal.code(), Code::InvalidArgument, "{name}");
                assert!(fields(&refusal)[0].starts_with("alert.raw_json"), "{name}: {refusal:?}");
            }
            (read, answer) => panic!("{name}: {read:?} but {answer:?}"),
        }
    }
}

#[tokio::test]
async fn every_sample_is_ingested_ignored_or_rejected_with_a_field() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let records = records();
    let request = pb::IngestActivitiesRequest {
        tenant_id: tenant.id.clone(),
        activities: vec![],
        raw_records: records.iter().map(|(_, raw)| raw.clone()).collect(),
    };
    let answer = world.ingest().ingest_activities(request).await.unwrap().into_inner();
    for (index, (name, raw)) in (0..).zip(&records) {
        let result = answer.results.iter().find(|result| result.index == index);
        let outcome = result.map_or(pb::IngestOutcome::Accepted, pb::IngestResult::outcome);
        match intake::activity(raw) {
            // The samples are years old.
            Ok(intake::AuditRecord::Activity { .. }) => {
                assert_eq!(outcome, pb::IngestOutcome::OutsideWindow, "{name}");
            }
            Ok(intake::AuditRecord::Ignored) => assert_eq!(outcome, pb::IngestOutcome::Ignored, "{name}"),
            Err(_) => {
                assert_eq!(outcome, pb::IngestOutcome::Rejected, "{name}");
                assert!(result.unwrap().field.starts_with("raw_record"), "{name}");
            }
        }
    }
    let counts = answer.counts.unwrap();
    assert!(counts.outside_window >= 8 && counts.ignored >= 5 && counts.rejected >= 10, "{counts:?}");
}

#[tokio::test]
async fn every_sample_is_imported_as_a_risk_alert_or_rejected_with_a_field() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let mut records = records();
    let insider = r##"{"id": "ir-1", "alertPolicyId": "leaks", "severity": "high", "status": "new",
        "category": "Exfiltration", "serviceSource": "microsoftInsiderRiskManagement",
        "createdDateTime": "2026-11-24T10:00:00Z", "lastUpdateDateTime": "2026-11-24T11:00:00Z",
        "evidence": [{"@odata.type": "#microsoft.graph.security.userEvidence",
            "userAccount": {"userPrincipalName": "john@contoso.com"}}]}"##;
    records.push(("an alert of insider risk management".to_owned(), insider.to_owned()));
    let request = pb::ImportRiskAlertsRequest {
        tenant_id: tenant.id.clone(),
        alerts: vec![],
        raw_records: records.iter().map(|(_, raw)| raw.clone()).collect(),
    };
    let answer = world.ingest().import_risk_alerts(request).await.unwrap().into_inner();
    for (index, (name, raw)) in (0..).zip(&records) {
        let result = answer.results.iter().find(|result| result.index == index);
        match (intake::risk_alert(raw), result) {
            (Ok(_), None) => {}
            (Err(_), Some(result)) => {
                assert_eq!(result.outcome(), pb::IngestOutcome::Rejected, "{name}");
                assert!(result.field.starts_with("raw_record"), "{name}: {result:?}");
            }
            (read, result) => panic!("{name}: {read:?} but {result:?}"),
        }
    }
    assert!(answer.counts.unwrap().accepted >= 1);
    assert_eq!(tenant.column(&["john@contoso.com"]).await, "High");
}
