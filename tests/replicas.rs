//! Promise 1 over several replicas: three processes over one database. After the call that turns sharing off has returned
//! from one of them, no answer that begins at any of them holds data; nor does what a replica sends that was frozen
//! across the switch, that lost its database meanwhile, or whose database was killed and is another one now.
//! `RISKSHARE_TEST_SWITCHES`, `RISKSHARE_TEST_FREEZES`, `RISKSHARE_TEST_CUTS` and `RISKSHARE_TEST_TAKEOVERS` set other numbers.
#![cfg(has_postgres)]

mod child;
mod postgres;

use child::Server;
use chrono::TimeDelta;
use postgres::Database;
use postgres::link::Link;
use postgres::pair::Pair;
use prost_types::{FieldMask, Timestamp};
use riskshare::clock::{Clock, SystemClock};
use riskshare::pb;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;

const SWITCHES: usize = 500;
const FREEZES: usize = 8;
const CUTS: usize = 8;
const KILLS: usize = 3;
const USERS: usize = 5;
/// Turning off takes a second: so many tenants are switched at the same time.
const TENANTS: usize = 10;

/// Three replicas, and their tenants with some users of whom there is something to tell.
struct Replicas {
    servers: Vec<Server>,
    channels: Vec<Channel>,
    _folder: TempDir,
}

fn tenant(n: usize) -> String {
    format!("3f2504e0-4f89-41d3-9a0c-0305e82c33{n:02}")
}

fn user(n: usize) -> pb::UserIdentity {
    pb::UserIdentity { upn: format!("user{n}@contoso.com"), ..Default::default() }
}

impl Replicas {
    async fn start(database: &Database, more: &[&str]) -> Self {
        let url = database.url();
        Self::start_over([&url, &url, &url], more).await
    }

    /// Starts each over a database by its own way.
    async fn start_over(urls: [&str; 3], more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let migrated = child::program().args(["migrate", "--postgres-url", urls[0]]).output();
        assert!(migrated.unwrap().status.success());
        let start = |(n, url)| {
            let name = format!("replica-{n}");
            let own = ["--postgres-url", url, "--postgres-connections", "24", "--postgres-replica", &name];
            Server::start_with(folder.path(), "127.0.0.1:0", &[&own[..], more].concat())
        };
        let servers: Vec<Server> = urls.into_iter().enumerate().map(start).collect();
        let mut channels = Vec::new();
        for server in &servers {
            channels.push(server.connect().await);
        }
        let replicas = Self { servers, channels, _folder: folder };
        for n in 0..TENANTS {
            replicas.fill(&tenant(n)).await;
        }
        replicas
    }

    async fn fill(&self, tenant: &str) {
        let settings = pb::Settings { user_analytics_enabled: true, ..Default::default() };
        self.set(0, tenant, "user_analytics_enabled", settings).await.unwrap();
        let at = SystemClock.now() - TimeDelta::hours(1);
        let activity = |n: usize| pb::ActivityRecord {
            activity_id: format!("a{n}"),
            user: Some(user(n % USERS)),
            occurred_at: Some(Timestamp { seconds: at.timestamp(), nanos: 0 }),
            indicator: "CopyToUSB".to_owned(),
            ..Default::default()
        };
        let activities = (0..USERS * 20).map(activity).collect();
        let request =
            pb::IngestActivitiesRequest { tenant_id: tenant.to_owned(), activities, raw_records: vec![] };
        IngestServiceClient::new(self.channels[1].clone()).ingest_activities(request).await.unwrap();
    }

    async fn set(
        &self,
        replica: usize,
        tenant: &str,
        field: &str,
        settings: pb::Settings,
    ) -> Result<pb::UpdateSettingsResponse, tonic::Status> {
        let request = pb::UpdateSettingsRequest {
            tenant_id: tenant.to_owned(),
            settings: Some(settings),
            update_mask: Some(FieldMask { paths: vec![field.to_owned()] }),
            etag: String::new(),
        };
        let mut client = SettingsServiceClient::new(self.channels[replica].clone());
        Ok(client.update_settings(request).await?.into_inner())
    }

    async fn share(&self, replica: usize, n: usize, on: bool) -> pb::UpdateSettingsResponse {
        let settings = pb::Settings { data_sharing_enabled: on, ..Default::default() };
        self.set(replica, &tenant(n), "data_sharing_enabled", settings).await.unwrap()
    }

