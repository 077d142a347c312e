//! Alerts in words, and in order, for people and copilots.

use crate::world::*;
use chrono::TimeDelta;
use riskshare::pb;
use tonic::{Code, Status};

async fn summarize(tenant: &Tenant<'_>, users: &[&str], recent_days: i32) -> pb::SummarizeAlertResponse {
    let alert = pb::DlpAlert {
        title: "DLP policy (Plans) matched".to_owned(),
        policy_name: "Plans".to_owned(),
        severity: pb::AlertSeverity::Medium.into(),
        created_at: Some(timestamp(tenant.world.now())),
        ..alert("da-1", users.iter().map(|user| upn(user)).collect())
    };
    let request = pb::SummarizeAlertRequest { tenant_id: tenant.id.clone(), alert: Some(alert), recent_days };
    tenant.world.enrichment().summarize_alert(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_summary_says_what_the_alert_is_who_is_risky_why_and_what_happened() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 10).await;
    tenant.leaker("lou@contoso.com", 1).await;
    let answer = summarize(&tenant, &["lou@contoso.com", "nobody@contoso.com", "john@contoso.com"], 0).await;
    let expected = "\
        DLP alert \"DLP policy (Plans) matched\" of DLP policy \"Plans\", severity Medium, raised 2026-11-24 12:00 UTC. \
        It involves 3 users. Insider risk severity: High.\n\
        The insider risk level of john@contoso.com is High (score 67). It rests on 10 activities of CopyToUSB on \
        2026-11-24 (High). In the 120 days to 2026-11-24 they were involved in 10 exfiltration activities: \
        CopyToUSB 10, the latest 2026-11-24 11:00 UTC.\n\
        The insider risk level of lou@contoso.com is Low (score 16). It rests on 1 activity of CopyToUSB on \
        2026-11-24 (Low). In the 120 days to 2026-11-24 they were involved in 1 exfiltration activity: CopyToUSB 1, \
        the latest 2026-11-24 11:00 UTC.\n\
        For 1 of them no insider risk level is shown.\n\
        This says what was recorded, and nothing about anybody's intent.";
    assert_eq!(answer.text, expected);
    let told: Vec<_> = answer.users.iter().map(|user| user.user.as_ref().unwrap().upn.as_str()).collect();
    assert_eq!(told, ["john@contoso.com", "lou@contoso.com"], "Low is told too, None is not");
    let plain = tenant
        .enrich_in(
            pb::EnrichmentView::Summary,
            ["lou@contoso.com", "nobody@contoso.com", "john@contoso.com"].map(upn).to_vec(),
        )
        .await;
    assert_eq!(answer.alert, Some(pb::EnrichedAlert { alert_id: "da-1".to_owned(), ..plain }));
}

#[tokio::test]
async fn exfiltration_is_told_of_the_days_that_were_asked_about() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 10).await;
    tenant.record(copies("john@contoso.com", 4, world.now() - TimeDelta::days(10))).await;
    let recent = async |days| {
        let user = summarize(&tenant, &["john@contoso.com"], days).await.users.remove(0);
        let summary = user.recent.unwrap();
        (summary.window.unwrap().days, summary.total, user.exfiltration)
    };
    let (days, total, told) = recent(0).await;
    assert_eq!((days, total), (120, 14), "{told}");
    let (days, total, told) = recent(11).await;
    assert_eq!((days, total), (11, 14), "{told}");
    let (days, total, told) = recent(10).await;
    assert_eq!((days, total), (10, 10));
    assert!(told.starts_with("In the 10 days to 2026-11-24 they were involved in 10 exfiltration"), "{told}");
    let narrow = pb::Settings { lookback_days: 90, ..Default::default() };
    tenant.set("lookback_days", narrow).await;
    assert_eq!(recent(120).await.0, 90, "never more than the tenant shares");
    let refused = |days| {
        let alert = Some(alert("da-1", vec![]));
        pb::SummarizeAlertRequest { tenant_id: tenant.id.clone(), alert, recent_days: days }
    };
    for days in [-1, 121] {
        let refusal = world.enrichment().summarize_alert(refused(days)).await.unwrap_err();
        assert_eq!(
            (reason(&refusal).as_str(), fields(&refusal)),
            ("INVALID_FIELD", vec!["recent_days".to_owned()])
        );
    }
}

