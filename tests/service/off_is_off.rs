//! Promise 1: once sharing is off, nothing that is derived from a user leaves.

use crate::wire::{Seen, seen};
use crate::world::*;
use bytes::{BufMut, Bytes, BytesMut};
use chrono::TimeDelta;
use prost::Message;
use riskshare::pb;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

const JOHN: &str = "john@contoso.com";

/// One call of every kind that would return user data.
pub fn questions(tenant: &str, user: &str) -> Vec<(&'static str, Vec<u8>)> {
    let tenant_id = tenant.to_owned();
    let alerts = vec![alert("alert-1", vec![upn(user)])];
    let incident_id = "incident-1".to_owned();
    let full = pb::EnrichmentView::Full.into();
    let one = pb::EnrichAlertRequest {
        tenant_id: tenant_id.clone(),
        alert: alerts.first().cloned(),
        view: full,
        activity_page_size: 1,
    };
    let page = pb::BatchEnrichAlertsRequest {
        tenant_id: tenant_id.clone(),
        alerts: alerts.clone(),
        view: full,
        activity_page_size: 1,
    };
    let timeline = pb::ListUserActivitiesRequest {
        tenant_id: tenant_id.clone(),
        user: Some(upn(user)),
        ..Default::default()
    };
    let summary = pb::SummarizeAlertRequest {
        tenant_id: tenant_id.clone(),
        alert: alerts.first().cloned(),
        recent_days: 0,
    };
    let ranks = pb::RankAlertsRequest { tenant_id: tenant_id.clone(), alerts: alerts.clone() };
    let assets = pb::GetImpactedAssetsRequest {
        tenant_id: tenant_id.clone(),
        incident_id: incident_id.clone(),
        alerts: alerts.clone(),
    };
    let entities = pb::ListImpactedEntitiesRequest { tenant_id: tenant_id.clone(), incident_id, alerts };
    let risk = pb::GetUserRiskRequest { tenant_id, user: Some(upn(user)), activity_page_size: 0 };
    vec![
        ("AlertEnrichmentService/EnrichAlert", one.encode_to_vec()),
        ("AlertEnrichmentService/BatchEnrichAlerts", page.encode_to_vec()),
        ("AlertEnrichmentService/ListUserActivities", timeline.encode_to_vec()),
        ("AlertEnrichmentService/SummarizeAlert", summary.encode_to_vec()),
        ("AlertEnrichmentService/RankAlerts", ranks.encode_to_vec()),
        ("IncidentService/GetImpactedAssets", assets.encode_to_vec()),
        ("IncidentService/ListImpactedEntities", entities.encode_to_vec()),
        ("IncidentService/GetUserRisk", risk.encode_to_vec()),
    ]
}

async fn answers(world: &World, tenant: &str, user: &str) -> Vec<Seen> {
    let mut answers = Vec::new();
    for (method, request) in questions(tenant, user) {
        answers.push(crate::wire::seen_bytes(world, method, request).await);
    }
    answers
}

#[tokio::test]
async fn off_unknown_and_never_configured_tenants_answer_alike_for_every_user() {
    let world = World::start().await;
    let off = world.tenant().await;
    off.leaker(JOHN, 10).await;
    assert!(answers(&world, &off.id, JOHN).await.iter().all(Seen::is_ok));
    off.share(false).await;
    let never = world.silent_tenant().await;
    never.leaker(JOHN, 10).await;
    let unknown = uuid::Uuid::new_v4().to_string();
    let expected = answers(&world, &unknown, JOHN).await;
    for tenant in [&off.id, &never.id, &unknown, &uuid::Uuid::nil().to_string()] {
        for user in [JOHN, "nobody@contoso.com", "guest_x.com#EXT#@contoso.com"] {
            assert_eq!(answers(&world, tenant, user).await, expected);
        }
    }
}

