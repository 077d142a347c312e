//! Measures the embedded engine: durable ingest beside a raw log in the same run, bytes per activity on disk and in
//! memory, and the time to open.
//!
//! `cargo run --release --example storage -- FOLDER [ACTIVITIES]`. FOLDER must be missing or empty, and on the disk
//! that is to be measured. It is left behind for a look.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use riskshare::clock::{Clock, SystemClock};
use riskshare::domain::activity::{Activity, Sensitivity};
use riskshare::domain::facts::{Batch, Fact, Outcome};
use riskshare::domain::ids::{ActivityId, TenantId};
use riskshare::domain::indicator::Indicator;
use riskshare::domain::time::UtcDay;
use riskshare::domain::user::{Identity, IdentityKey, Personal};
use riskshare::store::Store;
use riskshare::store::embedded::EmbeddedStore;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The server's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Activities of one batch.
const BATCH: usize = 1_000;
/// Users among whom activities are spread.
const USERS: u64 = 20_000;
/// Days over which activities are spread.
const DAYS: usize = 100;
/// Callers that commit at the same time in the second run.
const CALLERS: usize = 4;
/// Days that expire after the second run.
const EXPIRED_DAYS: i32 = 50;
/// Activities of the one user in the third run.
const BUSY: usize = 100_000;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let first = args.next().context("name a folder")?;
    if first == "open" {
        return report_open(Path::new(&args.next().context("name a folder")?));
    }
    let activities: usize = args.next().map_or(Ok(1_000_000), |count| count.parse())?;
    measure(&PathBuf::from(first), activities)
}

fn measure(folder: &Path, activities: usize) -> Result<()> {
    fs::create_dir_all(folder)?;
    let batches = activities / BATCH;
    let all: Vec<Batch> = (0..batches).map(|n| batch(n, batches)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;

    let raw = raw_log(&folder.join("raw.log"), &all)?;
    say("raw log, one fdatasync a batch", activities, raw);

    let at = folder.join("one");
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&at)?);
    let copies = all.clone();
    let (begun, worked) = (Instant::now(), cpu_ticks()?);
    let (mut slowest, mut new_days, mut day) = (Duration::ZERO, Duration::ZERO, None);
    for batch in copies {
        let (one, its_day) = (Instant::now(), day_of(&batch));
        runtime.block_on(commit(&store, batch))?;
        slowest = slowest.max(one.elapsed());
        if day != its_day {
            new_days += one.elapsed();
            day = its_day;
        }
    }
    let one = begun.elapsed();
    say("store, one caller", activities, one);
    let micros = (cpu_ticks()? - worked) * 10_000 / activities as u64;
    println!("  {:.2} of the raw log; slowest batch {} ms", ratio(raw, one), slowest.as_millis());
    println!("  {micros} us of CPU an activity, all threads");
    println!("  {} ms of it in the {DAYS} batches that began a day", new_days.as_millis());
    drop(store);
    open_again(&at, activities)?;

    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&folder.join("four"))?);
    let (begun, worked) = (Instant::now(), cpu_ticks()?);
    runtime.block_on(many(&store, all))?;
    let four = begun.elapsed();
    let ingested = micros_each(cpu_ticks()? - worked, activities as u64)?;
    say("store, four callers", activities, four);
    println!("  {:.2} of the raw log", ratio(raw, four));
    let (worked, mut expired) = (cpu_ticks()?, 0);
    for day in 1..=EXPIRED_DAYS {
        expired += runtime.block_on(store.expire(UtcDay::of(SystemClock.now()).plus(10 + day)))?;
    }
    let each = micros_each(cpu_ticks()? - worked, expired)?;
    println!(
        "  expired {expired} activities of {EXPIRED_DAYS} days, one by one: {each:.2} us of CPU an activity"
    );
    println!("  {:.1} % of what it cost to take them in", 100.0 * each / ingested);
    drop(store);

    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&folder.join("busy"))?);
    let begun = Instant::now();
    for n in 0..BUSY / BATCH {
        let mut batch = batch(n, BUSY / BATCH);
        for fact in &mut batch.facts {
            if let Fact::Activity { user, .. } = fact {
                *user = identity(7);
            }
        }
        runtime.block_on(commit(&store, batch))?;
    }
    say("store, one user with all activities", BUSY, begun.elapsed());
    Ok(())
}

async fn many(store: &Arc<dyn Store>, all: Vec<Batch>) -> Result<()> {
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let (store, mine) = (Arc::clone(store), all.iter().skip(caller).step_by(CALLERS).cloned().collect());
        callers.push(tokio::spawn(async move { commit_all(&store, mine).await }));
    }
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

async fn commit_all(store: &Arc<dyn Store>, batches: Vec<Batch>) -> Result<()> {
    for batch in batches {
        commit(store, batch).await?;
    }
    Ok(())
}

async fn commit(store: &Arc<dyn Store>, batch: Batch) -> Result<()> {
    let outcomes = store.commit(batch).await?;
    ensure!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "a fact was not accepted");
    Ok(())
}

