//! `IngestActivities` of 1,000 activities a call until they are durable, beside an echo of the same message sizes and
//! a raw log of the same bytes.
//!
//! `cargo bench --bench ingest_activities`

mod bench;

use anyhow::Result;
use bench::Options;
use bench::load::{Called, Calls, Load};
use bench::program::{Program, cpu_of};
use bench::table::{Sample, Table};
use bench::tenant;
use bench::tenant::{INGEST_ACTIVITIES, Tenant, accepted};
use bytes::Bytes;
use prost::Message;
use riskshare::pb;
use std::io::Write;
use std::time::Instant;

const ONE: Load = Load { connections: 1, in_flight: 1 };
const FOUR: Load = Load { connections: 4, in_flight: 1 };
const PEOPLE: usize = 100_000;
const BATCH: usize = 1_000;
/// Batches of a round; all of a round happened on one day.
const CALLS: usize = 100;
const ECHOES: usize = 4_000;
/// How often the batches of a round go into the raw log: once would be over too soon to be measured.
const REPEATS: usize = 4;

fn main() -> Result<()> {
    bench::main(measure)
}

async fn measure(options: &Options) -> Result<()> {
    let (server, echo) = (Program::riskshare(options)?, Program::echo()?);
    let (calls, echoes) = (options.scale(CALLS), options.scale(ECHOES));
    let people = options.scale(PEOPLE);
    let free = Tenant::sharing(&server, 1).await?;
    free.declare(0..people).await?;
    let watched = Tenant::sharing(&server, 2).await?;
    watched.declare(0..people).await?;
    watched.enlist(0..people).await?;

    let mut feed = Feed { people, days_ago: options.rounds(), number: 0 };
    let probe: pb::IngestActivitiesResponse = feed.calls(&free, 1).first(&server).await?;
    let answer_bytes = probe.encoded_len();
    accepted(probe.counts, BATCH)?;
    let echoed = feed.calls(&free, calls).echoed(answer_bytes);

    let mut table = Table::of("activity", u32::try_from(BATCH)?);
    for days_ago in (1..=options.rounds()).rev() {
        feed.days_ago = days_ago;
        table.add("echo, four callers", echoed.measure(&echo, FOUR, echoes).await?);
        table.add("raw log, one caller", raw_log(options, echoed.frames())?);
        table.add("one caller", feed.calls(&free, calls).measure(&server, ONE, calls).await?);
        table.add("four callers", feed.calls(&free, calls).measure(&server, FOUR, calls).await?);
        let batches = feed.calls(&watched, calls);
        table.add("four callers, all people in a policy", batches.measure(&server, FOUR, calls).await?);
    }
    table.print();
    for name in ["one caller", "four callers"] {
        println!(
            "{name}, beside the raw log: {} as many a second",
            table.rate_ratio(name, "raw log, one caller")
        );
    }
    Ok(())
}

/// Where activities come from: none comes twice.
struct Feed {
    people: usize,
    days_ago: usize,
    number: usize,
}

impl Feed {
    fn calls(&mut self, tenant: &Tenant, count: usize) -> Calls {
        Calls::new(
            INGEST_ACTIVITIES,
            (0..count).map(|_| tenant.batch((0..BATCH).map(|_| self.next()).collect())),
        )
    }

    fn next(&mut self) -> pb::ActivityRecord {
        self.number += 1;
        let person = tenant::somebody(self.number, self.people);
        tenant::activity(self.number, person, tenant::on_day(self.days_ago, self.number / 10))
    }
}

/// Appends each batch to a file and syncs it, in this process.
fn raw_log(options: &Options, batches: &[Bytes]) -> Result<Sample> {
    let mut file = tempfile::tempfile_in(&options.folder)?;
    let (cpu, begun) = (cpu_of(std::process::id())?, Instant::now());
    let mut calls = Vec::new();
    for batch in (0..REPEATS).flat_map(|_| batches) {
        let one = Instant::now();
        file.write_all(batch)?;
        file.sync_data()?;
        calls.push(Called { took: one.elapsed(), answered: 0 });
    }
    Ok(Sample::new(calls, begun.elapsed(), cpu_of(std::process::id())?.saturating_sub(cpu)))
}
