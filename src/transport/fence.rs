//! What stands between the bytes of an answer and the socket: some may leave up to an instant only. A process that is
//! frozen with such bytes in its buffers must not write them when it goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The fence of one connection. The transport puts it on each request; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<Behind>>);

/// Until when bytes may leave that have not left yet.
#[derive(Debug, Default)]
struct Behind {
    /// Those that somebody still holds.
    held: BTreeMap<u64, Instant>,
    /// Those that were copied into a buffer, which has not been flushed since.
    buffered: Vec<Instant>,
    next: u64,
}

/// Goes with bytes that may leave up to an instant.
#[derive(Debug)]
pub struct Fenced {
    fence: Fence,
    number: u64,
}

impl Fence {
    /// Lets bytes leave up to an instant, as long as what is returned goes with them. After it the connection ends rather
    /// than that they leave.
    #[must_use]
    pub fn until(&self, instant: Instant) -> Fenced {
        let mut behind = self.behind();
        let number = behind.next;
        behind.next += 1;
        behind.held.insert(number, instant);
        Fenced { fence: self.clone(), number }
    }

    /// Says whether nothing may be written any more.
    pub(super) fn is_closed(&self) -> bool {
        let behind = self.behind();
        let mut all = behind.held.values().chain(&behind.buffered).peekable();
        // The clock is asked only where something is fenced.
        all.peek().is_some() && {
            let now = Instant::now();
            all.any(|until| *until <= now)
        }
    }

    /// Notes that all that was in buffers has left.
    pub(super) fn flushed(&self) {
        self.behind().buffered.clear();
    }

    fn behind(&self) -> MutexGuard<'_, Behind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        let mut behind = self.fence.behind();
        let until = behind.held.remove(&self.number);
        behind.buffered.extend(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn bytes_that_are_too_old_close_the_fence_until_they_are_flushed() {
        let fence = Fence::default();
        assert!(!fence.is_closed());
        let second = Duration::from_secs(1);
        let fenced = fence.clone().until(Instant::now() + second);
        assert!(!fence.is_closed());
        // Copied is not yet sent.
        drop(fenced);
        fence.flushed();
        let fenced = fence.until(Instant::now() + second);
        drop(fenced);
        tokio::time::advance(second).await;
        assert!(fence.is_closed());
        fence.flushed();
        assert!(!fence.is_closed());
        let _fenced = fence.until(Instant::now());
        fence.flushed();
        assert!(fence.is_closed(), "it is not in any buffer yet");
    }
}
