//! The last door: hands the bytes of gated services to the transport piece by piece, each with a pass that the
//! transport drops when it has taken the piece. Once sharing is off, no further piece leaves, nor a refusal that depends
//! on users.

use crate::gate::admission::{Pass, SharingOff};
use crate::grpc::reply::Custody;
use crate::grpc::status;
use crate::transport::fence::{Fence, Fenced};
use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::{Code, Status};
use tower::{Layer, Service};

/// The largest piece: so much at most can still leave, when sharing goes off, to a reader that has stopped reading.
pub const PIECE_BYTES: usize = 16 * 1024;

/// Wraps a service so that its answers leave through the last door.
#[derive(Clone, Copy, Debug, Default)]
pub struct HandOverLayer;

impl<S> Layer<S> for HandOverLayer {
    type Service = HandOver<S>;

    fn layer(&self, inner: S) -> HandOver<S> {
        HandOver(inner)
    }
}

/// A service whose answers leave through the last door.
#[derive(Clone, Debug)]
pub struct HandOver<S>(S);

impl<S, R> Service<Request<R>> for HandOver<S>
where
    S: Service<Request<R>, Response = Response<tonic::body::Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<tonic::body::Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let fence = request.extensions().get::<Fence>().cloned().unwrap_or_default();
        let answer = self.0.call(request);
        Box::pin(async move { Ok(guarded(answer.await?, fence)) })
    }
}

fn guarded(mut response: Response<tonic::body::Body>, fence: Fence) -> Response<tonic::body::Body> {
    let custody = response.extensions_mut().remove::<Custody>();
    response.map(|inner| {
        tonic::body::Body::new(GuardedBody {
            inner,
            custody,
            fence,
            waiting: Bytes::new(),
            leaving: None,
            begun: false,
            over: false,
        })
    })
}

/// A response body of which each piece asks the gate.
struct GuardedBody {
    inner: tonic::body::Body,
    custody: Option<Custody>,
    /// That of the connection.
    fence: Fence,
    /// What is left of a frame that was too large for one piece.
    waiting: Bytes,
    /// The pass of a refusal. Trailers hold no bytes that could carry it, so the body keeps it until it is asked for
    /// more or dropped: the transport does that when it has put the trailers into the connection's queue.
    leaving: Option<Passing>,
    /// A piece has left.
    begun: bool,
    over: bool,
}

impl GuardedBody {
    /// Hands over the next piece of what waits, or ends the answer.
    fn next_piece(&mut self) -> Result<Frame<Bytes>, Status> {
        let piece = self.waiting.split_to(self.waiting.len().min(PIECE_BYTES));
        match &self.custody {
            Some(Custody::Constant) => Ok(Frame::data(piece)),
            Some(Custody::Sealed(seal)) => match seal.pass() {
                Ok(pass) => Ok(Frame::data(with_pass(piece, Passing::of(pass, &self.fence)))),
                Err(off) => self.cut(off),
            },
            Some(Custody::Refusal(..)) | None => Err(without_custody()),
        }
    }

    /// Ends the answer with a refusal, of which nothing has left yet.
    fn refuse(&mut self, refusal: &Status) -> Result<Frame<Bytes>, Status> {
        self.over = true;
        match &self.custody {
            Some(Custody::Constant) => last_words(refusal),
            Some(Custody::Sealed(seal) | Custody::Refusal(_, seal)) => match seal.pass() {
                Ok(pass) => {
                    self.leaving = Some(Passing::of(pass, &self.fence));
                    last_words(refusal)
                }
                Err(off) => self.cut(off),
            },
            None => Err(without_custody()),
        }
    }

    fn cut(&mut self, off: SharingOff) -> Result<Frame<Bytes>, Status> {
        self.waiting.clear();
        self.over = true;
        let refusal = status::sharing_off(off);
        if self.begun {
            return Err(refusal); // Half a message is out: reset the stream.
        }
        last_words(&refusal)
    }

    /// Passes trailers on. Before any data they say that the answer could not be put into bytes, and how large it
    /// would have been.
    fn trailers(&mut self, trailers: Frame<Bytes>) -> Result<Frame<Bytes>, Status> {
        if self.begun {
            return Ok(trailers);
        }
        let code = trailers.trailers_ref().and_then(Status::from_header_map).map(|refusal| refusal.code());
        self.refuse(&match code {
            Some(Code::OutOfRange) => status::answer_too_large(),
            _ => status::internal("an answer cannot be encoded"),
        })
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if self.over {
                self.leaving = None;
                return Poll::Ready(None);
            }
            if let Some(Custody::Refusal(refusal, _)) = &self.custody {
                let refusal = refusal.clone();
                return Poll::Ready(Some(self.refuse(&refusal)));
            }
            if self.waiting.has_remaining() {
                let piece = self.next_piece();
                self.begun = true;
                return Poll::Ready(Some(piece));
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.waiting = data,
                    Err(trailers) => return Poll::Ready(Some(self.trailers(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over || (self.waiting.is_empty() && self.inner.is_end_stream())
    }
}

/// A handler that answers without custody is a fault of ours: better no answer than an ungated one.
fn without_custody() -> Status {
    status::internal("an answer of a gated service without custody")
}

fn last_words(refusal: &Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    refusal.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}

/// A pass, and the fence behind which what it is for leaves in time or not at all.
struct Passing {
    _pass: Pass,
    _fenced: Option<Fenced>,
}

impl Passing {
    fn of(pass: Pass, fence: &Fence) -> Self {
        let fenced = pass.ends().map(|ends| fence.until(ends));
        Self { _pass: pass, _fenced: fenced }
    }
}

/// Bytes that carry their pass with them: the transport drops both together.
struct Piece {
    bytes: Bytes,
    _pass: Passing,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn with_pass(bytes: Bytes, pass: Passing) -> Bytes {
    Bytes::from_owner(Piece { bytes, _pass: pass })
}
