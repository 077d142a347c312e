//! Risk alerts: shown to reviewers by pseudonym, decided on, and gone while sharing is off.

use crate::tampered::{Call, Services, Tampered, Tampering};
use crate::wire::{seen, seen_over};
use crate::world::*;
use chrono::TimeDelta;
use prost::Message;
use riskshare::domain::ids::TenantId;
use riskshare::pb;
use riskshare::pb::risk_alert_service_client::RiskAlertServiceClient;
use riskshare::pb::{AuditOutcome, RiskAlertStatus};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const JOHN: &str = "john@contoso.com";
const SERVICE: &str = "RiskAlertService";

fn client(world: &World) -> RiskAlertServiceClient<Channel> {
    RiskAlertServiceClient::new(world.channel.clone())
}

fn all(tenant: &Tenant<'_>) -> pb::ListRiskAlertsRequest {
    pb::ListRiskAlertsRequest { tenant_id: tenant.id.clone(), ..Default::default() }
}

async fn list(tenant: &Tenant<'_>, request: pb::ListRiskAlertsRequest) -> Vec<pb::RiskAlert> {
    client(tenant.world).list_risk_alerts(request).await.unwrap().into_inner().alerts
}

async fn get(tenant: &Tenant<'_>, alert_id: &str) -> Result<pb::RiskAlert, Status> {
    let request = pb::GetRiskAlertRequest { tenant_id: tenant.id.clone(), alert_id: alert_id.to_owned() };
    Ok(client(tenant.world).get_risk_alert(request).await?.into_inner().alert.unwrap())
}

fn decision(tenant_id: &str, alert_id: &str, status: RiskAlertStatus) -> pb::UpdateRiskAlertStatusRequest {
    pb::UpdateRiskAlertStatusRequest {
        tenant_id: tenant_id.to_owned(),
        alert_id: alert_id.to_owned(),
        status: status.into(),
        comment: "a farewell gift".to_owned(),
        etag: String::new(),
    }
}

async fn decide(
    tenant: &Tenant<'_>,
    request: pb::UpdateRiskAlertStatusRequest,
) -> Result<pb::RiskAlert, Status> {
    let answer = client(tenant.world).update_risk_alert_status(request).await?;
    Ok(answer.into_inner().alert.unwrap())
}

async fn import(tenant: &Tenant<'_>, id: &str, user: &str, severity: pb::Severity, hours_ago: i64) {
    let at = Some(timestamp(tenant.world.now() - TimeDelta::hours(hours_ago)));
    let alert = pb::ImportedRiskAlert {
        alert_id: id.to_owned(),
        policy_id: "leaks".to_owned(),
        user: Some(upn(user)),
        severity: severity.into(),
        status: RiskAlertStatus::NeedsReview.into(),
        created_at: at,
        updated_at: at,
        exfiltration: true,
    };
    let request = pb::ImportRiskAlertsRequest {
        tenant_id: tenant.id.clone(),
        alerts: vec![alert],
        raw_records: vec![],
    };
    let answer = tenant.world.ingest().import_risk_alerts(request).await.unwrap().into_inner();
    assert_eq!(answer.results, []);
}

#[tokio::test]
async fn reviewers_see_alerts_by_pseudonym_and_by_name_once_anonymization_is_off() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.declare(pb::UserRecord { user: Some(upn(JOHN)), ..Default::default() }).await;
    tenant.leaker(JOHN, 10).await;
    let anonymous = list(&tenant, all(&tenant)).await.remove(0);
    assert_eq!((anonymous.severity(), anonymous.score), (pb::Severity::High, 67));
    assert_eq!((anonymous.status(), anonymous.imported), (RiskAlertStatus::NeedsReview, false));
    assert_eq!((anonymous.policy_id.as_str(), anonymous.policy_name.as_str()), ("leaks", &*leaks().name));
    assert_eq!((anonymous.created_at, anonymous.closed_at), (Some(timestamp(world.now())), None));
    assert!(anonymous.user_pseudonym.starts_with("Anon"), "{anonymous:?}");
    assert_eq!(anonymous.user, None);
    assert!(!seen(&world, &format!("{SERVICE}/ListRiskAlerts"), &all(&tenant)).await.holds("john"));
    let named = pb::Settings { anonymization_enabled: false, ..Default::default() };
    tenant.set("anonymization_enabled", named).await;
    let alert = list(&tenant, all(&tenant)).await.remove(0);
    assert_eq!(alert, pb::RiskAlert { user: Some(upn(JOHN)), ..anonymous.clone() });
    let alone = get(&tenant, &alert.alert_id).await.unwrap();
    let first = pb::RiskAlertChange {
        changed_at: alert.created_at,
        status: alert.status,
        severity: alert.severity,
        score: 67,
        ..Default::default()
    };
    assert_eq!(alone, pb::RiskAlert { history: vec![first], ..alert });
}

