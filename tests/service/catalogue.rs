//! The bad-input catalogue, rows 1 to 37: what a peer without manners sends, and what it gets. Each row begins with
//! what is allowed. Row 37, a handler that panics, is a test of the entrance itself, which has no such handler.

use crate::raw::{Answer, Raw, framed};
use crate::world::*;
use bytes::Bytes;
use http::Method;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use riskshare::pb;
use tonic::Code;

const ENRICH: &str = "/riskshare.v1.AlertEnrichmentService/EnrichAlert";
const INGEST: &str = "/riskshare.v1.IngestService/IngestActivities";
const STREAM: &str = "/riskshare.v1.IngestService/StreamActivities";

/// A question about one alert of a tenant without users, which is answered.
fn question(tenant: &Tenant<'_>) -> Vec<u8> {
    framed(&tenant.ask(pb::EnrichmentView::Severity, vec![]).encode_to_vec())
}

fn assert_refused(answer: &Answer, code: Code, reason: &str) {
    assert_eq!(answer.refusal(), (code, reason.to_owned()), "{answer:?}");
}

#[tokio::test]
async fn rows_1_to_4_what_is_no_grpc_call_gets_an_http_status() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    let good = raw.post(ENRICH).send(question(&tenant)).await.unwrap();
    assert_eq!((good.status.as_u16(), good.grpc().code()), (200, Code::Ok));
    for method in [Method::GET, Method::PUT, Method::OPTIONS] {
        let answer = raw.post(ENRICH).method(method).send(question(&tenant)).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.headers["allow"] == "POST"), (405, true));
    }
    let untyped = raw.post(ENRICH).without("content-type");
    assert_eq!(untyped.send(question(&tenant)).await.unwrap().status.as_u16(), 415);
    for other in ["application/json", "application/grpc+json", "application/grpc-web"] {
        let call = raw.post(ENRICH).without("content-type").with("content-type", other.as_bytes());
        assert_eq!(call.send("{}").await.unwrap().status.as_u16(), 415, "{other}");
    }
}

#[tokio::test]
async fn row_5_a_call_without_te_trailers_is_answered() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    let answer = raw.post(ENRICH).without("te").send(question(&tenant)).await.unwrap();
    assert_eq!(answer.grpc().code(), Code::Ok);
}

#[tokio::test]
async fn rows_6_and_7_only_the_exact_path_of_a_method_is_called() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    for path in [
        "/nobody.v1.Service/EnrichAlert",
        "/riskshare.v1.AlertEnrichmentService/Nothing",
        "//riskshare.v1.AlertEnrichmentService/EnrichAlert",
        "/riskshare.v1.AlertEnrichmentService/%45nrichAlert",
        "/riskshare.v1.AlertEnrichmentService/EnrichAlert/",
        "/",
    ] {
        let answer = raw.post(path).send(question(&tenant)).await.unwrap();
        assert_eq!((answer.grpc().code(), answer.grpc().message()), (Code::Unimplemented, ""), "{path}");
    }
    let answer = raw.post(&format!("{ENRICH}?x=1")).send(question(&tenant)).await.unwrap();
    assert_refused(&answer, Code::Unimplemented, "UNSUPPORTED_CALL");
}

#[tokio::test]
async fn rows_8_and_9_headers_are_bounded_and_unread_ones_do_no_harm() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let call = async |bytes: usize| {
        let raw = Raw::connect(world.address()).await;
        let mut call = raw.post(ENRICH);
        for _ in 0..bytes / 4_000 {
            call = call.with("x-padding", &b"p".repeat(4_000));
        }
        call.send(question(&tenant)).await
    };
    assert_eq!(call(12_000).await.unwrap().grpc().code(), Code::Ok);
    assert_eq!(call(20_000).await.unwrap().status.as_u16(), 431);
    for bytes in [60_000, 200_000] {
        // Beyond what fits into a frame the rest is not even unpacked: the connection ends.
        assert!(call(bytes).await.is_err(), "{bytes}");
    }
    let raw = Raw::connect(world.address()).await;
    let odd = raw.post(ENRICH).with("x-odd-bin", b"!!!").with("x-odd", b"caf\xe9");
    assert_eq!(odd.send(question(&tenant)).await.unwrap().grpc().code(), Code::Ok);
}

