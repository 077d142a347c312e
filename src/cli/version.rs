//! `riskshare version`.

use crate::cli::Ran;
use crate::cli::terminal;
use clap::Args;

/// Print the version of the program and of the API that it speaks.
#[derive(Args, Debug)]
pub struct Version {}

impl Version {
    /// Prints them.
    #[expect(clippy::unused_self, reason = "as the other commands")]
    pub fn run(self) -> Ran {
        terminal::say(&format!("riskshare {}\nAPI riskshare.v1\n", env!("CARGO_PKG_VERSION")))
    }
}
