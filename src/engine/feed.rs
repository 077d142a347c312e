//! The feed of exported risk alerts: when it grows, and who follows it.

use crate::clock::Clock;
use crate::domain::audit::SERVER_CHAIN;
use crate::domain::content::Content;
pub use crate::domain::content::{ContentQuery, expiry};
use crate::domain::ids::TenantId;
use crate::domain::subscription;
pub use crate::domain::subscription::{ContentType, Notification, Subscription, Webhook, started, stopped};
use crate::domain::time::UtcDay;
use crate::gate::admission::{Permit, Unavailable};
use crate::gate::export::{ExportGrant, ExportRefusal, Listed};
use crate::store::Store;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::RwLock;

/// The note of when the last cycle was.
const CYCLE: &str = "export.cycle";
/// The note of a tenant's subscriptions.
const SUBSCRIPTIONS: &str = "activity-feed.subscriptions";
/// How often a change of a note is tried again when another one came first.
const TRIES: usize = 16;
/// How many blobs are looked at at once.
const PAGE: usize = 1_000;

/// Makes content in cycles, and keeps who follows it and how far.
pub struct Feed {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    period: TimeDelta,
    /// Whoever lists waits until a cycle that has begun is listed: else its content could be older than a list that
    /// lacks it.
    cycle: RwLock<()>,
}

/// Where a blob is, and how large. Tells nothing about anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Its number.
    pub number: u64,
    /// Whose it is.
    pub tenant: TenantId,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// How many records it has.
    pub records: usize,
}

impl Position {
    fn of(content: &Content) -> Self {
        let Content { number, tenant, created, records } = content;
        Self { number: *number, tenant: *tenant, created: *created, records: records.len() }
    }
}

