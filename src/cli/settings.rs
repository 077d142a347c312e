//! `riskshare settings`.

use crate::cli::Ran;
use crate::cli::connection::{Connection, Target};
use crate::cli::json;
use crate::cli::terminal;
use crate::cli::terminal::visible;
use crate::pb;
use crate::pb::settings_service_client::SettingsServiceClient;
use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use prost_types::FieldMask;
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Code, Status};

/// Without `--etag`, a change that somebody else's overtakes is made anew, at most so many times.
const ATTEMPTS: usize = 5;

/// Show or change what a tenant shares.
#[derive(Subcommand, Debug)]
pub enum SettingsCommand {
    Get(Get),
    Set(Set),
}

/// Print a tenant's settings.
///
/// A tenant that was never configured has the defaults: sharing is off.
#[derive(Args, Debug)]
pub struct Get {
    #[command(flatten)]
    target: Target,
    /// Print the answer, a GetSettingsResponse, as proto JSON.
    #[arg(long)]
    json: bool,
}

/// Change a tenant's settings.
///
/// Changes what the flags name and leaves the rest. When it has turned data sharing off, no answer that is still on
/// its way holds user data.
///
/// Reads the settings first and sends the version that it read, so that no other change is undone; when another
/// change came between, it begins again. With --etag the change is made to that version or not at all.
#[derive(Args, Debug)]
pub struct Set {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    change: Change,
    /// Change this version only, as `settings get` shows it.
    #[arg(long, value_name = "VERSION")]
    etag: Option<String>,
    /// Print the answer, an UpdateSettingsResponse, as proto JSON.
    #[arg(long)]
    json: bool,
}

/// What to change.
#[derive(Args, Debug)]
struct Change {
    /// Share users' insider risk with DLP alerts and Defender.
    #[arg(long, value_name = "SWITCH")]
    data_sharing: Option<Switch>,
    /// Score every user that is no guest, also those in no policy.
    #[arg(long, value_name = "SWITCH")]
    user_analytics: Option<Switch>,
    /// Export risk alerts to SIEMs.
    #[arg(long, value_name = "SWITCH")]
    alert_export: Option<Switch>,
    /// Show pseudonyms in exported tables.
    #[arg(long, value_name = "SWITCH")]
    anonymization: Option<Switch>,
    /// Share so many days, ending with today: 90 to 120.
    #[arg(long, value_name = "DAYS")]
    lookback: Option<i32>,
    /// Share this configurable indicator, such as SpoDownload; may be repeated.
    #[arg(long, value_name = "INDICATOR")]
    share: Vec<String>,
    /// Do not share this exfiltration indicator, such as Print; may be repeated.
    #[arg(long, value_name = "INDICATOR")]
    hide: Vec<String>,
    /// Share or hide this indicator as the taxonomy says; may be repeated.
    #[arg(long, value_name = "INDICATOR")]
    reset: Vec<String>,
    /// Declare an indicator of the tenant's own as exfiltration; may be repeated.
    #[arg(long, value_name = "NAME")]
    declare: Vec<String>,
    /// Take such a declaration back; may be repeated.
    #[arg(long, value_name = "NAME")]
    undeclare: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl SettingsCommand {
    /// Shows or changes them.
    pub async fn run(self) -> Ran {
        match self {
            Self::Get(get) => get.run().await,
            Self::Set(set) => set.run().await,
        }
    }
}

impl Get {
    async fn run(self) -> Ran {
        let mut client = SettingsServiceClient::new(self.target.connect()?);
        let request = pb::GetSettingsRequest { tenant_id: self.target.tenant.clone() };
        let answer = client.get_settings(request).await.map_err(|status| self.target.failure(status))?;
        let answer = answer.into_inner();
        if self.json {
            return terminal::say(&json::canonical("riskshare.v1.GetSettingsResponse", &answer)?);
        }
        terminal::say(&table(&self.target.tenant, &answer.settings.unwrap_or_default()))
    }
}

impl Set {
    async fn run(self) -> Ran {
        self.change.check()?;
        let mut client = SettingsServiceClient::new(self.target.connect()?);
        let answer = self.make(&mut client).await.map_err(|status| self.target.failure(status))?;
        if self.json {
            return terminal::say(&json::canonical("riskshare.v1.UpdateSettingsResponse", &answer)?);
        }
        let (drained, cut_off) = (answer.drained, answer.cut_off_replicas);
        let mut text = table(&self.target.tenant, &answer.settings.unwrap_or_default());
        if !cut_off.is_empty() {
            let names = cut_off.join(", ");
            text = format!("{text}\nThese replicas still held an answer and were cut off: {names}.\n");
        } else if !drained {
            text += "\nA caller that was too slow to read was cut off; at most one piece of its answer, 16 KiB, may \
                     still leave.\n";
        }
        terminal::say(&text)
    }

    async fn make(
        &self,
        client: &mut SettingsServiceClient<Connection>,
    ) -> Result<pb::UpdateSettingsResponse, Status> {
        for _ in 1..ATTEMPTS {
            match self.try_make(client).await {
                Err(status) if status.code() == Code::Aborted && self.etag.is_none() => {}
                settled => return settled,
            }
        }
        self.try_make(client).await
    }

