//! A connection that speaks HTTP/1.1: one request at a time, so nothing multiplies.

use crate::transport::connection::{End, Setup, time_to_leave};
use crate::transport::limits::Limits;
use crate::transport::peer::PeerCertificates;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep;
use tower::{Service, ServiceExt};

/// The size of a request's head and of what is buffered of its body.
const BUFFER_BYTES_MAX: usize = 32 * 1_024;
const HEADERS_MAX: usize = 64;

/// Serves a connection to its end. It lives as long as one of HTTP/2: a peer that stops reading holds one place and one
/// answer for that time.
pub(super) async fn drive<S, B, I>(
    setup: &Setup<S>,
    stream: I,
    certificates: PeerCertificates,
    leave: watch::Receiver<bool>,
) -> Result<(), End>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    I: AsyncRead + AsyncWrite + Unpin,
{
    let answering = setup.answering.clone();
    let service = setup.service.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(certificates.clone());
        service.clone().oneshot(request)
    });
    let mut connection = pin!(builder(&setup.limits).serve_connection(TokioIo::new(stream), service));
    let grace = tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        grace = time_to_leave(&setup.limits, leave) => grace,
    };
    connection.as_mut().graceful_shutdown();
    let ended = tokio::select! {
        ended = connection => Ok(ended?),
        () = sleep(grace.unwrap_or(setup.limits.grace)) => Err(End::Old),
    };
    drop(answering);
    ended
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.first_request)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(false);
    builder
}
