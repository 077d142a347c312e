//! Metrics as OpenMetrics text, which Prometheus reads. They tell nothing about any tenant or user.

use crate::telemetry::METRICS;
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::CONTENT_TYPE;

/// Returns `/metrics`.
pub fn router() -> Router {
    let text = async || {
        let kind = [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
        (kind, METRICS.text()).into_response()
    };
    Router::new().route("/metrics", get(text))
}
