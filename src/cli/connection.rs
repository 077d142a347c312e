//! The server that a command talks to.

use crate::cli::failure::Failure;
use anyhow::{Context, anyhow};
use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// How long an attempt to connect may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a call may take. A full batch is durable in well under a second.
const CALL_TIME_MAX: Duration = Duration::from_mins(1);

/// A connection whose calls carry what the caller is known by.
pub type Connection = InterceptedService<Channel, Bearer>;

/// Returns a connection whose calls carry nothing.
pub fn plain(channel: Channel) -> Connection {
    InterceptedService::new(channel, Bearer::default())
}

/// Which server, and as which tenant.
#[derive(Args, Debug)]
pub struct Target {
    /// Which server.
    #[command(flatten)]
    pub server: ServerAddress,
    /// The tenant's id.
    #[arg(long, value_name = "UUID")]
    pub tenant: String,
}

/// Which server, and what the caller is known by.
#[derive(Args, Debug)]
pub struct ServerAddress {
    /// The server's address; https:// speaks TLS.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    pub server: String,
    /// Believe the server that these authorities (PEM) sign, and not those of the system.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Show this certificate (PEM) to a server that asks for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Send the bearer token in this file with each call.
    #[arg(long, value_name = "FILE", env = "RISKSHARE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

impl Target {
    /// Returns a connection, which is made when the first call needs it.
    ///
    /// # Errors
    /// Those of [`ServerAddress::connect`].
    pub fn connect(&self) -> Result<Connection, Failure> {
        self.server.connect()
    }

    /// Returns what a call's error means.
    pub fn failure(&self, status: tonic::Status) -> Failure {
        self.server.failure(status)
    }
}

impl ServerAddress {
    /// Returns a connection, which is made when the first call needs it.
    ///
    /// # Errors
    /// When the address is none, a file cannot be read, or what the files hold cannot be used with the address.
    pub fn connect(&self) -> Result<Connection, Failure> {
        let endpoint = self.endpoint()?;
        let bearer = self.token_file.as_deref().map_or(Ok(Bearer::default()), Bearer::read)?;
        if bearer.0.is_some() && !keeps_secrets(&endpoint) {
            return Err(anyhow!(
                "--token-file: whoever listens could use the token; call the server by https://"
            )
            .into());
        }
        let endpoint = endpoint.connect_timeout(CONNECT_TIME_MAX).timeout(CALL_TIME_MAX);
        Ok(InterceptedService::new(endpoint.connect_lazy(), bearer))
    }

    /// Returns what a call's error means.
    pub fn failure(&self, status: tonic::Status) -> Failure {
        Failure::of_call(&self.server, status)
    }

    fn endpoint(&self) -> Result<Endpoint, Failure> {
        let form = || {
            format!(
                "--server {}: must be of the form http://127.0.0.1:50051 or https://HOST:PORT",
                self.server
            )
        };
        let endpoint = Endpoint::from_shared(self.server.clone()).with_context(form)?;
        if endpoint.uri().host().is_none() {
            return Err(anyhow!(form()).into());
        }
        match endpoint.uri().scheme_str() {
            Some("http") if self.ca.is_none() && self.cert.is_none() => Ok(endpoint),
            Some("http") => {
                Err(anyhow!("--ca and --cert are for servers that are called by https://").into())
            }
            Some("https") => Ok(endpoint.tls_config(self.tls()?).context("--ca, --cert, --key")?),
            _ => Err(anyhow!(form()).into()),
        }
    }

    fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let mut tls = match &self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(authorities(ca)?),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let (Some(certificate), Some(key)) = (&self.cert, &self.key) {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(tls)
    }
}

/// Says whether nobody on the way can read what is sent.
fn keeps_secrets(endpoint: &Endpoint) -> bool {
    let uri = endpoint.uri();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    is_here || uri.scheme_str() == Some("https")
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)
}

/// Reads certificates. The TLS library takes a file without any for a list of none.
fn authorities(path: &Path) -> Result<Certificate, Failure> {
    let pem = read(path)?;
    let first = CertificateDer::pem_slice_iter(&pem).next();
    let of_file = || format!("{}: holds no certificate", path.display());
    first.with_context(of_file)?.with_context(of_file)?;
    Ok(Certificate::from_pem(pem))
}

/// Puts a bearer token on each call, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn read(path: &Path) -> Result<Self, Failure> {
        let token = String::from_utf8(read(path)?).unwrap_or_default();
        let of_file = || format!("{}: holds no token", path.display());
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {}", token.trim()).parse().with_context(of_file)?;
        if token.trim().is_empty() {
            return Err(anyhow!(of_file()).into());
        }
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}
