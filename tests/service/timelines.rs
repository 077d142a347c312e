//! Actors, summaries and timelines.

use crate::world::*;
use chrono::TimeDelta;
use riskshare::pb;

const JOHN: &str = "john@contoso.com";

#[tokio::test]
async fn an_actor_has_reasons_a_summary_and_the_newest_activities() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", JOHN).await;
    let yesterday = world.now() - TimeDelta::days(1);
    let mut activities = copies(JOHN, 10, yesterday);
    activities.extend((0..2).map(|_| activity(JOHN, "Print", world.now() - TimeDelta::hours(1))));
    tenant.record(activities).await;
    let answer = tenant.enrich(&[JOHN]).await;
    let actor = &answer.actors[0];
    assert_eq!((actor.severity_text.as_str(), actor.score), ("High", 67));
    let reasons: Vec<_> = actor
        .reasons
        .iter()
        .map(|one| (one.indicator.as_str(), one.day.as_str(), one.count, one.score))
        .collect();
    assert_eq!(reasons, [("CopyToUSB", "2026-11-23", 10, 67), ("Print", "2026-11-24", 2, 3)]);
    assert_eq!(actor.reasons[0].text, "10 activities of CopyToUSB on 2026-11-23 (High)");
    let summary = actor.summary.as_ref().unwrap();
    assert_eq!((summary.total, summary.unusual_total), (12, 0));
    let by_indicator: Vec<_> =
        summary.by_indicator.iter().map(|one| (one.indicator.as_str(), one.count)).collect();
    assert_eq!(by_indicator, [("CopyToUSB", 10), ("Print", 2)]);
    assert_eq!(summary.by_indicator[0].first_at, Some(timestamp(yesterday)));
    let by_day: Vec<_> = summary.by_day.iter().map(|one| (one.day.as_str(), one.count)).collect();
    assert_eq!(by_day, [("2026-11-23", 10), ("2026-11-24", 2)]);
    assert_eq!(actor.activities.len(), 12);
    assert_eq!(actor.activities[0].indicator, "Print");
    assert_eq!(actor.activities[0].activity_type(), pb::ActivityType::Exfiltration);
    assert_eq!(actor.latest_exfiltration_at, actor.activities[0].occurred_at);
    assert_eq!(answer.as_of, Some(timestamp(world.now())));
    assert_eq!(answer.valid_until, Some(timestamp(at("2026-11-25T00:00:00Z"))));
}

#[tokio::test]
async fn a_day_far_above_the_usual_is_counted_as_unusual() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 25).await;
    let summary = tenant.enrich(&[JOHN]).await.actors[0].summary.clone().unwrap();
    assert_eq!((summary.total, summary.unusual_total), (25, 25));
    assert_eq!(summary.by_indicator[0].unusual_count, 25);
    assert_eq!(summary.by_day[0].unusual_count, 25);
}

#[tokio::test]
async fn pages_walk_a_timeline_without_gap_or_repetition_in_both_orders() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 7).await; // Of one instant: the ids order them.
    tenant
        .record((1..=6).map(|h| activity(JOHN, "Print", world.now() - TimeDelta::hours(h))).collect())
        .await;
    let all = tenant.list(tenant.timeline(JOHN)).await.unwrap().activities;
    assert_eq!(all.len(), 13);
    for order in [pb::ActivityOrder::NewestFirst, pb::ActivityOrder::OldestFirst] {
        for page_size in [1, 4, 13] {
            let mut request =
                pb::ListUserActivitiesRequest { order: order.into(), page_size, ..tenant.timeline(JOHN) };
            let mut walked = Vec::new();
            loop {
                let page = tenant.list(request.clone()).await.unwrap();
                walked.extend(page.activities);
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            if order == pb::ActivityOrder::OldestFirst {
                walked.reverse();
            }
            assert_eq!(walked, all, "{order:?}, {page_size} at a time");
        }
    }
}

#[tokio::test]
async fn the_first_page_of_an_actor_goes_on_in_the_timeline() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 60).await;
    let actor = tenant.enrich(&[JOHN]).await.actors[0].clone();
    assert_eq!(actor.activities.len(), 50);
    let rest =
        pb::ListUserActivitiesRequest { page_token: actor.next_page_token.clone(), ..tenant.timeline(JOHN) };
    let rest = tenant.list(rest).await.unwrap();
    assert_eq!((rest.activities.len(), rest.next_page_token.as_str()), (10, ""));
    let all = tenant.list(tenant.timeline(JOHN)).await.unwrap().activities;
    assert_eq!([actor.activities, rest.activities].concat(), all);
}

#[tokio::test]
async fn a_window_and_indicators_narrow_a_timeline() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 1).await;
    for days in [1, 2, 3] {
        tenant.record(vec![activity(JOHN, "Print", world.now() - TimeDelta::days(days))]).await;
    }
    let window = |start: &str, end: &str| {
        Some(pb::ActivityWindow { start_day: start.to_owned(), end_day: end.to_owned(), days: 0 })
    };
    let ask = |window| pb::ListUserActivitiesRequest { window, ..tenant.timeline(JOHN) };
    let answer = tenant.list(ask(window("2026-11-22", "2026-11-23"))).await.unwrap();
    assert_eq!((answer.activities.len(), answer.window.unwrap().days), (2, 2));
    let answer = tenant.list(ask(window("2020-01-01", ""))).await.unwrap();
    assert_eq!((answer.activities.len(), answer.window.unwrap().days), (4, 120));
    for (start, end) in [("2020-01-01", "2020-02-01"), ("2030-01-01", "2030-02-01"), ("2030-01-01", "")] {
        let answer = tenant.list(ask(window(start, end))).await.unwrap();
        assert_eq!((answer.activities.len(), answer.window), (0, None), "none of the days is shared");
    }
    let answer = tenant.list(ask(window("", "2026-11-21"))).await.unwrap();
    assert_eq!(answer.activities.len(), 1);
    let prints = pb::ListUserActivitiesRequest { indicators: vec!["Print".to_owned()], ..ask(None) };
    assert_eq!(tenant.list(prints).await.unwrap().activities.len(), 3);
}

#[tokio::test]
async fn an_idle_users_level_changes_at_the_instant_that_the_answer_named() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 1).await;
    let until = pb::MembershipInterval {
        from: Some(timestamp(at("2025-01-01T00:00:00Z"))),
        until: Some(timestamp(at("2026-11-24T15:30:00Z"))),
    };
    let membership =
        pb::MembershipRecord { policy_id: "leaks".to_owned(), user: Some(upn(JOHN)), intervals: vec![until] };
    let request = pb::SetMembershipsRequest { tenant_id: tenant.id.clone(), memberships: vec![membership] };
    world.ingest().set_memberships(request).await.unwrap();
    let answer = tenant.enrich(&[JOHN]).await;
    assert_eq!(
        (answer.severity_text.as_str(), answer.valid_until),
        ("Low", Some(timestamp(at("2026-11-24T15:30:00Z"))))
    );
    world.clock.set(at("2026-11-24T15:29:59.999999999Z"));
    assert_eq!(tenant.column(&[JOHN]).await, "Low");
    world.clock.set(at("2026-11-24T15:30:00Z"));
    assert_eq!(tenant.column(&[JOHN]).await, "None");
}
