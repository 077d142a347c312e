//! The Management Activity API, as SIEM connectors speak it.

use crate::issuer::Issuer;
use crate::wire::send_as;
use crate::world::*;
use chrono::TimeDelta;
use prost::Message;
use reqwest::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Client, Method, StatusCode};
use riskshare::config::Config;
use riskshare::pb;
use riskshare::pb::{AuditOutcome, RiskAlertStatus, Severity};
use serde_json::{Value, json};
use tonic::Code;

const JOHN: &str = "john@contoso.com";
const MARY: &str = "mary@contoso.com";
const GENERAL: &str = "contentType=Audit.General";
const RECORDS: &[&str] = &["ActivityFeed.Read"];

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// Returns the code of a refusal.
    pub fn code(&self) -> &str {
        assert!(!self.status.is_success(), "{self:?}");
        let error = &self.body["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        error["code"].as_str().unwrap()
    }

    fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.body
    }
}

/// A connector of one tenant.
pub struct Connector {
    http: Client,
    root: String,
    authorization: Option<String>,
}

impl Connector {
    pub fn of(world: &World, tenant: &str) -> Self {
        let root = format!("http://{}/api/v1.0/{tenant}/activity/feed", world.management_api());
        Self { http: Client::new(), root, authorization: None }
    }

    fn with(self, authorization: &str) -> Self {
        Self { authorization: Some(authorization.to_owned()), ..self }
    }

    pub async fn send(&self, method: Method, path: &str, body: &str) -> Answer {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}/{path}", self.root) };
        let mut request = self.http.request(method, url);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request =
            if body.is_empty() { request.header(CONTENT_LENGTH, 0) } else { request.body(body.to_owned()) };
        let answer = request.send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status();
        let kind = header(CONTENT_TYPE.as_str());
        let text = answer.text().await.unwrap();
        if text.is_empty() {
            return Answer { status, body: Value::Null };
        }
        assert_eq!(kind.as_deref(), Some("application/json; charset=utf-8"));
        Answer { status, body: serde_json::from_str(&text).unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(Method::POST, path, body).await
    }

    pub async fn start(&self) -> Value {
        self.post(&format!("subscriptions/start?{GENERAL}"), "").await.ok()
    }

    pub async fn content(&self) -> Vec<Value> {
        let list = self.get(&format!("subscriptions/content?{GENERAL}")).await.ok();
        list.as_array().unwrap().clone()
    }

    /// Returns all records that can be had.
    async fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        for item in self.content().await {
            let blob = self.get(item["contentUri"].as_str().unwrap()).await.ok();
            records.extend(blob.as_array().unwrap().clone());
        }
        records
    }

    /// Waits until so many records can be had.
    async fn has(&self, count: usize) -> Vec<Value> {
        until("records", async || Some(self.records().await).filter(|records| records.len() >= count)).await
    }
}

fn serve(config: &mut Config) {
    "127.0.0.1:0".clone_into(&mut config.management_api.listen);
}

/// Goes on an hour and a second.
fn an_hour_later(world: &World) {
    world.clock.set(world.now() + TimeDelta::seconds(3_601));
}

