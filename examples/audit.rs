//! Measures what the audit log costs: `EnrichAlert` over gRPC on loopback with it and without it, in turns, by number of
//! concurrent callers; beside a raw append with one sync a line.
//!
//! `cargo run --release --example audit -- FOLDER [SECONDS]`. FOLDER must be missing or empty, and on the disk that is
//! to be measured. Each figure takes SECONDS (2 by default). It is left behind for a look.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use riskshare::auth::Anyone;
use riskshare::clock::{Clock, SystemClock};
use riskshare::domain::activity::{Activity, Sensitivity};
use riskshare::domain::audit::{AuditEvent, AuditOutcome, AuditQuery, AuditVerdict, ChainHead};
use riskshare::domain::content::{Content, ContentQuery};
use riskshare::domain::decision::{Decision, RiskAlertQuery, Undecided};
use riskshare::domain::facts::{Batch, Fact, Outcome};
use riskshare::domain::ids::{ActivityId, RiskAlertId, TenantId};
use riskshare::domain::indicator::Indicator;
use riskshare::domain::settings::Settings;
use riskshare::domain::time::UtcDay;
use riskshare::domain::user::{Identity, IdentityKey, Personal, UserNo};
use riskshare::gate::admission::Gate;
use riskshare::grpc::auth::AuthLayer;
use riskshare::grpc::enrichment::Enrichment;
use riskshare::grpc::handover::HandOverLayer;
use riskshare::grpc::page::PageTokens;
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::alert_enrichment_service_server::AlertEnrichmentServiceServer;
use riskshare::store::embedded::EmbeddedStore;
use riskshare::store::{
    AlertCursor, AlertPage, AuditCursor, AuditPage, ChangedSettings, Condition, Hold, Named, Snapshot, Store,
    StoreError, VersionedSettings,
};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::LayerExt;
use tonic::transport::{Channel, Server};
use uuid::Uuid;

/// Numbers of callers that are tried.
const CALLERS: [usize; 4] = [1, 8, 64, 256];
/// Callers that share a connection.
const CALLERS_OF_CONNECTION: usize = 32;
/// Users of the tenant, each with some activities.
const USERS: usize = 1_000;
const ACTIVITIES: usize = 20;
/// About the length of a line.
const LINE_BYTES: usize = 400;

