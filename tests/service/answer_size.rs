//! No answer is larger than a gRPC client takes by default, and what does not fit can be asked for. The clients of
//! all these tests have the default limit, 4 MiB.

use crate::world::*;
use chrono::TimeDelta;
use prost::Message;
use riskshare::pb;
use riskshare::pb::EnrichmentView::{Full, Severity, Summary};
use riskshare::pb::enrich_alert_result::Result as Of;
use tonic::Code;

const JOHN: &str = "john@contoso.com";
const MIB: usize = 1024 * 1024;

/// Makes everything about an activity as long as it may be.
fn long(mut one: pb::ActivityRecord) -> pb::ActivityRecord {
    one.operation = "o".repeat(256);
    one.object_name = "n".repeat(4_096);
    one.destination = "d".repeat(2_048);
    one
}

async fn long_timeline(tenant: &Tenant<'_>, user: &str, count: usize) {
    tenant.member("leaks", user).await;
    let when = tenant.world.now() - TimeDelta::hours(1);
    let activities = copies(user, count, when).into_iter().map(long).collect();
    assert_eq!(tenant.record(activities).await.results, []);
}

/// Walks a timeline to its end, from an activity on.
async fn walk(tenant: &Tenant<'_>, mut request: pb::ListUserActivitiesRequest) -> Vec<Vec<pb::Activity>> {
    let mut pages = Vec::new();
    loop {
        let page = tenant.list(request.clone()).await.unwrap();
        assert!(page.encoded_len() <= 4 * MIB);
        pages.push(page.activities);
        if page.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = page.next_page_token;
    }
}

fn page_of(
    tenant: &Tenant<'_>,
    view: pb::EnrichmentView,
    alerts: Vec<pb::DlpAlert>,
) -> pb::BatchEnrichAlertsRequest {
    let tenant_id = tenant.id.clone();
    pb::BatchEnrichAlertsRequest { tenant_id, alerts, view: view.into(), activity_page_size: 200 }
}

async fn actors(world: &World, request: pb::BatchEnrichAlertsRequest) -> Vec<pb::Actor> {
    let answer = world.enrichment().batch_enrich_alerts(request).await.unwrap().into_inner();
    assert!(answer.encoded_len() <= 4 * MIB);
    let actors = answer.results.into_iter().flat_map(|result| match result.result {
        Some(Of::Alert(alert)) => alert.actors,
        other => panic!("no alert: {other:?}"),
    });
    actors.collect()
}

#[tokio::test]
async fn a_page_of_long_activities_ends_early_and_the_next_one_goes_on() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    long_timeline(&tenant, JOHN, 1_000).await;
    for order in [pb::ActivityOrder::NewestFirst, pb::ActivityOrder::OldestFirst] {
        let request =
            pb::ListUserActivitiesRequest { page_size: 1_000, order: order.into(), ..tenant.timeline(JOHN) };
        let pages = walk(&tenant, request).await;
        let sizes: Vec<_> = pages.iter().map(Vec::len).collect();
        assert!((2..=4).contains(&pages.len()), "{sizes:?}");
        let mut ids: Vec<_> = pages.into_iter().flatten().map(|one| one.activity_id).collect();
        assert!(ids.is_sorted_by(|a, b| if order == pb::ActivityOrder::NewestFirst { a > b } else { a < b }));
        ids.dedup();
        assert_eq!(ids.len(), 1_000, "{sizes:?}");
    }
}

#[tokio::test]
async fn the_timelines_of_a_page_of_alerts_share_its_room_and_go_on_where_they_were_cut() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    long_timeline(&tenant, JOHN, 300).await;
    let whole: Vec<_> = walk(&tenant, tenant.timeline(JOHN)).await.into_iter().flatten().collect();
    let alerts = (0..250).map(|n| alert(&format!("alert-{n}"), vec![upn(JOHN)])).collect();
    let actors = actors(&world, page_of(&tenant, Full, alerts)).await;
    assert!(actors.iter().all(|actor| !actor.truncated && actor.summary.as_ref().unwrap().total == 300));
    let sizes: Vec<_> = actors.iter().map(|actor| actor.activities.len()).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    assert_eq!((sizes[0], sizes[249]), (200, 0));
    let cut = sizes.iter().position(|size| (1..200).contains(size)).expect("one that is cut in the middle");
    for actor in [0, cut, 249] {
        let (begun, page_token) = (&actors[actor].activities, actors[actor].next_page_token.clone());
        let request = pb::ListUserActivitiesRequest { page_token, page_size: 1_000, ..tenant.timeline(JOHN) };
        let rest = walk(&tenant, request).await;
        assert!(begun.iter().chain(rest.iter().flatten()).eq(&whole), "actor {actor}");
    }
}