#[tokio::test]
async fn a_siem_follows_an_alert_from_its_first_line_to_its_last() {
    let world = World::start_with(serve).await;
    let tenant = world.silent_tenant().await;
    let object_id = "6f1f3c1e-2b4a-4d5e-8f90-123456789abc";
    let user = pb::UserIdentity { entra_object_id: object_id.to_owned(), ..upn(JOHN) };
    tenant.declare(pb::UserRecord { user: Some(user), ..Default::default() }).await;
    tenant.export(true).await;
    let siem = Connector::of(&world, &tenant.id);
    let started = json!({"contentType": "Audit.General", "status": "enabled", "webhook": null});
    assert_eq!(siem.start().await, started);
    assert_eq!(siem.start().await, started, "once more changes nothing");
    assert_eq!(siem.get("subscriptions/list").await.ok(), json!([started]));
    assert_eq!(siem.content().await, [Value::Null; 0]);

    tenant.leaker(JOHN, 10).await;
    an_hour_later(&world);
    let first = siem.has(1).await.remove(0);
    let data: Value = serde_json::from_str(first["Data"].as_str().unwrap()).unwrap();
    let triggered = "2026-11-24T11:00:00Z";
    let named = json!({"UserId": object_id, "UserPrincipalName": JOHN, "TriggeredTime": triggered});
    assert_eq!(data, named);
    let alert = first["AlertId"].as_str().unwrap().to_owned();
    let policy = first["PolicyId"].as_str().unwrap().to_owned();
    for guid in [&alert, &policy, first["Id"].as_str().unwrap()] {
        assert!(uuid::Uuid::parse_str(guid).is_ok(), "{guid}");
    }
    let expected = json!({
        "CreationTime": "2026-11-24T12:00:00", "Id": first["Id"], "Operation": "AlertTriggered",
        "OrganizationId": tenant.id, "RecordType": 40, "ResultStatus": "Succeeded",
        "UserKey": "SecurityComplianceAlerts", "UserType": 4, "Version": 1, "Workload": "SecurityComplianceCenter",
        "ObjectId": alert, "UserId": "SecurityComplianceAlerts", "AlertId": alert,
        "AlertLinks": [{"AlertLinkHref": ""}], "AlertType": "Custom", "Category": "InsiderRiskManagement",
        "Comments": "New Alert", "Data": first["Data"], "Name": "Data leaks", "PolicyId": policy,
        "Severity": "High", "Source": "Office 365 Security & Compliance", "Status": "Active",
    });
    assert_eq!(first, expected);

    tenant.import("elsewhere", MARY, Severity::Low, RiskAlertStatus::NeedsReview).await;
    an_hour_later(&world);
    tenant.import("elsewhere", MARY, Severity::Low, RiskAlertStatus::Dismissed).await;
    siem.has(2).await;
    an_hour_later(&world);
    let records = siem.has(3).await;
    let told = |field: &str| records.iter().map(|record| record[field].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(told("Operation"), ["AlertTriggered", "AlertTriggered", "AlertUpdated"]);
    assert_eq!(told("Comments"), ["New Alert", "New Alert", "Alert Updated"]);
    assert_eq!(told("Status"), ["Active", "Active", "Dismissed"]);
    assert_eq!(records[1]["AlertId"], records[2]["AlertId"]);
    assert_ne!(records[1]["Id"], records[2]["Id"]);
    assert_eq!(records[0], expected, "a listed line stays as it is");
    // Whoever has read it is in the audit log, by number.
    let read: Vec<_> = world.written_down(&tenant.id).await;
    let blobs: Vec<_> = read.iter().filter(|event| event.action == "ReadActivityFeed").collect();
    assert!(
        blobs.iter().all(|event| event.outcome() == AuditOutcome::Disclosed && event.user_numbers.len() == 1)
    );
}

#[tokio::test]
async fn lists_are_what_connectors_have_been_seen_to_want() {
    let world = World::start_with(serve).await;
    let tenant = world.silent_tenant().await;
    tenant.export(true).await;
    let siem = Connector::of(&world, &tenant.id);
    siem.start().await;
    tenant.import("a", JOHN, Severity::High, RiskAlertStatus::NeedsReview).await;
    an_hour_later(&world);
    siem.has(1).await;
    let item = siem.content().await.remove(0);
    let id = item["contentId"].as_str().unwrap();
    let created = item["contentCreated"].as_str().unwrap();
    let expected = json!({
        "contentType": "Audit.General", "contentId": id, "contentUri": format!("{}/audit/{id}", siem.root),
        "contentCreated": created, "contentExpiration": created.replace("-24T", "-31T").replace("11-31", "12-01"),
    });
    assert_eq!(item, expected);
    // Times with and without Z, kinds in any case, keys that nobody knows.
    let publisher = "PublisherIdentifier=3f2504e0-4f89-41d3-9a0c-0305e82c3301&shoe=size";
    for (times, count) in [
        ("startTime=2026-11-24T12:00&endTime=2026-11-24T14:00", 1),
        ("startTime=2026-11-24T12:00:00Z&endTime=2026-11-24T14%3A00%3A00Z", 1),
        ("startTime=2026-11-24&endTime=2026-11-25", 1),
        ("startTime=2026-11-23&endTime=2026-11-24", 0),
        ("startTime=2026-11-24T13:00:02&endTime=2026-11-24T14:00", 0),
    ] {
        let list = siem
            .get(&format!("subscriptions/content?contenttype=audit.general&{times}&{publisher}"))
            .await
            .ok();
        assert_eq!(list.as_array().unwrap().len(), count, "{times}");
    }
    // Other kinds exist and are empty.
    for kind in ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "DLP.All"] {
        let none = siem.get(&format!("subscriptions/content?contentType={kind}")).await;
        assert_eq!(none.code(), "AF20022");
        siem.post(&format!("subscriptions/start?contentType={kind}"), "{}").await.ok();
        assert_eq!(siem.get(&format!("subscriptions/content?contentType={kind}")).await.ok(), json!([]));
    }
    assert_eq!(siem.get("subscriptions/list").await.ok().as_array().unwrap().len(), 5);
    assert_eq!(siem.get("resources/dlpSensitiveTypes").await.ok(), json!([]));
    assert_eq!(siem.get(&format!("subscriptions/notifications?{GENERAL}")).await.ok(), json!([]));
}

