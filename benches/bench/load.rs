//! Calls in a closed loop: each waits for its answer before the next begins. Requests are encoded beforehand and
//! answers are only counted, so that the caller takes as little as it can of the CPU that it shares.

use crate::bench::echo;
use crate::bench::program::Program;
use crate::bench::secure::Security;
use crate::bench::table::Sample;
use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use prost::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Flow control windows as wide as those of tonic's clients.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 5 * 1024 * 1024;
/// What stands before a message: whether it is compressed, and its length.
const FRAME_HEAD_BYTES: usize = 5;

/// A connection, and what stands before the bytes of a call on it.
type Connection = (SendRequest<Bytes>, Request<()>);

/// How many calls are made at once.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections.
    pub connections: usize,
    /// Calls on each of them that wait for their answer at any time.
    pub in_flight: usize,
}

/// Calls of one method, made one after the other and then again from the first.
#[derive(Clone)]
pub struct Calls {
    path: String,
    frames: Arc<[Bytes]>,
    security: Option<Security>,
}

impl Calls {
    /// Returns calls of the method at `path`.
    pub fn new<M: Message>(path: &str, messages: impl IntoIterator<Item = M>) -> Self {
        Self {
            path: path.to_owned(),
            frames: messages.into_iter().map(|message| frame(&message)).collect(),
            security: None,
        }
    }

    /// Returns calls with the same bytes, of the echo that answers messages of so many.
    pub fn echoed(&self, answer_bytes: usize) -> Self {
        println!("about {} bytes a request, {answer_bytes} an answer", self.frames[0].len());
        Self { path: echo::path(answer_bytes), ..self.clone() }
    }

    /// Returns calls of the echo, with so many bytes each way.
    pub fn of_bytes(size: usize) -> Self {
        Self { path: echo::path(size), frames: [framed(&vec![0; size])].into(), security: None }
    }

    /// Returns the same calls, over TLS and with a token if they are to be secured.
    pub fn secured(self, security: Option<&Security>) -> Self {
        Self { security: security.cloned(), ..self }
    }

    /// Returns the bytes of the requests.
    pub fn frames(&self) -> &[Bytes] {
        &self.frames
    }

    /// Makes the first call and returns its answer.
    pub async fn first<A: Message + Default>(&self, program: &Program) -> Result<A> {
        let mut connection = self.connect(program.address()).await?;
        let request = self.request(program.address())?;
        let answer = call(&mut connection, request, self.frames[0].clone(), Vec::new()).await?;
        Ok(A::decode(answer.get(FRAME_HEAD_BYTES..).context("an answer without a message")?)?)
    }

    /// Makes `count` calls and measures them and the program's CPU time.
    pub async fn measure(&self, program: &Program, load: Load, count: usize) -> Result<Sample> {
        self.measure_all(std::slice::from_ref(program), load, count).await
    }

    /// Does so with connections to several programs in turn.
    pub async fn measure_all(&self, programs: &[Program], load: Load, count: usize) -> Result<Sample> {
        let connections = self.connections(programs, load.connections).await?;
        let callers = connections.iter().flat_map(|one| std::iter::repeat_n(one, load.in_flight));
        let (next, mut running) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        let (cpu, begun) = (cpu_of_all(programs)?, Instant::now());
        for (connection, request) in callers {
            let (connection, request) = (connection.clone(), request.clone());
            let caller = Caller { connection, request, frames: Arc::clone(&self.frames) };
            running.spawn(caller.run(Arc::clone(&next), count));
        }
        let mut calls = Vec::with_capacity(count);
        while let Some(done) = running.join_next().await {
            calls.append(&mut done??);
        }
        Ok(Sample::new(calls, begun.elapsed(), cpu_of_all(programs)?.saturating_sub(cpu)))
    }

    /// Connects so many times to programs in turn, and returns with each connection what is asked over it.
    async fn connections(&self, programs: &[Program], count: usize) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for program in programs.iter().cycle().take(count) {
            connections.push((self.connect(program.address()).await?, self.request(program.address())?));
        }
        Ok(connections)
    }

    fn request(&self, address: SocketAddr) -> Result<Request<()>> {
        let request = Request::post(format!("http://{address}{}", self.path));
        let mut request = request.header("content-type", "application/grpc").header("te", "trailers");
        if let Some(security) = &self.security {
            request = request.header("authorization", security.authorization());
        }
        Ok(request.body(())?)
    }

    async fn connect(&self, address: SocketAddr) -> Result<SendRequest<Bytes>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match &self.security {
            None => shake_hands(stream).await,
            Some(security) => shake_hands(security.connect(stream).await?).await,
        }
    }
}

