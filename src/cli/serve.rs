//! `riskshare serve`.

use crate::cli::Ran;
use crate::cli::flags::SettingFlags;
use crate::cli::reload::Reload;
use crate::cli::terminal;
use crate::clock::SystemClock;
use crate::config::{Config, Log, LogFormat, no_color};
use crate::server;
use crate::server::Running;
use crate::telemetry::traces;
use crate::telemetry::traces::Traces;
use anyhow::Context;
use clap::Args;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Serve until told to stop (SIGINT, SIGTERM).
///
/// Flags win over RISKSHARE_* variables, those over the file, that over the defaults; docs/configuration.md lists
/// every setting. Prints where it listens to stdout; the log goes to stderr and holds no personal data.
///
/// Stops on SIGINT or SIGTERM: takes no new calls and gives those in progress the time of --drain-seconds. A second
/// signal ends it at once; nothing that was acknowledged is lost.
///
/// On SIGHUP it reads the settings again and takes the log filter; the log says which others have changed and wait for a
/// restart. Where stdin or stderr is a terminal, SIGHUP ends it: the terminal is gone.
#[derive(Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    settings: SettingFlags,
}

impl Serve {
    /// Serves until told to stop.
    pub async fn run(self) -> Ran {
        let sources = self.settings.sources();
        let config = sources.clone().load()?;
        let traces = traces_of(&config)?;
        let set_filter = log_to_stderr(&config.log, traces.as_ref())?;
        let stop = StopSignals::listen()?;
        let reload = Reload::listen(sources, config.clone(), set_filter)?;
        let served = serve(config, stop, reload).await;
        if let Some(traces) = traces {
            traces.end();
        }
        served
    }
}

fn traces_of(config: &Config) -> anyhow::Result<Option<Traces>> {
    let start = |endpoint| Traces::start(endpoint, config.traces.ratio()).context("traces.otlp_endpoint");
    config.traces.endpoint().map(start).transpose()
}

async fn serve(config: Config, mut stop: StopSignals, mut reload: Reload) -> Ran {
    let scheme = if config.tls_files().is_some() { "https" } else { "http" };
    let running = server::start(config, Arc::new(SystemClock)).await?;
    terminal::say(&format!("riskshare serves on {scheme}://{}\n", running.address()))?;
    if let Some(address) = running.management_api() {
        terminal::say(&format!("the Management Activity API is on {scheme}://{address}\n"))?;
    }
    if let Some(address) = running.metrics() {
        terminal::say(&format!("metrics are on http://{address}/metrics\n"))?;
    }
    if let Some(address) = running.health() {
        terminal::say(&format!("health is on http://{address}\n"))?;
    }
    tokio::select! {
        () = stop.wait() => {}
        () = reload.keep() => {}
    }
    tracing::info!("stopping");
    stop_or_leave(running, &mut stop).await;
    Ok(ExitCode::SUCCESS)
}

/// Lets calls in progress end, unless a second signal says that there is no time for that.
pub async fn stop_or_leave(running: Running, stop: &mut StopSignals) {
    tokio::select! {
        () = running.stop() => {}
        () = stop.wait() => {}
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

/// Sets what is logged from now on.
pub type SetFilter = Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>;

/// Sends the log to stderr, so that stdout stays what the command says, and spans on their way, and returns a way to change
/// the filter of the log.
///
/// # Errors
/// When the filter cannot be read.
pub fn log_to_stderr(log: &Log, traces: Option<&Traces>) -> anyhow::Result<SetFilter> {
    let filter = EnvFilter::try_new(&log.filter).context("log.filter")?;
    let is_terminal = stderr().is_terminal();
    let (filter, handle) = tracing_subscriber::reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let is_text = log.format == LogFormat::Text || (log.format == LogFormat::Auto && is_terminal);
    let lines = if is_text {
        lines.with_ansi(is_terminal && !no_color()).with_filter(filter).boxed()
    } else {
        lines.json().with_filter(filter).boxed()
    };
    // Spans are sent whatever is logged, and nothing that is logged is sent with them.
    let spans =
        traces.map(|traces| traces.layer().with_filter(filter_fn(|meta| meta.target() == traces::TARGET)));
    tracing_subscriber::registry().with(lines).with(spans).init();
    Ok(Box::new(move |filter| Ok(handle.reload(filter)?)))
}
