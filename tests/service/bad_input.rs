//! Bad input gets a clear refusal that names the field, and loses nothing.

use crate::wire::send;
use crate::world::*;
use chrono::TimeDelta;
use prost::Message;
use riskshare::pb;
use riskshare::pb::enrich_alert_result::Result as Of;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const ENRICH: &str = "AlertEnrichmentService/EnrichAlert";

async fn enrich(world: &World, request: pb::EnrichAlertRequest) -> Status {
    world.enrichment().enrich_alert(request).await.expect_err("a refusal")
}

fn assert_names(refusal: &Status, expected: &[&str]) {
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(fields(refusal), expected);
}

#[tokio::test]
async fn a_tenant_id_must_be_a_uuid() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for id in ["", "contoso", "123e4567-e89b-12d3-a456-42661417400", "123e4567-e89b-12d3-a456-42661417400g"] {
        let request = pb::EnrichAlertRequest {
            tenant_id: id.to_owned(),
            ..tenant.ask(pb::EnrichmentView::Full, vec![])
        };
        assert_names(&enrich(&world, request).await, &["tenant_id"]);
        let request = pb::GetSettingsRequest { tenant_id: id.to_owned() };
        assert_names(&world.settings().get_settings(request).await.unwrap_err(), &["tenant_id"]);
    }
}

#[tokio::test]
async fn an_alert_must_be_set_have_an_id_and_users_with_keys() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let ask = |alert| pb::EnrichAlertRequest { alert, ..tenant.ask(pb::EnrichmentView::Full, vec![]) };
    assert_names(&enrich(&world, ask(None)).await, &["alert"]);
    assert_names(&enrich(&world, ask(Some(pb::DlpAlert::default()))).await, &["alert.alert_id"]);
    let nameless = pb::UserIdentity { display_name: "John".to_owned(), ..Default::default() };
    let bad = pb::UserIdentity { entra_object_id: "john".to_owned(), sid: "john".to_owned(), ..upn("john") };
    let refusal = enrich(&world, ask(Some(alert("a", vec![nameless, bad])))).await;
    let users = ["[0]", "[1].entra_object_id", "[1].sid", "[1].upn"];
    let expected = users.map(|field| format!("alert.involved_users{field}"));
    assert_names(&refusal, &expected.each_ref().map(String::as_str));
}

#[tokio::test]
async fn an_alert_without_users_reads_none() {
    let world = World::start().await;
    let answer = world.tenant().await.enrich(&[]).await;
    assert_eq!((answer.severity_text.as_str(), answer.actors.len()), ("None", 0));
}

#[tokio::test]
async fn an_alert_involves_at_most_1000_users() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let users = |count: usize| (0..count).map(|n| upn(&format!("user{n}@contoso.com"))).collect::<Vec<_>>();
    let answer = tenant.enrich_in(pb::EnrichmentView::Summary, users(1_000)).await;
    assert_eq!(answer.actors.len(), 1_000);
    let refusal = enrich(&world, tenant.ask(pb::EnrichmentView::Summary, users(1_001))).await;
    assert_names(&refusal, &["alert.involved_users"]);
    // As many activities as a page of alerts may ask for, and no more.
    let full = |count, activity_page_size| pb::EnrichAlertRequest {
        activity_page_size,
        ..tenant.ask(pb::EnrichmentView::Full, users(count))
    };
    assert!(world.enrichment().enrich_alert(full(1_000, 50)).await.is_ok());
    let refusal = enrich(&world, full(1_000, 51)).await;
    assert_names(&refusal, &["activity_page_size"]);
    assert_eq!(reason(&refusal), "BATCH_TOO_LARGE");
}

