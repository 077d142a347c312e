//! Where traces go.

use crate::config::{ConfigError, bound};
use serde::{Deserialize, Serialize};

/// Traces.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The collector that takes them by OTLP over gRPC. Empty: there are none.
    pub otlp_endpoint: String,
    /// How many of a thousand calls are traced whose callers do not say.
    pub sample_per_mille: u32,
}

impl Default for Traces {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), sample_per_mille: 10 }
    }
}

impl Traces {
    /// Returns the collector, if there is one.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        Some(self.otlp_endpoint.as_str()).filter(|endpoint| !endpoint.is_empty())
    }

    /// Returns the part of calls that is traced.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        f64::from(self.sample_per_mille) / 1_000.0
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_address = self.endpoint().is_none_or(|endpoint| endpoint.starts_with("http://"));
        bound("traces.otlp_endpoint", is_address, "must be empty or of the form http://host:port")
    }
}
