//! The Office 365 Management Activity API (`domain.md` 5), for SIEM connectors that were made for Microsoft's.
//!
//! Order of checks: authentication, permission, tenant, rate, parameters, the tenant's export switch, look-ups.

mod fault;
mod question;

use crate::auth::{Authenticator, Presented, Unauthenticated};
use crate::clock::Clock;
use crate::delivery::webhook::{Client, WebhookError};
use crate::domain::audit::AuditChange;
use crate::domain::ids::TenantId;
use crate::engine::feed::{ContentQuery, ContentType, Feed, Subscription, Webhook, expiry, started, stopped};
use crate::export::content_item::{Item, base, content_id, written};
use crate::export::management_record;
use crate::gate::admission::{AuditUnavailable, Gate, Permit, Refusal, Unavailable};
use crate::gate::caller::{Access, Caller, Denied};
use crate::gate::export::{ExportGate, ExportGrant, ExportRefusal};
use crate::gate::rate::Rate;
use crate::gate::rights::Right;
use crate::transport::peer::PeerCertificates;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use chrono::{DateTime, Utc};
use fault::{Fault, json, json_text};
use governor::Quota;
use http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use question::{Parameters, Range, read_content_id, time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

/// How many blobs a page of a list has at most.
const PAGE_MAX: usize = 200;
/// The largest body: that of a webhook is some hundred bytes.
const BODY_BYTES_MAX: usize = 16 * 1_024;
/// The longest address and id of a webhook.
const WEBHOOK_BYTES_MAX: usize = 1_024;
/// The most requests that are being answered.
const REQUESTS_MAX: usize = 256;
/// Where a list goes on.
const NEXT_PAGE: HeaderName = HeaderName::from_static("nextpageuri");

/// The API.
pub struct Api {
    /// Knows who calls.
    pub authenticator: Arc<dyn Authenticator>,
    /// Decides about roles and tenants, and writes changes of subscriptions down.
    pub gate: Gate,
    /// Decides about what is exported.
    pub export: ExportGate,
    /// What there is.
    pub feed: Arc<Feed>,
    /// Asks webhooks to prove themselves.
    pub webhooks: Client,
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
    /// What callers reach it by: a scheme, a host and perhaps a port and a path. Where it is empty, the `Host` header
    /// says.
    pub public_url: String,
    /// It speaks TLS itself.
    pub tls: bool,
    /// Bounds how often a tenant is asked about.
    pub rate: Rate<TenantId>,
    /// How long an answer may take.
    pub time: Duration,
}

/// Returns the rate of so many requests a minute for each tenant; any when 0.
#[must_use]
pub fn rate(per_minute: u32) -> Rate<TenantId> {
    Rate::new(NonZeroU32::new(per_minute).map(Quota::per_minute))
}

/// Returns all operations of the API.
pub fn router(api: Api) -> Router {
    let operations = Router::new()
        .route("/subscriptions/start", post(start))
        .route("/subscriptions/stop", post(stop))
        .route("/subscriptions/list", get(list))
        .route("/subscriptions/content", get(content))
        .route("/subscriptions/notifications", get(notifications))
        .route("/audit/{id}", get(blob))
        .route("/resources/dlpSensitiveTypes", get(sensitive_types));
    let api = Arc::new(api);
    let bounds = Bounds { time: api.time, room: Arc::new(Semaphore::new(REQUESTS_MAX)) };
    Router::new()
        .nest("/api/v1.0/{tenant}/activity/feed", operations)
        .fallback(async || Fault::Operation(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || Fault::Operation(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(api)
        .layer(middleware::from_fn_with_state(bounds, within_bounds))
}

/// How much is answered at once, and how long it may take.
#[derive(Clone)]
struct Bounds {
    time: Duration,
    room: Arc<Semaphore>,
}

async fn within_bounds(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let Ok(_place) = bounds.room.try_acquire() else { return Fault::Unavailable.into_response() };
    match timeout(bounds.time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Fault::Unavailable.into_response(),
    }
}

type Answer = Result<Response, Fault>;
type Here = State<Arc<Api>>;

/// A call that was let in.
struct Call {
    access: Access,
    parameters: Parameters,
    /// What its URLs begin with.
    base: String,
}

impl Api {
    async fn enter(&self, parts: &mut Parts, tenant: &str, right: Right) -> Result<Call, Fault> {
        let caller = self.caller(parts).await?;
        let entry = self.gate.authorise(&caller, right).await.map_err(refused)?;
        let tenant = Uuid::try_parse(tenant).map(TenantId::new).map_err(|_| Fault::TenantId)?;
        let access = self.gate.enter(&entry, tenant).await.map_err(refused)?;
        self.rate.count(&tenant).map_err(Fault::Throttled)?;
        let parameters = Parameters::of(parts.uri.query());
        parameters.publisher()?;
        Ok(Call { access, parameters, base: self.base(parts, tenant) })
    }

    /// Takes the header off the request, so that nothing behind can log it. Two are none.
    async fn caller(&self, parts: &mut Parts) -> Result<Caller, Fault> {
        let certificates = parts.extensions.get::<PeerCertificates>().cloned().unwrap_or_default();
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        let (first, second) = (headers.next(), headers.next());
        let authorization = first.map(HeaderValue::to_str).transpose().map_err(|_| Fault::Unauthenticated)?;
        if second.is_some() {
            return Err(Fault::Unauthenticated);
        }
        let presented = Presented { authorization, certificates: &certificates.0 };
        let caller = self.authenticator.caller(presented).await.map_err(|why| match why {
            Unauthenticated::Unproven(cause) => {
                tracing::info!(cause, "refused a caller who could not be made out");
                Fault::Unauthenticated
            }
            Unauthenticated::Unavailable(cause) => {
                tracing::error!(cause, "callers cannot be made out now");
                Fault::Unavailable
            }
        })?;
        parts.headers.remove(AUTHORIZATION);
        Ok(caller)
    }

    fn base(&self, parts: &Parts, tenant: TenantId) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let root = match self.public_url.as_str() {
            "" => format!("{scheme}://{host}"),
            url => url.to_owned(),
        };
        base(&root, tenant)
    }

    fn permit(&self, call: &Call) -> Permit {
        self.gate.permit(call.access.clone())
    }

    async fn grant(&self, call: &Call) -> Result<ExportGrant, Fault> {
        self.export.admit(&call.access).await.map_err(not_exported)
    }

    /// Returns the subscription to a kind of content, if it was started and not stopped.
    async fn subscription(&self, call: &Call, content_type: ContentType) -> Result<Subscription, Fault> {
        let all = self.feed.subscriptions(&self.permit(call)).await.map_err(unavailable)?;
        let found = all.into_iter().find(|one| one.content_type == content_type && one.enabled);
        found.ok_or(Fault::NoSubscription)
    }

    /// Writes a change of subscriptions down before it is made.
    async fn change(
        &self,
        call: &Call,
        field: &str,
        value: &str,
        change: impl Fn(Vec<Subscription>) -> Option<Vec<Subscription>>,
    ) -> Result<Option<Vec<Subscription>>, Fault> {
        let changes = vec![AuditChange { field: field.to_owned(), value: value.to_owned() }];
        let permit = self.gate.permit_change(call.access.clone(), changes).await.map_err(unwritten)?;
        self.feed.change(&permit, change).await.map_err(unavailable)
    }
}

/// A webhook as a caller asks for it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AskedWebhook {
    address: String,
    #[serde(default)]
    auth_id: Option<String>,
    #[serde(default)]
    expiration: Option<String>,
}

async fn start(State(api): Here, Path(tenant): Path<String>, request: Request) -> Answer {
    let (mut parts, body) = request.into_parts();
    let call = api.enter(&mut parts, &tenant, Right::ManageActivityFeed).await?;
    let content_type = call.parameters.content_type()?;
    let now = api.clock.now();
    let webhook = match asked_webhook(body).await? {
        None => None,
        Some(asked) => Some(api.validated(&call, asked, now).await?),
    };
    let start = |all| Some(started(all, content_type, webhook.clone(), now));
    let all = api.change(&call, "subscription_started", content_type.name(), start).await?;
    let one = all.into_iter().flatten().find(|one| one.content_type == content_type);
    let one = one.ok_or(Fault::Unavailable)?;
    Ok(json(&subscription(&one, now)))
}

/// Reads the webhook of a body, which may be empty.
async fn asked_webhook(body: Body) -> Result<Option<AskedWebhook>, Fault> {
    #[derive(Deserialize)]
    struct Asked {
        webhook: Option<AskedWebhook>,
    }
    let kind = || Fault::Type { parameter: "webhook", kind: "a JSON object with an address" };
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| kind())?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let asked: Option<Asked> = serde_json::from_slice(&body).map_err(|_| kind())?;
    Ok(asked.and_then(|asked| asked.webhook))
}

impl Api {
    async fn validated(
        &self,
        call: &Call,
        asked: AskedWebhook,
        now: DateTime<Utc>,
    ) -> Result<Webhook, Fault> {
        let AskedWebhook { address, auth_id, expiration } = asked;
        let texts = [Some(&address), auth_id.as_ref()];
        if texts.into_iter().flatten().any(|text| text.len() > WEBHOOK_BYTES_MAX) {
            return Err(Fault::Type { parameter: "webhook", kind: "at most 1024 bytes a text" });
        }
        let expiration = expiration.filter(|text| !text.is_empty());
        let expiration = expiration.map(|text| time("expiration", &text)).transpose()?;
        if expiration.is_some_and(|expiration| expiration <= now) {
            return Err(Fault::Expiration);
        }
        self.webhooks.validate(&address, auth_id.as_deref()).await.map_err(|error| match error {
            WebhookError::Address => Fault::Webhook("the address is no https URL of an allowed host"),
            WebhookError::Unreached => Fault::Webhook("it cannot be reached"),
            WebhookError::Status => Fault::Webhook("it did not answer with status 200"),
        })?;
        let told = self.feed.last_of(&self.permit(call)).await.map_err(unavailable)?;
        let client = call.access.caller().principal().to_owned();
        let (enabled, failures, retry_at) = (true, 0, None);
        Ok(Webhook { address, auth_id, expiration, client, enabled, failures, retry_at, told })
    }
}

async fn stop(State(api): Here, Path(tenant): Path<String>, request: Request) -> Answer {
    let mut parts = request.into_parts().0;
    let call = api.enter(&mut parts, &tenant, Right::ManageActivityFeed).await?;
    let content_type = call.parameters.content_type()?;
    api.subscription(&call, content_type).await?;
    let stop = |all| stopped(all, content_type);
    let all = api.change(&call, "subscription_stopped", content_type.name(), stop).await?;
    all.map(|_| StatusCode::OK.into_response()).ok_or(Fault::NoSubscription)
}

async fn list(State(api): Here, Path(tenant): Path<String>, request: Request) -> Answer {
    let mut parts = request.into_parts().0;
    let call = api.enter(&mut parts, &tenant, Right::ReadActivityFeed).await?;
    let now = api.clock.now();
    let all = api.feed.subscriptions(&api.permit(&call)).await.map_err(unavailable)?;
    Ok(json(&all.iter().map(|one| subscription(one, now)).collect::<Vec<Value>>()))
}

async fn content(State(api): Here, Path(tenant): Path<String>, request: Request) -> Answer {
    let mut parts = request.into_parts().0;
    let call = api.enter(&mut parts, &tenant, Right::ReadActivityFeed).await?;
    let content_type = call.parameters.content_type()?;
    let (range, after) = (call.parameters.range(api.clock.now())?, call.parameters.next_page()?);
    let grant = api.grant(&call).await?;
    let subscription = api.subscription(&call, content_type).await?;
    let mut items = Vec::new();
    if content_type == ContentType::General {
        let wanted = ContentQuery {
            from: Some(range.start.max(subscription.since)),
            until: Some(range.end),
            after,
            size: PAGE_MAX + 1,
            ..ContentQuery::default()
        };
        items = api.feed.list(&grant, wanted).await.map_err(not_exported)?;
    }
    let more = items.len() > PAGE_MAX;
    items.truncate(PAGE_MAX);
    let next = items.last().filter(|_| more).map(|last| next_page(&call, content_type, &range, last.number));
    let items: Vec<Item> =
        items.iter().map(|one| Item::of(&call.base, content_type, one.number, one.created)).collect();
    Ok(with_next(json(&items), next))
}

async fn blob(State(api): Here, Path((tenant, id)): Path<(String, String)>, request: Request) -> Answer {
    let mut parts = request.into_parts().0;
    let call = api.enter(&mut parts, &tenant, Right::ReadActivityFeed).await?;
    let (number, created) = read_content_id(&id)?;
    if expiry(created) <= api.clock.now() {
        return Err(Fault::Expired);
    }
    let grant = api.grant(&call).await?;
    let subscription = api.subscription(&call, ContentType::General).await?;
    if created < subscription.since {
        return Err(Fault::NoContent);
    }
    let released = grant.release(number).await.map_err(not_exported)?;
    let released = released.filter(|released| content_id(number, released.content().created) == id);
    let released = released.ok_or(Fault::NoContent)?;
    Ok(json_text(management_record::array(grant.tenant(), &released.content().records)))
}

async fn notifications(State(api): Here, Path(tenant): Path<String>, request: Request) -> Answer {
    let mut parts = request.into_parts().0;
    let call = api.enter(&mut parts, &tenant, Right::ReadActivityFeed).await?;
    let content_type = call.parameters.content_type()?;
    let range = call.parameters.range(api.clock.now())?;
    let _ = api.grant(&call).await?;
    api.subscription(&call, content_type).await?;
    let all = api.feed.notifications(&api.permit(&call), content_type).await.map_err(unavailable)?;
    let wanted = all.iter().filter(|one| (range.start..range.end).contains(&one.sent));
    let told = wanted.map(|one| Told {
        item: Item::of(&call.base, content_type, one.number, one.created),
        notification_sent: written(one.sent),
        notification_status: if one.succeeded { "success" } else { "failed" },
    });
    Ok(json(&told.collect::<Vec<_>>()))
}

async fn sensitive_types(State(api): Here, Path(tenant): Path<String>, request: Request) -> Answer {
    let mut parts = request.into_parts().0;
    let call = api.enter(&mut parts, &tenant, Right::ReadActivityFeed).await?;
    drop(call);
    let language = parts.headers.get(ACCEPT_LANGUAGE).map(HeaderValue::to_str).transpose();
    question::check_language(language.map_err(|_| Fault::Language)?)?;
    Ok(json(&[(); 0]))
}

/// A notification as it is listed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(flatten)]
    item: Item,
    notification_sent: String,
    notification_status: &'static str,
}

