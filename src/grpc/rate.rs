//! How often a tenant may be asked about, so that one cannot take the server from the others.

use crate::domain::ids::TenantId;
use crate::grpc::status;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tonic::Status;

/// After so many calls, tenants that have not called for a second are forgotten.
const FORGET_PERIOD: u32 = 65_536;

/// The rate of each tenant. Clones share it. It is on each request, for the tenant is known only behind the gate.
#[derive(Clone, Debug)]
pub struct TenantRate(Option<Arc<Tenants>>);

#[derive(Debug)]
struct Tenants {
    limiter: DefaultKeyedRateLimiter<TenantId>,
    clock: DefaultClock,
    calls: AtomicU32,
}

impl TenantRate {
    /// Allows each tenant so many calls a second, and as many at once. 0 allows any number.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let tenants = |rate| Tenants {
            limiter: DefaultKeyedRateLimiter::keyed(Quota::per_second(rate)),
            clock: DefaultClock::default(),
            calls: AtomicU32::new(0),
        };
        Self(NonZeroU32::new(per_second).map(|rate| Arc::new(tenants(rate))))
    }

    /// Counts a call. Comes after authorisation: a stranger cannot use up what a tenant may have.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time after which there is room for one more.
    pub fn count(&self, tenant: TenantId) -> Result<(), Status> {
        let Some(tenants) = &self.0 else { return Ok(()) };
        if tenants.calls.fetch_add(1, Ordering::Relaxed) % FORGET_PERIOD == FORGET_PERIOD - 1 {
            tenants.limiter.retain_recent();
            tenants.limiter.shrink_to_fit();
        }
        let counted = tenants.limiter.check_key(&tenant);
        counted.map_err(|early| status::rate_limited(early.wait_time_from(tenants.clock.now())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt;
    use uuid::Uuid;

    fn tenant(number: u128) -> TenantId {
        TenantId::new(Uuid::from_u128(number))
    }

    #[test]
    fn a_tenant_has_its_own_rate_and_is_told_when_to_come_again() {
        let rate = TenantRate::new(1);
        assert!(rate.count(tenant(1)).is_ok());
        let refusal = (0..100).find_map(|_| rate.clone().count(tenant(1)).err()).expect("one a second");
        let wait = refusal.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!(!wait.is_zero() && wait.as_secs() <= 1, "{wait:?}");
        assert!(rate.count(tenant(2)).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let rate = TenantRate::new(0);
        assert!((0..1_000).all(|_| rate.count(tenant(1)).is_ok()));
    }
}