#[tokio::test]
async fn a_decision_changes_the_users_level_at_once_and_its_history_says_who_and_why() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    assert_eq!(tenant.column(&[JOHN]).await, "High");
    let alert = list(&tenant, all(&tenant)).await.remove(0);
    let to = |status, etag: &str| pb::UpdateRiskAlertStatusRequest {
        etag: etag.to_owned(),
        ..decision(&tenant.id, &alert.alert_id, status)
    };
    let confirmed = decide(&tenant, to(RiskAlertStatus::Confirmed, &alert.etag)).await.unwrap();
    assert_eq!((confirmed.status(), confirmed.closed_at), (RiskAlertStatus::Confirmed, None));
    assert_eq!(tenant.column(&[JOHN]).await, "High");
    let stale = decide(&tenant, to(RiskAlertStatus::Dismissed, &alert.etag)).await.unwrap_err();
    assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let dismissed = decide(&tenant, to(RiskAlertStatus::Dismissed, &confirmed.etag)).await.unwrap();
    assert_eq!(dismissed.closed_at, Some(timestamp(world.now())));
    assert_eq!(tenant.column(&[JOHN]).await, "Low", "what was dismissed does not count");
    let told: Vec<_> = dismissed
        .history
        .iter()
        .map(|one| (one.status(), one.changed_by.as_str(), one.comment.as_str()))
        .collect();
    let by_us = |status| (status, "local", "a farewell gift");
    let expected = [
        (RiskAlertStatus::NeedsReview, "", ""),
        by_us(RiskAlertStatus::Confirmed),
        by_us(RiskAlertStatus::Dismissed),
    ];
    assert_eq!(told, expected);
    let again = decide(&tenant, to(RiskAlertStatus::Confirmed, "")).await.unwrap_err();
    assert_eq!((again.code(), reason(&again).as_str()), (Code::FailedPrecondition, "TRANSITION_NOT_ALLOWED"));
    let states = again.get_details_error_info().unwrap().metadata;
    assert_eq!((states["from"].as_str(), states["to"].as_str()), ("DISMISSED", "CONFIRMED"));
    let lines = world.written_down(&tenant.id).await;
    let told: Vec<_> = lines
        .iter()
        .filter(|line| line.action == "UpdateRiskAlertStatus")
        .map(|line| (line.outcome(), line.user_numbers.len(), line.changes.len()))
        .collect();
    let (changed, disclosed) = ((AuditOutcome::Changed, 1, 1), (AuditOutcome::Disclosed, 1, 0));
    let refused = (AuditOutcome::Refused, 1, 0);
    assert_eq!(told, [changed, disclosed, refused, changed, disclosed, refused]);
    assert!(
        lines.iter().all(|line| !format!("{line:?}").contains("farewell")),
        "comments stay with the alert"
    );
}

#[tokio::test]
async fn lists_hold_what_was_asked_for_page_by_page() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for n in 0..7 {
        let severity = if n % 2 == 0 { pb::Severity::Low } else { pb::Severity::High };
        import(&tenant, &format!("ra-{n}"), JOHN, severity, n).await;
    }
    let ids = |alerts: &[pb::RiskAlert]| alerts.iter().map(|one| one.alert_id.clone()).collect::<Vec<_>>();
    let request = pb::ListRiskAlertsRequest {
        severities: vec![pb::Severity::Low.into()],
        page_size: 3,
        ..all(&tenant)
    };
    let first = client(&world).list_risk_alerts(request.clone()).await.unwrap().into_inner();
    assert_eq!(ids(&first.alerts), ["ra-0", "ra-2", "ra-4"]);
    let next = pb::ListRiskAlertsRequest { page_token: first.next_page_token, ..request.clone() };
    let second = client(&world).list_risk_alerts(next.clone()).await.unwrap().into_inner();
    assert_eq!((ids(&second.alerts), second.next_page_token.as_str()), (vec!["ra-6".to_owned()], ""));
    let other = pb::ListRiskAlertsRequest { severities: vec![], ..next.clone() };
    let refusal = client(&world).list_risk_alerts(other).await.unwrap_err();
    assert_eq!(reason(&refusal), "PAGE_TOKEN_INVALID");
    tenant.share(false).await;
    tenant.share(true).await;
    let refusal = client(&world).list_risk_alerts(next).await.unwrap_err();
    assert_eq!(reason(&refusal), "PAGE_TOKEN_INVALID", "no token outlives a time without sharing");
    decide(&tenant, decision(&tenant.id, "ra-2", RiskAlertStatus::Dismissed)).await.unwrap();
    let closed = pb::ListRiskAlertsRequest {
        statuses: vec![RiskAlertStatus::Dismissed.into(), RiskAlertStatus::Resolved.into()],
        ..all(&tenant)
    };
    assert_eq!(ids(&list(&tenant, closed).await), ["ra-2"]);
    let old = pb::ListRiskAlertsRequest {
        end_time: Some(timestamp(world.now() - TimeDelta::hours(4))),
        policy_id: "leaks".to_owned(),
        ..all(&tenant)
    };
    assert_eq!(ids(&list(&tenant, old).await), ["ra-5", "ra-6"]);
}

