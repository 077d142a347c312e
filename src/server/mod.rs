//! The composition root: the only file that names an engine, a store and a transport together.

mod check;
mod feed;
mod health;

pub use check::check;

use crate::auth::mode::{AuthError, authenticator};
use crate::auth::{Anyone, Authenticator};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Limits};
use crate::delivery::syslog::SyslogTlsError;
use crate::delivery::webhook::ClientError;
use crate::domain::time::UtcDay;
use crate::engine::audit_log::AuditLog;
use crate::engine::decisions::Decisions;
use crate::engine::recorder::Recorder;
use crate::gate::admission::{Gate, Unavailable};
use crate::grpc::audit::AuditDesk;
use crate::grpc::auth::AuthLayer;
use crate::grpc::download::ReplyRoom;
use crate::grpc::enrichment::Enrichment;
use crate::grpc::entrance::{Entrance, EntranceTerms};
use crate::grpc::handover::HandOverLayer;
use crate::grpc::incidents::Incidents;
use crate::grpc::ingest::Ingest;
use crate::grpc::limits::CallLimit;
use crate::grpc::methods::{Methods, Times};
use crate::grpc::page::PageTokens;
use crate::grpc::pseudonyms::Pseudonyms;
use crate::grpc::rate::TenantRate;
use crate::grpc::risk_alerts::RiskAlerts;
use crate::grpc::room::ANSWER_BYTES_MAX;
use crate::grpc::settings::SettingsDesk;
use crate::http::metrics;
use crate::pb;
use crate::pb::alert_enrichment_service_server::AlertEnrichmentServiceServer;
use crate::pb::audit_service_server::AuditServiceServer;
use crate::pb::incident_service_server::IncidentServiceServer;
use crate::pb::ingest_service_server::IngestServiceServer;
use crate::pb::pseudonym_service_server::PseudonymServiceServer;
use crate::pb::risk_alert_service_server::RiskAlertServiceServer;
use crate::pb::settings_service_server::SettingsServiceServer;
use crate::store::Store;
use crate::store::embedded::{EmbeddedStore, OpenError};
use crate::store::observed::Observed;
use crate::store::postgres;
use crate::store::postgres::PostgresStore;
use crate::transport;
use crate::transport::tls::{Identity, TlsError};
use crate::transport::{Protocol, Serving, Workers};
use feed::FeedParts;
use health::{Health, Reporters};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tonic::service::{LayerExt, Routes};
use tower::ServiceBuilder;

