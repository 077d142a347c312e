//! `riskshare serve`.

use crate::cli::Ran;
use crate::cli::terminal;
use crate::clock::SystemClock;
use crate::config::{Config, Log, LogFormat, Sources, no_color};
use crate::server;
use crate::server::Running;
use anyhow::Context;
use clap::Args;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Serve until told to stop (SIGINT, SIGTERM).
///
/// Flags win over RISKSHARE_* variables, those over the file, that over the defaults; docs/configuration.md lists
/// every setting. Prints where it listens to stdout; the log goes to stderr and holds no personal data.
///
/// Stops on SIGINT or SIGTERM: takes no new calls and gives those in progress the time of --drain-seconds. A second
/// signal ends it at once; nothing that was acknowledged is lost.
#[derive(Args, Debug)]
pub struct Serve {
    /// Read settings from this TOML file; RISKSHARE_CONFIG without it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here; port 0 takes a free one [default: 127.0.0.1:50051].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Allow an address that other machines can reach, although callers are not authenticated.
    #[arg(long)]
    allow_unauthenticated_network: bool,
    /// Keep the data here; made when absent [default: riskshare-data].
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// Log as text or as json; auto is text on a terminal, else json [default: auto].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Log what passes this filter, such as debug [default: warn,riskshare=info].
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// Refuse larger requests than so many bytes, but for ingest [default: 4194304].
    #[arg(long, value_name = "BYTES")]
    max_message_bytes: Option<String>,
    /// Refuse larger ingest requests than so many bytes [default: 16777216].
    #[arg(long, value_name = "BYTES")]
    max_ingest_message_bytes: Option<String>,
    /// Refuse a call while so many are in progress [default: 1024].
    #[arg(long, value_name = "COUNT")]
    max_concurrent_requests: Option<String>,
    /// Keep audit lines for so many days [default: 180].
    #[arg(long, value_name = "DAYS")]
    audit_retention_days: Option<String>,
    /// Give calls in progress so many seconds when told to stop [default: 20].
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<String>,
}

impl Serve {
    /// Serves until told to stop.
    pub async fn run(self) -> Ran {
        let file = self.config.clone();
        let config = Sources::of_process(self.flags(), file).load()?;
        log_to_stderr(&config.log)?;
        let stop = StopSignals::listen()?;
        serve(config, stop).await
    }

    /// Returns the flags that were given, by their keys. Their values are judged with those of all other sources.
    fn flags(self) -> Vec<(&'static str, String)> {
        let allow = self.allow_unauthenticated_network.then(|| "true".to_owned());
        let all = [
            ("listen", self.listen),
            ("allow_unauthenticated_network", allow),
            ("data_dir", self.data_dir),
            ("log.format", self.log_format),
            ("log.filter", self.log_filter),
            ("limits.max_message_bytes", self.max_message_bytes),
            ("limits.max_ingest_message_bytes", self.max_ingest_message_bytes),
            ("limits.max_concurrent_requests", self.max_concurrent_requests),
            ("audit.retention_days", self.audit_retention_days),
            ("drain_seconds", self.drain_seconds),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

async fn serve(config: Config, mut stop: StopSignals) -> Ran {
    let running = server::start(config, Arc::new(SystemClock)).await?;
    terminal::say(&format!("riskshare serves on http://{}\n", running.address()))?;
    stop.wait().await;
    tracing::info!("stopping");
    stop_or_leave(running, &mut stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Lets calls in progress end, unless a second signal says that there is no time for that.
pub async fn stop_or_leave(running: Running, stop: &mut StopSignals) -> anyhow::Result<()> {
    tokio::select! {
        stopped = running.stop() => Ok(stopped?),
        () = stop.wait() => Ok(()),
    }
}

/// The signals that ask the program to stop.
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Takes them from now on, so that they no longer end the program by themselves.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> anyhow::Result<Self> {
        let take = |kind| signal(kind).context("cannot take signals");
        Ok(Self { interrupt: take(SignalKind::interrupt())?, terminate: take(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Sends the log to stderr, so that stdout stays what the command says.
///
/// # Errors
/// When the filter cannot be read.
pub fn log_to_stderr(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).context("log.filter")?;
    let is_terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if log.format == LogFormat::Text || (log.format == LogFormat::Auto && is_terminal) {
        lines.with_ansi(is_terminal && !no_color()).init();
    } else {
        lines.json().init();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        serve: Serve,
    }

    #[test]
    fn every_setting_has_the_flag_that_the_document_names() {
        let document = include_str!("../../docs/configuration.md");
        let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
        let mut named = 0;
        for row in rows {
            let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches('`')).collect();
            let command = Flags::command();
            let flag = command.get_arguments().find(|flag| flag.get_long() == cells[2].strip_prefix("--"));
            let takes_value = flag.expect(cells[2]).get_action().takes_values();
            let value = takes_value.then_some("v");
            let serve = Flags::parse_from(["serve", cells[2]].into_iter().chain(value)).serve;
            assert_eq!(serve.flags(), [(cells[0], value.unwrap_or("true").to_owned())], "{row}");
            named += 1;
        }
        assert_eq!(named, crate::config::keys().len());
    }
}
