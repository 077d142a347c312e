//! What the transport knows of the connection that a request came on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The certificates that a connection's peer proved to own, its own first, in DER. The transport puts them on each
/// request of the connection.
#[derive(Clone, Default)]
pub struct PeerCertificates(pub Arc<[Vec<u8>]>);

/// A connection's account of what its peer has going on. On each request of the connection; clones are the same one.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Account>);

#[derive(Debug)]
struct Account {
    calls: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// Since when bytes of replies wait for the peer, the oldest first.
#[derive(Debug, Default)]
struct Waiting {
    since: BTreeMap<u64, Instant>,
    next: u64,
}

impl Peer {
    /// Returns the account of a connection with so many streams at a time. It may have twice as many calls in
    /// progress: the last piece of an answer can be with the peer before its call is over here.
    #[must_use]
    pub fn new(streams: u32) -> Self {
        let calls = Arc::new(Semaphore::new(2 * streams as usize));
        Self(Arc::new(Account { calls, waiting: Mutex::default() }))
    }

    /// Begins a call, which lasts until the permit is dropped. `None` when the peer has as many as it may have: a
    /// stream that the peer resets is free for HTTP/2 before its call has ended.
    #[must_use]
    pub fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.calls).try_acquire_owned().ok()
    }

    /// Notes that bytes of a reply wait for the peer from now on, until what is returned is dropped.
    #[must_use]
    pub fn outstanding(&self) -> Outstanding {
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.since.insert(number, Instant::now());
        Outstanding { peer: self.clone(), number }
    }

    /// Returns since when the oldest bytes wait.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting().since.first_key_value().map(|(_, since)| *since)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a reply that the peer has not taken yet.
#[derive(Debug)]
pub struct Outstanding {
    peer: Peer,
    number: u64,
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.peer.waiting().since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_so_many_calls_and_gets_the_place_of_one_that_ended() {
        let peer = Peer::new(1);
        let first = peer.begin();
        let second = peer.begin();
        assert!(first.is_some() && second.is_some() && peer.begin().is_none());
        drop(first);
        assert!(peer.clone().begin().is_some());
    }

    #[test]
    fn the_oldest_bytes_that_wait_are_known() {
        let peer = Peer::new(1);
        assert_eq!(peer.oldest(), None);
        let first = peer.outstanding();
        let since = peer.oldest();
        let second = peer.outstanding();
        assert_eq!(peer.oldest(), since);
        drop((first, second));
        assert_eq!(peer.oldest(), None);
    }
}
