//! One person under many names, and many people under one name.

use crate::world::*;
use chrono::TimeDelta;
use riskshare::pb;
use riskshare::pb::EnrichmentView::Full;

const OBJECT_ID: &str = "6f1c3f0a-1d2b-4c3d-8e4f-5a6b7c8d9e0f";
const SID: &str = "S-1-5-21-1004336348-1177238915-682003330-512";

fn john() -> pb::UserIdentity {
    pb::UserIdentity {
        entra_object_id: OBJECT_ID.to_owned(),
        sid: SID.to_owned(),
        smtp_addresses: vec!["j.doe@contoso.com".to_owned(), "johnny@contoso.com".to_owned()],
        account_name: "CONTOSO\\jdoe".to_owned(),
        ..upn("john@contoso.com")
    }
}

fn by_each_key() -> Vec<pb::UserIdentity> {
    vec![
        pb::UserIdentity { entra_object_id: OBJECT_ID.to_uppercase(), ..Default::default() },
        pb::UserIdentity { sid: SID.to_lowercase(), ..Default::default() },
        upn("JOHN@Contoso.COM"),
        upn("johnny@contoso.com"),
        pb::UserIdentity { smtp_addresses: vec![" j.doe@contoso.com ".to_owned()], ..Default::default() },
        pb::UserIdentity { account_name: "contoso\\JDOE".to_owned(), ..Default::default() },
    ]
}

#[tokio::test]
async fn a_declared_user_is_found_by_every_key_and_listed_once() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.declare(pb::UserRecord { user: Some(john()), ..Default::default() }).await;
    tenant.leaker("john@contoso.com", 10).await;
    for user in by_each_key() {
        assert_eq!(tenant.enrich_in(Full, vec![user]).await.severity_text, "High");
    }
    let answer = tenant.enrich_in(Full, by_each_key()).await;
    assert_eq!(answer.actors.len(), 1);
    assert_eq!(answer.actors[0].user.as_ref().unwrap().entra_object_id, OBJECT_ID);
}

#[tokio::test]
async fn addresses_come_back_sorted_whatever_their_order_was() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let smtp_addresses = ["z@contoso.com", "a@contoso.com"].map(str::to_owned).to_vec();
    let user = pb::UserIdentity { smtp_addresses, ..upn("john@contoso.com") };
    tenant.declare(pb::UserRecord { user: Some(user), ..Default::default() }).await;
    let answer = tenant.enrich(&["john@contoso.com"]).await;
    assert_eq!(answer.actors[0].user.as_ref().unwrap().smtp_addresses, ["a@contoso.com", "z@contoso.com"]);
}

#[tokio::test]
async fn records_under_different_names_become_one_person_once_the_names_are_declared() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.member("leaks", "john@contoso.com").await;
    for user in by_each_key() {
        let mut copy = copies("john@contoso.com", 1, world.now() - TimeDelta::hours(1)).remove(0);
        copy.user = Some(user);
        tenant.record(vec![copy]).await;
    }
    tenant.declare(pb::UserRecord { user: Some(john()), ..Default::default() }).await;
    let answer = tenant.enrich(&["john@contoso.com"]).await;
    assert_eq!(answer.actors[0].summary.as_ref().unwrap().total, 6);
    assert_eq!(answer.severity_text, "Medium");
}

#[tokio::test]
async fn keys_of_two_known_people_are_ambiguous_and_show_the_higher_level_alone() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let declare = |id: &str, name: &str| pb::UserRecord {
        user: Some(pb::UserIdentity { entra_object_id: id.to_owned(), ..upn(name) }),
        ..Default::default()
    };
    tenant.declare(declare(OBJECT_ID, "john@contoso.com")).await;
    tenant.declare(declare("7f1c3f0a-1d2b-4c3d-8e4f-5a6b7c8d9e0f", "kate@contoso.com")).await;
    tenant.leaker("john@contoso.com", 10).await;
    tenant.leaker("kate@contoso.com", 1).await;
    let both = pb::UserIdentity { entra_object_id: OBJECT_ID.to_owned(), ..upn("kate@contoso.com") };
    let answer = tenant.enrich_in(Full, vec![both.clone()]).await;
    let actor = &answer.actors[0];
    assert_eq!((answer.severity_text.as_str(), actor.ambiguous), ("High", true));
    assert_eq!((actor.activities.len(), actor.reasons.len(), actor.summary.is_some()), (0, 0, false));
    assert_eq!(actor.latest_exfiltration_at, None);
    let request = pb::ListUserActivitiesRequest { user: Some(both.clone()), ..tenant.timeline("") };
    assert_eq!(fields(&tenant.list(request).await.unwrap_err()), ["user"]);
    let request = pb::GetUserRiskRequest { user: Some(both), ..tenant.user_risk("") };
    assert_eq!(fields(&world.incidents().get_user_risk(request).await.unwrap_err()), ["user"]);
}

