//! Promise 1 over several replicas: three processes over one database. After the call that turns sharing off has returned
//! from one of them, no answer that begins at any of them holds data; nor does what a replica sends that was frozen
//! across the switch. `RISKSHARE_TEST_SWITCHES` and `RISKSHARE_TEST_FREEZES` set other numbers.
#![cfg(has_postgres)]

mod child;
mod postgres;

use child::Server;
use chrono::TimeDelta;
use postgres::Database;
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
const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const USERS: usize = 5;

/// Three replicas, and their tenant with some users of whom there is something to tell.
struct Replicas {
    servers: Vec<Server>,
    channels: Vec<Channel>,
    _folder: TempDir,
    _database: Database,
}

fn user(n: usize) -> pb::UserIdentity {
    pb::UserIdentity { upn: format!("user{n}@contoso.com"), ..Default::default() }
}

impl Replicas {
    async fn start(more: &[&str]) -> Self {
        let (folder, database) = (tempfile::tempdir().unwrap(), Database::like(None));
        let url = database.url();
        let migrated = child::program().args(["migrate", "--postgres-url", &url]).output();
        assert!(migrated.unwrap().status.success());
        let start = |n: usize| {
            let name = format!("replica-{n}");
            let own = ["--postgres-url", &url, "--postgres-connections", "24", "--postgres-replica", &name];
            Server::start_with(folder.path(), "127.0.0.1:0", &[&own[..], more].concat())
        };
        let servers: Vec<Server> = (0..3).map(start).collect();
        let mut channels = Vec::new();
        for server in &servers {
            channels.push(server.connect().await);
        }
        let replicas = Self { servers, channels, _folder: folder, _database: database };
        replicas.fill().await;
        replicas
    }

    async fn fill(&self) {
        let settings = pb::Settings { user_analytics_enabled: true, ..Default::default() };
        self.set(0, "user_analytics_enabled", settings).await;
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
            pb::IngestActivitiesRequest { tenant_id: TENANT.to_owned(), activities, raw_records: vec![] };
        IngestServiceClient::new(self.channels[1].clone()).ingest_activities(request).await.unwrap();
    }

    async fn set(&self, replica: usize, field: &str, settings: pb::Settings) -> pb::UpdateSettingsResponse {
        let request = pb::UpdateSettingsRequest {
            tenant_id: TENANT.to_owned(),
            settings: Some(settings),
            update_mask: Some(FieldMask { paths: vec![field.to_owned()] }),
            etag: String::new(),
        };
        let mut client = SettingsServiceClient::new(self.channels[replica].clone());
        client.update_settings(request).await.unwrap().into_inner()
    }

    async fn share(&self, replica: usize, on: bool) -> pb::UpdateSettingsResponse {
        let settings = pb::Settings { data_sharing_enabled: on, ..Default::default() };
        self.set(replica, "data_sharing_enabled", settings).await
    }

    fn signal(&self, replica: usize, signal: &str) {
        let id = self.servers[replica].id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

/// An answer with data: when it was asked for, and when its message was there.
#[derive(Clone, Copy, Debug)]
struct Told {
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
    fn start(replicas: &Replicas) -> Self {
        let mut readers =
            Self { tasks: JoinSet::new(), told: Arc::default(), asked: Arc::default(), stop: Arc::default() };
        for (replica, channel) in replicas.channels.iter().enumerate() {
            for way in [ENRICH, PAGE_OF_ALERTS, TIMELINE] {
                let (channel, told) = (channel.clone(), Arc::clone(&readers.told));
                let (asked, stop) = (Arc::clone(&readers.asked), Arc::clone(&readers.stop));
                readers.tasks.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        let came = way(&channel).await;
                        *asked.lock().unwrap() += 1;
                        let data = came.map(|ended| Told { replica, begun, ended });
                        told.lock().unwrap().extend(data);
                    }
                });
            }
        }
        readers
    }

    async fn stop(self) -> (Vec<Told>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        (self.told.lock().unwrap().clone(), *self.asked.lock().unwrap())
    }
}

type Way = fn(&Channel) -> std::pin::Pin<Box<dyn Future<Output = Option<Instant>> + Send + '_>>;

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

const ENRICH: Way = |channel| {
    let request = pb::EnrichAlertRequest {
        tenant_id: TENANT.to_owned(),
        alert: Some(alert()),
        view: pb::EnrichmentView::Full.into(),
        activity_page_size: 0,
    };
    Box::pin(ask(channel, "EnrichAlert", request, |answer: pb::EnrichAlertResponse| {
        answer.alert.is_some_and(|alert| has_data(&alert))
    }))
};

