//! Metrics in Prometheus' text format. They tell nothing about any tenant or user.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;

/// Returns `/metrics`.
pub fn router(metrics: &'static PrometheusHandle) -> Router {
    let text = async || {
        let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        (kind, metrics.render()).into_response()
    };
    Router::new().route("/metrics", get(text))
}
