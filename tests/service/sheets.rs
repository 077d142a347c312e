//! What an answer shows of people is kept between answers. Nobody can tell: it is what would be made anew.

use super::world::{Tenant, World, activity, at, upn};
use chrono::TimeDelta;
use riskshare::pb;
use riskshare::pb::EnrichmentView::{Full, Severity, Summary};

const JOHN: &str = "john@contoso.com";

/// Returns an actor without the token, which every page has anew.
fn shown(actor: pb::Actor) -> pb::Actor {
    pb::Actor { next_page_token: String::new(), ..actor }
}

/// Asks in every view, twice each, and demands what a call says that keeps nothing.
async fn check(tenant: &Tenant<'_>) -> pb::Actor {
    let risk = tenant.user_risk(JOHN);
    let anew = tenant.world.incidents().get_user_risk(risk).await.unwrap().into_inner().actor.unwrap();
    for _ in 0..2 {
        let full = tenant.enrich_in(Full, vec![upn(JOHN)]).await;
        assert_eq!(full.highest_risk_user, anew.user);
        assert_eq!(full.actors.into_iter().map(shown).collect::<Vec<_>>(), [shown(anew.clone())]);
        let summary = tenant.enrich_in(Summary, vec![upn(JOHN)]).await;
        let without = pb::Actor { activities: Vec::new(), ..shown(anew.clone()) };
        assert_eq!(summary.actors, [without]);
        let column = tenant.enrich_in(Severity, vec![upn(JOHN)]).await;
        assert_eq!((column.severity, column.valid_until), (summary.severity, summary.valid_until));
        assert!(column.actors.is_empty());
    }
    anew
}

#[tokio::test]
async fn whatever_changes_is_in_the_next_answer() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 60).await;
    let before = check(&tenant).await;
    assert_eq!(before.activities.len(), 50);

    let mut new = activity(JOHN, "EmailExternal", world.now() - TimeDelta::hours(2));
    new.object_name = "offer.docx".to_owned();
    tenant.record(vec![new]).await;
    let with_one_more = check(&tenant).await;
    assert_ne!(with_one_more.summary, before.summary);

    let name = "EmailExternal".to_owned();
    let hidden = pb::IndicatorOverride { indicator: name.clone(), shared: false };
    let settings = pb::Settings { indicator_overrides: vec![hidden], ..Default::default() };
    tenant.set("indicator_overrides", settings).await;
    let without_it = check(&tenant).await;
    assert!(without_it.activities.iter().all(|one| one.indicator != name));

    world.clock.set(at("2027-02-10T12:00:00Z"));
    let later = check(&tenant).await;
    assert_ne!(later.summary, without_it.summary);
}

#[tokio::test]
async fn a_page_token_is_the_callers_own_though_the_page_was_kept() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 60).await;
    for _ in 0..2 {
        let answer = tenant.enrich_in(Full, vec![upn(JOHN)]).await;
        let token = answer.actors[0].next_page_token.clone();
        let rest = tenant.list(pb::ListUserActivitiesRequest { page_token: token, ..tenant.timeline(JOHN) });
        assert_eq!(rest.await.unwrap().activities.len(), 10);
    }
}