const PAGE_OF_ALERTS: Way = |channel| {
    let request = pb::BatchEnrichAlertsRequest {
        tenant_id: TENANT.to_owned(),
        alerts: vec![alert(); 3],
        view: pb::EnrichmentView::Severity.into(),
        activity_page_size: 0,
    };
    Box::pin(ask(channel, "BatchEnrichAlerts", request, |answer: pb::BatchEnrichAlertsResponse| {
        format!("{answer:?}").contains("High")
    }))
};

const TIMELINE: Way = |channel| {
    let request = pb::ListUserActivitiesRequest {
        tenant_id: TENANT.to_owned(),
        user: Some(user(1)),
        page_size: 5,
        ..Default::default()
    };
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
    let switches = child::number_from("RISKSHARE_TEST_SWITCHES").unwrap_or(SWITCHES);
    let replicas = Replicas::start(&[]).await;
    let readers = Readers::start(&replicas);
    let (mut dark, mut undrained) = (Vec::new(), 0);
    for _ in 0..switches {
        replicas.share(usize::try_from(random(3)).unwrap(), true).await;
        a_moment(30).await;
        let off = replicas.share(usize::try_from(random(3)).unwrap(), false).await;
        undrained += usize::from(!off.drained);
        let off = Instant::now();
        a_moment(30).await;
        dark.push((off, Instant::now()));
    }
    let (told, asked) = readers.stop().await;
    let mut late = Vec::new();
    for (off, on) in dark {
        let leak = told.iter().find(|one| one.begun >= off && one.ended <= on);
        assert!(leak.is_none(), "an answer that began after off held data: {leak:?}");
        late.extend(told.iter().filter(|one| one.begun < off && one.ended > off).map(|one| one.ended - off));
    }
    println!(
        "{switches} switches, {undrained} not drained; {asked} answers, {} with data; {} of those were read after off \
         had returned, at most {:?} after",
        told.len(),
        late.len(),
        late.iter().max().copied().unwrap_or_default(),
    );
    assert!(told.len() > switches, "the readers hardly read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_was_frozen_across_the_switch_sends_nothing_when_it_thaws() {
    let freezes = child::number_from("RISKSHARE_TEST_FREEZES").unwrap_or(FREEZES);
    let replicas = Replicas::start(&[]).await;
    let (mut slowest, mut undrained, mut with_data) = (Duration::ZERO, 0, 0);
    for _ in 0..freezes {
        replicas.share(0, true).await;
        let readers = Readers::start(&replicas);
        while !readers.told.lock().unwrap().iter().any(|one| one.replica == 2) {
            a_moment(5).await;
        }
        a_moment(20).await;
        replicas.signal(2, "-STOP");
        let begun = Instant::now();
        let switched = replicas.share(usize::try_from(random(2)).unwrap(), false).await;
        // Others can be cut off too: those whose audit line waits behind one that the frozen replica was writing.
        assert_eq!(switched.drained, switched.cut_off_replicas.is_empty());
        assert!(switched.cut_off_replicas.iter().all(|name| name.starts_with("replica-")), "{switched:?}");
        undrained += usize::from(!switched.drained);
        let off = Instant::now();
        slowest = slowest.max(off - begun);
        replicas.signal(2, "-CONT");
        // The frozen answers come, and some that began after.
        let asked = *readers.asked.lock().unwrap();
        while *readers.asked.lock().unwrap() < asked + 60 {
            a_moment(5).await;
        }
        let (told, _) = readers.stop().await;
        with_data += told.len();
        let leak = told.iter().find(|one| one.replica == 2 && one.ended > off);
        assert!(leak.is_none(), "a replica that thawed sent data: {leak:?}");
        let leak = told.iter().find(|one| one.begun >= off);
        assert!(leak.is_none(), "an answer that began after off held data: {leak:?}");
    }
    println!(
        "{freezes} freezes, {with_data} answers with data, {undrained} switches not drained, the slowest took {slowest:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_strict_switch_waits_for_a_frozen_replica_and_cuts_nobody_off() {
    let replicas = Arc::new(Replicas::start(&["--postgres-strict-switch"]).await);
    let mut waited = false;
    while !waited {
        replicas.share(0, true).await;
        let readers = Readers::start(&replicas);
        while !readers.told.lock().unwrap().iter().any(|one| one.replica == 2) {
            a_moment(5).await;
        }
        a_moment(20).await;
        replicas.signal(2, "-STOP");
        let switching = Arc::clone(&replicas);
        let switch = tokio::spawn(async move { switching.share(0, false).await });
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
