//! How the cost of a call changes with the users of an alert, the activities of a user, the users of a tenant and the
//! tenants of a server. Each should stay as it is, or grow with what is asked for.
//!
//! `cargo bench --bench scale -- --draw docs/figures`

mod bench;

use anyhow::{Context, Result, ensure};
use bench::Options;
use bench::load::{Calls, Load};
use bench::plot::Plot;
use bench::program::Program;
use bench::tenant;
use bench::tenant::{BATCH_ENRICH_ALERTS, ENRICH_ALERT, Tenant};
use riskshare::pb;
use riskshare::pb::EnrichmentView;
use std::time::Duration;

const LOAD: Load = Load { connections: 4, in_flight: 2 };
/// A point takes calls until the server has worked so long, and at least so many.
const WORK: Duration = Duration::from_millis(400);
const CALLS_MIN: usize = 8;
const SIZES: [usize; 7] = [1, 3, 10, 30, 100, 300, 1_000];
/// What everybody did who is asked for, but where activities are what changes.
const ACTIVITIES: usize = 5;
const CPU: &str = "CPU of a call in us";
const FIRST: &str = "people never asked about";
const AGAIN: &str = "the same people again";

fn main() -> Result<()> {
    bench::main(measure)
}

async fn measure(options: &Options) -> Result<()> {
    for plot in [
        users_of_an_alert(options).await?,
        activities_of_a_user(options).await?,
        users_of_a_tenant(options).await?,
        tenants_of_a_server(options).await?,
    ] {
        plot.print();
        if let Some(folder) = &options.draw {
            plot.draw(folder)?;
        }
    }
    Ok(())
}

/// An alert that involves more and more users, with five activities each.
async fn users_of_an_alert(options: &Options) -> Result<Plot> {
    let mut plot = Plot::new("Users of an alert", "users", CPU);
    let server = Program::riskshare(options)?;
    let tenant = Tenant::sharing(&server, 1).await?;
    populate(&tenant, 0..SIZES[SIZES.len() - 1], ACTIVITIES).await?;
    for users in SIZES {
        for (view, name) in [(EnrichmentView::Severity, "the column"), (EnrichmentView::Full, "in full")] {
            let mut request = tenant.alert(0..users);
            request.view = view.into();
            let calls = Calls::new(ENRICH_ALERT, [request]);
            let answer: pb::EnrichAlertResponse = calls.first(&server).await?;
            let alert = answer.alert.context("no alert")?;
            ensure!(view == EnrichmentView::Severity || alert.actors.len() == users, "other actors");
            plot.add(name, users, cost(options, &server, &calls).await?)?;
        }
    }
    Ok(plot)
}

/// An alert that involves one user, who did more and more. The answer holds the latest 50.
async fn activities_of_a_user(options: &Options) -> Result<Plot> {
    let mut plot = Plot::new("Activities of a user", "activities", CPU);
    let server = Program::riskshare(options)?;
    let tenant = Tenant::sharing(&server, 1).await?;
    for (person, activities) in [1, 10, 100, 1_000, 10_000, 100_000].into_iter().enumerate() {
        populate(&tenant, person..person + 1, activities).await?;
        let calls = Calls::new(ENRICH_ALERT, [tenant.alert(person..person + 1)]);
        calls.first::<pb::EnrichAlertResponse>(&server).await?;
        plot.add(FIRST, activities, cost_anew(options, &server, &tenant, &calls).await?)?;
        plot.add(AGAIN, activities, cost(options, &server, &calls).await?)?;
    }
    Ok(plot)
}

/// A queue page of 500 alerts about other people each time, of more and more people.
async fn users_of_a_tenant(options: &Options) -> Result<Plot> {
    let mut plot = Plot::new("Users of a tenant", "users", CPU);
    let server = Program::riskshare(options)?;
    let tenant = Tenant::sharing(&server, 1).await?;
    let mut known = 0;
    let most = options.scale(1_000_000);
    for users in [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|users| *users <= most) {
        tenant.declare(known..users).await?;
        known = users;
        let others = Calls::new(BATCH_ENRICH_ALERTS, (0..200).map(|n| page(&tenant, users, n)));
        let same = Calls::new(BATCH_ENRICH_ALERTS, [page(&tenant, users, 0)]);
        plot.add("other people in each call", users, cost(options, &server, &others).await?)?;
        plot.add(AGAIN, users, cost(options, &server, &same).await?)?;
    }
    Ok(plot)
}

/// An alert with three users, of another tenant each time.
async fn tenants_of_a_server(options: &Options) -> Result<Plot> {
    let mut plot = Plot::new("Tenants of a server", "tenants", CPU);
    let server = Program::riskshare(options)?;
    let mut all = Vec::new();
    let most = options.scale(10_000);
    for tenants in [1, 10, 100, 1_000, 10_000].into_iter().filter(|tenants| *tenants <= most) {
        for number in all.len()..tenants {
            let tenant = Tenant::sharing(&server, 1 + number as u128).await?;
            populate(&tenant, 0..3, ACTIVITIES).await?;
            all.push(tenant.alert(0..3));
        }
        let calls = Calls::new(ENRICH_ALERT, all.iter().cloned());
        plot.add("in full, three users", tenants, cost(options, &server, &calls).await?)?;
    }
    Ok(plot)
}

/// Declares people, makes them members of the policy and has them do so many things over 100 days.
async fn populate(tenant: &Tenant, people: std::ops::Range<usize>, activities: usize) -> Result<()> {
    tenant.declare(people.clone()).await?;
    tenant.enlist(people.clone()).await?;
    let did = |person: usize| {
        (0..activities).map(move |n| {
            let at = tenant::on_day(1 + 100 * n / activities, 60 * n);
            tenant::activity(person << 20 | n, person, at)
        })
    };
    tenant.record(people.flat_map(did).collect()).await
}

fn page(tenant: &Tenant, people: usize, page: usize) -> pb::BatchEnrichAlertsRequest {
    tenant.page(page, |n| tenant::somebody(n, people))
}

/// Returns what a call costs about people whose levels nobody has found, by what it takes longer than when they were.
///
/// Whatever is forgotten is of the whole tenant, so each call is by itself, and too short for the unit of CPU time: a
/// thread of the server's works from its beginning to its end, so time is CPU but for the journey.
async fn cost_anew(options: &Options, server: &Program, tenant: &Tenant, calls: &Calls) -> Result<f64> {
    let mut took = Vec::new();
    for round in 0..if options.is_quick() { 3 } else { 21 } {
        tenant.forget_levels(round).await?;
        took.push(calls.measure(server, Load { connections: 1, in_flight: 1 }, 1).await?.micros());
    }
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}

/// Returns what one of these calls costs, after all were made once.
async fn cost(options: &Options, server: &Program, calls: &Calls) -> Result<f64> {
    let mut count = calls.frames().len().max(CALLS_MIN);
    calls.measure(server, LOAD, count).await?;
    loop {
        let before = server.cpu()?;
        calls.measure(server, LOAD, count).await?;
        let worked = server.cpu()?.saturating_sub(before);
        if worked >= WORK || options.is_quick() {
            return Ok(worked.as_secs_f64() * 1e6 / f64::from(u32::try_from(count)?));
        }
        count *= 2;
    }
}
