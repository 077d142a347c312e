//! How facts come in.

use crate::world::*;
use chrono::TimeDelta;
use riskshare::pb;
use riskshare::pb::IngestOutcome::{Duplicate, Ignored, Rejected};
use riskshare::pb::RiskAlertStatus::{Dismissed, NeedsReview};
use riskshare::pb::Severity::{High, Medium};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

const JOHN: &str = "john@contoso.com";

#[tokio::test]
async fn what_is_wrong_with_one_item_does_not_cost_the_others() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", JOHN).await;
    let good = || copies(JOHN, 1, world.now() - TimeDelta::hours(1)).remove(0);
    let service = pb::UserIdentity { account_name: "NT AUTHORITY\\SYSTEM".to_owned(), ..Default::default() };
    let first = good();
    let items = vec![
        first.clone(),
        pb::ActivityRecord { activity_id: String::new(), ..good() },
        pb::ActivityRecord { user: None, ..good() },
        pb::ActivityRecord { occurred_at: None, ..good() },
        pb::ActivityRecord { indicator: "CumulativeExfiltrationDetector".to_owned(), ..good() },
        pb::ActivityRecord { object_name: "x".repeat(4_097), ..good() },
        pb::ActivityRecord { user: Some(service), ..good() },
        first,
        good(),
    ];
    let answer = tenant.record(items).await;
    let became: Vec<_> =
        answer.results.iter().map(|one| (one.index, one.outcome(), one.field.as_str())).collect();
    let expected = [
        (1, Rejected, "activity_id"),
        (2, Rejected, "user"),
        (3, Rejected, "occurred_at"),
        (4, Rejected, "indicator"),
        (5, Rejected, "object_name"),
        (6, Ignored, ""),
        (7, Duplicate, ""),
    ];
    assert_eq!(became, expected);
    let counts = answer.counts.unwrap();
    assert_eq!((counts.accepted, counts.duplicate, counts.ignored, counts.rejected), (2, 1, 1, 5));
    assert_eq!(tenant.enrich(&[JOHN]).await.actors[0].summary.as_ref().unwrap().total, 2);
}

#[tokio::test]
async fn a_call_takes_10000_activities_and_not_one_more() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", JOHN).await;
    let mut items = copies(JOHN, 10_001, world.now() - TimeDelta::hours(1));
    let request = |activities| pb::IngestActivitiesRequest {
        tenant_id: tenant.id.clone(),
        activities,
        raw_records: vec![],
    };
    let refusal = world.ingest().ingest_activities(request(items.clone())).await.unwrap_err();
    assert_eq!(
        (reason(&refusal).as_str(), fields(&refusal)),
        ("BATCH_TOO_LARGE", vec!["activities".to_owned()])
    );
    assert_eq!(tenant.column(&[JOHN]).await, "None", "nothing of a refused call is applied");
    items.pop();
    assert_eq!(tenant.record(items).await.counts.unwrap().accepted, 10_000);
    let none = world.ingest().ingest_activities(request(vec![])).await.unwrap_err();
    assert_eq!(fields(&none), ["activities"]);
}

#[tokio::test]
async fn a_stream_acknowledges_batch_by_batch_and_ends_at_the_first_refused_one() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", JOHN).await;
    let batch = |sequence: u64, tenant_id: &str| pb::StreamActivitiesRequest {
        sequence,
        batch: Some(pb::IngestActivitiesRequest {
            tenant_id: tenant_id.to_owned(),
            activities: copies(JOHN, 2, world.now() - TimeDelta::hours(1)),
            raw_records: vec![],
        }),
    };
    let (batches, stream) = mpsc::channel(8);
    let mut acks = world.ingest().stream_activities(ReceiverStream::new(stream)).await.unwrap().into_inner();
    for sequence in [7, 9] {
        batches.send(batch(sequence, &tenant.id)).await.unwrap();
        let ack = acks.message().await.unwrap().unwrap();
        assert_eq!((ack.sequence, ack.batch.unwrap().counts.unwrap().accepted), (sequence, 2));
    }
    assert_eq!(tenant.enrich(&[JOHN]).await.actors[0].summary.as_ref().unwrap().total, 4);
    batches.send(batch(10, "not a uuid")).await.unwrap();
    let refusal = acks.message().await.unwrap_err();
    assert_eq!((refusal.code(), fields(&refusal)), (Code::InvalidArgument, vec!["tenant_id".to_owned()]));
    assert_eq!(tenant.enrich(&[JOHN]).await.actors[0].summary.as_ref().unwrap().total, 4);
}