#[tokio::test]
async fn row_10_two_authorizations_are_none() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    let call = raw.post(ENRICH).with("authorization", b"Bearer a").with("authorization", b"Bearer b");
    assert_refused(&call.send(question(&tenant)).await.unwrap(), Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn rows_12_to_14_a_call_ends_when_its_time_is_over_and_no_caller_gets_more_than_the_server_allows() {
    let world = World::start_with(|config| config.limits.query_seconds = 1).await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    for odd in ["-1S", "123456789S", "1", "soon", "99999999H", "5S"] {
        let call = raw.post(ENRICH).with("grpc-timeout", odd.as_bytes());
        assert_eq!(call.send(question(&tenant)).await.unwrap().grpc().code(), Code::Ok, "{odd}");
        // The server waits for the rest of the message as long as it allows.
        let half = Bytes::from(question(&tenant)).slice(..20);
        let call = raw.post(ENRICH).with("grpc-timeout", odd.as_bytes()).send_parts(vec![half], false);
        assert_refused(&call.await.unwrap(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    for short in ["1n", "19m", "0S"] {
        let call = raw.post(ENRICH).with("grpc-timeout", short.as_bytes());
        let answer = call.send(question(&tenant)).await.unwrap();
        assert_refused(&answer, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    let half = Bytes::from(question(&tenant)).slice(..20);
    let call = raw.post(ENRICH).with("grpc-timeout", b"100m").send_parts(vec![half], false);
    assert_refused(&call.await.unwrap(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn row_13_a_change_whose_time_is_over_before_it_began_is_not_made() {
    let world = World::start().await;
    let tenant = world.silent_tenant().await;
    let on = pb::Settings { data_sharing_enabled: true, ..Default::default() };
    let request = framed(&tenant.change("data_sharing_enabled", on).encode_to_vec());
    let raw = Raw::connect(world.address()).await;
    let path = "/riskshare.v1.SettingsService/UpdateSettings";
    let late = raw.post(path).with("grpc-timeout", b"1m").send(request.clone()).await.unwrap();
    assert_refused(&late, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert_eq!(tenant.column(&[]).await, "User data is not available");
    assert_eq!(raw.post(path).send(request).await.unwrap().grpc().code(), Code::Ok);
    assert_eq!(tenant.column(&[]).await, "None");
}

#[tokio::test]
async fn row_15_a_batch_that_is_cut_off_leaves_nothing() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", "john@contoso.com").await;
    let batch = |copies| pb::IngestActivitiesRequest {
        tenant_id: tenant.id.clone(),
        activities: copies,
        raw_records: vec![],
    };
    let when = world.now() - chrono::TimeDelta::hours(1);
    let whole = Bytes::from(framed(&batch(copies("john@contoso.com", 10, when)).encode_to_vec()));
    for cut in [3, 5, 100, whole.len() - 1] {
        let raw = Raw::connect(world.address()).await;
        let call = raw.post(INGEST).send_parts(vec![whole.slice(..cut)], false);
        tokio::select! { // Dropped while it waits, the call resets its stream.
            biased;
            answer = call => panic!("{answer:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(tenant.column(&["john@contoso.com"]).await, "None");
    let raw = Raw::connect(world.address()).await;
    assert_eq!(raw.post(INGEST).send(whole).await.unwrap().grpc().code(), Code::Ok);
    assert_eq!(tenant.column(&["john@contoso.com"]).await, "High");
}

#[tokio::test]
async fn rows_16_to_25_frames_that_hold_no_one_message_are_refused_in_constant_words() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    let good = question(&tenant);
    let with_flag = |flag| [&[flag], &good[1..]].concat();
    let limit = 4 * 1_024 * 1_024_u32;
    let claims = |length: u32| [&[0], &length.to_be_bytes()[..], b"abc"].concat();
    assert_eq!(raw.post(ENRICH).send(good.clone()).await.unwrap().grpc().code(), Code::Ok);
    let cases: [(&str, Vec<u8>, Code, &str); 11] = [
        ("16 empty", vec![], Code::Internal, "INTERNAL"),
        ("17 zero-length message", framed(b""), Code::InvalidArgument, "INVALID_FIELD"),
        ("18 half a prefix", vec![0, 0, 0], Code::Internal, "INTERNAL"),
        ("18 too little", claims(10), Code::Internal, "INTERNAL"),
        ("19 a length of 4 GiB", claims(u32::MAX), Code::ResourceExhausted, "OVERLOADED"),
        ("19 a byte over the limit", claims(limit + 1), Code::ResourceExhausted, "OVERLOADED"),
        ("20 two messages", good.repeat(2), Code::Unimplemented, "UNSUPPORTED_CALL"),
        ("21 rubbish behind", [&good[..], b"\xff\xff\xff"].concat(), Code::Internal, "INTERNAL"),
        ("21 more rubbish", [&good[..], &[0xff; 9]].concat(), Code::Internal, "INTERNAL"),
        ("22 compressed without an encoding", with_flag(1), Code::Internal, "INTERNAL"),
        ("22 a flag that does not exist", with_flag(7), Code::Internal, "INTERNAL"),
    ];
    for (row, body, code, reason) in cases {
        let answer = raw.post(ENRICH).send(body).await.unwrap();
        assert_eq!(answer.refusal(), (code, reason.to_owned()), "{row}");
        if code == Code::Internal {
            assert_eq!(answer.grpc().message(), "the request is not a readable message", "{row}");
        }
    }
    for encoding in ["gzip", "bogus-7f3a"] {
        let call = raw.post(ENRICH).with("grpc-encoding", encoding.as_bytes());
        let answer = call.send(with_flag(1)).await.unwrap();
        assert_refused(&answer, Code::Unimplemented, "UNSUPPORTED_CALL");
        assert_eq!(answer.headers["grpc-accept-encoding"], "identity", "rows 23 to 25");
        assert!(!format!("{answer:?}").contains(encoding), "what was sent is not repeated");
    }
}

#[tokio::test]
async fn row_20_a_second_message_is_refused_in_a_frame_of_its_own_too() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    let good = Bytes::from(question(&tenant));
    let answer =
        raw.post(ENRICH).send_parts(vec![good.clone(), good.slice(..7), good.slice(7..)], true).await;
    assert_refused(&answer.unwrap(), Code::Unimplemented, "UNSUPPORTED_CALL");
}

#[tokio::test]
async fn rows_26_to_29_bytes_that_are_no_message_are_refused_and_unknown_fields_are_not() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    let good = tenant.ask(pb::EnrichmentView::Severity, vec![]).encode_to_vec();
    let behind = |bytes: &[u8]| [&good[..], bytes].concat();
    let groups = |depth: usize| {
        let mut bytes = Vec::new();
        (0..depth).for_each(|_| encode_key(999, WireType::StartGroup, &mut bytes));
        (0..depth).for_each(|_| encode_key(999, WireType::EndGroup, &mut bytes));
        bytes
    };
    let mut unknown = Vec::new();
    encode_key(999, WireType::Varint, &mut unknown);
    encode_varint(1, &mut unknown);
    let read = [("29 an unknown field", behind(&unknown)), ("28 nested 98 deep", behind(&groups(98)))];
    for (row, bytes) in read {
        let answer = raw.post(ENRICH).send(framed(&bytes)).await.unwrap();
        assert_eq!(answer.grpc().code(), Code::Ok, "{row}");
    }
    let unreadable = [
        ("27 a wrong wire type", behind(&[0x08, 1])),
        ("27 field 0", behind(&[0x00, 0])),
        ("27 a varint of 11 bytes", behind(&[0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])),
        ("27 a group without an end", behind(&[0x7b])),
        ("28 nested 120 deep", behind(&groups(120))),
        ("28 nested 3,000 deep", behind(&groups(3_000))),
    ];
    for (row, bytes) in unreadable {
        let answer = raw.post(ENRICH).send(framed(&bytes)).await.unwrap();
        assert_eq!(answer.refusal(), (Code::Internal, "INTERNAL".to_owned()), "{row}");
        assert_eq!(answer.grpc().message(), "the request is not a readable message", "{row}");
    }
    for text in [&b"\xff"[..], b"\xed\xa0\x80", b"\xc0\x80"] {
        let mut bytes = vec![0x0a, u8::try_from(text.len()).unwrap()];
        bytes.extend(text);
        let refusal = raw.post(ENRICH).send(framed(&behind(&bytes))).await.unwrap().grpc();
        assert_eq!((refusal.code(), fields(&refusal)), (Code::InvalidArgument, vec!["tenant_id".to_owned()]));
    }
}

#[tokio::test]
async fn rows_30_to_32_the_last_value_holds_and_enums_are_values_that_exist() {
    let world = World::start().await;
    let sharing = world.tenant().await;
    let silent = world.silent_tenant().await;
    let raw = Raw::connect(world.address()).await;
    let ask = |tenant: &Tenant<'_>| tenant.ask(pb::EnrichmentView::Severity, vec![]).encode_to_vec();
    let both = [ask(&sharing), ask(&silent)].concat();
    let answer: pb::EnrichAlertResponse = raw.post(ENRICH).send(framed(&both)).await.unwrap().message();
    assert_eq!(answer.alert.unwrap().severity_text, "User data is not available", "the second tenant_id");
    let view = |value: u64| {
        let mut bytes = ask(&sharing);
        encode_key(3, WireType::Varint, &mut bytes);
        encode_varint(value, &mut bytes);
        framed(&bytes)
    };
    assert_eq!(raw.post(ENRICH).send(view(3)).await.unwrap().grpc().code(), Code::Ok);
    for value in [999, u64::MAX] {
        let refusal = raw.post(ENRICH).send(view(value)).await.unwrap().grpc();
        assert_eq!((refusal.code(), fields(&refusal)), (Code::InvalidArgument, vec!["view".to_owned()]));
    }
    // Protobuf keeps the low 32 bits of an enum's number.
    assert_eq!(raw.post(ENRICH).send(view((1 << 40) + 3)).await.unwrap().grpc().code(), Code::Ok);
}

#[tokio::test]
async fn row_33_lists_are_counted_before_they_take_memory() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    let tenant_id = pb::GetSettingsRequest { tenant_id: tenant.id.clone() }.encode_to_vec();
    let with = |element: &[u8], count: usize| framed(&[&tenant_id[..], &element.repeat(count)].concat());
    let timeline = "/riskshare.v1.AlertEnrichmentService/ListUserActivities";
    // A few too many are refused by the name of their field, very many without being read.
    let refusal = raw.post(timeline).send(with(&[0x22, 0], 101)).await.unwrap().grpc();
    assert!(fields(&refusal).contains(&"indicators".to_owned()), "{refusal:?}");
    let texts = raw.post(timeline).send(with(&[0x22, 0], 2_000_000)).await.unwrap();
    assert_refused(&texts, Code::ResourceExhausted, "OVERLOADED");
    let activities = raw.post(INGEST).send(with(&[0x12, 0], 10_001)).await.unwrap();
    assert_refused(&activities, Code::InvalidArgument, "BATCH_TOO_LARGE");
    let activities = raw.post(INGEST).send(with(&[0x12, 0], 8_000_000)).await.unwrap();
    assert_refused(&activities, Code::ResourceExhausted, "OVERLOADED");
    let thresholds = pb::PolicyIndicator { daily_thresholds: vec![1; 4_000_000], ..scored("CopyToUSB") };
    let policy = pb::PolicyRecord { indicators: vec![thresholds], ..leaks() };
    let policies = pb::UpsertPoliciesRequest { tenant_id: tenant.id.clone(), policies: vec![policy] };
    let policies =
        raw.post("/riskshare.v1.IngestService/UpsertPolicies").send(framed(&policies.encode_to_vec()));
    assert_refused(&policies.await.unwrap(), Code::ResourceExhausted, "OVERLOADED");
}

#[tokio::test]
async fn row_34_a_user_who_is_named_twice_is_one_actor() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 10).await;
    let alert = tenant.enrich(&["john@contoso.com", "JOHN@contoso.com", "john@contoso.com"]).await;
    assert_eq!((alert.severity_text.as_str(), alert.actors.len()), ("High", 1));
}

/// The contract has no floating-point number, so row 35 has nothing to be sent in.
#[tokio::test]
async fn rows_35_and_36_there_are_no_fractions_and_no_invisible_characters_in_ids() {
    let descriptors = prost_reflect::DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    let ours = descriptors.all_messages().filter(|message| message.package_name() == "riskshare.v1");
    let fraction = ours.flat_map(|m| m.fields().map(|f| f.kind()).collect::<Vec<_>>());
    let is_fraction = |kind| matches!(kind, prost_reflect::Kind::Double | prost_reflect::Kind::Float);
    assert!(!fraction.into_iter().any(is_fraction));
    let world = World::start().await;
    let tenant = world.tenant().await;
    let raw = Raw::connect(world.address()).await;
    let ask = |id: &str| {
        let alert = alert(id, vec![]);
        let request = tenant.ask(pb::EnrichmentView::Severity, vec![]);
        framed(&pb::EnrichAlertRequest { alert: Some(alert), ..request }.encode_to_vec())
    };
    assert_eq!(raw.post(ENRICH).send(ask("alert-7f3a")).await.unwrap().grpc().code(), Code::Ok);
    for hidden in ['\0', '\u{7}', '\u{85}', '\u{202e}', '\u{200b}'] {
        let refusal = raw.post(ENRICH).send(ask(&format!("alert{hidden}7f3a"))).await.unwrap().grpc();
        assert_eq!(fields(&refusal), ["alert.alert_id"], "{hidden:?}");
        assert!(!refusal.message().contains("7f3a"));
        let user = tenant.ask(pb::EnrichmentView::Severity, vec![upn(&format!("a{hidden}7f3a@contoso.com"))]);
        let refusal = raw.post(ENRICH).send(framed(&user.encode_to_vec())).await.unwrap().grpc();
        assert_eq!(fields(&refusal), ["alert.involved_users[0].upn"], "{hidden:?}");
    }
}

#[tokio::test]
async fn row_84_a_stream_ends_when_its_next_message_does_not_come() {
    let world = World::start_with(|config| config.limits.stream_idle_seconds = 1).await;
    let tenant = world.tenant().await;
    let batch = pb::StreamActivitiesRequest {
        sequence: 1,
        batch: Some(pb::IngestActivitiesRequest {
            tenant_id: tenant.id.clone(),
            activities: copies("john@contoso.com", 1, world.now()),
            raw_records: vec![],
        }),
    };
    let message = Bytes::from(framed(&batch.encode_to_vec()));
    let raw = Raw::connect(world.address()).await;
    for parts in [vec![message.clone()], vec![message.clone(), message.slice(..9)]] {
        let answer = raw.post(STREAM).send_parts(parts, false).await.unwrap();
        assert_refused(&answer, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        let first: pb::StreamActivitiesResponse = answer.message();
        assert_eq!(first.sequence, 1, "what came whole is acknowledged");
    }
    let answer = raw.post(STREAM).with("grpc-timeout", b"200m").send_parts(vec![message], false).await;
    assert_refused(&answer.unwrap(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn requests_that_have_not_come_whole_share_a_bounded_room() {
    let world = World::start_with(|config| {
        (config.limits.max_ingest_message_bytes, config.limits.max_buffered_bytes) = (4 << 20, 4 << 20);
    })
    .await;
    let tenant = world.tenant().await;
    let (first, second) = (Raw::connect(world.address()).await, Raw::connect(world.address()).await);
    let mut half = framed(&vec![0; 4 << 20]);
    half.truncate(3 << 20);
    let half = Bytes::from(half);
    let one = first.post(INGEST).send_parts(vec![half.clone()], false);
    let other = second.post(INGEST).send_parts(vec![half], false);
    let refused = tokio::select! {
        answer = one => answer,
        answer = other => answer,
    };
    assert_refused(&refused.unwrap(), Code::ResourceExhausted, "OVERLOADED");
    assert_eq!(tenant.column(&[]).await, "None", "a small question still finds room");
}

#[tokio::test]
async fn a_tenant_that_is_asked_about_too_often_is_refused_and_its_settings_and_other_tenants_are_not() {
    use tonic_types::StatusExt;
    let world = World::start_with(|config| config.limits.tenant_requests_per_second = 5).await;
    let (busy, other) = (world.silent_tenant().await, world.silent_tenant().await);
    let ask = |tenant: &Tenant<'_>| tenant.ask(pb::EnrichmentView::Severity, vec![]);
    let refusal = loop {
        // As fast as it goes: no more than 5 pass in a second.
        if let Err(refusal) = world.enrichment().enrich_alert(ask(&busy)).await {
            break refusal;
        }
    };
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert!(refusal.get_details_retry_info().unwrap().retry_delay.is_some());
    for _ in 0..20 {
        busy.share(true).await;
    }
    assert!(world.enrichment().enrich_alert(ask(&other)).await.is_ok());
}
