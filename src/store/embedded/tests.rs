//! The suite of all engines over this one, and what can happen to its folder.

use super::checkpoints::FIRST_BYTES;
use super::committer::QUEUE_MAX;
use super::{EmbeddedStore, OpenError, record};
use crate::domain::activities::Row;
use crate::domain::activity::Activity;
use crate::domain::facts::{Batch, Fact, Outcome};
use crate::domain::risk_alert::evaluate;
use crate::domain::settings::Settings;
use crate::store::conformance::{
    Place, commit, copied, decided, did, known, noon, person, sharing, tenant, today,
};
use crate::store::{Store, StoreError};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use tempfile::TempDir;

pub struct Here(TempDir);

impl Place for Here {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn Store> {
        Arc::new(EmbeddedStore::open(self.0.path()).unwrap())
    }
}

#[cfg(has_postgres)]
#[async_trait::async_trait(?Send)]
impl crate::store::conformance::Movable for Here {
    async fn source(&self) -> Box<dyn crate::store::moving::Source> {
        Box::new(super::EmbeddedSource::open(self.0.path()).unwrap())
    }

    async fn target(&self) -> Box<dyn crate::store::moving::Target> {
        Box::new(super::EmbeddedTarget::open(self.0.path()).unwrap())
    }
}

crate::conformance!(Here, paused = true);

/// The same suite where every start is from a checkpoint.
mod from_checkpoints {
    use super::{Arc, EmbeddedStore, Here, Place, Store};
    use crate::domain::risk_alert::evaluate;

    pub struct There(Here);

    impl Place for There {
        fn new() -> Self {
            Self(Here::new())
        }

        fn open(&self) -> Arc<dyn Store> {
            Arc::new(EmbeddedStore::open_with(self.0.0.path(), evaluate, 0).unwrap())
        }
    }

    crate::conformance!(There, paused = true);
}

/// A folder with three commits in it, of facts and of two days.
async fn filled() -> Here {
    let here = Here::new();
    let store = here.open();
    for n in 0..3 {
        let facts = vec![
            did(person("ann"), copied(&format!("a{n}"), 0)),
            did(person("bob"), copied(&format!("b{n}"), 1)),
        ];
        commit(&store, tenant(0), facts).await;
    }
    here
}

fn opened(path: &Path) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(path)
}

/// Does something to the log behind the store's back.
fn tamper(here: &Here, act: impl FnOnce(&Database)) {
    let database = Database::builder(here.0.path().join("log")).open().unwrap();
    act(&database);
    database.persist(PersistMode::SyncAll).unwrap();
}

fn partition(database: &Database, begins: &str) -> Keyspace {
    let names = database.list_keyspace_names();
    let name = names.iter().find(|name| name.starts_with(begins)).unwrap();
    database.keyspace(name, KeyspaceCreateOptions::default).unwrap()
}

#[tokio::test]
async fn an_activity_of_a_leap_second_is_found_again_where_it_was() {
    let here = Here::new();
    let leap = today().start() + chrono::TimeDelta::seconds(59);
    let before_midnight = today().start() - chrono::TimeDelta::seconds(1);
    for at in [leap, before_midnight] {
        let at = chrono::DateTime::from_timestamp(at.timestamp(), 1_500_000_000).unwrap();
        let activity = Activity { at, ..copied(&at.timestamp().to_string(), 0) };
        commit(&here.open(), tenant(0), vec![did(person("ann"), activity.clone())]).await;
        let ann = known(&here.open(), tenant(0), person("ann")).await;
        assert_eq!(ann.activities.find(at, &activity.id), Some(Row::of(&activity)));
    }
}

#[test]
fn a_second_open_is_refused_until_the_first_is_gone() {
    let here = Here::new();
    let first = here.open();
    assert!(matches!(opened(here.0.path()), Err(OpenError::Locked)));
    drop(first);
    assert!(opened(here.0.path()).is_ok());
}

