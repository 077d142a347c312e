//! TLS and tokens for the programs that are measured, and for their callers.

use crate::bench::issuer::issuer;
use anyhow::Result;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use riskshare::clock::{Clock, SystemClock};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "riskshare";

/// A server's certificate, an issuer of tokens, and what callers show and believe.
#[derive(Clone)]
pub struct Security {
    folder: Arc<TempDir>,
    keys_url: String,
    authorization: HeaderValue,
    connector: TlsConnector,
}

impl Security {
    /// Makes all of it, for a caller of one tenant. The issuer's key is served as long as this program runs.
    pub async fn new(tenant: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let pair = KeyPair::generate()?;
        let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&pair)?;
        std::fs::write(folder.path().join("server.pem"), certificate.pem())?;
        std::fs::write(folder.path().join("server.key"), pair.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())?;
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "tid": tenant, "roles": ["dlp-alert-reader"],
            "oid": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "exp": SystemClock.now().timestamp() + 7_200,
        });
        let header = Header { kid: Some("key".to_owned()), ..Header::new(Algorithm::ES256) };
        Ok(Self {
            folder: Arc::new(folder),
            keys_url: issuer(&pair, &key, Algorithm::ES256).await?,
            authorization: format!("Bearer {}", encode(&header, &claims, &key)?).parse()?,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Returns the certificate and the private key.
    pub fn files(&self) -> [PathBuf; 2] {
        ["server.pem", "server.key"].map(|name| self.folder.path().join(name))
    }

    /// Returns the flags of a server that is secured so, and measures itself.
    pub fn flags(&self) -> Vec<String> {
        let [certificate, key] = self.files().map(|path| path.display().to_string());
        let flags = [
            ("--tls-certificate", certificate.as_str()),
            ("--tls-private-key", &key),
            ("--auth-mode", "oidc"),
            ("--oidc-issuer", ISSUER),
            ("--oidc-audience", AUDIENCE),
            ("--oidc-jwks-uri", &self.keys_url),
            ("--metrics-listen", "127.0.0.1:0"),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]).collect()
    }

    /// Returns what callers show.
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// Secures a connection.
    pub async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        Ok(self.connector.connect(ServerName::try_from("localhost")?, stream).await?)
    }
}
