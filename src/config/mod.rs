//! The server's settings: flags > `RISKSHARE_*` > file > defaults. The only module that reads the environment.
//! `keys` has every key with its bounds and its reason, from which `docs/configuration.md` is written.

mod feed;
mod health;
mod keys;
mod postgres;
mod reference;
mod sources;
mod traces;

pub use feed::{Export, ManagementApi, Metrics};
pub use health::Health;
pub use keys::KEYS;
pub use postgres::Postgres;
pub use reference::Key;
pub use reference::reference;
pub use sources::{Loaded, Origin, Sources};
pub use traces::Traces;

use crate::auth::settings::Auth;
use crate::transport;
use crate::transport::tls;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every setting of the server, checked. [`KEYS`] has the bounds of each, and its reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the data live; made when absent.
    pub data_dir: PathBuf,
    /// Allows an address of `listen` that other machines can reach, although callers are not authenticated.
    pub allow_unauthenticated_network: bool,
    /// How callers are known.
    pub auth: Auth,
    /// How it logs.
    pub log: Log,
    /// How it speaks TLS.
    pub tls: Tls,
    /// How much it takes on.
    pub limits: Limits,
    /// How long the audit log is kept.
    pub audit: Audit,
    /// The Office 365 Management Activity API.
    pub management_api: ManagementApi,
    /// What is sent to SIEMs.
    pub export: Export,
    /// Metrics.
    pub metrics: Metrics,
    /// Health, on a port of its own.
    pub health: Health,
    /// Traces.
    pub traces: Traces,
    /// The database that several replicas share.
    pub postgres: Postgres,
    /// How long calls in progress may take when the server is told to stop, in seconds.
    pub drain_seconds: u64,
    /// How long it goes on taking calls once health says that it does not serve, in seconds.
    pub drain_pause_seconds: u64,
}

/// How the server speaks TLS. Without a certificate it speaks none. Files are PEM and are read again when they
/// change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate and those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// The authorities that sign the certificates of clients.
    pub client_ca: PathBuf,
    /// Their revocation lists. Without one none is looked at.
    pub client_crl: PathBuf,
    /// Whether clients must prove who they are with a certificate.
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// Whether clients must prove who they are with a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They may.
    Optional,
    /// They must.
    Required,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

/// How long the audit log is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// How many days a line is kept at least.
    pub retention_days: u32,
}

/// How the server logs. The log goes to stderr and never holds personal data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The shape of a line.
    pub format: LogFormat,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// The shape of a line of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text if stderr is a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much the server takes on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest request of any service but ingest, in bytes.
    pub max_message_bytes: usize,
    /// The largest request of the ingest service, in bytes.
    pub max_ingest_message_bytes: usize,
    /// The most calls in progress, but for those of settings and health, which are not counted; one more is refused
    /// with OVERLOADED.
    pub max_concurrent_requests: usize,
    /// The bytes of requests, and again of replies, that may be in memory.
    pub max_buffered_bytes: usize,
    /// The most connections.
    pub max_connections: usize,
    /// The most connections of one address.
    pub max_connections_per_address: usize,
    /// The most calls in progress on one connection.
    pub max_streams_per_connection: u32,
    /// How long a call of any service but ingest may take, in seconds.
    pub query_seconds: u64,
    /// How long a call of the ingest service may take, in seconds.
    pub ingest_seconds: u64,
    /// How long the next message of a stream may take to come, in seconds.
    pub stream_idle_seconds: u64,
    /// How long a reply may wait for its reader, in seconds.
    pub reply_seconds: u64,
    /// How old a connection becomes, in seconds.
    pub connection_seconds: u64,
    /// How often a tenant may be asked about each second.
    pub tenant_requests_per_second: u32,
    /// How many refusals of a principal, for want of a role or a tenant, are written down each minute.
    pub denials_per_minute: u32,
}

