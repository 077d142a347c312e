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

async fn texts(tenant: &Tenant<'_>) -> Vec<crate::wire::Seen> {
    let ask = tenant.ask(pb::EnrichmentView::Full, vec![upn("john@contoso.com")]);
    vec![
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
