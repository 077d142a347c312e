//! Promises about the audit log.

use super::{Place, asked, decided, noon, sharing, tenant, today};
use crate::domain::audit::{AuditEvent, AuditOutcome, AuditQuery, ChainHead, FaultKind};
use crate::domain::ids::TenantId;
use crate::domain::user::UserNo;
use crate::store::{Store, StoreError};
use chrono::TimeDelta;
use std::sync::Arc;

fn read(number: u32) -> AuditEvent {
    let event = asked("EnrichAlert", AuditOutcome::Disclosed);
    let (alerts, users) = (vec![format!("alert-{number}").into()], vec![UserNo(number)]);
    AuditEvent { alerts, users, ..event }
}

/// Reads all pages of so many lines.
async fn lines(
    store: &Arc<dyn Store>,
    tenant: TenantId,
    query: AuditQuery,
    size: usize,
) -> Vec<(u64, AuditEvent)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.audit_page(tenant, query.clone(), after, size).await.unwrap();
        assert!(page.lines.len() <= size);
        all.extend(page.lines.into_iter().map(|line| (line.sequence, line.event)));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

async fn all(store: &Arc<dyn Store>, tenant: TenantId) -> Vec<(u64, AuditEvent)> {
    lines(store, tenant, AuditQuery::default(), 100).await
}

async fn head(store: &Arc<dyn Store>, tenant: TenantId) -> ChainHead {
    let verdict = store.verify_audit(tenant, None).await.unwrap();
    assert_eq!(verdict.faults, []);
    verdict.head
}

pub async fn what_was_written_down_is_read_in_order_and_survives_a_restart(place: impl Place) {
    let store = place.open();
    assert!(!store.knows(tenant(0)).await.unwrap());
    assert_eq!(all(&store, tenant(0)).await, []);
    assert_eq!(head(&store, tenant(0)).await, ChainHead::default());
    assert!(!store.knows(tenant(0)).await.unwrap());
    for number in 1..=5 {
        store.record(tenant(0), read(number)).await.unwrap();
        store.record(tenant(1), read(100 + number)).await.unwrap();
    }
    assert!(store.knows(tenant(0)).await.unwrap());
    let expected: Vec<_> = (1..=5).map(|number| (u64::from(number), read(number))).collect();
    let before = head(&store, tenant(0)).await;
    drop(store);
    let store = place.open();
    assert_eq!(all(&store, tenant(0)).await, expected);
    assert_eq!(head(&store, tenant(0)).await, before);
    store.record(tenant(0), read(6)).await.unwrap();
    assert_eq!(head(&store, tenant(0)).await.sequence, 6);
    assert_eq!(all(&store, tenant(0)).await[5], (6, read(6)));
}

pub async fn pages_join_without_gap_and_end_though_the_log_grows(place: impl Place) {
    let store = place.open();
    for number in 1..=7 {
        store.record(tenant(0), read(number)).await.unwrap();
        store.record(tenant(1), read(number)).await.unwrap();
    }
    for size in [1, 2, 3, 7, 8] {
        let numbers: Vec<u64> =
            lines(&store, tenant(0), AuditQuery::default(), size).await.iter().map(|line| line.0).collect();
        assert_eq!(numbers, (1..=7).collect::<Vec<_>>(), "{size}");
    }
    let first = store.audit_page(tenant(0), AuditQuery::default(), None, 3).await.unwrap();
    for number in 8..=9 {
        store.record(tenant(0), read(number)).await.unwrap();
    }
    let rest = store.audit_page(tenant(0), AuditQuery::default(), first.next, 100).await.unwrap();
    let numbers: Vec<u64> = rest.lines.iter().map(|line| line.sequence).collect();
    assert_eq!((numbers, rest.next), ((4..=7).collect(), None));
    let query = AuditQuery { alert: Some("alert-4".to_owned()), ..AuditQuery::default() };
    assert_eq!(lines(&store, tenant(0), query, 2).await, [(4, read(4))]);
}

pub async fn a_line_that_somebody_kept_is_found_or_missed(place: impl Place) {
    let store = place.open();
    for number in 1..=4 {
        store.record(tenant(0), read(number)).await.unwrap();
    }
    let page = store.audit_page(tenant(0), AuditQuery::default(), None, 2).await.unwrap();
    let kept = page.lines[1].head();
    let faults = async |kept| store.verify_audit(tenant(0), Some(kept)).await.unwrap().faults;
    assert_eq!(faults(kept).await, []);
    assert_eq!(faults(ChainHead::default()).await, []);
    let other = ChainHead { hash: page.lines[0].hash, ..kept };
    assert_eq!(faults(other).await[0].kind, FaultKind::Rewritten);
    let later = ChainHead { sequence: 5, ..kept };
    assert_eq!(faults(later).await[0].kind, FaultKind::Truncated);
}

pub async fn old_days_go_and_their_anchor_stays(place: impl Place) {
    let store = place.open();
    for days_ago in [3, 2, 1] {
        for number in 0..2 {
            let event = AuditEvent { at: noon() - TimeDelta::days(days_ago), ..read(number) };
            store.record(tenant(0), event.clone()).await.unwrap();
            if days_ago == 3 {
                store.record(tenant(1), event).await.unwrap();
            }
        }
    }
    let all_of = all(&store, tenant(0)).await;
    let (first, other) = (head(&store, tenant(1)).await, head(&store, tenant(0)).await);
    assert!(store.expire_audit(today().plus(-1)).await.unwrap() > 0);
    assert_eq!(store.expire_audit(today().plus(-1)).await.unwrap(), 0);
    let mut store = store;
    for _ in 0..2 {
        assert_eq!(all(&store, tenant(0)).await, all_of[4..]);
        assert_eq!((head(&store, tenant(0)).await, head(&store, tenant(1)).await), (other, first));
        let verdict = store.verify_audit(tenant(0), None).await.unwrap();
        assert_eq!((verdict.anchor.sequence, verdict.lines), (4, 2));
        let verdict = store.verify_audit(tenant(1), Some(first)).await.unwrap();
        assert_eq!((verdict.anchor, verdict.lines, verdict.faults), (first, 0, vec![]));
        assert_eq!(all(&store, tenant(1)).await, []);
        drop(store);
        store = place.open();
    }
    store.record(tenant(1), read(1)).await.unwrap();
    assert_eq!(head(&store, tenant(1)).await.sequence, first.sequence + 1);
}

pub async fn a_change_of_settings_is_written_down_once_and_one_that_is_not_made_never(place: impl Place) {
    let store = place.open();
    store.change_settings(tenant(0), 0, sharing(), decided()).await.unwrap();
    let stale = store.change_settings(tenant(0), 0, sharing(), decided()).await;
    assert!(matches!(stale, Err(StoreError::SettingsChanged)));
    assert_eq!(all(&store, tenant(0)).await, [(1, decided())]);
}

pub async fn lines_of_many_callers_are_all_there_and_in_one_chain(place: impl Place) {
    let store = place.open();
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..25 {
                    store.record(tenant(caller % 2), read(number)).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    for number in 0..2 {
        assert_eq!(head(&store, tenant(number)).await.sequence, 100);
        assert_eq!(all(&store, tenant(number)).await.len(), 100);
    }
}
