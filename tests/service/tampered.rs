//! The embedded store with something done to it while it works, and the services over it.

use crate::world::*;
use chrono::{DateTime, Utc};
use riskshare::auth::{Anyone, Authenticator, Presented};
use riskshare::clock::ManualClock;
use riskshare::domain::audit::{AuditEvent, AuditOutcome, AuditQuery, AuditVerdict, ChainHead};
use riskshare::domain::content::{Content, ContentQuery};
use riskshare::domain::decision::{Decision, RiskAlertQuery, Undecided};
use riskshare::domain::facts::{Batch, Declaration, Fact, Outcome};
use riskshare::domain::ids::{RiskAlertId, TenantId};
use riskshare::domain::settings::Settings;
use riskshare::domain::time::UtcDay;
use riskshare::domain::user::{Identity, IdentityKey, UserNo};
use riskshare::engine::audit_log::AuditLog;
use riskshare::engine::decisions::Decisions;
use riskshare::engine::recorder::Recorder;
use riskshare::gate::admission::Gate;
use riskshare::gate::caller::Caller;
use riskshare::grpc::audit::AuditDesk;
use riskshare::grpc::auth::AuthLayer;
use riskshare::grpc::enrichment::Enrichment;
use riskshare::grpc::handover::HandOverLayer;
use riskshare::grpc::incidents::Incidents;
use riskshare::grpc::ingest::Ingest;
use riskshare::grpc::page::PageTokens;
use riskshare::grpc::pseudonyms::Pseudonyms;
use riskshare::grpc::risk_alerts::RiskAlerts;
use riskshare::grpc::settings::SettingsDesk;
use riskshare::pb::alert_enrichment_service_server::AlertEnrichmentServiceServer;
use riskshare::pb::audit_service_server::AuditServiceServer;
use riskshare::pb::incident_service_server::IncidentServiceServer;
use riskshare::pb::ingest_service_server::IngestServiceServer;
use riskshare::pb::pseudonym_service_server::PseudonymServiceServer;
use riskshare::pb::risk_alert_service_server::RiskAlertServiceServer;
use riskshare::pb::settings_service_server::SettingsServiceServer;
use riskshare::store::embedded::EmbeddedStore;
use riskshare::store::{AlertCursor, AlertPage, AuditCursor, AuditPage};
use riskshare::store::{
    ChangedSettings, Condition, Hold, Named, Snapshot, Store, StoreError, VersionedSettings,
};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::LayerExt;
use tonic::transport::{Channel, Server};

/// What is done to the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tampering {
    Nothing,
    /// Somebody turns sharing off while users are being read.
    OffWhileReading,
    /// One of its calls fails.
    Fails(Call),
}

/// A call of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Hold,
    Read,
    Commit,
    Settings,
    ChangeSettings,
    Erase,
    Knows,
    Record,
    AuditPage,
    Named,
    VerifyAudit,
    RiskAlerts,
    RiskAlert,
    Decide,
}

pub struct Tampered {
    store: EmbeddedStore,
    tampering: Mutex<Tampering>,
    _data: TempDir,
}

impl Tampered {
    pub fn open() -> Arc<Self> {
        let data = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(data.path()).unwrap();
        Arc::new(Self { store, tampering: Mutex::new(Tampering::Nothing), _data: data })
    }

    pub fn tamper(&self, tampering: Tampering) {
        *self.tampering.lock().unwrap() = tampering;
    }

    /// Moves the sharing switch of a tenant.
    pub async fn share(&self, tenant: TenantId, on: bool) -> ChangedSettings {
        let settings = Settings { data_sharing: on, ..Settings::default() };
        let version = self.store.settings(tenant).await.unwrap().version;
        let event = AuditEvent::new(at(NOON), "somebody", "UpdateSettings", AuditOutcome::Changed);
        self.store.change_settings(tenant, version, settings, event).await.unwrap()
    }

