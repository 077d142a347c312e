//! Every reason of the contract is one that a caller can meet, with the code that its comment gives.

use crate::tampered::{Call, Services, Tampered, Tampering};
use crate::wire::send;
use crate::world::*;
use prost::Message;
use riskshare::grpc::status::reason_name;
use riskshare::pb;
use riskshare::pb::ErrorReason;
use std::collections::BTreeMap;
use tonic::{Code, Status};

const JOHN: &str = "john@contoso.com";

/// Reasons that no call gives yet: callers are not authenticated. The change that does so must empty this.
const OWED: [ErrorReason; 4] = [
    ErrorReason::Unauthenticated,
    ErrorReason::PermissionMissing,
    ErrorReason::TenantMismatch,
    ErrorReason::IdentityUnavailable,
];

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
    ];
    let met: BTreeMap<String, (Code, Status)> =
        met.into_iter().map(|(code, refusal)| (reason(&refusal), (code, refusal))).collect();
    for one in reasons() {
        match met.get(reason_name(one)) {
            Some((code, refusal)) => assert_eq!(refusal.code(), *code, "{one:?}"),
            None => assert!(OWED.contains(&one), "{one:?} is met by nobody"),
        }
    }
    assert_eq!(met.len() + OWED.len(), reasons().count(), "a reason that is met is not owed");
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