const MIB: usize = 1 << 20;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_051)),
            data_dir: PathBuf::from("riskshare-data"),
            allow_unauthenticated_network: false,
            auth: Auth::default(),
            log: Log::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            audit: Audit::default(),
            management_api: ManagementApi::default(),
            export: Export::default(),
            metrics: Metrics::default(),
            health: Health::default(),
            traces: Traces::default(),
            postgres: Postgres::default(),
            drain_seconds: 20,
            drain_pause_seconds: 0,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: PathBuf::new(),
            private_key: PathBuf::new(),
            client_ca: PathBuf::new(),
            client_crl: PathBuf::new(),
            client_auth: ClientAuth::None,
            min_version: TlsVersion::V13,
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { retention_days: 180 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, filter: "warn,riskshare=info".to_owned() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 * MIB,
            max_ingest_message_bytes: 16 * MIB,
            max_concurrent_requests: 1_024,
            max_buffered_bytes: 256 * MIB,
            max_connections: 1_000,
            max_connections_per_address: 100,
            max_streams_per_connection: 128,
            query_seconds: 10,
            ingest_seconds: 30,
            stream_idle_seconds: 30,
            reply_seconds: 60,
            connection_seconds: 600,
            tenant_requests_per_second: 50_000,
            denials_per_minute: 60,
        }
    }
}

/// Why there is no [`Config`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {cause}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// A key that does not exist.
    #[error("{place}: unknown key `{key}`; the keys are {}", keys().into_iter().collect::<Vec<_>>().join(", "))]
    UnknownKey {
        /// Where it stands: the name of the variable or of the file.
        place: String,
        /// The key.
        key: String,
    },
    /// A value of the wrong kind, or a file that is no TOML.
    #[error("the configuration cannot be read: {0}")]
    Invalid(#[from] ::config::ConfigError),
    /// A value out of its bounds.
    #[error("{key} {bound}")]
    OutOfBounds {
        /// The key.
        key: &'static str,
        /// What it must be.
        bound: String,
    },
}

/// Returns every key, dotted: what the defaults hold.
#[must_use]
pub fn keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    flatten("", &defaults, &mut keys);
    keys
}

impl Config {
    /// Returns the keys whose values differ.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let settings = [self, other].map(|config| serde_json::to_value(config).unwrap_or_default());
        let differs = |key: &&Key| key.value_in(&settings[0]) != key.value_in(&settings[1]);
        KEYS.iter().filter(differs).map(|key| key.name).collect()
    }

    /// Returns every key with its value as TOML has it, but for secrets, for which there is a word that is no TOML: a
    /// copy without them must not pass for the whole.
    #[must_use]
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let settings = serde_json::to_value(self).unwrap_or_default();
        let shown = |key: &'static Key| match key.value_in(&settings) {
            Value::String(secret) if key.is_secret && !secret.is_empty() => (key.name, "(hidden)".to_owned()),
            value => (key.name, value.to_string()),
        };
        KEYS.iter().map(shown).collect()
    }
}

fn flatten(path: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), value, into);
            }
        }
        _ => drop(into.insert(path.to_owned())),
    }
}

impl Config {
    /// Returns how long it goes on taking calls once health says that it does not serve.
    #[must_use]
    pub fn drain_pause(&self) -> Duration {
        Duration::from_secs(self.drain_pause_seconds)
    }

    /// Returns how long calls in progress may take when the server is told to stop.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    fn check(&self) -> Result<(), ConfigError> {
        reference::check_numbers(self)?;
        bound("data_dir", !self.data_dir.as_os_str().is_empty(), "must name a directory")?;
        bound(
            "log.filter",
            self.log.is_readable(),
            "must be a filter such as `info` or `warn,riskshare=debug`",
        )?;
        self.auth.check().or_else(|(key, rule)| bound(key, false, rule))?;
        self.export.check()?;
        self.metrics.check()?;
        self.health.check()?;
        self.traces.check()?;
        self.postgres.check()?;
        self.management_api.check(self)?;
        self.tls.check()?;
        bound(
            "tls.client_auth",
            !self.auth.mode.takes_certificates() || self.tls.client_auth != ClientAuth::None,
            "must be optional or required for auth.mode = mtls and mtls_or_oidc",
        )?;
        bound(
            "listen",
            !self.is_exposed(),
            "must be a loopback address such as 127.0.0.1:50051: callers are not authenticated, so whoever \
             reaches the port reads and changes everything; speak TLS with tls.certificate and tls.private_key and ask \
             callers who they are with auth.mode, or where the network itself keeps strangers away, set \
             allow_unauthenticated_network to true",
        )
    }

    /// Says whether other machines reach it although nobody has to prove who they are, and nobody has allowed that.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.exposes(self.listen)
    }

    fn exposes(&self, address: SocketAddr) -> bool {
        let keeps_strangers_out = self.tls.is_on() && self.auth.mode.authenticates();
        !(address.ip().is_loopback() || keeps_strangers_out || self.allow_unauthenticated_network)
    }

    /// Returns the TLS files, if it is to speak TLS.
    #[must_use]
    pub fn tls_files(&self) -> Option<tls::Files> {
        self.tls.is_on().then(|| self.tls.files())
    }

    /// Returns the bounds of connections.
    #[must_use]
    pub fn connections(&self) -> transport::limits::Limits {
        let limits = &self.limits;
        transport::limits::Limits {
            connections: limits.max_connections,
            connections_per_address: limits.max_connections_per_address,
            streams: limits.max_streams_per_connection,
            reply: Duration::from_secs(limits.reply_seconds),
            age: Duration::from_secs(limits.connection_seconds),
            ..transport::limits::Limits::default()
        }
    }
}

