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
        drop(log_to_stderr(&Log { format: LogFormat::Auto, filter: "warn".to_owned() }, None)?);
        let mut stop = StopSignals::listen()?;
        let folder = TemporaryFolder::make()?;
        tokio::select! {
            shown = self.show(&folder) => {
                let stage = shown?;
                if !self.exit {
                    stop.wait().await;
                }
                stop_or_leave(stage.running, &mut stop).await;
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
    let program = std::env::args_os().next().unwrap_or_else(|| "riskshare".into());
    let address = stage.running.address();
    let lines = invitation::invitation(&program.to_string_lossy(), address, tenant, &path);
    Ok(format!("\nServing on http://{address} until Ctrl-C.\n\n{lines}"))
}

fn first(tenants: &[Tenant]) -> anyhow::Result<(&Tenant, &QueuedAlert)> {
    let tenant = tenants.first().context("no tenant")?;
    Ok((tenant, tenant.queue.first().context("no alert")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connection::plain;
    use crate::cli::feed::Feed;
    use crate::clock::ManualClock;
    use crate::pb;
    use crate::pb::settings_service_client::SettingsServiceClient;
    use prost_types::FieldMask;

    /// A demo of a given instant.
    struct Played {
        text: String,
        tenants: Vec<Tenant>,
        stage: Stage,
        _folder: TemporaryFolder,
    }

    async fn played_at(now: &str) -> Played {
        let clock = ManualClock::at(now.parse().unwrap());
        let folder = TemporaryFolder::make().unwrap();
        let tenants = story::tenants(clock.now());
        let listen = "127.0.0.1:0".parse().unwrap();
        let stage = Stage::open(folder.path(), listen, Arc::new(clock)).await.unwrap();
        let text = play(&stage, &tenants, Paint::plain()).await.unwrap();
        Played { text, tenants, stage, _folder: folder }
    }

    impl Played {
        /// Returns an alert of the queue in full.
        async fn alert(&self, tenant: &str, shows: &str) -> pb::EnrichedAlert {
            let tenant = self.tenants.iter().find(|t| t.name == tenant).unwrap();
            let alert = tenant.queue.iter().find(|alert| alert.shows == shows).unwrap();
            self.stage.in_full(tenant, &alert.raw).await.unwrap()
        }
    }

    fn queue_of(text: &str) -> Vec<&str> {
        text.lines()
            .skip_while(|line| !line.starts_with("TENANT"))
            .take_while(|line| !line.is_empty())
            .collect()
    }

    #[tokio::test]
    async fn the_demo_of_a_given_day_is_this() {
        let played = played_at("2026-11-24T12:00:00Z").await;
        assert_eq!(played.text, include_str!("../../../tests/golden/demo-of-2026-11-24.txt"));
    }

    #[tokio::test]
    async fn the_queue_reads_the_same_at_any_time_of_any_day() {
        let noon = played_at("2026-11-24T12:00:00Z").await;
        for now in
            ["2026-11-24T00:00:00Z", "2026-11-24T23:59:59Z", "2028-02-29T06:00:00Z", "2027-01-01T00:00:01Z"]
        {
            assert_eq!(queue_of(&played_at(now).await.text), queue_of(&noon.text), "{now}");
        }
    }

    #[tokio::test]
    async fn of_two_users_who_tie_the_one_with_the_later_activity_comes_first() {
        let played = played_at("2026-11-24T12:00:00Z").await;
        let alert = played.alert("Contoso", "two users tie, named by SID and by account").await;
        let shown: Vec<_> = alert
            .actors
            .iter()
            .map(|actor| {
                (actor.user.as_ref().unwrap().display_name.as_str(), &*actor.severity_text, actor.score)
            })
            .collect();
        assert_eq!(shown, [("Chiara Rossi", "Medium", 43), ("David Okafor", "Medium", 43)]);
    }

    #[tokio::test]
    async fn the_hidden_high_is_real_and_shows_once_something_may_be_shared() {
        let played = played_at("2026-11-24T12:00:00Z").await;
        let shows = "High inside, through deletions only";
        assert_eq!(played.alert("Contoso", shows).await.severity_text, "None");
        let copy =
            story::ELIF.copies_to_usb("2026-11-24T11:00:00Z".parse().unwrap(), "Notes.txt").to_string();
        let mut feed = Feed::new(plain(played.stage.channel.clone()), played.tenants[0].id.to_string(), 0);
        assert_eq!(feed.send(&[&copy]).await.unwrap().counts.unwrap().accepted, 1);
        assert_eq!(played.alert("Contoso", shows).await.severity_text, "High");
    }

    #[tokio::test]
    async fn the_tenant_that_does_not_share_would_show_a_high() {
        let played = played_at("2026-11-24T12:00:00Z").await;
        let request = pb::UpdateSettingsRequest {
            tenant_id: played.tenants[1].id.to_string(),
            settings: Some(pb::Settings { data_sharing_enabled: true, ..Default::default() }),
            update_mask: Some(FieldMask { paths: vec!["data_sharing_enabled".to_owned()] }),
            etag: String::new(),
        };
        SettingsServiceClient::new(played.stage.channel.clone()).update_settings(request).await.unwrap();
        let alert = played.alert("Fabrikam", "the tenant does not share").await;
        assert_eq!((&*alert.severity_text, alert.actors.len()), ("High", 1));
    }
}