/// The bytes of requests of health that may wait on its own port: each is a name.
const HEALTH_BYTES_MAX: usize = 1_024 * 1_024;
/// How long answers of health may take to leave when all else has ended.
const LAST_PROBE: Duration = Duration::from_millis(200);
/// How long a delivery may go on when the server stops.
const LAST_DELIVERY: Duration = Duration::from_secs(2);
/// How often activities of days before the horizon are looked for.
const EXPIRY_PERIOD: Duration = Duration::from_mins(10);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Other machines would reach it, and callers need not prove who they are.
    #[error(
        "{0} can be reached from other machines and callers are not authenticated: listen on a loopback address, speak \
         TLS and ask callers who they are (auth.mode), or set allow_unauthenticated_network = true"
    )]
    Exposed(SocketAddr),
    /// Callers cannot be authenticated as the configuration says.
    #[error(transparent)]
    Auth(#[from] AuthError),
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
    /// A file that the configuration names cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be opened.
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    /// The data were opened and cannot be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The descriptors of the services cannot be read.
    #[error("cannot set up reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The methods of the services cannot be read from them.
    #[error("cannot set up the methods: {0}")]
    Methods(#[from] prost_reflect::DescriptorError),
    /// Webhooks cannot be spoken to.
    #[error(transparent)]
    Webhooks(#[from] ClientError),
    /// TLS cannot be spoken with the collector.
    #[error(transparent)]
    Syslog(#[from] SyslogTlsError),
    /// The system gives no thread to serve connections.
    #[error("cannot start to serve: {0}")]
    Workers(std::io::Error),
    /// The certificates cannot be used.
    #[error("cannot speak TLS: {0}")]
    Tls(#[from] TlsError),
}

/// A server that runs.
pub struct Running {
    address: SocketAddr,
    health: Health,
    stop: watch::Sender<bool>,
    serving: Serving,
    management_api: Option<(SocketAddr, Serving)>,
    metrics: Option<(SocketAddr, Serving)>,
    own_health: Option<(SocketAddr, Serving)>,
    deliveries: JoinHandle<()>,
    expiry: JoinHandle<()>,
    pause: Duration,
    drain: Duration,
}

/// Opens the data and starts to serve them. Returns once callers can connect.
///
/// # Errors
/// Why it cannot.
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    if config.is_exposed() {
        return Err(StartError::Exposed(config.listen));
    }
    let identity = config.tls_files().map(|files| Identity::load(files, Protocol::Http2)).transpose()?;
    // Before the data are opened, which takes minutes where there are many: the process lives meanwhile.
    let reporters = Reporters::begin().await;
    let own_health = serve_health(&config, &reporters).await?;
    let store = open(&config).await?;
    let tokens = Arc::new(PageTokens::new(store.token_key().await.map_err(Unavailable::from)?));
    let auth = AuthLayer::new(authenticator(&config.auth, &clock)?);
    let services = Services::new(&config, Arc::clone(&store), Arc::clone(&clock), tokens, auth);
    let feed = FeedParts::new(&config, &store, &clock)?;
    let listener = bind(config.listen).await?;
    let address = listener.local_addr().map_err(|cause| refused(config.listen, cause))?;
    let management_api = feed.serve(&config, &store, &clock).await?;
    let metrics = serve_metrics(&config).await?;
    let entrance = services.entrance(&config.limits, &reporters)?;
    let health = Health::follow(reporters, Arc::clone(&store)).await;
    let (stop, stopped) = watch::channel(false);
    let deliveries = tokio::spawn(feed.deliveries(&config, &clock)?.run(stopped.clone()));
    let expiry = tokio::spawn(expire(store, clock, config.audit.retention_days, stopped));
    let workers = Workers::start().map_err(StartError::Workers)?;
    let connections = config.connections();
    let serving = transport::serve(listener, Protocol::Http2, identity, connections, workers, entrance);
    tracing::info!(%address, "serving");
    let (pause, drain) = (config.drain_pause(), config.drain());
    Ok(Running {
        address,
        health,
        stop,
        serving,
        management_api,
        metrics,
        own_health,
        deliveries,
        expiry,
        pause,
        drain,
    })
}

/// Serves health, and nothing else, to whoever reaches the port.
async fn serve_health(
    config: &Config,
    reporters: &Reporters,
) -> Result<Option<(SocketAddr, Serving)>, StartError> {
    let Some(address) = config.health.address() else { return Ok(None) };
    let listener = bind(address).await?;
    let address = listener.local_addr().map_err(|cause| refused(address, cause))?;
    let routes = Routes::new(reporters.own()).prepare();
    let terms = terms(&[tonic_health::pb::FILE_DESCRIPTOR_SET], &config.limits, HEALTH_BYTES_MAX)?;
    let entrance = Entrance::new(routes, terms);
    let serving =
        transport::serve(listener, Protocol::Http2, None, config.connections(), Workers::none(), entrance);
    tracing::info!(%address, "serving health");
    Ok(Some((address, serving)))
}

async fn serve_metrics(config: &Config) -> Result<Option<(SocketAddr, Serving)>, StartError> {
    let Some(address) = config.metrics.address() else { return Ok(None) };
    let listener = bind(address).await?;
    let address = listener.local_addr().map_err(|cause| refused(address, cause))?;
    let router = metrics::router();
    let (connections, workers) = (config.connections(), Workers::none());
    Ok(Some((address, transport::serve(listener, Protocol::Http1, None, connections, workers, router))))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|cause| refused(address, cause))
}

fn refused(address: SocketAddr, cause: std::io::Error) -> StartError {
    StartError::Listen { address, cause }
}

impl Running {
    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where the Management Activity API is, if it is served.
    #[must_use]
    pub fn management_api(&self) -> Option<SocketAddr> {
        self.management_api.as_ref().map(|(address, _)| *address)
    }

    /// Returns where the metrics are, if they are served.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(address, _)| *address)
    }

    /// Returns where health is beside the port of all services, if it is served there.
    #[must_use]
    pub fn health(&self) -> Option<SocketAddr> {
        self.own_health.as_ref().map(|(address, _)| *address)
    }

    /// Stops: says so to whoever asks for its health, gives load balancers the time that the configuration says to
    /// notice, then takes no new calls, gives those in progress their time, and cuts off the rest. The port of health
    /// alone goes last: until then the process lives.
    pub async fn stop(mut self) {
        self.health.end().await;
        tokio::time::sleep(self.pause).await;
        self.health.clear_shared().await;
        self.stop.send_replace(true);
        let api = async {
            match self.management_api {
                Some((_, serving)) => serving.stop(self.drain).await,
                None => true,
            }
        };
        if !matches!(tokio::join!(self.serving.stop(self.drain), api), (true, true)) {
            tracing::warn!("calls were still in progress when the time to drain was over");
        }
        // A blob that is half sent is sent again after the next start.
        if tokio::time::timeout(LAST_DELIVERY, &mut self.deliveries).await.is_err() {
            self.deliveries.abort();
        }
        drop(self.expiry.await);
        self.health.clear_own().await;
        if let Some((_, serving)) = self.own_health {
            serving.stop(LAST_PROBE).await;
        }
    }
}

async fn open(config: &Config) -> Result<Arc<dyn Store>, StartError> {
    if config.postgres.is_used() {
        return Ok(Arc::new(Observed(PostgresStore::open(&config.postgres.address()?).await?)));
    }
    let path = config.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path)).await;
    let opened = opened.map_err(|fault| Unavailable(fault.to_string()))?;
    let store = opened.map_err(|cause| StartError::Open { path: config.data_dir.clone(), cause })?;
    Ok(Arc::new(Observed(store)))
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
type Reviewing = RiskAlertServiceServer<RiskAlerts>;
type Resolving = PseudonymServiceServer<Pseudonyms>;