#[tokio::test]
async fn a_stream_that_its_caller_ends_ends_well() {
    let world = World::start().await;
    let (batches, stream) = mpsc::channel::<pb::StreamActivitiesRequest>(1);
    let mut acks = world.ingest().stream_activities(ReceiverStream::new(stream)).await.unwrap().into_inner();
    drop(batches);
    assert!(acks.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_policy_is_checked_and_has_defaults() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let twice = pb::PolicyRecord { indicators: vec![scored("Print"), scored("Print")], ..leaks() };
    let falling = pb::PolicyIndicator { daily_thresholds: vec![3, 2, 1], ..scored("Print") };
    let policies = vec![
        pb::PolicyRecord { policy_id: String::new(), ..leaks() },
        twice,
        pb::PolicyRecord { indicators: vec![falling], ..leaks() },
        pb::PolicyRecord { past_days: Some(91), ..leaks() },
        pb::PolicyRecord { activation_days: Some(0), ..leaks() },
        pb::PolicyRecord { alert_threshold: Some(101), ..leaks() },
        pb::PolicyRecord { trigger_kind: 5, ..leaks() },
        pb::PolicyRecord { policy_id: "fine".to_owned(), ..leaks() },
    ];
    let request = pb::UpsertPoliciesRequest { tenant_id: tenant.id.clone(), policies };
    let answer = world.ingest().upsert_policies(request).await.unwrap().into_inner();
    let at_fault: Vec<_> = answer.results.iter().map(|one| one.field.as_str()).collect();
    let expected = [
        "policy_id",
        "indicators[1].indicator",
        "indicators[0].daily_thresholds",
        "past_days",
        "activation_days",
        "alert_threshold",
        "trigger_kind",
    ];
    assert_eq!(at_fault, expected);
    assert_eq!(answer.counts.unwrap().accepted, 1);
}

#[tokio::test]
async fn memberships_triggers_and_users_are_checked_item_by_item() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let from = Some(timestamp(world.now()));
    let backwards = pb::MembershipInterval { from, until: Some(timestamp(world.now() - TimeDelta::days(1))) };
    let memberships = vec![
        pb::MembershipRecord { policy_id: "leaks".to_owned(), user: None, intervals: vec![] },
        pb::MembershipRecord {
            policy_id: "leaks".to_owned(),
            user: Some(upn(JOHN)),
            intervals: vec![backwards, pb::MembershipInterval::default()],
        },
    ];
    let request = pb::SetMembershipsRequest { tenant_id: tenant.id.clone(), memberships };
    let answer = world.ingest().set_memberships(request).await.unwrap().into_inner();
    let at_fault: Vec<_> = answer.results.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(at_fault, ["user", "intervals[0].until"]);

    let trigger = pb::TriggerRecord {
        policy_id: "leaks".to_owned(),
        user: Some(upn(JOHN)),
        occurred_at: from,
        kind: "hr".to_owned(),
    };
    let triggers = vec![
        pb::TriggerRecord { kind: String::new(), ..trigger.clone() },
        pb::TriggerRecord {
            occurred_at: Some(timestamp(world.now() + TimeDelta::hours(1))),
            ..trigger.clone()
        },
        trigger.clone(),
        trigger,
    ];
    let request = pb::RecordTriggersRequest { tenant_id: tenant.id.clone(), triggers };
    let answer = world.ingest().record_triggers(request).await.unwrap().into_inner();
    let became: Vec<_> = answer.results.iter().map(|one| (one.index, one.field.as_str())).collect();
    assert_eq!(became, [(0, "kind"), (1, "occurred_at"), (3, "")]);

    let service = pb::UserRecord { user: Some(upn("app@sharepoint")), ..Default::default() };
    let request = pb::UpsertUsersRequest { tenant_id: tenant.id.clone(), users: vec![service] };
    let answer = world.ingest().upsert_users(request).await.unwrap().into_inner();
    assert_eq!(answer.results[0].outcome(), Rejected);
}

#[tokio::test]
async fn ending_a_membership_ends_the_scope() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 1).await;
    assert_eq!(tenant.column(&[JOHN]).await, "Low");
    let membership =
        pb::MembershipRecord { policy_id: "leaks".to_owned(), user: Some(upn(JOHN)), intervals: vec![] };
    let request = pb::SetMembershipsRequest { tenant_id: tenant.id.clone(), memberships: vec![membership] };
    world.ingest().set_memberships(request).await.unwrap();
    assert_eq!(tenant.column(&[JOHN]).await, "None");
}

