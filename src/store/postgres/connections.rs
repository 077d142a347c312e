//! A replica's connections to the database, some for each use: whoever keeps one while it waits for another asks for one of
//! a use below its own, so nobody waits in a circle, and turning sharing off never waits behind answers.

use super::error::{Fault, OpenError};
use crate::transport::tls;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::NoTls;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What sessions are called, before the name of their replica.
pub const APPLICATION: &str = "riskshare";
/// How long a caller waits for a connection.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// A connection on which nothing was heard for so long is looked after, so often and at that interval.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const PROBES: u32 = 2;

/// The database ends a session that has begun a change and does nothing for so long: a replica that is frozen in the middle
/// of one holds the others up no longer.
const IDLE_MAX_MS: u64 = 4_000;

/// Where the database is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// As a URL or in key-value form, with user and password where they are needed.
    pub url: String,
    /// The authorities that sign the server's certificate, in PEM; TLS is spoken with them alone.
    pub ca: Option<PathBuf>,
    /// How many connections a replica uses.
    pub connections: usize,
    /// The replica's name, for people.
    pub replica: String,
    /// Turning sharing off waits for every answer, however long, and ends none.
    pub strict: bool,
}

impl Address {
    /// Returns how to reach it.
    ///
    /// # Errors
    /// When the address is none.
    pub fn config(&self) -> Result<tokio_postgres::Config, OpenError> {
        let mut config: tokio_postgres::Config = self.url.parse().map_err(|_| OpenError::Address)?;
        config.application_name(format!("{APPLICATION} {}", self.replica)).connect_timeout(CONNECTION_WAIT);
        config.keepalives_idle(SILENCE_MAX).keepalives_interval(SILENCE_MAX).keepalives_retries(PROBES);
        config.tcp_user_timeout(SILENCE_MAX * PROBES);
        let options = config.get_options().unwrap_or_default().to_owned();
        // Plans are made once: with one partition for each week, making one takes longer than most statements do.
        config.options(format!(
            "{options} -c idle_in_transaction_session_timeout={IDLE_MAX_MS} -c plan_cache_mode=force_generic_plan"
        ));
        if self.ca.is_some() {
            config.ssl_mode(SslMode::Require);
        }
        Ok(config)
    }

    /// Returns what speaks TLS with the database, where that is to be spoken.
    ///
    /// # Errors
    /// When the file of authorities cannot be used.
    pub fn tls(&self) -> Result<Option<MakeRustlsConnect>, OpenError> {
        let Some(path) = &self.ca else { return Ok(None) };
        let config = tls::believing(path).map_err(|error| OpenError::Authorities(error.of_authorities()))?;
        Ok(Some(MakeRustlsConnect::new(config)))
    }

    fn manager(&self) -> Result<Manager, OpenError> {
        let (config, how) = (self.config()?, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        Ok(match self.tls()? {
            None => Manager::from_config(config, NoTls, how),
            Some(tls) => Manager::from_config(config, tls, how),
        })
    }
}

/// The connections of a replica. Each is made when it is first needed.
pub struct Connections {
    /// A hold keeps one until its answer is handed over. Meanwhile the answer can need one of those below.
    answers: Pool,
    /// For everything that needs no other while it has one: commits, lists, names.
    work: Pool,
    /// A change of settings keeps one, and asks beside it who holds the switch.
    changes: Pool,
    /// For lines of the audit log, written by one writer, and for short questions about the switch.
    aside: Pool,
}

impl Connections {
    /// Returns what connects when it is asked to.
    ///
    /// # Errors
    /// When the address is none, or its authorities cannot be used.
    pub fn to(address: &Address) -> Result<Self, OpenError> {
        let shares = Shares::of(address.connections);
        let pool = |size| pool(address, size);
        Ok(Self {
            answers: pool(shares.answers)?,
            work: pool(shares.work)?,
            changes: pool(shares.changes)?,
            aside: pool(shares.aside)?,
        })
    }

    /// Waits for one that an answer keeps.
    pub async fn for_answer(&self) -> Result<Object, Fault> {
        Ok(self.answers.get().await?)
    }

    /// Waits for one by whose user no other is asked for until it is given back.
    pub async fn for_work(&self) -> Result<Object, Fault> {
        Ok(self.work.get().await?)
    }

    /// Waits for one that a change of settings keeps.
    pub async fn for_change(&self) -> Result<Object, Fault> {
        Ok(self.changes.get().await?)
    }

    /// Waits for one that is soon given back.
    pub async fn aside(&self) -> Result<Object, Fault> {
        Ok(self.aside.get().await?)
    }
}

/// How many connections each use has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shares {
    answers: usize,
    work: usize,
    changes: usize,
    aside: usize,
}

impl Shares {
    /// Deals them out: to each use one, and of more a quarter to work, an eighth to changes, the rest to answers.
    fn of(connections: usize) -> Self {
        let (work, changes) = ((connections / 4).max(1), (connections / 8).max(1));
        let aside = if connections < 8 { 1 } else { 2 };
        let answers = connections.saturating_sub(work + changes + aside).max(1);
        Self { answers, work, changes, aside }
    }
}

fn pool(address: &Address, size: usize) -> Result<Pool, OpenError> {
    let timeouts = Timeouts {
        wait: Some(CONNECTION_WAIT),
        create: Some(CONNECTION_WAIT),
        recycle: Some(CONNECTION_WAIT),
    };
    let pool = Pool::builder(address.manager()?).max_size(size).timeouts(timeouts);
    pool.runtime(Runtime::Tokio1).build().map_err(|_| OpenError::Address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_use_has_a_connection_and_together_they_have_no_more_than_there_are() {
        for connections in 4..=1_000 {
            let Shares { answers, work, changes, aside } = Shares::of(connections);
            assert!([answers, work, changes, aside].iter().all(|share| *share > 0), "{connections}");
            assert_eq!(answers + work + changes + aside, connections);
        }
        assert_eq!(Shares::of(32), Shares { answers: 18, work: 8, changes: 4, aside: 2 });
    }
}
