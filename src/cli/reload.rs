//! What a server takes from changed settings without a restart, when SIGHUP asks for it.

use crate::cli::serve::SetFilter;
use crate::config::{Config, Sources};
use anyhow::Context;
use std::io::{IsTerminal, stderr, stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The setting that is taken. Certificates, keys, revocation lists and principals are read again by themselves when their
/// files change. All else is bound to what was opened at the start.
const TAKEN: &str = "log.filter";

/// Waits for SIGHUP, and reads the settings again.
pub struct Reload {
    hangups: Option<Signal>,
    sources: Sources,
    holds: Config,
    set_filter: SetFilter,
}

impl Reload {
    /// Takes the signal from now on, so that it no longer ends the program. At a terminal it means that nobody looks any
    /// more, so there it still does.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen(sources: Sources, holds: Config, set_filter: SetFilter) -> anyhow::Result<Self> {
        let is_watched = stdin().is_terminal() || stderr().is_terminal();
        let take = || signal(SignalKind::hangup()).context("cannot take signals");
        let hangups = if is_watched { None } else { Some(take()?) };
        Ok(Self { hangups, sources, holds, set_filter })
    }

    /// Reads the settings again each time. Never ends.
    pub async fn keep(&mut self) {
        let Some(mut hangups) = self.hangups.take() else { return std::future::pending().await };
        while hangups.recv().await.is_some() {
            self.read_again();
        }
        std::future::pending::<()>().await;
    }

    fn read_again(&mut self) {
        let found = match self.sources.clone().load() {
            Ok(found) => found,
            Err(cause) => return tracing::error!(%cause, "the settings do not hold; the last good ones stay"),
        };
        if let Err(cause) = self.take(&found) {
            return tracing::error!(%cause, "the log filter cannot be changed");
        }
        tracing::info!(log.filter = self.holds.log.filter, "read the settings again");
        let waiting = found.differences(&self.holds).join(", ");
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting, "these settings have changed and wait for a restart");
        }
    }

    fn take(&mut self, found: &Config) -> anyhow::Result<()> {
        if found.log.filter != self.holds.log.filter {
            (self.set_filter)(EnvFilter::try_new(&found.log.filter).context(TAKEN)?)?;
            self.holds.log.filter.clone_from(&found.log.filter);
        }
        Ok(())
    }
}