fn subscription(one: &Subscription, now: DateTime<Utc>) -> Value {
    let webhook = one.webhook.as_ref().map(|webhook| {
        let status = match webhook {
            _ if webhook.has_expired(now) => "expired",
            Webhook { enabled: true, .. } => "enabled",
            Webhook { enabled: false, .. } => "disabled",
        };
        let expiration = webhook.expiration.map(written);
        serde_json::json!({
            "status": status, "address": webhook.address, "authId": webhook.auth_id, "expiration": expiration,
        })
    });
    let status = if one.enabled { "enabled" } else { "disabled" };
    serde_json::json!({"contentType": one.content_type, "status": status, "webhook": webhook})
}

fn next_page(call: &Call, content_type: ContentType, range: &Range, last: u64) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("contentType", content_type.name());
    query.append_pair("startTime", &written(range.start)).append_pair("endTime", &written(range.end));
    if let Some(publisher) = call.parameters.get("PublisherIdentifier") {
        query.append_pair("PublisherIdentifier", publisher);
    }
    query.append_pair("nextPage", &last.to_string());
    format!("{}/subscriptions/content?{}", call.base, query.finish())
}

fn with_next(mut response: Response, next: Option<String>) -> Response {
    if let Some(next) = next.and_then(|next| HeaderValue::try_from(next).ok()) {
        response.headers_mut().insert(NEXT_PAGE, next);
    }
    response
}

fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Denied(Denied::Lapsed) => Fault::Unauthenticated,
        Refusal::Denied(Denied::PermissionMissing) => Fault::PermissionMissing,
        Refusal::Denied(Denied::TenantMismatch) => Fault::TenantMismatch,
        Refusal::DeniedTooOften(wait) => Fault::Throttled(wait),
        Refusal::SharingOff(_) => Fault::Unavailable, // Nothing here asks the sharing gate.
        Refusal::Unavailable(cause) => unavailable(cause),
        Refusal::AuditUnavailable(cause) => unwritten(cause),
    }
}

fn not_exported(refusal: ExportRefusal) -> Fault {
    match refusal {
        ExportRefusal::Off => Fault::ExportOff,
        ExportRefusal::Unavailable(cause) => unavailable(cause),
        ExportRefusal::AuditUnavailable(cause) => unwritten(cause),
    }
}

fn unavailable(Unavailable(cause): Unavailable) -> Fault {
    tracing::error!(cause, "the store is unavailable");
    Fault::Unavailable
}

fn unwritten(AuditUnavailable(cause): AuditUnavailable) -> Fault {
    tracing::error!(cause, "the audit log is unavailable");
    Fault::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Anyone;
    use crate::clock::ManualClock;
    use crate::domain::audit::{AuditEvent, AuditOutcome};
    use crate::domain::facts::{Batch, Fact};
    use crate::domain::ids::{PolicyId, RiskAlertId};
    use crate::domain::risk_alert::{Origin, RiskAlert, Status};
    use crate::domain::settings::Settings;
    use crate::domain::severity::Severity;
    use crate::domain::user::{Identity, IdentityKey};
    use crate::store::Store;
    use crate::store::embedded::EmbeddedStore;
    use chrono::TimeDelta;
    use std::collections::BTreeSet;
    use tower::ServiceExt;

    const HOST_NAME: &str = "siem.contoso.com";

    fn noon() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn tenant() -> TenantId {
        TenantId::new(Uuid::from_u128(7))
    }

    fn api(store: &Arc<dyn Store>) -> Router {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(noon() + TimeDelta::hours(1)));
        router(Api {
            authenticator: Arc::new(Anyone::default()),
            gate: Gate::new(Arc::clone(store), Arc::clone(&clock)),
            export: ExportGate::new(Arc::clone(store), Arc::clone(&clock)),
            feed: Arc::new(Feed::new(Arc::clone(store), Arc::clone(&clock), TimeDelta::hours(1))),
            webhooks: Client::new([], None).unwrap(),
            clock,
            public_url: format!("https://{HOST_NAME}/"),
            tls: false,
            rate: rate(0),
            time: Duration::from_secs(10),
        })
    }

    async fn ask(router: &Router, method: &str, url: &str) -> (StatusCode, Option<String>, Value) {
        let request = Request::builder().method(method).uri(url).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let next = answer.headers().get(NEXT_PAGE).map(|next| next.to_str().unwrap().to_owned());
        let status = answer.status();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, next, serde_json::from_slice(&body).unwrap())
    }

    /// Exports so many blobs of one record each.
    async fn export(store: &Arc<dyn Store>, blobs: usize) {
        let settings = Settings { alert_export: true, ..Settings::default() };
        let event = AuditEvent::new(noon(), "somebody", "UpdateSettings", AuditOutcome::Changed);
        store.change_settings(tenant(), 0, settings, event).await.unwrap();
        for n in 0..blobs {
            let alert = RiskAlert {
                id: RiskAlertId::new(&n.to_string()).unwrap(),
                policy: PolicyId::new("leaks").unwrap(),
                severity: Severity::High,
                score: 67,
                status: Status::NeedsReview,
                origin: Origin::Imported { exfiltration: true },
                created_at: noon(),
                updated_at: noon(),
                closed_at: None,
            };
            let user = Identity::default().with(IdentityKey::address("john@contoso.com").unwrap());
            let facts = vec![Fact::RiskAlert { user, alert }];
            store.commit(Batch { tenant: tenant(), at: noon(), facts }).await.unwrap();
            store.publish(noon() + TimeDelta::seconds(i64::try_from(n).unwrap())).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_long_list_goes_on_at_a_url_that_keeps_its_range() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(folder.path()).unwrap());
        let router = api(&store);
        let feed = format!("/api/v1.0/{}/activity/feed", tenant());
        let range = "startTime=2026-11-24T00:00&endTime=2026-11-24T23:00";
        let publisher = Uuid::from_u128(9);
        // Began before the first blob: a clock that stands still would not let it.
        let began =
            Subscription { content_type: ContentType::General, enabled: true, since: noon(), webhook: None };
        let note = serde_json::to_string(&[began]).unwrap();
        store.put_note(tenant(), "activity-feed.subscriptions", None, &note).await.unwrap();
        export(&store, 2 * PAGE_MAX + 1).await;
        let first = format!(
            "{feed}/subscriptions/content?contentType=Audit.General&{range}&PublisherIdentifier={publisher}"
        );
        let (mut url, mut ids, mut pages) = (Some(first), BTreeSet::new(), Vec::new());
        while let Some(page) = url {
            let (status, next, body) = ask(&router, "GET", &page).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            let items = body.as_array().unwrap();
            ids.extend(items.iter().map(|item| item["contentId"].as_str().unwrap().to_owned()));
            pages.push(items.len());
            if let Some(next) = &next {
                assert!(
                    next.starts_with(&format!("https://{HOST_NAME}{feed}/subscriptions/content?")),
                    "{next}"
                );
                for kept in ["startTime=2026-11-24T00%3A00%3A00.000Z", "endTime=", &publisher.to_string()] {
                    assert!(next.contains(kept), "{next}");
                }
            }
            url = next.map(|next| next[format!("https://{HOST_NAME}").len()..].to_owned());
        }
        assert_eq!((pages, ids.len()), (vec![PAGE_MAX, PAGE_MAX, 1], 2 * PAGE_MAX + 1));
    }

    #[tokio::test]
    async fn what_one_tenant_exports_is_no_content_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(folder.path()).unwrap());
        let router = api(&store);
        export(&store, 1).await;
        let other = TenantId::new(Uuid::from_u128(8));
        let settings = Settings { alert_export: true, ..Settings::default() };
        let event = AuditEvent::new(noon(), "somebody", "UpdateSettings", AuditOutcome::Changed);
        store.change_settings(other, 0, settings, event).await.unwrap();
        let began =
            Subscription { content_type: ContentType::General, enabled: true, since: noon(), webhook: None };
        let note = serde_json::to_string(&[began]).unwrap();
        for tenant in [tenant(), other] {
            store.put_note(tenant, "activity-feed.subscriptions", None, &note).await.unwrap();
        }
        let blob = |tenant| format!("/api/v1.0/{tenant}/activity/feed/audit/{}", content_id(1, noon()));
        assert_eq!(ask(&router, "GET", &blob(tenant())).await.0, StatusCode::OK);
        let (status, _, body) = ask(&router, "GET", &blob(other)).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::NOT_FOUND, &Value::from("AF20050")));
    }
}