#[tokio::test]
async fn requests_that_break_a_bound_name_the_field() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let bad = pb::ListRiskAlertsRequest {
        statuses: vec![0],
        severities: vec![pb::Severity::None.into()],
        policy_id: "\u{7}".to_owned(),
        page_size: -1,
        start_time: Some(timestamp(world.now())),
        end_time: Some(timestamp(world.now() - TimeDelta::hours(1))),
        ..all(&tenant)
    };
    let refusal = client(&world).list_risk_alerts(bad).await.unwrap_err();
    assert_eq!(fields(&refusal), ["page_size", "statuses[0]", "severities[0]", "policy_id", "start_time"]);
    let bad = pb::UpdateRiskAlertStatusRequest {
        comment: "x".repeat(1_025),
        ..decision(&tenant.id, "", RiskAlertStatus::Unspecified)
    };
    assert_eq!(fields(&decide(&tenant, bad).await.unwrap_err()), ["alert_id", "status", "comment"]);
    let missing = get(&tenant, "nothing").await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "RISK_ALERT_NOT_FOUND"));
}

#[tokio::test]
async fn while_sharing_is_off_there_are_no_alerts_and_none_is_decided_on() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    let alert = list(&tenant, all(&tenant)).await.remove(0);
    tenant.share(false).await;
    let unknown = uuid::Uuid::new_v4().to_string();
    let asks = |tenant_id: &str, id: &str| {
        let tenant_id = tenant_id.to_owned();
        let listed = pb::ListRiskAlertsRequest { tenant_id: tenant_id.clone(), ..Default::default() };
        let one = pb::GetRiskAlertRequest { tenant_id: tenant_id.clone(), alert_id: id.to_owned() };
        let export = pb::ExportRiskAlertsRequest { tenant_id: tenant_id.clone(), ..Default::default() };
        let of_user = pb::ExportUserRiskAlertsRequest {
            tenant_id: tenant_id.clone(),
            users: vec![upn(JOHN)],
            reason: "case 17".to_owned(),
            ..Default::default()
        };
        [
            (format!("{SERVICE}/ExportUserRiskAlerts"), of_user.encode_to_vec()),
            (format!("{SERVICE}/ListRiskAlerts"), listed.encode_to_vec()),
            (format!("{SERVICE}/ExportRiskAlerts"), export.encode_to_vec()),
            (format!("{SERVICE}/GetRiskAlert"), one.encode_to_vec()),
            (
                format!("{SERVICE}/UpdateRiskAlertStatus"),
                decision(&tenant_id, id, RiskAlertStatus::Dismissed).encode_to_vec(),
            ),
        ]
    };
    for ((method, known), (_, nobody)) in
        asks(&tenant.id, &alert.alert_id).into_iter().zip(asks(&unknown, "nothing"))
    {
        let refusal = crate::wire::seen_bytes(&world, &method, known).await;
        assert_eq!(refusal, crate::wire::seen_bytes(&world, &method, nobody).await, "{method}");
        assert_eq!(refusal.reason(), "DATA_SHARING_OFF", "{method}");
    }
    tenant.share(true).await;
    assert_eq!(get(&tenant, &alert.alert_id).await.unwrap().status(), RiskAlertStatus::NeedsReview);

    let store = Tampered::open();
    let off = TenantId::new(uuid::Uuid::from_u128(1));
    let channel = Services::over(&store).serve().await;
    for call in [Call::RiskAlerts, Call::RiskAlert, Call::Decide] {
        store.tamper(Tampering::Fails(call));
        for (method, request) in asks(&off.to_string(), "nothing") {
            let refusal = seen_over(&channel, &method, request).await;
            assert_eq!(refusal.reason(), "DATA_SHARING_OFF", "{method} looks nothing up");
        }
    }
}

