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
use crate::telemetry::{self, METRICS};
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
                Ok(blobs) => {
                    METRICS.export_blobs.inc_by(blobs);
                    tracing::info!(blobs, "exported changes of risk alerts");
                }
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
            let label = telemetry::Receiver::named(receiver);
            METRICS.export_dropped.get_or_create(&label).inc_by(backlog.records);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::audit::{AuditEvent, AuditOutcome};
    use crate::domain::facts::{Batch, Fact};
    use crate::domain::ids::{PolicyId, RiskAlertId, TenantId};
    use crate::domain::risk_alert::{Origin, RiskAlert, Status};
    use crate::domain::settings::Settings;
    use crate::domain::severity::Severity;
    use crate::domain::user::{Identity, IdentityKey};
    use crate::store::Store;
    use crate::store::embedded::EmbeddedStore;
    use chrono::TimeDelta;
    use uuid::Uuid;

    fn noon() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    /// A feed with a blob of one record on each of so many days up to today.
    async fn feed(store: &Arc<dyn Store>, days: i64) -> Feed {
        let tenant = TenantId::new(Uuid::from_u128(7));
        let settings = Settings { alert_export: true, ..Settings::default() };
        let event = AuditEvent::new(noon(), "somebody", "UpdateSettings", AuditOutcome::Changed);
        store.change_settings(tenant, 0, settings, event).await.unwrap();
        for ago in (0..days).rev() {
            let at = noon() - TimeDelta::days(ago);
            let alert = RiskAlert {
                id: RiskAlertId::new(&ago.to_string()).unwrap(),
                policy: PolicyId::new("leaks").unwrap(),
                severity: Severity::High,
                score: 67,
                status: Status::NeedsReview,
                origin: Origin::Imported { exfiltration: true },
                created_at: at,
                updated_at: at,
                closed_at: None,
            };
            let user = Identity::default().with(IdentityKey::address("john@contoso.com").unwrap());
            let facts = vec![Fact::RiskAlert { user, alert }];
            store.commit(Batch { tenant, at, facts }).await.unwrap();
            store.publish(at).await.unwrap();
        }
        Feed::new(Arc::clone(store), Arc::new(ManualClock::at(noon())), TimeDelta::hours(1))
    }

    async fn left(feed: &Feed) -> usize {
        feed.behind(0, 100).await.unwrap().len()
    }

    #[tokio::test]
    async fn what_a_receiver_waits_for_is_kept_as_long_as_there_is_room_and_a_week_in_any_case() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(folder.path()).unwrap());
        let feed = feed(&store, 20).await;
        let receivers: [Arc<str>; 2] = ["quick".into(), "dead".into()];
        // Days 19 to 8 ago are twelve.
        let room = 12 * RECORD_BYTES;
        feed.note_delivered("quick", 0, 20).await.unwrap();
        expire(&feed, noon(), &receivers, room).await.unwrap();
        assert_eq!(left(&feed).await, 20, "the dead one may come back");
        expire(&feed, noon(), &receivers, room - 1).await.unwrap();
        assert_eq!(left(&feed).await, 8, "there is no room for more than a week");
        expire(&feed, noon() + TimeDelta::days(1), &receivers[..1], room).await.unwrap();
        assert_eq!(left(&feed).await, 7, "what was delivered goes after a week");
    }
}
