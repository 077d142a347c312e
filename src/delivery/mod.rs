//! What leaves by itself: the feed's cycles, and what is sent to webhooks and to the receivers of the configuration. Each
//! is a task of its own: one that is stuck holds none of the others up, and nothing is forgotten because of it.

pub mod file;
pub mod sender;
pub mod syslog;
pub mod webhook;

use crate::clock::Clock;
use crate::domain::content::AVAILABLE_DAYS;
use crate::domain::time::UtcDay;
use crate::engine::feed::Feed;
use crate::gate::admission::Unavailable;
use chrono::{DateTime, Utc};
use sender::Sender;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use webhook::Webhooks;

/// How often it is looked whether something is due.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// How often old content is looked for.
const EXPIRY_PERIOD: Duration = Duration::from_mins(10);
/// What a record counts for in the backlog: about what it takes.
const RECORD_BYTES: u64 = 1_024;

/// What runs beside the server.
pub struct Deliveries {
    /// The feed.
    pub feed: Arc<Feed>,
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
    /// Tells webhooks.
    pub webhooks: Webhooks,
    /// Sends to the receivers of the configuration.
    pub senders: Vec<Sender>,
    /// How much may wait for receivers once it is older than what the API lists.
    pub backlog_bytes: u64,
}

impl Deliveries {
    /// Runs until it is stopped; ends at the next safe point then.
    pub async fn run(self, stopped: watch::Receiver<bool>) {
        let Self { feed, clock, mut webhooks, senders, backlog_bytes } = self;
        let mut tasks = JoinSet::new();
        let receivers: Vec<Arc<str>> = senders.iter().map(Sender::receiver).collect();
        for sender in senders {
            tasks.spawn(sender.run(stopped.clone()));
        }
        tasks.spawn(repeat(LOOK_PERIOD, stopped.clone(), {
            let feed = Arc::clone(&feed);
            async move || match feed.cycle().await {
                Ok(0) => {}
                Ok(blobs) => tracing::info!(blobs, "exported changes of risk alerts"),
                Err(Unavailable(cause)) => tracing::error!(cause, "cannot export; what is due stays due"),
            }
        }));
        tasks.spawn(repeat(LOOK_PERIOD, stopped.clone(), async move || webhooks.tell().await));
        tasks.spawn(repeat(EXPIRY_PERIOD, stopped, async move || {
            if let Err(Unavailable(cause)) = expire(&feed, clock.now(), &receivers, backlog_bytes).await {
                tracing::error!(cause, "cannot remove old content");
            }
        }));
        while tasks.join_next().await.is_some() {}
    }
}

async fn repeat(period: Duration, mut stopped: watch::Receiver<bool>, mut act: impl AsyncFnMut()) {
    let mut period = tokio::time::interval(period);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = period.tick() => act().await,
            _ = stopped.changed() => return, // It changes once.
        }
    }
}

/// Forgets what can no longer be had and no receiver waits for. What one waits for is kept as long as there is room;
/// before something is dropped for want of it, and when it is, the log says so.
async fn expire(
    feed: &Feed,
    now: DateTime<Utc>,
    receivers: &[Arc<str>],
    backlog_bytes: u64,
) -> Result<(), Unavailable> {
    let days = i32::try_from(AVAILABLE_DAYS).unwrap_or(i32::MAX);
    let old = UtcDay::of(now).plus(-days);
    let mut first = old;
    for receiver in receivers {
        let backlog = sender::backlog(feed, receiver, old).await?;
        let bytes = backlog.records.saturating_mul(RECORD_BYTES);
        let Some(oldest) = backlog.oldest else { continue };
        if bytes > backlog_bytes {
            tracing::error!(
                receiver = &**receiver,
                records = backlog.records,
                "DROPPING risk alerts that a receiver has not taken for more than seven days: they need more room \
                 than export.backlog_bytes"
            );
        } else {
            if bytes > backlog_bytes / 2 {
                tracing::warn!(
                    receiver = &**receiver,
                    records = backlog.records,
                    "a receiver takes nothing: more than half of export.backlog_bytes is used"
                );
            }
            first = first.min(oldest);
        }
    }
    match feed.expire(first).await? {
        0 => {}
        blobs => tracing::info!(blobs, "forgot content that can no longer be had"),
    }
    Ok(())
}
