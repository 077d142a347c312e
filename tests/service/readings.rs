//! One test for each ambiguity of the product that the documentation settles (`docs/readings.md`), by its number.

use crate::world::*;
use chrono::TimeDelta;
use riskshare::pb;
use riskshare::pb::EnrichmentView::{Severity, Summary};
use tonic::Code;

#[tokio::test]
async fn reading_1_without_sharing_the_column_says_so_and_everything_else_is_refused() {
    let world = World::start().await;
    let tenant = world.silent_tenant().await;
    tenant.leaker("john@contoso.com", 10).await;
    let answer = tenant.enrich(&["john@contoso.com"]).await;
    let expected = pb::EnrichedAlert {
        alert_id: "alert-1".to_owned(),
        severity: pb::Severity::UserDataNotAvailable.into(),
        severity_text: "User data is not available".to_owned(),
        ..Default::default()
    };
    assert_eq!(answer, expected);
    let john = "john@contoso.com";
    let incident = tenant.incident(&[john]);
    let entities = pb::ListImpactedEntitiesRequest {
        tenant_id: tenant.id.clone(),
        incident_id: incident.incident_id.clone(),
        alerts: incident.alerts.clone(),
    };
    let refusals = [
        tenant.list(tenant.timeline(john)).await.unwrap_err(),
        world.incidents().get_impacted_assets(incident).await.unwrap_err(),
        world.incidents().list_impacted_entities(entities).await.unwrap_err(),
        world.incidents().get_user_risk(tenant.user_risk(john)).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), Code::FailedPrecondition);
        assert_eq!(refusal.message(), "User data is not available");
        assert_eq!(reason(&refusal), "DATA_SHARING_OFF");
    }
}

#[tokio::test]
async fn reading_2_the_level_is_the_users_over_all_policies() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let strict = pb::PolicyRecord {
        policy_id: "strict".to_owned(),
        indicators: vec![pb::PolicyIndicator { daily_thresholds: vec![1, 2, 3], ..scored("CopyToUSB") }],
        ..leaks()
    };
    tenant.policy(strict).await;
    tenant.leaker("john@contoso.com", 3).await;
    assert_eq!(tenant.column(&["john@contoso.com"]).await, "Medium");
    tenant.member("strict", "john@contoso.com").await;
    assert_eq!(tenant.column(&["john@contoso.com"]).await, "High");
}

#[tokio::test]
async fn reading_3_the_window_is_90_to_120_days_and_every_answer_names_it() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 1).await;
    tenant.record(copies("john@contoso.com", 2, world.now() - TimeDelta::days(100))).await;
    let lookback = |days| pb::Settings { lookback_days: days, ..Default::default() };
    for (days, total) in [(120, 3), (90, 1)] {
        tenant.set("lookback_days", lookback(days)).await;
        let summary = tenant.enrich(&["john@contoso.com"]).await.actors[0].summary.clone().unwrap();
        assert_eq!((summary.window.as_ref().unwrap().days, summary.total), (days, total));
        let listed = tenant.list(tenant.timeline("john@contoso.com")).await.unwrap();
        assert_eq!(listed.window, summary.window);
        let risk = world.incidents().get_user_risk(tenant.user_risk("john@contoso.com")).await.unwrap();
        assert_eq!(risk.into_inner().window, summary.window);
    }
    for days in [89, 121] {
        let change = tenant.change("lookback_days", lookback(days));
        let refusal = world.settings().update_settings(change).await.unwrap_err();
        assert_eq!(fields(&refusal), ["settings.lookback_days"]);
    }
}

#[tokio::test]
async fn reading_4_low_needs_an_exfiltration_activity_in_scope_and_none_is_all_else() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", "idle@contoso.com").await;
    tenant.record(copies("outside@contoso.com", 10, world.now() - TimeDelta::hours(1))).await;
    tenant.leaker("once@contoso.com", 1).await;
    assert_eq!(tenant.column(&["idle@contoso.com"]).await, "None");
    assert_eq!(tenant.column(&["outside@contoso.com"]).await, "None");
    assert_eq!(tenant.column(&["once@contoso.com"]).await, "Low");
}

#[tokio::test]
async fn reading_5_a_user_at_risk_through_hidden_indicators_alone_is_none() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    with_hidden_policy(&tenant, "john@contoso.com").await;
    assert_eq!(tenant.column(&["john@contoso.com"]).await, "None");
    assert_eq!(tenant.enrich(&["john@contoso.com"]).await.actors[0].score, 0);
}

#[tokio::test]
async fn reading_6_hidden_indicators_may_carry_the_level_but_are_never_a_reason() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    with_hidden_policy(&tenant, "john@contoso.com").await;
    tenant.record(copies("john@contoso.com", 1, world.now() - TimeDelta::hours(1))).await;
    let actor = tenant.enrich(&["john@contoso.com"]).await.actors[0].clone();
    assert_eq!(actor.severity_text, "High");
    let named: Vec<_> = actor.reasons.iter().map(|reason| reason.indicator.as_str()).collect();
    assert_eq!(named, ["CopyToUSB"]);
    assert_eq!(actor.summary.unwrap().total, 1);
}

