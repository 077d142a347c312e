//! What metrics tell whoever runs the server: how calls end, whom the gate refuses, what the store does. Nobody's name.

use crate::world::*;
use riskshare::pb;
use std::collections::BTreeMap;

/// Reads the metrics by name and labels. They are those of the whole process, so other tests may add to them.
async fn metrics(world: &World) -> BTreeMap<String, f64> {
    let text =
        reqwest::get(format!("http://{}/metrics", world.metrics())).await.unwrap().text().await.unwrap();
    assert!(text.ends_with("# EOF\n"), "OpenMetrics");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    samples.map(sample).collect()
}

fn handled(service: &str, method: &str, code: &str) -> String {
    format!(
        "grpc_server_handled_total{{grpc_type=\"unary\",grpc_service=\"{service}\",grpc_method=\"{method}\",grpc_code=\"{code}\"}}"
    )
}

#[tokio::test]
async fn calls_refusals_facts_and_the_store_are_counted_and_nobody_is_named() {
    let world = World::start_with(|config| "127.0.0.1:0".clone_into(&mut config.metrics.listen)).await;
    let before = metrics(&world).await;
    let tenant = world.tenant().await;
    tenant.leaker("nobody-else@contoso.com", 10).await;
    assert_eq!(tenant.enrich(&["nobody-else@contoso.com"]).await.severity_text, "High");
    tenant.share(false).await;
    tenant.enrich(&["nobody-else@contoso.com"]).await;
    let request = pb::ListUserActivitiesRequest {
        tenant_id: tenant.id.clone(),
        user: Some(upn("nobody-else@contoso.com")),
        ..Default::default()
    };
    world.enrichment().list_user_activities(request).await.unwrap_err();
    let mut raw = tonic::client::Grpc::new(world.channel.clone());
    raw.ready().await.unwrap();
    let path = "/riskshare.v1.Made/Up".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    raw.unary::<(), (), _>(tonic::Request::new(()), path, codec).await.unwrap_err();

    let enrichment = "riskshare.v1.AlertEnrichmentService";
    let operation = |name: &str| format!("riskshare_store_operation_seconds_count{{operation=\"{name}\"}}");
    let expected = [
        (handled(enrichment, "EnrichAlert", "OK"), 2.0),
        (handled(enrichment, "ListUserActivities", "FailedPrecondition"), 1.0),
        (handled("unknown", "unknown", "Unimplemented"), 1.0),
        ("riskshare_gate_refusals_total{cause=\"sharing_off\"}".to_owned(), 2.0),
        ("riskshare_ingest_facts_total{outcome=\"accepted\"}".to_owned(), 10.0),
        ("riskshare_ingest_lag_seconds_count".to_owned(), 1.0),
        ("riskshare_audit_lines_total".to_owned(), 4.0),
        (operation("commit"), 3.0),
        (operation("hold"), 3.0),
        (operation("read"), 1.0),
    ];
    // A call is counted when the last of its answer was taken, which may be just after its caller has it.
    let mut after = metrics(&world).await;
    let counted = |after: &BTreeMap<String, f64>, name: &str| {
        after.get(name).copied().unwrap_or_default() - before.get(name).copied().unwrap_or_default()
    };
    while expected.iter().any(|(name, least)| counted(&after, name) < *least) {
        tokio::task::yield_now().await;
        after = metrics(&world).await;
    }
    let histogram = format!(
        "grpc_server_handling_seconds_bucket{{le=\"+Inf\",grpc_type=\"unary\",grpc_service=\"{enrichment}\",grpc_method=\"EnrichAlert\"}}"
    );
    assert!(counted(&after, &histogram) >= 2.0, "{after:?}");
    assert!(
        after.contains_key(&format!("riskshare_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")))
    );
    for name in after.keys() {
        assert!(
            !name.contains(&tenant.id) && !name.contains("nobody-else") && !name.contains("Made"),
            "{name}"
        );
    }
}
