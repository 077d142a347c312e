//! Where health is told to those that can show no certificate.

use crate::config::{ConfigError, bound};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A port of its own for health, without TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Where it is, an address and a port. Empty: nowhere but on the port of all services.
    pub listen: String,
}

impl Health {
    /// Returns where it is, if there is one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_address = self.listen.is_empty() || self.address().is_some();
        bound("health.listen", is_address, "must be an address and a port, such as 127.0.0.1:50052")
    }
}
