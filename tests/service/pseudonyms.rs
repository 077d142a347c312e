//! Who a user is whom the audit log names by number: told to auditors, who say why, and to nobody while sharing is off.

use crate::tampered::{Call, Services, Tampered, Tampering};
use crate::wire::{Seen, seen, seen_over};
use crate::world::*;
use prost::Message;
use riskshare::domain::ids::TenantId;
use riskshare::pb;
use riskshare::pb::AuditOutcome;
use riskshare::pb::pseudonym_service_client::PseudonymServiceClient;
use tonic::Code;

const JOHN: &str = "john@contoso.com";
const RESOLVE: &str = "PseudonymService/ResolveUsers";

fn ask(tenant_id: &str, numbers: &[u32]) -> pb::ResolveUsersRequest {
    pb::ResolveUsersRequest {
        tenant_id: tenant_id.to_owned(),
        user_numbers: numbers.to_vec(),
        reason: "case 17".to_owned(),
    }
}

async fn resolved(tenant: &Tenant<'_>, numbers: &[u32]) -> Vec<pb::ResolvedUser> {
    let mut client = PseudonymServiceClient::new(tenant.world.channel.clone());
    client.resolve_users(ask(&tenant.id, numbers)).await.unwrap().into_inner().users
}

/// Reads a user, and returns their number as the audit log has it, and their pseudonym.
async fn number(tenant: &Tenant<'_>, user: &str) -> (u32, String) {
    tenant.column(&[user]).await;
    let request = pb::ListAuditEventsRequest { tenant_id: tenant.id.clone(), ..Default::default() };
    let page = tenant.world.audit().list_audit_events(request).await.unwrap().into_inner();
    let number = page.events.iter().rev().find_map(|line| line.user_numbers.first().copied()).unwrap();
    let user = page.users.into_iter().find(|one| one.number == number).unwrap();
    (number, user.pseudonym)
}

#[tokio::test]
async fn an_auditor_learns_who_a_number_is_and_the_log_who_asked_and_why() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let declared = pb::UserIdentity {
        upn: JOHN.to_owned(),
        sid: "S-1-5-21-7".to_owned(),
        smtp_addresses: vec!["j@contoso.com".to_owned()],
        display_name: "John Doe".to_owned(),
        ..Default::default()
    };
    tenant.declare(pb::UserRecord { user: Some(declared.clone()), ..Default::default() }).await;
    let (john, pseudonym) = number(&tenant, JOHN).await;
    let users = resolved(&tenant, &[4_000_000, john, john]).await;
    let nobody = pb::ResolvedUser { number: 4_000_000, ..Default::default() };
    let known =
        pb::ResolvedUser { number: john, current_number: Some(john), pseudonym, user: Some(declared) };
    assert_eq!(users, [nobody, known.clone(), known]);
    let line = world.written_down(&tenant.id).await.pop().unwrap();
    assert_eq!((line.action.as_str(), line.outcome()), ("ResolveUsers", AuditOutcome::Disclosed));
    assert_eq!((line.user_numbers, line.unknown_users), (vec![john], 1));
    assert_eq!(line.reason, "case 17");
    assert!(world.verify(&tenant.id, None).await.valid);
}

#[tokio::test]
async fn nobody_is_resolved_without_a_reason_or_too_many_at_once() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    let refusal = |request: pb::ResolveUsersRequest| async {
        let refusal = PseudonymServiceClient::new(world.channel.clone()).resolve_users(request).await;
        let refusal = refusal.unwrap_err();
        assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
        fields(&refusal)
    };
    let whole = ask(&tenant.id, &[1; 1_000]);
    assert_eq!(resolved(&tenant, &whole.user_numbers).await.len(), 1_000);
    for text in [String::new(), " ".to_owned(), "r".repeat(257)] {
        assert_eq!(refusal(pb::ResolveUsersRequest { reason: text, ..whole.clone() }).await, ["reason"]);
    }
    for numbers in [vec![], vec![1; 1_001]] {
        let request = pb::ResolveUsersRequest { user_numbers: numbers, ..whole.clone() };
        assert_eq!(refusal(request).await, ["user_numbers"]);
    }
}

