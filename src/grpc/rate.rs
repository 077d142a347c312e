//! How often a tenant may be asked about, so that one cannot take the server from the others.

use crate::domain::ids::TenantId;
use crate::gate::rate::Rate;
use crate::grpc::status;
use governor::Quota;
use std::num::NonZeroU32;
use tonic::Status;

/// The rate of each tenant. Clones share it. It is on each request, for the tenant is known only behind the gate.
#[derive(Clone, Debug)]
pub struct TenantRate(Rate<TenantId>);

impl TenantRate {
    /// Allows each tenant so many calls a second, and as many at once. 0 allows any number.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self(Rate::new(NonZeroU32::new(per_second).map(Quota::per_second)))
    }

    /// Counts a call. Comes after authorisation: a stranger cannot use up what a tenant may have.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time after which there is room for one more.
    pub fn count(&self, tenant: TenantId) -> Result<(), Status> {
        self.0.count(&tenant).map_err(status::tenant_rate_limited)
    }
}
