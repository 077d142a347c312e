//! A store that cannot answer refuses every call, and in doubt nothing about users is told.

use crate::tampered::{Call, Services, Tampered, Tampering};
use crate::wire::seen_over;
use crate::world::*;
use prost::Message;
use prost_types::{FieldMask, FileDescriptorSet};
use riskshare::domain::audit::{AuditOutcome, AuditQuery};
use riskshare::domain::ids::TenantId;
use riskshare::pb;
use riskshare::store::Store;
use std::collections::BTreeSet;
use tonic::Code;

const JOHN: &str = "john@contoso.com";

type Case = (&'static str, Vec<u8>, &'static [Call]);

/// What reading users takes.
const USERS: &[Call] = &[Call::Hold, Call::Read, Call::Record];

/// For every RPC a request that is answered, and the calls of the store that it needs.
fn cases(tenant_id: &str) -> Vec<Case> {
    const FACTS: &[Call] = &[Call::Commit];
    let tenant_id = tenant_id.to_owned();
    let user = Some(upn(JOHN));
    let alerts = vec![alert("alert-1", vec![upn(JOHN)])];
    let view = pb::EnrichmentView::Full.into();
    let one = pb::EnrichAlertRequest {
        tenant_id: tenant_id.clone(),
        alert: alerts.first().cloned(),
        view,
        activity_page_size: 0,
    };
    let page = pb::BatchEnrichAlertsRequest {
        tenant_id: tenant_id.clone(),
        alerts: alerts.clone(),
        view,
        activity_page_size: 0,
    };
    let timeline = pb::ListUserActivitiesRequest {
        tenant_id: tenant_id.clone(),
        user: user.clone(),
        ..Default::default()
    };
    let incident_id = "incident-1".to_owned();
    let assets = pb::GetImpactedAssetsRequest {
        tenant_id: tenant_id.clone(),
        incident_id: incident_id.clone(),
        alerts: alerts.clone(),
    };
    let entities = pb::ListImpactedEntitiesRequest { tenant_id: tenant_id.clone(), incident_id, alerts };
    let risk =
        pb::GetUserRiskRequest { tenant_id: tenant_id.clone(), user: user.clone(), activity_page_size: 0 };
    let activities = pb::IngestActivitiesRequest {
        tenant_id: tenant_id.clone(),
        activities: copies(JOHN, 1, at("2026-11-24T11:00:00Z")),
        raw_records: vec![],
    };
    let stream = pb::StreamActivitiesRequest { sequence: 1, batch: Some(activities.clone()) };
    let users = pb::UpsertUsersRequest {
        tenant_id: tenant_id.clone(),
        users: vec![pb::UserRecord { user: user.clone(), ..Default::default() }],
    };
    let policies = pb::UpsertPoliciesRequest { tenant_id: tenant_id.clone(), policies: vec![leaks()] };
    let membership = pb::MembershipRecord {
        policy_id: "leaks".to_owned(),
        user: user.clone(),
        intervals: vec![pb::MembershipInterval { from: Some(timestamp(at(NOON))), until: None }],
    };
    let memberships =
        pb::SetMembershipsRequest { tenant_id: tenant_id.clone(), memberships: vec![membership] };
    let trigger = pb::TriggerRecord {
        policy_id: "leaks".to_owned(),
        user: user.clone(),
        occurred_at: Some(timestamp(at(NOON))),
        kind: "hr".to_owned(),
    };
    let triggers = pb::RecordTriggersRequest { tenant_id: tenant_id.clone(), triggers: vec![trigger] };
    let risk_alert = pb::ImportedRiskAlert {
        alert_id: "ra-1".to_owned(),
        policy_id: "leaks".to_owned(),
        user,
        severity: pb::Severity::High.into(),
        status: pb::RiskAlertStatus::NeedsReview.into(),
        created_at: Some(timestamp(at(NOON))),
        updated_at: Some(timestamp(at(NOON))),
        exfiltration: true,
    };
    let risk_alerts = pb::ImportRiskAlertsRequest {
        tenant_id: tenant_id.clone(),
        alerts: vec![risk_alert],
        raw_records: vec![],
    };
    let erased = pb::DeleteUserRequest { tenant_id: tenant_id.clone(), user: Some(upn("ann@contoso.com")) };
    let settings = pb::GetSettingsRequest { tenant_id: tenant_id.clone() };
    let change = pb::UpdateSettingsRequest {
        tenant_id,
        settings: Some(pb::Settings { user_analytics_enabled: true, ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["user_analytics_enabled".to_owned()] }),
        etag: String::new(),
    };
    vec![
        ("AlertEnrichmentService/EnrichAlert", one.encode_to_vec(), USERS),
        ("AlertEnrichmentService/BatchEnrichAlerts", page.encode_to_vec(), USERS),
        ("AlertEnrichmentService/ListUserActivities", timeline.encode_to_vec(), USERS),
        ("IncidentService/GetImpactedAssets", assets.encode_to_vec(), USERS),
        ("IncidentService/ListImpactedEntities", entities.encode_to_vec(), USERS),
        ("IncidentService/GetUserRisk", risk.encode_to_vec(), USERS),
        ("IngestService/IngestActivities", activities.encode_to_vec(), FACTS),
        ("IngestService/StreamActivities", stream.encode_to_vec(), FACTS),
        ("IngestService/UpsertUsers", users.encode_to_vec(), FACTS),
        ("IngestService/UpsertPolicies", policies.encode_to_vec(), &[Call::Record, Call::Commit]),
        ("IngestService/SetMemberships", memberships.encode_to_vec(), FACTS),
        ("IngestService/RecordTriggers", triggers.encode_to_vec(), FACTS),
        ("IngestService/ImportRiskAlerts", risk_alerts.encode_to_vec(), FACTS),
        ("IngestService/DeleteUser", erased.encode_to_vec(), &[Call::Erase]),
        ("SettingsService/GetSettings", settings.encode_to_vec(), &[Call::Settings]),
        ("SettingsService/UpdateSettings", change.encode_to_vec(), &[Call::Settings, Call::ChangeSettings]),
    ]
}

