//! Promise 6: who asked for what is written down, once, and can be read and checked.

use crate::off_is_off::questions;
use crate::wire::{seen_bytes, send};
use crate::world::*;
use chrono::TimeDelta;
use riskshare::pb;
use riskshare::pb::AuditOutcome;
use std::fs;
use tonic::Code;

const JOHN: &str = "john@contoso.com";
/// The log of the server itself.
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// Asks, and returns the one line that came of it.
async fn line_of(world: &World, tenant: &str, method: &str, request: Vec<u8>) -> pb::AuditEvent {
    let before = world.written_down(tenant).await.len();
    seen_bytes(world, method, request).await;
    let mut after = world.written_down(tenant).await;
    assert_eq!(after.len(), before + 1, "{method}");
    let line = after.pop().unwrap();
    assert_eq!(line.action, method.split('/').nth(1).unwrap());
    assert_eq!((line.principal.as_str(), line.occurred_at), ("local", Some(timestamp(world.now()))));
    line
}

/// Says whether a call names an alert, and an incident.
fn names(method: &str) -> (bool, bool) {
    let is_incident = method.ends_with("ImpactedAssets") || method.ends_with("ImpactedEntities");
    (
        is_incident || method.contains("Alert") && method.ends_with("Alert") || method.ends_with("Alerts"),
        is_incident,
    )
}

#[tokio::test]
async fn every_question_about_users_leaves_one_line_of_whom_was_read_and_which_alert() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("other@contoso.com", 1).await;
    tenant.leaker(JOHN, 10).await;
    let mut numbers = Vec::new();
    for (method, request) in questions(&tenant.id, JOHN) {
        let line = line_of(&world, &tenant.id, method, request).await;
        assert_eq!(line.outcome(), AuditOutcome::Disclosed, "{method}");
        assert_eq!((line.user_numbers.len(), line.unknown_users), (1, 0), "{method}");
        numbers.extend(line.user_numbers);
        let (alert, incident) = names(method);
        let alerts = if alert { vec!["alert-1"] } else { vec![] };
        assert_eq!(line.alert_ids, alerts, "{method}");
        assert_eq!(line.incident_id, if incident { "incident-1" } else { "" }, "{method}");
    }
    numbers.dedup();
    assert_eq!(numbers.len(), 1, "one person has one number");
    for (method, request) in questions(&tenant.id, "nobody@contoso.com") {
        let line = line_of(&world, &tenant.id, method, request).await;
        assert_eq!((line.outcome(), line.unknown_users), (AuditOutcome::Disclosed, 1), "{method}");
        assert_eq!(line.user_numbers, [0_u32; 0], "{method}");
    }
    assert!(world.verify(&tenant.id, None).await.valid);
}

#[tokio::test]
async fn a_question_to_a_tenant_that_does_not_share_leaves_one_line_and_nobody_is_looked_up() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    tenant.share(false).await;
    for (method, request) in questions(&tenant.id, JOHN) {
        let line = line_of(&world, &tenant.id, method, request).await;
        assert_eq!(line.outcome(), AuditOutcome::SharingOff, "{method}");
        assert_eq!((line.user_numbers, line.unknown_users), (vec![], 0), "{method}");
        assert_eq!(line.alert_ids.len(), usize::from(names(method).0), "{method}");
    }
}

#[tokio::test]
async fn a_tenant_that_nobody_knows_gets_no_log_and_the_server_has_the_line() {
    let world = World::start().await;
    let unknown = uuid::Uuid::new_v4().to_string();
    for (method, request) in questions(&unknown, JOHN) {
        let line = line_of(&world, NIL, method, request).await;
        assert_eq!(line.outcome(), AuditOutcome::SharingOff, "{method}");
        assert_eq!(line.asked_tenant_id, unknown, "{method}");
    }
    assert_eq!(world.written_down(&unknown).await, []);
    assert_eq!(world.verify(&unknown, None).await.head.unwrap().sequence, 0);
}

