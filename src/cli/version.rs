//! `riskshare version`.

use crate::cli::Ran;
use crate::cli::terminal;
use crate::store::embedded;
use crate::store::postgres;
use clap::Args;
use serde_json::json;

/// The package of the contract.
const PROTO_PACKAGE: &str = "riskshare.v1";

/// Print the version of the program and of what it speaks and keeps.
///
/// With --json also the commit that was checked out when it was built, null where that was not known; the version of the PostgreSQL
/// schema that it needs (`riskshare migrate` makes it); and the version of the embedded engine's folder. A program
/// opens no data of another version.
#[derive(Args, Debug)]
pub struct Version {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Version {
    /// Prints them.
    pub fn run(self) -> Ran {
        let version = env!("CARGO_PKG_VERSION");
        if !self.json {
            return terminal::say(&format!("riskshare {version}\nAPI {PROTO_PACKAGE}\n"));
        }
        let all = json!({
            "name": "riskshare",
            "version": version,
            "commit": option_env!("RISKSHARE_COMMIT"),
            "proto_package": PROTO_PACKAGE,
            "schema_version": postgres::SCHEMA_VERSION,
            "storage_format_version": embedded::FORMAT_VERSION,
        });
        terminal::say(&format!("{all:#}\n"))
    }
}
