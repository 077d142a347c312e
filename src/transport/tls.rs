//! TLS: who the server is, and which clients prove who they are. Certificates are read again when they change.

use crate::transport::Protocol;
use crate::transport::peer::PeerCertificates;
use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

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
    /// They may. One that presents a certificate which is not believed is refused.
    Optional(Belief),
    /// They must.
    Required(Belief),
}

/// Which certificates of clients are believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Belief {
    /// Those that these authorities signed, in PEM.
    pub authorities: PathBuf,
    /// But those on these lists, in PEM. Of a certificate whose issuer has no list there, or an old one, it is not known
    /// whether it was revoked: it is not believed either.
    pub revocations: Option<PathBuf>,
}

impl Clients {
    fn belief(&self) -> Option<&Belief> {
        match self {
            Self::Unasked => None,
            Self::Optional(belief) | Self::Required(belief) => Some(belief),
        }
    }
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
    /// A file of certificates, or of revocation lists, holds none.
    #[error("{}: holds none of what it should", .0.display())]
    Empty(PathBuf),
    /// They are no key and certificate that belong together.
    #[error("the certificate and the private key cannot be used: {0}")]
    Pair(rustls::Error),
    /// The authorities that a client is to believe cannot be used.
    #[error("the authorities cannot be used: {0}")]
    Believed(rustls::Error),
    /// The authorities or their revocation lists cannot be used.
    #[error("the authorities of clients, or their revocation lists, cannot be used: {0}")]
    Authorities(#[from] VerifierBuilderError),
}

impl TlsError {
    /// Says what is wrong with a file of authorities, to whoever names the file in other words.
    #[must_use]
    pub fn of_authorities(&self) -> String {
        match self {
            Self::File { cause, .. } => cause.to_string(),
            Self::Empty(_) => "holds no certificate".to_owned(),
            Self::Believed(cause) => cause.to_string(),
            Self::Pair(_) | Self::Authorities(_) => self.to_string(),
        }
    }
}

/// Why a peer was not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error(transparent)]
    Failed(#[from] std::io::Error),
    #[error("the peer did not ask for the protocol that is spoken here")]
    Protocol,
}

/// The server's side of TLS, as of the files' last good state.
pub struct Identity {
    files: Files,
    protocol: Protocol,
    current: ArcSwap<State>,
    /// Told when the state changed.
    changed: watch::Sender<()>,
}

/// What the files said.
struct State {
    config: Arc<ServerConfig>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Identity {
    /// Reads the files, for a server that speaks a protocol.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(files: Files, protocol: Protocol) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(files.load(protocol)?);
        Ok(Self { files, protocol, current, changed: watch::Sender::new(()) })
    }

    /// Secures a connection, and returns what its peer proved.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, PeerCertificates), HandshakeError> {
        let stream = TlsAcceptor::from(Arc::clone(&self.current.load().config)).accept(stream).await?;
        let (_, session) = stream.get_ref();
        if !self.protocol.is_asked_for(session.alpn_protocol()) {
            return Err(HandshakeError::Protocol);
        }
        let chain = session.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
        Ok((stream, PeerCertificates(chain)))
    }

    /// Waits until the certificate that a peer proved to own is not believed any more, such as because it was revoked.
    pub(super) async fn disbelieves(&self, peer: &PeerCertificates) {
        let mut changed = self.changed.subscribe();
        while self.believes(peer) && changed.changed().await.is_ok() {}
    }

    fn believes(&self, PeerCertificates(chain): &PeerCertificates) -> bool {
        let chain: Vec<_> = chain.iter().map(|one| CertificateDer::from_slice(one)).collect();
        match (&self.current.load().clients, chain.split_first()) {
            (Some(clients), Some((own, issuers))) => {
                clients.verify_client_cert(own, issuers, UnixTime::now()).is_ok()
            }
            _ => true, // Nothing was proved, so nothing is believed.
        }
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
            match self.files.load(self.protocol) {
                Ok(state) => {
                    self.current.store(Arc::new(state));
                    self.changed.send_replace(());
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
    fn load(&self, protocol: Protocol) -> Result<State, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = self.clients.verifier(&provider)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.oldest.and_newer())
            .map_err(TlsError::Pair)?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients)),
        };
        let key = PrivateKeyDer::from_pem_file(&self.private_key).map_err(of_file(&self.private_key))?;
        let chain = certificates(&self.certificate)?;
        let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        // No resumption: each connection proves anew who it is, against the authorities of now.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(State { config: Arc::new(config), clients })
    }

    /// Returns what changes when a file does. A file that cannot be read counts as empty.
    async fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let belief = self.clients.belief();
        let authorities = belief.map(|belief| &belief.authorities);
        let revocations = belief.and_then(|belief| belief.revocations.as_ref());
        let files = [Some(&self.certificate), Some(&self.private_key), authorities, revocations];
        for path in files.into_iter().flatten() {
            let bytes = tokio::fs::read(path).await.unwrap_or_default();
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        }
        hash.finalize().into()
    }
}

impl Clients {
    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let Some(belief) = self.belief() else { return Ok(None) };
        let roots = Arc::new(roots(&belief.authorities, TlsError::Pair)?);
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
        if let Some(path) = &belief.revocations {
            // Without a list of every issuer, each current, nobody is believed: rustls's default, and the stricter way.
            builder = builder.with_crls(revocations(path)?).enforce_revocation_expiration();
        }
        if matches!(self, Self::Optional(_)) {
            builder = builder.allow_unauthenticated();
        }
        Ok(Some(builder.build()?))
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

/// Returns the client's side of TLS: it believes whom one of the authorities of a PEM file signed, and nobody else.
///
/// # Errors
/// When the file cannot be used.
pub fn believing(authorities: &Path) -> Result<ClientConfig, TlsError> {
    let roots = roots(authorities, TlsError::Believed)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(TlsError::Believed)?.with_root_certificates(roots).with_no_client_auth())
}

fn roots(path: &Path, refused: fn(rustls::Error) -> TlsError) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(refused)?;
    }
    Ok(roots)
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// When it cannot be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path).map_err(of_file(path))?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(of_file(path))?;
    if all.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(all) }
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let all = CertificateRevocationListDer::pem_file_iter(path).map_err(of_file(path))?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(of_file(path))?;
    if all.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(all) }
}

fn of_file(path: &Path) -> impl Fn(rustls::pki_types::pem::Error) -> TlsError {
    move |cause| TlsError::File { path: path.to_owned(), cause }
}
