//! What calls cost beside a small service over Redis, which is what somebody would write instead: `EnrichAlert` of three
//! actors with 50 activities each, in full, and `BatchEnrichAlerts` of a queue page of 500 alerts, the column only.
//! Starts a Redis of its own: `redis-server` must be on the path.
//!
//! `benches/peers/prepare && cargo bench --bench peers`
//!
//! The peers answer the same two methods with the same data, which are taken from riskshare's own answers. They have all
//! that is found beforehand: Redis holds each level and each actor as it goes into an answer. Who keeps these up to date,
//! day after day, is not measured.

mod bench;

use anyhow::{Context, Result, bail, ensure};
use bench::Options;
use bench::load::{Calls, Load};
use bench::program::{Program, cpu_of};
use bench::table::{Sample, Table};
use bench::tenant;
use bench::tenant::{ALERTS, BATCH_ENRICH_ALERTS, BURST, BURSTS, ENRICH_ALERT, Tenant};
use prost::Message;
use riskshare::pb;
use riskshare::pb::enrich_alert_result::Result as Of;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LOAD: Load = Load { connections: 8, in_flight: 2 };
const PEOPLE: usize = 100_000;
/// The first so many people did much, and are asked about in full.
const IN_FULL: usize = 6_000;
/// Of the others one in so many is a member of the policy, and on one day did one thing up to so many times.
const ONE_IN: usize = 10;
const ACTIVITIES: usize = 10;
const LOOKBACK: usize = 100;
const ACTORS: usize = 3;
/// Alerts and pages, each about people of its own, and how often they are asked about in a round: CPU time is counted in
/// hundredths of a second.
const ENRICHED: usize = 2_000;
const ENRICHED_TIMES: usize = 4;
const PAGES: usize = 100;
const PAGES_TIMES: usize = 5;
/// How many people are asked about at once to fill Redis: few enough for an answer to have room for all.
const COPIED: usize = 100;
const RISKSHARE: &str = "riskshare";
/// Nothing that riskshare found before holds any more: each is asked about once. The peers have no such case: somebody
/// else finds their levels.
const ANEW: &str = "riskshare, levels found anew";

fn main() -> Result<()> {
    bench::main(measure)
}

async fn measure(options: &Options) -> Result<()> {
    let redis = Redis::start(&options.folder)?;
    let peers = peers(&options.peers, redis.socket())?;
    let server = Program::riskshare(options)?;
    let (people, in_full) = (options.scale(PEOPLE), options.scale(IN_FULL));
    let tenant = Tenant::sharing(&server, 1).await?;
    populate(&tenant, people, in_full).await?;
    copy(&tenant, &redis, people).await?;
    let bench = Bench { server, tenant, redis, peers };
    bench.enrich(options, in_full).await?;
    bench.page(options, people).await
}

/// All that is measured.
struct Bench {
    server: Program,
    tenant: Tenant,
    redis: Redis,
    peers: Vec<(&'static str, Program)>,
}

impl Bench {
    async fn enrich(&self, options: &Options, in_full: usize) -> Result<()> {
        let count = options.scale(ENRICHED);
        let first = |n: usize| n % (in_full / ACTORS) * ACTORS;
        let calls =
            Calls::new(ENRICH_ALERT, (0..count).map(|n| self.tenant.alert(first(n)..first(n) + ACTORS)));
        let ours = told(&calls.first(&self.server).await?)?;
        ensure!(ours.1 == [BURSTS * BURST; ACTORS], "riskshare answers other activities: {ours:?}");
        for (name, peer) in &self.peers {
            let theirs = told(&calls.first(peer).await?)?;
            ensure!(theirs == ours, "{name} answers {theirs:?}, riskshare {ours:?}");
        }
        self.rounds("EnrichAlert", options, &calls, [count, ENRICHED_TIMES]).await
    }

