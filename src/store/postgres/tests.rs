//! The suite of all engines over this one, with a database server of the tests' own.

#[path = "../../../tests/postgres/mod.rs"]
mod server;

use super::{Address, PostgresSource, PostgresStore, PostgresTarget, migrate};
use crate::domain::facts::Outcome;
use crate::domain::risk_alert::evaluate;
use crate::domain::settings::Settings;
use crate::domain::time::UtcDay;
use crate::domain::user::Identity;
use crate::store::Store;
use crate::store::conformance;
use crate::store::conformance::{
    Movable, Place, a_store_that_was_moved_goes_on_as_if_it_was_not, commit, copied, decided, did, person,
    sharing, tenant, today, two_engines_say_the_same,
};
use crate::store::embedded::tests::Here;
use crate::store::moving::{Source, Target};
use server::Database;
use smallvec::SmallVec;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

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
        Arc::new(hasty(self))
    }
}

/// Opens a store that turns sharing off without a wait: no story loses a session.
fn hasty(database: &Database) -> PostgresStore {
    let mut store = PostgresStore::lazy(&address(database), evaluate).unwrap();
    Arc::get_mut(&mut store.shared).unwrap().guard_age_max = Duration::ZERO;
    store
}

#[async_trait::async_trait(?Send)]
impl Movable for Database {
    async fn source(&self) -> Box<dyn Source> {
        Box::new(PostgresSource::open(&address(self)).await.unwrap())
    }

    async fn target(&self) -> Box<dyn Target> {
        Box::new(PostgresTarget::open(&address(self)).await.unwrap())
    }
}

crate::conformance!(Database, paused = false);

#[test]
fn says_the_same_as_the_embedded_engine() {
    two_engines_say_the_same::<Here, Database>();
}

#[test]
fn a_store_that_was_moved_here_and_back_goes_on_as_if_it_was_not() {
    a_store_that_was_moved_goes_on_as_if_it_was_not::<Here, Database>();
}

#[tokio::test]
async fn a_move_that_is_given_up_leaves_the_source_as_it_was() {
    conformance::a_move_that_is_given_up_leaves_the_source_as_it_was::<Here, Database>().await;
    conformance::a_move_that_is_given_up_leaves_the_source_as_it_was::<Database, Here>().await;
}

#[tokio::test]
async fn a_schema_is_made_once_and_another_is_refused() {
    let database = Database::like(None);
    let address = address(&database);
    assert!(PostgresStore::open(&address).await.is_err(), "there is none");
    assert_eq!(migrate(&address).await.unwrap(), 0);
    assert_eq!(migrate(&address).await.unwrap(), super::SCHEMA_VERSION);
    let store = PostgresStore::open(&address).await.unwrap();
    let client = store.shared.connections.for_work().await.unwrap();
    let newer: &[u8] = &99_i64.to_be_bytes();
    client.execute("UPDATE riskshare_meta SET value = $1 WHERE name = 'version'", &[&newer]).await.unwrap();
    let refused = PostgresStore::open(&address).await.err().unwrap().to_string();
    assert!(refused.contains("version 99") && refused.contains("riskshare migrate"), "{refused}");
    assert!(migrate(&address).await.is_err(), "it never goes back");
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_no_transaction_behind() {
    let database = Database::like(Some(&TEMPLATE));
    let one = Address { connections: 4, ..address(&database) };
    let store = PostgresStore::lazy(&one, evaluate).unwrap();
    let other = PostgresStore::lazy(&one, evaluate).unwrap();
    let tenant = tenant(0);
    store.change_settings(tenant, 0, sharing(), decided()).await.unwrap();
    for polls in 1..40 {
        let gone_away = async {
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            hold = store.hold(tenant) => drop(hold.unwrap()),
            () = gone_away => {}
        }
        let (name, kept) = (format!("note {polls}"), Some("kept"));
        assert!(store.put_note(tenant, &name, None, "kept").await.unwrap());
        assert_eq!(other.note(tenant, &name).await.unwrap().as_deref(), kept, "after {polls} polls");
    }
}

#[tokio::test]
async fn answers_that_keep_all_connections_hold_up_neither_their_audit_lines_nor_the_switch() {
    let database = Database::like(Some(&TEMPLATE));
    let few = Address { connections: 4, ..address(&database) };
    let store = PostgresStore::lazy(&few, evaluate).unwrap();
    store.change_settings(tenant(0), 0, sharing(), decided()).await.unwrap();
    store.change_settings(tenant(1), 0, sharing(), decided()).await.unwrap();
    let hold = store.hold(tenant(0)).await.unwrap();
    let passing = hold.pass().unwrap();
    let mut another = std::pin::pin!(store.hold(tenant(0)));
    let waits = std::future::poll_fn(|context| Poll::Ready(another.as_mut().poll(context).is_pending()));
    assert!(waits.await, "no connection is left for a second answer");
    let other = tenant(1);
    store.record(tenant(0), decided()).await.unwrap();
    store.named(tenant(0), &[]).await.unwrap();
    assert_eq!(store.settings(other).await.unwrap().version, 1);
    let off = store.change_settings(other, 1, Settings::default(), decided()).await.unwrap();
    assert!(off.drained && off.cut_off.is_empty());
    drop(passing);
    drop(hold);
    assert!(another.await.is_ok());
}

#[tokio::test]
async fn a_hold_that_is_given_up_holds_up_no_switch_however_strict() {
    let database = Database::like(Some(&TEMPLATE));
    let strict = Address { strict: true, ..address(&database) };
    let (store, other) = [&strict; 2].map(|address| PostgresStore::lazy(address, evaluate).unwrap()).into();
    store.change_settings(tenant(0), 0, sharing(), decided()).await.unwrap();
    let hold = store.hold(tenant(0)).await.unwrap();
    let passing = hold.pass().unwrap();
    hold.release().await;
    let mut off = std::pin::pin!(other.change_settings(tenant(0), 1, Settings::default(), decided()));
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut off).await;
    assert!(waited.is_err(), "bytes are on their way");
    drop(passing);
    hold.release().await;
    assert!(off.await.unwrap().drained);
    assert!(store.read(&hold, &[]).await.is_err(), "nothing is read under it any more");
}