    /// Does so however often it must be tried.
    async fn insist(&self, replica: usize, on: bool) {
        let settings = pb::Settings { data_sharing_enabled: on, ..Default::default() };
        while self.set(replica, &tenant(0), "data_sharing_enabled", settings.clone()).await.is_err() {
            a_moment(20).await;
        }
    }

    fn signal(&self, replica: usize, signal: &str) {
        let id = self.servers[replica].id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

/// An answer with data: when it was asked for, and when its message was there.
#[derive(Clone, Copy, Debug)]
struct Told {
    tenant: usize,
    replica: usize,
    begun: Instant,
    ended: Instant,
}

/// Ask all replicas in every way, all the time.
struct Readers {
    tasks: JoinSet<()>,
    told: Arc<Mutex<Vec<Told>>>,
    asked: Arc<Mutex<usize>>,
    stop: Arc<AtomicBool>,
}

impl Readers {
    fn start(replicas: &Replicas, tenants: usize) -> Self {
        let mut readers =
            Self { tasks: JoinSet::new(), told: Arc::default(), asked: Arc::default(), stop: Arc::default() };
        for (replica, channel) in replicas.channels.iter().enumerate() {
            for (tenant, way) in
                (0..tenants).flat_map(|n| [ENRICH, PAGE_OF_ALERTS, TIMELINE].map(|way| (n, way)))
            {
                let (channel, told) = (channel.clone(), Arc::clone(&readers.told));
                let (asked, stop) = (Arc::clone(&readers.asked), Arc::clone(&readers.stop));
                readers.tasks.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        let came = way(&channel, self::tenant(tenant)).await;
                        *asked.lock().unwrap() += 1;
                        let data = came.map(|ended| Told { tenant, replica, begun, ended });
                        told.lock().unwrap().extend(data);
                    }
                });
            }
        }
        readers
    }

    /// Waits until a replica tells something.
    async fn hear(&self, replica: usize) {
        while !self.told.lock().unwrap().iter().any(|one| one.replica == replica) {
            a_moment(5).await;
        }
    }

    /// Waits until so many more answers have come.
    async fn go_on(&self, answers: usize) {
        let asked = *self.asked.lock().unwrap();
        while *self.asked.lock().unwrap() < asked + answers {
            a_moment(5).await;
        }
    }

    async fn stop(self) -> (Vec<Told>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        (self.told.lock().unwrap().clone(), *self.asked.lock().unwrap())
    }
}

type Way = fn(&Channel, String) -> std::pin::Pin<Box<dyn Future<Output = Option<Instant>> + Send + '_>>;

/// Asks, and returns when the message came if it holds data: the end of the answer, which holds none, comes after it and
/// may come much later from a replica that was frozen in between.
async fn ask<Q, A>(channel: &Channel, method: &str, request: Q, has_data: fn(A) -> bool) -> Option<Instant>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = format!("/riskshare.v1.AlertEnrichmentService/{method}").parse().unwrap();
    let codec = tonic_prost::ProstCodec::<Q, A>::default();
    let came = match client.server_streaming(tonic::Request::new(request), path, codec).await {
        Ok(answer) => answer.into_inner().message().await,
        Err(status) => Err(status),
    };
    let at = Instant::now();
    match came {
        Ok(message) => message.is_some_and(has_data).then_some(at),
        // A refusal, or the end of a connection: what no message comes of holds none.
        Err(status) => {
            let is_fault = matches!(status.code(), Code::Ok | Code::InvalidArgument | Code::NotFound);
            assert!(!is_fault, "{method}: {status:?}");
            None
        }
    }
}

fn alert() -> pb::DlpAlert {
    pb::DlpAlert {
        alert_id: "da-1".to_owned(),
        involved_users: (0..USERS).map(user).collect(),
        ..Default::default()
    }
}

fn has_data(alert: &pb::EnrichedAlert) -> bool {
    alert.severity() != pb::Severity::UserDataNotAvailable || !alert.actors.is_empty()
}

const ENRICH: Way = |channel, tenant_id| {
    let request = pb::EnrichAlertRequest {
        tenant_id,
        alert: Some(alert()),
        view: pb::EnrichmentView::Full.into(),
        activity_page_size: 0,
    };
    Box::pin(ask(channel, "EnrichAlert", request, |answer: pb::EnrichAlertResponse| {
        answer.alert.is_some_and(|alert| has_data(&alert))
    }))
};

