//! The program. See `riskshare --help`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    riskshare::cli::run(std::env::args_os()).await
}