#[tokio::test]
async fn while_sharing_is_off_no_number_is_anybody_and_nobody_is_looked_up() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    let (john, pseudonym) = number(&tenant, JOHN).await;
    tenant.share(false).await;
    let nowhere = uuid::Uuid::new_v4().to_string();
    let expected = seen(&world, RESOLVE, &ask(&nowhere, &[1])).await;
    assert_eq!((expected.code(), expected.reason().as_str()), (Code::FailedPrecondition, "DATA_SHARING_OFF"));
    for number in [john, 4_000_000] {
        let refusal = seen(&world, RESOLVE, &ask(&tenant.id, &[number])).await;
        assert_eq!(refusal, expected);
        assert!(!refusal.holds("john") && !refusal.holds(&pseudonym));
    }
    let line = world.written_down(&tenant.id).await.pop().unwrap();
    assert_eq!((line.outcome(), line.reason.as_str()), (AuditOutcome::SharingOff, "case 17"));
    assert_eq!(line.user_numbers, [0_u32; 0]);

    let store = Tampered::open();
    let off = TenantId::new(uuid::Uuid::from_u128(1));
    store.declare(off, &[JOHN]).await;
    store.tamper(Tampering::Fails(Call::Named));
    let channel = Services::over(&store).serve().await;
    let request = || ask(&off.to_string(), &[1]).encode_to_vec();
    assert_eq!(seen_over(&channel, RESOLVE, request()).await.reason(), "DATA_SHARING_OFF");
    store.share(off, true).await;
    assert_eq!(seen_over(&channel, RESOLVE, request()).await.reason(), "STORE_UNAVAILABLE");
}

#[tokio::test]
async fn names_that_were_looked_up_do_not_leave_once_sharing_is_off() {
    let store = Tampered::open();
    let tenant = TenantId::new(uuid::Uuid::from_u128(1));
    store.declare(tenant, &[JOHN]).await;
    store.share(tenant, true).await;
    let channel = Services::over(&store).serve().await;
    let request = || ask(&tenant.to_string(), &[1, 2]).encode_to_vec();
    let sees_john = |seen: &Seen| seen.holds(JOHN);
    assert!(sees_john(&seen_over(&channel, RESOLVE, request()).await), "John is one of the two");
    store.tamper(Tampering::OffWhileReading);
    let refusal = seen_over(&channel, RESOLVE, request()).await;
    assert_eq!(refusal.reason(), "DATA_SHARING_OFF");
    assert!(!sees_john(&refusal));
}

#[tokio::test]
async fn whom_a_policy_keeps_to_its_reviewers_and_who_was_erased_is_nobody() {
    let world = World::start().await;
    let tenant = world.tenant().await;
    tenant.leaker(JOHN, 10).await;
    tenant.leaker("ceo@contoso.com", 10).await;
    let (john, _) = number(&tenant, JOHN).await;
    let (ceo, _) = number(&tenant, "ceo@contoso.com").await;
    let is_known = |users: Vec<pb::ResolvedUser>| -> Vec<bool> {
        users.iter().map(|user| user.current_number.is_some() && user.user.is_some()).collect()
    };
    assert_eq!(is_known(resolved(&tenant, &[john, ceo]).await), [true, true]);
    let policy = |reviewer: &str| pb::PolicyRecord {
        priority_users: vec![upn("ceo@contoso.com")],
        priority_reviewers: vec![reviewer.to_owned()],
        ..leaks()
    };
    tenant.policy(policy("somebody-else")).await;
    assert_eq!(is_known(resolved(&tenant, &[john, ceo]).await), [true, false]);
    let line = world.written_down(&tenant.id).await.pop().unwrap();
    assert_eq!((line.user_numbers, line.unknown_users), (vec![john], 1));
    tenant.policy(policy("local")).await;
    assert_eq!(is_known(resolved(&tenant, &[john, ceo]).await), [true, true]);
    let erase = pb::DeleteUserRequest { tenant_id: tenant.id.clone(), user: Some(upn(JOHN)) };
    assert_eq!(world.ingest().delete_user(erase).await.unwrap().into_inner().erased_users, 1);
    assert_eq!(is_known(resolved(&tenant, &[john, ceo]).await), [false, true]);
}
