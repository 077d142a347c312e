//! `EnrichAlert` of three actors with 50 activities each, in full, beside an echo of the same message sizes.
//!
//! `cargo bench --bench enrich_alert`

mod bench;

use anyhow::{Result, ensure};
use bench::Options;
use bench::load::{Calls, Load};
use bench::program::Program;
use bench::table::Table;
use bench::tenant;
use bench::tenant::{ENRICH_ALERT, Tenant};
use riskshare::pb;
use std::ops::Range;

const LOAD: Load = Load { connections: 8, in_flight: 4 };
const ACTORS: usize = 3;
/// What each person did, in bursts.
const ACTIVITIES: usize = 50;
const BURST: usize = 5;
/// Calls of a round, each about three people of its own.
const CALLS: usize = 4_000;
const ECHOES: usize = 20_000;
const DAYS: usize = 100;

fn main() -> Result<()> {
    bench::main(measure)
}

async fn measure(options: &Options) -> Result<()> {
    let server = Program::riskshare(options)?;
    let load = options.load(LOAD);
    let (calls, echoes) = (options.scale(CALLS), options.scale(ECHOES));
    let tenant = Tenant::sharing(&server, 1).await?;
    populate(&tenant, calls * ACTORS).await?;

    let security = options.security(&tenant.id).await?;
    let (server, echo) = server.beside_echo(security.as_ref())?;
    let others = Calls::new(ENRICH_ALERT, (0..calls).map(|n| request(&tenant, n * ACTORS..(n + 1) * ACTORS)))
        .secured(security.as_ref());
    let same = Calls::new(ENRICH_ALERT, [request(&tenant, 0..ACTORS)]).secured(security.as_ref());
    check(&others.first(&server).await?)?;
    let answer_bytes = others.measure(&server, load, calls).await?.answer_bytes();
    let echoed = others.echoed(answer_bytes);

    let mut table = Table::of("call", 1);
    for round in 0..options.rounds() {
        table.add("echo", echoed.measure(&echo, load, echoes).await?);
        if security.is_none() {
            // Settings are not for those who may read.
            tenant.forget_levels(round).await?;
            table.add("people never asked about", others.measure(&server, load, calls).await?);
        }
        table.add("other people in each call", others.measure(&server, load, calls).await?);
        table.add("the same people in each call", same.measure(&server, load, calls).await?);
    }
    table.print();
    Ok(())
}

/// Gives each of so many people their activities, day after day.
async fn populate(tenant: &Tenant, people: usize) -> Result<()> {
    tenant.declare(0..people).await?;
    tenant.enlist(0..people).await?;
    for day in 0..DAYS {
        let of_day = |person: &usize| (person + day).is_multiple_of(DAYS * BURST / ACTIVITIES);
        let burst = |person| (0..BURST).map(move |n| activity(person, day, n));
        tenant.record((0..people).filter(of_day).flat_map(burst).collect()).await?;
    }
    Ok(())
}

fn activity(person: usize, day: usize, n: usize) -> pb::ActivityRecord {
    let number = (person * DAYS + day) * BURST + n;
    tenant::activity(number, person, tenant::on_day(DAYS - day, person + 600 * n))
}

fn request(tenant: &Tenant, people: Range<usize>) -> pb::EnrichAlertRequest {
    let mut request = tenant.alert(people);
    if let Some(alert) = &mut request.alert {
        "DLP policy (Plans) matched for document 'plan.docx' in OneDrive".clone_into(&mut alert.title);
        "Plans".clone_into(&mut alert.policy_name);
    }
    request
}

fn check(answer: &pb::EnrichAlertResponse) -> Result<()> {
    let actors = answer.alert.as_ref().map_or(&[][..], |alert| &alert.actors);
    ensure!(actors.len() == ACTORS, "{} actors", actors.len());
    ensure!(actors.iter().all(|actor| actor.activities.len() == ACTIVITIES), "other activities: {actors:?}");
    Ok(())
}
