//! Counts calls and measures how long they take, to the last byte of their answer.

use crate::telemetry::{CallEnded, CallOf, METRICS};
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tonic::{Code, Status};

/// A call that is measured. Dropped before its end it is one whose caller went away.
pub struct Measured {
    of: Arc<CallOf>,
    begun: Instant,
    code: Option<Code>,
}

impl Measured {
    /// Begins to measure a call.
    #[must_use]
    pub fn begin(of: Arc<CallOf>) -> Self {
        METRICS.calls_started.get_or_create(&of).inc();
        Self { of, begun: Instant::now(), code: None }
    }

    /// Measures on until the answer is over.
    #[must_use]
    pub fn until_over(mut self, response: Response<tonic::body::Body>) -> Response<tonic::body::Body> {
        self.look(response.headers());
        if self.code.is_some() {
            return response;
        }
        response.map(|inner| tonic::body::Body::new(Metered { inner, measured: self }))
    }

    /// Ends with a refusal, which it returns.
    #[must_use]
    pub fn refused(mut self, refusal: Status) -> Status {
        self.code = Some(refusal.code());
        refusal
    }

    fn look(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(status.code());
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let CallOf { grpc_type, grpc_service, grpc_method } = &*self.of;
        let ended = CallEnded {
            grpc_type,
            grpc_service: Arc::clone(grpc_service),
            grpc_method: Arc::clone(grpc_method),
            grpc_code: name(self.code.unwrap_or(Code::Cancelled)),
        };
        METRICS.calls_handled.get_or_create(&ended).inc();
        METRICS.call_seconds.get_or_create(&self.of).observe(self.begun.elapsed().as_secs_f64());
    }
}

/// Returns a code as all gRPC servers name it in metrics.
fn name(code: Code) -> String {
    match code {
        Code::Ok => "OK".to_owned(),
        Code::Cancelled => "Canceled".to_owned(),
        other => format!("{other:?}"),
    }
}

/// An answer that is measured.
struct Metered {
    inner: tonic::body::Body,
    measured: Measured,
}

impl Body for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.measured.look(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => self.measured.code = Some(status.code()),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
