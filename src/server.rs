//! The composition root: the only file that names an engine, a store and a transport together.

use crate::auth::{Anyone, Authenticator};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::time::UtcDay;
use crate::engine::audit_log::AuditLog;
use crate::engine::decisions::Decisions;
use crate::engine::reading::Engine;
use crate::engine::recorder::Recorder;
use crate::gate::admission::{Gate, Unavailable};
use crate::grpc::audit::AuditDesk;
use crate::grpc::auth::AuthLayer;
use crate::grpc::enrichment::Enrichment;
use crate::grpc::handover::HandOverLayer;
use crate::grpc::incidents::Incidents;
use crate::grpc::ingest::Ingest;
use crate::grpc::limits::CallLimit;
use crate::grpc::page::PageTokens;
use crate::grpc::room::ANSWER_BYTES_MAX;
use crate::grpc::settings::SettingsDesk;
use crate::pb;
use crate::pb::alert_enrichment_service_server::AlertEnrichmentServiceServer;
use crate::pb::audit_service_server::AuditServiceServer;
use crate::pb::incident_service_server::IncidentServiceServer;
use crate::pb::ingest_service_server::IngestServiceServer;
use crate::pb::settings_service_server::SettingsServiceServer;
use crate::store::Store;
use crate::store::embedded::{EmbeddedStore, OpenError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::server::NamedService;
use tonic::service::LayerExt;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How often activities of days before the horizon are looked for.
const EXPIRY_PERIOD: Duration = Duration::from_mins(10);
/// How often an idle connection is asked whether its peer is still there.
const KEEPALIVE_PERIOD: Duration = Duration::from_mins(1);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Callers are not authenticated yet, so other machines must not reach it unless someone says so.
    #[error(
        "{0} can be reached from other machines and callers are not authenticated: listen on a loopback address, or \
         set allow_unauthenticated_network = true"
    )]
    Exposed(SocketAddr),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
    /// The data cannot be opened.
    #[error("cannot open the data in {}: {cause}", path.display())]
    Open {
        /// Where they are.
        path: PathBuf,
        /// Why not.
        cause: OpenError,
    },
    /// The data were opened and cannot be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The descriptors of the services cannot be read.
    #[error("cannot set up reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Why a running server ended with a fault.
#[derive(Debug, thiserror::Error)]
#[error("the server failed: {0}")]
pub struct ServeError(String);

/// A server that runs.
pub struct Running {
    address: SocketAddr,
    health: HealthReporter,
    stop: watch::Sender<bool>,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
    expiry: JoinHandle<()>,
    drain: Duration,
}

/// Opens the data and starts to serve them. Returns once callers can connect.
///
/// # Errors
/// Why it cannot.
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    if !config.listen.ip().is_loopback() && !config.allow_unauthenticated_network {
        return Err(StartError::Exposed(config.listen));
    }
    let store = open(&config).await?;
    let tokens = Arc::new(PageTokens::new(store.token_key().await.map_err(Unavailable::from)?));
    let services = Services::new(&config, Arc::clone(&store), Arc::clone(&clock), tokens);
    let refused = |cause| StartError::Listen { address: config.listen, cause };
    let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let (health, router) = services.router().await?;
    let (stop, mut stopped) = watch::channel(false);
    let expiry = tokio::spawn(expire(store, clock, config.audit.retention_days, stopped.clone()));
    let until_stopped = async move { drop(stopped.wait_for(|stop| *stop).await) };
    let connections = TcpListenerStream::new(listener);
    let served = tokio::spawn(router.serve_with_incoming_shutdown(connections, until_stopped));
    tracing::info!(%address, "serving");
    Ok(Running { address, health, stop, served, expiry, drain: config.drain() })
}

impl Running {
    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: takes no new calls, gives those in progress the time that the configuration says, and cuts off the
    /// rest.
    ///
    /// # Errors
    /// When the server had failed before.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.health.set_service_status("", ServingStatus::NotServing).await;
        for name in NAMES {
            self.health.set_service_status(name, ServingStatus::NotServing).await;
        }
        self.stop.send_replace(true);
        let served = tokio::time::timeout(self.drain, &mut self.served).await;
        if served.is_err() {
            tracing::warn!("calls were still in progress when the time to drain was over");
            self.served.abort();
        }
        drop(self.expiry.await);
        match served {
            Ok(Ok(Err(fault))) => Err(ServeError(fault.to_string())),
            Ok(Err(fault)) => Err(ServeError(fault.to_string())),
            Ok(Ok(Ok(()))) | Err(_) => Ok(()),
        }
    }
}

