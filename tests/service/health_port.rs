//! Health on a port of its own, for probes that have no certificate: what it says, and that it says nothing else.

use crate::tls::Authority;
use crate::world::*;
use riskshare::config::{ClientAuth, Config};
use riskshare::pb;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use riskshare::server::StartError;
use std::net::SocketAddr;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const SERVING: Result<ServingStatus, Code> = Ok(ServingStatus::Serving);
const NOT_SERVING: Result<ServingStatus, Code> = Ok(ServingStatus::NotServing);

fn on_a_free_port(config: &mut Config) {
    "127.0.0.1:0".clone_into(&mut config.health.listen);
}

async fn connect(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

async fn health_of(channel: &Channel, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|refusal| refusal.code())
}

#[tokio::test]
async fn the_port_says_what_the_port_of_all_services_says() {
    let world = World::start_with(on_a_free_port).await;
    let own = connect(world.health()).await;
    for service in ["", "riskshare.v1.AlertEnrichmentService", "riskshare.v1.IngestService", "live"] {
        assert_eq!(health_of(&own, service).await, SERVING, "{service}");
        assert_eq!(health_of(&world.channel, service).await, SERVING, "{service}");
    }
    for channel in [&own, &world.channel] {
        assert_eq!(health_of(channel, "riskshare.v1.Nobody").await, Err(Code::NotFound));
    }
}

#[tokio::test]
async fn the_port_serves_health_and_nothing_else() {
    let world = World::start_with(on_a_free_port).await;
    let tenant_id = world.tenant().await.id;
    let request = pb::GetSettingsRequest { tenant_id };
    assert!(world.settings().get_settings(request.clone()).await.is_ok());
    let own = connect(world.health()).await;
    let refusal = SettingsServiceClient::new(own.clone()).get_settings(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unimplemented);
    let list = tonic_reflection::pb::v1::ServerReflectionRequest::default();
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(own.clone());
    let refusal = reflection.server_reflection_info(tokio_stream::once(list)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_request_is_no_longer_than_names_are() {
    let world = World::start_with(on_a_free_port).await;
    let own = connect(world.health()).await;
    for channel in [&own, &world.channel] {
        assert_eq!(health_of(channel, &"n".repeat(4_000)).await, Err(Code::NotFound));
        let too_long = health_of(channel, &"n".repeat(5_000)).await;
        assert!(matches!(too_long, Err(Code::OutOfRange | Code::ResourceExhausted)), "{too_long:?}");
    }
}

#[tokio::test]
async fn a_probe_needs_no_certificate_where_callers_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = authority.sign("localhost", rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let mut config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: folder.path().join("data"),
        ..Config::default()
    };
    on_a_free_port(&mut config);
    config.tls.certificate = file("server.pem", &server.certificate);
    config.tls.private_key = file("server.key", &server.key);
    config.tls.client_ca = file("clients.pem", &clients.pem());
    config.tls.client_auth = ClientAuth::Required;
    let clock = riskshare::clock::ManualClock::at(at(NOON));
    let running = riskshare::server::start(config, std::sync::Arc::new(clock)).await.unwrap();
    let all = Channel::from_shared(format!("http://{}", running.address())).unwrap().connect_lazy();
    let refused: Result<_, Status> = HealthClient::new(all).check(HealthCheckRequest::default()).await;
    assert!(refused.is_err(), "the port of all services speaks TLS");
    assert_eq!(health_of(&connect(running.health().unwrap()).await, "live").await, SERVING);
    running.stop().await;
}

#[tokio::test]
async fn a_process_that_drains_lives_until_it_has_ended() {
    let mut world = World::start_with(|config| {
        on_a_free_port(config);
        config.drain_pause_seconds = 1;
        config.drain_seconds = 600;
    })
    .await;
    let own = connect(world.health()).await;
    let shared = world.channel.clone();
    let all = world.address();
    let (calls, stream) = tokio::sync::mpsc::channel::<pb::StreamActivitiesRequest>(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut acks = world.ingest().stream_activities(stream).await.unwrap().into_inner();
    let mut watch = HealthClient::new(own.clone())
        .watch(HealthCheckRequest { service: "live".to_owned() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let asked = async {
        while health_of(&own, "").await == SERVING {}
        assert_eq!(health_of(&own, "").await, NOT_SERVING);
        assert_eq!(health_of(&shared, "live").await, SERVING, "it pauses, and lives");
        while tokio::net::TcpStream::connect(all).await.is_ok() {} // Until the port of all services is closed.
        for _ in 0..100 {
            assert_eq!(health_of(&own, "live").await, SERVING, "a call is in progress");
            assert_eq!(health_of(&own, "").await, NOT_SERVING, "no new ones are taken");
        }
        drop(calls);
        assert!(acks.message().await.unwrap().is_none());
    };
    let ((), ()) = tokio::join!(world.stop(), asked);
    assert!(matches!(watch.message().await, Ok(None)), "it never said that the process does not live");
    assert!(health_of(&own, "live").await.is_err(), "the port is closed");
}

/// Where there are many data, reading them takes minutes, for which nobody must restart the process.
#[tokio::test]
async fn the_port_opens_before_the_data_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let no_folder = folder.path().join("a file");
    std::fs::write(&no_folder, "").unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config =
        Config { listen: "127.0.0.1:0".parse().unwrap(), data_dir: no_folder, ..Config::default() };
    let clock = std::sync::Arc::new(riskshare::clock::ManualClock::at(at(NOON)));
    let start = async |config: &Config| riskshare::server::start(config.clone(), clock.clone()).await.err();
    assert!(matches!(start(&config).await, Some(StartError::Open { .. })));
    config.health.listen = taken.local_addr().unwrap().to_string();
    assert!(matches!(start(&config).await, Some(StartError::Listen { .. })));
}
