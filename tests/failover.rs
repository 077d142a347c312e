//! Promises 1 and 2 over a failover: the primary of a synchronous pair is killed with all its processes while two replicas
//! ingest, and the standby is promoted. Nothing that was acknowledged is missing; a switch that was acknowledged as off is
//! off; and the replicas go on without a restart. `RISKSHARE_TEST_FAILOVERS` sets another number.
#![cfg(has_postgres)]

mod child;
mod postgres;

use child::Server as Replica;
use postgres::pair::Pair;
use postgres::{Server, folder, initdb};
use prost_types::{FieldMask, Timestamp};
use riskshare::clock::{Clock, SystemClock};
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::transport::Channel;

const FAILOVERS: usize = 3;
const WRITERS: usize = 4;
const BATCH: usize = 10;
const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const OPTIONS: &str = "-c fsync=off -c max_connections=100 -c shared_buffers=64MB";

fn start(url: &str, folder: &Path) -> Replica {
    Replica::start_with(
        folder,
        "127.0.0.1:0",
        &["--postgres-url", url, "--query-seconds", "5", "--ingest-seconds", "5"],
    )
}

fn batch(writer: usize, number: usize) -> pb::IngestActivitiesRequest {
    let at = SystemClock.now();
    let activity = |n: usize| pb::ActivityRecord {
        activity_id: format!("{writer}-{number}-{n}"),
        user: Some(pb::UserIdentity { upn: format!("user{writer}@contoso.com"), ..Default::default() }),
        occurred_at: Some(Timestamp { seconds: at.timestamp(), nanos: 0 }),
        indicator: "CopyToUSB".to_owned(),
        ..Default::default()
    };
    let activities = (0..BATCH).map(activity).collect();
    pb::IngestActivitiesRequest { tenant_id: TENANT.to_owned(), activities, raw_records: vec![] }
}

/// What was acknowledged: whole batches, as they were sent.
type Acknowledged = Arc<Mutex<Vec<pb::IngestActivitiesRequest>>>;