/// Puts the user in a policy that scores a hidden indicator, triggers it, and records enough of it for High.
async fn with_hidden_policy(tenant: &Tenant<'_>, user: &str) {
    let policy = pb::PolicyRecord {
        policy_id: "offboarding".to_owned(),
        indicators: vec![scored("SpoFileDeleted"), scored("CopyToUSB")],
        trigger_kind: pb::TriggerKind::Recorded.into(),
        ..leaks()
    };
    tenant.policy(policy).await;
    tenant.member("offboarding", user).await;
    let now = tenant.world.now();
    let trigger = pb::TriggerRecord {
        policy_id: "offboarding".to_owned(),
        user: Some(upn(user)),
        occurred_at: Some(timestamp(now - TimeDelta::days(1))),
        kind: "hr".to_owned(),
    };
    let request = pb::RecordTriggersRequest { tenant_id: tenant.id.clone(), triggers: vec![trigger] };
    tenant.world.ingest().record_triggers(request).await.unwrap();
    let deleted = |_| activity(user, "SpoFileDeleted", now - TimeDelta::hours(2));
    tenant.record((0..60).map(deleted).collect()).await;
}

#[tokio::test]
async fn reading_7_guests_are_listed_with_none_and_services_are_not_listed() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let guest = "eve_fabrikam.com#EXT#@contoso.com";
    tenant.leaker(guest, 10).await;
    let service = pb::UserIdentity { account_name: "NT AUTHORITY\\SYSTEM".to_owned(), ..Default::default() };
    let answer = tenant.enrich_in(Summary, vec![upn(guest), service, upn("app@sharepoint")]).await;
    assert_eq!(answer.severity_text, "None");
    assert_eq!(answer.actors.len(), 1);
    assert_eq!(answer.actors[0].user.as_ref().unwrap().upn, guest.to_lowercase());
}

#[tokio::test]
async fn somebody_logged_on_as_a_service_is_still_found_by_their_other_keys() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("ann@contoso.com", 10).await;
    let as_root = pb::UserIdentity { account_name: "root".to_owned(), ..upn("ann@contoso.com") };
    let answer = tenant.enrich_in(Summary, vec![as_root]).await;
    assert_eq!(answer.severity_text, "High");
}

#[tokio::test]
async fn reading_8_an_incident_page_shows_high_and_medium_and_low_looks_like_none() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for (user, copies) in [("d-high", 10), ("c-medium", 3), ("z-low", 1)] {
        tenant.leaker(&format!("{user}@contoso.com"), copies).await;
    }
    let users = ["z-low@contoso.com", "a-none@contoso.com", "c-medium@contoso.com", "d-high@contoso.com"];
    let answer = world.incidents().get_impacted_assets(tenant.incident(&users)).await.unwrap().into_inner();
    let shown: Vec<_> = answer
        .assets
        .iter()
        .map(|asset| (asset.user.as_ref().unwrap().upn.as_str(), asset.severity_text.as_deref()))
        .collect();
    let expected = [
        ("d-high@contoso.com", Some("High")),
        ("c-medium@contoso.com", Some("Medium")),
        ("a-none@contoso.com", None),
        ("z-low@contoso.com", None),
    ];
    assert_eq!(shown, expected);
    assert!(answer.assets[2..].iter().all(|asset| asset.severity.is_none()));
}

#[tokio::test]
async fn reading_8_every_user_who_matched_the_policy_is_an_impacted_entity() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("high@contoso.com", 10).await;
    let request = pb::ListImpactedEntitiesRequest {
        tenant_id: tenant.id.clone(),
        incident_id: "incident-1".to_owned(),
        alerts: vec![
            alert("a", vec![upn("none@contoso.com"), upn("high@contoso.com")]),
            alert("b", vec![upn("HIGH@contoso.com"), upn("high@contoso.com")]),
        ],
    };
    let answer = world.incidents().list_impacted_entities(request).await.unwrap().into_inner();
    let entity = |user: &str, alerts: &[&str]| pb::ImpactedEntity {
        user: Some(upn(user)),
        alert_ids: alerts.iter().map(|&id| id.to_owned()).collect(),
    };
    let expected = [entity("high@contoso.com", &["a", "b"]), entity("none@contoso.com", &["a"])];
    assert_eq!(answer.entities, expected);
}

#[tokio::test]
async fn reading_10_dlp_and_defender_views_have_real_names() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let john = pb::UserIdentity { display_name: "John Doe".to_owned(), ..upn("john@contoso.com") };
    tenant.declare(pb::UserRecord { user: Some(john.clone()), ..Default::default() }).await;
    tenant.leaker("john@contoso.com", 10).await;
    let answer = tenant.enrich(&["john@contoso.com"]).await;
    assert_eq!(answer.actors[0].user, Some(john.clone()));
    assert_eq!(answer.highest_risk_user, Some(john.clone()));
    let incident = tenant.incident(&["john@contoso.com"]);
    let answer = world.incidents().get_impacted_assets(incident).await.unwrap().into_inner();
    assert_eq!(answer.assets[0].user, Some(john));
}