const PAGE_OF_ALERTS: Way = |channel, tenant_id| {
    let request = pb::BatchEnrichAlertsRequest {
        tenant_id,
        alerts: vec![alert(); 3],
        view: pb::EnrichmentView::Severity.into(),
        activity_page_size: 0,
    };
    Box::pin(ask(channel, "BatchEnrichAlerts", request, |answer: pb::BatchEnrichAlertsResponse| {
        format!("{answer:?}").contains("High")
    }))
};

const TIMELINE: Way = |channel, tenant_id| {
    let request =
        pb::ListUserActivitiesRequest { tenant_id, user: Some(user(1)), page_size: 5, ..Default::default() };
    Box::pin(ask(channel, "ListUserActivities", request, |_: pb::ListUserActivitiesResponse| true))
};

fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

async fn a_moment(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(random(milliseconds))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn off_is_off_on_all_replicas_from_the_moment_that_it_returns_from_one() {
    let switches = child::number_from("RISKSHARE_TEST_SWITCHES").unwrap_or(SWITCHES).div_ceil(TENANTS);
    let database = Database::like(None);
    let replicas = Arc::new(Replicas::start(&database, &[]).await);
    let readers = Readers::start(&replicas, TENANTS);
    let mut switching = JoinSet::new();
    for tenant in 0..TENANTS {
        let replicas = Arc::clone(&replicas);
        switching.spawn(async move {
            let (mut dark, mut undrained) = (Vec::new(), 0);
            for _ in 0..switches {
                replicas.share(usize::try_from(random(3)).unwrap(), tenant, true).await;
                a_moment(200).await;
                let off = replicas.share(usize::try_from(random(3)).unwrap(), tenant, false).await;
                undrained += usize::from(!off.drained);
                let off = Instant::now();
                a_moment(200).await;
                dark.push((tenant, off, Instant::now()));
            }
            (dark, undrained)
        });
    }
    let (dark, undrained): (Vec<_>, Vec<usize>) = switching.join_all().await.into_iter().unzip();
    let (told, asked) = readers.stop().await;
    let mut late = Vec::new();
    for (tenant, off, on) in dark.into_iter().flatten() {
        let of_tenant = || told.iter().filter(|one| one.tenant == tenant);
        let leak = of_tenant().find(|one| one.begun >= off && one.ended <= on);
        assert!(leak.is_none(), "an answer that began after off held data: {leak:?}");
        late.extend(of_tenant().filter(|one| one.begun < off && one.ended > off).map(|one| one.ended - off));
    }
    println!(
        "{} switches, {} not drained; {asked} answers, {} with data; {} of those were read after off had returned, at most \
         {:?} after",
        switches * TENANTS,
        undrained.iter().sum::<usize>(),
        told.len(),
        late.len(),
        late.iter().max().copied().unwrap_or_default(),
    );
    assert!(told.len() > switches * TENANTS, "the readers hardly read");
}

/// Of a replica that something happened to nothing is heard after off; of no replica anything that began after it.
fn nothing_leaked(told: &[Told], off: Instant, patient: usize) {
    let leak = told.iter().find(|one| one.replica == patient && one.ended > off);
    assert!(leak.is_none(), "a replica sent data after off: {leak:?}");
    let leak = told.iter().find(|one| one.begun >= off);
    assert!(leak.is_none(), "an answer that began after off held data: {leak:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_was_frozen_across_the_switch_sends_nothing_when_it_thaws() {
    let freezes = child::number_from("RISKSHARE_TEST_FREEZES").unwrap_or(FREEZES);
    let database = Database::like(None);
    let replicas = Replicas::start(&database, &[]).await;
    let (mut slowest, mut undrained, mut with_data) = (Duration::ZERO, 0, 0);
    for _ in 0..freezes {
        replicas.share(0, 0, true).await;
        let readers = Readers::start(&replicas, 1);
        readers.hear(2).await;
        a_moment(20).await;
        replicas.signal(2, "-STOP");
        let begun = Instant::now();
        let switched = replicas.share(usize::try_from(random(2)).unwrap(), 0, false).await;
        // Others can be cut off too: those whose audit line waits behind one that the frozen replica was writing.
        assert_eq!(switched.drained, switched.cut_off_replicas.is_empty());
        assert!(switched.cut_off_replicas.iter().all(|name| name.starts_with("replica-")), "{switched:?}");
        undrained += usize::from(!switched.drained);
        let off = Instant::now();
        slowest = slowest.max(off - begun);
        replicas.signal(2, "-CONT");
        // The frozen answers come, and some that began after.
        readers.go_on(60).await;
        let (told, _) = readers.stop().await;
        with_data += told.len();
        nothing_leaked(&told, off, 2);
    }
    println!(
        "{freezes} freezes, {with_data} answers with data, {undrained} switches not drained, the slowest took {slowest:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_whose_sessions_are_lost_without_its_knowing_sends_nothing_after_off() {
    let cuts = child::number_from("RISKSHARE_TEST_CUTS").unwrap_or(CUTS);
    let (database, link) = (Database::like(None), Link::to(Database::folder()));
    let (url, by_link) = (database.url(), database.url_by(&link.folder()));
    let replicas = Replicas::start_over([&url, &url, &by_link], &[]).await;
    let (mut slowest, mut with_data) = (Duration::ZERO, 0);
    for _ in 0..cuts {
        replicas.share(0, 0, true).await;
        let readers = Readers::start(&replicas, 1);
        readers.hear(2).await;
        a_moment(20).await;
        link.cut();
        let begun = Instant::now();
        replicas.share(usize::try_from(random(2)).unwrap(), 0, false).await;
        let off = Instant::now();
        slowest = slowest.max(off - begun);
        readers.go_on(60).await;
        link.mend();
        readers.go_on(60).await;
        let (told, _) = readers.stop().await;
        with_data += told.len();
        nothing_leaked(&told, off, 2);
    }
    println!("{cuts} cuts, {with_data} answers with data, the slowest switch took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn off_is_off_though_the_primary_is_killed_within_the_switch_and_the_standby_takes_over() {
    let kills = child::number_from("RISKSHARE_TEST_TAKEOVERS").unwrap_or(KILLS);
    let mut pair = Pair::start();
    let url = pair.url();
    let replicas = Arc::new(Replicas::start_over([&url, &url, &url], &[]).await);
    let (mut slowest, mut with_data) = (Duration::ZERO, 0);
    for _ in 0..kills {
        replicas.insist(0, true).await;
        let readers = Readers::start(&replicas, 1);
        readers.hear(2).await;
        let begun = Instant::now();
        let switching = Arc::clone(&replicas);
        let switch = tokio::spawn(async move {
            switching.insist(0, false).await;
            Instant::now()
        });
        a_moment(30).await;
        pair.fail_over();
        pair.add_standby();
        let off = switch.await.unwrap();
        slowest = slowest.max(off - begun);
        readers.go_on(60).await;
        let (told, _) = readers.stop().await;
        with_data += told.len();
        (0..3).for_each(|replica| nothing_leaked(&told, off, replica));
    }
    println!(
        "{kills} kills, {with_data} answers with data, the slowest switch took {slowest:?} with all its tries"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_strict_switch_waits_for_a_frozen_replica_and_cuts_nobody_off() {
    let database = Database::like(None);
    let replicas = Arc::new(Replicas::start(&database, &["--postgres-strict-switch"]).await);
    let mut waited = false;
    while !waited {
        replicas.share(0, 0, true).await;
        let readers = Readers::start(&replicas, 1);
        readers.hear(2).await;
        a_moment(20).await;
        replicas.signal(2, "-STOP");
        let switching = Arc::clone(&replicas);
        let switch = tokio::spawn(async move { switching.share(0, 0, false).await });
        // Longer than any switch that is not strict. When the frozen replica holds no answer, this one is over too.
        tokio::time::sleep(Duration::from_secs(5)).await;
        waited = !switch.is_finished();
        replicas.signal(2, "-CONT");
        let off = switch.await.unwrap();
        let returned = Instant::now();
        assert!(off.drained && off.cut_off_replicas.is_empty() || !waited, "{off:?}");
        let (told, _) = readers.stop().await;
        let leak = told.iter().find(|one| one.begun >= returned);
        assert!(leak.is_none(), "an answer that began after off held data: {leak:?}");
    }
}
