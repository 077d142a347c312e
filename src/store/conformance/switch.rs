//! Promises about settings and the sharing switch.

use super::{Place, decided, sharing, tenant};
use crate::domain::settings::Settings;
use crate::domain::time::Lookback;
use crate::store::{Moved, StoreError, VersionedSettings};
use smallvec::SmallVec;

pub async fn an_unknown_tenant_shares_nothing_and_looking_leaves_no_trace(place: impl Place) {
    let store = place.open();
    let hold = store.hold(tenant(0)).await.unwrap();
    assert_eq!((hold.is_sharing(), hold.epoch(), hold.pass().err()), (false, 0, Some(Moved)));
    let snapshot = store.read(&hold, &[&super::person("ann"), &super::person("bob")]).await.unwrap();
    assert!(snapshot.found.len() == 2 && snapshot.found.iter().all(SmallVec::is_empty));
    assert_eq!(store.settings(tenant(0)).await.unwrap(), VersionedSettings::default());
    let refused = store.change_settings(tenant(0), 1, sharing(), decided()).await;
    assert!(matches!(refused, Err(StoreError::SettingsChanged)));
    assert_eq!(store.settings(tenant(0)).await.unwrap(), VersionedSettings::default());
}

pub async fn off_ends_every_hold_for_good_and_on_gives_new_ones_only(place: impl Place) {
    let store = place.open();
    let dark = store.hold(tenant(0)).await.unwrap();
    store.change_settings(tenant(0), 0, sharing(), decided()).await.unwrap();
    assert!(dark.pass().is_err());
    let first = store.hold(tenant(0)).await.unwrap();
    assert!(first.is_sharing() && first.pass().is_ok());

    // A change that leaves the switch alone leaves holds alone.
    let shorter = Settings { lookback: Lookback::new(90).unwrap(), ..sharing() };
    store.change_settings(tenant(0), 1, shorter, decided()).await.unwrap();
    assert!(first.pass().is_ok());

    store.change_settings(tenant(0), 2, Settings::default(), decided()).await.unwrap();
    assert!(first.pass().is_err());
    let off = store.hold(tenant(0)).await.unwrap();
    assert!(!off.is_sharing() && off.pass().is_err());
    store.change_settings(tenant(0), 3, sharing(), decided()).await.unwrap();
    assert!(first.pass().is_err() && off.pass().is_err());
    let second = store.hold(tenant(0)).await.unwrap();
    assert!(second.is_sharing() && second.pass().is_ok());
    assert!(first.epoch() < off.epoch() && off.epoch() < second.epoch());

    let epoch = second.epoch();
    drop((store, dark, first, off, second));
    let again = place.open().hold(tenant(0)).await.unwrap();
    assert_eq!((again.is_sharing(), again.epoch()), (true, epoch));
}

pub async fn off_says_whether_all_passes_were_dropped_within_two_seconds(place: impl Place) {
    let store = place.open();
    store.change_settings(tenant(0), 0, sharing(), decided()).await.unwrap();
    let hold = store.hold(tenant(0)).await.unwrap();
    let pass = hold.pass().unwrap();
    let begun = tokio::time::Instant::now();
    let changed = store.change_settings(tenant(0), 1, Settings::default(), decided()).await.unwrap();
    assert!(!changed.drained);
    assert_eq!(begun.elapsed().as_secs(), 2);
    drop(pass);
    let again = store.change_settings(tenant(0), 2, Settings::default(), decided()).await.unwrap();
    assert!(again.drained);
    assert_eq!(again.settings.version, 3);
}

pub async fn settings_change_by_version_and_survive_a_restart(place: impl Place) {
    let store = place.open();
    let changed = store.change_settings(tenant(0), 0, sharing(), decided()).await.unwrap();
    assert_eq!(changed.settings, VersionedSettings { settings: sharing(), version: 1 });
    let stale = store.change_settings(tenant(0), 0, Settings::default(), decided()).await;
    assert!(matches!(stale, Err(StoreError::SettingsChanged)));
    assert!(store.hold(tenant(0)).await.unwrap().is_sharing());

    let custom = Settings {
        overrides: [(crate::domain::indicator::Indicator::named("Print"), false)].into(),
        custom: [crate::domain::indicator::Indicator::named("BadgeDump")].into(),
        lookback: Lookback::new(100).unwrap(),
        user_analytics: true,
        alert_export: true,
        anonymization: false,
        ..sharing()
    };
    store.change_settings(tenant(0), 1, custom.clone(), decided()).await.unwrap();
    drop(store);
    let store = place.open();
    let kept = store.settings(tenant(0)).await.unwrap();
    assert_eq!(kept, VersionedSettings { settings: custom.clone(), version: 2 });
    let hold = store.hold(tenant(0)).await.unwrap();
    assert_eq!(store.read(&hold, &[]).await.unwrap().rules.settings, custom);
}
