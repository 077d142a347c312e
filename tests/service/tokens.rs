//! Who gets in with a token, and who does not.

use crate::issuer::{AUDIENCE, Issuer, Signer, by_hand};
use crate::wire::{Seen, seen_as, send_as};
use crate::world::*;
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use prost::Message;
use riskshare::pb;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1;

const GET_SETTINGS: &str = "SettingsService/GetSettings";
const ADMIN: &str = "insider-risk-admin";

fn tenant_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn settings_of(tenant: &str) -> Vec<u8> {
    pb::GetSettingsRequest { tenant_id: tenant.to_owned() }.encode_to_vec()
}

async fn believing(issuer: &Issuer) -> World {
    World::start_with(|config| issuer.configure(config)).await
}

/// Asks for a tenant's settings, which takes an admin.
async fn ask(world: &World, authorization: &str, tenant: &str) -> Result<(), Status> {
    send_as(&world.channel, &[authorization], GET_SETTINGS, settings_of(tenant)).await.map(drop)
}

/// Asks, and returns the reason of the refusal.
async fn refused(world: &World, authorization: &str, tenant: &str) -> String {
    reason(&ask(world, authorization, tenant).await.unwrap_err())
}

/// Changes claims. Null takes one away.
fn with(mut claims: Value, changes: Value) -> Value {
    let (Value::Object(all), Value::Object(changes)) = (&mut claims, changes) else { panic!("no objects") };
    all.extend(changes);
    all.retain(|_, value| !value.is_null());
    claims
}

#[tokio::test]
async fn tokens_as_issuers_make_them_let_their_roles_in() {
    let signers = [Signer::rsa("rsa"), Signer::p256("p256"), Signer::ed25519("ed")];
    let issuer = Issuer::start().await;
    issuer.publish(&signers.each_ref().map(Signer::public));
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    let claims = issuer.claims(&tenant, &[ADMIN]);
    let mut good: Vec<_> = signers.iter().map(|signer| signer.sign(&claims)).collect();
    let [rsa, p256, _] = &signers;
    good.push(rsa.sign_with(&Header { alg: Algorithm::PS256, ..rsa.header() }, &claims));
    for typ in [Some("at+jwt"), Some("application/AT+JWT"), Some("jwt"), None] {
        good.push(p256.sign_with(&Header { typ: typ.map(str::to_owned), ..p256.header() }, &claims));
    }
    // The only key for its algorithm needs no name.
    good.push(p256.sign_with(&Header { kid: None, ..p256.header() }, &claims));
    let noon = at(NOON).timestamp();
    for changes in [
        json!({ "aud": ["other", AUDIENCE] }),
        json!({ "roles": ADMIN }),
        json!({ "tid": tenant.to_uppercase() }),
        json!({ "nbf": noon + 30, "iat": noon + 30 }),
        json!({ "nbf": null, "iat": null, "sub": null, "azp": "app" }),
        json!({ "exp": noon - 59 }),
        json!({ "exp": f64::from(u32::MAX) + 0.5 }),
    ] {
        good.push(p256.sign(&with(claims.clone(), changes)));
    }
    for token in &good {
        ask(&world, &format!("Bearer {token}"), &tenant).await.unwrap();
    }
    for scheme in ["bearer", "BEARER", "bEaReR "] {
        ask(&world, &format!("{scheme} {}", good[0]), &tenant).await.unwrap();
    }
}