#[tokio::test]
async fn every_refusal_has_its_code() {
    let world = World::start_with(serve).await;
    let tenant = world.silent_tenant().await;
    let siem = Connector::of(&world, &tenant.id);
    let content = format!("subscriptions/content?{GENERAL}");
    siem.start().await;
    assert_eq!(siem.get(&content).await.code(), "AF20023", "off by default, before anything is looked up");
    assert_eq!(siem.get("audit/20261124110000000$1$audit_general").await.code(), "AF20023");
    tenant.export(true).await;
    assert_eq!(siem.get(&content).await.ok(), json!([]));
    let cases = [
        ("subscriptions/content".to_owned(), 400, "AF20001"),
        ("subscriptions/content?contentType=Audit.Teams".to_owned(), 400, "AF20020"),
        ("subscriptions/content?contentType=DLP.All".to_owned(), 400, "AF20022"),
        (format!("{content}&PublisherIdentifier=me"), 400, "AF20002"),
        (format!("{content}&startTime=now&endTime=then"), 400, "AF20002"),
        (format!("{content}&startTime=2026-11-24"), 400, "AF20030"),
        (format!("{content}&startTime=2026-11-16&endTime=2026-11-17"), 400, "AF20030"),
        (format!("{content}&startTime=2026-11-22&endTime=2026-11-24"), 400, "AF20030"),
        (format!("{content}&startTime=2026-11-24&endTime=2026-11-23"), 400, "AF20055"),
        (format!("{content}&nextPage=soon"), 400, "AF20031"),
        ("audit/no-id".to_owned(), 400, "AF20052"),
        ("audit/20261124120000000$1$audit_general".to_owned(), 404, "AF20050"),
        ("audit/20261117115959999$1$audit_general".to_owned(), 410, "AF20051"),
        ("subscriptions/start?contentType=DLP.All".to_owned(), 405, "UnknownOperation"),
        ("subscriptions/pause".to_owned(), 404, "UnknownOperation"),
    ];
    for (path, status, code) in cases {
        let refused = siem.get(&path).await;
        assert_eq!((refused.code(), refused.status.as_u16()), (code, status), "{path}");
    }
    assert_eq!(siem.post("subscriptions/stop?contentType=DLP.All", "").await.code(), "AF20022");
    assert_eq!(siem.post(&format!("subscriptions/start?{GENERAL}"), "no JSON").await.code(), "AF20002");
    let expired = json!({"webhook": {"address": "https://a", "expiration": "2026-11-24T11:59"}}).to_string();
    assert_eq!(siem.post(&format!("subscriptions/start?{GENERAL}"), &expired).await.code(), "AF20003");
    let unlisted = json!({"webhook": {"address": "https://127.0.0.1/"}}).to_string();
    assert_eq!(siem.post(&format!("subscriptions/start?{GENERAL}"), &unlisted).await.code(), "AF20021");
    assert_eq!(Connector::of(&world, "contoso").get("subscriptions/list").await.code(), "AF20013");
    for (languages, code) in [("en-US,de", "AF20053"), ("en_US", "AF20054")] {
        let url = format!("{}/resources/dlpSensitiveTypes", siem.root);
        let answer = siem.http.get(url).header(ACCEPT_LANGUAGE, languages).send().await.unwrap();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body["error"]["code"], code);
    }
    // A subscription that is stopped has no content, and one that begins again has none of before.
    tenant.import("a", JOHN, Severity::High, RiskAlertStatus::NeedsReview).await;
    an_hour_later(&world);
    siem.has(1).await;
    let uri = siem.content().await[0]["contentUri"].as_str().unwrap().to_owned();
    siem.post(&format!("subscriptions/stop?{GENERAL}"), "").await.ok();
    assert_eq!(siem.get(&content).await.code(), "AF20022");
    assert_eq!(siem.get(&uri).await.code(), "AF20022");
    let listed = siem.get("subscriptions/list").await.ok();
    assert_eq!(listed[0]["status"], "disabled");
    world.clock.set(world.now() + TimeDelta::seconds(1));
    siem.start().await;
    assert_eq!(siem.get(&content).await.ok(), json!([]));
    assert_eq!(siem.get(&uri).await.code(), "AF20050");
}