#[tokio::test]
async fn of_too_many_actors_the_first_have_summaries_and_the_others_say_that_theirs_are_left_out() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let users: Vec<_> = (0..10).map(|n| format!("user{n}@contoso.com")).collect();
    for user in &users {
        tenant.member("leaks", user).await;
        let days = (0..120).map(|day| world.now() - TimeDelta::days(day));
        let busy = days.flat_map(|day| {
            let of = ["CopyToUSB", "Print", "EmailExternal", "CopyToCloud"];
            of.map(|indicator| activity(user, indicator, day))
        });
        assert_eq!(tenant.record(busy.collect()).await.results, []);
    }
    let all: Vec<_> = users.iter().map(|user| upn(user)).collect();
    for view in [Summary, Full] {
        let alerts = |count| (0..count).map(|n| alert(&format!("alert-{n}"), all.clone())).collect();
        let few = actors(&world, page_of(&tenant, view, alerts(10))).await;
        assert!(few.iter().all(|actor| actor.summary.is_some() && !actor.truncated));
        let count = if view == Full { 25 } else { 500 };
        let many = actors(&world, page_of(&tenant, view, alerts(count))).await;
        assert_eq!(many.len(), 10 * count);
        assert!(many.iter().all(|actor| actor.severity_text == few[0].severity_text));
        assert!(many.iter().all(|actor| actor.summary.is_none() == actor.truncated));
        assert!(many.is_sorted_by_key(|actor| actor.truncated), "the first are whole");
        assert!(many[..100].iter().zip(&few).all(|(a, b)| a.summary == b.summary && a.reasons == b.reasons));
        assert_eq!(many.last().unwrap().truncated, view == Summary);
    }
}

/// Names alone can be too long, if all have twenty of the longest.
#[tokio::test]
async fn an_answer_that_is_too_large_all_the_same_is_refused_with_a_reason_and_the_column_still_given() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let user = |n: usize| format!("user{n}@contoso.com");
    let long_name = |n: usize, alias: usize| format!("{}{n}.{alias}@contoso.com", "a".repeat(230));
    let records = (0..1_000).map(|n| pb::UserRecord {
        user: Some(pb::UserIdentity {
            smtp_addresses: (0..20).map(|alias| long_name(n, alias)).collect(),
            ..upn(&user(n))
        }),
        ..Default::default()
    });
    let request = pb::UpsertUsersRequest { tenant_id: tenant.id.clone(), users: records.collect() };
    assert_eq!(world.ingest().upsert_users(request).await.unwrap().into_inner().results, []);
    let ask = |view, count| tenant.ask(view, (0..count).map(|n| upn(&user(n))).collect());
    let answer = world.enrichment().enrich_alert(ask(Summary, 500)).await.unwrap().into_inner();
    assert_eq!(answer.alert.unwrap().actors.len(), 500);
    let refusal = world.enrichment().enrich_alert(ask(Summary, 1_000)).await.unwrap_err();
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert_eq!(refusal.message(), "the answer would be larger than 4 MiB; ask about fewer users at once");
    let answer = world.enrichment().enrich_alert(ask(Severity, 1_000)).await.unwrap().into_inner();
    assert_eq!(answer.alert.unwrap().severity_text, "None");
}

#[tokio::test]
async fn a_person_with_more_addresses_than_a_request_may_name_is_shown_with_twenty() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let named = |batch: usize| pb::UserIdentity {
        smtp_addresses: (0..20).map(|n| format!("john.{batch}.{n}@contoso.com")).collect(),
        ..upn(JOHN)
    };
    let record = pb::UserRecord { user: Some(named(0)), ..Default::default() };
    let request = pb::UpsertUsersRequest { tenant_id: tenant.id.clone(), users: vec![record] };
    assert_eq!(world.ingest().upsert_users(request).await.unwrap().into_inner().results, []);
    let actor = tenant.enrich_in(Summary, vec![named(1)]).await.actors.remove(0);
    let user = actor.user.unwrap();
    assert_eq!((user.upn.as_str(), user.smtp_addresses.len()), (JOHN, 20));
}

#[tokio::test]
async fn ten_thousand_refused_items_are_all_told_why() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let bad = pb::ActivityRecord { indicator: "x".repeat(129), ..activity(JOHN, "Print", world.now()) };
    let answer = tenant.record(vec![bad; 10_000]).await;
    assert_eq!((answer.results.len(), answer.counts.unwrap().rejected), (10_000, 10_000));
    let request = pb::IngestActivitiesRequest {
        tenant_id: tenant.id.clone(),
        raw_records: vec!["{\"a\":1}".to_owned(); 10_000],
        ..Default::default()
    };
    let answer = world.ingest().ingest_activities(request).await.unwrap().into_inner();
    assert_eq!(answer.results.len(), 10_000);
}