async fn open(config: &Config) -> Result<Arc<dyn Store>, StartError> {
    let path = config.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path)).await;
    let opened = opened.map_err(|fault| Unavailable(fault.to_string()))?;
    let store = opened.map_err(|cause| StartError::Open { path: config.data_dir.clone(), cause })?;
    Ok(Arc::new(store))
}

async fn expire(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    audit_days: u32,
    mut stopped: watch::Receiver<bool>,
) {
    let audit_days = i32::try_from(audit_days).unwrap_or(i32::MAX);
    let mut period = tokio::time::interval(EXPIRY_PERIOD);
    loop {
        tokio::select! {
            _ = period.tick() => {
                let today = UtcDay::of(clock.now());
                match store.expire(today).await {
                    Ok(0) => {}
                    Ok(expired) => tracing::info!(expired, "forgot activities of days before the horizon"),
                    Err(cause) => tracing::error!(%cause, "cannot forget activities of days before the horizon"),
                }
                match store.expire_audit(today.plus(-audit_days)).await {
                    Ok(0) => {}
                    Ok(files) => tracing::info!(files, "removed audit lines that are older than the retention"),
                    Err(cause) => tracing::error!(%cause, "cannot remove old audit lines"),
                }
            }
            _ = stopped.changed() => return, // It changes once.
        }
    }
}

type Enriching = AlertEnrichmentServiceServer<Enrichment>;
type IncidentPages = IncidentServiceServer<Incidents>;
type Ingesting = IngestServiceServer<Ingest>;
type SettingsOf = SettingsServiceServer<SettingsDesk>;
type Auditing = AuditServiceServer<AuditDesk>;

const NAMES: [&str; 5] =
    [Enriching::NAME, IncidentPages::NAME, Ingesting::NAME, SettingsOf::NAME, Auditing::NAME];

struct Services {
    enrichment: Enriching,
    incidents: IncidentPages,
    ingest: Ingesting,
    settings: SettingsOf,
    audit: Auditing,
    calls: CallLimit,
    auth: AuthLayer,
}

impl Services {
    fn new(config: &Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>, tokens: Arc<PageTokens>) -> Self {
        let limits = &config.limits;
        let gate = Gate::new(Arc::clone(&store), clock);
        let engine = Arc::new(Engine::default());
        let recorder = Arc::new(Recorder::new(Arc::clone(&store)));
        let decisions = Arc::new(Decisions::new(Arc::clone(&store)));
        let log = Arc::new(AuditLog::new(store));
        let audit = AuditDesk { gate: gate.clone(), log, tokens: Arc::clone(&tokens) };
        let enrichment =
            Enrichment { gate: gate.clone(), engine: Arc::clone(&engine), tokens: Arc::clone(&tokens) };
        let incidents = Incidents { gate: gate.clone(), engine, tokens };
        let ingest = Ingest { gate: gate.clone(), recorder };
        let settings = SettingsDesk { gate, decisions };
        let small = limits.max_message_bytes;
        Self {
            enrichment: Enriching::new(enrichment)
                .max_decoding_message_size(small)
                .max_encoding_message_size(ANSWER_BYTES_MAX),
            incidents: IncidentPages::new(incidents)
                .max_decoding_message_size(small)
                .max_encoding_message_size(ANSWER_BYTES_MAX),
            ingest: Ingesting::new(ingest).max_decoding_message_size(limits.max_ingest_message_bytes),
            settings: SettingsOf::new(settings).max_decoding_message_size(small),
            audit: Auditing::new(audit)
                .max_decoding_message_size(small)
                .max_encoding_message_size(ANSWER_BYTES_MAX),
            calls: CallLimit::new(limits.max_concurrent_requests),
            auth: AuthLayer::new(Arc::new(Anyone::default()) as Arc<dyn Authenticator>),
        }
    }

    async fn router(self) -> Result<(HealthReporter, Router), StartError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        for name in NAMES {
            reporter.set_service_status(name, ServingStatus::Serving).await;
        }
        let router = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_PERIOD))
            .add_service(
                self.calls.named_layer(self.auth.named_layer(HandOverLayer.named_layer(self.enrichment))),
            )
            .add_service(
                self.calls.named_layer(self.auth.named_layer(HandOverLayer.named_layer(self.incidents))),
            )
            .add_service(self.calls.named_layer(self.auth.named_layer(self.ingest)))
            // Sharing can be turned off however many calls are in progress.
            .add_service(CallLimit::none().named_layer(self.auth.named_layer(self.settings)))
            .add_service(self.calls.named_layer(self.auth.named_layer(self.audit)))
            .add_service(health)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
        Ok((reporter, router))
    }
}

/// Describes all services, and the details of errors, which clients must be able to decode.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
