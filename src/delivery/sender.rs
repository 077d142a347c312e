//! Sends the feed to a receiver of the configuration: each blob at least once, in order, from where it got to before.

use crate::domain::content::AlertRecord;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::engine::feed::{Feed, Position};
use crate::export::{cef, management_record, ocsf};
use crate::gate::admission::Unavailable;
use crate::gate::export::{ExportGate, ExportRefusal};
use crate::telemetry::{self, METRICS};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How often it is looked whether there is something to send.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// After a failure it is tried again after this time, then twice that, and so on.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest time between two tries.
const RETRY_MAX: Duration = Duration::from_mins(1);
/// How long a receiver may take for a blob.
const SEND_TIME: Duration = Duration::from_secs(30);
/// How many blobs are looked at at once.
const PAGE: usize = 100;

/// The shape of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// ArcSight's Common Event Format.
    Cef,
    /// An OCSF Data Security Finding.
    Ocsf,
    /// A record of the Management Activity API.
    Record,
}

impl Format {
    /// Returns a record as one line.
    #[must_use]
    pub fn line(self, tenant: TenantId, record: &AlertRecord) -> String {
        match self {
            Self::Cef => cef::line(tenant, record),
            Self::Ocsf => ocsf::line(tenant, record),
            Self::Record => management_record::line(tenant, record),
        }
    }
}

/// Somebody who takes records.
#[async_trait]
pub trait Receiver: Send + Sync + 'static {
    /// Returns the name under which the audit log and the position know it.
    fn name(&self) -> Arc<str>;

    /// Sends records, and returns once the receiver has them. May send some twice, for they have ids.
    ///
    /// # Errors
    /// When it is not known that it has them all.
    async fn send(&self, tenant: TenantId, records: &[AlertRecord]) -> std::io::Result<()>;
}

/// Sends to one receiver.
pub struct Sender {
    /// What there is.
    pub feed: Arc<Feed>,
    /// Lets it out, and writes that down.
    pub gate: ExportGate,
    /// Who takes it.
    pub to: Box<dyn Receiver>,
}

/// What a receiver has not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// How many records.
    pub records: u64,
    /// The day of the oldest.
    pub oldest: Option<UtcDay>,
}

/// Why a blob was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Refused(#[from] ExportRefusal),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("the receiver did not take it: {0}")]
    NotTaken(#[from] std::io::Error),
    #[error("the receiver took too long")]
    Slow,
}

impl Sender {
    /// Returns its receiver's name.
    #[must_use]
    pub fn receiver(&self) -> Arc<str> {
        self.to.name()
    }

    /// Sends until it is stopped.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let (name, mut retry) = (self.to.name(), RETRY_FIRST);
        loop {
            let wait = match self.send_all().await {
                Ok(()) => {
                    retry = RETRY_FIRST;
                    LOOK_PERIOD
                }
                Err(error) => {
                    METRICS.export_failures.get_or_create(&telemetry::Receiver::named(&name)).inc();
                    tracing::error!(receiver = &*name, %error, "cannot deliver risk alerts; they wait");
                    let wait = retry;
                    retry = (retry * 2).min(RETRY_MAX);
                    wait
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                _ = stopped.changed() => return, // It changes once.
            }
        }
    }

    async fn send_all(&self) -> Result<(), SendError> {
        let name = self.to.name();
        let waiting = backlog(&self.feed, &name, UtcDay::MAX).await?;
        let label = telemetry::Receiver::named(&name);
        METRICS.export_backlog.get_or_create(&label).set(waiting.records.try_into().unwrap_or(i64::MAX));
        let mut from = self.feed.delivered(&name).await?;
        loop {
            let blobs = self.feed.behind(from, PAGE).await?;
            if blobs.is_empty() {
                return Ok(());
            }
            for blob in blobs {
                self.send(&name, blob).await?;
                self.feed.note_delivered(&name, from, blob.number).await?;
                METRICS.export_delivered.get_or_create(&label).inc_by(blob.records as u64);
                from = blob.number;
            }
        }
    }

    /// Sends a blob; one whose tenant does not export any more is passed over.
    async fn send(&self, name: &str, blob: Position) -> Result<(), SendError> {
        let grant = match self.gate.deliver(blob.tenant, name).await {
            Err(ExportRefusal::Off) => return Ok(()),
            granted => granted?,
        };
        let released = match grant.release(blob.number).await {
            Err(ExportRefusal::Off) => return Ok(()),
            released => released?,
        };
        let Some(released) = released else { return Ok(()) };
        let sent = self.to.send(blob.tenant, &released.content().records);
        Ok(timeout(SEND_TIME, sent).await.map_err(|_| SendError::Slow)??)
    }
}

/// Returns what a receiver has not taken that is of days before this one.
pub async fn backlog(feed: &Feed, receiver: &str, before: UtcDay) -> Result<Backlog, Unavailable> {
    let (mut from, mut backlog) = (feed.delivered(receiver).await?, Backlog::default());
    loop {
        let blobs = feed.behind(from, PAGE).await?;
        let Some(last) = blobs.last() else { return Ok(backlog) };
        from = last.number;
        for blob in blobs.iter().filter(|blob| UtcDay::of(blob.created) < before) {
            backlog.records += blob.records as u64;
            let day = UtcDay::of(blob.created);
            backlog.oldest = Some(backlog.oldest.map_or(day, |oldest| oldest.min(day)));
        }
    }
}
