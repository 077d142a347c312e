//! Every metric, named once. No label holds a tenant or a user.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::LazyLock;

/// The metrics of this process.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// The metrics.
pub struct Metrics {
    registry: Registry,
    /// Records that a receiver has not taken.
    pub export_backlog: Family<Receiver, Gauge>,
    /// Records that a receiver took.
    pub export_delivered: Family<Receiver, Counter>,
    /// Deliveries that failed and are tried again.
    pub export_failures: Family<Receiver, Counter>,
    /// Records that were dropped because a receiver did not take them in time.
    pub export_dropped: Family<Receiver, Counter>,
    /// Blobs of content that cycles made.
    pub export_blobs: Counter,
}

/// Who takes exported records, by its name in the audit log.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct Receiver {
    receiver: String,
}

impl Receiver {
    /// Returns the label of a receiver.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { receiver: name.to_owned() }
    }
}

impl Metrics {
    fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("riskshare"),
            export_backlog: Family::default(),
            export_delivered: Family::default(),
            export_failures: Family::default(),
            export_dropped: Family::default(),
            export_blobs: Counter::default(),
        };
        let Self {
            registry,
            export_backlog,
            export_delivered,
            export_failures,
            export_dropped,
            export_blobs,
        } = &mut metrics;
        let records = "Exported risk alert records";
        registry.register(
            "export_backlog_records",
            format!("{records} that a receiver has not taken"),
            export_backlog.clone(),
        );
        registry.register(
            "export_delivered_records",
            format!("{records} that a receiver took"),
            export_delivered.clone(),
        );
        registry.register(
            "export_dropped_records",
            format!("{records} that were dropped for want of room"),
            export_dropped.clone(),
        );
        registry.register(
            "export_failures",
            "Deliveries of exported risk alerts that failed and are tried again",
            export_failures.clone(),
        );
        registry.register("export_blobs", "Blobs of exported records that were made", export_blobs.clone());
        metrics
    }

    /// Returns all metrics as OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("memory takes everything");
        text
    }
}
