//! The program. See `riskshare --help`.

use std::process::ExitCode;

/// Half of what an answer cost was the system's allocator: `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    riskshare::cli::run(std::env::args_os()).await
}
