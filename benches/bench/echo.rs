//! The yardstick: a call that receives so many bytes and answers so many, and does nothing else.

use anyhow::Result;
use bytes::{Buf, BufMut, Bytes};
use hyper::body::Incoming;
use riskshare::transport;
use riskshare::transport::limits::Limits;
use riskshare::transport::tls::{Clients, Files, Identity, Version};
use riskshare::transport::{Protocol, Workers};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Response, Status};
use tower::{Service, service_fn};

/// The most bytes of a message, either way.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What answers are cut from: making them costs nothing.
static ANSWER: [u8; MESSAGE_BYTES_MAX] = [0; MESSAGE_BYTES_MAX];

/// Returns the path of the call that answers so many bytes.
pub fn path(answer_bytes: usize) -> String {
    format!("/{}/{answer_bytes}", Echo::NAME)
}

/// Whose runtime and transport the echo has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Echoes {
    /// Those of `riskshare serve`.
    Ours,
    /// Those that tonic and tokio set up by themselves.
    Tonic,
}

/// Serves the echo until it is killed. `TCP_NODELAY` is set either way, as in every server that tonic sets up by itself.
pub fn serve(echoes: Echoes, certificate: Option<&Path>) -> Result<()> {
    let identity = certificate.map(identity).transpose()?;
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("http://{}", listener.local_addr()?);
        match echoes {
            Echoes::Tonic => {
                let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
                let mut server = Server::builder().http2_keepalive_interval(Some(Duration::from_mins(1)));
                server.add_service(Echo).serve_with_incoming(connections).await?;
            }
            Echoes::Ours => {
                let echo = service_fn(|request: http::Request<Incoming>| Echo.call(request.map(Body::new)));
                let (limits, workers) = (Limits::default(), Workers::start()?);
                let serving = transport::serve(listener, Protocol::Http2, identity, limits, workers, echo);
                std::future::pending::<()>().await;
                drop(serving);
            }
        }
        Ok(())
    })
}

fn identity(certificate: &Path) -> Result<Identity> {
    let (certificate, private_key) = (certificate.to_owned(), certificate.with_extension("key"));
    let files = Files { certificate, private_key, clients: Clients::Unasked, oldest: Version::V13 };
    Ok(Identity::load(files, Protocol::Http2)?)
}

#[derive(Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "riskshare.bench.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next();
        let size: usize = method.and_then(|size| size.parse().ok()).unwrap_or(0);
        let answer = Bytes::from_static(&ANSWER[..size.min(MESSAGE_BYTES_MAX)]);
        let answer = service_fn(move |_: tonic::Request<Bytes>| {
            let answer = answer.clone();
            async move { Ok::<_, Status>(Response::new(answer)) }
        });
        let mut grpc = Grpc::new(Raw).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Box::pin(async move { Ok(grpc.unary(answer, request).await) })
    }
}

/// Leaves bytes as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}
