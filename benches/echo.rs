//! What the runtime and the transport cost by themselves: an echo as tonic sets it up, and one with ours.
//!
//! `cargo bench --bench echo`

mod bench;

use anyhow::Result;
use bench::Options;
use bench::load::{Calls, Load};
use bench::program::Program;
use bench::table::Table;

const LOADS: [(&str, Load); 2] = [
    ("8 connections with 16 calls in flight", Load { connections: 8, in_flight: 16 }),
    ("8 connections with one", Load { connections: 8, in_flight: 1 }),
];
const SIZES: [usize; 3] = [100, 2_000, 20_000];
const CALLS: usize = 40_000;

fn main() -> Result<()> {
    bench::main(measure)
}

async fn measure(options: &Options) -> Result<()> {
    let (plain, ours) = (Program::plain_echo()?, Program::echo()?);
    for (words, load) in LOADS {
        for size in SIZES {
            println!("\n{size} bytes each way, {words}");
            let calls = Calls::of_bytes(size);
            let mut table = Table::of("call", 1);
            for _ in 0..options.rounds() {
                table.add("tonic's", calls.measure(&plain, options.load(load), options.scale(CALLS)).await?);
                table.add("ours", calls.measure(&ours, options.load(load), options.scale(CALLS)).await?);
            }
            table.print();
        }
    }
    Ok(())
}