#[tokio::test]
async fn an_unknown_version_is_refused_and_nothing_is_changed() {
    let here = filled().await;
    let version = here.0.path().join("VERSION");
    let ours = fs::read(&version).unwrap();
    fs::write(&version, "riskshare embedded store 9\n").unwrap();
    assert!(matches!(opened(here.0.path()), Err(OpenError::UnknownVersion(_))));
    fs::write(&version, ours).unwrap();
    assert_eq!(known(&here.open(), tenant(0), person("ann")).await.activities.len(), 3);
}

#[tokio::test]
async fn a_changed_cut_or_missing_record_is_damage() {
    type Harm = fn(&Keyspace, &[u8], Vec<u8>);
    let flip: Harm = |part, key, mut value| {
        value[20] ^= 1;
        part.insert(key, value).unwrap();
    };
    let cut: Harm = |part, key, value| part.insert(key, &value[..value.len() - 1]).unwrap();
    let remove: Harm = |part, key, _| part.remove(key).unwrap();
    let rename: Harm = |part, key, value| {
        part.remove(key).unwrap();
        part.insert(record::key(99), value).unwrap();
    };
    for begins in ["facts", "day."] {
        for harm in [flip, cut, remove, rename] {
            let here = filled().await;
            tamper(&here, |database| {
                let part = partition(database, begins);
                let (key, value) = part.first_key_value().unwrap().into_inner().unwrap();
                harm(&part, &key, value.to_vec());
            });
            assert!(matches!(opened(here.0.path()), Err(OpenError::Damaged(_))));
        }
    }
}

fn from_checkpoint(here: &Here) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open_with(here.0.path(), evaluate, 0)
}

/// A folder with a checkpoint, behind which nothing came.
async fn with_checkpoint() -> Here {
    let here = filled().await;
    drop(from_checkpoint(&here).unwrap());
    assert!(here.0.path().join("checkpoint.1").exists());
    here
}

#[tokio::test]
async fn a_start_from_a_checkpoint_does_not_read_what_is_before_it_but_notices_later_that_it_is_damaged() {
    for begins in ["facts", "day."] {
        let here = with_checkpoint().await;
        tamper(&here, |database| {
            let part = partition(database, begins);
            let (key, value) = part.first_key_value().unwrap().into_inner().unwrap();
            let mut value = value.to_vec();
            value[20] ^= 1;
            part.insert(key, value).unwrap();
        });
        let store: Arc<dyn Store> = Arc::new(from_checkpoint(&here).unwrap());
        assert_eq!(known(&store, tenant(0), person("ann")).await.activities.len(), 3);
        while store.condition().await.commits {
            tokio::task::yield_now().await;
        }
        let facts = vec![did(person("ann"), copied("new", 0))];
        let refused = store.commit(Batch { tenant: tenant(0), at: noon(), facts }).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))));
        drop(store);
        fs::remove_file(here.0.path().join("checkpoint.1")).unwrap();
        assert!(matches!(opened(here.0.path()), Err(OpenError::Damaged(_))));
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_damaged_whatever_the_checkpoint_holds() {
    let here = with_checkpoint().await;
    tamper(&here, |database| {
        let last = |begins: &str| {
            let part = partition(database, begins);
            let key = part.last_key_value()?.key().unwrap();
            Some((key, part))
        };
        let names = database.list_keyspace_names();
        let records = names.iter().filter(|name| &***name != "notes").filter_map(|name| last(name));
        let (key, part) = records.max_by(|(one, _), (other, _)| one.cmp(other)).unwrap();
        part.remove(key).unwrap();
    });
    assert!(matches!(from_checkpoint(&here), Err(OpenError::Damaged(_))));
}

#[tokio::test]
async fn whatever_happens_to_a_checkpoint_the_log_says_the_same() {
    let here = with_checkpoint().await;
    let path = here.0.path().join("checkpoint.1");
    let whole = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x15;
        bytes
    };
    let broken = (0..whole.len()).step_by(29).flat_map(|at| [flipped(at), whole[..at].to_vec()]);
    for bytes in broken.chain([[&whole[..], b"x"].concat(), whole.clone()]) {
        fs::write(&path, bytes).unwrap();
        let store: Arc<dyn Store> = Arc::new(opened(here.0.path()).unwrap());
        for name in ["ann", "bob"] {
            assert_eq!(known(&store, tenant(0), person(name)).await.activities.len(), 3);
        }
    }
}

