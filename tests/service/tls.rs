//! TLS: who is let in, and with which certificate the server answers.

use crate::world::{NOON, at};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use riskshare::clock::ManualClock;
use riskshare::config::{ClientAuth, Config, TlsVersion};
use riskshare::pb;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use riskshare::server;
use riskshare::server::Running;
use riskshare::transport;
use riskshare::transport::peer::PeerCertificates;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> Signed {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    fn server(&self) -> Signed {
        self.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn client(&self) -> Signed {
        self.sign("client.contoso.com", ExtendedKeyUsagePurpose::ClientAuth)
    }
}

/// A server that speaks TLS, and the files it does so with.
struct Desk {
    authority: Authority,
    clients: Authority,
    folder: TempDir,
    running: Running,
}

impl Desk {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: folder.path().join("data"),
            ..Config::default()
        };
        write(folder.path(), "server", &authority.server());
        std::fs::write(folder.path().join("clients.pem"), clients.pem()).unwrap();
        std::fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();
        config.tls.certificate = folder.path().join("server.pem");
        config.tls.private_key = folder.path().join("server.key");
        change(&mut config);
        if config.tls.client_auth != ClientAuth::None {
            config.tls.client_ca = folder.path().join("clients.pem");
        }
        let running = server::start(config, Arc::new(ManualClock::at(at(NOON)))).await.unwrap();
        Self { authority, clients, folder, running }
    }

    fn address(&self) -> SocketAddr {
        self.running.address()
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.address().port())
    }

    fn trusting(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.authority.pem()))
    }

    /// Asks for a tenant's settings.
    async fn ask(&self, tls: ClientTlsConfig) -> Result<(), Box<dyn std::error::Error>> {
        let channel = Channel::from_shared(self.url())?.tls_config(tls)?.connect().await?;
        let request = pb::GetSettingsRequest { tenant_id: TENANT.to_owned() };
        SettingsServiceClient::new(channel).get_settings(request).await?;
        Ok(())
    }

    /// Returns a file for a command, which is made.
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskshare"));
        command.args(["settings", "get", "--tenant", TENANT, "--server", &self.url()]).args(arguments);
        command.output().unwrap()
    }
}

fn write(folder: &Path, name: &str, signed: &Signed) {
    std::fs::write(folder.join(format!("{name}.key")), &signed.key).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), &signed.certificate).unwrap();
}

fn identity(signed: &Signed) -> Identity {
    Identity::from_pem(&signed.certificate, &signed.key)
}

