//! What calls cost over PostgreSQL with 1, 2 and 4 replicas, beside the embedded engine and beside the SQL that somebody
//! would write instead. Starts a database of its own.
//!
//! `cargo bench --bench replicas`

mod bench;
#[path = "../tests/postgres/mod.rs"]
mod postgres;

use anyhow::{Context, Result, ensure};
use bench::Options;
use bench::load::{Called, Calls, Load};
use bench::program::{Program, cpu_of};
use bench::table::{Sample, Table};
use bench::tenant;
use bench::tenant::{
    ALERTS, BATCH_ENRICH_ALERTS, BURST, BURSTS, ENRICH_ALERT, INGEST_ACTIVITIES, INVOLVED, Tenant,
};
use postgres::{Server, folder, initdb};
use riskshare::pb;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

const READS: Load = Load { connections: 8, in_flight: 2 };
const WRITES: Load = Load { connections: 4, in_flight: 1 };
const PEOPLE: usize = 6_000;
const ACTORS: usize = 3;
const BATCH: usize = 1_000;
const ENRICH_CALLS: usize = 2_000;
const PAGE_CALLS: usize = 60;
const INGEST_CALLS: usize = 20;
/// What the database is given.
const DATABASE: &str = "-c max_connections=200 -c shared_buffers=1GB -c max_wal_size=8GB";
const REPLICAS: [(&str, usize); 3] = [("1 replica", 1), ("2 replicas", 2), ("4 replicas", 4)];

fn main() -> Result<()> {
    bench::main(measure)
}

async fn measure(options: &Options) -> Result<()> {
    let folder = folder();
    initdb(folder.path());
    let database = Server::start(folder.path(), DATABASE);
    ensure!(database.run("CREATE DATABASE riskshare") && database.run("CREATE DATABASE raw"), "no database");
    let url = |name: &str| format!("host={} user=postgres dbname={name}", folder.path().display());
    let migrated = Command::new(env!("CARGO_BIN_EXE_riskshare"))
        .args(["migrate", "--postgres-url", &url("riskshare")])
        .output()?;
    ensure!(migrated.status.success(), "the schema could not be made");
    let people = options.scale(PEOPLE);
    let embedded = Program::riskshare(options)?;
    let replicas = (0..4).map(|_| Program::replica(&url("riskshare"))).collect::<Result<Vec<_>>>()?;
    let raw = Raw::start(&url("raw")).await?;
    let tenant = Tenant::sharing(&embedded, 1).await?;
    populate(&tenant, people).await?;
    populate(&Tenant::sharing(&replicas[0], 1).await?, people).await?;
    raw.populate(people).await?;
    ensure!(database.ask_in("riskshare", "VACUUM ANALYZE").is_some(), "no statistics");
    ensure!(database.ask_in("raw", "VACUUM ANALYZE").is_some(), "no statistics");
    let bench = Bench { database, embedded, replicas, raw };
    bench.enrich(options, &tenant, people).await?;
    bench.page(options, &tenant, people).await?;
    bench.ingest(options, &tenant, people).await
}

/// All that is measured.
struct Bench {
    database: Server,
    embedded: Program,
    replicas: Vec<Program>,
    raw: Raw,
}

impl Bench {
    async fn enrich(&self, options: &Options, tenant: &Tenant, people: usize) -> Result<()> {
        let count = options.scale(ENRICH_CALLS);
        let alerts = people / ACTORS;
        let first = |n: usize| n % alerts * ACTORS;
        let calls = (0..count).map(|n| tenant.alert(first(n)..first(n) + ACTORS));
        let calls = Calls::new(ENRICH_ALERT, calls);
        let answer: pb::EnrichAlertResponse = calls.first(&self.replicas[0]).await?;
        let alert = answer.alert.context("no alert")?;
        ensure!(
            alert.actors.iter().all(|actor| actor.activities.len() == BURSTS * BURST),
            "other activities"
        );
        let asked = (0..count).map(|n| (first(n)..first(n) + ACTORS).map(upn).collect()).collect();
        self.reads("EnrichAlert", options, &calls, count, |one| &one.full, asked).await
    }

    async fn page(&self, options: &Options, tenant: &Tenant, people: usize) -> Result<()> {
        let count = options.scale(PAGE_CALLS);
        let person = |n: usize| tenant::somebody(n, people);
        let calls = Calls::new(BATCH_ENRICH_ALERTS, (0..count).map(|page| tenant.page(page, person)));
        let mentions = |page: usize| page * ALERTS * INVOLVED..(page + 1) * ALERTS * INVOLVED;
        let asked = |page| mentions(page).map(|n| upn(person(n))).collect();
        self.reads(
            "a page of 500",
            options,
            &calls,
            count,
            |one| &one.column,
            (0..count).map(asked).collect(),
        )
        .await
    }