/// The store, with an audit log that forgets everything when `forgets`. It exists only here.
struct Forgetful {
    store: EmbeddedStore,
    forgets: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl Store for Forgetful {
    async fn hold(&self, tenant: TenantId) -> Result<Hold, StoreError> {
        self.store.hold(tenant).await
    }

    async fn read(&self, hold: &Hold, people: &[&Identity]) -> Result<Snapshot, StoreError> {
        self.store.read(hold, people).await
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        self.store.commit(batch).await
    }

    async fn settings(&self, tenant: TenantId) -> Result<VersionedSettings, StoreError> {
        self.store.settings(tenant).await
    }

    async fn change_settings(
        &self,
        tenant: TenantId,
        expected: u64,
        settings: Settings,
        event: AuditEvent,
    ) -> Result<ChangedSettings, StoreError> {
        self.store.change_settings(tenant, expected, settings, event).await
    }

    async fn knows(&self, tenant: TenantId) -> Result<bool, StoreError> {
        self.store.knows(tenant).await
    }

    async fn record(&self, tenant: TenantId, event: AuditEvent) -> Result<(), StoreError> {
        if self.forgets.load(Ordering::SeqCst) { Ok(()) } else { self.store.record(tenant, event).await }
    }

    async fn audit_page(
        &self,
        tenant: TenantId,
        query: AuditQuery,
        after: Option<AuditCursor>,
        size: usize,
    ) -> Result<AuditPage, StoreError> {
        self.store.audit_page(tenant, query, after, size).await
    }

    async fn verify_audit(
        &self,
        tenant: TenantId,
        kept: Option<ChainHead>,
    ) -> Result<AuditVerdict, StoreError> {
        self.store.verify_audit(tenant, kept).await
    }

    async fn expire_audit(&self, before: UtcDay) -> Result<u64, StoreError> {
        self.store.expire_audit(before).await
    }

    async fn erase(
        &self,
        tenant: TenantId,
        person: &Identity,
        event: AuditEvent,
    ) -> Result<Option<u64>, StoreError> {
        self.store.erase(tenant, person, event).await
    }

    async fn named(&self, tenant: TenantId, users: &[UserNo]) -> Result<Vec<Option<Named>>, StoreError> {
        self.store.named(tenant, users).await
    }

    async fn expire(&self, today: UtcDay) -> Result<u64, StoreError> {
        self.store.expire(today).await
    }

    async fn risk_alerts(
        &self,
        hold: &Hold,
        query: &RiskAlertQuery,
        after: Option<&AlertCursor>,
        size: usize,
    ) -> Result<AlertPage, StoreError> {
        self.store.risk_alerts(hold, query, after, size).await
    }

    async fn risk_alert(&self, hold: &Hold, alert: &RiskAlertId) -> Result<AlertPage, StoreError> {
        self.store.risk_alert(hold, alert).await
    }

    async fn decide(
        &self,
        tenant: TenantId,
        decision: Decision,
        event: AuditEvent,
    ) -> Result<Result<(), Undecided>, StoreError> {
        self.store.decide(tenant, decision, event).await
    }

    async fn publish(&self, at: DateTime<Utc>) -> Result<u64, StoreError> {
        self.store.publish(at).await
    }

    async fn contents(&self, query: &ContentQuery) -> Result<Vec<Arc<Content>>, StoreError> {
        self.store.contents(query).await
    }

    async fn expire_contents(&self, before: UtcDay) -> Result<u64, StoreError> {
        self.store.expire_contents(before).await
    }

    async fn note(&self, tenant: TenantId, name: &str) -> Result<Option<Arc<str>>, StoreError> {
        self.store.note(tenant, name).await
    }

    async fn put_note(
        &self,
        tenant: TenantId,
        name: &str,
        before: Option<&str>,
        after: &str,
    ) -> Result<bool, StoreError> {
        self.store.put_note(tenant, name, before, after).await
    }

    async fn condition(&self) -> Condition {
        self.store.condition().await
    }

    async fn token_key(&self) -> Result<[u8; 32], StoreError> {
        self.store.token_key().await
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().context("name a folder")?);
    let time = Duration::from_secs(args.next().map_or(Ok(2), |seconds| seconds.parse())?);
    fs::create_dir_all(&folder)?;
    let forgets = Arc::new(AtomicBool::new(false));
    let store = EmbeddedStore::open(&folder.join("store"))?;
    let store: Arc<dyn Store> = Arc::new(Forgetful { store, forgets: Arc::clone(&forgets) });
    let tenant = TenantId::new(Uuid::from_u128(7));
    fill(&store, tenant).await?;
    let address = serve(Arc::clone(&store)).await?;

    println!("raw append and fdatasync, one line each: {:.0} a second", raw(&folder.join("raw.log"), time)?);
    println!("callers   with audit                     without                        ratio");
    for callers in CALLERS {
        // Forth and back, so that a disk that slows down does not decide.
        let mut with = Vec::new();
        let mut without = Vec::new();
        for forget in [false, true, true, false] {
            forgets.store(forget, Ordering::SeqCst);
            let took = ask(&address, tenant, callers, time / 2).await?;
            if forget { without.extend(took) } else { with.extend(took) }
        }
        let (with, without) = (Figures::of(with, time), Figures::of(without, time));
        println!("{callers:>7}   {with}   {without}   {:.2}", with.rate / without.rate);
    }
    forgets.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    let verdict = store.verify_audit(tenant, None).await?;
    ensure!(verdict.faults.is_empty(), "the chain is broken");
    let bytes =
        fs::read_dir(folder.join("store/audit"))?.map(|entry| entry.map(|e| e.metadata().map(|m| m.len())));
    let bytes: u64 = bytes.collect::<Result<Result<Vec<_>, _>, _>>()??.iter().sum();
    let lines = verdict.lines;
    println!(
        "verified {lines} lines in {} ms; {} bytes a line",
        begun.elapsed().as_millis(),
        bytes / lines.max(1)
    );
    Ok(())
}

/// How fast calls were answered.
struct Figures {
    rate: f64,
    p50: Duration,
    p99: Duration,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn of(mut took: Vec<Duration>, time: Duration) -> Self {
        took.sort_unstable();
        let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
        Self { rate: took.len() as f64 / time.as_secs_f64(), p50: at(50), p99: at(99) }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99) = (self.p50.as_secs_f64() * 1e3, self.p99.as_secs_f64() * 1e3);
        write!(f, "{:>6.0}/s p50 {p50:>5.2} p99 {p99:>6.2} ms", self.rate)
    }
}