#[tokio::test]
async fn every_token_that_is_not_good_is_refused_with_the_same_bytes() {
    let issuer = Issuer::start().await;
    let (rsa, stranger) = (Signer::rsa("rsa"), Signer::p256("first"));
    issuer.publish(&[issuer.signer.public(), rsa.public()]);
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    let claims = issuer.claims(&tenant, &[ADMIN]);
    let noon = at(NOON).timestamp();
    ask(&world, &format!("Bearer {}", issuer.signer.sign(&claims)), &tenant).await.unwrap();
    ask(&world, &format!("Bearer {}", rsa.sign(&claims)), &tenant).await.unwrap();

    let mut bad: Vec<(String, String)> = vec![];
    for changes in [
        json!({ "iss": format!("{}/", issuer.url()) }),
        json!({ "iss": null }),
        json!({ "iss": [issuer.url()] }),
        json!({ "aud": "other" }),
        json!({ "aud": ["other"] }),
        json!({ "aud": null }),
        json!({ "exp": noon - 60 }),
        json!({ "exp": null }),
        json!({ "exp": "tomorrow" }),
        json!({ "nbf": noon + 300 }),
        json!({ "iat": noon + 300 }),
        json!({ "tid": null }),
        json!({ "tid": [tenant] }),
        json!({ "tid": [tenant, tenant_id()] }),
        json!({ "tid": "contoso" }),
        json!({ "tid": "00000000-0000-0000-0000-000000000000" }),
        json!({ "sub": null }),
        json!({ "sub": "two\nlines" }),
    ] {
        bad.push((changes.to_string(), issuer.signer.sign(&with(claims.clone(), changes))));
    }
    bad.push(("another key of the same name".to_owned(), stranger.sign(&claims)));
    let header = issuer.signer.header();
    for typ in ["logout+jwt", "dpop+jwt", "at+jwt2", ""] {
        let token = issuer.signer.sign_with(&Header { typ: Some(typ.to_owned()), ..header.clone() }, &claims);
        bad.push((format!("typ {typ}"), token));
    }
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..header.clone() };
    bad.push(("crit".to_owned(), issuer.signer.sign_with(&critical, &claims)));
    for kid in ["../../x", "unknown"] {
        let token = issuer.signer.sign_with(&Header { kid: Some(kid.to_owned()), ..header.clone() }, &claims);
        bad.push((format!("kid {kid}"), token));
    }
    for id in ["first", "rsa"] {
        for alg in ["none", "None", "nOnE"] {
            let token = by_hand(&json!({ "alg": alg, "kid": id }), &claims, |_| String::new());
            bad.push((format!("alg {alg}"), token));
        }
    }
    // The public key, taken for a shared secret.
    let secret = EncodingKey::from_secret(rsa.public_pem.as_bytes());
    let shared = Header { kid: Some("rsa".to_owned()), ..Header::new(Algorithm::HS256) };
    bad.push(("HS256".to_owned(), jsonwebtoken::encode(&shared, &claims, &secret).unwrap()));
    // Each kind of key, taken for the other.
    for (alg, signer) in [("RS256", &issuer.signer), ("ES256", &rsa), ("ES384", &issuer.signer)] {
        let token = by_hand(&json!({ "alg": alg, "kid": signer.id }), &claims, |message| {
            jsonwebtoken::crypto::sign(message, &signer.key, signer.algorithm).unwrap()
        });
        bad.push((format!("{} as {alg}", signer.id), token));
    }
    let good = issuer.signer.sign(&claims);
    let other = issuer.signer.sign(&with(claims.clone(), json!({ "sub": "other" })));
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    bad.push(("another signature".to_owned(), {
        let (good, other) = (parts(&good), parts(&other));
        format!("{}.{}.{}", good[0], other[1], good[2])
    }));
    bad.push(("two parts".to_owned(), parts(&good)[..2].join(".")));
    bad.push(("four parts".to_owned(), format!("{good}.x")));
    bad.push(("text".to_owned(), "token".to_owned()));
    bad.push(("nothing".to_owned(), String::new()));

    let bare = seen_as(&world.channel, &[], GET_SETTINGS, settings_of(&tenant)).await;
    assert_eq!(bare.code(), Code::Unauthenticated);
    assert!(bare.holds("UNAUTHENTICATED"));
    for (why, token) in bad {
        let bearer = format!("Bearer {token}");
        assert_eq!(
            seen_as(&world.channel, &[&bearer], GET_SETTINGS, settings_of(&tenant)).await,
            bare,
            "{why}"
        );
    }
    let bearer = format!("Bearer {good}");
    for authorization in [
        &[bearer.as_str(), bearer.as_str()][..],
        &[&good],
        &[&format!("Basic {good}")],
        &["Bearer  "],
        &[&format!("Bearer,{good}")],
    ] {
        let seen = seen_as(&world.channel, authorization, GET_SETTINGS, settings_of(&tenant)).await;
        assert_eq!(seen, bare, "{authorization:?}");
    }
    ask(&world, &bearer, &tenant).await.unwrap();
}

