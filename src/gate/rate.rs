//! How often something may happen for each of many: calls of a tenant, refusals of a principal.

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// After so many counts, those who have all their room back are forgotten.
const FORGET_PERIOD: u32 = 65_536;

/// The rate of each. Clones share it.
#[derive(Clone)]
pub struct Rate<K: Clone + Hash + Eq>(Option<Arc<Each<K>>>);

struct Each<K: Clone + Hash + Eq> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    counts: AtomicU32,
}

impl<K: Clone + Hash + Eq> Rate<K> {
    /// Allows each what the quota says; without one, any number.
    #[must_use]
    pub fn new(quota: Option<Quota>) -> Self {
        let each = |quota| Each {
            limiter: DefaultKeyedRateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            counts: AtomicU32::new(0),
        };
        Self(quota.map(|quota| Arc::new(each(quota))))
    }

    /// Counts one more of somebody's.
    ///
    /// # Errors
    /// When that is too many: the time after which there is room for one.
    pub fn count(&self, whose: &K) -> Result<(), Duration> {
        let Some(each) = &self.0 else { return Ok(()) };
        if each.counts.fetch_add(1, Ordering::Relaxed) % FORGET_PERIOD == FORGET_PERIOD - 1 {
            each.limiter.retain_recent();
            each.limiter.shrink_to_fit();
        }
        each.limiter.check_key(whose).map_err(|early| early.wait_time_from(each.clock.now()))
    }
}

impl<K: Clone + Hash + Eq> fmt::Debug for Rate<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Rate" } else { "Rate(any)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    #[test]
    fn each_has_its_own_rate_and_is_told_when_to_come_again() {
        let rate = Rate::new(NonZeroU32::new(1).map(Quota::per_second));
        assert!(rate.count(&1).is_ok());
        let wait = (0..100).find_map(|_| rate.clone().count(&1).err()).expect("one a second");
        assert!(!wait.is_zero() && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(rate.count(&2).is_ok());
    }

    #[test]
    fn without_a_quota_there_is_no_limit() {
        let rate = Rate::new(None);
        assert!((0..1_000).all(|_| rate.count(&1).is_ok()));
    }
}