    /// Measures calls that read, and the query that somebody would write instead, which writes down that it was asked.
    async fn reads(
        &self,
        what: &'static str,
        options: &Options,
        calls: &Calls,
        count: usize,
        query: Query,
        asked: Vec<Vec<String>>,
    ) -> Result<()> {
        let asked = Arc::new(asked);
        let mut table = Table::of(what, 1);
        for _ in 0..options.rounds() {
            let raw = self.raw.read(query, &asked, count);
            table.add("SQL", self.with_database(raw).await?);
            table.add("embedded", calls.measure(&self.embedded, READS, count).await?);
            for (name, replicas) in REPLICAS {
                let measured = calls.measure_all(&self.replicas[..replicas], READS, count);
                table.add(name, self.with_database(measured).await?);
            }
        }
        print(&table);
        Ok(())
    }

    async fn ingest(&self, options: &Options, tenant: &Tenant, people: usize) -> Result<()> {
        let count = options.scale(INGEST_CALLS);
        let mut table = Table::of("activity", u32::try_from(BATCH)?);
        let mut number = people * BURSTS * BURST;
        let mut batches = |tenant: &Tenant| -> Vec<pb::IngestActivitiesRequest> {
            let mut next = || {
                number += 1;
                let at = tenant::on_day(1 + number % 3, number / 10);
                tenant::activity(number, tenant::somebody(number, people), at)
            };
            (0..count).map(|_| tenant.batch((0..BATCH).map(|_| next()).collect())).collect()
        };
        for _ in 0..options.rounds() {
            let raw = self.raw.write(Arc::new(batches(tenant)));
            table.add("SQL", self.with_database(raw).await?);
            let calls = Calls::new(INGEST_ACTIVITIES, batches(tenant));
            table.add("embedded", calls.measure(&self.embedded, WRITES, count).await?);
            for (name, replicas) in REPLICAS {
                let calls = Calls::new(INGEST_ACTIVITIES, batches(tenant));
                let measured = calls.measure_all(&self.replicas[..replicas], WRITES, count);
                table.add(name, self.with_database(measured).await?);
            }
        }
        print(&table);
        Ok(())
    }

    /// Adds the CPU time of the database.
    async fn with_database(&self, measured: impl Future<Output = Result<Sample>>) -> Result<Sample> {
        let before = self.database_cpu()?;
        let sample = measured.await?;
        Ok(sample.with(self.database_cpu()?.saturating_sub(before)))
    }

    fn database_cpu(&self) -> Result<Duration> {
        let id = self.database.pid();
        let children = Command::new("pgrep").args(["-P", &id]).output()?;
        let children = String::from_utf8(children.stdout)?;
        children.split_whitespace().chain([id.as_str()]).map(|id| cpu_of(id.parse()?)).sum()
    }
}

fn print(table: &Table) {
    table.print();
    println!();
    for (name, _) in REPLICAS {
        println!(
            "{name}: {} as many a second as SQL, {} as many as embedded",
            table.rate_ratio(name, "SQL"),
            table.rate_ratio(name, "embedded")
        );
    }
}

async fn populate(tenant: &Tenant, people: usize) -> Result<()> {
    tenant.declare(0..people).await?;
    tenant.enlist(0..people).await?;
    let begun = Instant::now();
    for burst in 0..BURSTS {
        tenant.record((0..people).flat_map(|person| tenant::burst(person, burst)).collect()).await?;
    }
    let (count, seconds) = (people * BURSTS * BURST, begun.elapsed().as_secs_f64());
    println!("recorded {count} activities in {seconds:.1} s");
    Ok(())
}

fn upn(person: usize) -> String {
    tenant::named(person).upn
}

/// What somebody would write who asks the database directly. The levels are there already.
struct Raw(Vec<Arc<Connection>>);

/// A connection, and what it was prepared for.
struct Connection {
    client: Client,
    full: Statement,
    column: Statement,
    note: Statement,
}

/// Which of the statements asks.
type Query = fn(&Connection) -> &Statement;

const TABLES: &str = "
    CREATE TABLE person (upn text PRIMARY KEY, id bigserial, level smallint NOT NULL);
    CREATE TABLE deed (id uuid PRIMARY KEY, person text NOT NULL, at timestamptz NOT NULL, indicator text NOT NULL,
        operation text NOT NULL, object text NOT NULL, destination text NOT NULL);
    CREATE INDEX ON deed (person, at DESC);
    CREATE TABLE asked (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), people text[] NOT NULL);";
const FULL: &str = "SELECT p.upn, p.level, d.id, extract(epoch FROM d.at)::bigint, d.indicator, d.operation, d.object, \
    d.destination FROM person p CROSS JOIN LATERAL ( \
      SELECT * FROM deed WHERE person = p.upn ORDER BY at DESC LIMIT 50) d WHERE p.upn = ANY($1)";