#[tokio::test]
async fn an_imported_risk_alert_follows_its_latest_update() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let alert = |severity: pb::Severity, status: pb::RiskAlertStatus, hours| pb::ImportedRiskAlert {
        alert_id: "risk-1".to_owned(),
        policy_id: "leaks".to_owned(),
        user: Some(upn(JOHN)),
        severity: severity.into(),
        status: status.into(),
        created_at: Some(timestamp(world.now() - TimeDelta::hours(9))),
        updated_at: Some(timestamp(world.now() - TimeDelta::hours(hours))),
        exfiltration: true,
    };
    let import = async |alert| {
        let request = pb::ImportRiskAlertsRequest {
            tenant_id: tenant.id.clone(),
            alerts: vec![alert],
            raw_records: vec![],
        };
        world.ingest().import_risk_alerts(request).await.unwrap().into_inner()
    };
    import(alert(Medium, NeedsReview, 8)).await;
    assert_eq!(tenant.column(&[JOHN]).await, "Medium");
    import(alert(High, NeedsReview, 6)).await;
    assert_eq!(tenant.column(&[JOHN]).await, "High");
    let older = import(alert(Medium, NeedsReview, 7)).await;
    assert_eq!(older.results[0].outcome(), Duplicate);
    assert_eq!(tenant.column(&[JOHN]).await, "High");
    import(alert(High, Dismissed, 1)).await;
    assert_eq!(tenant.column(&[JOHN]).await, "None");
}

#[tokio::test]
async fn an_alert_that_opened_keeps_the_level_when_the_activity_has_aged() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    assert_eq!(tenant.column(&[JOHN]).await, "High");
    world.clock.set(at("2027-01-10T12:00:00Z")); // 47 days later: the 30 days of activation are over.
    let actor = tenant.enrich(&[JOHN]).await.actors[0].clone();
    assert_eq!((actor.severity_text.as_str(), actor.score), ("High", 67));
}

#[tokio::test]
async fn a_record_that_is_dated_ahead_is_refused_by_the_path_of_its_field() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let minutes = |n| (world.now() + TimeDelta::minutes(n)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (near, far) = (minutes(4), minutes(6));
    let copied = |id: &str, at: &str| {
        json!({"Id": id, "RecordType": 63, "Operation": "FileCopiedToRemovableMedia", "UserId": JOHN,
            "UserType": 0, "CreationTime": at.trim_end_matches('Z')})
    };
    let request = pb::IngestActivitiesRequest {
        tenant_id: tenant.id.clone(),
        activities: vec![activity(JOHN, "CopyToUSB", world.now() + TimeDelta::minutes(6))],
        raw_records: [copied("near", &near), copied("far", &far)].iter().map(Value::to_string).collect(),
    };
    let answer = world.ingest().ingest_activities(request).await.unwrap().into_inner();
    assert_eq!(faults(&answer.results), [(0, "occurred_at"), (2, "raw_record.CreationTime")]);

    let graph = |changes: Value| {
        let mut alert = json!({"id": "risk-1", "alertPolicyId": "leaks", "severity": "low", "status": "resolved",
            "serviceSource": "microsoftInsiderRiskManagement", "createdDateTime": "2026-05-01T00:00:00Z",
            "lastUpdateDateTime": near, "evidence": [{"@odata.type": "#microsoft.graph.security.userEvidence",
                "userAccount": {"userPrincipalName": JOHN}}]});
        alert.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        alert.to_string()
    };
    let raw_records = vec![
        graph(json!({"resolvedDateTime": "2200-01-01T00:00:00Z"})),
        graph(json!({"resolvedDateTime": near, "lastUpdateDateTime": far})),
        graph(json!({"createdDateTime": far})),
        graph(json!({"resolvedDateTime": near})),
    ];
    let request = pb::ImportRiskAlertsRequest { tenant_id: tenant.id.clone(), alerts: vec![], raw_records };
    let answer = world.ingest().import_risk_alerts(request).await.unwrap().into_inner();
    let fields =
        ["resolvedDateTime", "lastUpdateDateTime", "createdDateTime"].map(|f| format!("raw_record.{f}"));
    let expected: Vec<_> = (0..).zip(fields.iter().map(String::as_str)).collect();
    assert_eq!(faults(&answer.results), expected);
    // The alert that was taken is closed by now, so what comes later is scored.
    world.clock.set(world.now() + TimeDelta::days(1));
    tenant.member("leaks", JOHN).await;
    tenant.record(copies(JOHN, 10, world.now())).await;
    assert_eq!(tenant.column(&[JOHN]).await, "High");
}

fn faults(results: &[pb::IngestResult]) -> Vec<(i32, &str)> {
    let rejected = results.iter().inspect(|one| assert_eq!(one.outcome(), Rejected));
    rejected.map(|one| (one.index, one.field.as_str())).collect()
}