#[tokio::test]
async fn the_column_is_closed_even_for_alerts_in_other_systems_json() {
    let world = World::start().await;
    let tenant = world.silent_tenant().await;
    let unreadable = pb::DlpAlert { raw_json: "{".to_owned(), ..Default::default() };
    let request = pb::BatchEnrichAlertsRequest {
        tenant_id: tenant.id.clone(),
        alerts: vec![alert("a", vec![upn(JOHN)]), unreadable, alert("b", vec![])],
        ..Default::default()
    };
    let answer = world.enrichment().batch_enrich_alerts(request).await.unwrap().into_inner();
    let column = |result: &pb::EnrichAlertResult| match result.result.as_ref().unwrap() {
        pb::enrich_alert_result::Result::Alert(alert) => {
            format!("{} {}", alert.alert_id, alert.severity_text)
        }
        pb::enrich_alert_result::Result::Refusal(refusal) => refusal.violations[0].field.clone(),
    };
    let columns: Vec<_> = answer.results.iter().map(column).collect();
    assert_eq!(
        columns,
        ["a User data is not available", "alerts[1].raw_json", "b User data is not available"]
    );
}

/// Readers of every kind read on while sharing goes on and off. A call that began after "off" had returned and
/// ended before the next "on" began must hold nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_that_begins_after_off_holds_anything() {
    // Over PostgreSQL turning off takes a second; tests/replicas.rs turns it off more often.
    let switches = if is_over_postgres() { 30 } else { 200 };
    let world = Arc::new(World::start().await);
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    // Even while sharing may be on, odd once "off" has returned.
    let phase = Arc::new(AtomicU64::new(0));
    let disclosed = Arc::new(AtomicU64::new(0));
    // Calls that lay between "off" and "on".
    let closed = Arc::new(AtomicU64::new(0));
    let progress = Arc::new(Notify::new());
    let mut readers = Vec::new();
    for (method, request) in questions(&tenant.id, JOHN) {
        let (world, phase) = (Arc::clone(&world), Arc::clone(&phase));
        let (disclosed, closed) = (Arc::clone(&disclosed), Arc::clone(&closed));
        let progress = Arc::clone(&progress);
        readers.push(tokio::spawn(async move {
            while phase.load(Ordering::SeqCst) < 2 * switches {
                let before = phase.load(Ordering::SeqCst);
                let answer = crate::wire::seen_bytes(&world, method, request.clone()).await;
                let is_data = answer.holds("High") || answer.holds("john@");
                if before % 2 == 1 && phase.load(Ordering::SeqCst) == before {
                    assert!(!is_data, "{method} after off: {answer:?}");
                    closed.fetch_add(1, Ordering::SeqCst);
                }
                disclosed.fetch_add(u64::from(is_data), Ordering::SeqCst);
                progress.notify_one();
            }
        }));
    }
    for _ in 0..switches {
        let seen = disclosed.load(Ordering::SeqCst);
        while disclosed.load(Ordering::SeqCst) < seen + 3 {
            progress.notified().await;
        }
        // A machine that is too busy lets its database end an answer's session.
        assert!(tenant.share(false).await.drained || is_over_postgres());
        phase.fetch_add(1, Ordering::SeqCst);
        let seen = closed.load(Ordering::SeqCst);
        while closed.load(Ordering::SeqCst) < seen + 3 {
            progress.notified().await;
        }
        phase.fetch_add(1, Ordering::SeqCst);
        tenant.share(true).await;
    }
    tenant.share(false).await;
    for reader in readers {
        reader.await.unwrap();
    }
}