/// Shakes hands as a client that trusts the authority and speaks these versions and protocols.
async fn shake(
    address: SocketAddr,
    authority: &str,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

const NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
const OLD: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_answered_and_one_that_does_not_hangs_up() {
    let desk = Desk::start(|_| {}).await;
    desk.ask(desk.trusting()).await.unwrap();
    let stranger = Authority::new("strangers").pem();
    let distrusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(stranger));
    assert!(desk.ask(distrusting).await.is_err());
    let plain = Channel::from_shared(format!("http://{}", desk.address())).unwrap().connect().await;
    let request = pb::GetSettingsRequest { tenant_id: TENANT.to_owned() };
    if let Ok(plain) = plain {
        assert!(SettingsServiceClient::new(plain).get_settings(request).await.is_err(), "row 94");
    }
    desk.ask(desk.trusting()).await.unwrap();
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_when_told_so() {
    let desk = Desk::start(|_| {}).await;
    let authority = desk.authority.pem();
    assert!(shake(desk.address(), &authority, NEW, &[b"h2"]).await.is_ok());
    assert!(shake(desk.address(), &authority, OLD, &[b"h2"]).await.is_err());
    let desk = Desk::start(|config| config.tls.min_version = TlsVersion::V12).await;
    let authority = desk.authority.pem();
    assert!(shake(desk.address(), &authority, OLD, &[b"h2"]).await.is_ok());
    assert!(shake(desk.address(), &authority, NEW, &[b"h2"]).await.is_ok());
}

#[tokio::test]
async fn only_http_2_is_spoken_over_tls() {
    let desk = Desk::start(|_| {}).await;
    let authority = desk.authority.pem();
    assert!(shake(desk.address(), &authority, NEW, &[b"http/1.1", b"h2"]).await.is_ok());
    assert!(shake(desk.address(), &authority, NEW, &[b"http/1.1"]).await.is_err());
    let mut silent = shake(desk.address(), &authority, NEW, &[]).await.unwrap();
    assert!(matches!(silent.read(&mut [0; 64]).await, Ok(0) | Err(_)), "not a byte of HTTP/2");
}

#[tokio::test]
async fn a_server_that_requires_certificates_answers_only_who_has_one_of_its_authority() {
    let desk = Desk::start(|config| config.tls.client_auth = ClientAuth::Required).await;
    let known = identity(&desk.clients.client());
    let unknown = identity(&Authority::new("strangers").client());
    desk.ask(desk.trusting().identity(known)).await.unwrap();
    assert!(desk.ask(desk.trusting().identity(unknown)).await.is_err());
    assert!(desk.ask(desk.trusting()).await.is_err());
}

#[tokio::test]
async fn a_server_that_takes_certificates_answers_without_one_but_not_with_a_wrong_one() {
    let desk = Desk::start(|config| config.tls.client_auth = ClientAuth::Optional).await;
    desk.ask(desk.trusting().identity(identity(&desk.clients.client()))).await.unwrap();
    desk.ask(desk.trusting()).await.unwrap();
    let unknown = identity(&Authority::new("strangers").client());
    assert!(desk.ask(desk.trusting().identity(unknown)).await.is_err());
}

/// Connects until it sees a certificate, and returns it.
async fn shown(desk: &Desk, is_it: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let authority = desk.authority.pem();
    loop {
        let stream = shake(desk.address(), &authority, NEW, &[b"h2"]).await.unwrap();
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        if is_it(&certificate) {
            return certificate;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn changed_certificates_are_taken_without_a_restart_and_bad_ones_are_not() {
    let desk = Desk::start(|_| {}).await;
    let first = shown(&desk, |_| true).await;
    let channel = Channel::from_shared(desk.url()).unwrap().tls_config(desk.trusting()).unwrap();
    let mut old_connection = SettingsServiceClient::new(channel.connect().await.unwrap());
    let request = pb::GetSettingsRequest { tenant_id: TENANT.to_owned() };
    assert!(old_connection.get_settings(request.clone()).await.is_ok());

    write(desk.folder.path(), "server", &desk.authority.server());
    let second = shown(&desk, |certificate| certificate != first).await;
    // A certificate whose key is another, and rubbish, change nothing; the next good pair does.
    std::fs::write(desk.file("server.pem"), desk.authority.server().certificate).unwrap();
    assert_eq!(shown(&desk, |_| true).await, second);
    std::fs::write(desk.file("server.pem"), "rubbish").unwrap();
    assert_eq!(shown(&desk, |_| true).await, second);
    write(desk.folder.path(), "server", &desk.authority.server());
    let third = shown(&desk, |certificate| certificate != second).await;
    assert_ne!(third, first);
    assert!(old_connection.get_settings(request).await.is_ok(), "who is connected stays so");
}

#[tokio::test]
async fn what_a_peer_proved_is_on_each_of_its_requests() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    write(folder.path(), "server", &authority.server());
    std::fs::write(folder.path().join("clients.pem"), clients.pem()).unwrap();
    let files = transport::tls::Files {
        certificate: folder.path().join("server.pem"),
        private_key: folder.path().join("server.key"),
        clients: transport::tls::Clients::Optional(transport::tls::Belief {
            authorities: folder.path().join("clients.pem"),
            revocations: None,
        }),
        oldest: transport::tls::Version::V13,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (proved, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let PeerCertificates(chain) = request.extensions().get::<PeerCertificates>().unwrap().clone();
        proved.send(chain.to_vec()).unwrap();
        async { Ok(tonic::Status::unimplemented("").into_http::<tonic::body::Body>()) }
    });
    let identity_of_server = transport::tls::Identity::load(files, transport::Protocol::Http2).unwrap();
    let serving = transport::serve(
        listener,
        transport::Protocol::Http2,
        Some(identity_of_server),
        transport::limits::Limits::default(),
        transport::Workers::start().unwrap(),
        service,
    );
    let client = clients.client();
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
    for (tls, expected) in [(trusting.clone().identity(identity(&client)), 1), (trusting, 0)] {
        let channel = Channel::from_shared(url.clone()).unwrap().tls_config(tls).unwrap();
        let mut settings = SettingsServiceClient::new(channel.connect_lazy());
        for _ in 0..2 {
            let _ = settings.get_settings(pb::GetSettingsRequest::default()).await;
            let chain = seen.recv().await.unwrap();
            assert_eq!(chain.len(), expected);
            let der = || pem_body(&client.certificate);
            assert!(chain.first().is_none_or(|own| *own == der()));
        }
    }
    assert!(serving.stop(std::time::Duration::from_secs(5)).await);
}

#[tokio::test]
async fn who_does_not_shake_hands_in_time_is_cut_off_and_who_does_stays() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    write(folder.path(), "server", &authority.server());
    let files = transport::tls::Files {
        certificate: folder.path().join("server.pem"),
        private_key: folder.path().join("server.key"),
        clients: transport::tls::Clients::Unasked,
        oldest: transport::tls::Version::V13,
    };
    let hour = std::time::Duration::from_hours(1);
    let limits = transport::limits::Limits {
        handshake: std::time::Duration::from_secs(2),
        first_request: hour,
        ..transport::limits::Limits::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = tower::service_fn(|_: http::Request<hyper::body::Incoming>| async {
        Ok(tonic::Status::unimplemented("").into_http::<tonic::body::Body>())
    });
    let serving = transport::serve(
        listener,
        transport::Protocol::Http2,
        Some(transport::tls::Identity::load(files, transport::Protocol::Http2).unwrap()),
        limits,
        transport::Workers::start().unwrap(),
        service,
    );
    let channel = Channel::from_shared(format!("https://localhost:{}", address.port())).unwrap();
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
    let channel = channel.tls_config(trusting).unwrap().connect().await.unwrap();
    let mut halves = Vec::new();
    for part in [&b""[..], &[22, 3, 1, 2, 0][..]] {
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(part).await.unwrap();
        halves.push(half);
    }
    for mut half in halves {
        assert!(matches!(half.read(&mut [0; 64]).await, Ok(0) | Err(_)), "not a byte, and the end");
    }
    let answer = SettingsServiceClient::new(channel)
        .get_settings(pb::GetSettingsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(answer.code(), tonic::Code::Unimplemented, "who has shaken hands is answered");
    assert!(serving.stop(std::time::Duration::from_secs(5)).await);
}

fn pem_body(pem: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_call_a_server_that_requires_certificates() {
    let desk = Desk::start(|config| config.tls.client_auth = ClientAuth::Required).await;
    write(desk.folder.path(), "client", &desk.clients.client());
    let path = |name: &str| desk.file(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (path("authority.pem"), path("client.pem"), path("client.key"));
    std::fs::write(desk.file("token"), "opaque-7f3a\n").unwrap();
    let token = path("token");
    let all = ["--ca", &ca, "--cert", &cert, "--key", &key];
    let good = desk.call(&all);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert_eq!(desk.call(&[&all[..], &["--token-file", &token]].concat()).status.code(), Some(0));
    assert_eq!(desk.call(&all[..2]).status.code(), Some(2), "no certificate");
    assert_eq!(desk.call(&all[2..]).status.code(), Some(2), "an authority that the system does not know");
    assert_eq!(desk.call(&all[..4]).status.code(), Some(64), "a certificate without its key");
    assert_eq!(desk.call(&["--ca", &token]).status.code(), Some(1), "a file that is no certificate");
}

#[test]
fn a_token_is_not_sent_where_others_could_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "opaque-7f3a").unwrap();
    let call = |server: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskshare"));
        command.args(["settings", "get", "--tenant", TENANT, "--server", server, "--token-file"]).arg(&token);
        command.output().unwrap()
    };
    // Nobody listens on the first; what counts is that it was tried.
    assert_eq!(call("http://127.0.0.1:1").status.code(), Some(2));
    let refused = call("http://192.0.2.1:50051");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("https://"));
}

#[tokio::test]
async fn a_server_does_not_start_with_certificates_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    write(folder.path(), "server", &authority.server());
    let start = async |certificate: &str| {
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: folder.path().join(format!("data-{certificate}")),
            ..Config::default()
        };
        config.tls.certificate = folder.path().join(certificate);
        config.tls.private_key = folder.path().join("server.key");
        server::start(config, Arc::new(ManualClock::at(at(NOON)))).await
    };
    assert!(start("server.pem").await.is_ok());
    std::fs::write(folder.path().join("other.pem"), authority.server().certificate).unwrap();
    for bad in ["absent.pem", "server.key", "other.pem"] {
        let Err(error) = start(bad).await else { panic!("{bad}") };
        assert!(error.to_string().starts_with("cannot speak TLS: "), "{error}");
    }
}
