//! Every metric, named once. No label holds a tenant or a user.

use metrics::{describe_counter, describe_gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// Gauge: records that a receiver has not taken.
pub const EXPORT_BACKLOG: &str = "riskshare_export_backlog_records";
/// Counter: records that a receiver took.
pub const EXPORT_DELIVERED: &str = "riskshare_export_delivered_records_total";
/// Counter: deliveries that failed and are tried again.
pub const EXPORT_FAILURES: &str = "riskshare_export_failures_total";
/// Counter: records that were dropped because a receiver did not take them in time.
pub const EXPORT_DROPPED: &str = "riskshare_export_dropped_records_total";
/// Counter: blobs of content that cycles made.
pub const EXPORT_BLOBS: &str = "riskshare_export_blobs_total";

/// The label that names a receiver.
pub const RECEIVER: &str = "receiver";

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Collects metrics from now on, for the whole process, and returns where they are read. Nothing when somebody else
/// collects them.
pub fn collect() -> Option<&'static PrometheusHandle> {
    RECORDER.get_or_init(install).as_ref()
}

fn install() -> Option<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().ok()?;
    describe_gauge!(EXPORT_BACKLOG, "Exported risk alert records that a receiver has not taken.");
    describe_counter!(EXPORT_DELIVERED, "Exported risk alert records that a receiver took.");
    describe_counter!(EXPORT_FAILURES, "Deliveries of exported risk alerts that failed and are tried again.");
    describe_counter!(EXPORT_DROPPED, "Exported risk alert records that were dropped for want of room.");
    describe_counter!(EXPORT_BLOBS, "Blobs of exported risk alert records that were made.");
    Some(handle)
}