/// A caller that reads a part of an answer and stops, until sharing is off, gets no more than what the transport
/// had been given.
#[tokio::test]
async fn an_answer_that_is_still_being_sent_is_cut_off() {
    const WINDOW: usize = 65_535;
    const PIECE: usize = 16 * 1024;
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", JOHN).await;
    let long = |mut one: pb::ActivityRecord| {
        one.object_name = "x".repeat(4_000);
        one
    };
    let when = world.now() - TimeDelta::hours(1);
    tenant.record(copies(JOHN, 500, when).into_iter().map(long).collect()).await;

    let request = pb::ListUserActivitiesRequest { page_size: 500, ..tenant.timeline(JOHN) };
    let mut body = half_read(&world, "AlertEnrichmentService/ListUserActivities", &request).await;
    let mut read = body.data().await.unwrap().unwrap().len();
    let off = tenant.share(false).await;
    assert!(!off.drained, "a piece waits for the reader, and the call says so");
    let cut = loop {
        let _ = body.flow_control().release_capacity(WINDOW.min(read));
        match body.data().await {
            Some(Ok(more)) => read += more.len(),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(cut, "the stream ended as if the answer were whole");
    assert!(read <= WINDOW + 2 * PIECE, "{read} bytes of 2 MB left");
}

/// Calls a method and does not read what comes back.
async fn half_read(world: &World, method: &str, request: &impl Message) -> h2::RecvStream {
    let socket = tokio::net::TcpStream::connect(world.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let uri = format!("http://{}/riskshare.v1.{method}", world.address());
    let head = http::Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    let mut client = client.ready().await.unwrap();
    let (answer, mut body) = client.send_request(head.body(()).unwrap(), false).unwrap();
    let message = request.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(&message);
    body.send_data(Bytes::from(frame), true).unwrap();
    let answer = answer.await.unwrap();
    answer.into_body()
}

#[tokio::test]
async fn a_page_token_does_not_outlive_a_time_without_sharing() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 3).await;
    let first = pb::ListUserActivitiesRequest { page_size: 1, ..tenant.timeline(JOHN) };
    let page_token = tenant.list(first.clone()).await.unwrap().next_page_token;
    let second = pb::ListUserActivitiesRequest { page_token, ..first };
    assert_eq!(tenant.list(second.clone()).await.unwrap().activities.len(), 1);
    tenant.share(false).await;
    assert_eq!(reason(&tenant.list(second.clone()).await.unwrap_err()), "DATA_SHARING_OFF");
    tenant.share(true).await;
    assert_eq!(reason(&tenant.list(second).await.unwrap_err()), "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn off_outlives_a_restart_and_on_brings_back_the_same_answer() {
    let mut world = World::start().await;
    let id = {
        let tenant = world.tenant().await;
        tenant.leaker(JOHN, 10).await;
        tenant.id
    };
    let expected = answers(&world, &id, JOHN).await;
    let share = |on| pb::UpdateSettingsRequest {
        tenant_id: id.clone(),
        settings: Some(pb::Settings { data_sharing_enabled: on, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["data_sharing_enabled".to_owned()] }),
        etag: String::new(),
    };
    world.settings().update_settings(share(false)).await.unwrap();
    world.restart().await;
    assert!(answers(&world, &id, JOHN).await.iter().all(|answer| !answer.holds("High")));
    world.settings().update_settings(share(true)).await.unwrap();
    world.restart().await;
    // The page tokens are new ones: they belong to the time after the switch.
    let ends = |answers: Vec<Seen>| answers.into_iter().skip(2).collect::<Vec<_>>();
    assert_eq!(ends(answers(&world, &id, JOHN).await), ends(expected));
}

#[tokio::test]
async fn facts_are_taken_in_while_sharing_is_off_and_show_when_it_is_on() {
    let world = World::start().await;
    let tenant = world.silent_tenant().await;
    tenant.leaker(JOHN, 10).await;
    tenant.share(true).await;
    assert_eq!(tenant.column(&[JOHN]).await, "High");
}

#[tokio::test]
async fn refusals_of_a_silent_tenant_tell_nothing_about_their_request() {
    let world = World::start().await;
    let tenant = world.silent_tenant().await;
    tenant.leaker(JOHN, 10).await;
    let mut refusals = Vec::new();
    for user in [JOHN, "a-much-longer-name-of-nobody@an-unknown-domain.example"] {
        let request = pb::ListUserActivitiesRequest { page_size: 7, ..tenant.timeline(user) };
        refusals.push(seen(&world, "AlertEnrichmentService/ListUserActivities", &request).await);
    }
    let bad_token = pb::ListUserActivitiesRequest { page_token: "AAAA".to_owned(), ..tenant.timeline(JOHN) };
    refusals.push(seen(&world, "AlertEnrichmentService/ListUserActivities", &bad_token).await);
    assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]));
}
