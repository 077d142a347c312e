//! The sharing switch of one tenant, in memory: who may pass, and who is still passing.

use crate::store::{HoldGuard, Moved, Pass};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

/// How long turning off waits for passes that were given.
pub const DRAIN_MAX: Duration = Duration::from_secs(2);

/// The switch.
#[derive(Debug)]
pub struct Switch(RwLock<Positions>);

/// One position of the switch, from one move to the next. Once closed it never opens again: turning sharing on
/// makes a new one, so a hold of the time before is worthless for ever.
#[derive(Debug)]
pub struct Epoch {
    number: u64,
    open: AtomicBool,
    passes: AtomicUsize,
    emptied: Notify,
}

#[derive(Debug)]
struct Positions {
    current: Arc<Epoch>,
    /// Closed ones of which passes may be left.
    closed: Vec<Arc<Epoch>>,
}

impl Switch {
    /// Returns a switch that has moved `number` times.
    pub fn at(number: u64, open: bool) -> Self {
        Self(RwLock::new(Positions { current: Epoch::new(number, open), closed: Vec::new() }))
    }

    /// Returns its present position.
    pub fn epoch(&self) -> Arc<Epoch> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).current)
    }

    /// Closes it if it is open. From here on no hold gives a pass.
    pub fn close(&self) {
        let mut positions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if positions.current.is_open() {
            let next = Epoch::new(positions.current.number + 1, false);
            let old = std::mem::replace(&mut positions.current, next);
            old.open.store(false, Ordering::SeqCst);
            positions.closed.retain(|epoch| epoch.passes.load(Ordering::SeqCst) > 0);
            positions.closed.push(old);
        }
    }

    /// Moves it to where it stands elsewhere, if it has moved there more often than here.
    pub fn follow(&self, number: u64, open: bool) {
        let mut positions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if number > positions.current.number {
            let old = std::mem::replace(&mut positions.current, Epoch::new(number, open));
            old.open.store(false, Ordering::SeqCst);
            positions.closed.retain(|epoch| epoch.passes.load(Ordering::SeqCst) > 0);
            positions.closed.push(old);
        }
    }

    /// Opens it if it is closed.
    pub fn open(&self) {
        let mut positions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !positions.current.is_open() {
            positions.current = Epoch::new(positions.current.number + 1, true);
        }
    }

    /// Waits up to [`DRAIN_MAX`] for the passes of closed positions, and says whether all were dropped.
    pub async fn drained(&self) -> bool {
        let closed = self.0.read().unwrap_or_else(PoisonError::into_inner).closed.clone();
        let all = async {
            for epoch in &closed {
                epoch.emptied().await;
            }
        };
        tokio::time::timeout(DRAIN_MAX, all).await.is_ok()
    }
}

impl Epoch {
    fn new(number: u64, open: bool) -> Arc<Self> {
        let (passes, emptied) = (AtomicUsize::new(0), Notify::new());
        Arc::new(Self { number, open: AtomicBool::new(open), passes, emptied })
    }

    /// Returns the position of a tenant that nobody knows.
    pub fn unknown() -> Arc<Self> {
        Self::new(0, false)
    }

    /// Returns how often the switch had moved.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Says whether it lets anything pass.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.passes.load(Ordering::SeqCst) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// What a hold keeps.
pub struct Guard(pub Arc<Epoch>);

/// What a pass keeps.
struct Passing(Arc<Epoch>);

impl HoldGuard for Guard {
    /// Counts itself first and looks second, while closing closes first and counts second: one of the two sees the
    /// other (all sequentially consistent).
    fn pass(&self) -> Result<Pass, Moved> {
        self.0.passes.fetch_add(1, Ordering::SeqCst);
        let passing = Passing(Arc::clone(&self.0));
        if self.0.is_open() { Ok(Pass::new(passing)) } else { Err(Moved) }
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if self.0.passes.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(switch: &Switch) -> Guard {
        Guard(switch.epoch())
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_every_hold_for_good_and_waits_for_passes_given() {
        let switch = Switch::at(0, true);
        let before = hold(&switch);
        let passing = before.pass().unwrap();
        switch.close();
        assert!(before.pass().is_err());
        assert!(hold(&switch).pass().is_err());
        assert!(!switch.drained().await);
        switch.open();
        assert!(before.pass().is_err());
        assert_eq!(switch.epoch().number(), 2);
        assert!(hold(&switch).pass().is_ok());
        drop(passing);
        switch.close();
        assert!(switch.drained().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_dropped_in_time_ends_the_wait_at_once() {
        let switch = Arc::new(Switch::at(0, true));
        let passing = hold(&switch).pass().unwrap();
        switch.close();
        let waiting = tokio::spawn({
            let switch = Arc::clone(&switch);
            async move { switch.drained().await }
        });
        tokio::task::yield_now().await;
        drop(passing);
        let begun = tokio::time::Instant::now();
        assert!(waiting.await.unwrap());
        assert!(begun.elapsed() < DRAIN_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn passes_left_from_an_earlier_time_are_waited_for_too() {
        let switch = Switch::at(0, true);
        let old = hold(&switch).pass().unwrap();
        switch.close();
        switch.open();
        switch.close();
        assert!(!switch.drained().await);
        drop(old);
        assert!(switch.drained().await);
    }
}
