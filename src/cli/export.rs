//! `riskshare export`.

use crate::cli::Ran;
use crate::cli::connection::{Connection, Target};
use crate::cli::terminal;
use crate::pb;
use crate::pb::risk_alert_service_client::RiskAlertServiceClient;
use clap::Args;
use std::process::ExitCode;

/// Print a tenant's risk alerts as CSV, the newest first.
///
/// Users are pseudonyms as long as the tenant's anonymization is on. Needs the role of an insider risk analyst or
/// investigator, and is refused while the tenant does not share.
///
/// With --user it prints all alerts of the named users instead, the oldest first, with their histories and in clear: one
/// JSON object a line. That needs an investigator and a --reason, which the audit log keeps.
#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    target: Target,
    /// Print alerts of this policy.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    policy: String,
    /// Print the oldest first.
    #[arg(long, conflicts_with = "user")]
    oldest_first: bool,
    /// Print all alerts of the user with this UPN, in clear; may be given several times.
    #[arg(long, value_name = "UPN", requires = "reason", conflicts_with = "policy")]
    user: Vec<String>,
    /// Say why, for the audit log.
    #[arg(long, value_name = "TEXT", requires = "user")]
    reason: Option<String>,
}

impl Export {
    /// Prints it, page by page.
    pub async fn run(self) -> Ran {
        let client = RiskAlertServiceClient::new(self.target.connect()?);
        if self.user.is_empty() { self.all(client).await } else { self.users(client).await }
    }

    async fn all(self, mut client: RiskAlertServiceClient<Connection>) -> Ran {
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
    async fn users(self, mut client: RiskAlertServiceClient<Connection>) -> Ran {
        let named = |upn: &String| pb::UserIdentity { upn: upn.clone(), ..Default::default() };
        let mut request = pb::ExportUserRiskAlertsRequest {
            tenant_id: self.target.tenant.clone(),
            users: self.user.iter().map(named).collect(),
            reason: self.reason.clone().unwrap_or_default(),
            ..Default::default()
        };
        loop {
            let answer = client.export_user_risk_alerts(request.clone()).await;
            let answer = answer.map_err(|status| self.target.failure(status))?.into_inner();
            terminal::say(&answer.json_lines)?;
            if answer.next_page_token.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            request.page_token = answer.next_page_token;
        }
    }
}
