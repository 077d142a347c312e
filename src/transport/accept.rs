//! The accept loop: takes connections in while there is room, and lets them go when the server stops.

use crate::transport::Protocol;
use crate::transport::connection;
use crate::transport::connection::Setup;
use crate::transport::limits::Limits;
use crate::transport::places::{Place, Places};
use crate::transport::tls::Identity;
use crate::transport::workers::Workers;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

/// How long the loop rests when the system gives no connection, such as when there are no file descriptors left.
const REST: Duration = Duration::from_millis(50);
/// At most so often something is logged that any stranger can cause.
const QUIET: Duration = Duration::from_mins(1);
/// How long tasks that were cut off may take to notice.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A transport that takes connections in. Dropped, it ends all of them at once.
pub struct Serving {
    stop: watch::Sender<Option<Duration>>,
    task: JoinHandle<bool>,
}

impl Serving {
    /// Closes the port, asks peers to leave, and cuts off those that have not left after `drain`. Returns whether
    /// all had.
    pub async fn stop(self, drain: Duration) -> bool {
        self.stop.send_replace(Some(drain));
        self.task.await.unwrap_or(false)
    }
}

/// Serves a protocol on a listener, over TLS where there is an identity, which must be for the same protocol. On each
/// request are the [`PeerCertificates`](crate::transport::peer::PeerCertificates) of its connection and, for HTTP/2, its
/// [`Peer`](crate::transport::peer::Peer).
pub fn serve<S, B>(
    listener: TcpListener,
    protocol: Protocol,
    tls: Option<Identity>,
    limits: Limits,
    workers: Workers,
    service: S,
) -> Serving
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (stop, stopped) = watch::channel(None);
    let (answering, answered) = mpsc::channel(1);
    let setup = Setup { protocol, limits, tls: tls.map(Arc::new), service, answering };
    let task = tokio::spawn(run(listener, setup, workers, stopped, answered));
    Serving { stop, task }
}

async fn run<S, B>(
    listener: TcpListener,
    setup: Setup<S>,
    workers: Workers,
    mut stopped: watch::Receiver<Option<Duration>>,
    mut answered: mpsc::Receiver<Infallible>,
) -> bool
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let setup = Arc::new(setup);
    let mut background = JoinSet::new(); // Ends with this function.
    if let Some(tls) = &setup.tls {
        background.spawn(Arc::clone(tls).keep_fresh());
    }
    let (leave, leaving) = watch::channel(false);
    let mut door = Door::new(listener, &setup.limits);
    let mut connections = JoinSet::new();
    let drain = loop {
        tokio::select! {
            stop = stopped.wait_for(Option::is_some) => break stop.ok().and_then(|stop| *stop).unwrap_or_default(),
            _ = connections.join_next(), if !connections.is_empty() => {}
            (stream, place) = door.next() => {
                let Ok(stream) = stream.into_std() else { continue }; // For the runtime that drives it from here on.
                let served = connection::serve(Arc::clone(&setup), stream, leaving.clone());
                workers.spawn(&mut connections, async move {
                    served.await;
                    drop(place);
                });
            }
        }
    };
    drop((door, setup));
    leave.send_replace(true);
    let all_left = async { while connections.join_next().await.is_some() {} };
    let have_left = timeout(drain, all_left).await.is_ok();
    connections.shutdown().await;
    let _ = timeout(LAST_WORDS, answered.recv()).await;
    have_left
}

/// Where connections come in.
struct Door {
    listener: TcpListener,
    places: Places,
    log: Quiet,
}

impl Door {
    fn new(listener: TcpListener, limits: &Limits) -> Self {
        let places = Places::new(limits.connections, limits.connections_per_address);
        Self { listener, places, log: Quiet::default() }
    }

    /// Waits for the next connection for which there is a place. Others are closed unread. Nothing is lost when it
    /// is asked anew halfway.
    async fn next(&mut self) -> (TcpStream, Place) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => match self.places.take(from.ip()) {
                    Some(place) => return (stream, place),
                    None => self.log.tell(|times| {
                        tracing::warn!(times, "closed connections for which there was no place");
                    }),
                },
                Err(cause) => {
                    self.log.tell(|times| tracing::error!(times, %cause, "cannot take connections in"));
                    if is_ours(&cause) {
                        sleep(REST).await;
                    }
                }
            }
        }
    }
}

/// Says whether the next attempt would fail as well: the fault is not that of one connection.
fn is_ours(cause: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    !matches!(cause.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Tells rarely what can happen often, and how many times it did.
#[derive(Default)]
struct Quiet {
    told: Option<Instant>,
    times: u64,
}

impl Quiet {
    fn tell(&mut self, tell: impl FnOnce(u64)) {
        self.times += 1;
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            tell(self.times);
            (self.told, self.times) = (Some(Instant::now()), 0);
        }
    }
}