    async fn page(&self, options: &Options, people: usize) -> Result<()> {
        let count = options.scale(PAGES);
        let calls = Calls::new(
            BATCH_ENRICH_ALERTS,
            (0..count).map(|page| self.tenant.page(page, |n| tenant::somebody_else(n, people))),
        );
        let ours = severities(&calls.first(&self.server).await?)?;
        ensure!(ours.len() == ALERTS, "riskshare answers {} alerts", ours.len());
        ensure!(ours.iter().any(|severity| *severity > pb::Severity::None), "nobody on the page has a level");
        for (name, peer) in &self.peers {
            ensure!(severities(&calls.first(peer).await?)? == ours, "{name} answers other severities");
        }
        self.rounds("page of 500", options, &calls, [count, PAGES_TIMES]).await
    }

    /// Makes calls so often each, in turn, and prints what they cost.
    async fn rounds(
        &self,
        what: &'static str,
        options: &Options,
        calls: &Calls,
        [once, times]: [usize; 2],
    ) -> Result<()> {
        let (load, mut table) = (options.load(LOAD), Table::of(what, 1));
        let count = once * times;
        for round in 0..options.rounds() {
            for (name, peer) in &self.peers {
                table.add(name, self.with_redis(calls.measure(peer, load, count)).await?);
            }
            self.tenant.forget_levels(round).await?;
            table.add(ANEW, calls.measure(&self.server, load, once).await?);
            table.add(RISKSHARE, calls.measure(&self.server, load, count).await?);
        }
        table.print();
        println!();
        for (peer, _) in &self.peers {
            for name in [RISKSHARE, ANEW] {
                println!("{what}, {name}: {} of the CPU of {peer}", table.cpu_ratio(name, peer));
            }
        }
        Ok(())
    }