#[tokio::test]
async fn what_was_recorded_and_dropped_since_a_checkpoint_is_as_it_would_be_without_one() {
    let here = with_checkpoint().await;
    let store: Arc<dyn Store> = here.open();
    commit(&store, tenant(0), vec![did(person("ann"), copied("new", 0)), did(person("cid"), copied("c", 1))])
        .await;
    assert_eq!(store.expire(today().plus(119)).await.unwrap(), 4, "of the day before");
    commit(&store, tenant(0), vec![did(person("bob"), copied("late", 1))]).await;
    drop(store);
    for _ in 0..2 {
        assert!(
            matches!(super::checkpoint::read(&here.0.path().join("checkpoint.1")), Ok((known, ..)) if known.last > 0)
        );
        let store: Arc<dyn Store> = here.open();
        let count = async |name| known(&store, tenant(0), person(name)).await.activities.len();
        let counts = (count("ann").await, count("bob").await, count("cid").await);
        assert_eq!(counts, (4, 1, 0));
        let again = commit(&store, tenant(0), vec![did(person("bob"), copied("b0", 1))]).await;
        assert_eq!(again, [Outcome::Accepted], "its id is free again");
        assert_eq!(store.expire(today().plus(119)).await.unwrap(), 2);
        commit(&store, tenant(0), vec![did(person("bob"), copied("late", 1))]).await;
    }
}

#[tokio::test]
async fn nothing_of_an_erased_person_is_left_in_a_checkpoint() {
    let here = with_checkpoint().await;
    let store: Arc<dyn Store> = Arc::new(from_checkpoint(&here).unwrap());
    store.erase(tenant(0), &person("ann"), decided()).await.unwrap();
    assert!(!here.0.path().join("checkpoint.1").exists());
    drop(store); // Waits for the next one.
    let written = fs::read(here.0.path().join("checkpoint.2")).unwrap();
    let holds = |name: &[u8]| written.windows(name.len()).any(|bytes| bytes == name);
    assert!(holds(b"bob@") && !holds(b"ann@"));
}

#[tokio::test]
async fn a_record_in_two_partitions_is_damage() {
    let here = filled().await;
    tamper(&here, |database| {
        let (key, value) = partition(database, "day.").first_key_value().unwrap().into_inner().unwrap();
        partition(database, "facts").insert(key, value).unwrap();
    });
    assert!(matches!(opened(here.0.path()), Err(OpenError::Damaged(_))));
}

#[tokio::test]
async fn a_missing_day_is_damage_unless_it_was_dropped() {
    let here = filled().await;
    tamper(&here, |database| database.delete_keyspace(partition(database, "day.")).unwrap());
    assert!(matches!(opened(here.0.path()), Err(OpenError::Damaged(_))));

    let here = filled().await;
    assert_eq!(here.open().expire(today().plus(120)).await.unwrap(), 6);
    assert!(known(&here.open(), tenant(0), person("ann")).await.activities.is_empty());
}

#[tokio::test]
async fn a_log_that_was_written_anew_is_whole_also_after_days_were_dropped() {
    let here = filled().await;
    let store = here.open();
    assert_eq!(store.expire(today().plus(119)).await.unwrap(), 3);
    for name in ["ann", "nobody"] {
        store.erase(tenant(0), &person(name), decided()).await.unwrap();
        commit(&store, tenant(0), vec![did(person("cid"), copied(name, 0))]).await;
    }
    drop(store);
    let store = here.open();
    assert_eq!(known(&store, tenant(0), person("cid")).await.activities.len(), 2);
    assert!(known(&store, tenant(0), person("bob")).await.activities.is_empty());
    assert_eq!(store.expire(today().plus(120)).await.unwrap(), 2);
    drop(store);
    assert!(opened(here.0.path()).is_ok());
}

