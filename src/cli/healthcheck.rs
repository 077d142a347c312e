//! `riskshare healthcheck`.

use crate::cli::Ran;
use crate::cli::connection::ServerAddress;
use crate::cli::failure::Failure;
use crate::cli::terminal;
use anyhow::anyhow;
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long the answer may take. A server that is well needs milliseconds.
const TIME_MAX: Duration = Duration::from_secs(3);

/// Ask a server whether it serves, such as from an image without a shell.
///
/// Asks grpc.health.v1 once and waits 3 seconds at most. The exit code is 0 when the answer is SERVING, and 1 for any
/// other answer and for none: container engines know no third.
///
/// Without --service all services are asked for together. `--service live` is SERVING as long as the process is there,
/// so it is right for whoever restarts it; ask for a service, such as riskshare.v1.AlertEnrichmentService, to learn
/// whether to send it calls.
#[derive(Args, Debug)]
pub struct Healthcheck {
    #[command(flatten)]
    server: ServerAddress,
    /// Instead of --server: speak no TLS to this address, such as that of health.listen.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "server")]
    address: Option<String>,
    /// Ask for this service, or for live, rather than for all services.
    #[arg(long, value_name = "NAME", default_value = "")]
    service: String,
}

impl Healthcheck {
    /// Asks.
    pub async fn run(mut self) -> Ran {
        if let Some(address) = &self.address {
            self.server.server = format!("http://{address}");
        }
        match self.ask().await {
            Ok(()) => terminal::say("SERVING\n"),
            Err(failure) => {
                eprintln!("{failure}");
                Ok(ExitCode::FAILURE)
            }
        }
    }

    async fn ask(&self) -> Result<(), Failure> {
        let mut client = HealthClient::new(self.server.connect()?);
        let request = HealthCheckRequest { service: self.service.clone() };
        let answer = tokio::time::timeout(TIME_MAX, client.check(request)).await;
        let server = &self.server.server;
        let answer = answer.map_err(|_| anyhow!("{server} does not answer within {TIME_MAX:?}"))?;
        match answer.map(|answer| answer.into_inner().status()) {
            Ok(ServingStatus::Serving) => Ok(()),
            Ok(status) => Err(anyhow!("{server}: {} is {}", self.asked_for(), status.as_str_name()).into()),
            Err(refusal) if refusal.code() == Code::NotFound => {
                Err(anyhow!("{server} knows no service of the name {}", terminal::visible(&self.service))
                    .into())
            }
            Err(refusal) => Err(self.server.failure(refusal)),
        }
    }

    fn asked_for(&self) -> &str {
        if self.service.is_empty() { "the whole of it" } else { &self.service }
    }
}
