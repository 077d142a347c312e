//! `riskshare export`.

use crate::cli::Ran;
use crate::cli::connection::Target;
use crate::cli::terminal;
use crate::pb;
use crate::pb::risk_alert_service_client::RiskAlertServiceClient;
use clap::Args;
use std::process::ExitCode;

/// Print a tenant's risk alerts as CSV, the newest first.
///
/// Users are pseudonyms as long as the tenant's anonymization is on. Needs the role of an insider risk analyst or
/// investigator, and is refused while the tenant does not share.
#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    target: Target,
    /// Print alerts of this policy.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    policy: String,
    /// Print the oldest first.
    #[arg(long)]
    oldest_first: bool,
}

impl Export {
    /// Prints it, page by page.
    pub async fn run(self) -> Ran {
        let mut client = RiskAlertServiceClient::new(self.target.connect()?);
        let mut request = pb::ExportRiskAlertsRequest {
            tenant_id: self.target.tenant.clone(),
            policy_id: self.policy.clone(),
            oldest_first: self.oldest_first,
            ..Default::default()
        };
        loop {
            let answer = client.export_risk_alerts(request.clone()).await;
            let answer = answer.map_err(|status| self.target.failure(status))?.into_inner();
            terminal::say(&answer.csv)?;
            if answer.next_page_token.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            request.page_token = answer.next_page_token;
        }
    }
}