#[tokio::test]
async fn missing_notes_and_a_missing_head_are_damage() {
    for note in ["token_key", "dropped/"] {
        let here = filled().await;
        here.open().expire(today().plus(120)).await.unwrap();
        tamper(&here, |database| {
            let notes = partition(database, "notes");
            let key = notes.prefix(note).next().unwrap().key().unwrap();
            notes.remove(key).unwrap();
        });
        assert!(matches!(opened(here.0.path()), Err(OpenError::Damaged(_))), "{note}");
    }
    let here = filled().await;
    fs::remove_file(here.0.path().join("HEAD")).unwrap();
    assert!(matches!(opened(here.0.path()), Err(OpenError::Damaged(_))));
}

/// The journal, which holds everything as long as little was written, and how far it is filled.
fn journal(here: &Path) -> (PathBuf, Vec<u8>) {
    let files = fs::read_dir(here.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let path = files.filter(|path| path.extension().is_some_and(|end| end == "jnl")).max().unwrap();
    let bytes = fs::read(&path).unwrap();
    let filled = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (path, bytes[..filled].to_vec())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else if entry.path().extension().is_none_or(|end| end != "jnl") {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Opens a copy of the folder with another journal, and says what is in it.
async fn with_journal(here: &Here, bytes: &[u8]) -> Result<usize, OpenError> {
    let there = Here::new();
    copy(here.0.path(), there.0.path());
    let (journal, _) = journal(here.0.path());
    fs::write(there.0.path().join("log").join(journal.file_name().unwrap()), bytes)?;
    let store: Arc<dyn Store> = Arc::new(opened(there.0.path())?);
    let people =
        [known(&store, tenant(0), person("ann")).await, known(&store, tenant(0), person("bob")).await];
    Ok(people.iter().map(|facts| facts.activities.len()).sum())
}

#[tokio::test]
async fn an_acknowledged_commit_that_the_disk_lost_is_noticed_wherever_the_journal_is_cut() {
    let here = filled().await;
    let (_, bytes) = journal(here.0.path());
    assert_eq!(with_journal(&here, &bytes).await.unwrap(), 6);
    for cut in (0..bytes.len()).rev().step_by(61) {
        let found = with_journal(&here, &bytes[..cut]).await;
        assert!(matches!(found, Err(OpenError::Damaged(_))), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_flipped_byte_in_the_journal_is_damage_or_without_effect() {
    let here = filled().await;
    let (_, bytes) = journal(here.0.path());
    let mut damaged = 0;
    for at in (0..bytes.len()).step_by(23) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x15;
        match with_journal(&here, &flipped).await {
            Ok(found) => assert_eq!(found, 6, "flipped at {at}"),
            Err(OpenError::Damaged(_)) => damaged += 1,
            Err(error) => panic!("flipped at {at}: {error}"),
        }
    }
    assert!(damaged > 0);
}

#[tokio::test]
async fn a_store_that_broke_stops_acknowledging_and_goes_on_reading() {
    let here = Here::new();
    let store: Arc<dyn Store> = Arc::new(
        EmbeddedStore::open_with(
            here.0.path(),
            |_, facts, _, _| {
                assert!(facts.activities.len() < 2, "the test breaks the committer here");
                Vec::new()
            },
            FIRST_BYTES,
        )
        .unwrap(),
    );
    store.change_settings(tenant(0), 0, sharing(), decided()).await.unwrap();
    commit(&store, tenant(0), vec![did(person("ann"), copied("1", 0))]).await;
    let hold = store.hold(tenant(0)).await.unwrap();
    for id in ["2", "3"] {
        let facts = vec![did(person("ann"), copied(id, 0))];
        let refused = store.commit(Batch { tenant: tenant(0), at: noon(), facts }).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    }
    assert!(hold.pass().is_ok());
    assert_eq!(known(&store, tenant(0), person("ann")).await.activities.len(), 1);
    // Off is off, in memory at least.
    let refused = store.change_settings(tenant(0), 1, Settings::default(), decided()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    assert!(hold.pass().is_err() && !store.hold(tenant(0)).await.unwrap().is_sharing());
    assert!(matches!(store.expire(today()).await, Err(StoreError::Unavailable(_))));
    drop(store);
    assert_eq!(known(&here.open(), tenant(0), person("ann")).await.activities.len(), 1);
}

/// Where the committer of the next test waits, and the test lets it go on.
static FULL: Barrier = Barrier::new(2);

#[tokio::test]
async fn a_full_queue_refuses_commits_at_once_and_lets_off_wait_with_the_switch_closed() {
    let here = Here::new();
    let store: Arc<dyn Store> = Arc::new(
        EmbeddedStore::open_with(
            here.0.path(),
            |_, facts, _, _| {
                if facts.activities.iter().any(|activity| activity.id.text() == "0")
                    && facts.activities.len() == 1
                {
                    FULL.wait();
                }
                Vec::new()
            },
            FIRST_BYTES,
        )
        .unwrap(),
    );
    store.change_settings(tenant(0), 0, sharing(), decided()).await.unwrap();
    let hold = store.hold(tenant(0)).await.unwrap();
    let commits: Vec<_> = (0..QUEUE_MAX + 50)
        .map(|n| {
            let (store, facts) = (Arc::clone(&store), vec![did(person("ann"), copied(&n.to_string(), 0))]);
            tokio::spawn(async move { store.commit(Batch { tenant: tenant(0), at: noon(), facts }).await })
        })
        .collect();
    while commits.iter().filter(|commit| commit.is_finished()).count() < 49 {
        tokio::task::yield_now().await;
    }
    let off = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.change_settings(tenant(0), 1, Settings::default(), decided()).await }
    });
    while hold.pass().is_ok() {
        tokio::task::yield_now().await;
    }
    FULL.wait();
    assert_eq!(off.await.unwrap().unwrap().settings.version, 2);
    let mut accepted = 0;
    for commit in commits {
        match commit.await.unwrap() {
            Ok(outcomes) => accepted += outcomes.len(),
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_))),
        }
    }
    assert!((QUEUE_MAX..=QUEUE_MAX + 1).contains(&accepted), "{accepted}");
    assert_eq!(known(&store, tenant(0), person("ann")).await.activities.len(), accepted);
    let now = store.settings(tenant(0)).await.unwrap();
    assert!(!now.settings.data_sharing && !store.hold(tenant(0)).await.unwrap().is_sharing());
}

