//! The entrance of all services: a request has the form of a call, comes in time, finds a place, and whatever becomes
//! of it, is answered in the words of this API.

use crate::grpc::deadline;
use crate::grpc::form;
use crate::grpc::limits;
use crate::grpc::metered::Measured;
use crate::grpc::methods::{Method, Methods, Times};
use crate::grpc::rate::TenantRate;
use crate::grpc::status;
use crate::grpc::upload::{Terms, Upload};
use crate::transport::peer::Peer;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::Status;
use tower::Service;

const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// Services behind the entrance.
#[derive(Clone)]
pub struct Entrance<S> {
    inner: S,
    terms: Arc<EntranceTerms>,
}

/// On what terms requests come in.
pub struct EntranceTerms {
    /// The methods behind it.
    pub methods: Methods,
    /// How long calls and messages may take.
    pub times: Times,
    /// The bytes of requests that may wait, one permit a byte.
    pub room: Arc<Semaphore>,
    /// How often a tenant may be asked about.
    pub rate: TenantRate,
}

impl<S> Entrance<S> {
    /// Puts services behind an entrance.
    pub fn new(inner: S, terms: EntranceTerms) -> Self {
        Self { inner, terms: Arc::new(terms) }
    }
}

impl<S, B> Service<Request<B>> for Entrance<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<tonic::body::Body>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.admit(request) {
            Ok((request, call)) => {
                let answer = self.inner.call(request);
                Box::pin(async move { Ok(call.finish(answer).await) })
            }
            Err(objection) => Box::pin(async move { Ok(*objection) }),
        }
    }
}

impl<S> Entrance<S> {
    fn admit<B>(
        &self,
        request: Request<B>,
    ) -> Result<(Request<tonic::body::Body>, Call), Box<Response<tonic::body::Body>>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some(objection) = form::objection(&request) {
            return Err(Box::new(objection));
        }
        let refuse = |refusal: Status| Box::new(refusal.into_http());
        if request.uri().query().is_some() {
            return Err(refuse(status::unsupported())); // Nobody reads it, and logs would.
        }
        let call = self.call_of(&request).map_err(refuse)?;
        let terms = Terms {
            is_single: !call.method.takes_a_stream,
            idle: self.terms.times.idle,
            deadline: call.asked,
            room: Arc::clone(&self.terms.room),
        };
        let mut request = request.map(|body| tonic::body::Body::new(Upload::new(body, terms)));
        request.extensions_mut().insert(self.terms.rate.clone());
        Ok((request, call))
    }

    fn call_of<B>(&self, request: &Request<B>) -> Result<Call, Status> {
        let method = self.terms.methods.get(request.uri().path());
        let measured = Measured::begin(Arc::clone(&method.named));
        let asked = deadline::asked(request.headers());
        if asked.is_some_and(deadline::is_too_short) {
            return Err(measured.refused(status::deadline_exceeded()));
        }
        let now = Instant::now();
        let place = match request.extensions().get::<Peer>().map(Peer::begin) {
            None => None,
            Some(Some(place)) => Some(place),
            Some(None) => {
                let full = "the connection has as many calls in progress as one may have";
                return Err(measured.refused(status::overloaded(full)));
            }
        };
        let begin_by = now + asked.unwrap_or(method.time_max).min(method.time_max);
        let asked = asked.and_then(|asked| now.checked_add(asked));
        Ok(Call { method, begin_by, asked, place, measured })
    }
}

/// A call in progress.
struct Call {
    method: Method,
    /// When the answer must be there, or for a stream, must begin.
    begin_by: Instant,
    /// When the caller wants it over.
    asked: Option<Instant>,
    place: Option<OwnedSemaphorePermit>,
    measured: Measured,
}

impl Call {
    async fn finish(
        self,
        answer: impl Future<Output = Result<Response<tonic::body::Body>, Infallible>>,
    ) -> Response<tonic::body::Body> {
        let response = match timeout_at(self.begin_by, caught(answer)).await {
            Ok(Ok(Ok(response))) => in_our_words(response),
            Ok(Err(Panicked)) => status::internal("a handler panicked").into_http(),
            Err(_) => status::deadline_exceeded().into_http(),
        };
        let response = match self.asked {
            Some(deadline) if self.method.gives_a_stream => {
                let sleep = Box::pin(sleep_until(deadline));
                response.map(|inner| tonic::body::Body::new(Timed { inner, sleep, is_over: false }))
            }
            _ => response,
        };
        let response = match self.place {
            Some(place) => limits::until_read(response, place),
            None => response,
        };
        self.measured.until_over(response)
    }
}