    /// Declares a user for each address.
    pub async fn declare(&self, tenant: TenantId, addresses: &[&str]) {
        let facts = addresses.iter().map(|address| declared(address)).collect();
        self.store.commit(Batch { tenant, at: at(NOON), facts }).await.unwrap();
    }

    fn check(&self, call: Call) -> Result<(), StoreError> {
        if *self.tampering.lock().unwrap() == Tampering::Fails(call) {
            let cause = "john@contoso.com is on a broken disk".to_owned();
            let is_audit = matches!(call, Call::Record | Call::AuditPage | Call::VerifyAudit);
            return Err(if is_audit {
                StoreError::AuditUnavailable(cause)
            } else {
                StoreError::Unavailable(cause)
            });
        }
        Ok(())
    }
}

fn declared(address: &str) -> Fact {
    Fact::User(Declaration {
        identity: Identity::default().with(IdentityKey::address(address).unwrap()),
        guest: false,
        potential_high_impact: false,
        confirmed_violation_before: false,
    })
}

#[tonic::async_trait]
impl Store for Tampered {
    async fn hold(&self, tenant: TenantId) -> Result<Hold, StoreError> {
        self.check(Call::Hold)?;
        self.store.hold(tenant).await
    }

    async fn hold_to_read(&self, tenant: TenantId, people: &[&Identity]) -> Result<Hold, StoreError> {
        self.check(Call::Hold)?;
        self.store.hold_to_read(tenant, people).await
    }

    async fn read(&self, hold: &Hold, people: &[&Identity]) -> Result<Snapshot, StoreError> {
        self.check(Call::Read)?;
        let found = self.store.read(hold, people).await;
        let tampering = *self.tampering.lock().unwrap();
        if tampering == Tampering::OffWhileReading {
            self.share(hold.tenant(), false).await;
        }
        found
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        self.check(Call::Commit)?;
        self.store.commit(batch).await
    }

    async fn settings(&self, tenant: TenantId) -> Result<VersionedSettings, StoreError> {
        self.check(Call::Settings)?;
        self.store.settings(tenant).await
    }

    async fn change_settings(
        &self,
        tenant: TenantId,
        expected: u64,
        settings: Settings,
        event: AuditEvent,
    ) -> Result<ChangedSettings, StoreError> {
        self.check(Call::ChangeSettings)?;
        self.store.change_settings(tenant, expected, settings, event).await
    }

    async fn knows(&self, tenant: TenantId) -> Result<bool, StoreError> {
        self.check(Call::Knows)?;
        self.store.knows(tenant).await
    }

    async fn record(&self, tenant: TenantId, event: AuditEvent) -> Result<(), StoreError> {
        self.check(Call::Record)?;
        self.store.record(tenant, event).await
    }

    async fn audit_page(
        &self,
        tenant: TenantId,
        query: AuditQuery,
        after: Option<AuditCursor>,
        size: usize,
    ) -> Result<AuditPage, StoreError> {
        self.check(Call::AuditPage)?;
        self.store.audit_page(tenant, query, after, size).await
    }

    async fn verify_audit(
        &self,
        tenant: TenantId,
        kept: Option<ChainHead>,
    ) -> Result<AuditVerdict, StoreError> {
        self.check(Call::VerifyAudit)?;
        self.store.verify_audit(tenant, kept).await
    }

    async fn expire_audit(&self, before: UtcDay) -> Result<u64, StoreError> {
        self.store.expire_audit(before).await
    }

    async fn expire(&self, today: UtcDay) -> Result<u64, StoreError> {
        self.store.expire(today).await
    }

    async fn erase(
        &self,
        tenant: TenantId,
        person: &Identity,
        event: AuditEvent,
    ) -> Result<Option<u64>, StoreError> {
        self.check(Call::Erase)?;
        self.store.erase(tenant, person, event).await
    }

    async fn named(&self, tenant: TenantId, users: &[UserNo]) -> Result<Vec<Option<Named>>, StoreError> {
        self.check(Call::Named)?;
        self.store.named(tenant, users).await
    }