const COLUMN: &str = "SELECT upn, level FROM person WHERE upn = ANY($1)";
const NOTE: &str = "INSERT INTO asked (people) VALUES ($1)";
const WRITE: &str = "INSERT INTO deed SELECT a, b, to_timestamp(c), d, e, f, g FROM \
    unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[]) AS n (a, b, c, d, e, f, g) \
    ON CONFLICT DO NOTHING";

impl Raw {
    async fn start(url: &str) -> Result<Self> {
        let (first, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        first.batch_execute(TABLES).await?;
        let mut connections = Vec::new();
        for _ in 0..READS.connections * READS.in_flight {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            let (full, column) = (client.prepare(FULL).await?, client.prepare(COLUMN).await?);
            let note = client.prepare(NOTE).await?;
            connections.push(Arc::new(Connection { client, full, column, note }));
        }
        Ok(Self(connections))
    }

    async fn populate(&self, people: usize) -> Result<()> {
        let names: Vec<String> = (0..people).map(upn).collect();
        self.0[0]
            .client
            .execute(
                "INSERT INTO person (upn, level) SELECT upn, 3 FROM unnest($1::text[]) AS upn",
                &[&names],
            )
            .await?;
        for burst in 0..BURSTS {
            for some in (0..people).collect::<Vec<_>>().chunks(2_000) {
                let deeds: Vec<_> = some.iter().flat_map(|person| tenant::burst(*person, burst)).collect();
                insert(&self.0[0].client, &deeds).await?;
            }
        }
        Ok(())
    }

    async fn read(&self, query: Query, asked: &Arc<Vec<Vec<String>>>, count: usize) -> Result<Sample> {
        let call = move |one: Arc<Connection>, n: usize, asked: Arc<Vec<Vec<String>>>| async move {
            let people: [&(dyn ToSql + Sync); 1] = [&asked[n % asked.len()]];
            let (query, note) =
                (one.client.query(query(&one), &people), one.client.execute(&one.note, &people));
            let (rows, _) = tokio::try_join!(query, note)?;
            ensure!(!rows.is_empty(), "nobody was found");
            Ok(rows.len())
        };
        self.measure(self.0.len(), count, call, Arc::clone(asked)).await
    }

    async fn write(&self, batches: Arc<Vec<pb::IngestActivitiesRequest>>) -> Result<Sample> {
        let count = batches.len();
        let call = |one: Arc<Connection>, n: usize, batches: Arc<Vec<pb::IngestActivitiesRequest>>| async move {
            insert(&one.client, &batches[n].activities).await?;
            Ok(0)
        };
        self.measure(WRITES.connections, count, call, batches).await
    }

    /// Calls in a closed loop, from this process, whose CPU time counts.
    async fn measure<D, F>(
        &self,
        callers: usize,
        count: usize,
        call: impl Fn(Arc<Connection>, usize, Arc<D>) -> F + Copy + Send + 'static,
        data: Arc<D>,
    ) -> Result<Sample>
    where
        D: Send + Sync + 'static,
        F: Future<Output = Result<usize>> + Send,
    {
        let (next, mut running) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        let (cpu, begun) = (cpu_of(std::process::id())?, Instant::now());
        for one in self.0.iter().take(callers) {
            let (one, next, data) = (Arc::clone(one), Arc::clone(&next), Arc::clone(&data));
            running.spawn(async move {
                let mut calls = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return Ok::<_, anyhow::Error>(calls);
                    }
                    let begun = Instant::now();
                    let answered = call(Arc::clone(&one), n, Arc::clone(&data)).await?;
                    calls.push(Called { took: begun.elapsed(), answered });
                }
            });
        }
        let mut calls = Vec::with_capacity(count);
        while let Some(done) = running.join_next().await {
            calls.append(&mut done??);
        }
        Ok(Sample::new(calls, begun.elapsed(), cpu_of(std::process::id())?.saturating_sub(cpu)))
    }
}

async fn insert(client: &Client, deeds: &[pb::ActivityRecord]) -> Result<()> {
    let text = |of: fn(&pb::ActivityRecord) -> &str| deeds.iter().map(of).collect::<Vec<&str>>();
    let ids = deeds.iter().map(|deed| Ok(deed.activity_id.parse()?)).collect::<Result<Vec<Uuid>>>()?;
    let at: Vec<i64> = deeds.iter().map(|deed| deed.occurred_at.map_or(0, |at| at.seconds)).collect();
    let people = text(|deed| deed.user.as_ref().map_or("", |user| &user.upn));
    let (indicators, operations) = (text(|deed| &deed.indicator), text(|deed| &deed.operation));
    let (objects, destinations) = (text(|deed| &deed.object_name), text(|deed| &deed.destination));
    client.execute(WRITE, &[&ids, &people, &at, &indicators, &operations, &objects, &destinations]).await?;
    Ok(())
}
