//! The server that a command talks to.

use crate::cli::failure::Failure;
use anyhow::Context;
use clap::Args;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// How long an attempt to connect may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a call may take. A full batch is durable in well under a second.
const CALL_TIME_MAX: Duration = Duration::from_mins(1);

/// Which server, and as which tenant.
#[derive(Args, Debug)]
pub struct Target {
    /// The server's address.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    pub server: String,
    /// The tenant's id.
    #[arg(long, value_name = "UUID")]
    pub tenant: String,
}

impl Target {
    /// Returns a connection, which is made when the first call needs it.
    ///
    /// # Errors
    /// When the address is none.
    pub fn channel(&self) -> Result<Channel, Failure> {
        channel(&self.server)
    }

    /// Returns what a call's error means.
    pub fn failure(&self, status: tonic::Status) -> Failure {
        Failure::of_call(&self.server, status)
    }
}

/// Returns a connection, which is made when the first call needs it.
///
/// # Errors
/// When the address is none.
pub fn channel(server: &str) -> Result<Channel, Failure> {
    let form = || format!("--server {server}: must be of the form http://127.0.0.1:50051");
    let endpoint = Endpoint::from_shared(server.to_owned()).with_context(form)?;
    if endpoint.uri().scheme_str() != Some("http") || endpoint.uri().host().is_none() {
        return Err(Failure::Local(anyhow::Error::msg(form())));
    }
    Ok(endpoint.connect_timeout(CONNECT_TIME_MAX).timeout(CALL_TIME_MAX).connect_lazy())
}