impl Tls {
    fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }

    fn files(&self) -> tls::Files {
        let revocations = Some(self.client_crl.clone()).filter(|path| !path.as_os_str().is_empty());
        let belief = || tls::Belief { authorities: self.client_ca.clone(), revocations };
        tls::Files {
            certificate: self.certificate.clone(),
            private_key: self.private_key.clone(),
            clients: match self.client_auth {
                ClientAuth::None => tls::Clients::Unasked,
                ClientAuth::Optional => tls::Clients::Optional(belief()),
                ClientAuth::Required => tls::Clients::Required(belief()),
            },
            oldest: match self.min_version {
                TlsVersion::V12 => tls::Version::V12,
                TlsVersion::V13 => tls::Version::V13,
            },
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let is_named = |path: &Path| !path.as_os_str().is_empty();
        let asks = self.client_auth != ClientAuth::None;
        bound(
            "tls.private_key",
            is_named(&self.private_key) == self.is_on(),
            "must name a file when tls.certificate does, and only then",
        )?;
        bound("tls.client_auth", !asks || self.is_on(), "must be none without tls.certificate")?;
        bound(
            "tls.client_ca",
            is_named(&self.client_ca) == asks,
            "must name a file when tls.client_auth is optional or required, and only then",
        )?;
        bound(
            "tls.client_crl",
            asks || !is_named(&self.client_crl),
            "must name no file when tls.client_auth is none",
        )
    }
}

impl Log {
    fn is_readable(&self) -> bool {
        tracing_subscriber::EnvFilter::try_new(&self.filter).is_ok()
    }
}

fn named(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}

fn bound(key: &'static str, holds: bool, bound: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::OutOfBounds { key, bound: bound.to_owned() }) }
}

