//! Where the database is, for the engine that several replicas share.

use crate::config::{ConfigError, bound, named};
use crate::store::postgres::Address;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The database. Without one the data live in `data_dir`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// `postgres://user:password@host/database`, or `host=... user=...`. Empty: the embedded engine.
    pub url: String,
    /// A file that holds it, rather: the URL has a password.
    pub url_file: PathBuf,
    /// The authorities that sign the server's certificate. Empty: TLS is not spoken.
    pub ca: PathBuf,
    /// How many connections this replica uses.
    pub connections: usize,
    /// What this replica is called where a switch names those that it cut off. Empty: by its process id.
    pub replica: String,
    /// Turning sharing off waits for every answer, however long.
    pub strict_switch: bool,
}

/// Leaves the password out.
impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres")
            .field("ca", &self.ca)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            url: String::new(),
            url_file: PathBuf::new(),
            ca: PathBuf::new(),
            connections: 32,
            replica: String::new(),
            strict_switch: false,
        }
    }
}

impl Postgres {
    /// Says whether there is a database.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.url.is_empty() || named(&self.url_file).is_some()
    }

    /// Returns where it is.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn address(&self) -> Result<Address, ConfigError> {
        let read = |path: &PathBuf| {
            let unreadable = |cause| ConfigError::Unreadable { path: path.clone(), cause };
            std::fs::read_to_string(path).map_err(unreadable)
        };
        let url = match named(&self.url_file) {
            Some(_) => read(&self.url_file)?.trim().to_owned(),
            None => self.url.clone(),
        };
        let ca = named(&self.ca).map(|_| self.ca.clone());
        let own = || format!("process {}", std::process::id());
        let replica = if self.replica.is_empty() { own() } else { self.replica.clone() };
        Ok(Address { url, ca, connections: self.connections, replica, strict: self.strict_switch })
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        bound(
            "postgres.url",
            self.url.is_empty() || named(&self.url_file).is_none(),
            "must be empty when postgres.url_file names a file",
        )?;
        bound("postgres.replica", self.replica.len() <= 48, "must be at most 48 bytes")
    }
}
