//! Promise 1 for refusals: one that depends on users passes the gate like an answer.

use riskshare::auth::{Anyone, Authenticator, Presented};
use riskshare::clock::ManualClock;
use riskshare::domain::audit::{AuditEvent, AuditOutcome, AuditQuery, AuditVerdict, ChainHead};
use riskshare::domain::facts::{Batch, Declaration, Fact, Outcome};
use riskshare::domain::ids::TenantId;
use riskshare::domain::settings::Settings;
use riskshare::domain::time::UtcDay;
use riskshare::domain::user::Identity;
use riskshare::domain::user::IdentityKey;
use riskshare::engine::reading::Engine;
use riskshare::gate::admission::Gate;
use riskshare::gate::caller::Caller;
use riskshare::grpc::enrichment::Enrichment;
use riskshare::grpc::incidents::Incidents;
use riskshare::grpc::page::PageTokens;
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_server::AlertEnrichmentService;
use riskshare::pb::incident_service_server::IncidentService;
use riskshare::store::embedded::EmbeddedStore;
use riskshare::store::{AuditCursor, AuditPage};
use riskshare::store::{ChangedSettings, Hold, Snapshot, Store, StoreError, VersionedSettings};
use std::sync::Arc;
use tonic::Request;

/// A store in which somebody turns sharing off while users are being read.
struct TurnedOff(EmbeddedStore);

#[tonic::async_trait]
impl Store for TurnedOff {
    async fn hold(&self, tenant: TenantId) -> Result<Hold, StoreError> {
        self.0.hold(tenant).await
    }

    async fn read(&self, hold: &Hold, people: &[Identity]) -> Result<Snapshot, StoreError> {
        let found = self.0.read(hold, people).await;
        let version = self.0.settings(hold.tenant()).await?.version;
        self.0.change_settings(hold.tenant(), version, Settings::default(), decided()).await?;
        found
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        self.0.commit(batch).await
    }

    async fn settings(&self, tenant: TenantId) -> Result<VersionedSettings, StoreError> {
        self.0.settings(tenant).await
    }

    async fn change_settings(
        &self,
        tenant: TenantId,
        expected: u64,
        settings: Settings,
        event: AuditEvent,
    ) -> Result<ChangedSettings, StoreError> {
        self.0.change_settings(tenant, expected, settings, event).await
    }

    async fn knows(&self, tenant: TenantId) -> Result<bool, StoreError> {
        self.0.knows(tenant).await
    }

    async fn record(&self, tenant: TenantId, event: AuditEvent) -> Result<(), StoreError> {
        self.0.record(tenant, event).await
    }

    async fn audit_page(
        &self,
        tenant: TenantId,
        query: AuditQuery,
        after: Option<AuditCursor>,
        size: usize,
    ) -> Result<AuditPage, StoreError> {
        self.0.audit_page(tenant, query, after, size).await
    }

    async fn verify_audit(
        &self,
        tenant: TenantId,
        kept: Option<ChainHead>,
    ) -> Result<AuditVerdict, StoreError> {
        self.0.verify_audit(tenant, kept).await
    }

    async fn expire_audit(&self, before: UtcDay) -> Result<u64, StoreError> {
        self.0.expire_audit(before).await
    }

    async fn expire(&self, today: UtcDay) -> Result<u64, StoreError> {
        self.0.expire(today).await
    }

    async fn token_key(&self) -> Result<[u8; 32], StoreError> {
        self.0.token_key().await
    }
}

fn decided() -> AuditEvent {
    AuditEvent::new(chrono::DateTime::UNIX_EPOCH, "somebody", "UpdateSettings", AuditOutcome::Changed)
}

fn declared(address: &str) -> Fact {
    let identity = Identity::default().with(IdentityKey::address(address).unwrap());
    Fact::User(Declaration {
        identity,
        guest: false,
        potential_high_impact: false,
        confirmed_violation_before: false,
    })
}

fn named(addresses: &[&str]) -> pb::UserIdentity {
    let smtp_addresses = addresses.iter().map(ToString::to_string).collect();
    pb::UserIdentity { smtp_addresses, ..pb::UserIdentity::default() }
}

fn by<M>(caller: &Caller, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller.clone());
    request
}

#[tokio::test]
async fn a_refusal_that_depends_on_users_does_not_leave_once_sharing_is_off() {
    let here = tempfile::tempdir().unwrap();
    let now = "2026-05-01T12:00:00Z".parse().unwrap();
    let tenant = TenantId::new(uuid::Uuid::from_u128(1));
    let store: Arc<dyn Store> = Arc::new(TurnedOff(EmbeddedStore::open(here.path()).unwrap()));
    let facts = vec![declared("ann@x.com"), declared("bob@x.com")];
    store.commit(Batch { tenant, at: now, facts }).await.unwrap();
    let gate = Gate::new(Arc::clone(&store), Arc::new(ManualClock::at(now)));
    let engine = Arc::new(Engine::default());
    let tokens = Arc::new(PageTokens::new([7; 32]));
    let incidents =
        Incidents { gate: gate.clone(), engine: Arc::clone(&engine), tokens: Arc::clone(&tokens) };
    let enrichment = Enrichment { gate, engine, tokens };
    let share = async || {
        let sharing = Settings { data_sharing: true, ..Settings::default() };
        let version = store.settings(tenant).await.unwrap().version;
        store.change_settings(tenant, version, sharing, decided()).await.unwrap();
    };
    let tenant_id = tenant.to_string();
    let caller = Anyone::default().caller(Presented::default()).await.unwrap();
    for (user, page_token) in [(named(&["ann@x.com", "bob@x.com"]), ""), (named(&["ann@x.com"]), "AAAA")] {
        share().await;
        let request = pb::ListUserActivitiesRequest {
            tenant_id: tenant_id.clone(),
            user: Some(user.clone()),
            page_token: page_token.to_owned(),
            ..pb::ListUserActivitiesRequest::default()
        };
        let refusal = enrichment.list_user_activities(by(&caller, request)).await.err().unwrap();
        assert_eq!(refusal.message(), "User data is not available");
        share().await;
        let request =
            pb::GetUserRiskRequest { tenant_id: tenant_id.clone(), user: Some(user), activity_page_size: 0 };
        let refusal = incidents.get_user_risk(by(&caller, request)).await.err().unwrap();
        assert_eq!(refusal.message(), "User data is not available");
    }
}
