//! Promise 6 across crashes: every answer that a caller has got is in the audit log, and the chain is whole. A child
//! process, killed with SIGKILL 15 times at random moments. `RISKSHARE_TEST_KILLS` sets another number.

mod child;

use child::Server;
use prost_types::FieldMask;
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::audit_service_client::AuditServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use tokio::sync::mpsc;
use tonic::transport::Channel;

const KILLS: usize = 15;
const READERS: usize = 8;
const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_answer_that_was_received_before_a_kill_has_its_line() {
    let kills = child::number_from("RISKSHARE_TEST_KILLS").unwrap_or(KILLS);
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path());
    share(&server.connect().await).await;
    let mut received = BTreeSet::new();
    let mut kept = None;
    for round in 0..kills {
        received.extend(read_until_killed(server, round).await);
        server = Server::start(data.path());
        let channel = server.connect().await;
        kept = Some(verified(&channel, kept).await);
    }
    let written: BTreeSet<String> = written_down(&server.connect().await).await.into_iter().collect();
    let missing: Vec<&String> = received.difference(&written).collect();
    assert!(missing.is_empty(), "answers without a line: {missing:?}");
    println!("{kills} kills, {} answers received, {} lines", received.len(), written.len());
    assert!(received.len() >= kills, "the readers hardly read");
}

async fn share(channel: &Channel) {
    let request = pb::UpdateSettingsRequest {
        tenant_id: TENANT.to_owned(),
        settings: Some(pb::Settings { data_sharing_enabled: true, ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["data_sharing_enabled".to_owned()] }),
        etag: String::new(),
    };
    SettingsServiceClient::new(channel.clone()).update_settings(request).await.unwrap();
}

/// Lets readers read, and kills the server after a random number of answers. Returns the alerts that were answered.
async fn read_until_killed(mut server: Server, round: usize) -> Vec<String> {
    let (answers, mut answered) = mpsc::unbounded_channel();
    let channel = server.connect().await;
    let readers: Vec<_> = (0..READERS)
        .map(|n| tokio::spawn(read(channel.clone(), format!("{round}/{n}"), answers.clone())))
        .collect();
    drop(answers);
    let mut received = Vec::new();
    for _ in 0..=RandomState::new().build_hasher().finish() % 100 {
        received.push(answered.recv().await.unwrap());
    }
    server.kill();
    for reader in readers {
        reader.await.unwrap();
    }
    while let Some(alert) = answered.recv().await {
        received.push(alert);
    }
    received
}

/// Asks about alert after alert until the server is gone.
async fn read(channel: Channel, name: String, answers: mpsc::UnboundedSender<String>) {
    let mut client = AlertEnrichmentServiceClient::new(channel);
    for number in 0.. {
        let alert_id = format!("{name}/{number}");
        let user = pb::UserIdentity { upn: "john@contoso.com".to_owned(), ..Default::default() };
        let alert =
            pb::DlpAlert { alert_id: alert_id.clone(), involved_users: vec![user], ..Default::default() };
        let tenant_id = TENANT.to_owned();
        let request = pb::EnrichAlertRequest { tenant_id, alert: Some(alert), ..Default::default() };
        match client.enrich_alert(request).await {
            Ok(_) => drop(answers.send(alert_id)),
            Err(_) => return,
        }
    }
}

/// Checks the chain, and that it holds what was its head before. Returns its head.
async fn verified(channel: &Channel, expected: Option<pb::AuditChainHead>) -> pb::AuditChainHead {
    let request = pb::VerifyAuditLogRequest { tenant_id: TENANT.to_owned(), expected };
    let verdict =
        AuditServiceClient::new(channel.clone()).verify_audit_log(request).await.unwrap().into_inner();
    assert!(verdict.valid, "{:?}", verdict.faults);
    verdict.head.unwrap()
}

/// Returns the alerts of all lines.
async fn written_down(channel: &Channel) -> Vec<String> {
    let mut client = AuditServiceClient::new(channel.clone());
    let mut request = pb::ListAuditEventsRequest {
        tenant_id: TENANT.to_owned(),
        outcome: pb::AuditOutcome::Disclosed.into(),
        page_size: 1_000,
        ..Default::default()
    };
    let mut alerts = Vec::new();
    loop {
        let page = client.list_audit_events(request.clone()).await.unwrap().into_inner();
        alerts.extend(page.events.into_iter().flat_map(|event| event.alert_ids));
        if page.next_page_token.is_empty() {
            return alerts;
        }
        request.page_token = page.next_page_token;
    }
}
