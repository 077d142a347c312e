//! Who is erased is gone, and whom a policy keeps to its reviewers is nobody to everybody else.

use super::world::{World, activity, alert, fields, leaks, reason, upn};
use riskshare::pb;
use riskshare::pb::EnrichmentView::Full;
use tonic::Code;

const JOHN: &str = "john@contoso.com";
const SECRET: &str = "qz7rk2vx9wpl4tnd8hgb";

fn erase(tenant: &super::world::Tenant<'_>, user: pb::UserIdentity) -> pb::DeleteUserRequest {
    pb::DeleteUserRequest { tenant_id: tenant.id.clone(), user: Some(user) }
}

/// Says whether any file below a folder holds a text.
fn is_on_disk(folder: &std::path::Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            is_on_disk(&path, text)
        } else {
            let bytes = std::fs::read(&path).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        }
    })
}

#[tokio::test]
async fn an_erased_user_is_gone_from_every_answer_and_from_disk_also_after_a_restart() {
    let mut world = World::start().await;
    let (id, secret) = {
        let tenant = world.tenant().await;
        let secret = format!("{SECRET}@contoso.com");
        for user in [secret.as_str(), JOHN] {
            tenant.leaker(user, 10).await;
        }
        let mut one = activity(&secret, "CopyToUSB", world.now());
        one.object_name = format!("C:\\{SECRET}.docx");
        tenant.record(vec![one]).await;
        assert_eq!(tenant.column(&[&secret]).await, "High");
        assert!(is_on_disk(&world.data(), SECRET), "the search can find it");

        let answer = world.ingest().delete_user(erase(&tenant, upn(&secret))).await.unwrap().into_inner();
        assert_eq!(answer.erased_users, 1);
        let stranger = tenant.enrich_in(Full, vec![upn(&secret)]).await;
        let nobody = tenant.enrich_in(Full, vec![upn("nobody@contoso.com")]).await;
        assert_eq!(stranger.severity_text, "None");
        assert_eq!(stranger.actors[0].summary, nobody.actors[0].summary);
        assert!(!is_on_disk(&world.data(), SECRET));
        (tenant.id, secret)
    };
    world.restart().await;
    let tenant = world.known(&id);
    assert!(!is_on_disk(&world.data(), SECRET));
    assert_eq!(tenant.column(&[&secret]).await, "None");
    assert_eq!(tenant.column(&[JOHN]).await, "High", "others stay");
    let answer = world.ingest().delete_user(erase(&tenant, upn(&secret))).await.unwrap().into_inner();
    assert_eq!(answer.erased_users, 0, "repeating it is safe");
    tenant.leaker(&secret, 1).await;
    assert_eq!(tenant.column(&[&secret]).await, "Low", "a later fact begins a new user");
}

#[tokio::test]
async fn a_user_who_could_be_two_people_is_not_erased() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    for (sid, name) in [("S-1-5-21-1", "ann@contoso.com"), ("S-1-5-21-2", JOHN)] {
        let user = pb::UserIdentity { sid: sid.to_owned(), ..upn(name) };
        let users = vec![pb::UserRecord { user: Some(user), ..Default::default() }];
        let request = pb::UpsertUsersRequest { tenant_id: tenant.id.clone(), users };
        assert_eq!(world.ingest().upsert_users(request).await.unwrap().into_inner().results, []);
    }
    tenant.leaker(JOHN, 10).await;
    let both = pb::UserIdentity { sid: "S-1-5-21-1".to_owned(), ..upn(JOHN) };
    let refusal = world.ingest().delete_user(erase(&tenant, both)).await.unwrap_err();
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    assert_eq!(fields(&refusal), ["user"]);
    let line = world.written_down(&tenant.id).await.pop().unwrap();
    assert_eq!((line.outcome(), line.user_numbers.len()), (pb::AuditOutcome::Refused, 2));
    assert_eq!(tenant.column(&[JOHN]).await, "High");
}

#[tokio::test]
async fn a_priority_user_is_nobody_to_whom_the_policy_does_not_name() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let users = ["ceo@contoso.com", "nobody@contoso.com"];
    tenant.leaker(users[0], 10).await;
    let reviewed = |by: &[&str]| pb::PolicyRecord {
        priority_users: vec![upn(users[0])],
        priority_reviewers: by.iter().map(ToString::to_string).collect(),
        ..leaks()
    };
    tenant.policy(reviewed(&["local", "somebody"])).await;
    assert_eq!(tenant.column(&[users[0]]).await, "High", "for a reviewer");
    tenant.policy(reviewed(&["somebody"])).await;
    let hidden = async |user: &str| {
        let alert = tenant.enrich_in(Full, vec![upn(user)]).await;
        let timeline = world.enrichment().list_user_activities(tenant.timeline(user)).await.unwrap();
        let (user_id, tenant_id) = (Some(upn(user)), tenant.id.clone());
        let risk = pb::GetUserRiskRequest { user: user_id, tenant_id, activity_page_size: 0 };
        let risk = world.incidents().get_user_risk(risk).await.unwrap();
        let assets = world.incidents().get_impacted_assets(tenant.incident(&[user])).await.unwrap();
        let seen = (alert, timeline.into_inner(), risk.into_inner(), assets.into_inner());
        format!("{seen:?}").replace(user, "user")
    };
    assert_eq!(hidden(users[0]).await, hidden(users[1]).await);
    let page = pb::BatchEnrichAlertsRequest {
        tenant_id: tenant.id.clone(),
        alerts: vec![alert("a", vec![upn(users[0]), upn(JOHN)])],
        ..Default::default()
    };
    let page = world.enrichment().batch_enrich_alerts(page).await.unwrap().into_inner();
    assert!(format!("{page:?}").contains("\"None\""), "{page:?}");
}
