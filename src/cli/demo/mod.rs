//! `riskshare demo`.
use crate::cli::Ran;
/// Demo
#[derive(clap::Args, Debug)]
pub struct Demo {}
impl Demo {
    /// x
    pub async fn run(self) -> Ran {
        crate::cli::terminal::say("x")
    }
}
