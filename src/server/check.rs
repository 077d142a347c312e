//! What can be known of a start before it: whether the files that the configuration names can be used.

use super::StartError;
use super::feed::receivers;
use crate::auth::mode::AuthError;
use crate::auth::principals::Principals;
use crate::config::Config;
use crate::delivery::webhook::Client;
use crate::transport::Protocol;
use crate::transport::tls::Identity;

/// Reads every file that the configuration names, as [`start`](super::start) does, and returns all that would keep the
/// server from starting. Opens no data, connects to nobody, listens nowhere. Runs within a Tokio runtime.
#[must_use]
pub fn check(config: &Config) -> Vec<StartError> {
    let checks = [tls(config), principals(config), webhooks(config), collector(config), database(config)];
    checks.into_iter().filter_map(Result::err).collect()
}

fn tls(config: &Config) -> Result<(), StartError> {
    if let Some(files) = config.tls_files() {
        Identity::load(files, Protocol::Http2)?;
    }
    Ok(())
}

fn principals(config: &Config) -> Result<(), StartError> {
    let path = &config.auth.principals_file;
    if config.auth.mode.takes_certificates() {
        Principals::open(path).map_err(|cause| AuthError::Principals { path: path.clone(), cause })?;
    }
    Ok(())
}

fn webhooks(config: &Config) -> Result<(), StartError> {
    let api = &config.management_api;
    Client::new(api.hosts(), api.authorities())?;
    Ok(())
}

fn collector(config: &Config) -> Result<(), StartError> {
    receivers(config)?;
    Ok(())
}

fn database(config: &Config) -> Result<(), StartError> {
    if !config.postgres.is_used() {
        return Ok(());
    }
    config.postgres.address()?.tls()?;
    Ok(())
}
