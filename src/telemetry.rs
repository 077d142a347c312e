//! Every metric, named once. No label holds a tenant or a user.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The metrics of this process.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Histograms by label.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The metrics.
pub struct Metrics {
    registry: Registry,
    /// Calls that began.
    pub calls_started: Family<CallOf, Counter>,
    /// Calls that ended, by their status.
    pub calls_handled: Family<CallEnded, Counter>,
    /// How long calls took, from their first byte to the last one of their answer.
    pub call_seconds: Histograms<CallOf>,
    /// Whom the gate did not let in, or let nothing out for.
    pub gate_refusals: Family<Refused, Counter>,
    /// Facts that were taken in, or not.
    pub ingest_facts: Family<Ingested, Counter>,
    /// From when the newest activity of a call happened until it was durable.
    pub ingest_lag: Histogram,
    /// How long the store took.
    pub store_seconds: Histograms<StoreOperation>,
    /// What the store could not do.
    pub store_failures: Family<StoreOperation, Counter>,
    /// Facts that the embedded engine wrote together.
    pub commit_group: Histogram,
    /// Lines of the audit log that are durable.
    pub audit_lines: Counter,
    /// Lines of the audit log that could not be written.
    pub audit_failures: Counter,
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

/// A method, in the words that all gRPC servers use.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct CallOf {
    /// `unary`, `client_stream`, `server_stream` or `bidi_stream`.
    pub grpc_type: &'static str,
    /// The service; `unknown` for one that is not there.
    pub grpc_service: Arc<str>,
    /// The method; `unknown` for one that is not there.
    pub grpc_method: Arc<str>,
}

/// A call that ended.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct CallEnded {
    /// `unary`, `client_stream`, `server_stream` or `bidi_stream`.
    pub grpc_type: &'static str,
    /// The service.
    pub grpc_service: Arc<str>,
    /// The method.
    pub grpc_method: Arc<str>,
    /// The canonical code, as `NotFound`; `Canceled` when the caller went away.
    pub grpc_code: String,
}

/// Why the gate refused.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct Refused {
    /// The cause, in a word.
    pub cause: &'static str,
}

/// What became of a fact.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct Ingested {
    /// `accepted`, `duplicate`, `conflict` or `outside_window`.
    pub outcome: &'static str,
}

/// What the store was asked to do.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct StoreOperation {
    /// The operation, in a word.
    pub operation: &'static str,
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

/// From a quarter of a millisecond to 16 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 17))
}

impl Metrics {
    fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            calls_started: Family::default(),
            calls_handled: Family::default(),
            call_seconds: Family::new_with_constructor(seconds),
            gate_refusals: Family::default(),
            ingest_facts: Family::default(),
            // A second to 12 days.
            ingest_lag: Histogram::new(exponential_buckets(1.0, 4.0, 11)),
            store_seconds: Family::new_with_constructor(seconds),
            store_failures: Family::default(),
            commit_group: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            audit_lines: Counter::default(),
            audit_failures: Counter::default(),
            export_backlog: Family::default(),
            export_delivered: Family::default(),
            export_failures: Family::default(),
            export_dropped: Family::default(),
            export_blobs: Counter::default(),
        };
        metrics.register_calls();
        metrics.register_own();
        metrics.register_export();
        metrics
    }

    fn register_calls(&mut self) {
        let calls = self.registry.sub_registry_with_prefix("grpc_server");
        calls.register("started", "Calls that began", self.calls_started.clone());
        calls.register("handled", "Calls that ended, by their status", self.calls_handled.clone());
        let help = "From the first byte of a call to the last one of its answer";
        calls.register_with_unit("handling", help, Unit::Seconds, self.call_seconds.clone());
    }

    fn register_own(&mut self) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        let own = self.registry.sub_registry_with_prefix("riskshare");
        own.register("build", "The program", version);
        let refusals = "Callers whom the gate did not let in, or let nothing out for";
        own.register("gate_refusals", refusals, self.gate_refusals.clone());
        own.register("ingest_facts", "Facts by what became of them", self.ingest_facts.clone());
        let lag = "From when the newest activity of a call happened until it was durable";
        own.register_with_unit("ingest_lag", lag, Unit::Seconds, self.ingest_lag.clone());
        let took = "How long the store took";
        own.register_with_unit("store_operation", took, Unit::Seconds, self.store_seconds.clone());
        own.register("store_failures", "What the store could not do", self.store_failures.clone());
        let group = "Facts that the embedded engine wrote together";
        own.register("committer_group_facts", group, self.commit_group.clone());
        own.register("audit_lines", "Lines of the audit log that are durable", self.audit_lines.clone());
        let failures = "Lines of the audit log that could not be written";
        own.register("audit_failures", failures, self.audit_failures.clone());
    }

    fn register_export(&mut self) {
        let records = "Exported risk alert records";
        let own = self.registry.sub_registry_with_prefix("riskshare_export");
        let not_taken = format!("{records} that a receiver has not taken");
        own.register("backlog_records", not_taken, self.export_backlog.clone());
        let taken = format!("{records} that a receiver took");
        own.register("delivered_records", taken, self.export_delivered.clone());
        let dropped = format!("{records} that were dropped for want of room");
        own.register("dropped_records", dropped, self.export_dropped.clone());
        let failures = "Deliveries of exported risk alerts that failed and are tried again";
        own.register("failures", failures, self.export_failures.clone());
        own.register("blobs", "Blobs of exported records that were made", self.export_blobs.clone());
    }

    /// Counts whom the gate refused.
    pub fn refused(&self, cause: &'static str) {
        self.gate_refusals.get_or_create(&Refused { cause }).inc();
    }

    /// Counts what became of facts.
    pub fn ingested(&self, outcome: &'static str, facts: usize) {
        if facts > 0 {
            self.ingest_facts.get_or_create(&Ingested { outcome }).inc_by(facts as u64);
        }
    }

    /// Notes what the store was asked to do, how long it took, and whether it could not.
    pub fn stored(&self, operation: &'static str, took: Duration, failed: bool) {
        let operation = StoreOperation { operation };
        self.store_seconds.get_or_create(&operation).observe(took.as_secs_f64());
        if failed {
            self.store_failures.get_or_create(&operation).inc();
        }
    }

    /// Returns all metrics as OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("memory takes everything");
        text
    }
}