impl Feed {
    /// Returns the feed of a store, with a cycle each period.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, period: TimeDelta) -> Self {
        Self { store, clock, period, cycle: RwLock::default() }
    }

    /// Makes content of what is due, if a period has passed since that was done last, before a restart or after, and
    /// returns how many blobs. After a clock that went back it is done at once.
    ///
    /// # Errors
    /// When the store cannot answer. What was due stays due.
    pub async fn cycle(&self) -> Result<u64, Unavailable> {
        let last = self.store.note(SERVER_CHAIN, CYCLE).await?;
        let at = last.as_deref().and_then(|text| text.parse::<DateTime<Utc>>().ok());
        let is_due = |now: DateTime<Utc>| at.is_none_or(|at| now < at || now - at >= self.period);
        if !is_due(self.clock.now()) {
            return Ok(0);
        }
        let _cycle = self.cycle.write().await;
        let now = self.clock.now();
        let made = self.store.publish(now).await?;
        // Another one that came first has published too.
        self.store.put_note(SERVER_CHAIN, CYCLE, last.as_deref(), &now.to_rfc3339()).await?;
        Ok(made)
    }

    /// Lists a tenant's blobs that are wanted.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn list(&self, grant: &ExportGrant, query: ContentQuery) -> Result<Vec<Listed>, ExportRefusal> {
        let _no_cycle = self.cycle.read().await;
        grant.list(query).await
    }

    /// Returns a tenant's subscriptions.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn subscriptions(&self, permit: &Permit) -> Result<Vec<Subscription>, Unavailable> {
        self.subscriptions_of(permit.tenant()).await
    }

    /// Changes a tenant's subscriptions and returns them; nothing when there was nothing to change.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn change(
        &self,
        permit: &Permit,
        change: impl Fn(Vec<Subscription>) -> Option<Vec<Subscription>>,
    ) -> Result<Option<Vec<Subscription>>, Unavailable> {
        self.update(permit.tenant(), SUBSCRIPTIONS, change).await
    }

    /// Returns the number of a tenant's last blob.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn last_of(&self, permit: &Permit) -> Result<u64, Unavailable> {
        let query = ContentQuery { tenant: Some(permit.tenant()), ..ContentQuery::default() };
        self.last(query).await
    }

    /// Returns the notifications of a tenant that were tried, the oldest first.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn notifications(
        &self,
        permit: &Permit,
        content_type: ContentType,
    ) -> Result<Vec<Notification>, Unavailable> {
        self.noted(permit.tenant(), &notifications(content_type)).await
    }

    /// Returns a tenant's subscriptions, for the server's own deliveries.
    pub(crate) async fn subscriptions_of(&self, tenant: TenantId) -> Result<Vec<Subscription>, Unavailable> {
        self.noted(tenant, SUBSCRIPTIONS).await
    }

    /// Notes how a webhook fared, unless it was changed meanwhile, and what it was told of.
    pub(crate) async fn note_webhook(
        &self,
        tenant: TenantId,
        content_type: ContentType,
        before: &Webhook,
        after: &Webhook,
        tried: Vec<Notification>,
    ) -> Result<(), Unavailable> {
        let fared = |mut all: Vec<Subscription>| {
            let one = all.iter_mut().find(|one| one.content_type == content_type)?;
            (one.webhook.as_ref() == Some(before)).then(|| one.webhook = Some(after.clone()))?;
            Some(all)
        };
        self.update(tenant, SUBSCRIPTIONS, fared).await?;
        let told = |all: Vec<Notification>| Some(subscription::noted(all, &tried));
        self.update(tenant, &notifications(content_type), told).await?;
        Ok(())
    }

    /// Returns where the blobs of all tenants behind a number are.
    pub(crate) async fn behind(&self, number: u64, size: usize) -> Result<Vec<Position>, Unavailable> {
        let query = ContentQuery { after: number, size, ..ContentQuery::default() };
        Ok(self.store.contents(&query).await?.iter().map(|content| Position::of(content)).collect())
    }

    /// Returns where the blobs of one tenant behind a number are.
    pub(crate) async fn of_tenant_behind(
        &self,
        tenant: TenantId,
        number: u64,
        size: usize,
    ) -> Result<Vec<Position>, Unavailable> {
        let query = ContentQuery { tenant: Some(tenant), after: number, size, ..ContentQuery::default() };
        Ok(self.store.contents(&query).await?.iter().map(|content| Position::of(content)).collect())
    }

    /// Returns how far a receiver got, by number.
    pub(crate) async fn delivered(&self, receiver: &str) -> Result<u64, Unavailable> {
        let note = self.store.note(SERVER_CHAIN, &format!("delivered.{receiver}")).await?;
        Ok(note.and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    /// Notes that a receiver has everything up to that number.
    pub(crate) async fn note_delivered(&self, receiver: &str, from: u64, to: u64) -> Result<(), Unavailable> {
        let name = format!("delivered.{receiver}");
        let before = (from > 0).then(|| from.to_string());
        self.store.put_note(SERVER_CHAIN, &name, before.as_deref(), &to.to_string()).await?;
        Ok(())
    }

    /// Forgets blobs of days before this one, and returns how many.
    pub(crate) async fn expire(&self, before: UtcDay) -> Result<u64, Unavailable> {
        Ok(self.store.expire_contents(before).await?)
    }

    async fn last(&self, query: ContentQuery) -> Result<u64, Unavailable> {
        let mut last = 0;
        loop {
            let query = ContentQuery { after: last, size: PAGE, ..query.clone() };
            match self.store.contents(&query).await?.last() {
                Some(content) => last = content.number,
                None => return Ok(last),
            }
        }
    }

    async fn noted<T: DeserializeOwned>(&self, tenant: TenantId, name: &str) -> Result<Vec<T>, Unavailable> {
        match self.store.note(tenant, name).await? {
            None => Ok(Vec::new()),
            Some(text) => read(&text),
        }
    }

    async fn update<T: DeserializeOwned + Serialize>(
        &self,
        tenant: TenantId,
        name: &str,
        change: impl Fn(Vec<T>) -> Option<Vec<T>>,
    ) -> Result<Option<Vec<T>>, Unavailable> {
        for _ in 0..TRIES {
            let before = self.store.note(tenant, name).await?;
            let all = before.as_deref().map_or_else(|| Ok(Vec::new()), read)?;
            let Some(next) = change(all) else { return Ok(None) };
            let after = serde_json::to_string(&next).map_err(|error| Unavailable(error.to_string()))?;
            if self.store.put_note(tenant, name, before.as_deref(), &after).await? {
                return Ok(Some(next));
            }
        }
        Err(Unavailable("a note changes all the time".to_owned()))
    }
}

fn notifications(content_type: ContentType) -> String {
    format!("activity-feed.notifications.{}", content_type.name())
}

fn read<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, Unavailable> {
    serde_json::from_str(text).map_err(|error| Unavailable(format!("a note cannot be read: {error}")))
}
