//! What people and activities take in memory and on disk, and how long the start takes that reads them.
//!
//! `cargo bench --bench footprint`

mod bench;

use anyhow::{Context, Result};
use bench::Options;
use bench::program::Program;
use bench::tenant;
use bench::tenant::Tenant;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// A tenth of the scale that is aimed at: a million people with a hundred activities each.
const PEOPLE: usize = 100_000;
const ACTIVITIES: usize = 10_000_000;
const DAYS: usize = 100;

fn main() -> Result<()> {
    bench::main(measure)
}

async fn measure(options: &Options) -> Result<()> {
    let (people, activities) = (options.scale(PEOPLE), options.scale(ACTIVITIES));
    let server = Program::riskshare(options)?;
    let tenant = Tenant::sharing(&server, 1).await?;
    let empty = Taken::of(&server)?;
    tenant.declare(0..people).await?;
    let with_people = Taken::of(&server)?;
    let (begun, a_day) = (Instant::now(), activities / DAYS);
    for day in 0..DAYS {
        let of_day = (day * a_day..(day + 1) * a_day).map(|n| {
            let person = tenant::somebody(n, people);
            tenant::activity(n, person, tenant::on_day(DAYS - day, n % 86_400))
        });
        tenant.record(of_day.collect()).await?;
    }
    let recorded = a_day * DAYS;
    println!("recorded {recorded} activities in {:.0} s", begun.elapsed().as_secs_f64());
    let with_all = Taken::of(&server)?;
    let begun = Instant::now();
    let mut server = server.anew(&[])?;
    let replayed = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    server.end()?;
    let ended = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let server = server.anew(&[])?;
    let loaded = begun.elapsed().as_secs_f64();
    let after_start = Taken::of(&server)?;

    println!("\n| | bytes of memory each | bytes on disk each |\n|---|---|---|");
    println!("| a person | {} |", with_people.less(&empty).each(people));
    println!("| an activity, as they come in | {} |", with_all.less(&with_people).each(recorded));
    println!("\nmemory in all: {} MB; after a start {} MB", with_all.memory >> 20, after_start.memory >> 20);
    let each = |seconds: f64| Ok::<_, anyhow::Error>(seconds * 1e6 / f64::from(u32::try_from(recorded)?));
    println!("a start after a kill took {replayed:.1} s: {:.2} us an activity", each(replayed)?);
    println!("the end, with its checkpoint, took {ended:.1} s");
    println!("a start from it took {loaded:.1} s: {:.2} us an activity", each(loaded)?);
    let size = |taken: &Taken| taken.disk >> 20;
    println!("on disk: {} MB, with the checkpoint {} MB", size(&with_all), size(&after_start));
    Ok(())
}

/// What a server takes.
struct Taken {
    memory: u64,
    disk: u64,
}

impl Taken {
    fn of(server: &Program) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{}/status", server.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = resident.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(Self { memory: kibibytes * 1_024, disk: bytes_of(server.data().context("no data")?)? })
    }

    fn less(&self, before: &Self) -> Self {
        Self {
            memory: self.memory.saturating_sub(before.memory),
            disk: self.disk.saturating_sub(before.disk),
        }
    }

    fn each(&self, count: usize) -> String {
        format!("{} | {}", self.memory / count as u64, self.disk / count as u64)
    }
}

/// Returns how much of the disk a folder takes: files may have holes.
fn bytes_of(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        bytes += if path.is_dir() { bytes_of(&path)? } else { fs::metadata(&path)?.blocks() * 512 };
    }
    Ok(bytes)
}
