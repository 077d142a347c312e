//! Webhooks of the Management Activity API: proves that they are wanted, and tells them of new content. They are told
//! where it is, never what it says.

use crate::clock::Clock;
use crate::domain::ids::TenantId;
use crate::engine::feed::{ContentType, Feed, Notification, Position, Subscription, Webhook};
use crate::export::content_item::{base, notification};
use crate::gate::admission::Unavailable;
use crate::gate::export::{ExportGate, ExportRefusal};
use crate::telemetry::traces;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Certificate, StatusCode, Url};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;
use uuid::Uuid;

/// How long a webhook may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How many blobs one notification tells of at most.
const BLOBS_MAX: usize = 100;

/// Speaks to webhooks.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// The hosts that may be spoken to, in lower case. Whoever may start subscriptions could otherwise make the server
    /// knock at any door of its network.
    hosts: Arc<BTreeSet<String>>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of authorities cannot be read.
    #[error("management_api.webhook_ca: {0}")]
    Authorities(String),
    /// No client can be had.
    #[error("cannot set up a client for webhooks: {0}")]
    Client(#[from] reqwest::Error),
}

/// Why a webhook is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WebhookError {
    /// It is no https URL of an allowed host.
    #[error("it is no https URL of an allowed host")]
    Address,
    /// It cannot be reached.
    #[error("it cannot be reached")]
    Unreached,
    /// It answered, but not with 200.
    #[error("it did not answer with status 200")]
    Status,
}

impl Client {
    /// Returns a client that speaks to some hosts, and also believes the authorities of a PEM file, if there is one.
    ///
    /// # Errors
    /// When the file cannot be used or there is no TLS.
    pub fn new(
        hosts: impl IntoIterator<Item = String>,
        authorities: Option<&Path>,
    ) -> Result<Self, ClientError> {
        let refused = |error: &dyn std::fmt::Display| ClientError::Authorities(error.to_string());
        // A redirect could lead anywhere, and proxies of the environment are no setting.
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .https_only(true)
            .timeout(ANSWER_TIME);
        if let Some(path) = authorities {
            let pem = std::fs::read(path).map_err(|error| refused(&error))?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| refused(&error))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { http: builder.build()?, hosts: Arc::new(hosts) })
    }

    /// Asks a webhook to prove that it is wanted: it must answer 200 to a code.
    ///
    /// # Errors
    /// When it does not.
    pub async fn validate(&self, address: &str, auth_id: Option<&str>) -> Result<(), WebhookError> {
        let code = Uuid::new_v4().to_string();
        let body = json!({ "validationCode": code }).to_string();
        self.post(address, auth_id, Some(&code), body).await
    }

    async fn post(
        &self,
        address: &str,
        auth_id: Option<&str>,
        code: Option<&str>,
        body: String,
    ) -> Result<(), WebhookError> {
        let url = self.allowed(address).ok_or(WebhookError::Address)?;
        let mut request = self.http.post(url).header(CONTENT_TYPE, "application/json; charset=utf-8");
        if let Some(auth_id) = auth_id {
            request = request.header("Webhook-AuthID", auth_id);
        }
        if let Some(code) = code {
            request = request.header("Webhook-ValidationCode", code);
        }
        let mut headers = HeaderMap::new();
        let span = traces::of_message("webhook", &mut headers);
        let sending = request.headers(headers).body(body).send().instrument(span);
        let answer = sending.await.map_err(|_| WebhookError::Unreached)?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(WebhookError::Status) }
    }

    fn allowed(&self, address: &str) -> Option<Url> {
        let url = Url::parse(address).ok()?;
        let is_allowed = url.host_str().is_some_and(|host| self.hosts.contains(&host.to_ascii_lowercase()));
        let is_plain = url.username().is_empty() && url.password().is_none();
        (url.scheme() == "https" && is_allowed && is_plain).then_some(url)
    }
}

/// Tells webhooks of new content.
pub struct Webhooks {
    /// Speaks to them.
    pub client: Client,
    /// What there is.
    pub feed: Arc<Feed>,
    /// Says who exports.
    pub gate: ExportGate,
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
    /// What content is reached by.
    pub public_url: String,
    /// Tenants of whose content somebody may have to be told yet.
    pub waiting: BTreeSet<TenantId>,
    /// The last blob that was looked at.
    pub seen: u64,
}

impl Webhooks {
    /// Tells everybody who is due. What fails is tried again later, less and less often.
    pub async fn tell(&mut self) {
        if let Err(Unavailable(cause)) = self.look().await {
            return tracing::error!(cause, "cannot look for content to notify webhooks of");
        }
        for tenant in self.waiting.clone() {
            match self.tell_of(tenant).await {
                Ok(true) => {}
                Ok(false) => drop(self.waiting.remove(&tenant)),
                Err(Unavailable(cause)) => tracing::error!(cause, "cannot notify webhooks"),
            }
        }
    }

    async fn look(&mut self) -> Result<(), Unavailable> {
        loop {
            let blobs = self.feed.behind(self.seen, BLOBS_MAX).await?;
            let Some(last) = blobs.last() else { return Ok(()) };
            self.seen = last.number;
            self.waiting.extend(blobs.iter().map(|blob| blob.tenant));
        }
    }

    /// Tells a tenant's webhook, and says whether there is more to tell, now or later.
    async fn tell_of(&self, tenant: TenantId) -> Result<bool, Unavailable> {
        let all = self.feed.subscriptions_of(tenant).await?;
        let general = |one: &Subscription| one.enabled && one.content_type == ContentType::General;
        let webhook = all.into_iter().find(general).and_then(|one| one.webhook);
        let now = self.clock.now();
        let Some(before) = webhook.filter(|webhook| webhook.enabled && !webhook.has_expired(now)) else {
            return Ok(false);
        };
        match self.gate.deliver(tenant, "riskshare/webhook").await {
            Ok(_) => {}
            Err(ExportRefusal::Off) => return Ok(false),
            Err(ExportRefusal::Unavailable(cause)) => return Err(cause),
            Err(ExportRefusal::AuditUnavailable(cause)) => return Err(Unavailable(cause.0)),
        }
        let blobs = self.feed.of_tenant_behind(tenant, before.told, BLOBS_MAX).await?;
        let Some(last) = blobs.last() else { return Ok(false) };
        if !before.is_due(now) {
            return Ok(true);
        }
        let mut after = before.clone();
        let succeeded = self.post(tenant, &before, &blobs).await.is_ok();
        if succeeded {
            after.succeed(last.number);
        } else {
            after.fail(now);
            tracing::warn!(%tenant, failures = after.failures, enabled = after.enabled, "a webhook did not take a notification");
        }
        let tried = |blob: &Position| Notification {
            number: blob.number,
            created: blob.created,
            sent: now,
            succeeded,
        };
        let tried = blobs.iter().map(tried).collect();
        self.feed.note_webhook(tenant, ContentType::General, &before, &after, tried).await?;
        Ok(true)
    }

    async fn post(
        &self,
        tenant: TenantId,
        webhook: &Webhook,
        blobs: &[Position],
    ) -> Result<(), WebhookError> {
        let base = base(&self.public_url, tenant);
        let blobs = blobs.iter().map(|blob| (blob.number, blob.created));
        let body = notification(&base, tenant, &webhook.client, ContentType::General, blobs);
        self.client.post(&webhook.address, webhook.auth_id.as_deref(), None, body).await
    }
}