#[tokio::test]
async fn a_page_of_alerts_is_one_line_with_all_of_them_and_everybody_once() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    tenant.leaker("ann@contoso.com", 1).await;
    let alerts =
        (0..500).map(|n| alert(&format!("alert-{n}"), vec![upn(JOHN), upn("ann@contoso.com"), upn("x@y.z")]));
    let request = pb::BatchEnrichAlertsRequest {
        tenant_id: tenant.id.clone(),
        alerts: alerts.collect(),
        view: 0,
        activity_page_size: 0,
    };
    let before = world.written_down(&tenant.id).await.len();
    world.enrichment().batch_enrich_alerts(request).await.unwrap();
    let after = world.written_down(&tenant.id).await;
    assert_eq!(after.len(), before + 1);
    let line = after.last().unwrap();
    assert_eq!((line.alert_ids.len(), line.more_alerts), (500, 0));
    assert_eq!((line.user_numbers.len(), line.unknown_users), (2, 500));
}

#[tokio::test]
async fn a_refusal_that_depends_on_users_is_written_down_with_them() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for address in ["ann@contoso.com", "bob@contoso.com"] {
        tenant.declare(pb::UserRecord { user: Some(upn(address)), ..Default::default() }).await;
    }
    let both = pb::UserIdentity {
        upn: "ann@contoso.com".to_owned(),
        smtp_addresses: vec!["bob@contoso.com".to_owned()],
        ..Default::default()
    };
    let request = pb::ListUserActivitiesRequest { user: Some(both), ..tenant.timeline("x@y.z") };
    assert_eq!(reason(&tenant.list(request).await.unwrap_err()), "INVALID_FIELD");
    let line = world.written_down(&tenant.id).await.pop().unwrap();
    assert_eq!((line.outcome(), line.user_numbers.len()), (AuditOutcome::Refused, 2));
    let request =
        pb::ListUserActivitiesRequest { page_token: "AAAA".to_owned(), ..tenant.timeline("ann@contoso.com") };
    assert_eq!(reason(&tenant.list(request).await.unwrap_err()), "PAGE_TOKEN_INVALID");
    let line = world.written_down(&tenant.id).await.pop().unwrap();
    assert_eq!((line.outcome(), line.user_numbers.len()), (AuditOutcome::Refused, 1));
}

#[tokio::test]
async fn what_looks_at_nobody_leaves_no_line() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let before = world.written_down(&tenant.id).await.len();
    tenant.leaker(JOHN, 3).await;
    let get = pb::GetSettingsRequest { tenant_id: tenant.id.clone() };
    world.settings().get_settings(get).await.unwrap();
    let invalid = pb::EnrichAlertRequest { alert: None, ..tenant.ask(pb::EnrichmentView::Full, vec![]) };
    assert_eq!(world.enrichment().enrich_alert(invalid).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(world.written_down(&tenant.id).await.len(), before);
}

#[tokio::test]
async fn a_change_of_settings_or_policies_leaves_one_line_of_what_it_is_now() {
    let world = World::start().await;
    let tenant = world.silent_tenant().await;
    let change =
        |field: &str, value: &str| pb::AuditChange { field: field.to_owned(), value: value.to_owned() };
    let told = async || {
        let line = world.written_down(&tenant.id).await.pop().unwrap();
        assert_eq!((line.outcome(), line.principal.as_str()), (AuditOutcome::Changed, "local"));
        (line.sequence, line.action, line.changes)
    };
    let policy = |n| (n, "UpsertPolicies".to_owned(), vec![change("policy_id", "leaks")]);
    let settings = |n, changes| (n, "UpdateSettings".to_owned(), changes);
    let count = async || world.written_down(&tenant.id).await.len();
    assert_eq!((count().await, told().await.2), (1, policy(1).2));
    tenant.share(true).await;
    assert_eq!((count().await, told().await.2), (2, vec![change("data_sharing_enabled", "true")]));
    let shown = pb::IndicatorOverride { indicator: "Print".to_owned(), shared: false };
    tenant
        .set("indicator_overrides", pb::Settings { indicator_overrides: vec![shown], ..Default::default() })
        .await;
    assert_eq!(told().await.2, settings(0, vec![change("indicator_overrides", "Print=false")]).2);
    let stale = pb::UpdateSettingsRequest {
        etag: "0".to_owned(),
        ..tenant.change("data_sharing_enabled", pb::Settings::default())
    };
    assert_eq!(reason(&world.settings().update_settings(stale).await.unwrap_err()), "ETAG_MISMATCH");
    assert_eq!(count().await, 3);
}

