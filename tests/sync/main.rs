//! Promise 2 where a kill cannot try it: what a killed process wrote is still in the system's cache, so `tests/crash.rs`
//! would pass without a single sync. Here the child's syncs are counted and made to fail, by a library of 40 lines that
//! is loaded before the system's; it is compiled by `cc`, which a Rust toolchain needs for linking anyway.
#![cfg(target_os = "linux")]

#[path = "../child/mod.rs"]
mod child;

use child::Server;
use chrono::TimeDelta;
use prost_types::{FieldMask, Timestamp};
use riskshare::clock::{Clock, SystemClock};
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const JOHN: &str = "john@contoso.com";

/// A server's folder, and a disk under it that fails when told to.
struct Disk {
    folder: TempDir,
    library: PathBuf,
    syncs_left: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("failing_sync.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sync/failing_sync.c"))
            .arg("-lpthread")
            .status();
        assert!(compiled.expect("cc, a C compiler").success());
        let syncs_left = folder.path().join("syncs_left");
        Self { folder, library, syncs_left }
    }

    fn start(&self) -> Server {
        let environment = [("LD_PRELOAD", self.library.as_path()), ("SYNCS_LEFT", self.syncs_left.as_path())];
        Server::start_in(self.folder.path(), "127.0.0.1:0", &[], &environment)
    }

    fn start_sound(&self) -> Server {
        Server::start(self.folder.path())
    }

    /// Lets so many more syncs succeed.
    fn allow(&self, syncs: usize) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{syncs:<20}")).unwrap();
        std::fs::rename(new, &self.syncs_left).unwrap();
    }

    fn left(&self) -> usize {
        std::fs::read_to_string(&self.syncs_left).unwrap().trim().parse().unwrap()
    }
}

async fn configure(channel: &Channel) {
    let paths = ["data_sharing_enabled", "user_analytics_enabled"].map(str::to_owned).to_vec();
    let request = pb::UpdateSettingsRequest {
        tenant_id: TENANT.to_owned(),
        settings: Some(pb::Settings {
            data_sharing_enabled: true,
            user_analytics_enabled: true,
            ..Default::default()
        }),
        update_mask: Some(FieldMask { paths }),
        etag: String::new(),
    };
    SettingsServiceClient::new(channel.clone()).update_settings(request).await.unwrap();
}

/// Records one activity. Each third one is of another day, which begins a partition.
async fn record(channel: &Channel, number: usize) -> Result<(), Status> {
    let at = SystemClock.now() - TimeDelta::days(i64::try_from(number / 3).unwrap());
    let activity = pb::ActivityRecord {
        activity_id: format!("activity-{number}"),
        user: Some(pb::UserIdentity { upn: JOHN.to_owned(), ..Default::default() }),
        occurred_at: Some(Timestamp { seconds: at.timestamp(), nanos: 0 }),
        indicator: "CopyToUSB".to_owned(),
        ..Default::default()
    };
    let request = pb::IngestActivitiesRequest {
        tenant_id: TENANT.to_owned(),
        activities: vec![activity],
        raw_records: vec![],
    };
    let answer = IngestServiceClient::new(channel.clone()).ingest_activities(request).await?;
    assert_eq!(answer.into_inner().results, []);
    Ok(())
}

async fn list(channel: &Channel) -> Result<BTreeSet<String>, Status> {
    let request = pb::ListUserActivitiesRequest {
        tenant_id: TENANT.to_owned(),
        user: Some(pb::UserIdentity { upn: JOHN.to_owned(), ..Default::default() }),
        page_size: 1_000,
        ..Default::default()
    };
    let answer = AlertEnrichmentServiceClient::new(channel.clone()).list_user_activities(request).await?;
    Ok(answer.into_inner().activities.into_iter().map(|one| one.activity_id).collect())
}

async fn listed(channel: &Channel) -> BTreeSet<String> {
    list(channel).await.unwrap()
}

/// Waits until health says that of a service.
async fn wait_until(channel: &Channel, service: &str, status: ServingStatus) {
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut watched = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
    while watched.message().await.unwrap().unwrap().status() != status {}
}

fn reason(refusal: &Status) -> Option<String> {
    refusal.get_details_error_info().map(|info| info.reason)
}

fn assert_unavailable(refusal: &Status) {
    assert_eq!((refusal.code(), reason(refusal).as_deref()), (Code::Unavailable, Some("STORE_UNAVAILABLE")));
}

#[tokio::test]
async fn every_acknowledged_commit_was_synced() {
    const COMMITS: usize = 30;
    let disk = Disk::new();
    let server = disk.start();
    let channel = server.connect().await;
    configure(&channel).await;
    for number in 0..COMMITS {
        disk.allow(1_000);
        record(&channel, number).await.unwrap();
        assert!(disk.left() < 1_000, "commit {number} was acknowledged without a sync");
    }
}

#[tokio::test]
async fn a_commit_that_cannot_be_synced_is_not_acknowledged_and_what_was_stays() {
    for syncs in [0, 1, 2, 3, 7, 20] {
        let disk = Disk::new();
        let mut server = disk.start();
        let channel = server.connect().await;
        configure(&channel).await;
        record(&channel, 0).await.unwrap();
        disk.allow(syncs);
        let mut acknowledged = BTreeSet::from(["activity-0".to_owned()]);
        let refusal = loop {
            // A commit takes a sync at least, so that one more than there are cannot succeed.
            let number = acknowledged.len();
            assert!(number <= syncs + 1, "{number} commits were acknowledged and {syncs} synced");
            match record(&channel, number).await {
                Ok(()) => acknowledged.insert(format!("activity-{number}")),
                Err(refusal) => break refusal,
            };
        };
        assert_unavailable(&refusal);
        assert_eq!(disk.left(), 0);
        disk.allow(1_000);
        assert_eq!(listed(&channel).await, acknowledged, "readers go on, and see what was acknowledged");
        wait_until(&channel, "riskshare.v1.IngestService", ServingStatus::NotServing).await;
        wait_until(&channel, "riskshare.v1.AlertEnrichmentService", ServingStatus::Serving).await;
        assert_unavailable(
            &record(&channel, 90).await.expect_err("a disk that failed once is not trusted again"),
        );
        disk.allow(0);
        let unwritten = list(&channel).await.expect_err("who reads is written down, or does not read");
        assert_eq!(
            (unwritten.code(), reason(&unwritten).as_deref()),
            (Code::Unavailable, Some("AUDIT_UNAVAILABLE"))
        );
        wait_until(&channel, "riskshare.v1.AlertEnrichmentService", ServingStatus::NotServing).await;
        server.kill();
        let server = disk.start_sound();
        let found = listed(&server.connect().await).await;
        assert!(found.is_superset(&acknowledged), "{syncs}: {found:?}");
        assert!(found.len() <= acknowledged.len() + 1, "{syncs}: {found:?}");
    }
}