#[tokio::test]
async fn a_token_opens_its_own_tenant_and_only_with_the_permission() {
    let issuer = Issuer::start().await;
    let audience = "https://manage.office.com";
    let world = World::start_with(|config| {
        serve(config);
        issuer.configure(config);
        audience.clone_into(&mut config.management_api.audience);
    })
    .await;
    let (own, other) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
    let token = |roles: &[&str], audience: &str| {
        let mut claims = issuer.claims(&own, roles);
        claims["aud"] = json!(audience);
        issuer.signer.sign(&claims)
    };
    let with = |scheme: &str, token: &str| Connector::of(&world, &own).with(&format!("{scheme} {token}"));
    let good = token(RECORDS, audience);
    for scheme in ["Bearer", "bearer"] {
        assert_eq!(with(scheme, &good).get("subscriptions/list").await.ok(), json!([]));
    }
    let refused = async |connector: Connector| {
        let answer = connector.get("subscriptions/list").await;
        (answer.status.as_u16(), answer.code().to_owned())
    };
    let unproven = (401, "InvalidAuthenticationToken".to_owned());
    assert_eq!(refused(Connector::of(&world, &own)).await, unproven);
    assert_eq!(refused(with("Basic", &good)).await, unproven);
    assert_eq!(refused(with("Bearer", &token(RECORDS, crate::issuer::AUDIENCE))).await, unproven);
    for roles in [&["dlp-alert-reader", "insider-risk-admin", "ingestor"][..], &[]] {
        assert_eq!(refused(with("Bearer", &token(roles, audience))).await, (401, "AF10001".to_owned()));
    }
    let stranger = Connector::of(&world, &other).with(&format!("Bearer {good}"));
    assert_eq!(refused(stranger).await, (403, "AF20010".to_owned()));
    // The permission opens nothing else, and tokens for this port open no other.
    let request = pb::GetSettingsRequest { tenant_id: own.clone() }.encode_to_vec();
    let authorization = format!("Bearer {good}");
    let refused = send_as(&world.channel, &[&authorization], "SettingsService/GetSettings", request).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_tenant_that_asks_too_often_is_told_to_wait_and_no_other() {
    let world = World::start_with(|config| {
        serve(config);
        config.management_api.requests_per_minute = 1;
    })
    .await;
    let (one, other) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
    let one = Connector::of(&world, &one);
    let throttled = until("a request too many", async || {
        Some(one.get("subscriptions/list").await).filter(|answer| !answer.status.is_success())
    });
    let throttled = throttled.await;
    assert_eq!((throttled.status.as_u16(), throttled.code()), (403, "AF429"));
    assert_eq!(Connector::of(&world, &other).get("subscriptions/list").await.ok(), json!([]));
}

#[tokio::test]
async fn sharing_and_export_are_two_switches_and_never_one() {
    let world = World::start_with(serve).await;
    for (shares, exports) in [(false, false), (false, true), (true, false), (true, true)] {
        let tenant = world.silent_tenant().await;
        tenant.share(shares).await;
        tenant.export(exports).await;
        let siem = Connector::of(&world, &tenant.id);
        siem.start().await;
        tenant.leaker(JOHN, 10).await;
        an_hour_later(&world);
        let column = if shares { "High" } else { "User data is not available" };
        assert_eq!(tenant.column(&[JOHN]).await, column);
        if exports {
            assert_eq!(siem.has(1).await.len(), 1);
        } else {
            assert_eq!(siem.get(&format!("subscriptions/content?{GENERAL}")).await.code(), "AF20023");
        }
    }
}

#[tokio::test]
async fn off_holds_at_once_and_what_happened_meanwhile_is_never_exported() {
    let world = World::start_with(serve).await;
    let tenant = world.silent_tenant().await;
    tenant.export(true).await;
    let siem = Connector::of(&world, &tenant.id);
    siem.start().await;
    tenant.import("a", JOHN, Severity::Low, RiskAlertStatus::NeedsReview).await;
    an_hour_later(&world);
    siem.has(1).await;
    let uri = siem.content().await[0]["contentUri"].as_str().unwrap().to_owned();
    tenant.export(false).await;
    assert_eq!(siem.get(&uri).await.code(), "AF20023");
    assert_eq!(siem.get(&format!("subscriptions/notifications?{GENERAL}")).await.code(), "AF20023");
    world.clock.set(world.now() + TimeDelta::seconds(1));
    tenant.import("a", JOHN, Severity::High, RiskAlertStatus::NeedsReview).await;
    an_hour_later(&world);
    tenant.export(true).await;
    tenant.import("a", JOHN, Severity::High, RiskAlertStatus::Confirmed).await;
    an_hour_later(&world);
    let records = siem.has(2).await;
    let told: Vec<_> = records.iter().map(|one| (one["Severity"].as_str(), one["Status"].as_str())).collect();
    assert_eq!(told, [(Some("Low"), Some("Active")), (Some("High"), Some("Investigating"))]);
}

#[tokio::test]
async fn after_an_outage_every_change_is_exported_once() {
    let mut world = World::start_with(serve).await;
    let id = world.silent_tenant().await.id;
    let tenant = world.known(&id);
    tenant.export(true).await;
    Connector::of(&world, &id).start().await;
    tenant.import("a", JOHN, Severity::Low, RiskAlertStatus::NeedsReview).await;
    world.clock.set(world.now() + TimeDelta::minutes(30));
    world.known(&id).import("a", JOHN, Severity::High, RiskAlertStatus::NeedsReview).await;
    // Down over two cycles.
    world.stop().await;
    world.clock.set(world.now() + TimeDelta::hours(2));
    world.begin().await;
    let records = Connector::of(&world, &id).has(2).await;
    let told: Vec<_> =
        records.iter().map(|one| (one["Operation"].as_str(), one["Severity"].as_str())).collect();
    assert_eq!(told, [(Some("AlertTriggered"), Some("Low")), (Some("AlertUpdated"), Some("High"))]);
    // And after a clock that went back.
    world.clock.set(world.now() - TimeDelta::minutes(20));
    world.known(&id).import("b", MARY, Severity::Low, RiskAlertStatus::NeedsReview).await;
    world.restart().await;
    world.clock.set(world.now() + TimeDelta::minutes(81));
    assert_eq!(Connector::of(&world, &id).has(3).await.len(), 3);
}

#[tokio::test]
async fn an_erased_user_is_in_no_blob_and_old_ones_are_gone() {
    let world = World::start_with(serve).await;
    let tenant = world.silent_tenant().await;
    tenant.export(true).await;
    let siem = Connector::of(&world, &tenant.id);
    siem.start().await;
    for (id, user) in [("a", JOHN), ("b", MARY)] {
        tenant.import(id, user, Severity::Low, RiskAlertStatus::NeedsReview).await;
    }
    an_hour_later(&world);
    siem.has(2).await;
    let uri = siem.content().await[0]["contentUri"].as_str().unwrap().to_owned();
    let request = pb::DeleteUserRequest { tenant_id: tenant.id.clone(), user: Some(upn(JOHN)) };
    world.ingest().delete_user(request).await.unwrap();
    let left = siem.get(&uri).await.ok().to_string();
    assert!(left.contains(MARY) && !left.contains(JOHN), "{left}");
    world.clock.set(world.now() + TimeDelta::days(7));
    assert_eq!(siem.get(&uri).await.code(), "AF20051");
}
