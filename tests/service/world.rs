//! A server of a test's own, on a clock that the test sets, and short words for what tests do with it.

use crate::postgres::Database;
use chrono::{DateTime, TimeDelta, Utc};
use prost_types::{FieldMask, Timestamp};
use riskshare::clock::ManualClock;
use riskshare::config::Config;
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::audit_service_client::AuditServiceClient;
use riskshare::pb::incident_service_client::IncidentServiceClient;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use riskshare::server;
use riskshare::server::Running;
use riskshare::store::postgres::{Address, migrate};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt;

/// When most tests happen: a Tuesday noon.
pub const NOON: &str = "2026-11-24T12:00:00Z";

pub struct World {
    pub clock: ManualClock,
    pub channel: Channel,
    config: Config,
    running: Option<Running>,
    _data: TempDir,
    _database: Option<Database>,
}

/// The tests run over PostgreSQL when RISKSHARE_TEST_STORE says so, else over the embedded engine.
pub fn is_over_postgres() -> bool {
    std::env::var_os("RISKSHARE_TEST_STORE").is_some_and(|store| store == "postgres")
}

/// Returns a database with the schema.
async fn database() -> Database {
    static TEMPLATE: OnceCell<Database> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(async || {
        let database = Database::like(None);
        let address =
            Address { url: database.url(), ca: None, connections: 4, replica: String::new(), strict: false };
        migrate(&address).await.unwrap();
        database
    });
    Database::like(Some(template.await))
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: data.path().join("data"),
            drain_seconds: 5,
            ..Config::default()
        };
        let database = if is_over_postgres() { Some(database().await) } else { None };
        if let Some(database) = &database {
            config.postgres.url = database.url();
            config.postgres.connections = 16;
        }
        change(&mut config);
        let clock = ManualClock::at(at(NOON));
        let (running, channel) = serve(&config, &clock).await;
        Self { clock, channel, config, running: Some(running), _data: data, _database: database }
    }

    /// Stops the server and starts it again over the same data.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.begin().await;
    }

    /// Starts a server that was stopped, over the same data.
    pub async fn begin(&mut self) {
        let (running, channel) = serve(&self.config, &self.clock).await;
        (self.running, self.channel) = (Some(running), channel);
    }

    /// Returns where the server keeps its data.
    pub fn data(&self) -> std::path::PathBuf {
        self.config.data_dir.clone()
    }

    /// Returns a tenant that was made before.
    pub fn known(&self, id: &str) -> Tenant<'_> {
        Tenant { world: self, id: id.to_owned() }
    }

    /// Changes what the server will be told when it starts again.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    /// Stops the server.
    pub async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().address()
    }

    /// Returns where the metrics are.
    pub fn metrics(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().metrics().expect("they are served")
    }

    /// Returns where health is beside the port of all services.
    pub fn health(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().health().expect("it is served")
    }

    /// Returns where the Management Activity API is.
    pub fn management_api(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().management_api().expect("it is served")
    }

    pub fn now(&self) -> DateTime<Utc> {
        riskshare::clock::Clock::now(&self.clock)
    }

    pub fn enrichment(&self) -> AlertEnrichmentServiceClient<Channel> {
        AlertEnrichmentServiceClient::new(self.channel.clone())
    }

    pub fn incidents(&self) -> IncidentServiceClient<Channel> {
        IncidentServiceClient::new(self.channel.clone())
    }

    pub fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel.clone())
    }

    pub fn settings(&self) -> SettingsServiceClient<Channel> {
        SettingsServiceClient::new(self.channel.clone())
    }

    pub fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone())
    }

    /// Returns the folder of the audit log.
    pub fn audit_folder(&self) -> std::path::PathBuf {
        self.config.data_dir.join("audit")
    }

    /// Returns all that was written down of a tenant but that somebody read it.
    pub async fn written_down(&self, tenant: &str) -> Vec<pb::AuditEvent> {
        let request = pb::ListAuditEventsRequest {
            tenant_id: tenant.to_owned(),
            page_size: 1_000,
            ..Default::default()
        };
        let events = self.audit().list_audit_events(request).await.unwrap().into_inner().events;
        events.into_iter().filter(|event| event.action != "ListAuditEvents").collect()
    }

    pub async fn verify(
        &self,
        tenant: &str,
        expected: Option<pb::AuditChainHead>,
    ) -> pb::VerifyAuditLogResponse {
        let request = pb::VerifyAuditLogRequest { tenant_id: tenant.to_owned(), expected };
        self.audit().verify_audit_log(request).await.unwrap().into_inner()
    }

    /// Returns a tenant that shares, with the policy `leaks`.
    pub async fn tenant(&self) -> Tenant<'_> {
        let tenant = self.silent_tenant().await;
        tenant.share(true).await;
        tenant
    }

    /// Returns a tenant that never decided, with the policy `leaks`.
    pub async fn silent_tenant(&self) -> Tenant<'_> {
        let id = uuid::Uuid::new_v4().to_string();
        let tenant = Tenant { world: self, id };
        tenant.policy(leaks()).await;
        tenant
    }
}

