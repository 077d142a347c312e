//! `riskshare demo`: a server with made-up tenants, told and asked through the public API.

mod alerts;
mod invitation;
mod queue;
mod records;
mod stage;
mod story;

use crate::cli::Ran;
use crate::cli::alert_view::AlertView;
use crate::cli::failure::Failure;
use crate::cli::serve::{StopSignals, log_to_stderr, stop_or_leave};
use crate::cli::terminal;
use crate::cli::terminal::Paint;
use crate::clock::{Clock, SystemClock};
use crate::config::{Log, LogFormat};
use crate::intake;
use anyhow::Context;
use clap::Args;
use queue::Queue;
use stage::{Stage, TemporaryFolder};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use story::{QueuedAlert, Tenant};

/// Show what riskshare answers, with made-up tenants.
///
/// Starts a server on this machine, with its data in a temporary folder. Feeds it audit records, users and policies
/// of three tenants in the formats that the real systems write, relative to today, through the same calls as any
/// caller. Prints the DLP alert queue with its Insider risk severity column and one alert with its actors. Then
/// serves until it is stopped (Ctrl-C), with lines to paste; the folder goes with it.
#[derive(Args, Debug)]
pub struct Demo {
    /// Stop when all is printed.
    #[arg(long)]
    exit: bool,
    /// Listen here, on a loopback address; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Of each actor so many of the latest activities are printed.
const ACTIVITIES: usize = 5;

impl Demo {
    /// Shows it.
    pub async fn run(self) -> Ran {
        log_to_stderr(&Log { format: LogFormat::Auto, filter: "warn".to_owned() })?;
        let mut stop = StopSignals::listen()?;
        let folder = TemporaryFolder::make()?;
        tokio::select! {
            shown = self.show(&folder) => {
                let stage = shown?;
                if !self.exit {
                    stop.wait().await;
                }
                stop_or_leave(stage.running, &mut stop).await?;
            }
            () = stop.wait() => {}
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn show(&self, folder: &TemporaryFolder) -> Result<Stage, Failure> {
        let clock = SystemClock;
        let tenants = story::tenants(clock.now());
        let stage = Stage::open(folder.path(), self.listen, Arc::new(clock)).await?;
        terminal::say(&play(&stage, &tenants, Paint::for_stdout()).await?)?;
        if !self.exit {
            terminal::say(&invite(folder, &stage, &tenants)?)?;
        }
        Ok(stage)
    }
}

/// Tells the server everything and returns what it answers: the queue, and its first alert in full.
async fn play(stage: &Stage, tenants: &[Tenant], paint: Paint) -> anyhow::Result<String> {
    let mut queue = Queue::default();
    let mut records = 0;
    for tenant in tenants {
        stage.tell(tenant).await?;
        records += tenant.audit.len();
        queue.add(tenant, &stage.column(tenant).await?);
    }
    let (tenant, alert) = first(tenants)?;
    let own = intake::dlp_alert(&alert.raw.to_string()).ok();
    let enriched = stage.in_full(tenant, &alert.raw).await?;
    let view = AlertView { paint, activities: ACTIVITIES };
    let told = format!("{records} audit records of {} made-up tenants are in.\n", tenants.len());
    Ok([told, queue.draw(paint), view.draw(own.as_ref(), &enriched)].join("\n"))
}

/// Returns lines to paste. The alert that they enrich is laid in the folder.
fn invite(folder: &TemporaryFolder, stage: &Stage, tenants: &[Tenant]) -> anyhow::Result<String> {
    let (tenant, alert) = first(tenants)?;
    let path = folder.path().join("alert.json");
    std::fs::write(&path, serde_json::to_string_pretty(&alert.raw)?)?;
    let program = std::env::args().next().unwrap_or_else(|| "riskshare".to_owned());
    let address = stage.running.address();
    let lines = invitation::invitation(&program, address, tenant, &path);
    Ok(format!("\nServing on http://{address} until Ctrl-C.\n\n{lines}"))
}

fn first(tenants: &[Tenant]) -> anyhow::Result<(&Tenant, &QueuedAlert)> {
    let tenant = tenants.first().context("no tenant")?;
    Ok((tenant, tenant.queue.first().context("no alert")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    async fn played_at(now: &str) -> String {
        let clock = ManualClock::at(now.parse().unwrap());
        let folder = TemporaryFolder::make().unwrap();
        let tenants = story::tenants(clock.now());
        let stage =
            Stage::open(folder.path(), "127.0.0.1:0".parse().unwrap(), Arc::new(clock)).await.unwrap();
        let text = play(&stage, &tenants, Paint::plain()).await.unwrap();
        drop(stage.channel);
        stage.running.stop().await.unwrap();
        text
    }

    #[tokio::test]
    async fn the_demo_of_a_given_day_is_this() {
        let text = played_at("2026-11-24T12:00:00Z").await;
        println!("{text}");
        assert_eq!(text, "");
    }
}