async fn write(channel: Channel, writer: usize, acknowledged: Acknowledged, stop: Arc<AtomicBool>) {
    let mut client = IngestServiceClient::new(channel);
    for number in 0.. {
        let batch = batch(writer, number);
        while !stop.load(Ordering::Relaxed) {
            match client.ingest_activities(batch.clone()).await {
                Ok(answer) => {
                    let counts = answer.into_inner().counts.unwrap();
                    assert_eq!(counts.accepted + counts.duplicate, i32::try_from(BATCH).unwrap());
                    acknowledged.lock().unwrap().push(batch);
                    break;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Changes sharing, however often that must be tried.
async fn share(channel: &Channel, on: bool) {
    let request = pb::UpdateSettingsRequest {
        tenant_id: TENANT.to_owned(),
        settings: Some(pb::Settings {
            data_sharing_enabled: on,
            user_analytics_enabled: true,
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["data_sharing_enabled".to_owned(), "user_analytics_enabled".to_owned()],
        }),
        etag: String::new(),
    };
    let mut client = SettingsServiceClient::new(channel.clone());
    while client.update_settings(request.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks about an alert of everybody.
fn question() -> pb::EnrichAlertRequest {
    let users =
        (0..WRITERS).map(|n| pb::UserIdentity { upn: format!("user{n}@contoso.com"), ..Default::default() });
    let alert =
        pb::DlpAlert { alert_id: "da-1".to_owned(), involved_users: users.collect(), ..Default::default() };
    pb::EnrichAlertRequest {
        tenant_id: TENANT.to_owned(),
        alert: Some(alert),
        view: pb::EnrichmentView::Full.into(),
        activity_page_size: 0,
    }
}

/// Asks for an alert's column until there is an answer.
async fn column(channel: &Channel) -> String {
    loop {
        match AlertEnrichmentServiceClient::new(channel.clone()).enrich_alert(question()).await {
            Ok(answer) => return answer.into_inner().alert.unwrap().severity_text,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_survives_the_primary_and_off_stays_off() {
    let failovers = child::number_from("RISKSHARE_TEST_FAILOVERS").unwrap_or(FAILOVERS);
    let mut pair = Pair::start();
    let url = pair.url();
    let migrated = child::program().args(["migrate", "--postgres-url", &url]).output();
    let migrated = migrated.unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let folder = tempfile::tempdir().unwrap();
    let replicas = [start(&url, folder.path()), start(&url, folder.path())];
    let channels = [replicas[0].connect().await, replicas[1].connect().await];
    let (acknowledged, stop) = (Acknowledged::default(), Arc::new(AtomicBool::new(false)));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let channel = channels[writer % 2].clone();
        writers.spawn(write(channel, writer, Arc::clone(&acknowledged), Arc::clone(&stop)));
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..failovers {
        share(&channels[0], true).await;
        while column(&channels[1]).await != "High" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        share(&channels[0], false).await;
        let begun = Instant::now();
        pair.fail_over();
        pair.add_standby();
        for channel in &channels {
            assert_eq!(column(channel).await, "User data is not available", "off was acknowledged");
        }
        let before = acknowledged.lock().unwrap().len();
        while acknowledged.lock().unwrap().len() < before + 2 * WRITERS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(begun.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    writers.join_all().await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    let mut client = IngestServiceClient::new(channels[0].clone());
    for batch in &acknowledged {
        let counts = client.ingest_activities(batch.clone()).await.unwrap().into_inner().counts.unwrap();
        assert_eq!(
            counts.duplicate,
            i32::try_from(BATCH).unwrap(),
            "a batch that was acknowledged is missing"
        );
    }
    println!(
        "{failovers} failovers, {} batches acknowledged, none missing; from the kill to answers and commits {slowest:?} \
         at most, with the making of a new standby",
        acknowledged.len()
    );
}

/// Returns what the server says of its health.
async fn health(channel: &Channel, service: &str) -> i32 {
    let request = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    client.check(request).await.unwrap().into_inner().status
}

/// A replica over a database that something can happen to.
struct Patient {
    folder: tempfile::TempDir,
    _work: tempfile::TempDir,
    _replica: Replica,
    channel: Channel,
}

impl Patient {
    async fn start() -> (Self, Server) {
        Self::start_in(folder()).await
    }

    /// Starts over a database in a folder.
    async fn start_in(database: tempfile::TempDir) -> (Self, Server) {
        initdb(database.path());
        let server = Server::start(database.path(), OPTIONS);
        assert!(server.run("CREATE DATABASE riskshare"));
        let url = format!("host={} user=postgres dbname=riskshare", database.path().display());
        let migrated = child::program().args(["migrate", "--postgres-url", &url]).output().unwrap();
        assert!(migrated.status.success());
        let work = tempfile::tempdir().unwrap();
        // With the limits of calls that everybody has: it is the store that gives up first.
        let replica = Replica::start_with(work.path(), "127.0.0.1:0", &["--postgres-url", &url]);
        let channel = replica.connect().await;
        share(&channel, true).await;
        let patient = Self { folder: database, _work: work, _replica: replica, channel };
        patient.is_well(0).await;
        (patient, server)
    }

    /// Waits until it answers, commits and says so.
    async fn is_well(&self, number: usize) {
        let mut ingest = IngestServiceClient::new(self.channel.clone());
        while ingest.ingest_activities(batch(0, number)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(column(&self.channel).await, "High");
        self.says(SERVING).await;
    }

    /// Whatever is asked, it is unavailable, names nobody, and says that it does not serve.
    async fn is_unavailable(&self, number: usize) {
        for _ in 0..2 {
            let mut client = AlertEnrichmentServiceClient::new(self.channel.clone());
            let mut ingest = IngestServiceClient::new(self.channel.clone());
            let (read, commit) =
                tokio::join!(client.enrich_alert(question()), ingest.ingest_activities(batch(0, number)));
            for refused in [read.map(drop).unwrap_err(), commit.map(drop).unwrap_err()] {
                assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
                assert!(!format!("{refused:?}").contains("user0"));
            }
        }
        self.says(NOT_SERVING).await;
    }

    async fn says(&self, status: i32) {
        while health(&self.channel, "riskshare.v1.AlertEnrichmentService").await != status {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_the_database_is_away_calls_are_unavailable_and_then_go_on_without_a_restart() {
    let (patient, server) = Patient::start().await;
    server.kill();
    patient.is_unavailable(1).await;
    let _server = Server::start(patient.folder.path(), OPTIONS);
    patient.is_well(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_the_database_does_not_answer_calls_are_unavailable_and_then_go_on_without_a_restart() {
    let (patient, server) = Patient::start().await;
    server.freeze();
    patient.is_unavailable(1).await;
    server.thaw();
    patient.is_well(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_the_database_takes_no_writes_calls_are_unavailable_and_then_go_on_without_a_restart() {
    let (patient, server) = Patient::start().await;
    let reload = "SELECT pg_reload_conf()";
    assert!(server.run("ALTER SYSTEM SET default_transaction_read_only = on") && server.run(reload));
    let mut ingest = IngestServiceClient::new(patient.channel.clone());
    let mut number = 1;
    while ingest.ingest_activities(batch(0, number)).await.is_ok() {
        number += 1;
    }
    patient.is_unavailable(number).await;
    assert!(server.run("ALTER SYSTEM RESET default_transaction_read_only") && server.run(reload));
    patient.is_well(number).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_that_takes_longer_than_a_hold_lasts_is_given_under_another() {
    let (patient, server) = Patient::start().await;
    for _ in 0..3 {
        server.freeze();
        let mut client = AlertEnrichmentServiceClient::new(patient.channel.clone());
        let asked = tokio::spawn(async move { client.enrich_alert(question()).await });
        // Longer than the second that a hold lasts, counted from before its lock was asked for.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        server.thaw();
        let answer = asked.await.unwrap().unwrap().into_inner().alert.unwrap();
        assert_eq!(answer.severity_text, "High");
    }
}

/// A small disk in memory, mounted at a folder.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(folder: &Path) -> Self {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=112m,mode=777", "tmpfs"])
            .arg(folder)
            .status();
        assert!(mounted.unwrap().success(), "mounting takes root");
        Self(folder.to_owned())
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "mounts a small disk, which takes root: run with --ignored"]
async fn while_the_disk_is_full_calls_are_unavailable_and_then_go_on_without_a_restart() {
    let folder = folder();
    let disk = Disk::mount(folder.path());
    let (patient, server) = Patient::start_in(folder).await;
    disk.fill();
    // There is room in pages that have been begun.
    let mut number = 1;
    let refused = loop {
        let mut client = AlertEnrichmentServiceClient::new(patient.channel.clone());
        let mut ingest = IngestServiceClient::new(patient.channel.clone());
        let commit = ingest.ingest_activities(batch(0, number)).await;
        let read = client.enrich_alert(question()).await;
        match (commit, read) {
            (Err(commit), Err(read)) => break [commit, read],
            _ => number += 1,
        }
    };
    for refused in refused {
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
        assert!(!format!("{refused:?}").contains("user0"));
    }
    patient.says(NOT_SERVING).await;
    disk.empty();
    patient.is_well(number).await;
    drop((server, disk));
}