async fn serve(config: &Config, clock: &ManualClock) -> (Running, Channel) {
    let running = server::start(config.clone(), Arc::new(clock.clone())).await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", running.address())).unwrap();
    (running, channel.connect().await.unwrap())
}

/// A tenant of the world and what is told of it.
pub struct Tenant<'w> {
    pub world: &'w World,
    pub id: String,
}

impl Tenant<'_> {
    pub async fn share(&self, on: bool) -> pb::UpdateSettingsResponse {
        self.set("data_sharing_enabled", pb::Settings { data_sharing_enabled: on, ..Default::default() })
            .await
    }

    pub async fn export(&self, on: bool) -> pb::UpdateSettingsResponse {
        self.set("alert_export_enabled", pb::Settings { alert_export_enabled: on, ..Default::default() })
            .await
    }

    /// Tells of a risk alert in the policy `leaks` that was raised elsewhere.
    pub async fn import(&self, id: &str, user: &str, severity: pb::Severity, status: pb::RiskAlertStatus) {
        let at = Some(timestamp(self.world.now()));
        let alert = pb::ImportedRiskAlert {
            alert_id: id.to_owned(),
            policy_id: "leaks".to_owned(),
            user: Some(upn(user)),
            severity: severity.into(),
            status: status.into(),
            created_at: at,
            updated_at: at,
            exfiltration: true,
        };
        let request = pb::ImportRiskAlertsRequest {
            tenant_id: self.id.clone(),
            alerts: vec![alert],
            raw_records: vec![],
        };
        let answer = self.world.ingest().import_risk_alerts(request).await.unwrap().into_inner();
        assert_eq!(answer.results, []);
    }

    pub async fn set(&self, field: &str, settings: pb::Settings) -> pb::UpdateSettingsResponse {
        let request = self.change(field, settings);
        self.world.settings().update_settings(request).await.unwrap().into_inner()
    }

    pub fn change(&self, field: &str, settings: pb::Settings) -> pb::UpdateSettingsRequest {
        pb::UpdateSettingsRequest {
            tenant_id: self.id.clone(),
            settings: Some(settings),
            update_mask: Some(FieldMask { paths: vec![field.to_owned()] }),
            etag: String::new(),
        }
    }

    pub async fn policy(&self, policy: pb::PolicyRecord) {
        let request = pb::UpsertPoliciesRequest { tenant_id: self.id.clone(), policies: vec![policy] };
        let answer = self.world.ingest().upsert_policies(request).await.unwrap().into_inner();
        assert_eq!(answer.results, [], "a policy");
    }

    /// Makes the user a member of a policy since last year.
    pub async fn member(&self, policy: &str, user: &str) {
        let from = Some(timestamp(at("2025-01-01T00:00:00Z")));
        let membership = pb::MembershipRecord {
            policy_id: policy.to_owned(),
            user: Some(upn(user)),
            intervals: vec![pb::MembershipInterval { from, until: None }],
        };
        let request = pb::SetMembershipsRequest { tenant_id: self.id.clone(), memberships: vec![membership] };
        let answer = self.world.ingest().set_memberships(request).await.unwrap().into_inner();
        assert_eq!(answer.results, [], "a membership");
    }

    pub async fn declare(&self, user: pb::UserRecord) {
        let request = pb::UpsertUsersRequest { tenant_id: self.id.clone(), users: vec![user] };
        let answer = self.world.ingest().upsert_users(request).await.unwrap().into_inner();
        assert_eq!(answer.results, [], "a user");
    }

    pub async fn record(&self, activities: Vec<pb::ActivityRecord>) -> pb::IngestActivitiesResponse {
        let request =
            pb::IngestActivitiesRequest { tenant_id: self.id.clone(), activities, raw_records: vec![] };
        self.world.ingest().ingest_activities(request).await.unwrap().into_inner()
    }

    /// Records `count` copies to USB by a member of `leaks`, an hour ago: 1 is Low, 3 are Medium, 10 are High.
    pub async fn leaker(&self, user: &str, count: usize) {
        self.member("leaks", user).await;
        let when = self.world.now() - TimeDelta::hours(1);
        let answer = self.record(copies(user, count, when)).await;
        assert_eq!(answer.results, [], "copies");
    }

    pub async fn enrich(&self, users: &[&str]) -> pb::EnrichedAlert {
        self.enrich_in(pb::EnrichmentView::Full, users.iter().map(|user| upn(user)).collect()).await
    }

    pub async fn enrich_in(
        &self,
        view: pb::EnrichmentView,
        users: Vec<pb::UserIdentity>,
    ) -> pb::EnrichedAlert {
        let request = self.ask(view, users);
        self.world.enrichment().enrich_alert(request).await.unwrap().into_inner().alert.unwrap()
    }

    pub fn ask(&self, view: pb::EnrichmentView, users: Vec<pb::UserIdentity>) -> pb::EnrichAlertRequest {
        pb::EnrichAlertRequest {
            tenant_id: self.id.clone(),
            alert: Some(alert("alert-1", users)),
            view: view.into(),
            activity_page_size: 0,
        }
    }

    pub async fn column(&self, users: &[&str]) -> String {
        self.enrich(users).await.severity_text
    }

    pub fn timeline(&self, user: &str) -> pb::ListUserActivitiesRequest {
        pb::ListUserActivitiesRequest {
            tenant_id: self.id.clone(),
            user: Some(upn(user)),
            ..Default::default()
        }
    }

    pub async fn list(
        &self,
        request: pb::ListUserActivitiesRequest,
    ) -> Result<pb::ListUserActivitiesResponse, Status> {
        self.world.enrichment().list_user_activities(request).await.map(tonic::Response::into_inner)
    }

    pub fn incident(&self, users: &[&str]) -> pb::GetImpactedAssetsRequest {
        let users = users.iter().map(|user| upn(user)).collect();
        pb::GetImpactedAssetsRequest {
            tenant_id: self.id.clone(),
            incident_id: "incident-1".to_owned(),
            alerts: vec![alert("alert-1", users)],
        }
    }

    pub fn user_risk(&self, user: &str) -> pb::GetUserRiskRequest {
        pb::GetUserRiskRequest { tenant_id: self.id.clone(), user: Some(upn(user)), activity_page_size: 0 }
    }
}

