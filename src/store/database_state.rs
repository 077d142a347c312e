//! What an operator should know of a database before replicas use it: how durable a commit is there, and what time it is.

use crate::store::postgres::Address;
use chrono::{DateTime, Utc};
use std::net::IpAddr;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls, Row};

/// How long an attempt to connect, and the question, may take.
const TIME_MAX: Duration = Duration::from_secs(5);

const QUESTION: &str = "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), \
     current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on', pg_is_in_recovery(), \
     current_setting('default_transaction_read_only') = 'on', current_setting('max_connections')::bigint, \
     (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// How a database is set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseState {
    /// What a commit waits for: `off`, `local`, `remote_write`, `on` or `remote_apply`.
    pub synchronous_commit: String,
    /// Which standbys it waits for. Empty: none.
    pub synchronous_standby_names: String,
    /// What was committed is on disk after a power cut.
    pub syncs: bool,
    /// A page that was half written at a power cut can be mended.
    pub mends_pages: bool,
    /// It is a standby: nothing can be written.
    pub is_standby: bool,
    /// Nothing can be written unless a session asks for it.
    pub is_read_only: bool,
    /// How many connections it takes, from everybody.
    pub connections_max: i64,
    /// What time it was there when it answered.
    pub time: DateTime<Utc>,
    /// The connection is not secured although it leaves this machine.
    pub is_in_clear: bool,
}

/// Why nothing is known of a database.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LookError {
    /// The address is none.
    #[error("postgres.url is no address of a database")]
    Address,
    /// The file of authorities cannot be used.
    #[error("postgres.ca cannot be used")]
    Authorities,
    /// It cannot be reached in time.
    #[error("the database cannot be reached")]
    Unreachable,
    /// It refused, for the reason of that SQLSTATE.
    #[error("the database refused ({0})")]
    Refused(String),
}

impl DatabaseState {
    /// Asks a database. Reads nothing but its settings, and writes nothing.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn of(address: &Address) -> Result<Self, LookError> {
        let asked = tokio::time::timeout(2 * TIME_MAX, ask(address)).await;
        asked.unwrap_or(Err(LookError::Unreachable))
    }

    fn read(row: &Row, is_in_clear: bool) -> Result<Self, LookError> {
        let refused = |error: tokio_postgres::Error| fault(&error);
        Ok(Self {
            synchronous_commit: row.try_get(0).map_err(refused)?,
            synchronous_standby_names: row.try_get(1).map_err(refused)?,
            syncs: row.try_get(2).map_err(refused)?,
            mends_pages: row.try_get(3).map_err(refused)?,
            is_standby: row.try_get(4).map_err(refused)?,
            is_read_only: row.try_get(5).map_err(refused)?,
            connections_max: row.try_get(6).map_err(refused)?,
            time: DateTime::from_timestamp_millis(row.try_get(7).map_err(refused)?).unwrap_or_default(),
            is_in_clear,
        })
    }
}

async fn ask(address: &Address) -> Result<DatabaseState, LookError> {
    let mut config: Config = address.url.parse().map_err(|_| LookError::Address)?;
    config.application_name("riskshare doctor").connect_timeout(TIME_MAX);
    let is_in_clear = address.ca.is_none() && config.get_hosts().iter().any(leaves_the_machine);
    let client = connect(&mut config, address).await?;
    let row = client.query_one(QUESTION, &[]).await.map_err(|error| fault(&error))?;
    DatabaseState::read(&row, is_in_clear)
}

async fn connect(config: &mut Config, address: &Address) -> Result<Client, LookError> {
    let Some(tls) = address.tls().map_err(|_| LookError::Authorities)? else {
        let (client, connection) = config.connect(NoTls).await.map_err(|error| fault(&error))?;
        tokio::spawn(connection); // Ends with the client.
        return Ok(client);
    };
    config.ssl_mode(SslMode::Require);
    let (client, connection) = config.connect(tls).await.map_err(|error| fault(&error))?;
    tokio::spawn(connection);
    Ok(client)
}

fn leaves_the_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name != "localhost" && !name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
        Host::Unix(_) => false,
    }
}

/// A driver's messages can hold values, so only its code is told.
fn fault(error: &tokio_postgres::Error) -> LookError {
    error.code().map_or(LookError::Unreachable, |code| LookError::Refused(code.code().to_owned()))
}
