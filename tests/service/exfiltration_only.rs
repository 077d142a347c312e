//! Promise 3: only exfiltration leaves.

use crate::wire::seen;
use crate::world::*;
use chrono::TimeDelta;
use riskshare::domain::indicator::taxonomy;
use riskshare::pb;

/// A word that stands in every hidden activity, in each of its texts.
const CANARY: &str = "canary-5d1c";

#[tokio::test]
async fn no_byte_of_a_hidden_activity_leaves_whatever_its_indicator() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 2).await;
    let before = texts(&tenant).await;
    let default = riskshare::domain::settings::Settings::default();
    let hidden: Vec<String> = taxonomy()
        .filter(|indicator| indicator.is_observable() && !default.shares(indicator))
        .map(|indicator| indicator.name().to_owned())
        .chain([format!("{CANARY}-of-no-taxonomy")])
        .collect();
    assert!(hidden.len() > 100, "the taxonomy has more than 100 hidden indicators");
    let with_canary = |(n, name): (usize, &String)| pb::ActivityRecord {
        activity_id: format!("{CANARY}-{n}"),
        operation: CANARY.to_owned(),
        object_name: format!("{CANARY}.docx"),
        destination: CANARY.to_owned(),
        ..activity("john@contoso.com", name, world.now() - TimeDelta::minutes(30))
    };
    let answer = tenant.record(hidden.iter().enumerate().map(with_canary).collect()).await;
    assert_eq!(answer.results, []);
    let after = texts(&tenant).await;
    for answer in &after {
        assert!(answer.is_ok() && !answer.holds(CANARY), "{answer:?}");
        assert!(hidden.iter().all(|name| !answer.holds(name)));
    }
    assert_eq!(before, after);
}

/// One tie for the highest risk, and one user at None.
const PEOPLE: [&str; 3] = ["kate@contoso.com", "john@contoso.com", "idle@contoso.com"];

#[tokio::test]
async fn no_name_in_a_hidden_fact_leaves_or_moves_anybody_whether_declared_or_not() {
    let world = World::start().await;
    for declared in [false, true] {
        let tenant = world.tenant().await;
        for user in PEOPLE.into_iter().filter(|_| declared) {
            tenant.declare(pb::UserRecord { user: Some(upn(user)), ..Default::default() }).await;
        }
        tenant.leaker("kate@contoso.com", 2).await;
        tenant.leaker("john@contoso.com", 2).await;
        let before = names(&tenant).await;
        for user in ["kate@contoso.com", "idle@contoso.com"] {
            name_in_hidden_facts(&tenant, user).await;
        }
        let after = names(&tenant).await;
        for answer in &after {
            assert!(answer.is_ok() && !answer.holds(CANARY) && !answer.holds("S-1-5-21"), "{answer:?}");
        }
        assert_eq!(before, after);
    }
}

/// Records a badge and an HR trigger that say much about who the user is.
async fn name_in_hidden_facts(tenant: &Tenant<'_>, user: &str) {
    let (id, when) = (user.as_bytes()[0], tenant.world.now() - TimeDelta::minutes(30));
    let named = pb::UserIdentity {
        entra_object_id: format!("00000000-0000-4000-8000-0000000000{id:02x}"),
        sid: format!("S-1-5-21-{id}"),
        smtp_addresses: vec![format!("{CANARY}-{id}@private.example")],
        account_name: format!("CORP\\{CANARY}-{id}"),
        display_name: format!("{CANARY} (HR case 12)"),
        ..upn(user)
    };
    let badge = pb::ActivityRecord { user: Some(named.clone()), ..activity(user, "PhysicalAccess", when) };
    assert_eq!(tenant.record(vec![badge]).await.results, []);
    let trigger = pb::TriggerRecord {
        policy_id: "leaks".to_owned(),
        user: Some(pb::UserIdentity { account_name: format!("CORP\\{CANARY}-hr-{id}"), ..named }),
        occurred_at: Some(timestamp(when)),
        kind: "hr".to_owned(),
    };
    let request = pb::RecordTriggersRequest { tenant_id: tenant.id.clone(), triggers: vec![trigger] };
    let answer = tenant.world.ingest().record_triggers(request).await.unwrap().into_inner();
    assert_eq!(answer.results, []);
}