/// The policy of most tests: copies to USB, scored from the first one on.
pub fn leaks() -> pb::PolicyRecord {
    pb::PolicyRecord {
        policy_id: "leaks".to_owned(),
        name: "Data leaks".to_owned(),
        indicators: vec![scored("CopyToUSB")],
        trigger_kind: pb::TriggerKind::ExfiltrationActivity.into(),
        ..Default::default()
    }
}

pub fn scored(indicator: &str) -> pb::PolicyIndicator {
    pb::PolicyIndicator { indicator: indicator.to_owned(), daily_thresholds: vec![] }
}

pub fn upn(upn: &str) -> pb::UserIdentity {
    pb::UserIdentity { upn: upn.to_owned(), ..Default::default() }
}

pub fn alert(id: &str, users: Vec<pb::UserIdentity>) -> pb::DlpAlert {
    pb::DlpAlert { alert_id: id.to_owned(), involved_users: users, ..Default::default() }
}

/// One activity of a user, with an id of its own.
pub fn activity(user: &str, indicator: &str, when: DateTime<Utc>) -> pb::ActivityRecord {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    pb::ActivityRecord {
        activity_id: format!("activity-{number:06}"),
        user: Some(upn(user)),
        occurred_at: Some(timestamp(when)),
        indicator: indicator.to_owned(),
        operation: "FileCopiedToRemovableMedia".to_owned(),
        object_name: format!("file-{number:06}.docx"),
        destination: "E:".to_owned(),
        ..Default::default()
    }
}

pub fn copies(user: &str, count: usize, when: DateTime<Utc>) -> Vec<pb::ActivityRecord> {
    (0..count).map(|_| activity(user, "CopyToUSB", when)).collect()
}

/// Waits until something is so, a minute at most.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it never came to that: {what}");
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap() }
}

/// Returns the reason of a refusal.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Returns the fields that a refusal names.
pub fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|request| request.field_violations);
    violations.unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}
