//! TLS: who the server is, and which clients prove who they are. Certificates are read again when they change.

use crate::transport::peer::PeerCertificates;
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The only protocol that is spoken over TLS.
const ALPN: &[u8] = b"h2";
/// How often the files are looked at.
const RELOAD_PERIOD: Duration = Duration::from_secs(2);

/// Where the keys are, and what is asked of clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The server's certificate and those that lead to its authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub private_key: PathBuf,
    /// Whether clients prove who they are.
    pub clients: Clients,
    /// The oldest version that is spoken.
    pub oldest: Version,
}

/// Whether clients prove who they are with a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Clients {
    /// They are not asked to.
    Unasked,
    /// They may. One that presents a certificate which these authorities (PEM) did not sign is refused.
    Optional(PathBuf),
    /// They must.
    Required(PathBuf),
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds none of what it should.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: rustls::pki_types::pem::Error,
    },
    /// A file of certificates holds none.
    #[error("{}: holds no certificate", .0.display())]
    Empty(PathBuf),
    /// They are no key and certificate that belong together.
    #[error("the certificate and the private key cannot be used: {0}")]
    Pair(rustls::Error),
    /// The authorities cannot be used.
    #[error("the authorities of clients cannot be used: {0}")]
    Authorities(#[from] VerifierBuilderError),
}

/// Why a peer was not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error(transparent)]
    Failed(#[from] std::io::Error),
    #[error("the peer did not ask for HTTP/2")]
    Protocol,
}

/// The server's side of TLS, as of the files' last good state.
pub struct Identity {
    files: Files,
    current: ArcSwap<ServerConfig>,
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let current = ArcSwap::from(files.load()?);
        Ok(Self { files, current })
    }

    /// Secures a connection, and returns what its peer proved.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, PeerCertificates), HandshakeError> {
        let stream = TlsAcceptor::from(self.current.load_full()).accept(stream).await?;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(ALPN) {
            return Err(HandshakeError::Protocol);
        }
        let chain = session.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
        Ok((stream, PeerCertificates(chain)))
    }

    /// Looks at the files now and again. Handshakes that begin after a good change use it; after a bad one, such as
    /// a certificate whose key is not there yet, the last good state stays.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let mut seen = self.files.fingerprint().await;
        loop {
            tokio::time::sleep(RELOAD_PERIOD).await;
            let found = self.files.fingerprint().await;
            if found == seen {
                continue;
            }
            match self.files.load() {
                Ok(config) => {
                    self.current.store(config);
                    tracing::info!("took the changed certificates");
                }
                Err(cause) => {
                    tracing::error!(%cause, "the changed certificates cannot be used; the last good ones stay");
                }
            }
            seen = found;
        }
    }
}

impl Files {
    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.oldest.and_newer())
            .map_err(TlsError::Pair)?;
        let verifier = |authorities: &Path| {
            let roots = Arc::new(roots(authorities)?);
            Ok::<_, TlsError>(WebPkiClientVerifier::builder_with_provider(roots, provider))
        };
        let builder = match &self.clients {
            Clients::Unasked => builder.with_no_client_auth(),
            Clients::Optional(authorities) => {
                builder.with_client_cert_verifier(verifier(authorities)?.allow_unauthenticated().build()?)
            }
            Clients::Required(authorities) => {
                builder.with_client_cert_verifier(verifier(authorities)?.build()?)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.private_key).map_err(of_file(&self.private_key))?;
        let chain = certificates(&self.certificate)?;
        let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // No resumption: each connection proves anew who it is, against the authorities of now.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Returns what changes when a file does. A file that cannot be read counts as empty.
    async fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let authorities = match &self.clients {
            Clients::Unasked => None,
            Clients::Optional(path) | Clients::Required(path) => Some(path),
        };
        for path in [Some(&self.certificate), Some(&self.private_key), authorities].into_iter().flatten() {
            let bytes = tokio::fs::read(path).await.unwrap_or_default();
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        }
        hash.finalize().into()
    }
}

impl Version {
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST_FIRST: [&SupportedProtocolVersion; 2] =
            [&rustls::version::TLS13, &rustls::version::TLS12];
        match self {
            Self::V12 => &NEWEST_FIRST,
            Self::V13 => &NEWEST_FIRST[..1],
        }
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(TlsError::Pair)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path).map_err(of_file(path))?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(of_file(path))?;
    if all.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(all) }
}

fn of_file(path: &Path) -> impl Fn(rustls::pki_types::pem::Error) -> TlsError {
    move |cause| TlsError::File { path: path.to_owned(), cause }
}