struct Services {
    enrichment: Enriching,
    incidents: IncidentPages,
    ingest: Ingesting,
    settings: SettingsOf,
    audit: Auditing,
    pseudonyms: Resolving,
    risk_alerts: Reviewing,
    calls: CallLimit,
    auth: AuthLayer,
    reflection_auth: AuthLayer,
}

impl Services {
    fn new(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        tokens: Arc<PageTokens>,
        auth: AuthLayer,
    ) -> Self {
        let limits = &config.limits;
        let gate = Gate::new(Arc::clone(&store), clock).with_denials_a_minute(limits.denials_per_minute);
        let recorder = Arc::new(Recorder::new(Arc::clone(&store)));
        let decisions = Arc::new(Decisions::new(Arc::clone(&store)));
        let log = Arc::new(AuditLog::new(store));
        let audit = AuditDesk { gate: gate.clone(), log, tokens: Arc::clone(&tokens) };
        let enrichment =
            Enrichment { gate: gate.clone(), tokens: Arc::clone(&tokens), shelf: Arc::default() };
        let pseudonyms = Pseudonyms { gate: gate.clone() };
        let risk_alerts = RiskAlerts { gate: gate.clone(), tokens: Arc::clone(&tokens) };
        let incidents = Incidents { gate: gate.clone(), tokens };
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
            pseudonyms: Resolving::new(pseudonyms)
                .max_decoding_message_size(small)
                .max_encoding_message_size(ANSWER_BYTES_MAX),
            risk_alerts: Reviewing::new(risk_alerts)
                .max_decoding_message_size(small)
                .max_encoding_message_size(ANSWER_BYTES_MAX),
            calls: CallLimit::new(limits.max_concurrent_requests),
            reflection_auth: if config.auth.open_reflection { let_anyone() } else { auth.clone() },
            auth,
        }
    }

    fn entrance(self, limits: &Limits, reporters: &Reporters) -> Result<Entrance<Routes>, StartError> {
        let room = ReplyRoom::new(limits.max_buffered_bytes);
        let gated = ServiceBuilder::new()
            .layer(self.calls.clone())
            .layer(self.auth.clone())
            .layer(HandOverLayer)
            .layer(room.clone());
        let plain = ServiceBuilder::new().layer(self.calls).layer(self.auth.clone()).layer(room.clone());
        // Sharing can be turned off however many calls are in progress.
        let settings = ServiceBuilder::new().layer(CallLimit::none()).layer(self.auth).layer(room);
        let routes = Routes::new(gated.clone().named_layer(self.enrichment))
            .add_service(gated.clone().named_layer(self.incidents))
            .add_service(gated.clone().named_layer(self.pseudonyms))
            .add_service(gated.named_layer(self.risk_alerts))
            .add_service(plain.clone().named_layer(self.ingest))
            .add_service(plain.named_layer(self.audit))
            .add_service(settings.named_layer(self.settings))
            .add_service(reporters.shared())
            .add_service(self.reflection_auth.named_layer(reflection().build_v1()?))
            .add_service(self.reflection_auth.named_layer(reflection().build_v1alpha()?));
        let reflection = [
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let known = [pb::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET, reflection[0], reflection[1]];
        let terms = terms(&known, limits, limits.max_buffered_bytes)?;
        Ok(Entrance::new(routes.prepare(), terms))
    }
}

/// Returns the terms of the services that these descriptors describe, whose requests have so much room.
fn terms(known: &[&[u8]], limits: &Limits, room_bytes: usize) -> Result<EntranceTerms, StartError> {
    let times = Times {
        query: Duration::from_secs(limits.query_seconds),
        ingest: Duration::from_secs(limits.ingest_seconds),
        idle: Duration::from_secs(limits.stream_idle_seconds),
    };
    Ok(EntranceTerms {
        methods: Methods::of(known, &times)?,
        times,
        room: Arc::new(Semaphore::new(room_bytes)),
        rate: TenantRate::new(limits.tenant_requests_per_second),
    })
}

fn let_anyone() -> AuthLayer {
    AuthLayer::new(Arc::new(Anyone::default()) as Arc<dyn Authenticator>)
}

/// Describes all services, and the details of errors, which clients must be able to decode.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