/// A handler panicked.
struct Panicked;

/// Runs a handler so that its panic ends nothing but itself. What it shared with others is behind locks that do not
/// care, or is dropped with it.
async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// Gives a refusal of the gRPC library, which may repeat what was sent, our constant text and a reason.
fn in_our_words(response: Response<tonic::body::Body>) -> Response<tonic::body::Body> {
    let Some(theirs) = Status::from_header_map(response.headers()) else { return response };
    let Some(ours) = status::in_our_words(&theirs) else { return response };
    let mut ours = ours.into_http();
    if let Some(encodings) = response.headers().get(ACCEPT_ENCODING) {
        ours.headers_mut().insert(ACCEPT_ENCODING, encodings.clone());
    }
    ours
}

/// A stream of answers that ends when the caller's time is over.
struct Timed {
    inner: tonic::body::Body,
    sleep: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.sleep.as_mut().poll(cx).is_ready() {
            self.is_over = true;
            return Poll::Ready(Some(status::as_trailers(&status::deadline_exceeded())));
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::deadline;
    use std::time::Duration;
    use tonic_types::StatusExt;
    use tower::ServiceExt;

    /// An answer of which nobody has read anything yet.
    struct Unread;

    impl Body for Unread {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Pending
        }
    }

    /// An entrance to a handler that does what its path says.
    fn entrance() -> impl Service<Request<tonic::body::Body>, Response = Response<tonic::body::Body>> + Clone
    {
        let minute = Duration::from_mins(1);
        let times = Times { query: minute, ingest: minute, idle: minute };
        let handler = tower::service_fn(|request: Request<tonic::body::Body>| async move {
            assert_ne!(request.uri().path(), "/panic", "a handler panics");
            Ok::<_, Infallible>(Response::new(tonic::body::Body::new(Unread)))
        });
        let terms = EntranceTerms {
            methods: Methods::of(&[], &times).unwrap(),
            times,
            room: Arc::new(Semaphore::new(1)),
            rate: TenantRate::new(0),
        };
        Entrance::new(handler, terms)
    }

    fn request(path: &str) -> Request<tonic::body::Body> {
        let request = Request::post(path).header("content-type", "application/grpc");
        request.body(tonic::body::Body::empty()).unwrap()
    }

    async fn refusal(request: Request<tonic::body::Body>) -> Option<Status> {
        let Ok(answer) = entrance().oneshot(request).await else { panic!("it always answers") };
        Status::from_header_map(answer.headers())
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_an_internal_fault_in_constant_words() {
        assert!(refusal(request("/good")).await.is_none());
        let refusal = refusal(request("/panic")).await.unwrap();
        assert_eq!(refusal.code(), tonic::Code::Internal);
        assert_eq!(refusal.message(), "an internal fault; the log of the server holds the cause");
        assert_eq!(refusal.get_details_error_info().unwrap().reason, "INTERNAL");
    }

    #[tokio::test]
    async fn a_connection_has_so_many_calls_in_progress_and_the_next_is_refused() {
        let peer = Peer::new(1);
        let on = |peer: &Peer| {
            let mut request = request("/good");
            request.extensions_mut().insert(peer.clone());
            request
        };
        let answers = [entrance().oneshot(on(&peer)).await, entrance().oneshot(on(&peer)).await];
        let refused = refusal(on(&peer)).await.unwrap();
        assert_eq!(refused.get_details_error_info().unwrap().reason, "OVERLOADED");
        drop(answers); // Read, as it were.
        assert!(refusal(on(&peer)).await.is_none());
    }

    #[tokio::test]
    async fn what_comes_too_late_reaches_no_handler() {
        let mut late = request("/panic");
        late.headers_mut().insert("grpc-timeout", http::HeaderValue::from_static("19m"));
        assert!(deadline::asked(late.headers()).is_some_and(deadline::is_too_short));
        assert_eq!(refusal(late).await.unwrap().code(), tonic::Code::DeadlineExceeded);
    }
}
