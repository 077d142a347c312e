//! Measures what a store is asked to do.

use crate::domain::audit::{AuditEvent, AuditQuery, AuditVerdict, ChainHead};
use crate::domain::content::{Content, ContentQuery};
use crate::domain::decision::{Decision, RiskAlertQuery, Undecided};
use crate::domain::facts::{Batch, Outcome};
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::settings::Settings;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, UserNo};
use crate::store::{
    AlertCursor, AlertPage, AuditCursor, AuditPage, ChangedSettings, Condition, Hold, Named, Snapshot, Store,
    StoreError, VersionedSettings,
};
use crate::telemetry::METRICS;
use crate::telemetry::traces;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument;

/// A store that is measured.
pub struct Observed<S>(pub S);

/// Waits for an operation, and notes its name, how long it took and whether it failed.
async fn observe<T>(
    operation: &'static str,
    work: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    let begun = Instant::now();
    let result = work.instrument(traces::of_store(operation)).await;
    // Somebody else was quicker: that is an answer.
    let failed = matches!(result, Err(StoreError::Unavailable(_) | StoreError::AuditUnavailable(_)));
    METRICS.stored(operation, begun.elapsed(), failed);
    result
}

#[async_trait]
impl<S: Store> Store for Observed<S> {
    async fn hold(&self, tenant: TenantId) -> Result<Hold, StoreError> {
        observe("hold", self.0.hold(tenant)).await
    }

    async fn hold_to_read(&self, tenant: TenantId, people: &[&Identity]) -> Result<Hold, StoreError> {
        observe("hold", self.0.hold_to_read(tenant, people)).await
    }

    async fn read(&self, hold: &Hold, people: &[&Identity]) -> Result<Snapshot, StoreError> {
        observe("read", self.0.read(hold, people)).await
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        observe("commit", self.0.commit(batch)).await
    }

    async fn settings(&self, tenant: TenantId) -> Result<VersionedSettings, StoreError> {
        observe("settings", self.0.settings(tenant)).await
    }

    async fn change_settings(
        &self,
        tenant: TenantId,
        expected: u64,
        settings: Settings,
        event: AuditEvent,
    ) -> Result<ChangedSettings, StoreError> {
        observe("change_settings", self.0.change_settings(tenant, expected, settings, event)).await
    }

    async fn knows(&self, tenant: TenantId) -> Result<bool, StoreError> {
        observe("knows", self.0.knows(tenant)).await
    }

    async fn record(&self, tenant: TenantId, event: AuditEvent) -> Result<(), StoreError> {
        observe("record", self.0.record(tenant, event)).await
    }

    async fn audit_page(
        &self,
        tenant: TenantId,
        query: AuditQuery,
        after: Option<AuditCursor>,
        size: usize,
    ) -> Result<AuditPage, StoreError> {
        observe("audit_page", self.0.audit_page(tenant, query, after, size)).await
    }

    async fn verify_audit(
        &self,
        tenant: TenantId,
        kept: Option<ChainHead>,
    ) -> Result<AuditVerdict, StoreError> {
        observe("verify_audit", self.0.verify_audit(tenant, kept)).await
    }

    async fn expire_audit(&self, before: UtcDay) -> Result<u64, StoreError> {
        observe("expire_audit", self.0.expire_audit(before)).await
    }

    async fn expire(&self, today: UtcDay) -> Result<u64, StoreError> {
        observe("expire", self.0.expire(today)).await
    }

    async fn erase(
        &self,
        tenant: TenantId,
        person: &Identity,
        event: AuditEvent,
    ) -> Result<Option<u64>, StoreError> {
        observe("erase", self.0.erase(tenant, person, event)).await
    }

    async fn named(&self, tenant: TenantId, users: &[UserNo]) -> Result<Vec<Option<Named>>, StoreError> {
        observe("named", self.0.named(tenant, users)).await
    }

    async fn risk_alerts(
        &self,
        hold: &Hold,
        query: &RiskAlertQuery,
        after: Option<&AlertCursor>,
        size: usize,
    ) -> Result<AlertPage, StoreError> {
        observe("risk_alerts", self.0.risk_alerts(hold, query, after, size)).await
    }

    async fn risk_alert(&self, hold: &Hold, alert: &RiskAlertId) -> Result<AlertPage, StoreError> {
        observe("risk_alert", self.0.risk_alert(hold, alert)).await
    }

    async fn decide(
        &self,
        tenant: TenantId,
        decision: Decision,
        event: AuditEvent,
    ) -> Result<Result<(), Undecided>, StoreError> {
        observe("decide", self.0.decide(tenant, decision, event)).await
    }

    async fn publish(&self, at: DateTime<Utc>) -> Result<u64, StoreError> {
        observe("publish", self.0.publish(at)).await
    }

    async fn contents(&self, query: &ContentQuery) -> Result<Vec<Arc<Content>>, StoreError> {
        observe("contents", self.0.contents(query)).await
    }

    async fn expire_contents(&self, before: UtcDay) -> Result<u64, StoreError> {
        observe("expire_contents", self.0.expire_contents(before)).await
    }

    async fn note(&self, tenant: TenantId, name: &str) -> Result<Option<Arc<str>>, StoreError> {
        observe("note", self.0.note(tenant, name)).await
    }

    async fn put_note(
        &self,
        tenant: TenantId,
        name: &str,
        before: Option<&str>,
        after: &str,
    ) -> Result<bool, StoreError> {
        observe("put_note", self.0.put_note(tenant, name, before, after)).await
    }

    async fn condition(&self) -> Condition {
        self.0.condition().await
    }

    async fn token_key(&self) -> Result<[u8; 32], StoreError> {
        observe("token_key", self.0.token_key()).await
    }
}