#[tokio::test]
async fn a_user_who_could_be_two_people_has_a_level_and_nothing_else() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for user in ["john@contoso.com", "lou@contoso.com"] {
        tenant.declare(pb::UserRecord { user: Some(upn(user)), ..Default::default() }).await;
        tenant.leaker(user, 10).await;
    }
    let both =
        pb::UserIdentity { smtp_addresses: vec!["lou@contoso.com".to_owned()], ..upn("john@contoso.com") };
    let alert = Some(alert("da-1", vec![both]));
    let request = pb::SummarizeAlertRequest { tenant_id: tenant.id.clone(), alert, recent_days: 0 };
    let answer = world.enrichment().summarize_alert(request).await.unwrap().into_inner();
    let user = &answer.users[0];
    assert!(user.level.contains("High") && user.why.contains("several known people"), "{user:?}");
    assert_eq!((user.exfiltration.as_str(), user.recent.as_ref()), ("", None));
    assert!(!answer.text.contains("CopyToUSB"), "{}", answer.text);
}

async fn rank(tenant: &Tenant<'_>, alerts: Vec<pb::DlpAlert>) -> Result<pb::RankAlertsResponse, Status> {
    let request = pb::RankAlertsRequest { tenant_id: tenant.id.clone(), alerts };
    tenant.world.enrichment().rank_alerts(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn the_riskiest_alert_comes_first_then_the_most_severe_then_the_newest() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 10).await;
    tenant.leaker("lou@contoso.com", 1).await;
    let of = |id: &str, user: &str, severity: pb::AlertSeverity, hours_ago: i64| pb::DlpAlert {
        severity: severity.into(),
        created_at: Some(timestamp(world.now() - TimeDelta::hours(hours_ago))),
        ..alert(id, vec![upn(user)])
    };
    let (low, high) = (pb::AlertSeverity::Low, pb::AlertSeverity::High);
    let alerts = vec![
        of("nobody-old", "nobody@contoso.com", low, 2),
        of("nobody-severe", "nobody@contoso.com", high, 9),
        alert("empty", vec![]),
        of("lou", "lou@contoso.com", high, 0),
        of("nobody-new", "nobody@contoso.com", low, 1),
        of("john", "john@contoso.com", low, 99),
    ];
    let expected = ["john", "lou", "nobody-severe", "nobody-new", "nobody-old", "empty"];
    let mut reversed = alerts.clone();
    reversed.reverse();
    for alerts in [alerts, reversed] {
        let answer = rank(&tenant, alerts).await.unwrap();
        let order: Vec<_> = answer.alerts.iter().map(|alert| alert.alert_id.as_str()).collect();
        assert_eq!(order, expected);
        let first = &answer.alerts[0];
        assert_eq!(
            first.text,
            format!("1. \"john\": insider risk severity High (score {}), DLP severity Low.", first.score)
        );
        assert_eq!(first.highest_risk_user, Some(upn("john@contoso.com")));
        assert_eq!(answer.alerts[5].text, "6. \"empty\": insider risk severity None.");
    }
}

#[tokio::test]
async fn an_alert_that_cannot_be_read_spoils_the_order() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let unreadable = pb::DlpAlert { raw_json: "{".to_owned(), ..Default::default() };
    let refusal = rank(&tenant, vec![alert("a", vec![]), unreadable]).await.unwrap_err();
    assert_eq!(
        (refusal.code(), fields(&refusal)),
        (Code::InvalidArgument, vec!["alerts[1].raw_json".to_owned()])
    );
}