async fn names(tenant: &Tenant<'_>) -> Vec<crate::wire::Seen> {
    let ask = tenant.ask(pb::EnrichmentView::Full, PEOPLE.map(upn).to_vec());
    let batch = pb::BatchEnrichAlertsRequest {
        tenant_id: tenant.id.clone(),
        alerts: vec![ask.alert.clone().unwrap()],
        view: pb::EnrichmentView::Summary.into(),
        ..Default::default()
    };
    let assets = tenant.incident(&PEOPLE);
    let entities = pb::ListImpactedEntitiesRequest {
        tenant_id: tenant.id.clone(),
        incident_id: assets.incident_id.clone(),
        alerts: assets.alerts.clone(),
    };
    let summary =
        pb::SummarizeAlertRequest { tenant_id: tenant.id.clone(), alert: ask.alert.clone(), recent_days: 0 };
    let ranks = pb::RankAlertsRequest { tenant_id: tenant.id.clone(), alerts: assets.alerts.clone() };
    let mut all = vec![
        seen(tenant.world, "AlertEnrichmentService/SummarizeAlert", &summary).await,
        seen(tenant.world, "AlertEnrichmentService/RankAlerts", &ranks).await,
        seen(tenant.world, "AlertEnrichmentService/EnrichAlert", &ask).await,
        seen(tenant.world, "AlertEnrichmentService/BatchEnrichAlerts", &batch).await,
        seen(tenant.world, "IncidentService/GetImpactedAssets", &assets).await,
        seen(tenant.world, "IncidentService/ListImpactedEntities", &entities).await,
    ];
    for user in PEOPLE {
        all.push(seen(tenant.world, "IncidentService/GetUserRisk", &tenant.user_risk(user)).await);
    }
    all
}

#[tokio::test]
async fn a_person_is_shown_by_what_was_declared_and_what_the_caller_said() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let kate = pb::UserIdentity { display_name: "Kate Roe".to_owned(), ..upn("kate@contoso.com") };
    tenant.declare(pb::UserRecord { user: Some(kate.clone()), ..Default::default() }).await;
    name_in_hidden_facts(&tenant, "kate@contoso.com").await;
    let said = pb::UserIdentity {
        smtp_addresses: vec!["k.roe@contoso.com".to_owned()],
        display_name: "K. R.".to_owned(),
        ..upn("kate@contoso.com")
    };
    let answer = tenant.enrich_in(pb::EnrichmentView::Full, vec![said.clone()]).await;
    let expected = pb::UserIdentity { smtp_addresses: said.smtp_addresses, ..kate };
    assert_eq!(answer.actors[0].user, Some(expected));
}

async fn texts(tenant: &Tenant<'_>) -> Vec<crate::wire::Seen> {
    let ask = tenant.ask(pb::EnrichmentView::Full, vec![upn("john@contoso.com")]);
    let summary =
        pb::SummarizeAlertRequest { tenant_id: tenant.id.clone(), alert: ask.alert.clone(), recent_days: 0 };
    vec![
        seen(tenant.world, "AlertEnrichmentService/SummarizeAlert", &summary).await,
        seen(tenant.world, "AlertEnrichmentService/EnrichAlert", &ask).await,
        seen(tenant.world, "AlertEnrichmentService/ListUserActivities", &tenant.timeline("john@contoso.com"))
            .await,
        seen(tenant.world, "IncidentService/GetUserRisk", &tenant.user_risk("john@contoso.com")).await,
        seen(tenant.world, "IncidentService/GetImpactedAssets", &tenant.incident(&["john@contoso.com"]))
            .await,
    ]
}

#[tokio::test]
async fn asking_for_a_hidden_indicator_by_name_finds_nothing() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 2).await;
    tenant
        .record(vec![activity("john@contoso.com", "SpoFileDeleted", world.now() - TimeDelta::hours(1))])
        .await;
    for (name, count) in [("SpoFileDeleted", 0), ("Invented", 0), ("CopyToUSB", 2)] {
        let request = pb::ListUserActivitiesRequest {
            indicators: vec![name.to_owned()],
            ..tenant.timeline("john@contoso.com")
        };
        assert_eq!(tenant.list(request).await.unwrap().activities.len(), count, "{name}");
    }
}

#[tokio::test]
async fn a_tenant_decides_about_configurable_and_custom_indicators_and_what_it_turns_off_is_gone() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("john@contoso.com", 2).await;
    let when = world.now() - TimeDelta::hours(1);
    tenant
        .record(vec![
            activity("john@contoso.com", "SpoDownload", when),
            activity("john@contoso.com", "BadgeDump", when),
        ])
        .await;
    let total = async || tenant.list(tenant.timeline("john@contoso.com")).await.unwrap().activities.len();
    assert_eq!(total().await, 2);
    let shares = |indicator: &str, shared| pb::IndicatorOverride { indicator: indicator.to_owned(), shared };
    let on = pb::Settings { indicator_overrides: vec![shares("SpoDownload", true)], ..Default::default() };
    tenant.set("indicator_overrides", on).await;
    assert_eq!(total().await, 3);
    let custom =
        pb::Settings { custom_exfiltration_indicators: vec!["BadgeDump".to_owned()], ..Default::default() };
    tenant.set("custom_exfiltration_indicators", custom).await;
    assert_eq!(total().await, 4);
    let off = pb::Settings { indicator_overrides: vec![shares("CopyToUSB", false)], ..Default::default() };
    tenant.set("indicator_overrides", off).await;
    assert_eq!(total().await, 1);
}