#[tokio::test]
async fn a_token_of_more_than_16_kib_is_refused() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    let of_size = |bytes: usize| {
        let claims = issuer.claims(&tenant, &[ADMIN]);
        let filled = |count| with(claims.clone(), json!({ "filler": "x".repeat(count) }));
        let empty = issuer.signer.sign(&filled(0)).len();
        let token = issuer.signer.sign(&filled((bytes - empty) * 3 / 4));
        assert!((bytes - 4..=bytes + 4).contains(&token.len()));
        format!("Bearer {token}")
    };
    ask(&world, &of_size(15 * 1024), &tenant).await.unwrap();
    // The transport may be the first to refuse it.
    ask(&world, &of_size(16 * 1024 + 8), &tenant).await.unwrap_err();
}

#[tokio::test]
async fn roles_that_are_not_known_here_allow_nothing_and_spoil_nothing() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    let admin = issuer.bearer(&tenant, &["root", ADMIN, "Insider-Risk-Admin"]);
    ask(&world, &admin, &tenant).await.unwrap();
    for roles in
        [json!(["root"]), json!([]), json!(null), json!("INSIDER-RISK-ADMIN"), json!([[ADMIN]]), json!(7)]
    {
        let claims = with(issuer.claims(&tenant, &[]), json!({ "roles": roles }));
        let bearer = format!("Bearer {}", issuer.signer.sign(&claims));
        assert_eq!(refused(&world, &bearer, &tenant).await, "PERMISSION_MISSING", "{roles}");
    }
    assert_eq!(refused(&world, &admin, &tenant_id()).await, "TENANT_MISMATCH");
}

