//! A store moves to the other engine and back: the real program, killed again and again on the way.
#![cfg(has_postgres)]

mod child;
mod postgres;

use child::Server;
use chrono::TimeDelta;
use postgres::Database;
use prost_types::{FieldMask, Timestamp};
use riskshare::clock::{Clock, SystemClock};
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::audit_service_client::AuditServiceClient;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::path::Path;
use std::process::{Output, Stdio};

const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const USERS: usize = 3_000;

fn user(n: usize) -> pb::UserIdentity {
    pb::UserIdentity { upn: format!("user{n}@contoso.com"), ..Default::default() }
}

async fn fill(server: &Server) {
    let channel = server.connect().await;
    let at = SystemClock.now() - TimeDelta::days(3);
    let activity = |n: usize| pb::ActivityRecord {
        activity_id: format!("a{n}"),
        user: Some(user(n % USERS)),
        occurred_at: Some(Timestamp { seconds: at.timestamp() + i64::try_from(n).unwrap(), nanos: 0 }),
        indicator: "CopyToUSB".to_owned(),
        ..Default::default()
    };
    for batch in 0..2 {
        let activities = (batch * 6_000..(batch + 1) * 6_000).map(activity).collect();
        let request =
            pb::IngestActivitiesRequest { tenant_id: TENANT.to_owned(), activities, raw_records: vec![] };
        IngestServiceClient::new(channel.clone()).ingest_activities(request).await.unwrap();
    }
    let settings =
        pb::Settings { data_sharing_enabled: true, user_analytics_enabled: true, ..Default::default() };
    let paths = vec!["data_sharing_enabled".to_owned(), "user_analytics_enabled".to_owned()];
    let request = pb::UpdateSettingsRequest {
        tenant_id: TENANT.to_owned(),
        settings: Some(settings),
        update_mask: Some(FieldMask { paths }),
        etag: String::new(),
    };
    SettingsServiceClient::new(channel).update_settings(request).await.unwrap();
}

/// What a server says of some users, and how its audit log stands. Asking adds a line.
async fn said(server: &Server) -> (pb::EnrichedAlert, pb::VerifyAuditLogResponse) {
    let channel = server.connect().await;
    let alert = pb::DlpAlert {
        alert_id: "da-1".to_owned(),
        involved_users: (0..20).map(user).collect(),
        ..Default::default()
    };
    let request = pb::EnrichAlertRequest {
        tenant_id: TENANT.to_owned(),
        alert: Some(alert),
        view: pb::EnrichmentView::Summary.into(),
        ..Default::default()
    };
    let answer = AlertEnrichmentServiceClient::new(channel.clone()).enrich_alert(request).await.unwrap();
    let alert = answer.into_inner().alert.unwrap();
    let request = pb::VerifyAuditLogRequest { tenant_id: TENANT.to_owned(), ..Default::default() };
    let verdict = AuditServiceClient::new(channel).verify_audit_log(request).await.unwrap();
    (pb::EnrichedAlert { as_of: None, valid_until: None, ..alert }, verdict.into_inner())
}

fn migrate_store(folder: &Path, url: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = child::program();
    command.args(["migrate-store", "--postgres-url", url, "--data-dir"]).arg(folder.join("data"));
    command.args(arguments);
    command
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `serve` says when it may not serve what is there.
fn serve_refuses(folder: &Path, more: &[&str]) -> String {
    let mut serve = child::program();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.join("data")).args(more);
    refused(&serve.output().unwrap())
}

#[tokio::test]
async fn a_store_is_moved_to_postgresql_and_back_by_a_program_that_is_killed_again_and_again() {
    let (folder, database) = (tempfile::tempdir().unwrap(), Database::like(None));
    let url = database.url();
    let server = Server::start(folder.path());
    fill(&server).await;
    let (before, chain) = said(&server).await;
    assert!(before.actors.len() == 20 && before.actors[0].summary.is_some(), "there is something to lose");
    drop(server);

    let there = ["--from", "embedded", "--to", "postgres"];
    let no_schema = migrate_store(folder.path(), &url, &there).output().unwrap();
    assert!(refused(&no_schema).contains("riskshare migrate"));
    assert!(child::program().args(["migrate", "--postgres-url", &url]).output().unwrap().status.success());
    let reached = || database.ask("SELECT encode(value, 'escape') FROM riskshare_meta WHERE name = 'moving'");
    let mut places = vec![reached().unwrap_or_default()];
    for _ in 0..4 {
        let mut moving = migrate_store(folder.path(), &url, &there)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let last = places.last().unwrap().clone();
        while reached().is_none_or(|place| place.is_empty() || place == last) {
            assert!(moving.try_wait().unwrap().is_none(), "it is killed on its way");
        }
        moving.kill().unwrap();
        moving.wait().unwrap();
        places.push(reached().unwrap());
        assert!(serve_refuses(folder.path(), &[]).contains("was moved"));
        assert!(serve_refuses(folder.path(), &["--postgres-url", &url]).contains("has not ended"));
    }
    let moved = migrate_store(folder.path(), &url, &there).output().unwrap();
    let report = String::from_utf8(moved.stdout).unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    assert!(report.contains("activities                      12000"), "{report}");
    assert!(refused(&migrate_store(folder.path(), &url, &there).output().unwrap()).contains("already"));

    let replica = Server::start_with(folder.path(), "127.0.0.1:0", &["--postgres-url", &url]);
    let (after, longer) = said(&replica).await;
    assert_eq!(after, before);
    assert!(longer.valid && longer.lines > chain.lines, "the chain goes on: {longer:?}");
    let back = ["--from", "postgres", "--to", "embedded"];
    let elsewhere = tempfile::tempdir().unwrap();
    let served = migrate_store(elsewhere.path(), &url, &back).output().unwrap();
    assert!(refused(&served).contains("being served"));
    drop(replica);

    loop {
        let moved = migrate_store(elsewhere.path(), &url, &back).output().unwrap();
        if moved.status.success() {
            break;
        }
        assert!(refused(&moved).contains("being served"), "the database buries the sessions of the dead");
    }
    let server = Server::start(elsewhere.path());
    let (home, longest) = said(&server).await;
    assert_eq!(home, before);
    assert!(longest.valid && longest.lines > longer.lines, "{longest:?}");
}