/// Says whether the person at the terminal refuses colours: `NO_COLOR` is set and not empty (no-color.org).
#[must_use]
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::settings::{Mode, Oidc};
    use crate::config::sources::PREFIX;
    use crate::delivery::sender::Format;
    use std::collections::HashMap;

    fn env(variables: &[(&str, &str)]) -> HashMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn with_env(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Sources { env: env(variables), ..Sources::default() }.load()
    }

    fn with_file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("riskshare.toml");
        std::fs::write(&path, text).unwrap();
        Sources { file: Some(path), ..Sources::default() }.load()
    }

    #[test]
    fn without_any_source_the_defaults_hold() {
        assert_eq!(Sources::default().load().unwrap(), Config::default());
    }

    #[test]
    fn flags_beat_variables_and_variables_beat_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("riskshare.toml");
        std::fs::write(&path, "drain_seconds = 1\ndata_dir = 'of-file'\n[log]\nfilter = 'warn'\n").unwrap();
        let named = path.to_str().unwrap();
        let sources = Sources {
            flags: vec![("drain_seconds", "3".to_owned())],
            env: env(&[
                ("RISKSHARE_CONFIG", named),
                ("RISKSHARE_DRAIN_SECONDS", "2"),
                ("RISKSHARE_DATA_DIR", "of-env"),
                ("RISKSHARE_LOG__FORMAT", "json"),
            ]),
            file: None,
        };
        let config = sources.load().unwrap();
        assert_eq!(config.drain_seconds, 3);
        assert_eq!(config.data_dir, PathBuf::from("of-env"));
        assert_eq!((config.log.filter.as_str(), config.log.format), ("warn", LogFormat::Json));
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "there are many keys")]
    fn every_key_can_be_a_variable() {
        let config = with_env(&[
            ("RISKSHARE_LISTEN", "0.0.0.0:7"),
            ("RISKSHARE_DATA_DIR", "42"),
            ("RISKSHARE_ALLOW_UNAUTHENTICATED_NETWORK", "true"),
            ("RISKSHARE_AUTH__MODE", "mtls_or_oidc"),
            ("RISKSHARE_AUTH__PRINCIPALS_FILE", "principals.toml"),
            ("RISKSHARE_AUTH__OPEN_REFLECTION", "true"),
            ("RISKSHARE_AUTH__OIDC__ISSUER", "https://issuer.example/{tenantid}"),
            ("RISKSHARE_AUTH__OIDC__AUDIENCE", "riskshare"),
            ("RISKSHARE_AUTH__OIDC__JWKS_URI", "https://issuer.example/keys"),
            ("RISKSHARE_AUTH__OIDC__TENANTS", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
            ("RISKSHARE_AUTH__OIDC__TENANT_CLAIM", "tenant"),
            ("RISKSHARE_AUTH__OIDC__ROLES_CLAIM", "groups"),
            ("RISKSHARE_AUTH__OIDC__ALGORITHMS", "ES256"),
            ("RISKSHARE_LOG__FORMAT", "json"),
            ("RISKSHARE_LOG__FILTER", "warn"),
            ("RISKSHARE_LIMITS__MAX_MESSAGE_BYTES", "65536"),
            ("RISKSHARE_LIMITS__MAX_INGEST_MESSAGE_BYTES", "65536"),
            ("RISKSHARE_LIMITS__MAX_CONCURRENT_REQUESTS", "1"),
            ("RISKSHARE_AUDIT__RETENTION_DAYS", "30"),
            ("RISKSHARE_DRAIN_SECONDS", "0"),
            ("RISKSHARE_DRAIN_PAUSE_SECONDS", "1"),
            ("RISKSHARE_LIMITS__MAX_BUFFERED_BYTES", "65536"),
            ("RISKSHARE_LIMITS__MAX_CONNECTIONS", "2"),
            ("RISKSHARE_LIMITS__MAX_CONNECTIONS_PER_ADDRESS", "3"),
            ("RISKSHARE_LIMITS__MAX_STREAMS_PER_CONNECTION", "4"),
            ("RISKSHARE_LIMITS__QUERY_SECONDS", "5"),
            ("RISKSHARE_LIMITS__INGEST_SECONDS", "6"),
            ("RISKSHARE_LIMITS__STREAM_IDLE_SECONDS", "7"),
            ("RISKSHARE_LIMITS__REPLY_SECONDS", "8"),
            ("RISKSHARE_LIMITS__CONNECTION_SECONDS", "10"),
            ("RISKSHARE_LIMITS__TENANT_REQUESTS_PER_SECOND", "0"),
            ("RISKSHARE_LIMITS__DENIALS_PER_MINUTE", "9"),
            ("RISKSHARE_TLS__CERTIFICATE", "c"),
            ("RISKSHARE_TLS__PRIVATE_KEY", "k"),
            ("RISKSHARE_TLS__CLIENT_CA", "a"),
            ("RISKSHARE_TLS__CLIENT_CRL", "r"),
            ("RISKSHARE_TLS__CLIENT_AUTH", "optional"),
            ("RISKSHARE_TLS__MIN_VERSION", "1.2"),
            ("RISKSHARE_MANAGEMENT_API__LISTEN", "127.0.0.1:8"),
            ("RISKSHARE_MANAGEMENT_API__PUBLIC_URL", "https://siem.example/feed"),
            ("RISKSHARE_MANAGEMENT_API__AUDIENCE", "https://manage.office.com"),
            ("RISKSHARE_MANAGEMENT_API__WEBHOOK_HOSTS", "hooks.example, other.example"),
            ("RISKSHARE_MANAGEMENT_API__WEBHOOK_CA", "w"),
            ("RISKSHARE_MANAGEMENT_API__REQUESTS_PER_MINUTE", "11"),
            ("RISKSHARE_EXPORT__CYCLE_MINUTES", "12"),
            ("RISKSHARE_EXPORT__BACKLOG_BYTES", "1048576"),
            ("RISKSHARE_EXPORT__SYSLOG__URL", "tls://[::1]:6514"),
            ("RISKSHARE_EXPORT__SYSLOG__CA", "s"),
            ("RISKSHARE_EXPORT__SYSLOG__FORMAT", "record"),
            ("RISKSHARE_EXPORT__FILE__PATH", "f"),
            ("RISKSHARE_EXPORT__FILE__FORMAT", "cef"),
            ("RISKSHARE_METRICS__LISTEN", "0.0.0.0:9464"),
            ("RISKSHARE_HEALTH__LISTEN", "0.0.0.0:50052"),
            ("RISKSHARE_TRACES__OTLP_ENDPOINT", "http://otel:4317"),
            ("RISKSHARE_TRACES__SAMPLE_PER_MILLE", "1000"),
            ("RISKSHARE_POSTGRES__URL", "postgres://db"),
            ("RISKSHARE_POSTGRES__URL_FILE", ""),
            ("RISKSHARE_POSTGRES__CA", "p"),
            ("RISKSHARE_POSTGRES__CONNECTIONS", "5"),
            ("RISKSHARE_POSTGRES__REPLICA", "pod-1"),
            ("RISKSHARE_POSTGRES__STRICT_SWITCH", "true"),
        ]);
        let expected = Config {
            listen: "0.0.0.0:7".parse().unwrap(),
            data_dir: "42".into(),
            allow_unauthenticated_network: true,
            auth: Auth {
                mode: Mode::MtlsOrOidc,
                principals_file: "principals.toml".into(),
                open_reflection: true,
                oidc: Oidc {
                    issuer: "https://issuer.example/{tenantid}".into(),
                    audience: "riskshare".into(),
                    jwks_uri: "https://issuer.example/keys".into(),
                    tenants: "3f2504e0-4f89-41d3-9a0c-0305e82c3301".into(),
                    tenant_claim: "tenant".into(),
                    roles_claim: "groups".into(),
                    algorithms: "ES256".into(),
                },
            },
            log: Log { format: LogFormat::Json, filter: "warn".into() },
            limits: Limits {
                max_message_bytes: 65_536,
                max_ingest_message_bytes: 65_536,
                max_concurrent_requests: 1,
                max_buffered_bytes: 65_536,
                max_connections: 2,
                max_connections_per_address: 3,
                max_streams_per_connection: 4,
                query_seconds: 5,
                ingest_seconds: 6,
                stream_idle_seconds: 7,
                reply_seconds: 8,
                connection_seconds: 10,
                tenant_requests_per_second: 0,
                denials_per_minute: 9,
            },
            tls: Tls {
                certificate: "c".into(),
                private_key: "k".into(),
                client_ca: "a".into(),
                client_crl: "r".into(),
                client_auth: ClientAuth::Optional,
                min_version: TlsVersion::V12,
            },
            audit: Audit { retention_days: 30 },
            management_api: ManagementApi {
                listen: "127.0.0.1:8".into(),
                public_url: "https://siem.example/feed".into(),
                audience: "https://manage.office.com".into(),
                webhook_hosts: "hooks.example, other.example".into(),
                webhook_ca: "w".into(),
                requests_per_minute: 11,
            },
            export: Export {
                cycle_minutes: 12,
                backlog_bytes: 1_048_576,
                syslog: feed::Syslog {
                    url: "tls://[::1]:6514".into(),
                    ca: "s".into(),
                    format: Format::Record,
                },
                file: feed::File { path: "f".into(), format: Format::Cef },
            },
            metrics: Metrics { listen: "0.0.0.0:9464".into() },
            health: Health { listen: "0.0.0.0:50052".into() },
            traces: Traces { otlp_endpoint: "http://otel:4317".into(), sample_per_mille: 1_000 },
            postgres: Postgres {
                url: "postgres://db".into(),
                url_file: "".into(),
                ca: "p".into(),
                connections: 5,
                replica: "pod-1".into(),
                strict_switch: true,
            },
            drain_seconds: 0,
            drain_pause_seconds: 1,
        };
        assert_eq!(config.unwrap(), expected);
        assert_eq!(keys().len(), 61, "a new key is tried here as well");
    }

    #[test]
    fn settings_differ_in_what_differs_also_where_it_is_secret() {
        let mut other = Config::default();
        assert!(other.differences(&Config::default()).is_empty());
        "postgres://other".clone_into(&mut other.postgres.url);
        other.limits.query_seconds = 11;
        assert_eq!(other.differences(&Config::default()), ["limits.query_seconds", "postgres.url"]);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_wherever_it_stands() {
        let message = |config: Result<Config, ConfigError>| config.unwrap_err().to_string();
        let of_env = message(with_env(&[("RISKSHARE_LIMITS__MAX_MESAGE_BYTES", "1")]));
        assert!(
            of_env.starts_with("RISKSHARE_LIMITS__MAX_MESAGE_BYTES: unknown key `limits.max_mesage_bytes`")
        );
        let of_file = message(with_file("[limits]\nmax = 1\n"));
        assert!(of_file.contains("riskshare.toml: unknown key `limits.max`"), "{of_file}");
        let of_file = message(with_file("shiny = true\n"));
        assert!(of_file.contains("unknown key `shiny`"), "{of_file}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_key() {
        let error = with_env(&[("RISKSHARE_DRAIN_SECONDS", "soon")]).unwrap_err().to_string();
        assert!(error.contains("drain_seconds"), "{error}");
        let error = with_file("[log]\nformat = 'xml'\n").unwrap_err().to_string();
        assert!(error.contains("log.format"), "{error}");
        let error = with_file("limits = 3\n").unwrap_err().to_string();
        assert!(error.contains("limits"), "{error}");
    }

    #[test]
    fn each_bound_is_kept_on_both_sides() {
        let check = |name: &str, inside: &[&str], outside: &[&str]| {
            let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
            let load = |value: &&str| with_env(&[(name, value), ("RISKSHARE_DATA_DIR", "d")]);
            assert!(inside.iter().all(|value| load(value).is_ok()), "{key}");
            for value in outside {
                let error = load(value).unwrap_err().to_string();
                assert!(error.contains(&key), "{error}");
            }
        };
        check("RISKSHARE_DRAIN_SECONDS", &["0", "600"], &["601", "-1"]);
        check("RISKSHARE_LIMITS__MAX_MESSAGE_BYTES", &["65536", "16777216"], &["65535", "67108865"]);
        check(
            "RISKSHARE_LIMITS__MAX_INGEST_MESSAGE_BYTES",
            &["4194304", "268435456"],
            &["4194303", "268435457"],
        );
        check("RISKSHARE_LIMITS__MAX_CONCURRENT_REQUESTS", &["1", "65536"], &["0", "65537"]);
        check("RISKSHARE_AUDIT__RETENTION_DAYS", &["30", "3650"], &["29", "3651"]);
        check("RISKSHARE_DRAIN_PAUSE_SECONDS", &["0", "60"], &["61"]);
        check(
            "RISKSHARE_LIMITS__MAX_BUFFERED_BYTES",
            &["16777216", "68719476736"],
            &["16777215", "68719476737"],
        );
        check("RISKSHARE_LIMITS__MAX_CONNECTIONS", &["1", "100000"], &["0", "100001"]);
        check("RISKSHARE_LIMITS__MAX_CONNECTIONS_PER_ADDRESS", &["1", "100000"], &["0", "100001"]);
        check("RISKSHARE_LIMITS__MAX_STREAMS_PER_CONNECTION", &["1", "1024"], &["0", "1025"]);
        check("RISKSHARE_LIMITS__QUERY_SECONDS", &["1", "600"], &["0", "601"]);
        check("RISKSHARE_LIMITS__INGEST_SECONDS", &["1", "600"], &["0", "601"]);
        check("RISKSHARE_LIMITS__STREAM_IDLE_SECONDS", &["1", "3600"], &["0", "3601"]);
        check("RISKSHARE_LIMITS__REPLY_SECONDS", &["1", "3600"], &["0", "3601"]);
        check("RISKSHARE_LIMITS__CONNECTION_SECONDS", &["10", "86400"], &["9", "86401"]);
        check("RISKSHARE_LIMITS__TENANT_REQUESTS_PER_SECOND", &["0", "1000000"], &["1000001"]);
        check("RISKSHARE_TLS__MIN_VERSION", &["1.2", "1.3"], &["1.1", "1"]);
        check("RISKSHARE_POSTGRES__CONNECTIONS", &["4", "1000"], &["3", "1001"]);
        check("RISKSHARE_EXPORT__CYCLE_MINUTES", &["1", "1440"], &["0", "1441"]);
        check(
            "RISKSHARE_EXPORT__BACKLOG_BYTES",
            &["1048576", "1099511627776"],
            &["1048575", "1099511627777"],
        );
        check(
            "RISKSHARE_EXPORT__SYSLOG__URL",
            &["tcp://localhost:514", "tcp://10.0.0.1:514", "tcp://[::1]:514", ""],
            &[
                "udp://localhost:514",
                "localhost:514",
                "tcp://localhost",
                "tcp://:514",
                "tcp://u@h:514",
                "tcp://h:0",
            ],
        );
        check("RISKSHARE_MANAGEMENT_API__REQUESTS_PER_MINUTE", &["0", "1000000"], &["1000001"]);
        check("RISKSHARE_MANAGEMENT_API__PUBLIC_URL", &["", "https://a", "http://a"], &["a", "ftp://a"]);
        check(
            "RISKSHARE_MANAGEMENT_API__LISTEN",
            &["", "127.0.0.1:0"],
            &["0.0.0.0:8080", "localhost", "8080"],
        );
        check(
            "RISKSHARE_TRACES__OTLP_ENDPOINT",
            &["", "http://otel:4317"],
            &["otel:4317", "https://otel:4317"],
        );
        check("RISKSHARE_TRACES__SAMPLE_PER_MILLE", &["0", "1000"], &["1001"]);
        check("RISKSHARE_HEALTH__LISTEN", &["", "0.0.0.0:0"], &["localhost:1", "50052"]);
        check("RISKSHARE_LOG__FILTER", &["debug", "warn,riskshare=trace"], &["riskshare=loud"]);
        check("RISKSHARE_LISTEN", &["127.0.0.1:1", "[::1]:1"], &["0.0.0.0:1", "10.0.0.1:1", "localhost"]);
    }

    #[test]
    fn a_mode_demands_what_it_needs_and_keys_come_by_no_open_way() {
        let refusal = |variables: &[(&str, &str)]| with_env(variables).unwrap_err().to_string();
        let oidc = [
            ("RISKSHARE_AUTH__MODE", "oidc"),
            ("RISKSHARE_AUTH__OIDC__ISSUER", "https://issuer.example"),
            ("RISKSHARE_AUTH__OIDC__AUDIENCE", "riskshare"),
        ];
        assert!(with_env(&oidc).is_ok());
        let but = |name: &'static str, value: &'static str| refusal(&[&oidc[..], &[(name, value)]].concat());
        for (name, value, key) in [
            ("RISKSHARE_AUTH__OIDC__ISSUER", "", "auth.oidc.issuer"),
            ("RISKSHARE_AUTH__OIDC__ISSUER", "http://issuer.example", "auth.oidc.issuer"),
            ("RISKSHARE_AUTH__OIDC__ISSUER", "https://issuer.example/{tenantid}", "auth.oidc.jwks_uri"),
            ("RISKSHARE_AUTH__OIDC__AUDIENCE", "", "auth.oidc.audience"),
            ("RISKSHARE_AUTH__OIDC__JWKS_URI", "http://10.0.0.1/keys", "auth.oidc.jwks_uri"),
            ("RISKSHARE_AUTH__OIDC__TENANTS", "contoso", "auth.oidc.tenants"),
            ("RISKSHARE_AUTH__OIDC__ALGORITHMS", "RS256,HS256", "auth.oidc.algorithms"),
            ("RISKSHARE_AUTH__OIDC__ALGORITHMS", "none", "auth.oidc.algorithms"),
            ("RISKSHARE_AUTH__OIDC__ALGORITHMS", "", "auth.oidc.algorithms"),
            ("RISKSHARE_AUTH__MODE", "mtls_or_oidc", "auth.principals_file"),
            ("RISKSHARE_AUTH__MODE", "basic", "auth.mode"),
        ] {
            let refusal = but(name, value);
            assert!(refusal.contains(key), "{name}={value}: {refusal}");
        }
        assert!(
            with_env(&[&oidc[..], &[("RISKSHARE_AUTH__OIDC__ISSUER", "http://127.0.0.1:9")]].concat())
                .is_ok()
        );
    }

    #[test]
    fn other_machines_reach_it_only_over_tls_and_with_credentials_or_when_told_so() {
        let listen = ("RISKSHARE_LISTEN", "0.0.0.0:1");
        let tls = [("RISKSHARE_TLS__CERTIFICATE", "c"), ("RISKSHARE_TLS__PRIVATE_KEY", "k")];
        let clients = [("RISKSHARE_TLS__CLIENT_CA", "a"), ("RISKSHARE_TLS__CLIENT_AUTH", "required")];
        let mode = [("RISKSHARE_AUTH__MODE", "mtls"), ("RISKSHARE_AUTH__PRINCIPALS_FILE", "p")];
        let tokens = [
            ("RISKSHARE_AUTH__MODE", "oidc"),
            ("RISKSHARE_AUTH__OIDC__ISSUER", "https://issuer.example"),
            ("RISKSHARE_AUTH__OIDC__AUDIENCE", "riskshare"),
        ];
        let with = |parts: &[&[(&str, &str)]]| with_env(&[&[listen], parts.concat().as_slice()].concat());
        assert!(with(&[&tls, &clients, &mode]).is_ok());
        assert!(with(&[&tls, &tokens]).is_ok());
        for exposed in [&[&tls[..], &clients][..], &[&tls], &[&tokens], &[]] {
            let error = with(exposed).unwrap_err().to_string();
            assert!(error.contains("allow_unauthenticated_network"), "{error}");
        }
        let error = with(&[&tls, &mode]).unwrap_err().to_string();
        assert!(error.starts_with("tls.client_auth must"), "{error}");
        assert!(with_env(&[listen, ("RISKSHARE_ALLOW_UNAUTHENTICATED_NETWORK", "true")]).is_ok());
    }

    #[test]
    fn what_is_sent_says_how_it_is_guarded() {
        let error = |variables: &[(&str, &str)]| with_env(variables).unwrap_err().to_string();
        let tls = ("RISKSHARE_EXPORT__SYSLOG__URL", "tls://collector.example:6514");
        let ca = ("RISKSHARE_EXPORT__SYSLOG__CA", "ca.pem");
        assert!(with_env(&[tls, ca]).is_ok());
        assert!(error(&[tls]).starts_with("export.syslog.ca must"));
        let tcp = ("RISKSHARE_EXPORT__SYSLOG__URL", "tcp://collector.example:514");
        assert!(error(&[tcp, ca]).starts_with("export.syslog.ca must"));
        let hosts = ("RISKSHARE_MANAGEMENT_API__WEBHOOK_HOSTS", "hooks.example");
        assert!(error(&[hosts]).starts_with("management_api.public_url must be set"));
    }

    #[test]
    fn tls_files_stand_together_or_not_at_all() {
        let error = |variables: &[(&str, &str)]| with_env(variables).unwrap_err().to_string();
        let certificate = ("RISKSHARE_TLS__CERTIFICATE", "c");
        let key = ("RISKSHARE_TLS__PRIVATE_KEY", "k");
        assert!(with_env(&[certificate, key]).is_ok());
        assert!(error(&[certificate]).starts_with("tls.private_key must"));
        assert!(error(&[key]).starts_with("tls.private_key must"));
        assert!(
            error(&[certificate, key, ("RISKSHARE_TLS__CLIENT_AUTH", "required")])
                .starts_with("tls.client_ca")
        );
        assert!(
            error(&[certificate, key, ("RISKSHARE_TLS__CLIENT_CA", "a")]).starts_with("tls.client_ca must")
        );
        assert!(error(&[("RISKSHARE_TLS__CLIENT_AUTH", "required")]).starts_with("tls.client_auth must"));
    }
}