fn copilot_cases(tenant_id: &str) -> Vec<Case> {
    let tenant_id = tenant_id.to_owned();
    let alerts = vec![alert("alert-1", vec![upn(JOHN)])];
    let summary = pb::SummarizeAlertRequest {
        tenant_id: tenant_id.clone(),
        alert: alerts.first().cloned(),
        recent_days: 0,
    };
    let ranks = pb::RankAlertsRequest { tenant_id, alerts };
    vec![
        ("AlertEnrichmentService/SummarizeAlert", summary.encode_to_vec(), USERS),
        ("AlertEnrichmentService/RankAlerts", ranks.encode_to_vec(), USERS),
    ]
}

fn risk_alert_cases(tenant_id: &str) -> Vec<Case> {
    let (tenant_id, alert_id) = (tenant_id.to_owned(), "ra-1".to_owned());
    let all = pb::ListRiskAlertsRequest { tenant_id: tenant_id.clone(), ..Default::default() };
    let export = pb::ExportRiskAlertsRequest { tenant_id: tenant_id.clone(), ..Default::default() };
    let of_user = pb::ExportUserRiskAlertsRequest {
        tenant_id: tenant_id.clone(),
        users: vec![upn(JOHN)],
        reason: "case 17".to_owned(),
        ..Default::default()
    };
    let one = pb::GetRiskAlertRequest { tenant_id: tenant_id.clone(), alert_id: alert_id.clone() };
    let decision = pb::UpdateRiskAlertStatusRequest {
        tenant_id,
        alert_id,
        status: pb::RiskAlertStatus::Confirmed.into(),
        ..Default::default()
    };
    vec![
        (
            "RiskAlertService/ListRiskAlerts",
            all.encode_to_vec(),
            &[Call::Hold, Call::RiskAlerts, Call::Record],
        ),
        (
            "RiskAlertService/ExportRiskAlerts",
            export.encode_to_vec(),
            &[Call::Hold, Call::RiskAlerts, Call::Record],
        ),
        (
            "RiskAlertService/ExportUserRiskAlerts",
            of_user.encode_to_vec(),
            &[Call::Hold, Call::Read, Call::RiskAlerts, Call::RiskAlert, Call::Record],
        ),
        ("RiskAlertService/GetRiskAlert", one.encode_to_vec(), &[Call::Hold, Call::RiskAlert, Call::Record]),
        (
            "RiskAlertService/UpdateRiskAlertStatus",
            decision.encode_to_vec(),
            &[Call::Hold, Call::RiskAlert, Call::Decide, Call::Record],
        ),
    ]
}