#[tokio::test]
async fn a_page_holds_at_most_500_alerts_and_5000_users_and_refuses_bad_alerts_one_by_one() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 10).await;
    let page =
        |alerts| pb::BatchEnrichAlertsRequest { tenant_id: tenant.id.clone(), alerts, ..Default::default() };
    let too_many_alerts = page(vec![alert("a", vec![]); 501]);
    let too_many_users = page(vec![alert("a", vec![upn("john@contoso.com"); 11]); 500]);
    for (request, field) in [(too_many_alerts, "alerts"), (too_many_users, "alerts.involved_users")] {
        let refusal = world.enrichment().batch_enrich_alerts(request).await.unwrap_err();
        assert_eq!(reason(&refusal), "BATCH_TOO_LARGE");
        assert_eq!(fields(&refusal), [field]);
    }
    let too_much = pb::BatchEnrichAlertsRequest {
        view: pb::EnrichmentView::Full.into(),
        activity_page_size: 200,
        ..page(vec![alert("a", (0..10).map(|n| upn(&format!("user{n}@contoso.com"))).collect()); 26])
    };
    let refusal = world.enrichment().batch_enrich_alerts(too_much).await.unwrap_err();
    assert_eq!(
        (reason(&refusal).as_str(), fields(&refusal)),
        ("BATCH_TOO_LARGE", vec!["activity_page_size".to_owned()])
    );
    let mixed = page(vec![alert("", vec![]), alert("good", vec![upn("john@contoso.com")])]);
    let answer = world.enrichment().batch_enrich_alerts(mixed).await.unwrap().into_inner();
    let Some(Of::Refusal(refusal)) = &answer.results[0].result else { panic!("the first is bad") };
    assert_eq!((refusal.code, refusal.reason()), (3, pb::ErrorReason::InvalidField));
    assert_eq!(refusal.violations[0].field, "alerts[0].alert_id");
    let Some(Of::Alert(good)) = &answer.results[1].result else { panic!("the second is good") };
    assert_eq!(good.severity_text, "High");
}

#[tokio::test]
async fn a_leap_second_is_no_instant() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let mut odd = copies("john@contoso.com", 1, at("2026-11-23T23:59:59Z")).remove(0);
    odd.occurred_at.as_mut().unwrap().nanos = 1_500_000_000;
    let answer = tenant.record(vec![odd]).await;
    assert_eq!(answer.results[0].field, "occurred_at");
    assert_eq!(answer.results[0].outcome(), pb::IngestOutcome::Rejected);
}

#[tokio::test]
async fn unknown_enum_values_are_refused_by_name() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let mut request = tenant.ask(pb::EnrichmentView::Full, vec![]);
    (request.view, request.activity_page_size) = (99, -1);
    request.alert.as_mut().unwrap().severity = -7;
    assert_names(&enrich(&world, request).await, &["activity_page_size", "view", "alert.severity"]);
    let odd = pb::ActivityRecord { sensitivity: 77, ..copies("john@contoso.com", 1, world.now()).remove(0) };
    let answer = tenant.record(vec![odd]).await;
    assert_eq!(answer.results[0].field, "sensitivity");
    assert_eq!(answer.results[0].outcome(), pb::IngestOutcome::Rejected);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused_by_the_name_of_its_field() {
    let world = World::start().await;
    let bad = vec![0x12, 3, 0x0a, 1, 0xff]; // alert { alert_id: "\xff" }
    let refusal = send(&world, ENRICH, bad).await.unwrap_err();
    assert_names(&refusal, &["alert.alert_id"]);
    let refusal = send(&world, ENRICH, vec![0x0a, 2, 0xc0, 0x80]).await.unwrap_err(); // tenant_id, overlong
    assert_names(&refusal, &["tenant_id"]);
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_and_the_server_lives() {
    let world = World::start().await;
    let deep = (0..3_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut outer = vec![0x12];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        outer
    });
    for bytes in [vec![0xff; 11], vec![0x0a, 0x7f], vec![0x00], deep] {
        let refusal = send(&world, ENRICH, bytes).await.unwrap_err();
        assert!([Code::Internal, Code::InvalidArgument].contains(&refusal.code()), "{refusal:?}");
        assert!(["INTERNAL", "INVALID_FIELD"].contains(&reason(&refusal).as_str()));
    }
    assert_eq!(world.tenant().await.column(&[]).await, "None");
}

#[tokio::test]
async fn a_message_over_its_limit_is_refused_before_it_is_read() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let mib = 1024 * 1024;
    let five = pb::DlpAlert { raw_json: "x".repeat(5 * mib), ..Default::default() };
    let request =
        pb::EnrichAlertRequest { alert: Some(five), ..tenant.ask(pb::EnrichmentView::Full, vec![]) };
    let refusal = enrich(&world, request).await;
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    // Ingest takes more at once.
    let request = |count| pb::IngestActivitiesRequest {
        tenant_id: tenant.id.clone(),
        raw_records: vec!["x".repeat(100 * 1024); count],
        ..Default::default()
    };
    let answer = world.ingest().ingest_activities(request(60)).await.unwrap().into_inner();
    assert_eq!(answer.counts.unwrap().rejected, 60);
    let refusal = world.ingest().ingest_activities(request(170)).await.unwrap_err();
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
}