#[tokio::test]
async fn pages_and_filters_show_every_line_that_is_wanted_once() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 3).await;
    for _ in 0..5 {
        tenant.enrich(&[JOHN]).await;
        tenant.list(tenant.timeline("nobody@contoso.com")).await.unwrap();
    }
    world.clock.set(world.now() + TimeDelta::hours(30));
    tenant.enrich(&[JOHN]).await;
    let listed = async |request: pb::ListAuditEventsRequest| {
        let mut request = pb::ListAuditEventsRequest { tenant_id: tenant.id.clone(), ..request };
        let mut sequences = Vec::new();
        loop {
            let page = world.audit().list_audit_events(request.clone()).await.unwrap().into_inner();
            sequences.extend(page.events.iter().map(|event| event.sequence));
            if page.next_page_token.is_empty() {
                return sequences;
            }
            request.page_token = page.next_page_token;
        }
    };
    let of = |action: &str| pb::ListAuditEventsRequest { action: action.to_owned(), ..Default::default() };
    assert_eq!(listed(of("EnrichAlert")).await, [3, 5, 7, 9, 11, 13]);
    assert_eq!(
        listed(pb::ListAuditEventsRequest { page_size: 1, ..of("EnrichAlert") }).await,
        [3, 5, 7, 9, 11, 13]
    );
    let later = pb::ListAuditEventsRequest { start_time: Some(timestamp(world.now())), ..of("EnrichAlert") };
    assert_eq!(listed(later).await, [13]);
    let earlier = pb::ListAuditEventsRequest { end_time: Some(timestamp(world.now())), ..of("EnrichAlert") };
    assert_eq!(listed(earlier).await, [3, 5, 7, 9, 11]);
    let john = world.written_down(&tenant.id).await[2].user_numbers[0];
    let of_john = pb::ListAuditEventsRequest { user_number: Some(john), ..Default::default() };
    assert_eq!(listed(of_john).await, [3, 5, 7, 9, 11, 13]);
    let changed = AuditOutcome::Changed.into();
    assert_eq!(listed(pb::ListAuditEventsRequest { outcome: changed, ..Default::default() }).await, [1, 2]);
    let of_alert =
        pb::ListAuditEventsRequest { alert_id: "alert-1".to_owned(), page_size: 4, ..Default::default() };
    assert_eq!(listed(of_alert).await, [3, 5, 7, 9, 11, 13]);
    let all = listed(pb::ListAuditEventsRequest { page_size: 3, ..Default::default() }).await;
    assert!(all.iter().copied().eq(1..=u64::try_from(all.len()).unwrap()), "{all:?}");
}

#[tokio::test]
async fn a_page_token_of_another_question_and_fields_out_of_bounds_are_refused() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let first =
        pb::ListAuditEventsRequest { tenant_id: tenant.id.clone(), page_size: 1, ..Default::default() };
    let page = world.audit().list_audit_events(first.clone()).await.unwrap().into_inner();
    let next = pb::ListAuditEventsRequest { page_token: page.next_page_token, ..first.clone() };
    assert_eq!(
        world.audit().list_audit_events(next.clone()).await.unwrap().into_inner().events[0].sequence,
        2
    );
    let refused = async |request: pb::ListAuditEventsRequest| {
        reason(&world.audit().list_audit_events(request).await.unwrap_err())
    };
    assert_eq!(
        refused(pb::ListAuditEventsRequest { action: "X".to_owned(), ..next.clone() }).await,
        "PAGE_TOKEN_INVALID"
    );
    assert_eq!(
        refused(pb::ListAuditEventsRequest { tenant_id: NIL.to_owned(), ..next }).await,
        "PAGE_TOKEN_INVALID"
    );
    let invalid = pb::ListAuditEventsRequest {
        principal: "x".repeat(513),
        action: "x".repeat(65),
        alert_id: "x".repeat(257),
        outcome: 99,
        page_size: -1,
        ..first
    };
    let refusal = world.audit().list_audit_events(invalid).await.unwrap_err();
    assert_eq!(fields(&refusal), ["page_size", "principal", "action", "alert_id", "outcome"]);
    let expected = Some(pb::AuditChainHead { sequence: 1, hash: "0".repeat(63) });
    let request = pb::VerifyAuditLogRequest { tenant_id: tenant.id.clone(), expected };
    assert_eq!(fields(&world.audit().verify_audit_log(request).await.unwrap_err()), ["expected.hash"]);
}

