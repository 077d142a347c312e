//! `riskshare serve`.

use crate::clock::SystemClock;
use crate::config::{Log, LogFormat, Sources};
use crate::server;
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Flags win over `RISKSHARE_*` variables, those over the file, that over the defaults (docs/configuration.md).
#[derive(Args, Debug)]
pub struct Serve {
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here; port 0 takes a free one. Default 127.0.0.1:50051.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Keep the data here. Default riskshare-data.
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// Allow an address that other machines can reach, although callers are not authenticated.
    #[arg(long)]
    allow_unauthenticated_network: bool,
}

impl Serve {
    /// Serves until told to stop.
    ///
    /// # Errors
    /// Why it cannot start, or why it failed.
    pub async fn run(self) -> anyhow::Result<()> {
        let config = Sources::of_process(self.flags(), self.config.clone()).load()?;
        log_to_stderr(&config.log)?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let running = server::start(config, Arc::new(SystemClock)).await?;
        println!("riskshare serves on http://{}", running.address());
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        running.stop().await?;
        Ok(())
    }

    fn flags(&self) -> Vec<(&'static str, String)> {
        let mut flags = Vec::new();
        flags.extend(self.listen.clone().map(|listen| ("listen", listen)));
        flags.extend(self.data_dir.clone().map(|directory| ("data_dir", directory)));
        if self.allow_unauthenticated_network {
            flags.push(("allow_unauthenticated_network", "true".to_owned()));
        }
        flags
    }
}

/// Sends the log to stderr, so that stdout stays what the command says.
fn log_to_stderr(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).context("log.filter")?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
