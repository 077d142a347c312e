//! What is deployed beside the server speaks of metrics that it has.

use riskshare::telemetry::{CallEnded, CallOf, METRICS, Receiver};
use std::collections::BTreeSet;
use std::time::Duration;

/// Returns every name that a metric of this program can have.
fn names() -> BTreeSet<String> {
    // A family speaks of itself once it counted something.
    METRICS.refused("");
    METRICS.ingested("", 1);
    METRICS.stored("", Duration::ZERO, true);
    let call = CallOf { grpc_type: "", grpc_service: "".into(), grpc_method: "".into() };
    METRICS.calls_started.get_or_create(&call).inc();
    METRICS.call_seconds.get_or_create(&call).observe(0.0);
    let CallOf { grpc_type, grpc_service, grpc_method } = call;
    let ended = CallEnded { grpc_type, grpc_service, grpc_method, grpc_code: String::new() };
    METRICS.calls_handled.get_or_create(&ended).inc();
    let receiver = Receiver::named("");
    METRICS.export_backlog.get_or_create(&receiver).inc();
    for family in [&METRICS.export_delivered, &METRICS.export_failures, &METRICS.export_dropped] {
        family.get_or_create(&receiver).inc();
    }
    let text = METRICS.text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = types.flat_map(|(name, kind)| {
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_count", "_sum"],
            "info" => &["_info"],
            _ => &[""],
        };
        endings.iter().map(move |ending| format!("{name}{ending}"))
    });
    names.collect()
}

/// Returns the words of a text that look like a metric of ours.
fn spoken_of(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_name(c)).filter(|word| {
        (word.starts_with("riskshare_") || word.starts_with("grpc_server_")) && !word.ends_with('_')
    });
    words.map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_exist_and_the_docs_name_all() {
    let names = names();
    assert!(names.len() > 20, "{names:?}");
    for path in [
        "deploy/prometheus/riskshare.rules.yaml",
        "deploy/prometheus/riskshare.rules.test.yaml",
        "deploy/grafana/riskshare.json",
    ] {
        let spoken_of = spoken_of(&std::fs::read_to_string(path).unwrap());
        assert!(spoken_of.len() > 5, "{path}");
        let unknown: Vec<_> = spoken_of.difference(&names).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }
    let docs = ["docs/observability.md", "docs/siem.md"].map(|path| std::fs::read_to_string(path).unwrap());
    for name in &names {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|ending| name.strip_suffix(ending));
        let base = base.unwrap_or(name);
        assert!(docs.iter().any(|text| text.contains(base)), "{base} is in no document");
    }
}
