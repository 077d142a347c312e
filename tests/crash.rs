//! Promise 2: a server that is killed in the middle of a bulk ingest has lost nothing that it acknowledged, doubled
//! nothing, and cut no batch in two. A child process, killed with SIGKILL 50 times at random moments, over the same
//! data; over each engine. `RISKSHARE_TEST_KILLS` sets another number.

mod child;
#[cfg(has_postgres)]
mod postgres;

use child::Server;
use chrono::TimeDelta;
use prost_types::{FieldMask, Timestamp};
use riskshare::clock::{Clock, SystemClock};
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use tokio::sync::mpsc;
use tonic::transport::Channel;

const KILLS: usize = 50;
const WRITERS: usize = 3;
const BATCH: usize = 40;
const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

/// What a writer sent, by user: the number of batches, and which of them were acknowledged.
#[derive(Default)]
struct Story {
    sent: usize,
    acknowledged: BTreeSet<usize>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_acknowledged_is_missing_or_doubled_after_kills_at_random_moments() {
    is_there_after_kills(&[]).await;
}

#[cfg(has_postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_acknowledged_is_missing_or_doubled_after_kills_of_a_replica_at_random_moments() {
    let database = postgres::Database::like(None);
    let at = ["--postgres-url", &database.url()];
    assert!(child::program().arg("migrate").args(at).output().unwrap().status.success());
    is_there_after_kills(&at).await;
}

/// Lets servers be killed that keep their data where the arguments say.
async fn is_there_after_kills(arguments: &[&str]) {
    let kills = child::number_from("RISKSHARE_TEST_KILLS").unwrap_or(KILLS);
    let data = tempfile::tempdir().unwrap();
    let start = || Server::start_with(data.path(), "127.0.0.1:0", arguments);
    let mut stories: BTreeMap<String, Story> = BTreeMap::new();
    let mut server = start();
    configure(&server.connect().await).await;
    for round in 0..kills {
        stories.extend(write_until_killed(server, round).await);
        server = start();
        let channel = server.connect().await;
        let of_round = |user: &&String| user.starts_with(&format!("round{round}-"));
        for user in stories.keys().filter(of_round) {
            check(&channel, user, &stories[user]).await;
        }
    }
    let channel = server.connect().await;
    for (user, story) in &stories {
        check(&channel, user, story).await;
    }
    let acknowledged: usize = stories.values().map(|story| story.acknowledged.len()).sum();
    let unanswered = stories.values().filter(|story| story.sent > story.acknowledged.len()).count();
    println!(
        "{kills} kills, {acknowledged} batches of {BATCH} acknowledged, {unanswered} cut off unanswered"
    );
    assert!(acknowledged >= kills, "the writers hardly wrote");
    assert!(unanswered >= kills, "the kills hit no writer at work");
}

async fn configure(channel: &Channel) {
    let request = pb::UpdateSettingsRequest {
        tenant_id: TENANT.to_owned(),
        settings: Some(pb::Settings {
            data_sharing_enabled: true,
            user_analytics_enabled: true,
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["data_sharing_enabled".to_owned(), "user_analytics_enabled".to_owned()],
        }),
        etag: String::new(),
    };
    SettingsServiceClient::new(channel.clone()).update_settings(request).await.unwrap();
}

/// Lets writers write, and kills the server after a random number of acknowledgements, whatever it is doing then.
async fn write_until_killed(mut server: Server, round: usize) -> BTreeMap<String, Story> {
    let (acks, mut acknowledged) = mpsc::unbounded_channel();
    let channel = server.connect().await;
    let writer =
        |number| write(channel.clone(), format!("round{round}-writer{number}@contoso.com"), acks.clone());
    let writers: Vec<_> = (0..WRITERS).map(|number| tokio::spawn(writer(number))).collect();
    drop(acks);
    for _ in 0..=random() % 20 {
        acknowledged.recv().await.unwrap();
    }
    server.kill();
    let mut stories = BTreeMap::new();
    for writer in writers {
        stories.extend([writer.await.unwrap()]);
    }
    stories
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish() // Seeded anew by the system each time.
}

/// Sends batch after batch until the server is gone.
async fn write(channel: Channel, user: String, acks: mpsc::UnboundedSender<()>) -> (String, Story) {
    let mut client = IngestServiceClient::new(channel);
    let mut story = Story::default();
    loop {
        let batch = story.sent;
        story.sent += 1;
        let activities = (0..BATCH).map(|n| activity(&user, batch, n)).collect();
        let request =
            pb::IngestActivitiesRequest { tenant_id: TENANT.to_owned(), activities, raw_records: vec![] };
        match client.ingest_activities(request).await {
            Ok(answer) => assert_eq!(answer.into_inner().results, []),
            Err(_) => return (user, story),
        }
        story.acknowledged.insert(batch);
        let _ = acks.send(());
    }
}

fn activity(user: &str, batch: usize, n: usize) -> pb::ActivityRecord {
    let at = SystemClock.now() - TimeDelta::days(i64::try_from(n).unwrap());
    pb::ActivityRecord {
        activity_id: format!("{user}/{batch}/{n}"),
        user: Some(pb::UserIdentity { upn: user.to_owned(), ..Default::default() }),
        occurred_at: Some(Timestamp { seconds: at.timestamp(), nanos: 0 }),
        indicator: "CopyToUSB".to_owned(),
        ..Default::default()
    }
}

/// Every acknowledged batch is there whole and once; every other that was sent is there whole or not at all.
async fn check(channel: &Channel, user: &str, story: &Story) {
    let ids = listed(channel, user).await;
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(ids.len(), distinct.len(), "{user}: something is doubled");
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    for id in ids {
        *rows.entry(id.split('/').nth(1).unwrap().parse().unwrap()).or_default() += 1;
    }
    assert!(rows.values().all(|count| *count == BATCH), "{user}: a batch was cut in two");
    assert!(story.acknowledged.iter().all(|batch| rows.contains_key(batch)), "{user}: a batch is missing");
    assert!(rows.keys().all(|batch| *batch < story.sent), "{user}: a batch that was never sent");
}

async fn listed(channel: &Channel, user: &str) -> Vec<String> {
    let mut client = AlertEnrichmentServiceClient::new(channel.clone());
    let mut request = pb::ListUserActivitiesRequest {
        tenant_id: TENANT.to_owned(),
        user: Some(pb::UserIdentity { upn: user.to_owned(), ..Default::default() }),
        page_size: 1_000,
        ..Default::default()
    };
    let mut ids = Vec::new();
    loop {
        let page = client.list_user_activities(request.clone()).await.unwrap().into_inner();
        ids.extend(page.activities.into_iter().map(|activity| activity.activity_id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}
