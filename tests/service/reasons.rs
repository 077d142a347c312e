//! Every reason of the contract is one that a caller can meet, with the code that its comment gives.

use crate::issuer::Issuer;
use crate::raw::{Raw, framed};
use crate::tampered::{Call, Services, Tampered, Tampering};
use crate::wire::{send, send_as};
use crate::world::*;
use prost::Message;
use riskshare::grpc::status::reason_name;
use riskshare::pb;
use riskshare::pb::ErrorReason;
use std::collections::BTreeMap;
use tonic::{Code, Status};

const JOHN: &str = "john@contoso.com";

fn reasons() -> impl Iterator<Item = ErrorReason> {
    (1..100).filter_map(|number| ErrorReason::try_from(number).ok())
}

#[tokio::test]
async fn every_reason_is_met_over_the_wire() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 3).await;
    assert_eq!(tenant.column(&[JOHN]).await, "Medium", "what is allowed is answered");
    let raw = |raw_json: String| pb::EnrichAlertRequest {
        tenant_id: tenant.id.clone(),
        alert: Some(pb::DlpAlert { raw_json, ..Default::default() }),
        ..Default::default()
    };
    let enriched = async |request| world.enrichment().enrich_alert(request).await.unwrap_err();
    let no_tenant = pb::EnrichAlertRequest { tenant_id: "contoso".to_owned(), ..raw("{}".to_owned()) };
    let strange_token =
        pb::ListUserActivitiesRequest { page_token: "AAAA".to_owned(), ..tenant.timeline(JOHN) };
    let too_many = pb::BatchEnrichAlertsRequest {
        tenant_id: tenant.id.clone(),
        alerts: vec![alert("a", vec![]); 501],
        ..Default::default()
    };
    let stale = pb::UpdateSettingsRequest {
        etag: "0".to_owned(),
        ..tenant.change("user_analytics_enabled", pb::Settings::default())
    };
    let met = [
        (Code::FailedPrecondition, sharing_off(&world).await),
        (Code::InvalidArgument, enriched(no_tenant).await),
        (Code::InvalidArgument, enriched(raw("{\"a\":1}".to_owned())).await),
        (Code::InvalidArgument, tenant.list(strange_token).await.unwrap_err()),
        (Code::InvalidArgument, world.enrichment().batch_enrich_alerts(too_many).await.unwrap_err()),
        (Code::Aborted, world.settings().update_settings(stale).await.unwrap_err()),
        (Code::Unavailable, unavailable(Call::Settings).await),
        (Code::Unavailable, unavailable(Call::Record).await),
        (Code::ResourceExhausted, enriched(raw("x".repeat(5 * 1024 * 1024))).await),
        (
            Code::Internal,
            send(&world, "AlertEnrichmentService/EnrichAlert", vec![0xff; 11]).await.unwrap_err(),
        ),
        (Code::DeadlineExceeded, too_late(&world).await),
        (Code::Unimplemented, called_in_another_way(&world).await),
        (Code::ResourceExhausted, too_often().await),
        (Code::NotFound, risk_alert(&tenant, "nothing", 4).await),
        (Code::FailedPrecondition, risk_alert(&tenant, "ra-1", 3).await),
    ];
    let met: BTreeMap<String, (Code, Status)> = met
        .into_iter()
        .chain(strangers().await)
        .map(|(code, refusal)| (reason(&refusal), (code, refusal)))
        .collect();
    for one in reasons() {
        match met.get(reason_name(one)) {
            Some((code, refusal)) => assert_eq!(refusal.code(), *code, "{one:?}"),
            None => panic!("{one:?} is met by nobody"),
        }
    }
    assert_eq!(met.len(), reasons().count(), "no refusal has another reason");
}