async fn fill(store: &Arc<dyn Store>, tenant: TenantId) -> Result<()> {
    let now = SystemClock.now();
    let settings = Settings { data_sharing: true, user_analytics: true, ..Settings::default() };
    let event = AuditEvent::new(now, "example", "UpdateSettings", AuditOutcome::Changed);
    store.change_settings(tenant, 0, settings, event).await?;
    for user in 0..USERS {
        let facts = (0..ACTIVITIES).map(|n| fact(user, n, now)).collect();
        store.commit(Batch { tenant, at: now, facts }).await?;
    }
    Ok(())
}

fn fact(user: usize, n: usize, now: DateTime<Utc>) -> Fact {
    let activity = Activity {
        id: ActivityId::new(&format!("{user}-{n}")).expect("a short text"),
        at: now - TimeDelta::hours(i64::try_from(n).unwrap_or(0)),
        indicator: Indicator::named("CopyToUSB"),
        operation: "FileCopiedToRemovableMedia".into(),
        object_name: Personal::new("C:\\plan.docx"),
        destination: Personal::new("E:\\"),
        sensitivity: Sensitivity::Confidential,
        unallowed_destination: false,
    };
    Fact::Activity { user: identity(user), activity }
}

fn identity(user: usize) -> Identity {
    Identity::default().with(IdentityKey::address(&address(user)).expect("an address"))
}

fn address(user: usize) -> String {
    format!("user-{user}@contoso.com")
}

async fn serve(store: Arc<dyn Store>) -> Result<String> {
    let gate = Gate::new(store, Arc::new(SystemClock));
    let tokens = Arc::new(PageTokens::new([7; 32]));
    let enrichment = Enrichment { gate, tokens, shelf: Arc::default() };
    let service = AlertEnrichmentServiceServer::new(enrichment);
    let service = AuthLayer::new(Arc::new(Anyone::default())).named_layer(HandOverLayer.named_layer(service));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    // Else the pieces of an answer wait for each other, 40 ms a time.
    let connections = TcpListenerStream::new(listener).map(|stream| stream.and_then(without_delay));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(connections));
    Ok(address)
}

fn without_delay(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Lets callers ask for a time, each one alert after the other, and returns how long each answer took.
async fn ask(address: &str, tenant: TenantId, callers: usize, time: Duration) -> Result<Vec<Duration>> {
    let mut tasks = Vec::new();
    for connection in 0..callers.div_ceil(CALLERS_OF_CONNECTION) {
        let channel = Channel::from_shared(address.to_owned())?.connect().await?;
        let own = CALLERS_OF_CONNECTION.min(callers - connection * CALLERS_OF_CONNECTION);
        for caller in 0..own {
            let number = connection * CALLERS_OF_CONNECTION + caller;
            tasks.push(tokio::spawn(ask_on(channel.clone(), tenant, number, time)));
        }
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

async fn ask_on(channel: Channel, tenant: TenantId, caller: usize, time: Duration) -> Result<Vec<Duration>> {
    let mut client = AlertEnrichmentServiceClient::new(channel);
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let user = pb::UserIdentity { upn: address((caller * 7 + took.len()) % USERS), ..Default::default() };
        let alert = pb::DlpAlert {
            alert_id: format!("alert-{caller}-{}", took.len()),
            involved_users: vec![user],
            ..Default::default()
        };
        let request = pb::EnrichAlertRequest {
            tenant_id: tenant.to_string(),
            alert: Some(alert),
            view: pb::EnrichmentView::Summary.into(),
            activity_page_size: 0,
        };
        let asked = Instant::now();
        client.enrich_alert(request).await?;
        took.push(asked.elapsed());
    }
    Ok(took)
}

/// Appends lines to a file, each with a sync, and returns how many a second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn raw(path: &Path, time: Duration) -> Result<f64> {
    let mut file = File::create(path)?;
    let (begun, mut lines) = (Instant::now(), 0_u64);
    while begun.elapsed() < time {
        file.write_all(&[b'x'; LINE_BYTES])?;
        file.sync_data()?;
        lines += 1;
    }
    Ok(lines as f64 / time.as_secs_f64())
}