#[tokio::test]
async fn reading_the_log_is_written_down_in_it() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let before = world.verify(&tenant.id, None).await.head.unwrap().sequence;
    let request = pb::ListAuditEventsRequest { tenant_id: tenant.id.clone(), ..Default::default() };
    let events = world.audit().list_audit_events(request).await.unwrap().into_inner().events;
    let told: Vec<_> = events.iter().map(|event| (event.sequence, event.action.as_str())).collect();
    let expected =
        [(1, "UpsertPolicies"), (2, "UpdateSettings"), (3, "VerifyAuditLog"), (4, "ListAuditEvents")];
    assert_eq!((before, told.as_slice()), (3, expected.as_slice()));
}

#[tokio::test]
async fn the_log_goes_on_after_a_restart_and_a_line_kept_elsewhere_is_found_in_it() {
    let mut world = World::start().await;
    let id = {
        let tenant = world.tenant().await;
        tenant.enrich(&[JOHN]).await;
        tenant.id
    };
    let kept = world.verify(&id, None).await.head;
    world.restart().await;
    Tenant { world: &world, id: id.clone() }.enrich(&[JOHN]).await;
    let verdict = world.verify(&id, kept.clone()).await;
    assert!(verdict.valid && verdict.head.unwrap().sequence > kept.as_ref().unwrap().sequence);
    let other = pb::AuditChainHead { hash: "0".repeat(64), ..kept.clone().unwrap() };
    let verdict = world.verify(&id, Some(other)).await;
    assert_eq!(verdict.faults[0].kind(), pb::AuditFaultKind::Rewritten);
    let later = pb::AuditChainHead { sequence: 1_000, ..kept.unwrap() };
    let verdict = world.verify(&id, Some(later)).await;
    assert_eq!((verdict.valid, verdict.faults[0].kind()), (false, pb::AuditFaultKind::Truncated));
}

#[tokio::test]
async fn a_line_that_was_changed_on_disk_is_named_by_file_and_number() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 3).await;
    for _ in 0..3 {
        tenant.enrich(&[JOHN]).await;
    }
    assert!(world.verify(&tenant.id, None).await.valid);
    let file = world.audit_folder().join("2026-11-24.jsonl");
    let lines = fs::read_to_string(&file).unwrap();
    fs::write(&file, lines.replacen("\"disclosed\"", "\"refused\"", 1)).unwrap();
    let verdict = world.verify(&tenant.id, None).await;
    let fault = &verdict.faults[0];
    assert_eq!((verdict.valid, verdict.faults.len(), verdict.more_faults), (false, 1, 0));
    assert_eq!((fault.kind(), fault.sequence), (pb::AuditFaultKind::Altered, 3));
    assert_eq!(fault.place, "2026-11-24.jsonl line 3");
    // The damaged line is not shown as if it were true, and the log goes on.
    let listed = world.written_down(&tenant.id).await;
    assert!(listed.iter().all(|event| event.sequence != 3 && event.outcome() != AuditOutcome::Refused));
    tenant.enrich(&[JOHN]).await;
    assert_eq!(world.verify(&tenant.id, None).await.faults.len(), 1);
}

