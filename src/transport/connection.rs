//! One connection, from its first byte to its end.

use crate::transport::Protocol;
use crate::transport::fence::Fence;
use crate::transport::frames::Metered;
use crate::transport::http1;
use crate::transport::limits::Limits;
use crate::transport::peer::{Peer, PeerCertificates};
use crate::transport::tls::{HandshakeError, Identity};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt};

/// So many streams may end because the peer broke the protocol on them; then the connection does. Without it a peer
/// makes the server reset its streams and has each of them handled for nothing (CVE-2025-8671).
const BROKEN_STREAMS_MAX: usize = 1_024;
/// So many streams that the peer reset may wait to be taken off the queue (CVE-2023-44487).
const RESET_STREAMS_MAX: usize = 20;
/// The size of a request's headers, unpacked. A bearer token of 8 KiB fits.
const HEADERS_BYTES_MAX: u32 = 16 * 1_024;
const FRAME_BYTES_MAX: u32 = 16 * 1_024;
/// So much may be on its way to a stream that does not read it, and to all streams of a connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1_024;
const CONNECTION_WINDOW_BYTES: u32 = 1_024 * 1_024;
/// So much of a reply is kept ready for a peer that reads slowly.
const SEND_BYTES_MAX: usize = 64 * 1_024;
/// How often, and how long, a peer is asked whether it is still there.
const KEEPALIVE_PERIOD: Duration = Duration::from_secs(30);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);

/// What all connections of a server share.
pub(super) struct Setup<S> {
    pub(super) protocol: Protocol,
    pub(super) limits: Limits,
    pub(super) tls: Option<Arc<Identity>>,
    pub(super) service: S,
    /// Closed once no request is being answered any more.
    pub(super) answering: mpsc::Sender<Infallible>,
}

/// Why the server ended a connection by itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[from] HandshakeError),
    #[error("the TLS handshake took too long")]
    HandshakeTime,
    #[error(transparent)]
    Protocol(#[from] hyper::Error),
    #[error("the peer's certificate is not believed any more")]
    Disbelieved,
    #[error("no request came")]
    Silent,
    #[error("a reply was not taken")]
    Stalled,
    #[error("calls were still in progress when the connection was too old")]
    Old,
}

/// Serves a connection to its end, on the runtime on which it is. `leave` turns true when the server stops.
pub(super) async fn serve<S, B>(
    setup: Arc<Setup<S>>,
    stream: std::net::TcpStream,
    leave: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let _ = stream.set_nodelay(true); // Slower without, no worse.
    let ended = match &setup.tls {
        None => drive(&setup, stream, PeerCertificates::default(), leave).await,
        Some(tls) => match timeout(setup.limits.handshake, tls.accept(stream)).await {
            Ok(Ok((stream, certificates))) => {
                tokio::select! {
                    ended = drive(&setup, stream, certificates.clone(), leave) => ended,
                    () = tls.disbelieves(&certificates) => Err(End::Disbelieved),
                }
            }
            Ok(Err(failed)) => Err(failed.into()),
            Err(_) => Err(End::HandshakeTime),
        },
    };
    if let Err(end) = ended {
        tracing::debug!(%end, "a connection ended early"); // No louder: whoever connects can make it so.
    }
}

async fn drive<S, B, I>(
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
    match setup.protocol {
        Protocol::Http2 => drive_http2(setup, stream, certificates, leave).await,
        Protocol::Http1 => http1::drive(setup, stream, certificates, leave).await,
    }
}

async fn drive_http2<S, B, I>(
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
    let limits = &setup.limits;
    let (peer, fence) = (Peer::new(limits.streams), Fence::default());
    let begun = Arc::new(AtomicBool::new(false));
    let answers = Answers::new(setup.answering.clone());
    let _at_the_end = EndsAnswers(answers.clone());
    let service = service_fn({
        let (peer, begun, service) = (peer.clone(), Arc::clone(&begun), setup.service.clone());
        let fence = fence.clone();
        move |mut request: Request<Incoming>| {
            begun.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(certificates.clone());
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(fence.clone());
            service.clone().oneshot(request)
        }
    });
    let io = TokioIo::new(Metered::new(stream, fence));
    let mut connection = pin!(http2(limits, answers).serve_connection(io, service));
    let mut broken_off = pin!(broken_off(limits, &peer, &begun));
    let grace = tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        end = broken_off.as_mut() => return Err(end),
        grace = time_to_leave(limits, leave) => grace,
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => Ok(ended?),
        end = broken_off => Err(end),
        () = after(grace) => Err(End::Old),
    }
}

fn http2(limits: &Limits, answers: Answers) -> http2::Builder<Answers> {
    let mut builder = http2::Builder::new(answers);
    builder
        .timer(TokioTimer::new())
        .max_local_error_reset_streams(BROKEN_STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .adaptive_window(false)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE_PERIOD)
        .keep_alive_timeout(KEEPALIVE_ANSWER);
    builder
}

/// Waits until the peer has done something for which its connection is cut off.
async fn broken_off(limits: &Limits, peer: &Peer, begun: &AtomicBool) -> End {
    sleep(limits.first_request).await;
    if !begun.load(Ordering::Relaxed) {
        return End::Silent;
    }
    let period = limits.reply / 8;
    loop {
        if peer.oldest().is_some_and(|since| since.elapsed() >= limits.reply) {
            return End::Stalled;
        }
        sleep(period).await;
    }
}

/// Waits until the peer is to be asked to leave, and returns how long calls in progress may go on: when the server
/// stops, whoever stops it knows.
pub(super) async fn time_to_leave(limits: &Limits, mut leave: watch::Receiver<bool>) -> Option<Duration> {
    tokio::select! {
        () = sleep(age(limits.age)) => Some(limits.grace),
        _ = leave.wait_for(|leave| *leave) => None,
    }
}

/// Returns half of the time and a random part of the other half.
fn age(age: Duration) -> Duration {
    let part = getrandom::u32().unwrap_or(u32::MAX);
    age / 2 + (age / 2).mul_f64(f64::from(part) / f64::from(u32::MAX))
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

/// The tasks that answer the requests of a connection.
#[derive(Clone)]
struct Answers {
    tasks: Arc<Mutex<JoinSet<()>>>,
    answering: mpsc::Sender<Infallible>,
}

impl Answers {
    fn new(answering: mpsc::Sender<Infallible>) -> Self {
        Self { tasks: Arc::default(), answering }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Answers {
    fn execute(&self, answer: F) {
        let answering = self.answering.clone();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {} // Forgets those that ended.
        tasks.spawn(async move {
            answer.await;
            drop(answering);
        });
    }
}

/// Ends the tasks of a connection when it is gone, whichever way it went.
struct EndsAnswers(Answers);

impl Drop for EndsAnswers {
    fn drop(&mut self) {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