#[tokio::test]
async fn claims_have_the_names_of_the_configuration_and_the_issuer_only_the_tenants_it_may_have() {
    let (issuer, ours) = (Issuer::start().await, tenant_id());
    let world = World::start_with(|config| {
        issuer.configure(config);
        config.auth.oidc.tenant_claim = "https://contoso.com/tenant".to_owned();
        config.auth.oidc.roles_claim = "groups".to_owned();
        config.auth.oidc.tenants = format!("{ours}, {}", tenant_id());
    })
    .await;
    let bearer = |tenant: &str| {
        let names = json!({ "tid": tenant_id(), "https://contoso.com/tenant": tenant, "groups": [ADMIN] });
        format!("Bearer {}", issuer.signer.sign(&with(issuer.claims(tenant, &[]), names)))
    };
    ask(&world, &bearer(&ours), &ours).await.unwrap();
    let theirs = tenant_id();
    assert_eq!(refused(&world, &bearer(&theirs), &theirs).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn an_issuer_of_many_tenants_is_believed_for_each_by_its_own_name_and_keys() {
    let (issuer, ours, theirs) = (Issuer::start().await, tenant_id(), tenant_id());
    let bound = Signer::p256("bound");
    let mut public = bound.public();
    public["issuer"] = json!(format!("{}/{ours}/v2.0", issuer.url()));
    let mut common = issuer.signer.public();
    common["issuer"] = json!(format!("{}/{{tenantid}}/v2.0", issuer.url()));
    issuer.publish(&[common, public]);
    let world = World::start_with(|config| {
        issuer.configure(config);
        config.auth.oidc.issuer = format!("{}/{{tenantid}}/v2.0", issuer.url());
        config.auth.oidc.jwks_uri = issuer.keys_url();
        config.auth.oidc.tenants = format!("{ours},{theirs}");
    })
    .await;
    let bearer = |signer: &Signer, tenant: &str, named: &str| {
        let claims =
            with(issuer.claims(tenant, &[ADMIN]), json!({ "iss": format!("{}/{named}/v2.0", issuer.url()) }));
        format!("Bearer {}", signer.sign(&claims))
    };
    ask(&world, &bearer(&issuer.signer, &ours, &ours), &ours).await.unwrap();
    ask(&world, &bearer(&issuer.signer, &theirs, &theirs), &theirs).await.unwrap();
    ask(&world, &bearer(&bound, &ours, &ours), &ours).await.unwrap();
    for (signer, tenant, named) in
        [(&issuer.signer, &ours, &theirs), (&bound, &theirs, &theirs), (&bound, &theirs, &ours)]
    {
        assert_eq!(refused(&world, &bearer(signer, tenant, named), tenant).await, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_makes_one_fetch_in_an_interval() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    ask(&world, &issuer.bearer(&tenant, &[ADMIN]), &tenant).await.unwrap();
    assert_eq!(issuer.fetches(), 1);
    let claims = issuer.claims(&tenant, &[ADMIN]);
    let flood = async || {
        let one = async |number: u32| {
            let header = Header { kid: Some(format!("kid-{number}")), ..issuer.signer.header() };
            let bearer = format!("Bearer {}", issuer.signer.sign_with(&header, &claims));
            assert_eq!(refused(&world, &bearer, &tenant).await, "UNAUTHENTICATED");
        };
        for number in 0..20 {
            tokio::join!(one(3 * number), one(3 * number + 1), one(3 * number + 2));
        }
    };
    flood().await;
    assert_eq!(issuer.fetches(), 1);
    world.clock.set(at(NOON) + TimeDelta::seconds(30));
    flood().await;
    assert_eq!(issuer.fetches(), 2);
    let header = Header { kid: Some("x".repeat(10_000)), ..issuer.signer.header() };
    world.clock.set(at(NOON) + TimeDelta::seconds(60));
    let bearer = format!("Bearer {}", issuer.signer.sign_with(&header, &claims));
    assert_eq!(refused(&world, &bearer, &tenant).await, "UNAUTHENTICATED");
    assert_eq!(issuer.fetches(), 2, "no issuer names a key so");
}

#[tokio::test]
async fn a_token_that_was_good_is_looked_at_again_and_lends_its_signature_to_no_other() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    let good = issuer.bearer(&tenant, &[ADMIN]);
    for _ in 0..2 {
        ask(&world, &good, &tenant).await.unwrap();
    }
    let (message, signature) = good.rsplit_once('.').unwrap();
    let claims = issuer.claims(&tenant_id(), &[ADMIN]);
    let (_, body) =
        issuer.signer.sign(&claims).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let other_body = body.split_once('.').unwrap().0;
    let head = message.rsplit_once('.').unwrap().0;
    let first = if signature.starts_with('A') { "B" } else { "A" };
    for forged in [
        format!("{head}.{other_body}.{signature}"),
        format!("{message}.{first}{}", &signature[1..]),
        format!("{message}."),
    ] {
        assert_eq!(refused(&world, &forged, &tenant).await, "UNAUTHENTICATED");
    }
    ask(&world, &good, &tenant).await.unwrap();
    world.clock.set(at("4000-01-01T00:00:00Z"));
    assert_eq!(refused(&world, &good, &tenant).await, "UNAUTHENTICATED", "its time is over");
}

#[tokio::test]
async fn new_keys_are_found_and_keys_that_were_withdrawn_forgotten() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    let (claims, second) = (issuer.claims(&tenant, &[ADMIN]), Signer::rsa("second"));
    let (old, new) = (issuer.bearer(&tenant, &[ADMIN]), format!("Bearer {}", second.sign(&claims)));
    ask(&world, &old, &tenant).await.unwrap();
    issuer.publish(&[issuer.signer.public(), second.public()]);
    world.clock.set(at(NOON) + TimeDelta::seconds(30));
    ask(&world, &new, &tenant).await.unwrap();
    ask(&world, &old, &tenant).await.unwrap();
    // Nobody presents an unknown key here, and still the old one goes.
    issuer.publish(&[second.public()]);
    world.clock.set(at(NOON) + TimeDelta::seconds(30) + TimeDelta::minutes(10));
    while ask(&world, &old, &tenant).await.is_ok() {
        tokio::task::yield_now().await;
    }
    ask(&world, &new, &tenant).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_is_believed_for_a_day_by_the_keys_it_had() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    let claims = with(issuer.claims(&tenant, &[ADMIN]), json!({ "exp": at(NOON).timestamp() + 90_000 }));
    let bearer = format!("Bearer {}", issuer.signer.sign(&claims));
    ask(&world, &bearer, &tenant).await.unwrap();
    issuer.fail();
    let mut now = at(NOON);
    let half_day = TimeDelta::hours(12);
    for outage in
        [None, Some(r#"{"keys":[]}"#), Some(r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#), Some("{"), Some("")]
    {
        if let Some(text) = outage {
            issuer.publish_text(text.to_owned());
        }
        now += TimeDelta::minutes(11);
        world.clock.set(now);
        let before = issuer.fetches();
        while issuer.fetches() == before {
            ask(&world, &bearer, &tenant).await.unwrap();
        }
    }
    world.clock.set(at(NOON) + half_day + half_day - TimeDelta::seconds(1));
    ask(&world, &bearer, &tenant).await.unwrap();
    issuer.publish_text(" ".repeat(300 * 1024));
    world.clock.set(at(NOON) + half_day + half_day + TimeDelta::seconds(40));
    let refusal = ask(&world, &bearer, &tenant).await.unwrap_err();
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::Unavailable, "IDENTITY_UNAVAILABLE"));
    issuer.publish(&[issuer.signer.public()]);
    world.clock.set(at(NOON) + half_day + half_day + TimeDelta::seconds(70));
    ask(&world, &bearer, &tenant).await.unwrap();
}

#[tokio::test]
async fn without_keys_nobody_is_known_and_strangers_learn_no_more_than_that() {
    let issuer = Issuer::start().await;
    issuer.fail();
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    let bearer = issuer.bearer(&tenant, &[ADMIN]);
    assert_eq!(refused(&world, &bearer, &tenant).await, "IDENTITY_UNAVAILABLE");
    for document in [
        json!({ "issuer": "https://other.example", "jwks_uri": issuer.keys_url() }),
        json!({ "issuer": issuer.url(), "jwks_uri": "http://keys.example/keys" }),
        json!({ "issuer": issuer.url() }),
    ] {
        issuer.publish(&[issuer.signer.public()]);
        issuer.discover(document);
        world.clock.set(world.now() + TimeDelta::seconds(31));
        assert_eq!(refused(&world, &bearer, &tenant).await, "IDENTITY_UNAVAILABLE");
    }
    issuer.discover(json!({ "issuer": issuer.url(), "jwks_uri": issuer.keys_url() }));
    world.clock.set(world.now() + TimeDelta::seconds(31));
    ask(&world, &bearer, &tenant).await.unwrap();
}

fn activities(tenant: &str) -> pb::StreamActivitiesRequest {
    let activities = copies("john@contoso.com", 1, at(NOON) - TimeDelta::hours(1));
    let batch = pb::IngestActivitiesRequest { tenant_id: tenant.to_owned(), activities, raw_records: vec![] };
    pb::StreamActivitiesRequest { sequence: 1, batch: Some(batch) }
}

#[tokio::test]
async fn an_open_stream_ends_with_its_token_even_while_it_waits() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    for is_silent in [true, false] {
        world.clock.set(at(NOON));
        let (batches, sent) = tokio::sync::mpsc::channel(2);
        let mut request = Request::new(ReceiverStream::new(sent));
        let bearer = issuer.bearer(&tenant, &["ingestor"]);
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        batches.send(activities(&tenant)).await.unwrap();
        let mut client = IngestServiceClient::new(world.channel.clone());
        let mut acks = client.stream_activities(request).await.unwrap().into_inner();
        assert_eq!(acks.next().await.unwrap().unwrap().batch.unwrap().counts.unwrap().accepted, 1);
        // The token expires at 13:00, and a minute later it is no longer taken.
        world.clock.set(at(NOON) + TimeDelta::minutes(61));
        if !is_silent {
            batches.send(activities(&tenant)).await.unwrap();
        }
        let end = acks.next().await.unwrap().unwrap_err();
        assert_eq!((end.code(), reason(&end).as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
        assert!(acks.next().await.is_none());
    }
}

#[tokio::test]
async fn a_batch_of_another_tenant_ends_a_stream_and_leaves_nothing() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let (ours, theirs) = (tenant_id(), tenant_id());
    let bearer = issuer.bearer(&ours, &["ingestor"]);
    let stream = "IngestService/StreamActivities";
    let theirs = activities(&theirs).encode_to_vec();
    send_as(&world.channel, &[&bearer], stream, activities(&ours).encode_to_vec()).await.unwrap();
    let refusal = send_as(&world.channel, &[&bearer], stream, theirs).await.unwrap_err();
    assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::PermissionDenied, "TENANT_MISMATCH"));
}