/// How many facts a batch of the crash test has, one for each of so many days.
const CRASH_DAYS: i32 = 3;

fn crash_batch(n: usize) -> Vec<Fact> {
    (0..CRASH_DAYS).map(|day| did(person("ann"), copied(&format!("{n}-{day}"), day))).collect()
}

/// Is run as a process of its own by the test below, in the folder of the store, until it is killed.
#[tokio::test]
#[ignore = "writes until it is killed"]
async fn crash_child() {
    let here = std::env::current_dir().unwrap();
    let store: Arc<dyn Store> = Arc::new(opened(&here).unwrap());
    let known = known_count(&store).await;
    for n in known / CRASH_DAYS.unsigned_abs() as usize.. {
        let outcomes = commit(&store, tenant(0), crash_batch(n)).await;
        assert_eq!(outcomes, vec![Outcome::Accepted; outcomes.len()]);
        println!("acknowledged {n}");
    }
}

async fn known_count(store: &Arc<dyn Store>) -> usize {
    let found = crate::store::conformance::found(store, tenant(0), person("ann")).await;
    found.first().map_or(0, |facts| facts.activities.len())
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_and_every_batch_is_whole() {
    let here = Here::new();
    drop(here.open());
    for round in 0..10_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::embedded::tests::crash_child", "--ignored", "--nocapture"])
            .current_dir(here.0.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = lines
            .map(|line| line.unwrap())
            .filter_map(|line| line.split("acknowledged ").nth(1).map(|n| n.parse::<usize>().unwrap()))
            .nth(5 + round * 3)
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let store = here.open();
        let ann = known(&store, tenant(0), person("ann")).await;
        let days = CRASH_DAYS.unsigned_abs() as usize;
        assert!(ann.activities.len() > acknowledged * days);
        assert_eq!(ann.activities.len() % days, 0);
    }
}
