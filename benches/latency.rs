//! How long callers wait for `EnrichAlert` at half the rate that saturates the server, while activities come in, beside an
//! echo at the same rate, while the same comes in.
//!
//! `cargo bench --bench latency`

mod bench;

use anyhow::Result;
use bench::Options;
use bench::load::{Calls, Load, OpenLoop};
use bench::program::Program;
use bench::table::Table;
use bench::tenant;
use bench::tenant::{ENRICH_ALERT, Tenant};
use riskshare::pb;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const LOAD: Load = Load { connections: 8, in_flight: 4 };
const CALLS: usize = 10_000;
const PEOPLE: usize = 12_000;
const ACTORS: usize = 3;
/// What each person did before.
const ACTIVITIES: usize = 50;
const DAYS: usize = 50;
/// What comes in meanwhile: batches of so many activities, so long after each other.
const BATCH: usize = 500;
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> Result<()> {
    bench::main(measure)
}

async fn measure(options: &Options) -> Result<()> {
    let (server, echo) = (Program::riskshare(options)?, Program::echo()?);
    let tenant = Arc::new(Tenant::sharing(&server, 1).await?);
    let people = options.scale(PEOPLE);
    tenant.declare(0..people).await?;
    tenant.enlist(0..people).await?;
    for day in 0..DAYS {
        let burst = |person| (0..ACTIVITIES / DAYS).map(move |n| activity(person, day + n));
        tenant.record((0..people).flat_map(burst).collect()).await?;
    }
    let calls =
        Calls::new(ENRICH_ALERT, (0..people / ACTORS).map(|n| tenant.alert(n * ACTORS..(n + 1) * ACTORS)));
    let count = options.scale(CALLS);
    let feed = Feed::begin(Arc::clone(&tenant), people);
    let full = calls.measure(&server, LOAD, count).await?;
    let echoed = calls.echoed(full.answer_bytes());
    let (saturating, rate) = (full.calls_a_second(), full.calls_a_second() / 2.0);
    println!("{saturating:.0} calls a second saturate it while activities come in; measured at {rate:.0}");

    let load = OpenLoop { connections: LOAD.connections, rate };
    let mut table = Table::of("call", 1);
    for _ in 0..options.rounds() {
        table.add("echo", echoed.measure_at(&echo, &load, count).await?);
        table.add("EnrichAlert", calls.measure_at(&server, &load, count).await?);
    }
    table.print();
    println!("p99 beside the echo's: {}", table.p99_ratio("EnrichAlert", "echo"));
    println!("{} activities came in meanwhile", feed.end().await?);
    Ok(())
}

/// Activities that come in until it is told to stop.
struct Feed {
    stop: Arc<AtomicBool>,
    recorded: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Feed {
    fn begin(tenant: Arc<Tenant>, people: usize) -> Self {
        let (stop, recorded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&recorded));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let first = counted.fetch_add(BATCH, Ordering::Relaxed);
                let some = (first..first + BATCH).map(|n| {
                    let person = tenant::somebody(n, people);
                    tenant::activity(people * DAYS * 2 + n, person, tenant::on_day(1, n / 10))
                });
                tenant.record(some.collect()).await?;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        });
        Self { stop, recorded, task }
    }

    async fn end(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await??;
        Ok(self.recorded.load(Ordering::Relaxed))
    }
}

fn activity(person: usize, day: usize) -> pb::ActivityRecord {
    tenant::activity(person * DAYS + day, person, tenant::on_day(DAYS - day + 1, person))
}