#[tokio::test]
async fn reading_12_a_risk_alert_always_has_a_level() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let alert = pb::ImportedRiskAlert {
        alert_id: "risk-1".to_owned(),
        policy_id: "leaks".to_owned(),
        user: Some(upn("john@contoso.com")),
        severity: pb::Severity::None.into(),
        status: pb::RiskAlertStatus::NeedsReview.into(),
        created_at: Some(timestamp(world.now())),
        updated_at: Some(timestamp(world.now())),
        exfiltration: true,
    };
    let alerts = vec![alert.clone(), pb::ImportedRiskAlert { severity: pb::Severity::High.into(), ..alert }];
    let request = pb::ImportRiskAlertsRequest { tenant_id: tenant.id.clone(), alerts, raw_records: vec![] };
    let answer = world.ingest().import_risk_alerts(request).await.unwrap().into_inner();
    assert_eq!(answer.results.len(), 1);
    assert_eq!((answer.results[0].index, answer.results[0].field.as_str()), (0, "severity"));
    assert_eq!(tenant.column(&["john@contoso.com"]).await, "High");
}

#[tokio::test]
async fn reading_13_ties_go_to_the_higher_score_then_the_later_exfiltration_then_the_lower_id() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("twelve@contoso.com", 12).await;
    tenant.leaker("ten-b@contoso.com", 10).await;
    tenant.leaker("ten-a@contoso.com", 10).await;
    tenant.member("leaks", "ten-later@contoso.com").await;
    tenant.record(copies("ten-later@contoso.com", 10, world.now() - TimeDelta::minutes(1))).await;
    let users = ["ten-b@contoso.com", "ten-a@contoso.com", "ten-later@contoso.com", "twelve@contoso.com"];
    let answer = tenant.enrich(&users).await;
    let order: Vec<_> = answer.actors.iter().map(|actor| actor.user.as_ref().unwrap().upn.as_str()).collect();
    assert_eq!(
        order,
        ["twelve@contoso.com", "ten-later@contoso.com", "ten-a@contoso.com", "ten-b@contoso.com"]
    );
    assert_eq!(answer.highest_risk_user, answer.actors[0].user);
}

#[tokio::test]
async fn reading_14_new_alert_is_read_in_either_spelling() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let record = |user: &str, comments: &str| {
        let data = serde_json::json!({"UserPrincipalName": user, "Exfiltration": true});
        let record = serde_json::json!({
            "Id": user, "AlertId": user, "CreationTime": "2026-11-24T11:00:00", "RecordType": 40,
            "Operation": "AlertTriggered", "UserId": "SecurityComplianceAlerts", "Category": "InsiderRiskManagement",
            "Name": "Data leaks", "PolicyId": "leaks", "Severity": "Medium", "Status": "Active",
            "Comments": comments, "Data": data.to_string(),
        });
        record.to_string()
    };
    let users = ["alex@contoso.com", "sam@contoso.com", "kim@contoso.com"];
    let comments = ["New Alert", "New alert", "Alert Updated"];
    let request = pb::ImportRiskAlertsRequest {
        tenant_id: tenant.id.clone(),
        alerts: vec![],
        raw_records: users.iter().zip(comments).map(|(user, comments)| record(user, comments)).collect(),
    };
    let answer = world.ingest().import_risk_alerts(request).await.unwrap().into_inner();
    assert_eq!((answer.counts.unwrap().accepted, answer.results), (3, vec![]));
    for user in users {
        assert_eq!(tenant.column(&[user]).await, "Medium", "{user}");
    }
}

#[tokio::test]
async fn reading_15_a_low_user_has_a_summary_and_one_at_none_has_not() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("low@contoso.com", 1).await;
    tenant.record(copies("none@contoso.com", 5, world.now() - TimeDelta::hours(1))).await;
    let answer = tenant.enrich(&["low@contoso.com", "none@contoso.com"]).await;
    assert_eq!(answer.actors[0].summary.as_ref().unwrap().total, 1);
    assert_eq!(answer.actors[0].activities.len(), 1);
    let none = &answer.actors[1];
    assert_eq!(
        (none.summary.is_some(), none.activities.len(), none.latest_exfiltration_at),
        (false, 0, None)
    );
}

#[tokio::test]
async fn the_column_alone_holds_no_names() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 10).await;
    let answer = tenant.enrich_in(Severity, vec![upn("john@contoso.com")]).await;
    assert_eq!(answer.severity_text, "High");
    assert_eq!((answer.actors.len(), answer.highest_risk_user), (0, None));
    assert_eq!(tenant.column(&[]).await, "None");
}