fn audit_cases(tenant_id: &str) -> Vec<Case> {
    let tenant_id = tenant_id.to_owned();
    let list = pb::ListAuditEventsRequest { tenant_id: tenant_id.clone(), ..Default::default() };
    let verify = pb::VerifyAuditLogRequest { tenant_id: tenant_id.clone(), expected: None };
    let who = pb::ResolveUsersRequest { tenant_id, user_numbers: vec![1], reason: "case 17".to_owned() };
    vec![
        (
            "AuditService/ListAuditEvents",
            list.encode_to_vec(),
            &[Call::Knows, Call::Record, Call::AuditPage, Call::Named],
        ),
        (
            "AuditService/VerifyAuditLog",
            verify.encode_to_vec(),
            &[Call::Knows, Call::Record, Call::VerifyAudit],
        ),
        (
            "PseudonymService/ResolveUsers",
            who.encode_to_vec(),
            &[Call::Hold, Call::Named, Call::Read, Call::Record],
        ),
    ]
}

/// Returns the RPCs of the contract.
fn rpcs() -> BTreeSet<String> {
    let files = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap();
    let own = files.file.iter().filter(|file| file.package() == "riskshare.v1");
    let services = own.flat_map(|file| &file.service);
    let of = |service: &prost_types::ServiceDescriptorProto| {
        let name = service.name().to_owned();
        service.method.iter().map(move |method| format!("{name}/{}", method.name())).collect::<Vec<_>>()
    };
    services.flat_map(of).collect()
}

#[tokio::test]
async fn every_rpc_refuses_while_the_store_cannot_answer_and_tells_nothing() {
    let tenant = TenantId::new(uuid::Uuid::from_u128(1));
    let store = Tampered::open();
    store.declare(tenant, &[JOHN]).await;
    store.share(tenant, true).await;
    let channel = Services::over(&store).serve().await;
    let mut cases = cases(&tenant.to_string());
    cases.extend(copilot_cases(&tenant.to_string()));
    cases.extend(risk_alert_cases(&tenant.to_string()));
    cases.extend(audit_cases(&tenant.to_string()));
    assert_eq!(cases.iter().map(|(rpc, _, _)| (*rpc).to_owned()).collect::<BTreeSet<_>>(), rpcs());
    for (rpc, request, calls) in cases {
        store.tamper(Tampering::Nothing);
        let answer = seen_over(&channel, rpc, request.clone()).await;
        assert!(answer.is_ok(), "{rpc}: {answer:?}");
        for call in calls {
            store.tamper(Tampering::Fails(*call));
            let refusal = seen_over(&channel, rpc, request.clone()).await;
            let is_audit = matches!(call, Call::Record | Call::AuditPage | Call::VerifyAudit);
            let reason = if is_audit { "AUDIT_UNAVAILABLE" } else { "STORE_UNAVAILABLE" };
            let expected = (Code::Unavailable, reason.to_owned());
            assert_eq!((refusal.code(), refusal.reason()), expected, "{rpc}, {call:?}");
            assert!(refusal.is_empty() && !refusal.holds(JOHN), "{rpc}, {call:?}: {refusal:?}");
        }
    }
}

#[tokio::test]
async fn a_reading_that_failed_is_written_down_like_one_that_did_not() {
    let tenant = TenantId::new(uuid::Uuid::from_u128(1));
    let store = Tampered::open();
    store.declare(tenant, &[JOHN]).await;
    store.share(tenant, true).await;
    let channel = Services::over(&store).serve().await;
    let cases = cases(&tenant.to_string()).into_iter().chain(copilot_cases(&tenant.to_string()));
    let readers: Vec<_> = cases.filter(|(_, _, calls)| calls.contains(&Call::Read)).collect();
    assert_eq!(readers.len(), 8);
    for (rpc, request, _) in readers {
        for (tampering, outcome) in [
            (Tampering::Nothing, AuditOutcome::Disclosed),
            (Tampering::Fails(Call::Read), AuditOutcome::Failed),
        ] {
            store.tamper(tampering);
            seen_over(&channel, rpc, request.clone()).await;
            let action = rpc.rsplit('/').next().map(str::to_owned);
            let query = AuditQuery { action, outcome: Some(outcome), ..AuditQuery::default() };
            let page = store.audit_page(tenant, query, None, 10).await.unwrap();
            assert_eq!(page.lines.len(), 1, "{rpc}, {outcome:?}");
        }
    }
}
