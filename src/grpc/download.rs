//! Replies on their way out: so many bytes of them may wait for slow readers, over all calls. A call whose reply
//! finds no room is refused, and a peer that leaves its reply waiting too long loses its connection.

use crate::grpc::status;
use crate::transport::peer::{Outstanding, Peer};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tower::{Layer, Service};

/// The room for replies, which all services share.
#[derive(Clone, Debug)]
pub struct ReplyRoom(Arc<Semaphore>);

impl ReplyRoom {
    /// Returns a room of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }
}

impl<S> Layer<S> for ReplyRoom {
    type Service = Roomed<S>;

    fn layer(&self, inner: S) -> Roomed<S> {
        Roomed { inner, room: Arc::clone(&self.0) }
    }
}

/// A service whose replies need room.
#[derive(Clone, Debug)]
pub struct Roomed<S> {
    inner: S,
    room: Arc<Semaphore>,
}

impl<S, R> Service<Request<R>> for Roomed<S>
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
        let peer = request.extensions().get::<Peer>().cloned();
        let room = Arc::clone(&self.room);
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(admitted(answer.await?, Account { room, peer })) })
    }
}

/// Encodes the first message of an answer at once: the transport asks for it only when the peer will take it, and
/// until then nobody would know how large it is.
fn admitted(response: Response<tonic::body::Body>, account: Account) -> Response<tonic::body::Body> {
    let (head, mut inner) = response.into_parts();
    // Nobody is woken: the transport asks again before it waits.
    let polled = Pin::new(&mut inner).poll_frame(&mut Context::from_waker(Waker::noop()));
    let is_over = matches!(polled, Poll::Ready(None));
    let first = match polled {
        Poll::Ready(Some(Ok(frame))) => match account.hold(frame) {
            Ok(frame) => Some(Ok(frame)),
            Err(refusal) => return refusal.into_http(),
        },
        Poll::Ready(other) => other,
        Poll::Pending => None,
    };
    let body = RoomedBody { inner, first, account, is_over };
    Response::from_parts(head, tonic::body::Body::new(body))
}

/// Who pays for the bytes.
struct Account {
    room: Arc<Semaphore>,
    peer: Option<Peer>,
}

impl Account {
    /// Takes room for the bytes of a frame, which give it back when the transport has sent them.
    fn hold(&self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Status> {
        let bytes = match frame.into_data() {
            Ok(bytes) if !bytes.is_empty() => bytes,
            Ok(empty) => return Ok(Frame::data(empty)),
            Err(trailers) => return Ok(trailers),
        };
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(count) else {
            return Err(status::overloaded(
                "the server has no room for the reply now; repeat the call later",
            ));
        };
        let outstanding = self.peer.as_ref().map(Peer::outstanding);
        Ok(Frame::data(Bytes::from_owner(Held { bytes, _permit: permit, _outstanding: outstanding })))
    }
}

/// Bytes that take up room until the last piece of them is gone.
struct Held {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
    _outstanding: Option<Outstanding>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A response body whose bytes take up room.
struct RoomedBody {
    inner: tonic::body::Body,
    /// What came when the body was first asked, until it is handed on.
    first: Option<Result<Frame<Bytes>, Status>>,
    account: Account,
    is_over: bool,
}

impl Body for RoomedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        Poll::Ready(Some(self.account.hold(frame).or_else(|refusal| {
            self.is_over = true;
            status::as_trailers(&refusal)
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.is_over || self.inner.is_end_stream())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::future::poll_fn;
    use tower::ServiceExt;

    /// Answers with so many bytes.
    fn service(
        room: &ReplyRoom,
        bytes: usize,
    ) -> impl Service<Request<()>, Response = Response<tonic::body::Body>, Error = Infallible> {
        room.layer(tower::service_fn(move |_: Request<()>| async move {
            let body = http_body_of(vec![0; bytes]);
            Ok::<_, Infallible>(Response::new(body))
        }))
    }

    fn http_body_of(bytes: Vec<u8>) -> tonic::body::Body {
        struct Once(Option<Bytes>);
        impl Body for Once {
            type Data = Bytes;
            type Error = Status;
            fn poll_frame(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
                Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
        tonic::body::Body::new(Once(Some(bytes.into())))
    }

    async fn first_piece(answer: &mut Response<tonic::body::Body>) -> Option<Bytes> {
        let frame = poll_fn(|cx| Pin::new(answer.body_mut()).poll_frame(cx)).await?;
        frame.unwrap().into_data().ok()
    }

    #[tokio::test]
    async fn a_reply_takes_room_until_its_last_piece_is_gone() {
        let room = ReplyRoom::new(100);
        let mut kept = service(&room, 60).oneshot(Request::new(())).await.unwrap();
        let refused = service(&room, 60).oneshot(Request::new(())).await.unwrap();
        assert_eq!(refused.headers()["grpc-status"], "8");
        let mut piece = first_piece(&mut kept).await.unwrap();
        let part = piece.split_to(10);
        drop((kept, piece));
        let refused = service(&room, 60).oneshot(Request::new(())).await.unwrap();
        assert_eq!(refused.headers()["grpc-status"], "8", "a part of it still waits");
        drop(part);
        let mut taken = service(&room, 60).oneshot(Request::new(())).await.unwrap();
        assert_eq!(first_piece(&mut taken).await.unwrap().len(), 60);
    }
}