#[tokio::test]
async fn an_alert_in_json_must_be_json_of_a_known_format_and_product() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let bomb = "[".repeat(200_000);
    let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(100_000));
    let other_product = serde_json::json!({
        "@odata.type": "#microsoft.graph.security.alert",
        "id": "da1", "serviceSource": "microsoftDefenderForEndpoint", "detectionSource": "antivirus",
        "title": "Malware", "severity": "high", "createdDateTime": "2026-11-24T08:00:00Z", "evidence": [],
    });
    let cases = [
        ("{", "INVALID_FIELD"),
        (bomb.as_str(), "INVALID_FIELD"),
        (wide.as_str(), "UNKNOWN_FORMAT"),
        (r#"{"a":1}"#, "UNKNOWN_FORMAT"),
        ("[]", "UNKNOWN_FORMAT"),
        (&other_product.to_string(), "INVALID_FIELD"),
    ];
    for (raw, expected) in cases {
        let raw = pb::DlpAlert { raw_json: raw.to_owned(), ..Default::default() };
        let request =
            pb::EnrichAlertRequest { alert: Some(raw), ..tenant.ask(pb::EnrichmentView::Full, vec![]) };
        let refusal = enrich(&world, request).await;
        assert_eq!(reason(&refusal), expected);
        assert!(fields(&refusal)[0].starts_with("alert.raw_json"), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_refusal_never_echoes_what_was_sent() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let secret = "canary-7f3a";
    let user = pb::UserIdentity {
        entra_object_id: secret.to_owned(),
        sid: secret.to_owned(),
        upn: secret.to_owned(),
        account_name: secret.to_owned(),
        ..Default::default()
    };
    let raw =
        format!(r#"{{"RecordType": 13, "Operation": "{secret}", "UserId": "{secret}", "Id": "{secret}"}}"#);
    let raw = pb::DlpAlert { raw_json: raw, ..Default::default() };
    for alert in [alert("a", vec![user]), raw] {
        let request =
            pb::EnrichAlertRequest { alert: Some(alert), ..tenant.ask(pb::EnrichmentView::Full, vec![]) };
        let refusal = crate::wire::seen(&world, ENRICH, &request).await;
        assert!(!refusal.is_ok() && !refusal.holds(secret), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_page_token_opens_for_its_own_question_only() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for user in ["john@contoso.com", "kate@contoso.com"] {
        tenant.leaker(user, 5).await;
    }
    let first = pb::ListUserActivitiesRequest { page_size: 2, ..tenant.timeline("john@contoso.com") };
    let page_token = tenant.list(first.clone()).await.unwrap().next_page_token;
    let next = pb::ListUserActivitiesRequest { page_token: page_token.clone(), ..first };
    let other_tenant = world.tenant().await;
    other_tenant.leaker("john@contoso.com", 5).await;
    let others = [
        pb::ListUserActivitiesRequest { user: Some(upn("kate@contoso.com")), ..next.clone() },
        pb::ListUserActivitiesRequest { user: Some(upn("nobody@contoso.com")), ..next.clone() },
        pb::ListUserActivitiesRequest { order: pb::ActivityOrder::OldestFirst.into(), ..next.clone() },
        pb::ListUserActivitiesRequest { indicators: vec!["Print".to_owned()], ..next.clone() },
        pb::ListUserActivitiesRequest { tenant_id: other_tenant.id.clone(), ..next.clone() },
        pb::ListUserActivitiesRequest { page_token: format!("{page_token}A"), ..next.clone() },
        pb::ListUserActivitiesRequest { page_token: "not a token".to_owned(), ..next.clone() },
    ];
    for other in others {
        let refusal = tenant.list(other).await.unwrap_err();
        assert_eq!(
            (reason(&refusal).as_str(), fields(&refusal)),
            ("PAGE_TOKEN_INVALID", vec!["page_token".to_owned()])
        );
    }
    assert_eq!(tenant.list(next).await.unwrap().activities.len(), 2);
}

#[tokio::test]
async fn a_timeline_query_is_checked_field_by_field() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let window = |start: &str, end: &str| {
        Some(pb::ActivityWindow { start_day: start.to_owned(), end_day: end.to_owned(), days: 0 })
    };
    let query = tenant.timeline("john@contoso.com");
    let cases = [
        (pb::ListUserActivitiesRequest { user: None, ..query.clone() }, vec!["user"]),
        (pb::ListUserActivitiesRequest { page_size: -1, ..query.clone() }, vec!["page_size"]),
        (pb::ListUserActivitiesRequest { order: 9, ..query.clone() }, vec!["order"]),
        (
            pb::ListUserActivitiesRequest { window: window("2026-02-30", "yesterday"), ..query.clone() },
            vec!["window.start_day", "window.end_day"],
        ),
        (
            pb::ListUserActivitiesRequest { window: window("2026-11-02", "2026-11-01"), ..query.clone() },
            vec!["window.start_day"],
        ),
        (
            pb::ListUserActivitiesRequest { indicators: vec!["x".to_owned(); 101], ..query.clone() },
            vec!["indicators"],
        ),
    ];
    for (request, expected) in cases {
        assert_names(&tenant.list(request).await.unwrap_err(), &expected);
    }
    let huge = pb::ListUserActivitiesRequest { page_size: 1_000_000, ..query };
    assert!(tenant.list(huge).await.is_ok(), "a large page_size is read as the largest");
}

#[tokio::test]
async fn activities_of_the_future_are_refused_beyond_5_minutes() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let soon = activity("john@contoso.com", "CopyToUSB", world.now() + TimeDelta::minutes(5));
    let late = activity("john@contoso.com", "CopyToUSB", world.now() + TimeDelta::seconds(301));
    let answer = tenant.record(vec![soon, late]).await;
    let counts = answer.counts.unwrap();
    assert_eq!((counts.accepted, counts.rejected), (1, 1));
    assert_eq!((answer.results[0].index, answer.results[0].field.as_str()), (1, "occurred_at"));
}

#[tokio::test]
async fn activities_of_before_the_horizon_are_acknowledged_counted_and_not_kept() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", "john@contoso.com").await;
    let midnight = at("2026-07-28T00:00:00Z"); // The first of the 120 days that end on 2026-11-24.
    let first = activity("john@contoso.com", "CopyToUSB", midnight);
    let before = activity("john@contoso.com", "CopyToUSB", midnight - TimeDelta::seconds(1));
    let answer = tenant.record(vec![before, first]).await;
    let counts = answer.counts.unwrap();
    assert_eq!((counts.accepted, counts.outside_window), (1, 1));
    assert_eq!(answer.results[0].outcome(), pb::IngestOutcome::OutsideWindow);
}

#[tokio::test]
async fn the_call_limit_refuses_what_is_too_much_but_never_the_switch_and_recovers() {
    let world = World::start_with(|config| config.limits.max_concurrent_requests = 1).await;
    let tenant = world.tenant().await;
    let (batches, stream) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut acks = world.ingest().stream_activities(stream).await.unwrap().into_inner();
    let refusal = enrich(&world, tenant.ask(pb::EnrichmentView::Full, vec![])).await;
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    // Sharing can be turned off all the same, and whoever watches over the server is answered.
    tenant.share(false).await;
    let settings = pb::GetSettingsRequest { tenant_id: tenant.id.clone() };
    let settings = world.settings().get_settings(settings).await.unwrap().into_inner().settings.unwrap();
    assert!(!settings.data_sharing_enabled);
    let health = HealthClient::new(world.channel.clone()).check(HealthCheckRequest::default()).await;
    assert_eq!(health.unwrap().into_inner().status(), ServingStatus::Serving);
    drop(batches);
    assert!(acks.message().await.unwrap().is_none());
    drop(acks);
    let column = loop {
        // The server frees the place when it has seen the stream's end.
        let request = tenant.ask(pb::EnrichmentView::Full, vec![]);
        if let Ok(answer) = world.enrichment().enrich_alert(request).await {
            break answer.into_inner().alert.unwrap().severity_text;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(column, "User data is not available");
}

#[test]
fn requests_of_these_tests_are_what_they_seem() {
    assert_eq!(
        pb::EnrichAlertRequest::decode(&[0x12, 2, 0x0a, 0][..]).unwrap().alert,
        Some(pb::DlpAlert::default())
    );
}
