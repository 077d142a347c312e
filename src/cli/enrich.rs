//! `riskshare enrich`.

use crate::cli::Ran;
use crate::cli::alert_view::AlertView;
use crate::cli::connection::Target;
use crate::cli::failure::Failure;
use crate::cli::input::Input;
use crate::cli::json;
use crate::cli::terminal;
use crate::cli::terminal::Paint;
use crate::intake;
use crate::pb;
use crate::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use anyhow::{Context, anyhow};
use clap::Args;

/// Enrich one DLP alert and print it with its actors.
///
/// Reads the alert as the system that raised it wrote it: Microsoft Graph security/alerts_v2, an Office 365
/// Management Activity API DLP record or RecordType 40 alert, or an OCSF Data Security Finding (docs/formats.md).
/// Prints the Insider risk severity column and, for each involved user, level, reasons and exfiltration activities.
/// For a tenant that does not share, the column is all there is: User data is not available.
#[derive(Args, Debug)]
pub struct Enrich {
    /// The alert's JSON; - is stdin.
    #[arg(value_name = "FILE")]
    file: Input,
    #[command(flatten)]
    target: Target,
    /// Print the answer, an EnrichAlertResponse, as proto JSON.
    #[arg(long)]
    json: bool,
    /// Show so many of each actor's latest activities: 1 to 200.
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=200))]
    activities: u8,
}

impl Enrich {
    /// Enriches the alert.
    pub async fn run(self) -> Ran {
        let raw_json = self.alert()?;
        let own = intake::dlp_alert(&raw_json).ok(); // The server judges; this is for the title alone.
        let answer = self.ask(raw_json).await?;
        if self.json {
            return terminal::say(&json::canonical("riskshare.v1.EnrichAlertResponse", &answer)?);
        }
        let view = AlertView { paint: Paint::for_stdout(), activities: self.activities.into() };
        terminal::say(&view.draw(own.as_ref(), &answer.alert.unwrap_or_default()))
    }

    /// Reads the one alert of the file.
    fn alert(&self) -> Result<String, Failure> {
        let file = self.file.read(intake::FILE_BYTES_MAX)?;
        let records = intake::records(&file).with_context(|| self.file.to_string())?;
        match records.as_slice() {
            [Ok(alert)] => Ok((*alert).to_owned()),
            [Err(error)] => Err(anyhow!("{}: {error}", self.file).into()),
            several => Err(anyhow!("{}: holds {} records; one is enriched", self.file, several.len()).into()),
        }
    }

    async fn ask(&self, raw_json: String) -> Result<pb::EnrichAlertResponse, Failure> {
        let request = pb::EnrichAlertRequest {
            tenant_id: self.target.tenant.clone(),
            alert: Some(pb::DlpAlert { raw_json, ..Default::default() }),
            view: pb::EnrichmentView::Full.into(),
            activity_page_size: self.activities.into(),
        };
        let mut client = AlertEnrichmentServiceClient::new(self.target.connect()?);
        let answer = client.enrich_alert(request).await.map_err(|status| self.target.failure(status))?;
        Ok(answer.into_inner())
    }
}