    async fn risk_alerts(
        &self,
        hold: &Hold,
        query: &RiskAlertQuery,
        after: Option<&AlertCursor>,
        size: usize,
    ) -> Result<AlertPage, StoreError> {
        self.check(Call::RiskAlerts)?;
        self.store.risk_alerts(hold, query, after, size).await
    }

    async fn risk_alert(&self, hold: &Hold, alert: &RiskAlertId) -> Result<AlertPage, StoreError> {
        self.check(Call::RiskAlert)?;
        self.store.risk_alert(hold, alert).await
    }

    async fn decide(
        &self,
        tenant: TenantId,
        decision: Decision,
        event: AuditEvent,
    ) -> Result<Result<(), Undecided>, StoreError> {
        self.check(Call::Decide)?;
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

/// The services over a store, as the server puts them together.
pub struct Services {
    store: Arc<dyn Store>,
    gate: Gate,
    tokens: Arc<PageTokens>,
}

impl Services {
    pub fn over(store: &Arc<Tampered>) -> Self {
        let store = Arc::clone(store) as Arc<dyn Store>;
        Self {
            gate: Gate::new(Arc::clone(&store), Arc::new(ManualClock::at(at(NOON)))),
            tokens: Arc::new(PageTokens::new([7; 32])),
            store,
        }
    }

    pub fn enrichment(&self) -> Enrichment {
        Enrichment { gate: self.gate.clone(), tokens: Arc::clone(&self.tokens), shelf: Arc::default() }
    }

    pub fn incidents(&self) -> Incidents {
        Incidents { gate: self.gate.clone(), tokens: Arc::clone(&self.tokens) }
    }

    fn ingest(&self) -> Ingest {
        Ingest { gate: self.gate.clone(), recorder: Arc::new(Recorder::new(Arc::clone(&self.store))) }
    }

    fn settings(&self) -> SettingsDesk {
        let decisions = Arc::new(Decisions::new(Arc::clone(&self.store)));
        SettingsDesk { gate: self.gate.clone(), decisions }
    }

    fn audit(&self) -> AuditDesk {
        let log = Arc::new(AuditLog::new(Arc::clone(&self.store)));
        AuditDesk { gate: self.gate.clone(), log, tokens: Arc::clone(&self.tokens) }
    }

    fn pseudonyms(&self) -> Pseudonyms {
        Pseudonyms { gate: self.gate.clone() }
    }

    fn risk_alerts(&self) -> RiskAlerts {
        RiskAlerts { gate: self.gate.clone(), tokens: Arc::clone(&self.tokens) }
    }

    /// Serves them until the test ends.
    pub async fn serve(&self) -> Channel {
        let auth = AuthLayer::new(Arc::new(Anyone::default()));
        let enrichment = HandOverLayer.named_layer(AlertEnrichmentServiceServer::new(self.enrichment()));
        let incidents = HandOverLayer.named_layer(IncidentServiceServer::new(self.incidents()));
        let pseudonyms = HandOverLayer.named_layer(PseudonymServiceServer::new(self.pseudonyms()));
        let risk_alerts = HandOverLayer.named_layer(RiskAlertServiceServer::new(self.risk_alerts()));
        let router = Server::builder()
            .add_service(auth.named_layer(enrichment))
            .add_service(auth.named_layer(incidents))
            .add_service(auth.named_layer(pseudonyms))
            .add_service(auth.named_layer(risk_alerts))
            .add_service(auth.named_layer(IngestServiceServer::new(self.ingest())))
            .add_service(auth.named_layer(SettingsServiceServer::new(self.settings())))
            .add_service(auth.named_layer(AuditServiceServer::new(self.audit())));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
    }
}

/// The caller of these tests, who may do everything.
pub async fn anyone() -> Caller {
    Anyone::default().caller(Presented::default()).await.unwrap()
}