#[tokio::test]
async fn an_alert_of_a_priority_user_is_nobodys_to_whom_the_policy_does_not_name() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for user in ["ceo@contoso.com", JOHN] {
        tenant.declare(pb::UserRecord { user: Some(upn(user)), ..Default::default() }).await;
        tenant.leaker(user, 10).await;
    }
    assert_eq!(list(&tenant, all(&tenant)).await.len(), 2);
    let reviewed_by = |reviewer: &str| pb::PolicyRecord {
        priority_users: vec![upn("ceo@contoso.com")],
        priority_reviewers: vec![reviewer.to_owned()],
        ..leaks()
    };
    let named = pb::Settings { anonymization_enabled: false, ..Default::default() };
    tenant.set("anonymization_enabled", named).await;
    let before = list(&tenant, all(&tenant)).await;
    let of_ceo = before.into_iter().find(|one| one.user == Some(upn("ceo@contoso.com"))).unwrap();
    tenant.policy(reviewed_by("somebody-else")).await;
    let left = list(&tenant, all(&tenant)).await;
    assert_eq!(left.iter().map(|one| one.user.clone()).collect::<Vec<_>>(), [Some(upn(JOHN))]);
    let hidden = get(&tenant, &of_ceo.alert_id).await.unwrap_err();
    let missing = get(&tenant, "nothing").await.unwrap_err();
    assert_eq!(
        (hidden.code(), hidden.message(), hidden.details()),
        (missing.code(), missing.message(), missing.details())
    );
    let refused = decide(&tenant, decision(&tenant.id, &of_ceo.alert_id, RiskAlertStatus::Dismissed)).await;
    assert_eq!(reason(&refused.unwrap_err()), "RISK_ALERT_NOT_FOUND");
    tenant.policy(reviewed_by("local")).await;
    let seen = get(&tenant, &of_ceo.alert_id).await.unwrap();
    assert_eq!(seen.status(), RiskAlertStatus::NeedsReview, "nobody decided");
}

