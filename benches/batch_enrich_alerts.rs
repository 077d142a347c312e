//! `BatchEnrichAlerts` of a queue page, the column only: 500 alerts that involve 1,000 of 1,000,000 people, beside an
//! echo of the same message sizes.
//!
//! `cargo bench --bench batch_enrich_alerts`

mod bench;

use anyhow::{Result, ensure};
use bench::Options;
use bench::load::{Calls, Load};
use bench::program::Program;
use bench::table::Table;
use bench::tenant;
use bench::tenant::{ALERTS, BATCH_ENRICH_ALERTS, Tenant};
use riskshare::pb;
use riskshare::pb::enrich_alert_result::Result as Of;
use std::time::Instant;

const LOAD: Load = Load { connections: 4, in_flight: 2 };
const PEOPLE: usize = 1_000_000;
/// One in so many people is a member of the policy, and on one day did one thing up to so many times.
const ONE_IN: usize = 10;
const ACTIVITIES: usize = 10;
const DAYS: usize = 100;
/// Pages of a round, each about people of its own.
const CALLS: usize = 200;
const ECHOES: usize = 20_000;

fn main() -> Result<()> {
    bench::main(measure)
}

async fn measure(options: &Options) -> Result<()> {
    let server = Program::riskshare(options)?;
    let load = options.load(LOAD);
    let (calls, echoes) = (options.scale(CALLS), options.scale(ECHOES));
    let people = options.scale(PEOPLE);
    let tenant = Tenant::sharing(&server, 1).await?;
    populate(&tenant, people).await?;

    let security = options.security(&tenant.id).await?;
    let (server, echo) = server.beside_echo(security.as_ref())?;
    let others = Calls::new(BATCH_ENRICH_ALERTS, (0..calls).map(|n| request(&tenant, people, n)))
        .secured(security.as_ref());
    let same = Calls::new(BATCH_ENRICH_ALERTS, [request(&tenant, people, 0)]).secured(security.as_ref());
    check(&others.first(&server).await?)?;
    let answer_bytes = others.measure(&server, load, calls).await?.answer_bytes();
    let echoed = others.echoed(answer_bytes);

    let mut table = Table::of("page", 1);
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

/// Declares people, some of whom did something.
async fn populate(tenant: &Tenant, people: usize) -> Result<()> {
    tenant.declare(0..people).await?;
    tenant.enlist((0..people).step_by(ONE_IN)).await?;
    let begun = Instant::now();
    for day in 0..DAYS {
        let doers = (0..people).step_by(ONE_IN).filter(|person| tenant::somebody(*person, DAYS) == day);
        let activities = doers.flat_map(|person| {
            let at = tenant::on_day(DAYS - day, person);
            (0..=person / ONE_IN % ACTIVITIES)
                .map(move |n| tenant::activity(person * ACTIVITIES + n, person, at))
        });
        tenant.record(activities.collect()).await?;
    }
    println!("recorded what they did in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Asks for a page about people of whom the next page has none.
fn request(tenant: &Tenant, people: usize, page: usize) -> pb::BatchEnrichAlertsRequest {
    tenant.page(page, |n| tenant::somebody_else(n, people))
}

/// Checks that the answer has a level for each alert, and not None for all.
fn check(answer: &pb::BatchEnrichAlertsResponse) -> Result<()> {
    let levels: Vec<_> = answer.results.iter().filter_map(|one| one.result.as_ref()).map(text).collect();
    ensure!(levels.len() == ALERTS, "{} answers", levels.len());
    let count = |level| levels.iter().filter(|text| **text == level).count();
    let counts = ["High", "Medium", "Low", "None"].map(|level| (level, count(level)));
    println!("the first page reads {counts:?}");
    ensure!(counts.iter().map(|(_, count)| count).sum::<usize>() == ALERTS, "other answers: {levels:?}");
    ensure!(counts[3].1 < ALERTS, "nobody has a level");
    Ok(())
}

fn text(of: &Of) -> &str {
    match of {
        Of::Alert(alert) => &alert.severity_text,
        Of::Refusal(refusal) => &refusal.message,
    }
}
