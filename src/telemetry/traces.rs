//! Traces: a span for each call, and one for each thing that the store is asked to do within it, over OTLP. Their names and
//! attributes are those of OpenTelemetry's conventions for RPCs and databases, and hold nothing that a caller sent but the
//! ids of its own trace (W3C Trace Context).

use crate::telemetry::CallOf;
use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};

/// How long the collector may take.
const EXPORT_WAIT: Duration = Duration::from_secs(5);
/// How long the last spans may take when the program ends.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// The target of spans: logs and traces are filtered by it.
pub const TARGET: &str = "riskshare::traces";

/// Somebody takes spans. Making them for nobody would cost each call.
static ARE_TAKEN: AtomicBool = AtomicBool::new(false);

/// The way of spans to a collector. Ended by [`Traces::end`].
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends spans to the collector at an address, such as `http://127.0.0.1:4317`: those of calls whose callers sample them,
    /// and of others the part `ratio`.
    ///
    /// # Errors
    /// When the address is none.
    pub fn start(endpoint: &str, ratio: f64) -> Result<Self, ExporterBuildError> {
        let exporter =
            SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_WAIT).build()?;
        let resource = Resource::builder()
            .with_service_name("riskshare")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource.build());
        ARE_TAKEN.store(true, Ordering::Relaxed);
        Ok(Self(provider.build()))
    }

    /// Returns the layer that takes spans.
    #[must_use]
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_location(false)
            .with_threads(false)
            .with_tracer(self.0.tracer("riskshare"))
    }

    /// Sends what is left, and nothing more.
    pub fn end(self) {
        ARE_TAKEN.store(false, Ordering::Relaxed);
        if let Err(cause) = self.0.shutdown_with_timeout(LAST_WAIT) {
            tracing::warn!(%cause, "the last spans were not sent");
        }
    }
}

/// Returns the span of a call, which goes on the caller's trace.
pub fn of_call(method: &CallOf, headers: &HeaderMap) -> Span {
    if !ARE_TAKEN.load(Ordering::Relaxed) {
        return Span::none();
    }
    let name = format!("{}/{}", method.grpc_service, method.grpc_method);
    let span = info_span!(
        target: TARGET,
        "call",
        otel.name = name,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = name,
        rpc.response.status_code = Empty,
        otel.status_code = Empty,
        trace_id = Empty,
    );
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    // Without a layer there is nobody who could have a parent.
    let _ = span.set_parent(parent);
    let context = span.context();
    span.record("trace_id", context.span().span_context().trace_id().to_string());
    span
}

/// Notes the status of a call in its span. What a server must answer for is an error.
pub fn note_status(span: &Span, code: tonic::Code) {
    use tonic::Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    span.record("rpc.response.status_code", i32::from(code));
    if matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Returns the span of something that the store is asked to do.
pub fn of_store(operation: &'static str) -> Span {
    if !ARE_TAKEN.load(Ordering::Relaxed) {
        return Span::none();
    }
    info_span!(target: TARGET, "store", otel.name = operation, otel.kind = "client", db.operation.name = operation)
}

/// Returns the span of a message to somebody else, and lets its headers say so.
pub fn of_message(receiver: &'static str, headers: &mut HeaderMap) -> Span {
    if !ARE_TAKEN.load(Ordering::Relaxed) {
        return Span::none();
    }
    let span = info_span!(target: TARGET, "send", otel.name = receiver, otel.kind = "client");
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(headers));
    span
}

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct HeadersMut<'h>(&'h mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(key), http::HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