#[tokio::test]
async fn an_export_is_one_file_in_parts_by_pseudonym_until_anonymization_is_off() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let formula = pb::PolicyRecord { name: "=HYPERLINK(\"x\")".to_owned(), ..leaks() };
    tenant.policy(formula).await;
    for n in 0..5 {
        import(&tenant, &format!("ra-{n}"), JOHN, pb::Severity::High, n).await;
    }
    let export = async |page_size| {
        let mut request =
            pb::ExportRiskAlertsRequest { tenant_id: tenant.id.clone(), page_size, ..Default::default() };
        let (mut file, mut parts) = (String::new(), 0);
        loop {
            let part = client(&world).export_risk_alerts(request.clone()).await.unwrap().into_inner();
            (file, parts) = (file + &part.csv, parts + 1);
            if part.next_page_token.is_empty() {
                return (file, parts);
            }
            request.page_token = part.next_page_token;
        }
    };
    let (whole, parts) = export(0).await;
    assert_eq!(parts, 1);
    let (joined, parts) = export(2).await;
    assert_eq!((joined.as_str(), parts), (whole.as_str(), 3));
    let rows: Vec<&str> = whole.split_terminator("\r\n").collect();
    assert!(rows[0].starts_with("Alert ID,User,Policy ID,Policy,"), "{}", rows[0]);
    let ids: Vec<&str> = rows[1..].iter().map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!(ids, ["ra-0", "ra-1", "ra-2", "ra-3", "ra-4"]);
    let pseudonym = list(&tenant, all(&tenant)).await.remove(0).user_pseudonym;
    assert!(rows[1..].iter().all(|row| row.contains(&format!(",{pseudonym},leaks,"))), "{whole}");
    assert!(rows[1].contains(",\"'=HYPERLINK(\"\"x\"\")\",High,"), "{}", rows[1]);
    assert!(!whole.contains("john"));
    let line =
        world.written_down(&tenant.id).await.into_iter().rfind(|line| line.action == "ExportRiskAlerts");
    assert_eq!(line.unwrap().user_numbers.len(), 1);
    let named = pb::Settings { anonymization_enabled: false, ..Default::default() };
    tenant.set("anonymization_enabled", named).await;
    assert!(export(0).await.0.contains(&format!(",{JOHN},leaks,")));
    let strange = pb::ExportRiskAlertsRequest {
        tenant_id: tenant.id.clone(),
        page_token: "AAAA".to_owned(),
        ..Default::default()
    };
    let refusal = client(&world).export_risk_alerts(strange).await.unwrap_err();
    assert_eq!(reason(&refusal), "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn investigators_export_all_of_named_users_in_clear_and_say_why() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.declare(pb::UserRecord { user: Some(upn(JOHN)), ..Default::default() }).await;
    for n in 0..5 {
        import(&tenant, &format!("ra-{n}"), JOHN, pb::Severity::High, n).await;
    }
    import(&tenant, "of-mary", "mary@contoso.com", pb::Severity::High, 1).await;
    let confirm = decision(&tenant.id, "ra-4", RiskAlertStatus::Confirmed);
    decide(&tenant, confirm).await.unwrap();
    let asked = pb::ExportUserRiskAlertsRequest {
        tenant_id: tenant.id.clone(),
        users: vec![upn(JOHN), upn("nobody@contoso.com")],
        reason: "case 17".to_owned(),
        ..Default::default()
    };
    let export = async |page_size| {
        let mut request = pb::ExportUserRiskAlertsRequest { page_size, ..asked.clone() };
        let mut file = String::new();
        loop {
            let part = client(&world).export_user_risk_alerts(request.clone()).await.unwrap().into_inner();
            file.push_str(&part.json_lines);
            if part.next_page_token.is_empty() {
                return file;
            }
            request.page_token = part.next_page_token;
        }
    };
    let whole = export(0).await;
    assert_eq!(export(2).await, whole);
    let lines: Vec<serde_json::Value> =
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = lines.iter().map(|line| line["alert_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["ra-4", "ra-3", "ra-2", "ra-1", "ra-0"], "the oldest first, and nobody else's");
    let pseudonym = list(&tenant, all(&tenant)).await.remove(0).user_pseudonym;
    let user = serde_json::json!({
        "pseudonym": pseudonym, "entra_object_id": null, "upn": JOHN, "display_name": null, "sids": [],
        "addresses": [JOHN], "accounts": [],
    });
    assert!(lines.iter().all(|line| line["user"] == user), "{}", lines[0]);
    assert_eq!((&lines[0]["status"], &lines[0]["policy_name"]), (&"Confirmed".into(), &"Data leaks".into()));
    let last = &lines[0]["history"][1];
    assert_eq!((&last["changed_by"], &last["comment"]), (&"local".into(), &"a farewell gift".into()));
    let written = world.written_down(&tenant.id).await;
    let line = written.iter().rfind(|line| line.action == "ExportUserRiskAlerts").unwrap();
    assert_eq!((line.reason.as_str(), line.user_numbers.len()), ("case 17", 1));
    for (request, field) in [
        (pb::ExportUserRiskAlertsRequest { reason: String::new(), ..asked.clone() }, "reason"),
        (pb::ExportUserRiskAlertsRequest { users: vec![], ..asked.clone() }, "users"),
        (pb::ExportUserRiskAlertsRequest { users: vec![upn(JOHN); 101], ..asked.clone() }, "users"),
        (
            pb::ExportUserRiskAlertsRequest { users: vec![upn(JOHN), upn("x")], ..asked.clone() },
            "users[1].upn",
        ),
    ] {
        let refusal = client(&world).export_user_risk_alerts(request).await.unwrap_err();
        assert_eq!((reason(&refusal).as_str(), fields(&refusal)), ("INVALID_FIELD", vec![field.to_owned()]));
    }
}

#[tokio::test]
async fn a_reviewer_asks_for_the_alerts_of_a_pseudonym() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for (id, user) in [("a", JOHN), ("b", "mary@contoso.com"), ("c", JOHN)] {
        import(&tenant, id, user, pb::Severity::High, 1).await;
    }
    let user_pseudonym = get(&tenant, "a").await.unwrap().user_pseudonym;
    let of_one = pb::ListRiskAlertsRequest { user_pseudonym, ..all(&tenant) };
    let ids: Vec<String> = list(&tenant, of_one).await.into_iter().map(|one| one.alert_id).collect();
    assert_eq!(ids, ["a", "c"]);
    let unknown = pb::ListRiskAlertsRequest { user_pseudonym: "AnonIS8-988".to_owned(), ..all(&tenant) };
    assert_eq!(list(&tenant, unknown).await, []);
    let strange = pb::ListRiskAlertsRequest { user_pseudonym: "John".to_owned(), ..all(&tenant) };
    assert_eq!(fields(&client(&world).list_risk_alerts(strange).await.unwrap_err()), ["user_pseudonym"]);
}
