//! The schema and its versions. Forward only: each file is applied once, in one transaction.

use super::error::{Fault, OpenError};
use super::{Address, Shared};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, GenericClient, NoTls};

/// The version that this program needs.
pub const SCHEMA_VERSION: i64 = 1;

const FILES: [&str; 1] = [include_str!("migrations/0001.sql")];
const META: &str = "CREATE TABLE IF NOT EXISTS riskshare_meta (name text PRIMARY KEY, value bytea NOT NULL)";
/// What marks a store that was moved elsewhere, or is being moved.
pub const MOVED: &str = "moved";
/// What marks a store into which another one is being moved, and says how far that came.
pub const MOVING: &str = "moving";
/// The key of page tokens.
pub const TOKEN_KEY: &str = "token_key";
/// Keeps two migrations from running at the same time.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7405177)";

/// Brings the schema of a database to this program's version and returns the version that it had.
///
/// # Errors
/// When the database cannot be reached, refuses, or is newer.
pub async fn migrate(address: &Address) -> Result<i64, OpenError> {
    let config = address.config()?;
    let (mut client, connection): (_, JoinHandle<_>) = match address.tls()? {
        None => {
            let (client, connection) = config.connect(NoTls).await.map_err(Fault::from)?;
            (client, tokio::spawn(connection))
        }
        Some(tls) => {
            let (client, connection) = config.connect(tls).await.map_err(Fault::from)?;
            (client, tokio::spawn(connection))
        }
    };
    let found = apply(&mut client).await;
    drop(client);
    let _ = connection.await;
    found
}

async fn apply(client: &mut Client) -> Result<i64, OpenError> {
    let change = client.transaction().await.map_err(Fault::from)?;
    change.batch_execute(LOCK).await.map_err(Fault::from)?;
    change.batch_execute(META).await.map_err(Fault::from)?;
    let found = version(&change).await?;
    if found > SCHEMA_VERSION {
        return Err(OpenError::Schema { found, needed: SCHEMA_VERSION });
    }
    let done = usize::try_from(found).unwrap_or_default();
    for file in FILES.iter().skip(done) {
        change.batch_execute(file).await.map_err(Fault::from)?;
    }
    set_meta(&change, "version", &SCHEMA_VERSION.to_be_bytes()).await?;
    change.commit().await.map_err(Fault::from)?;
    Ok(found)
}

/// Checks that the schema is this program's, and that the store may be served.
pub async fn check(client: &Client) -> Result<(), OpenError> {
    check_version(client).await?;
    if meta(client, MOVED).await?.is_some() {
        return Err(OpenError::Moved);
    }
    if meta(client, MOVING).await?.is_some() {
        return Err(OpenError::Unfinished);
    }
    Ok(())
}

/// Checks that the schema is this program's.
pub async fn check_version(client: &Client) -> Result<(), OpenError> {
    let exists = "SELECT to_regclass('riskshare_meta') IS NOT NULL";
    let exists: bool = client.query_one(exists, &[]).await.map_err(Fault::from)?.get(0);
    let found = if exists { version(client).await? } else { 0 };
    let needed = SCHEMA_VERSION;
    if found == needed { Ok(()) } else { Err(OpenError::Schema { found, needed }) }
}

async fn version(client: &impl GenericClient) -> Result<i64, Fault> {
    let Some(bytes) = meta(client, "version").await? else { return Ok(0) };
    Ok(i64::from_be_bytes(bytes.try_into().map_err(|_| Fault::Malformed)?))
}

/// Reads what is noted of the whole database.
pub async fn meta(client: &impl GenericClient, name: &str) -> Result<Option<Vec<u8>>, Fault> {
    let row = client.query_opt("SELECT value FROM riskshare_meta WHERE name = $1", &[&name]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Notes it, in the place of what was noted before.
pub async fn set_meta(client: &impl GenericClient, name: &str, value: &[u8]) -> Result<(), Fault> {
    let upsert = "INSERT INTO riskshare_meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2";
    client.execute(upsert, &[&name, &value]).await?;
    Ok(())
}

/// Forgets it.
pub async fn clear_meta(client: &impl GenericClient, name: &str) -> Result<(), Fault> {
    client.execute("DELETE FROM riskshare_meta WHERE name = $1", &[&name]).await?;
    Ok(())
}

/// Returns the key of page tokens, which whoever comes first makes.
pub async fn token_key(shared: &Shared) -> Result<[u8; 32], Fault> {
    let client = shared.connections.for_work().await?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|_| Fault::Malformed)?;
    let offered: &[u8] = &key;
    let insert = "INSERT INTO riskshare_meta VALUES ($1, $2) ON CONFLICT DO NOTHING";
    client.execute(insert, &[&TOKEN_KEY, &offered]).await?;
    let key = meta(&**client, TOKEN_KEY).await?.ok_or(Fault::Malformed)?;
    key.try_into().map_err(|_| Fault::Malformed)
}