#[tokio::test]
async fn a_record_with_keys_of_two_declared_people_is_a_conflict_and_changes_neither() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for name in ["john@contoso.com", "kate@contoso.com"] {
        tenant.declare(pb::UserRecord { user: Some(upn(name)), ..Default::default() }).await;
        tenant.leaker(name, 1).await;
    }
    let mut copy = copies("john@contoso.com", 1, world.now()).remove(0);
    copy.user.as_mut().unwrap().smtp_addresses.push("kate@contoso.com".to_owned());
    let answer = tenant.record(vec![copy]).await;
    assert_eq!(answer.results[0].outcome(), pb::IngestOutcome::Conflict);
    assert_eq!(answer.results[0].field, "user");
    for name in ["john@contoso.com", "kate@contoso.com"] {
        assert_eq!(tenant.enrich(&[name]).await.actors[0].summary.as_ref().unwrap().total, 1);
    }
}

#[tokio::test]
async fn names_that_only_look_alike_are_different_people() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker("alice@contoso.com", 10).await;
    assert_eq!(tenant.column(&["\u{430}lice@contoso.com"]).await, "None"); // A Cyrillic a.
    assert_eq!(tenant.column(&["alice@contoso.com.evil.example"]).await, "None");
    let kelvin = tenant.ask(Full, vec![upn("\u{212a}ate@contoso.com")]);
    let refusal = world.enrichment().enrich_alert(kelvin).await.unwrap_err();
    assert_eq!(fields(&refusal), ["alert.involved_users[0].upn"]);
    tenant.leaker("jo\u{308}rg@contoso.com", 10).await;
    assert_eq!(tenant.column(&["J\u{f6}rg@contoso.com"]).await, "High");
}

#[tokio::test]
async fn an_unknown_user_is_answered_by_the_keys_that_were_given() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let answer = tenant.enrich_in(Full, vec![john()]).await;
    assert_eq!(answer.severity_text, "None");
    let mut expected = john();
    expected.account_name = expected.account_name.to_lowercase();
    assert_eq!(answer.actors[0].user, Some(expected));
    assert_eq!(tenant.list(tenant.timeline("john@contoso.com")).await.unwrap().activities, []);
}

#[tokio::test]
async fn a_name_that_is_given_to_somebody_else_goes_with_its_declaration_and_the_past_stays() {
    let mut world = World::start().await;
    let other_id = "7f1c3f0a-1d2b-4c3d-8e4f-5a6b7c8d9e0f";
    let id = {
        let tenant = world.tenant().await;
        let declare = async |object_id: &str, name: &str| {
            let user = pb::UserIdentity { entra_object_id: object_id.to_owned(), ..upn(name) };
            tenant.declare(pb::UserRecord { user: Some(user), ..Default::default() }).await;
        };
        declare(OBJECT_ID, "john@contoso.com").await;
        tenant.leaker("john@contoso.com", 10).await;
        declare(OBJECT_ID, "john.doe@contoso.com").await;
        assert_eq!(tenant.column(&["john@contoso.com"]).await, "None");
        assert_eq!(tenant.column(&["john.doe@contoso.com"]).await, "High");
        declare(other_id, "john@contoso.com").await;
        assert_eq!(tenant.column(&["john@contoso.com"]).await, "None");
        tenant.id
    };
    world.restart().await;
    let tenant = Tenant { world: &world, id };
    let by_id = |id: &str| vec![pb::UserIdentity { entra_object_id: id.to_owned(), ..Default::default() }];
    assert_eq!(tenant.enrich_in(Full, by_id(OBJECT_ID)).await.severity_text, "High");
    let other = tenant.enrich_in(Full, by_id(other_id)).await;
    assert_eq!(other.severity_text, "None");
    assert_eq!(other.actors[0].user.as_ref().unwrap().upn, "john@contoso.com");
}