#[tokio::test]
async fn a_page_token_ends_with_the_roles_under_which_it_was_made() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let tenant = tenant_id();
    let told = Tenant { world: &world, id: tenant.clone() };
    let admin = issuer.bearer(&tenant, &[ADMIN]);
    let on = pb::Settings { data_sharing_enabled: true, ..Default::default() };
    let change = told.change("data_sharing_enabled", on).encode_to_vec();
    send_as(&world.channel, &[&admin], "SettingsService/UpdateSettings", change).await.unwrap();
    let facts = pb::IngestActivitiesRequest {
        tenant_id: tenant.clone(),
        activities: copies("john@contoso.com", 3, at(NOON) - TimeDelta::hours(1)),
        raw_records: vec![],
    };
    let policies = pb::UpsertPoliciesRequest { tenant_id: tenant.clone(), policies: vec![leaks()] };
    send_as(&world.channel, &[&admin], "IngestService/UpsertPolicies", policies.encode_to_vec())
        .await
        .unwrap();
    let since = pb::MembershipInterval { from: Some(timestamp(at("2025-01-01T00:00:00Z"))), until: None };
    let memberships = pb::SetMembershipsRequest {
        tenant_id: tenant.clone(),
        memberships: vec![pb::MembershipRecord {
            policy_id: "leaks".to_owned(),
            user: Some(upn("john@contoso.com")),
            intervals: vec![since],
        }],
    };
    send_as(&world.channel, &[&admin], "IngestService/SetMemberships", memberships.encode_to_vec())
        .await
        .unwrap();
    let ingestor = issuer.bearer(&tenant, &["ingestor"]);
    send_as(&world.channel, &[&ingestor], "IngestService/IngestActivities", facts.encode_to_vec())
        .await
        .unwrap();

    let reader = issuer.bearer(&tenant, &["dlp-alert-reader"]);
    let list = async |authorization: &str, page_token: &str| {
        let request = pb::ListUserActivitiesRequest {
            page_size: 1,
            page_token: page_token.to_owned(),
            ..told.timeline("john@contoso.com")
        };
        send_as(
            &world.channel,
            &[authorization],
            "AlertEnrichmentService/ListUserActivities",
            request.encode_to_vec(),
        )
        .await
    };
    let first = list(&reader, "").await.unwrap().into_inner();
    let token = pb::ListUserActivitiesResponse::decode(first).unwrap().next_page_token;
    assert!(!token.is_empty());
    list(&reader, &token).await.unwrap();
    let renewed =
        with(issuer.claims(&tenant, &["dlp-alert-reader"]), json!({ "exp": at(NOON).timestamp() + 7_200 }));
    list(&format!("Bearer {}", issuer.signer.sign(&renewed)), &token).await.unwrap();
    let promoted = issuer.bearer(&tenant, &["dlp-alert-reader", "security-reader"]);
    list(&promoted, "").await.unwrap();
    assert_eq!(reason(&list(&promoted, &token).await.unwrap_err()), "PAGE_TOKEN_INVALID");
    let somebody = with(issuer.claims(&tenant, &["dlp-alert-reader"]), json!({ "sub": "somebody" }));
    let somebody = format!("Bearer {}", issuer.signer.sign(&somebody));
    assert_eq!(reason(&list(&somebody, &token).await.unwrap_err()), "PAGE_TOKEN_INVALID");
}