#[tokio::test]
async fn lines_older_than_the_retention_go_and_the_chain_holds_on_to_its_anchor() {
    let mut world = World::start_with(|config| config.audit.retention_days = 30).await;
    let id = {
        let tenant = world.tenant().await;
        tenant.enrich(&[JOHN]).await;
        tenant.id
    };
    let kept = world.verify(&id, None).await.head.unwrap();
    for (later, goes) in [(30, false), (31, true)] {
        world.clock.set(at(NOON) + TimeDelta::days(later));
        Tenant { world: &world, id: id.clone() }.enrich(&[JOHN]).await;
        world.restart().await;
        let file = world.audit_folder().join("2026-11-24.jsonl");
        while goes && file.exists() {
            tokio::task::yield_now().await;
        }
        let verdict = world.verify(&id, Some(kept.clone())).await;
        assert!(verdict.valid, "{:?}", verdict.faults);
        let anchor =
            if goes { kept.clone() } else { pb::AuditChainHead { sequence: 0, hash: "0".repeat(64) } };
        assert_eq!((file.exists(), verdict.anchor), (!goes, Some(anchor)));
    }
    assert_eq!(world.written_down(&id).await[0].action, "EnrichAlert");
}

#[tokio::test]
async fn no_name_address_or_file_of_anybody_is_in_the_log() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    for (method, request) in questions(&tenant.id, JOHN) {
        send(&world, method, request).await.unwrap();
    }
    for entry in fs::read_dir(world.audit_folder()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for secret in ["john", "contoso", "docx", "E:"] {
            assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{secret}");
        }
    }
}

async fn users(world: &World, tenant: &str) -> Vec<pb::AuditedUser> {
    let request = pb::ListAuditEventsRequest { tenant_id: tenant.to_owned(), ..Default::default() };
    world.audit().list_audit_events(request).await.unwrap().into_inner().users
}

#[tokio::test]
async fn each_number_comes_with_its_pseudonym_once() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 3).await;
    for _ in 0..3 {
        tenant.enrich(&[JOHN]).await;
    }
    let number = world.written_down(&tenant.id).await.pop().unwrap().user_numbers[0];
    let users = users(&world, &tenant.id).await;
    assert_eq!(users.len(), 1);
    assert_eq!((users[0].number, users[0].current_number), (number, number));
    assert!(users[0].pseudonym.starts_with("Anon"), "{users:?}");
}

#[tokio::test]
async fn no_page_is_larger_than_clients_take_however_long_its_lines_are() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let id = |n: usize| format!("{n:0>256}");
    for _ in 0..40 {
        let request = pb::BatchEnrichAlertsRequest {
            tenant_id: tenant.id.clone(),
            alerts: (0..500).map(|n| alert(&id(n), vec![upn(JOHN)])).collect(),
            ..Default::default()
        };
        world.enrichment().batch_enrich_alerts(request).await.unwrap();
    }
    let mut request = pb::ListAuditEventsRequest {
        tenant_id: tenant.id.clone(),
        alert_id: id(7),
        page_size: 1_000,
        ..Default::default()
    };
    let (mut events, mut pages) = (0, 0);
    loop {
        // The client's own limit is 4 MiB.
        let page = world.audit().list_audit_events(request.clone()).await.unwrap().into_inner();
        (events, pages) = (events + page.events.len(), pages + 1);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(events, 40);
    assert!(pages > 1);
}

#[tokio::test]
async fn an_erasure_is_written_down_without_the_name_and_the_lines_before_it_stay() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    tenant.enrich(&[JOHN]).await;
    let before = world.written_down(&tenant.id).await;
    let john = before.iter().find_map(|line| line.user_numbers.first().copied());
    let request = pb::DeleteUserRequest { tenant_id: tenant.id.clone(), user: Some(upn(JOHN)) };
    assert_eq!(world.ingest().delete_user(request).await.unwrap().into_inner().erased_users, 1);
    let mut after = world.written_down(&tenant.id).await;
    let line = after.pop().unwrap();
    assert_eq!((line.action.as_str(), line.outcome()), ("DeleteUser", AuditOutcome::Changed));
    assert_eq!(line.user_numbers.first().copied(), john, "earlier lines about them can be told");
    assert!(john.is_some() && line.user_numbers.len() == 1);
    assert_eq!(after, before);
    assert!(world.verify(&tenant.id, None).await.valid);
    assert_eq!(users(&world, &tenant.id).await, []);
}
