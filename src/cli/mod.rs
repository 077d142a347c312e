//! What a person types. One file a command; all but `serve` talk to a server as any caller would.

pub mod serve;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Shares insider risk severity with DLP alert queues and Defender incidents, behind a tenant's data-sharing switch.
#[derive(Parser, Debug)]
#[command(name = "riskshare", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve until told to stop (SIGINT, SIGTERM).
    Serve(serve::Serve),
}

impl Cli {
    /// Runs the command and returns the program's exit code; what went wrong is on stderr.
    pub async fn run(self) -> ExitCode {
        let ran = match self.command {
            Command::Serve(serve) => serve.run().await,
        };
        match ran {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("riskshare: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}