fn cpu_of_all(programs: &[Program]) -> Result<Duration> {
    programs.iter().map(Program::cpu).sum()
}

/// What became of a call.
pub struct Called {
    /// How long it took.
    pub took: Duration,
    /// The bytes of its answer.
    pub answered: usize,
}

/// Calls that begin at their time, whether those before have ended or not, as callers who do not know of each other do.
pub struct OpenLoop {
    /// Connections, taken in turn.
    pub connections: usize,
    /// How many calls begin in a second.
    pub rate: f64,
}

impl Calls {
    /// Makes `count` calls at a steady rate. Each takes from the instant at which it was to begin.
    pub async fn measure_at(&self, program: &Program, load: &OpenLoop, count: usize) -> Result<Sample> {
        let connections = self.connections(std::slice::from_ref(program), load.connections).await?;
        let mut running = JoinSet::new();
        let (cpu, begun) = (program.cpu()?, tokio::time::Instant::now());
        for n in 0..count {
            let due = begun + Duration::from_secs_f64(f64::from(u32::try_from(n)?) / load.rate);
            tokio::time::sleep_until(due).await;
            let (connection, request) = &connections[n % connections.len()];
            let (mut connection, request) = (connection.clone(), request.clone());
            let frame = self.frames[n % self.frames.len()].clone();
            running.spawn(async move {
                let answered = call(&mut connection, request, frame, Counter(0)).await?.0;
                Ok::<_, anyhow::Error>(Called { took: due.elapsed(), answered })
            });
        }
        let mut calls = Vec::with_capacity(count);
        while let Some(done) = running.join_next().await {
            calls.push(done??);
        }
        Ok(Sample::new(calls, begun.elapsed(), program.cpu()?.saturating_sub(cpu)))
    }
}

struct Caller {
    connection: SendRequest<Bytes>,
    request: Request<()>,
    frames: Arc<[Bytes]>,
}

impl Caller {
    async fn run(mut self, next: Arc<AtomicUsize>, count: usize) -> Result<Vec<Called>> {
        let mut calls = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return Ok(calls);
            }
            let frame = self.frames[n % self.frames.len()].clone();
            let begun = Instant::now();
            let answered = call(&mut self.connection, self.request.clone(), frame, Counter(0)).await?.0;
            calls.push(Called { took: begun.elapsed(), answered });
        }
    }
}

/// Where the bytes of an answer go.
trait Sink {
    fn take(&mut self, bytes: &Bytes);
}

struct Counter(usize);

impl Sink for Counter {
    fn take(&mut self, bytes: &Bytes) {
        self.0 += bytes.len();
    }
}

impl Sink for Vec<u8> {
    fn take(&mut self, bytes: &Bytes) {
        self.extend_from_slice(bytes);
    }
}

async fn shake_hands(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Bytes>> {
    let mut client = h2::client::Builder::new();
    client.initial_window_size(STREAM_WINDOW_BYTES).initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let (sender, connection) = client.handshake(stream).await?;
    // Its calls say when it fails.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender.ready().await?)
}

async fn call<S: Sink>(
    connection: &mut SendRequest<Bytes>,
    request: Request<()>,
    frame: Bytes,
    mut sink: S,
) -> Result<S> {
    std::future::poll_fn(|cx| connection.poll_ready(cx)).await?;
    let (answer, mut body) = connection.send_request(request, false)?;
    body.send_data(frame, true)?;
    let mut answer = answer.await?.into_body();
    while let Some(piece) = answer.data().await {
        let piece = piece?;
        answer.flow_control().release_capacity(piece.len())?;
        sink.take(&piece);
    }
    let trailers = answer.trailers().await?.context("a refusal")?;
    let status = trailers.get("grpc-status").context("no status")?;
    ensure!(status == "0", "a refusal: {status:?}");
    Ok(sink)
}

fn frame<M: Message>(message: &M) -> Bytes {
    framed(&message.encode_to_vec())
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a message is shorter than 4 GiB"));
    frame.put(message);
    frame.freeze()
}