/// Appends the texts of each batch to a file, and syncs it once a batch.
fn raw_log(path: &Path, all: &[Batch]) -> Result<Duration> {
    let mut file = File::create(path)?;
    let begun = Instant::now();
    let mut bytes = Vec::new();
    for batch in all {
        bytes.clear();
        for fact in &batch.facts {
            if let Fact::Activity { activity, .. } = fact {
                bytes.extend_from_slice(&activity.at.timestamp_micros().to_le_bytes());
                bytes.extend_from_slice(activity.id.as_str().as_bytes());
                bytes.extend_from_slice(&[0; 100]);
            }
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    Ok(begun.elapsed())
}

/// Opens the store in a process of its own, so that its memory can be seen.
fn open_again(at: &Path, activities: usize) -> Result<()> {
    let status = Command::new(std::env::current_exe()?).arg("open").arg(at).status()?;
    ensure!(status.success(), "the store did not open");
    let on_disk = size_of(at)?;
    println!("  on disk after it was opened: {} bytes an activity", on_disk / activities as u64);
    Ok(())
}

fn report_open(at: &Path) -> Result<()> {
    let before = memory()?;
    let begun = Instant::now();
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(at)?);
    let took = begun.elapsed();
    let kept = memory()?.saturating_sub(before);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let count: usize = runtime.block_on(async {
        let hold = store.hold(tenant()).await?;
        let everybody: Vec<Identity> = (0..USERS).map(identity).collect();
        let found = store.read(&hold, &everybody.iter().collect::<Vec<_>>()).await?.found;
        anyhow::Ok(found.iter().flatten().map(|facts| facts.activities.len()).sum())
    })?;
    let each = kept / (count as u64).max(1);
    println!("  opened {count} activities in {} ms; {each} bytes of memory each", took.as_millis());
    Ok(())
}

fn day_of(batch: &Batch) -> Option<UtcDay> {
    match batch.facts.first() {
        Some(Fact::Activity { activity, .. }) => Some(activity.day()),
        _ => None,
    }
}

fn say(what: &str, activities: usize, took: Duration) {
    let rate = activities as u128 * 1_000_000 / took.as_micros().max(1);
    println!("{what}: {rate} activities/s ({} ms)", took.as_millis());
}

fn ratio(raw: Duration, took: Duration) -> f64 {
    raw.as_secs_f64() / took.as_secs_f64()
}

/// Resident memory of this process, by Linux.
fn memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).context("no VmRSS")?.parse()?;
    Ok(kilobytes * 1024)
}

fn micros_each(ticks: u64, count: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(ticks)?) * 1e4 / f64::from(u32::try_from(count)?))
}

/// CPU time of the threads of this process that live, in hundredths of a second, by Linux; without that of checkpoints,
/// which are written whenever they are due.
fn cpu_ticks() -> Result<u64> {
    let mut ticks = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        let (name, rest) = stat.rsplit_once(')').context("no CPU time")?;
        if name.ends_with("(checkpoint") {
            continue;
        }
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let at = |n: usize| -> Result<u64> { Ok(fields.get(n).context("no CPU time")?.parse()?) };
        ticks += at(11)? + at(12)?;
    }
    Ok(ticks)
}

/// What a folder takes on disk. Files are made longer than what is in them.
fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        size +=
            if entry.file_type()?.is_dir() { size_of(&entry.path())? } else { blocks(&entry.metadata()?) };
    }
    Ok(size)
}

#[cfg(unix)]
fn blocks(file: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.blocks() * 512
}

#[cfg(not(unix))]
fn blocks(file: &fs::Metadata) -> u64 {
    file.len()
}

fn tenant() -> TenantId {
    TenantId::new(Uuid::from_u128(1))
}

fn identity(user: u64) -> Identity {
    let key = IdentityKey::address(&format!("user{user}@contoso.com"));
    key.map(|key| Identity::default().with(key)).unwrap_or_default()
}

/// The n-th batch: facts of one day, by users at random, in order of time.
fn batch(n: usize, batches: usize) -> Batch {
    let days = DAYS.min(batches);
    let (day, within, of) = (n * days / batches, n % (batches / days).max(1), (batches / days).max(1));
    let start = UtcDay::of(SystemClock.now()).plus(i32::try_from(day).unwrap_or(0) - 110).start();
    let facts = (0..BATCH).map(|row| {
        let seconds = 86_399 * (within * BATCH + row) / (of * BATCH);
        fact((n * BATCH + row) as u64, start + TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0)))
    });
    Batch { tenant: tenant(), at: SystemClock.now(), facts: facts.collect() }
}

fn fact(row: u64, at: DateTime<Utc>) -> Fact {
    let dice = mix(row);
    let user = dice % USERS;
    let indicators = ["CopyToUSB", "SpoDownload", "EmailExternal", "Print", "NetworkUploadFile"];
    let kind = usize::try_from(dice >> 20).unwrap_or(0) % indicators.len();
    let id = Uuid::from_u64_pair(dice, row).to_string();
    let name = format!("C:\\Users\\user{user}\\Documents\\project\\plan-{}.docx", (dice >> 30) % 30);
    let activity = Activity {
        id: ActivityId::new(&id).expect("a UUID is an id"),
        at,
        indicator: Indicator::named(indicators[kind]),
        operation: format!("Operation{kind}").into(),
        object_name: Personal::new(&name),
        destination: Personal::new(&format!("https://destination{}.example.com/", (dice >> 40) % 200)),
        sensitivity: Sensitivity::General,
        unallowed_destination: false,
    };
    Fact::Activity { user: identity(user), activity }
}

/// Scatters numbers (SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
