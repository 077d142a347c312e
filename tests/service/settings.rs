//! What a tenant decides, and how.

use crate::world::*;
use prost_types::FieldMask;
use riskshare::pb;
use tonic::Code;

async fn get(world: &World, tenant: &str) -> pb::Settings {
    let request = pb::GetSettingsRequest { tenant_id: tenant.to_owned() };
    world.settings().get_settings(request).await.unwrap().into_inner().settings.unwrap()
}

#[tokio::test]
async fn a_tenant_nobody_configured_has_the_defaults() {
    let world = World::start().await;
    let settings = get(&world, &uuid::Uuid::new_v4().to_string()).await;
    let expected = pb::Settings {
        anonymization_enabled: true,
        lookback_days: 120,
        etag: "0".to_owned(),
        ..Default::default()
    };
    assert_eq!(settings, expected);
}

#[tokio::test]
async fn the_three_switches_are_independent() {
    let world = World::start().await;
    for bits in 0..8_u8 {
        let tenant = world.silent_tenant().await;
        let wanted = pb::Settings {
            data_sharing_enabled: bits & 1 != 0,
            alert_export_enabled: bits & 2 != 0,
            anonymization_enabled: bits & 4 != 0,
            ..Default::default()
        };
        for field in ["data_sharing_enabled", "alert_export_enabled", "anonymization_enabled"] {
            tenant.set(field, wanted.clone()).await;
        }
        let expected = pb::Settings { lookback_days: 120, etag: "3".to_owned(), ..wanted };
        assert_eq!(get(&world, &tenant.id).await, expected);
    }
}

#[tokio::test]
async fn only_the_fields_in_the_mask_change() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let before = get(&world, &tenant.id).await;
    let noise = pb::Settings {
        lookback_days: 1,
        custom_exfiltration_indicators: vec![String::new()],
        ..Default::default()
    };
    let answer =
        tenant.set("user_analytics_enabled", pb::Settings { user_analytics_enabled: true, ..noise }).await;
    let expected = pb::Settings { user_analytics_enabled: true, etag: "2".to_owned(), ..before };
    assert_eq!(answer.settings, Some(expected));
    let mut change = tenant.change("no_such_field", pb::Settings::default());
    assert_eq!(
        fields(&world.settings().update_settings(change.clone()).await.unwrap_err()),
        ["update_mask.paths[0]"]
    );
    change.update_mask = Some(FieldMask::default());
    assert_eq!(fields(&world.settings().update_settings(change.clone()).await.unwrap_err()), ["update_mask"]);
    change.settings = None;
    assert_eq!(
        fields(&world.settings().update_settings(change).await.unwrap_err()),
        ["update_mask", "settings"]
    );
}

#[tokio::test]
async fn a_mask_of_more_than_500_paths_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let before = get(&world, &tenant.id).await;
    let wanted = pb::Settings { user_analytics_enabled: true, ..Default::default() };
    let mut change = tenant.change("data_sharing_enabled", wanted);
    let mut paths = vec!["anonymization_enabled".to_owned(); 500];
    paths.push("user_analytics_enabled".to_owned());
    change.update_mask = Some(FieldMask { paths: paths.clone() });
    let refusal = world.settings().update_settings(change.clone()).await.unwrap_err();
    assert_eq!(fields(&refusal), ["update_mask"]);
    assert_eq!(get(&world, &tenant.id).await, before);
    paths.remove(0);
    change.update_mask = Some(FieldMask { paths });
    let after = world.settings().update_settings(change).await.unwrap().into_inner().settings.unwrap();
    assert!(after.user_analytics_enabled && !after.anonymization_enabled);
}

#[tokio::test]
async fn an_etag_keeps_two_changes_from_overwriting_each_other() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let read = get(&world, &tenant.id).await.etag;
    let change = pb::UpdateSettingsRequest {
        etag: read,
        ..tenant.change(
            "user_analytics_enabled",
            pb::Settings { user_analytics_enabled: true, ..Default::default() },
        )
    };
    world.settings().update_settings(change.clone()).await.unwrap();
    let refusal = world.settings().update_settings(change.clone()).await.unwrap_err();
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let strange = pb::UpdateSettingsRequest { etag: "yesterday".to_owned(), ..change };
    assert_eq!(fields(&world.settings().update_settings(strange).await.unwrap_err()), ["etag"]);
}

#[tokio::test]
async fn concurrent_changes_of_different_fields_are_both_kept() {
    let world = World::start().await;
    let tenant = world.silent_tenant().await;
    let on = pb::Settings { data_sharing_enabled: true, user_analytics_enabled: true, ..Default::default() };
    tokio::join!(
        tenant.set("data_sharing_enabled", on.clone()),
        tenant.set("user_analytics_enabled", on.clone()),
    );
    let settings = get(&world, &tenant.id).await;
    assert!(settings.data_sharing_enabled && settings.user_analytics_enabled);
}

#[tokio::test]
async fn indicators_can_be_overridden_as_the_taxonomy_allows() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let shares = |indicator: &str, shared| pb::IndicatorOverride { indicator: indicator.to_owned(), shared };
    let overrides = |indicator_overrides| pb::Settings { indicator_overrides, ..Default::default() };
    let bad = overrides(vec![
        shares("PhysicalAccess", true),
        shares("Invented", true),
        shares("CopyToUSB", false),
        shares("CopyToUSB", true),
    ]);
    let refusal =
        world.settings().update_settings(tenant.change("indicator_overrides", bad)).await.unwrap_err();
    let expected = [0, 1, 3].map(|n| format!("settings.indicator_overrides[{n}].indicator"));
    assert_eq!(fields(&refusal), expected);
    let custom = |names: &[&str]| pb::Settings {
        custom_exfiltration_indicators: names.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    };
    let bad = custom(&["CopyToUSB", "", "Mine", "Mine"]);
    let change = tenant.change("custom_exfiltration_indicators", bad);
    let refusal = world.settings().update_settings(change).await.unwrap_err();
    let expected = [0, 1, 3].map(|n| format!("settings.custom_exfiltration_indicators[{n}]"));
    assert_eq!(fields(&refusal), expected);
}

#[tokio::test]
async fn user_analytics_scores_those_in_no_policy() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.record(copies("john@contoso.com", 3, world.now() - chrono::TimeDelta::hours(1))).await;
    assert_eq!(tenant.column(&["john@contoso.com"]).await, "None");
    tenant
        .set("user_analytics_enabled", pb::Settings { user_analytics_enabled: true, ..Default::default() })
        .await;
    assert_eq!(tenant.column(&["john@contoso.com"]).await, "Medium");
    assert_eq!(tenant.column(&["idle@contoso.com"]).await, "None");
}
