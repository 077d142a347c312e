//! The suite of all engines over this one, with a database server of the tests' own.

#[path = "../../../tests/postgres/mod.rs"]
mod server;

use super::{Address, PostgresStore, migrate};
use crate::domain::risk_alert::evaluate;
use crate::store::Store;
use crate::store::conformance::Place;
use server::Database;
use std::sync::{Arc, LazyLock};

/// An empty database with the schema.
static TEMPLATE: LazyLock<Database> = LazyLock::new(|| {
    let database = Database::like(None);
    let address = address(&database);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let migrated = std::thread::spawn(move || runtime.block_on(migrate(&address)));
    assert_eq!(migrated.join().unwrap().unwrap(), 0);
    database
});

fn address(database: &Database) -> Address {
    Address { url: database.url(), ca: None, connections: 16, replica: "test".to_owned(), strict: false }
}

impl Place for Database {
    const PAUSED: bool = false;

    fn new() -> Self {
        Self::like(Some(&TEMPLATE))
    }

    fn open(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::lazy(&address(self), evaluate).unwrap())
    }
}

crate::conformance!(Database, paused = false);

#[tokio::test]
async fn a_schema_is_made_once_and_another_is_refused() {
    let database = Database::like(None);
    let address = address(&database);
    assert!(PostgresStore::open(&address).await.is_err(), "there is none");
    assert_eq!(migrate(&address).await.unwrap(), 0);
    assert_eq!(migrate(&address).await.unwrap(), super::SCHEMA_VERSION);
    let store = PostgresStore::open(&address).await.unwrap();
    let client = store.shared.client().await.unwrap();
    let newer: &[u8] = &99_i64.to_be_bytes();
    client.execute("UPDATE riskshare_meta SET value = $1 WHERE name = 'version'", &[&newer]).await.unwrap();
    let refused = PostgresStore::open(&address).await.err().unwrap().to_string();
    assert!(refused.contains("version 99") && refused.contains("riskshare migrate"), "{refused}");
    assert!(migrate(&address).await.is_err(), "it never goes back");
}