    async fn try_make(
        &self,
        client: &mut SettingsServiceClient<Connection>,
    ) -> Result<pb::UpdateSettingsResponse, Status> {
        let tenant_id = self.target.tenant.clone();
        let read = client.get_settings(pb::GetSettingsRequest { tenant_id: tenant_id.clone() }).await?;
        let mut settings = read.into_inner().settings.unwrap_or_default();
        let etag = self.etag.clone().unwrap_or_else(|| settings.etag.clone());
        let update_mask = Some(FieldMask { paths: self.change.apply(&mut settings) });
        let request = pb::UpdateSettingsRequest { tenant_id, settings: Some(settings), update_mask, etag };
        Ok(client.update_settings(request).await?.into_inner())
    }
}

impl Change {
    /// Refuses flags that say nothing, or both one thing and another.
    fn check(&self) -> anyhow::Result<()> {
        if self.apply(&mut pb::Settings::default()).is_empty() {
            bail!("nothing to change; `riskshare settings set --help` lists what can be");
        }
        let mut seen = BTreeSet::new();
        let overrides = self.share.iter().chain(&self.hide).chain(&self.reset);
        let own = self.declare.iter().chain(&self.undeclare);
        if let Some(twice) = overrides.chain(own).find(|name| !seen.insert(*name)) {
            bail!("{} is named twice", visible(twice));
        }
        Ok(())
    }

    /// Changes the settings and returns the names of the fields that it changed.
    fn apply(&self, settings: &mut pb::Settings) -> Vec<String> {
        let mut mask = Vec::new();
        for (field, value, name) in [
            (&mut settings.data_sharing_enabled, self.data_sharing, "data_sharing_enabled"),
            (&mut settings.user_analytics_enabled, self.user_analytics, "user_analytics_enabled"),
            (&mut settings.alert_export_enabled, self.alert_export, "alert_export_enabled"),
            (&mut settings.anonymization_enabled, self.anonymization, "anonymization_enabled"),
        ] {
            if let Some(switch) = value {
                *field = switch == Switch::On;
                mask.push(name.to_owned());
            }
        }
        if let Some(days) = self.lookback {
            settings.lookback_days = days;
            mask.push("lookback_days".to_owned());
        }
        if !(self.share.is_empty() && self.hide.is_empty() && self.reset.is_empty()) {
            self.override_in(&mut settings.indicator_overrides);
            mask.push("indicator_overrides".to_owned());
        }
        if !(self.declare.is_empty() && self.undeclare.is_empty()) {
            self.declare_in(&mut settings.custom_exfiltration_indicators);
            mask.push("custom_exfiltration_indicators".to_owned());
        }
        mask
    }

    fn override_in(&self, overrides: &mut Vec<pb::IndicatorOverride>) {
        let now = overrides.drain(..).map(|one| (one.indicator, one.shared));
        let mut now: BTreeMap<String, bool> = now.collect();
        now.extend(self.share.iter().map(|name| (name.clone(), true)));
        now.extend(self.hide.iter().map(|name| (name.clone(), false)));
        now.retain(|name, _| !self.reset.contains(name));
        let new = now.into_iter().map(|(indicator, shared)| pb::IndicatorOverride { indicator, shared });
        overrides.extend(new);
    }

    fn declare_in(&self, names: &mut Vec<String>) {
        let mut now: BTreeSet<String> = names.drain(..).collect();
        now.extend(self.declare.iter().cloned());
        now.retain(|name| !self.undeclare.contains(name));
        names.extend(now);
    }
}

fn table(tenant: &str, settings: &pb::Settings) -> String {
    let switch = |on| if on { "on" } else { "off" }.to_owned();
    let list = |names: Vec<String>| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let of_kind = |shared| {
        let kept = settings.indicator_overrides.iter().filter(move |one| one.shared == shared);
        list(kept.map(|one| visible(&one.indicator)).collect())
    };
    let own = settings.custom_exfiltration_indicators.iter().map(|name| visible(name));
    let lines = [
        ("tenant", visible(tenant)),
        ("data sharing", switch(settings.data_sharing_enabled)),
        ("user analytics", switch(settings.user_analytics_enabled)),
        ("alert export", switch(settings.alert_export_enabled)),
        ("anonymization", switch(settings.anonymization_enabled)),
        ("lookback", format!("{} days", settings.lookback_days)),
        ("shared besides", of_kind(true)),
        ("hidden", of_kind(false)),
        ("declared", list(own.collect())),
        ("etag", visible(&settings.etag)),
    ];
    lines.map(|(label, value)| format!("{label:<15} {value}\n")).concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        change: Change,
    }

    fn change(flags: &[&str]) -> Change {
        Flags::parse_from(["set"].iter().chain(flags)).change
    }

    #[test]
    fn a_change_names_what_it_changes_and_leaves_the_rest() {
        let print = pb::IndicatorOverride { indicator: "Print".to_owned(), shared: false };
        let mut settings = pb::Settings {
            alert_export_enabled: true,
            indicator_overrides: vec![print],
            custom_exfiltration_indicators: vec!["Fax".to_owned()],
            ..Default::default()
        };
        let flags =
            ["--data-sharing", "on", "--share", "SpoDownload", "--reset", "Print", "--declare", "Drone"];
        let mask = change(&flags).apply(&mut settings);
        assert_eq!(mask, ["data_sharing_enabled", "indicator_overrides", "custom_exfiltration_indicators"]);
        assert!(settings.data_sharing_enabled && settings.alert_export_enabled);
        let shared = pb::IndicatorOverride { indicator: "SpoDownload".to_owned(), shared: true };
        assert_eq!(settings.indicator_overrides, [shared]);
        assert_eq!(settings.custom_exfiltration_indicators, ["Drone", "Fax"]);
    }

    #[test]
    fn flags_that_say_nothing_or_contradict_each_other_are_refused() {
        assert!(change(&[]).check().is_err());
        assert!(change(&["--share", "Print", "--hide", "Print"]).check().is_err());
        assert!(change(&["--lookback", "90"]).check().is_ok());
    }
}
