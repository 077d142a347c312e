//! The program. See `riskshare --help`.

use clap::Parser;
use riskshare::cli::Cli;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}