/// Returns the refusal of a decision about a risk alert: there is one, which needs review.
async fn risk_alert(tenant: &Tenant<'_>, id: &str, status: i32) -> Status {
    let at = Some(timestamp(at(NOON)));
    let alert = pb::ImportedRiskAlert {
        alert_id: "ra-1".to_owned(),
        policy_id: "leaks".to_owned(),
        user: Some(upn(JOHN)),
        severity: pb::Severity::Low.into(),
        status: pb::RiskAlertStatus::NeedsReview.into(),
        created_at: at,
        updated_at: at,
        exfiltration: true,
    };
    let (tenant_id, alerts) = (tenant.id.clone(), vec![alert]);
    let request = pb::ImportRiskAlertsRequest { tenant_id: tenant_id.clone(), alerts, raw_records: vec![] };
    tenant.world.ingest().import_risk_alerts(request).await.unwrap();
    let decision =
        pb::UpdateRiskAlertStatusRequest { tenant_id, alert_id: id.to_owned(), status, ..Default::default() };
    let answer = send(tenant.world, "RiskAlertService/UpdateRiskAlertStatus", decision.encode_to_vec()).await;
    answer.unwrap_err()
}

async fn sharing_off(world: &World) -> Status {
    let silent = world.silent_tenant().await;
    silent.list(silent.timeline(JOHN)).await.unwrap_err()
}

/// Returns the refusal of a server whose store cannot do one of its calls.
async fn unavailable(call: Call) -> Status {
    let store = Tampered::open();
    let channel = Services::over(&store).serve().await;
    store.tamper(Tampering::Fails(call));
    let tenant_id = uuid::Uuid::nil().to_string();
    let settings = pb::GetSettingsRequest { tenant_id: tenant_id.clone() }.encode_to_vec();
    let verify = pb::VerifyAuditLogRequest { tenant_id, expected: None }.encode_to_vec();
    let (method, request) = if call == Call::Settings {
        ("SettingsService/GetSettings", settings)
    } else {
        ("AuditService/VerifyAuditLog", verify)
    };
    crate::wire::send_over(&channel, method, request).await.unwrap_err()
}

/// By no client of tonic's, which would count the time too, and may be the first to give up.
async fn too_late(world: &World) -> Status {
    let request = pb::GetSettingsRequest { tenant_id: nobody() }.encode_to_vec();
    let raw = Raw::connect(world.address()).await;
    let call = raw.post("/riskshare.v1.SettingsService/GetSettings").with("grpc-timeout", b"1m");
    call.send(framed(&request)).await.unwrap().grpc()
}

async fn called_in_another_way(world: &World) -> Status {
    let raw = Raw::connect(world.address()).await;
    let path = "/riskshare.v1.SettingsService/GetSettings?x=1";
    raw.post(path).send(framed(&[])).await.unwrap().grpc()
}

async fn too_often() -> Status {
    let world = World::start_with(|config| config.limits.tenant_requests_per_second = 1).await;
    let tenant = world.tenant().await;
    loop {
        if let Err(refusal) = tenant.list(tenant.timeline(JOHN)).await {
            break refusal;
        }
    }
}

/// Meets what callers meet whom a server with authentication does not let in.
async fn strangers() -> [(Code, Status); 4] {
    let issuer = Issuer::start().await;
    let world = World::start_with(|config| issuer.configure(config)).await;
    let (ours, theirs) = (uuid::Uuid::new_v4().to_string(), nobody());
    let (admin, reader) =
        (issuer.bearer(&ours, &["insider-risk-admin"]), issuer.bearer(&ours, &["dlp-alert-reader"]));
    let ask = async |world: &World, authorization: &[&str], tenant_id: &str| {
        let request = pb::GetSettingsRequest { tenant_id: tenant_id.to_owned() }.encode_to_vec();
        send_as(&world.channel, authorization, "SettingsService/GetSettings", request).await
    };
    ask(&world, &[&admin], &ours).await.expect("what is allowed is answered");
    issuer.fail();
    let without_keys = World::start_with(|config| issuer.configure(config)).await;
    [
        (Code::Unauthenticated, ask(&world, &[], &ours).await.unwrap_err()),
        (Code::PermissionDenied, ask(&world, &[&reader], &ours).await.unwrap_err()),
        (Code::PermissionDenied, ask(&world, &[&admin], &theirs).await.unwrap_err()),
        (Code::Unavailable, ask(&without_keys, &[&admin], &ours).await.unwrap_err()),
    ]
}

fn nobody() -> String {
    uuid::Uuid::new_v4().to_string()
}
