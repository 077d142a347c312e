//! Who gets in with a certificate, and with a certificate and a token.

use crate::issuer::Issuer;
use crate::world::{NOON, at, copies, reason};
use chrono::TimeDelta;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use riskshare::auth::settings::Mode;
use riskshare::clock::ManualClock;
use riskshare::config::{ClientAuth, Config};
use riskshare::pb;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use riskshare::server;
use riskshare::server::Running;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Request, Status, Streaming};

const OURS: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const THEIRS: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";

/// A server that asks for certificates, the authority of all of them, and its file of principals.
struct Desk {
    authority: CertifiedIssuer<'static, KeyPair>,
    clock: ManualClock,
    running: Running,
    folder: TempDir,
}

impl Desk {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let authority = authority();
        let (certificate, key) = signed(
            &authority,
            SanType::DnsName("localhost".try_into().unwrap()),
            ExtendedKeyUsagePurpose::ServerAuth,
            "server",
        );
        std::fs::write(file("server.pem"), certificate).unwrap();
        std::fs::write(file("server.key"), key).unwrap();
        std::fs::write(file("authority.pem"), authority.pem()).unwrap();
        std::fs::write(file("revoked.pem"), revoked(&authority, &[], 4000)).unwrap();
        std::fs::write(file("principals.toml"), principals("insider-risk-admin")).unwrap();
        let mut config =
            Config { listen: "127.0.0.1:0".parse().unwrap(), data_dir: file("data"), ..Config::default() };
        config.tls.certificate = file("server.pem");
        config.tls.private_key = file("server.key");
        config.tls.client_ca = file("authority.pem");
        config.tls.client_auth = ClientAuth::Optional;
        config.auth.mode = Mode::Mtls;
        config.auth.principals_file = file("principals.toml");
        change(&mut config);
        let clock = ManualClock::at(at(NOON));
        let running = server::start(config, Arc::new(clock.clone())).await.unwrap();
        Self { authority, clock, running, folder }
    }

    fn rewrite(&self, principals: &str) {
        std::fs::write(self.folder.path().join("principals.toml"), principals).unwrap();
    }

    /// Says that the certificates of these workloads are revoked, in a list that is good until that year.
    fn revoke(&self, workloads: &[&str], until: i32) {
        let list = revoked(&self.authority, workloads, until);
        std::fs::write(self.folder.path().join("revoked.pem"), list).unwrap();
    }

    /// Connects as a workload, or as nobody.
    async fn connect(&self, workload: Option<&str>) -> Channel {
        self.try_connect(workload).await.unwrap()
    }

    async fn try_connect(&self, workload: Option<&str>) -> Result<Channel, tonic::transport::Error> {
        let authority = Certificate::from_pem(self.authority.pem());
        let mut tls = ClientTlsConfig::new().ca_certificate(authority);
        if let Some(workload) = workload {
            let id = SanType::URI(format!("spiffe://contoso.com/{workload}").try_into().unwrap());
            let (certificate, key) =
                signed(&self.authority, id, ExtendedKeyUsagePurpose::ClientAuth, workload);
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let url = format!("https://localhost:{}", self.running.address().port());
        Channel::from_shared(url).unwrap().tls_config(tls).unwrap().connect().await
    }

    /// Says whether a workload that connects anew is answered.
    async fn answers(&self, workload: &str) -> bool {
        match self.try_connect(Some(workload)).await {
            Ok(channel) => !matches!(ask(&channel, None, OURS).await, Err(reason) if reason.is_empty()),
            Err(_) => false,
        }
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "workloads");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Returns a certificate and its key, in PEM.
fn signed(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: SanType,
    purpose: ExtendedKeyUsagePurpose,
    serial: &str,
) -> (String, String) {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.subject_alt_names = vec![name];
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap().pem();
    (certificate, key.serialize_pem())
}

/// Returns a list, in PEM, that says which workloads' certificates are revoked, good until that year.
fn revoked(authority: &CertifiedIssuer<'static, KeyPair>, workloads: &[&str], until: i32) -> String {
    let number = |workload: &&str| RevokedCertParams {
        serial_number: SerialNumber::from_slice(workload.as_bytes()),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: workloads.iter().map(number).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(authority).unwrap().pem().unwrap()
}

/// Returns a file in which the desk has a role and the connector takes facts in.
fn principals(role_of_desk: &str) -> String {
    format!(
        r#"
        [[principal]]
        name = "desk"
        spiffe = ["spiffe://contoso.com/desk"]
        roles = ["{role_of_desk}"]
        tenants = ["{OURS}"]

        [[principal]]
        name = "connector"
        spiffe = ["spiffe://contoso.com/connector"]
        roles = ["ingestor"]
        tenants = ["{OURS}"]
        "#
    )
}

/// Asks for a tenant's settings, which takes an admin. Returns the reason of a refusal.
async fn ask(channel: &Channel, authorization: Option<&str>, tenant: &str) -> Result<(), String> {
    let mut request = Request::new(pb::GetSettingsRequest { tenant_id: tenant.to_owned() });
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    let answer = SettingsServiceClient::new(channel.clone()).get_settings(request).await;
    answer.map(drop).map_err(|refusal| reason(&refusal))
}

type Acks = Streaming<pb::StreamActivitiesResponse>;

/// Opens a stream as the connector, and has one batch acknowledged.
async fn stream(channel: &Channel) -> (mpsc::Sender<pb::StreamActivitiesRequest>, Acks) {
    let (batches, sent) = mpsc::channel(1);
    let activities = copies("john@contoso.com", 1, at(NOON) - TimeDelta::hours(1));
    let batch = pb::IngestActivitiesRequest { tenant_id: OURS.to_owned(), activities, raw_records: vec![] };
    batches.send(pb::StreamActivitiesRequest { sequence: 1, batch: Some(batch) }).await.unwrap();
    let answer = IngestServiceClient::new(channel.clone()).stream_activities(ReceiverStream::new(sent)).await;
    let mut acks = answer.unwrap().into_inner();
    assert_eq!(acks.next().await.unwrap().unwrap().batch.unwrap().counts.unwrap().accepted, 1);
    (batches, acks)
}

/// Waits for the end of a stream on which nothing is sent.
async fn end(mut acks: Acks) -> Status {
    acks.next().await.expect("a refusal").unwrap_err()
}

#[tokio::test]
async fn a_certificate_lets_its_principal_in_and_nobody_else() {
    let desk = Desk::start(|_| {}).await;
    let admin = desk.connect(Some("desk")).await;
    ask(&admin, None, OURS).await.unwrap();
    ask(&admin, Some("Bearer tokens are not looked at"), OURS).await.unwrap();
    assert_eq!(ask(&admin, None, THEIRS).await.unwrap_err(), "TENANT_MISMATCH");
    let connector = desk.connect(Some("connector")).await;
    assert_eq!(ask(&connector, None, OURS).await.unwrap_err(), "PERMISSION_MISSING");
    for stranger in [Some("stranger"), None] {
        let stranger = desk.connect(stranger).await;
        assert_eq!(ask(&stranger, None, OURS).await.unwrap_err(), "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn what_the_file_of_principals_takes_away_is_gone_from_open_streams_and_connections() {
    let desk = Desk::start(|_| {}).await;
    let (admin, connector) = (desk.connect(Some("desk")).await, desk.connect(Some("connector")).await);
    let (_batches, acks) = stream(&connector).await;
    ask(&admin, None, OURS).await.unwrap();
    desk.rewrite(&principals("insider-risk-admin").replace("ingestor", "auditor"));
    let refusal = end(acks).await;
    assert_eq!(reason(&refusal), "UNAUTHENTICATED");
    ask(&admin, None, OURS).await.unwrap();
    desk.rewrite(&principals("dlp-alert-reader"));
    while ask(&admin, None, OURS).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&admin, None, OURS).await.unwrap_err(), "PERMISSION_MISSING");
}

#[tokio::test]
async fn a_stream_ends_with_the_certificate_that_opened_it() {
    let desk = Desk::start(|_| {}).await;
    let connector = desk.connect(Some("connector")).await;
    let (_batches, acks) = stream(&connector).await;
    desk.clock.set(at("4096-01-01T00:00:00Z"));
    assert_eq!(reason(&end(acks).await), "UNAUTHENTICATED");
    assert_eq!(ask(&connector, None, OURS).await.unwrap_err(), "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_token_is_good_for_the_tenants_of_the_certificate_beside_it() {
    let issuer = Issuer::start().await;
    let desk = Desk::start(|config| {
        issuer.configure(config);
        config.auth.mode = Mode::MtlsOrOidc;
    })
    .await;
    let token = |tenant| issuer.bearer(tenant, &["insider-risk-admin"]);
    let (nobody, stranger) = (desk.connect(None).await, desk.connect(Some("stranger")).await);
    let (admin, connector) = (desk.connect(Some("desk")).await, desk.connect(Some("connector")).await);
    ask(&nobody, Some(&token(THEIRS)), THEIRS).await.unwrap();
    ask(&admin, None, OURS).await.unwrap();
    // The token has the roles.
    ask(&connector, Some(&token(OURS)), OURS).await.unwrap();
    assert_eq!(ask(&connector, None, OURS).await.unwrap_err(), "PERMISSION_MISSING");
    for tenant in [OURS, THEIRS] {
        assert_eq!(ask(&admin, Some(&token(THEIRS)), tenant).await.unwrap_err(), "TENANT_MISMATCH");
    }
    assert_eq!(ask(&stranger, Some(&token(OURS)), OURS).await.unwrap_err(), "UNAUTHENTICATED");
    assert_eq!(ask(&admin, Some("Bearer x"), OURS).await.unwrap_err(), "UNAUTHENTICATED");
    assert_eq!(ask(&nobody, None, OURS).await.unwrap_err(), "UNAUTHENTICATED");
}

/// Looks at the list of revoked certificates beside the authority.
fn looks_at_list(config: &mut Config) {
    config.tls.client_crl = config.tls.client_ca.with_file_name("revoked.pem");
}

#[tokio::test]
async fn a_certificate_that_is_revoked_loses_its_connections_and_gets_no_new_one() {
    let desk = Desk::start(looks_at_list).await;
    let (admin, connector) = (desk.connect(Some("desk")).await, desk.connect(Some("connector")).await);
    let (_batches, acks) = stream(&connector).await;
    ask(&admin, None, OURS).await.unwrap();
    desk.revoke(&["connector"], 4000);
    assert_eq!(reason(&end(acks).await), "", "the connection is cut off, so nobody says why");
    assert!(!desk.answers("connector").await);
    ask(&admin, None, OURS).await.unwrap();
    assert!(desk.answers("desk").await, "others of the same authority go on");
}

#[tokio::test]
async fn a_list_that_is_out_of_date_lets_nobody_in_until_there_is_a_new_one() {
    let desk = Desk::start(looks_at_list).await;
    assert!(desk.answers("desk").await);
    let admin = desk.connect(Some("desk")).await;
    desk.revoke(&[], 2021);
    while ask(&admin, None, OURS).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!desk.answers("desk").await);
    desk.revoke(&[], 4000);
    while !desk.answers("desk").await {}
}

#[tokio::test]
async fn a_server_does_not_start_without_the_list_that_it_is_told_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let authority = authority();
    let name = SanType::DnsName("localhost".try_into().unwrap());
    let (certificate, key) = signed(&authority, name, ExtendedKeyUsagePurpose::ServerAuth, "server");
    std::fs::write(file("server.pem"), certificate).unwrap();
    std::fs::write(file("server.key"), key).unwrap();
    std::fs::write(file("authority.pem"), authority.pem()).unwrap();
    let start = async |list: Option<&str>| {
        let mut config =
            Config { listen: "127.0.0.1:0".parse().unwrap(), data_dir: file("data"), ..Config::default() };
        config.tls.certificate = file("server.pem");
        config.tls.private_key = file("server.key");
        config.tls.client_ca = file("authority.pem");
        config.tls.client_auth = ClientAuth::Required;
        config.tls.client_crl = list.map(file).unwrap_or_default();
        let running = server::start(config, Arc::new(ManualClock::at(at(NOON)))).await;
        running.map(drop).map_err(|error| error.to_string())
    };
    for list in ["missing.pem", "authority.pem"] {
        let refusal = start(Some(list)).await.unwrap_err();
        assert!(refusal.contains(list), "{refusal}");
    }
    start(None).await.unwrap();
}
