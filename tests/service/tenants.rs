//! Promise 5: tenants never meet.

use crate::wire::{Seen, seen};
use crate::world::*;
use chrono::TimeDelta;
use riskshare::pb;

#[tokio::test]
async fn a_tenants_answers_do_not_depend_on_what_another_holds_of_the_same_names_and_ids() {
    let alone = World::start().await;
    let beside = World::start().await;
    let id = uuid::Uuid::new_v4().to_string();
    let neighbour = beside.tenant().await;
    let when = alone.now() - TimeDelta::hours(1);
    let facts = copies("john@contoso.com", 3, when);
    // The same activity ids, another story.
    neighbour.leaker("john@contoso.com", 10).await;
    neighbour
        .record(
            facts
                .iter()
                .cloned()
                .map(|one| pb::ActivityRecord { destination: "F:".to_owned(), ..one })
                .collect(),
        )
        .await;
    let mut answers = Vec::new();
    for world in [&alone, &beside] {
        let tenant = Tenant { world, id: id.clone() };
        tenant.policy(leaks()).await;
        tenant.share(true).await;
        tenant.member("leaks", "john@contoso.com").await;
        assert_eq!(tenant.record(facts.clone()).await.counts.unwrap().accepted, 3);
        answers.push(all(&tenant).await);
    }
    assert!(answers[0].iter().all(Seen::is_ok));
    assert_eq!(answers[0], answers[1]);
}

async fn all(tenant: &Tenant<'_>) -> Vec<Seen> {
    let john = "john@contoso.com";
    vec![
        seen(
            tenant.world,
            "AlertEnrichmentService/EnrichAlert",
            &tenant.ask(pb::EnrichmentView::Full, vec![upn(john)]),
        )
        .await,
        seen(tenant.world, "AlertEnrichmentService/ListUserActivities", &tenant.timeline(john)).await,
        seen(tenant.world, "IncidentService/GetUserRisk", &tenant.user_risk(john)).await,
    ]
}

#[tokio::test]
async fn turning_one_tenant_off_leaves_the_others_on() {
    let world = World::start().await;
    let (one, other) = (world.tenant().await, world.tenant().await);
    one.leaker("john@contoso.com", 10).await;
    other.leaker("john@contoso.com", 3).await;
    one.share(false).await;
    assert_eq!(one.column(&["john@contoso.com"]).await, "User data is not available");
    assert_eq!(other.column(&["john@contoso.com"]).await, "Medium");
}
