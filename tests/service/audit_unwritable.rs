//! Promise 6 the other way round: what cannot be written down is neither answered nor done.

use crate::off_is_off::questions;
use crate::wire::seen_bytes;
use crate::world::*;
use chrono::TimeDelta;
use prost::Message;
use riskshare::pb;
use std::fs;
use std::path::PathBuf;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

const JOHN: &str = "john@contoso.com";

/// Puts something in the way of tomorrow's file, and lets it be tomorrow.
fn block(world: &World) -> PathBuf {
    let way = world.audit_folder().join("2026-11-25.jsonl");
    fs::create_dir(&way).unwrap();
    world.clock.set(world.now() + TimeDelta::days(1));
    way
}

async fn is_refused(world: &World, method: &str, request: Vec<u8>) {
    let refusal = crate::wire::send(world, method, request.clone()).await.unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::Unavailable, "AUDIT_UNAVAILABLE"),
        "{method}"
    );
    let seen = seen_bytes(world, method, request).await;
    for word in ["john", "docx", "High", "not available", "alert-1"] {
        assert!(!seen.holds(word), "{method} holds {word}");
    }
}

#[tokio::test]
async fn no_question_about_users_is_answered_while_nothing_can_be_written_down() {
    let world = World::start().await;
    let (tenant, off) = (world.tenant().await, world.silent_tenant().await);
    tenant.leaker(JOHN, 10).await;
    let unknown = uuid::Uuid::new_v4().to_string();
    for (method, request) in questions(&tenant.id, JOHN) {
        assert!(seen_bytes(&world, method, request).await.is_ok());
    }
    let way = block(&world);
    for id in [&tenant.id, &off.id, &unknown] {
        for (method, request) in questions(id, JOHN) {
            is_refused(&world, method, request).await;
        }
        let list = pb::ListAuditEventsRequest { tenant_id: id.clone(), ..Default::default() };
        is_refused(&world, "AuditService/ListAuditEvents", list.encode_to_vec()).await;
        let verify = pb::VerifyAuditLogRequest { tenant_id: id.clone(), expected: None };
        is_refused(&world, "AuditService/VerifyAuditLog", verify.encode_to_vec()).await;
    }
    // Facts still come in: nobody learns anything by that.
    let answer = tenant.record(copies(JOHN, 1, world.now())).await;
    assert_eq!(answer.results, []);
    fs::remove_dir(way).unwrap();
    assert_eq!(tenant.column(&[JOHN]).await, "High");
    assert!(world.verify(&tenant.id, None).await.valid);
}

#[tokio::test]
async fn nothing_is_changed_that_cannot_be_written_down_but_off_is_off() {
    let world = World::start().await;
    let (tenant, other) = (world.tenant().await, world.silent_tenant().await);
    tenant.leaker(JOHN, 10).await;
    let way = block(&world);
    let on = pb::Settings { data_sharing_enabled: true, ..Default::default() };
    let on = other.change("data_sharing_enabled", on).encode_to_vec();
    is_refused(&world, "SettingsService/UpdateSettings", on).await;
    let off = tenant.change("data_sharing_enabled", pb::Settings::default()).encode_to_vec();
    is_refused(&world, "SettingsService/UpdateSettings", off).await;
    let policies = pb::UpsertPoliciesRequest {
        tenant_id: tenant.id.clone(),
        policies: vec![pb::PolicyRecord { policy_id: "second".to_owned(), ..leaks() }],
    };
    is_refused(&world, "IngestService/UpsertPolicies", policies.encode_to_vec()).await;
    let erase = pb::DeleteUserRequest { tenant_id: tenant.id.clone(), user: Some(upn(JOHN)) };
    is_refused(&world, "IngestService/DeleteUser", erase.encode_to_vec()).await;
    fs::remove_dir(way).unwrap();
    for tenant in [&tenant, &other] {
        assert_eq!(tenant.column(&[JOHN]).await, "User data is not available");
    }
    tenant.share(true).await;
    assert_eq!(tenant.column(&[JOHN]).await, "High");
    let lines = world.written_down(&tenant.id).await;
    assert!(lines.iter().flat_map(|line| &line.changes).all(|change| change.value != "second"));
}

async fn watch(world: &World, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(world.channel.clone()).watch(request).await.unwrap().into_inner()
}

async fn next(watched: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    watched.message().await.unwrap().unwrap().status()
}

#[tokio::test]
async fn health_says_which_services_cannot_answer_until_they_can() {
    let world = World::start_with(|config| "127.0.0.1:0".clone_into(&mut config.health.listen)).await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    let own = Channel::from_shared(format!("http://{}", world.health())).unwrap().connect().await.unwrap();
    let mut enrichment = watch(&world, "riskshare.v1.AlertEnrichmentService").await;
    let mut whole = watch(&world, "").await;
    let mut ingest = watch(&world, "riskshare.v1.IngestService").await;
    for watched in [&mut enrichment, &mut whole, &mut ingest] {
        assert_eq!(next(watched).await, ServingStatus::Serving);
    }
    let way = block(&world);
    let (method, request) = questions(&tenant.id, JOHN).remove(0);
    is_refused(&world, method, request).await;
    assert_eq!(next(&mut enrichment).await, ServingStatus::NotServing);
    assert_eq!(next(&mut whole).await, ServingStatus::NotServing);
    let now = async |channel: &Channel, service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner().status()
    };
    let ingest = now(&world.channel, "riskshare.v1.IngestService").await;
    assert_eq!(ingest, ServingStatus::Serving, "facts still come in");
    assert_eq!(now(&own, "").await, ServingStatus::NotServing);
    for channel in [&own, &world.channel] {
        assert_eq!(now(channel, "live").await, ServingStatus::Serving, "a restart would mend no disk");
    }
    fs::remove_dir(way).unwrap();
    assert_eq!(tenant.column(&[JOHN]).await, "High");
    assert_eq!(next(&mut enrichment).await, ServingStatus::Serving);
    assert_eq!(next(&mut whole).await, ServingStatus::Serving);
}
