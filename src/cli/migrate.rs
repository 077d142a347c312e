//! `riskshare migrate`.

use crate::cli::Ran;
use crate::cli::terminal;
use crate::config::Sources;
use crate::store::postgres::{SCHEMA_VERSION, migrate};
use anyhow::anyhow;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bring the schema of the PostgreSQL database to this program's version.
///
/// `serve` refuses a schema of another version. Run this once for each release, before its replicas start; it may run
/// several times and in several places. Replicas of the version before must be stopped. It never goes back: make a backup.
#[derive(Args, Debug)]
pub struct Migrate {
    /// Read settings from this TOML file; RISKSHARE_CONFIG without it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The database: postgres://user:password@host/database.
    #[arg(long, value_name = "URL")]
    postgres_url: Option<String>,
    /// Read that from this file.
    #[arg(long, value_name = "FILE")]
    postgres_url_file: Option<String>,
    /// Speak TLS with the server, whose certificate an authority in this PEM file signed.
    #[arg(long, value_name = "FILE")]
    postgres_ca: Option<String>,
}

impl Migrate {
    /// Migrates.
    pub async fn run(self) -> Ran {
        let flags = [
            ("postgres.url", self.postgres_url),
            ("postgres.url_file", self.postgres_url_file),
            ("postgres.ca", self.postgres_ca),
        ];
        let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let config = Sources::of_process(flags, self.config).load()?;
        if !config.postgres.is_used() {
            return Err(anyhow!("no database is named: set postgres.url or postgres.url_file").into());
        }
        let found = migrate(&config.postgres.address()?).await?;
        terminal::say(&match found {
            SCHEMA_VERSION => format!("the schema is of version {SCHEMA_VERSION} already\n"),
            found => format!("the schema was of version {found} and is of version {SCHEMA_VERSION} now\n"),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
