//! Refuses one call too many before its handler runs.

use crate::grpc::status;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tower::{Layer, Service};

/// Lets so many calls be in progress at once, over all services that share it. One more is refused, not queued: the
/// caller knows best whether it still wants to wait.
#[derive(Clone, Debug)]
pub struct CallLimit(Arc<Semaphore>);

impl CallLimit {
    /// Returns a limit of `max` calls.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Semaphore::new(max)))
    }

    /// Returns a limit that no number of calls reaches, for what must not be refused because of load.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Semaphore::MAX_PERMITS)
    }
}

impl<S> Layer<S> for CallLimit {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, calls: Arc::clone(&self.0) }
    }
}

/// A service with a [`CallLimit`].
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    calls: Arc<Semaphore>,
}

impl<S, R> Service<Request<R>> for Limited<S>
where
    S: Service<Request<R>, Response = Response<tonic::body::Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<tonic::body::Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let Ok(permit) = Arc::clone(&self.calls).try_acquire_owned() else {
            let refusal = status::overloaded("the server has no room for the call now; repeat it later");
            return Box::pin(async move { Ok(refusal.into_http()) });
        };
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(until_read(answer.await?, permit)) })
    }
}

/// Keeps a permit until the answer is read.
#[must_use]
pub fn until_read(
    response: Response<tonic::body::Body>,
    permit: OwnedSemaphorePermit,
) -> Response<tonic::body::Body> {
    response.map(|inner| tonic::body::Body::new(InProgress { inner, _permit: permit }))
}

/// A response body that counts as a call in progress.
struct InProgress {
    inner: tonic::body::Body,
    _permit: OwnedSemaphorePermit,
}

impl Body for InProgress {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