#[tokio::test]
async fn who_is_asked_for_with_the_hold_is_read_in_its_round_trip_where_the_tenant_shares() {
    let database = Database::like(Some(&TEMPLATE));
    let store = PostgresStore::lazy(&address(&database), evaluate).unwrap();
    let (ann, bob) = (person("ann"), person("bob"));
    let everybody = [&ann, &bob];
    let shared: Arc<dyn Store> = database.open();
    commit(&shared, tenant(0), vec![did(person("ann"), copied("1", 1))]).await;
    let read_ahead = async |people: &[&Identity]| {
        let hold = store.hold_to_read(tenant(0), people).await.unwrap();
        let rows = super::switch::read_ahead(&hold).map(|ahead| ahead.rows.len());
        // Nobody may take it for what a later reader asks.
        let found = store.read(&hold, people).await.unwrap().found;
        (rows, found.iter().map(SmallVec::len).collect::<Vec<_>>())
    };
    assert_eq!(read_ahead(&everybody).await, (None, vec![1, 0]), "it does not share");
    shared.change_settings(tenant(0), 0, sharing(), decided()).await.unwrap();
    // The settings, the key, the user, the activity; and nothing of the activity once they are known.
    store.shared.known.forget(tenant(0));
    assert_eq!(read_ahead(&everybody).await, (Some(4), vec![1, 0]));
    assert_eq!(read_ahead(&everybody).await, (Some(3), vec![1, 0]));

    let hold = store.hold_to_read(tenant(0), &everybody).await.unwrap();
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(database.ask(ended).is_some());
    let found = store.read(&hold, &everybody).await.unwrap().found;
    assert_eq!((found[0].len(), found[1].len()), (1, 0), "without the database");
    assert!(store.read(&hold, &everybody).await.is_err(), "with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn weeks_come_and_go_while_others_read_and_commit() {
    let database = Database::like(Some(&TEMPLATE));
    let stores: [Arc<dyn Store>; 2] = [database.open(), database.open()];
    for number in 0..4 {
        stores[0].change_settings(tenant(number), 0, sharing(), decided()).await.unwrap();
    }
    let story = |number: u128, store: Arc<dyn Store>| async move {
        for week in 0..16 {
            let id = format!("{number} {week}");
            commit(&store, tenant(number), vec![did(person("ann"), copied(&id, week * 7))]).await;
            let hold = store.hold(tenant(number)).await.unwrap();
            store.read(&hold, &[&person("ann")]).await.unwrap();
        }
    };
    let stories =
        (0..8).map(|turn| tokio::spawn(story(turn % 4, Arc::clone(&stores[usize::from(turn > 3)]))));
    for ended in stories.collect::<Vec<_>>() {
        ended.await.unwrap();
    }
    let looking = PostgresStore::lazy(&address(&database), evaluate).unwrap();
    let client = looking.shared.connections.for_work().await.unwrap();
    let weeks = async || {
        let tables = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'activity_week%'";
        client.query_one(tables, &[]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!(weeks().await, 16);
    // What an expiry leaves that was interrupted after it had detached a week.
    client.batch_execute("CREATE TABLE activity_week_1 (LIKE activity INCLUDING INDEXES)").await.unwrap();
    assert_eq!(stores[1].expire(today()).await.unwrap(), 0, "all are within the horizon");
    assert_eq!(weeks().await, 16);
    let after_all = UtcDay::from_number(today().number() + 300);
    assert_eq!(stores[1].expire(after_all).await.unwrap(), 64);
    assert_eq!(weeks().await, 0);
    let again = commit(&stores[1], tenant(0), vec![did(person("ann"), copied("again", 0))]).await;
    assert_eq!((again, weeks().await), (vec![Outcome::Accepted], 1), "the replica that forgot them");
}