    /// Adds the CPU time of Redis.
    async fn with_redis(&self, measured: impl Future<Output = Result<Sample>>) -> Result<Sample> {
        let before = self.redis.cpu()?;
        let sample = measured.await?;
        Ok(sample.with(self.redis.cpu()?.saturating_sub(before)))
    }
}

/// Starts the peers that have been prepared.
fn peers(folder: &Path, socket: &Path) -> Result<Vec<(&'static str, Program)>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (go, python) = (folder.join("go"), folder.join("python/bin/python"));
    let mut peers = Vec::new();
    if go.is_file() {
        let mut command = Command::new(go);
        command.arg(socket);
        peers.push(("Go over Redis", Program::other(command).context("the Go peer did not start")?));
    }
    if python.is_file() {
        let mut command = Command::new(python);
        command.arg(source.join("benches/peers/python/peer.py")).arg(socket).arg(source.join("proto"));
        let peer = Program::other(command).context("the Python peer did not start")?;
        peers.push(("Python over Redis", peer));
    }
    ensure!(!peers.is_empty(), "no peers in {}: run benches/peers/prepare", folder.display());
    Ok(peers)
}

/// Declares people: the first of them did much, and of the others some did something.
async fn populate(tenant: &Tenant, people: usize, in_full: usize) -> Result<()> {
    tenant.declare(0..people).await?;
    tenant.enlist(0..in_full).await?;
    tenant.enlist((in_full..people).step_by(ONE_IN)).await?;
    let begun = Instant::now();
    for burst in 0..BURSTS {
        tenant.record((0..in_full).flat_map(|person| tenant::burst(person, burst)).collect()).await?;
    }
    let deeds_of_one = |person| {
        let at = tenant::on_day(1 + tenant::somebody(person, LOOKBACK), person);
        let number = move |n| person * BURSTS * BURST + n;
        (0..=person / ONE_IN % ACTIVITIES).map(move |n| tenant::activity(number(n), person, at))
    };
    tenant.record((in_full..people).step_by(ONE_IN).flat_map(deeds_of_one).collect()).await?;
    println!("recorded what they did in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Gives Redis what riskshare answers about everybody: the level, a byte each of severity and score, and the actor.
async fn copy(tenant: &Tenant, redis: &Redis, people: usize) -> Result<()> {
    let (begun, mut connection) = (Instant::now(), redis.connect()?);
    for first in (0..people).step_by(COPIED) {
        let some = first..people.min(first + COPIED);
        let answer = tenant.enriched(some.clone()).await?;
        ensure!(answer.actors.len() == some.len(), "{} actors for {some:?}", answer.actors.len());
        let mut pairs = Vec::new();
        for actor in &answer.actors {
            let upn = &actor.user.as_ref().context("an actor without a name")?.upn;
            ensure!(!actor.truncated && actor.next_page_token.is_empty(), "not all of {upn} was answered");
            let level = vec![u8::try_from(actor.severity)?, u8::try_from(actor.score)?];
            pairs.push((format!("level:{upn}"), level));
            pairs.push((format!("actor:{upn}"), actor.encode_to_vec()));
        }
        store(&mut connection, &pairs)?;
    }
    println!("copied {people} people to Redis in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Returns the severity that an answer shows, and how many activities of each actor.
fn told(answer: &pb::EnrichAlertResponse) -> Result<(pb::Severity, Vec<usize>)> {
    let alert = answer.alert.as_ref().context("an answer without an alert")?;
    Ok((alert.severity(), alert.actors.iter().map(|actor| actor.activities.len()).collect()))
}

fn severities(answer: &pb::BatchEnrichAlertsResponse) -> Result<Vec<pb::Severity>> {
    let severity = |one: &pb::EnrichAlertResult| match &one.result {
        Some(Of::Alert(alert)) => Ok(alert.severity()),
        other => bail!("a refusal: {other:?}"),
    };
    answer.results.iter().map(severity).collect()
}

/// A Redis on a socket in a temporary folder. Killed when dropped.
///
/// It appends to a file that it syncs once a second, as most who keep anything in it have it: a line of the peers'
/// audit is not durable when an answer leaves, while riskshare's is, which favours the peers. It takes no snapshots and
/// does not rewrite the file, so that nothing but answering costs.
struct Redis {
    child: Child,
    socket: PathBuf,
    /// The socket's path must be short, and the data belong on the disk that is measured.
    _folders: [TempDir; 2],
}

impl Redis {
    fn start(folder: &Path) -> Result<Self> {
        const READY_WITHIN: Duration = Duration::from_secs(10);
        let (data, runtime) = (TempDir::new_in(folder)?, tempfile::tempdir()?);
        let socket = runtime.path().join("redis");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket"]).arg(&socket).arg("--dir").arg(data.path());
        command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]);
        command.args(["--auto-aof-rewrite-percentage", "0"]);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("redis-server is not on the path: install Redis")
            }
            child => child.context("redis-server did not start")?,
        };
        let mut redis = Self { child, socket, _folders: [data, runtime] };
        let begun = Instant::now();
        while redis.connect().is_err() {
            if let Some(status) = redis.child.try_wait()? {
                bail!("redis-server has ended: {status}");
            }
            ensure!(begun.elapsed() < READY_WITHIN, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(redis)
    }

    fn socket(&self) -> &Path {
        &self.socket
    }

    fn connect(&self) -> Result<UnixStream> {
        Ok(UnixStream::connect(&self.socket)?)
    }

    /// Returns its CPU time up to now.
    fn cpu(&self) -> Result<Duration> {
        cpu_of(self.child.id())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stores values under keys, with one `MSET` in the protocol's own words.
fn store(connection: &mut UnixStream, pairs: &[(String, Vec<u8>)]) -> Result<()> {
    const STORED: &[u8] = b"+OK\r\n";
    let mut command = format!("*{}\r\n", 1 + 2 * pairs.len()).into_bytes();
    let words = pairs.iter().flat_map(|(key, value)| [key.as_bytes(), value]);
    for word in std::iter::once(&b"MSET"[..]).chain(words) {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    connection.write_all(&command)?;
    let mut reply = [0; STORED.len()];
    connection.read_exact(&mut reply)?;
    ensure!(reply == STORED, "Redis does not store: {:?}", String::from_utf8_lossy(&reply));
    Ok(())
}
