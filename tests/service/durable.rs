//! Promise 2 and 4 as far as one server shows them: what was acknowledged is there after a restart, once, and gives
//! the same answer. `tests/crash.rs` kills the server, and `tests/sync`
//! fails its syncs.

use crate::wire::seen;
use crate::world::*;
use chrono::TimeDelta;
use riskshare::pb;

#[tokio::test]
async fn an_answer_is_the_same_byte_for_byte_after_a_restart() {
    let mut world = World::start().await;
    let requests = {
        let tenant = world.tenant().await;
        for (user, count) in [("high@contoso.com", 10), ("medium@contoso.com", 3), ("low@contoso.com", 1)] {
            tenant.leaker(user, count).await;
        }
        let users = ["low@contoso.com", "high@contoso.com", "medium@contoso.com", "nobody@contoso.com"];
        let alert = tenant.ask(pb::EnrichmentView::Full, users.map(upn).to_vec());
        (alert, tenant.user_risk("high@contoso.com"), pb::GetSettingsRequest { tenant_id: tenant.id })
    };
    let mut answers = Vec::new();
    for restart in [false, true] {
        if restart {
            world.restart().await;
        }
        answers.push([
            seen(&world, "AlertEnrichmentService/EnrichAlert", &requests.0).await,
            seen(&world, "IncidentService/GetUserRisk", &requests.1).await,
            seen(&world, "SettingsService/GetSettings", &requests.2).await,
        ]);
    }
    assert!(answers[0].iter().all(crate::wire::Seen::is_ok));
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn page_tokens_outlive_a_restart() {
    let mut world = World::start().await;
    let next = {
        let tenant = world.tenant().await;
        tenant.leaker("john@contoso.com", 5).await;
        let first = pb::ListUserActivitiesRequest { page_size: 3, ..tenant.timeline("john@contoso.com") };
        let page_token = tenant.list(first.clone()).await.unwrap().next_page_token;
        pb::ListUserActivitiesRequest { page_token, ..first }
    };
    world.restart().await;
    let rest = world.enrichment().list_user_activities(next).await.unwrap().into_inner();
    assert_eq!((rest.activities.len(), rest.next_page_token.as_str()), (2, ""));
}

#[tokio::test]
async fn a_repeated_activity_counts_once_and_one_with_other_content_is_a_conflict() {
    let mut world = World::start().await;
    let (id, first) = {
        let tenant = world.tenant().await;
        tenant.member("leaks", "john@contoso.com").await;
        let first = activity("john@contoso.com", "CopyToUSB", world.now() - TimeDelta::hours(1));
        let answer = tenant.record(vec![first.clone(), first.clone()]).await;
        let counts = answer.counts.unwrap();
        assert_eq!((counts.accepted, counts.duplicate), (1, 1));
        (tenant.id, first)
    };
    world.restart().await;
    let tenant = Tenant { world: &world, id };
    let other = pb::ActivityRecord { destination: "F:".to_owned(), ..first.clone() };
    let answer = tenant.record(vec![first.clone(), other]).await;
    let counts = answer.counts.unwrap();
    assert_eq!((counts.duplicate, counts.conflict), (1, 1));
    assert_eq!(answer.results[1].field, "activity_id");
    let kept = tenant.enrich(&["john@contoso.com"]).await.actors[0].activities.clone();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].destination, "E:");
}

#[tokio::test]
async fn an_acknowledged_batch_is_seen_by_the_next_read() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", "john@contoso.com").await;
    for copies_so_far in 1..=20 {
        tenant.record(copies("john@contoso.com", 1, world.now() - TimeDelta::hours(1))).await;
        let summary = tenant.enrich(&["john@contoso.com"]).await.actors[0].summary.clone().unwrap();
        assert_eq!(summary.total, copies_so_far);
    }
}

#[tokio::test]
async fn the_order_in_which_facts_arrive_changes_nothing() {
    let world = World::start().await;
    let mut answers = Vec::new();
    let activities = {
        let when = world.now() - TimeDelta::hours(3);
        let mut activities = copies("john@contoso.com", 6, when);
        activities.extend(copies("JOHN@contoso.com", 6, when - TimeDelta::days(2)));
        activities
    };
    for reversed in [false, true] {
        let tenant = world.tenant().await;
        let mut activities = activities.clone();
        if reversed {
            activities.reverse();
            for one in activities {
                tenant.record(vec![one]).await;
            }
            tenant.member("leaks", "john@contoso.com").await;
        } else {
            tenant.member("leaks", "john@contoso.com").await;
            tenant.record(activities).await;
        }
        answers.push(tenant.enrich(&["john@contoso.com"]).await);
    }
    assert_eq!(answers[0].severity_text, "Medium");
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn days_that_leave_the_horizon_are_forgotten_and_the_rest_stays() {
    let mut world = World::start().await;
    let id = {
        let tenant = world.tenant().await;
        tenant.leaker("john@contoso.com", 3).await;
        tenant.record(copies("john@contoso.com", 2, at("2026-07-28T08:00:00Z"))).await;
        assert_eq!(tenant.enrich(&["john@contoso.com"]).await.actors[0].summary.as_ref().unwrap().total, 5);
        tenant.id
    };
    world.clock.set(at("2026-11-25T12:00:00Z"));
    world.restart().await;
    let tenant = Tenant { world: &world, id };
    let actor = tenant.enrich(&["john@contoso.com"]).await.actors[0].clone();
    assert_eq!(actor.summary.unwrap().total, 3);
    let again = tenant.record(copies("john@contoso.com", 1, at("2026-07-28T08:00:00Z"))).await;
    assert_eq!(again.counts.unwrap().outside_window, 1);
}
