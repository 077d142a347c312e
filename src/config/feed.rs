//! The settings of the feed of exported risk alerts: how often it grows, who may follow it, and where it is sent.

use crate::config::{Auth, Config, ConfigError, Tls, bound, named};
use crate::delivery::sender::Format;
use crate::transport::tls;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The Office 365 Management Activity API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ManagementApi {
    /// Where it listens, an address and a port. Empty: it is not served.
    pub listen: String,
    /// The URL by which others reach it. Empty: what their `Host` header says.
    pub public_url: String,
    /// The audience of tokens for it. Empty: that of all others.
    pub audience: String,
    /// The hosts that webhooks may have, with commas between. Empty: there are no webhooks.
    pub webhook_hosts: String,
    /// Authorities that sign the certificates of webhooks, beside the system's.
    pub webhook_ca: PathBuf,
    /// How often a tenant may be asked about each minute.
    pub requests_per_minute: u32,
}

/// Metrics.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where they are served, an address and a port. Empty: nowhere.
    pub listen: String,
}

impl Metrics {
    /// Returns where they are served, if they are.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_address = self.listen.is_empty() || self.address().is_some();
        bound("metrics.listen", is_address, "must be an address and a port, such as 127.0.0.1:9464")
    }
}

/// What is sent to SIEMs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// How often changes of risk alerts are exported, in minutes.
    pub cycle_minutes: u32,
    /// How much may wait for receivers once it is older than seven days, in bytes.
    pub backlog_bytes: u64,
    /// A syslog collector.
    pub syslog: Syslog,
    /// A file.
    pub file: File,
}

/// A syslog collector.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Syslog {
    /// `tcp://host:port` or `tls://host:port`. Empty: nothing is sent.
    pub url: String,
    /// The authorities that sign its certificate.
    pub ca: PathBuf,
    /// What a message says.
    pub format: Format,
}

/// A file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Where it is. Empty: nothing is written.
    pub path: PathBuf,
    /// What a line is.
    pub format: Format,
}

const MIB: u64 = 1 << 20;

impl Default for ManagementApi {
    fn default() -> Self {
        Self {
            listen: String::new(),
            public_url: String::new(),
            audience: String::new(),
            webhook_hosts: String::new(),
            webhook_ca: PathBuf::new(),
            requests_per_minute: 2_000,
        }
    }
}

impl Default for Export {
    fn default() -> Self {
        let (syslog, file) = (Syslog::default(), File::default());
        Self { cycle_minutes: 60, backlog_bytes: 256 * MIB, syslog, file }
    }
}

impl Default for Syslog {
    fn default() -> Self {
        Self { url: String::new(), ca: PathBuf::new(), format: Format::Cef }
    }
}

impl Default for File {
    fn default() -> Self {
        Self { path: PathBuf::new(), format: Format::Ocsf }
    }
}

impl ManagementApi {
    /// Returns where it listens, if it does.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    /// Returns the hosts that webhooks may have.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.webhook_hosts.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned)
    }

    /// Returns the authorities of webhooks, if there are any of their own.
    #[must_use]
    pub fn authorities(&self) -> Option<&Path> {
        named(&self.webhook_ca)
    }

    /// Returns what it asks of callers: what the others do, but for the audience.
    #[must_use]
    pub fn auth(&self, auth: &Auth) -> Auth {
        let mut auth = auth.clone();
        if !self.audience.is_empty() {
            auth.oidc.audience.clone_from(&self.audience);
        }
        auth
    }

    /// Returns the TLS files. SIEMs come with tokens: where those are taken, nobody needs a certificate.
    #[must_use]
    pub fn tls(&self, tls: &Tls, auth: &Auth) -> Option<tls::Files> {
        let mut files = tls.is_on().then(|| tls.files())?;
        if let tls::Clients::Required(belief) = &files.clients
            && auth.mode.takes_tokens()
        {
            files.clients = tls::Clients::Optional(belief.clone());
        }
        Some(files)
    }

    pub(super) fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let is_address = self.listen.is_empty() || self.address().is_some();
        bound("management_api.listen", is_address, "must be an address and a port, such as 127.0.0.1:8080")?;
        bound(
            "management_api.listen",
            self.address().is_none_or(|address| !config.exposes(address)),
            "must be a loopback address, or else callers must show over TLS who they are (auth.mode), or \
             allow_unauthenticated_network be true",
        )?;
        let is_url = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        bound(
            "management_api.public_url",
            self.public_url.is_empty() || is_url(&self.public_url),
            "must begin with https:// or http://",
        )?;
        bound(
            "management_api.public_url",
            !self.public_url.is_empty() || self.hosts().next().is_none(),
            "must be set for webhooks (management_api.webhook_hosts), which are told URLs",
        )
    }
}

impl Export {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        bound(
            "export.syslog.url",
            self.syslog.url.is_empty() || self.syslog.place().is_some(),
            "must be tcp://host:port or tls://host:port",
        )?;
        bound(
            "export.syslog.ca",
            self.syslog.place().is_some_and(|place| place.tls) == named(&self.syslog.ca).is_some(),
            "must name a file when export.syslog.url begins with tls://, and only then",
        )
    }
}

/// Where a collector is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// It is spoken to over TLS.
    pub tls: bool,
    /// Its host and port.
    pub address: String,
    /// Its host.
    pub host: String,
}

impl Syslog {
    /// Returns where the collector is, if there is one.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        let (scheme, address) = self.url.split_once("://")?;
        let tls = match scheme {
            "tcp" => false,
            "tls" => true,
            _ => return None,
        };
        let (host, port) = address.rsplit_once(':')?;
        port.parse::<u16>().ok().filter(|port| *port > 0)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        (!bare.is_empty() && !bare.contains(['/', '@'])).then_some(())?;
        Some(Place { tls, address: address.to_owned(), host: bare.to_owned() })
    }
}

impl File {
    /// Returns where the file is, if there is one.
    #[must_use]
    pub fn place(&self) -> Option<&Path> {
        named(&self.path)
    }
}
