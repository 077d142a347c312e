//! A request's body on its way in: counts its messages and its bytes, and how long they take.

use crate::grpc::status;
use bytes::Bytes;
use http_body::{Body, Frame};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::Status;

/// The bytes before each message: a flag and the length.
const PREFIX_BYTES: usize = 5;

/// What a body may be.
pub struct Terms {
    /// One message, not any number.
    pub is_single: bool,
    /// How long the next message may take to come.
    pub idle: Duration,
    /// When it must be over.
    pub deadline: Option<Instant>,
    /// The bytes that all bodies together may have waiting, one permit a byte.
    pub room: Arc<Semaphore>,
}

/// A body under terms.
pub struct Upload<B> {
    inner: B,
    terms: Terms,
    messages: Messages,
    held: Option<OwnedSemaphorePermit>,
    deadline: Option<Pin<Box<Sleep>>>,
    idle: Option<Pin<Box<Sleep>>>,
}

impl<B> Upload<B> {
    /// Puts a body under terms.
    pub fn new(inner: B, terms: Terms) -> Self {
        let deadline = terms.deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        Self { inner, terms, messages: Messages::default(), held: None, deadline, idle: None }
    }

    /// Takes account of bytes that came.
    fn take(&mut self, data: &Bytes) -> Result<(), Status> {
        let completed = self.messages.completed;
        self.messages.read(data);
        if self.terms.is_single && self.messages.begun > 1 {
            return Err(status::one_message());
        }
        if self.messages.completed > completed {
            self.idle = None;
        }
        self.hold(data.len())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Status> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.terms.room).try_acquire_many_owned(bytes) else {
            return Err(status::overloaded("the server has no room for the request now; repeat it later"));
        };
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }

    /// Fails when the body has taken too long. Polled only while nothing comes, so the time that the server needs
    /// between two messages is not the caller's.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(status::deadline_exceeded());
        }
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(self.terms.idle)));
        ready!(idle.as_mut().poll(cx));
        Poll::Ready(status::deadline_exceeded())
    }
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if !this.terms.is_single && this.messages.is_between() {
            this.held = None; // What came before has been taken.
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let taken = frame.data_ref().map_or(Ok(()), |data| this.take(data));
                Poll::Ready(Some(taken.map(|()| frame).map_err(Into::into)))
            }
            Poll::Ready(Some(Err(cause))) => Poll::Ready(Some(Err(cause.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Ready(Some(Err(ready!(this.poll_late(cx)).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

/// Finds where messages begin and end.
#[derive(Default)]
struct Messages {
    begun: u64,
    completed: u64,
    prefix: [u8; PREFIX_BYTES],
    /// So many bytes of the prefix are there.
    have: usize,
    /// So many bytes of the message are to come.
    to_come: usize,
}

impl Messages {
    fn is_between(&self) -> bool {
        self.have == 0 && self.to_come == 0
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.to_come > 0 {
                let taken = self.to_come.min(bytes.len());
                self.to_come -= taken;
                bytes = &bytes[taken..];
                self.completed += u64::from(self.to_come == 0);
                continue;
            }
            let taken = (PREFIX_BYTES - self.have).min(bytes.len());
            self.prefix[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == PREFIX_BYTES {
                self.have = 0;
                self.begin();
            }
        }
    }

    /// A prefix is complete. One whose flag does not exist is no message but rubbish, which the codec refuses.
    fn begin(&mut self) {
        let [flag, length @ ..] = self.prefix;
        self.to_come = u32::from_be_bytes(length) as usize;
        self.begun += u64::from(flag <= 1);
        self.completed += u64::from(self.to_come == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_the_bytes_are_cut() {
        let two = [0, 0, 0, 0, 3, 1, 2, 3, 1, 0, 0, 0, 0];
        for cut in 1..=two.len() {
            let mut messages = Messages::default();
            two.chunks(cut).for_each(|part| messages.read(part));
            assert_eq!((messages.begun, messages.completed, messages.is_between()), (2, 2, true));
        }
        let mut half = Messages::default();
        half.read(&two[..7]);
        assert_eq!((half.begun, half.completed, half.is_between()), (1, 0, false));
    }
}
