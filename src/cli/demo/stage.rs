//! A server of the demo's own, and what it is told: by the calls, and through the parsers, that any caller uses.

use crate::cli::connection::plain;
use crate::cli::demo::story::Tenant;
use crate::cli::feed::{Feed, batches};
use crate::clock::Clock;
use crate::config::Config;
use crate::pb;
use crate::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use crate::pb::ingest_service_client::IngestServiceClient;
use crate::pb::settings_service_client::SettingsServiceClient;
use crate::server;
use crate::server::Running;
use anyhow::{Context, ensure};
use prost_types::FieldMask;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tonic::transport::Channel;
use uuid::Uuid;

/// A folder that goes when its owner does.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("riskshare-demo-{}", Uuid::new_v4()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(cause) = std::fs::remove_dir_all(&self.0) {
            eprintln!("riskshare: {} is left behind: {cause}", self.0.display());
        }
    }
}

/// A running server with nothing in it, and a connection to it.
pub struct Stage {
    /// The server.
    pub running: Running,
    /// The connection.
    pub channel: Channel,
}

impl Stage {
    /// Starts a server with its data in a folder.
    ///
    /// # Errors
    /// When it cannot start.
    pub async fn open(folder: &Path, listen: SocketAddr, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let config = Config { listen, data_dir: folder.join("data"), drain_seconds: 2, ..Config::default() };
        let running = server::start(config, clock).await?;
        let channel = Channel::from_shared(format!("http://{}", running.address()))?.connect_lazy();
        Ok(Self { running, channel })
    }

    /// Tells the server all of a tenant.
    ///
    /// # Errors
    /// When it does not take something in.
    pub async fn tell(&self, tenant: &Tenant) -> anyhow::Result<()> {
        self.decide(tenant).await?;
        self.declare(tenant).await?;
        let texts: Vec<String> = tenant.audit.iter().map(Value::to_string).collect();
        let sizes: Vec<usize> = texts.iter().map(String::len).collect();
        let mut feed = Feed::new(plain(self.channel.clone()), tenant.id.to_string(), 0);
        for batch in batches(&sizes) {
            let records: Vec<&str> = texts[batch].iter().map(String::as_str).collect();
            let answer = feed.send(&records).await?;
            all_taken("audit records", &answer.results)?;
        }
        self.start_scoring(tenant).await
    }

    async fn decide(&self, tenant: &Tenant) -> anyhow::Result<()> {
        let fields = ["data_sharing_enabled", "user_analytics_enabled"];
        let request = pb::UpdateSettingsRequest {
            tenant_id: tenant.id.to_string(),
            settings: Some(tenant.settings.clone()),
            update_mask: Some(FieldMask { paths: fields.map(str::to_owned).into() }),
            etag: String::new(),
        };
        SettingsServiceClient::new(self.channel.clone()).update_settings(request).await?;
        Ok(())
    }

    /// Declares users, policies and memberships. A tenant may have none of the latter two.
    async fn declare(&self, tenant: &Tenant) -> anyhow::Result<()> {
        let mut client = IngestServiceClient::new(self.channel.clone());
        let tenant_id = tenant.id.to_string();
        let users = pb::UpsertUsersRequest { tenant_id: tenant_id.clone(), users: tenant.users.clone() };
        all_taken("users", &client.upsert_users(users).await?.into_inner().results)?;
        if !tenant.policies.is_empty() {
            let request =
                pb::UpsertPoliciesRequest { tenant_id: tenant_id.clone(), policies: tenant.policies.clone() };
            all_taken("policies", &client.upsert_policies(request).await?.into_inner().results)?;
        }
        if !tenant.memberships.is_empty() {
            let memberships = tenant.memberships.clone();
            let request = pb::SetMembershipsRequest { tenant_id, memberships };
            all_taken("memberships", &client.set_memberships(request).await?.into_inner().results)?;
        }
        Ok(())
    }

    async fn start_scoring(&self, tenant: &Tenant) -> anyhow::Result<()> {
        let mut client = IngestServiceClient::new(self.channel.clone());
        let tenant_id = tenant.id.to_string();
        if !tenant.triggers.is_empty() {
            let triggers = tenant.triggers.clone();
            let request = pb::RecordTriggersRequest { tenant_id: tenant_id.clone(), triggers };
            all_taken("triggers", &client.record_triggers(request).await?.into_inner().results)?;
        }
        if !tenant.risk_alerts.is_empty() {
            let raw_records = tenant.risk_alerts.iter().map(Value::to_string).collect();
            let request = pb::ImportRiskAlertsRequest { tenant_id, alerts: Vec::new(), raw_records };
            all_taken("risk alerts", &client.import_risk_alerts(request).await?.into_inner().results)?;
        }
        Ok(())
    }

    /// Asks for the column of a tenant's queue.
    ///
    /// # Errors
    /// When the page is refused.
    pub async fn column(&self, tenant: &Tenant) -> anyhow::Result<Vec<pb::EnrichAlertResult>> {
        let request = pb::BatchEnrichAlertsRequest {
            tenant_id: tenant.id.to_string(),
            alerts: tenant.queue.iter().map(|alert| raw(&alert.raw)).collect(),
            view: pb::EnrichmentView::Severity.into(),
            activity_page_size: 0,
        };
        let mut client = AlertEnrichmentServiceClient::new(self.channel.clone());
        Ok(client.batch_enrich_alerts(request).await?.into_inner().results)
    }

    /// Asks for one alert in full.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn in_full(&self, tenant: &Tenant, alert: &Value) -> anyhow::Result<pb::EnrichedAlert> {
        let request = pb::EnrichAlertRequest {
            tenant_id: tenant.id.to_string(),
            alert: Some(raw(alert)),
            view: pb::EnrichmentView::Full.into(),
            activity_page_size: 0,
        };
        let mut client = AlertEnrichmentServiceClient::new(self.channel.clone());
        let answer = client.enrich_alert(request).await?.into_inner();
        answer.alert.context("an answer without an alert")
    }
}

fn raw(alert: &Value) -> pb::DlpAlert {
    pb::DlpAlert { raw_json: alert.to_string(), ..Default::default() }
}

/// Every record of the demo must be taken in: one that is not would be a fault of the demo.
fn all_taken(what: &str, results: &[pb::IngestResult]) -> anyhow::Result<()> {
    let first = results.first().cloned().unwrap_or_default();
    ensure!(
        results.is_empty(),
        "{what}: {} were not taken in; item {}: {} {}",
        results.len(),
        first.index,
        first.field,
        first.description
    );
    Ok(())
}