/// Asks for the list of services by reflection.
async fn reflect(world: &World, authorization: Option<&str>) -> Result<(), Status> {
    use v1::server_reflection_request::MessageRequest;
    let question = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut request = Request::new(tokio_stream::once(question));
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(world.channel.clone());
    client.server_reflection_info(request).await.map(drop)
}

#[tokio::test]
async fn a_stranger_learns_whether_the_server_is_well_and_nothing_else() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let check = HealthCheckRequest { service: "riskshare.v1.IngestService".to_owned() };
    HealthClient::new(world.channel.clone()).check(check).await.unwrap();
    let known = issuer.bearer(&tenant_id(), &[]);
    reflect(&world, Some(&known)).await.unwrap();
    assert_eq!(reason(&reflect(&world, None).await.unwrap_err()), "UNAUTHENTICATED");
    let open = World::start_with(|config| {
        issuer.configure(config);
        config.auth.open_reflection = true;
    })
    .await;
    reflect(&open, None).await.unwrap();
    reflect(&World::start().await, None).await.unwrap();
}

#[tokio::test]
async fn a_refusal_repeats_nothing_of_what_was_presented() {
    let issuer = Issuer::start().await;
    let world = believing(&issuer).await;
    let claims = with(issuer.claims("contoso", &[ADMIN]), json!({ "sub": "john@contoso.com" }));
    let token = issuer.signer.sign(&claims);
    let bearer = format!("Bearer {token}");
    let seen: Seen = seen_as(&world.channel, &[&bearer], GET_SETTINGS, settings_of("contoso")).await;
    assert_eq!(seen.code(), Code::Unauthenticated);
    for text in ["contoso", "john", &token[..20], &issuer.url()] {
        assert!(!seen.holds(text), "{text}");
    }
}
