//! How a server stops: it says so first, lets calls end, and waits for nobody longer than it was told.

use crate::raw::{Raw, framed};
use crate::world::*;
use prost::Message;
use riskshare::pb;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn connect(address: std::net::SocketAddr) -> Result<Channel, tonic::transport::Error> {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await
}

#[tokio::test]
async fn health_says_not_serving_before_the_port_closes() {
    let mut world = World::start_with(|config| config.drain_pause_seconds = 2).await;
    let address = world.address();
    let whole = HealthCheckRequest::default();
    let mut health = HealthClient::new(world.channel.clone());
    assert_eq!(health.check(whole.clone()).await.unwrap().into_inner().status(), ServingStatus::Serving);
    let mut watch = health.watch(whole.clone()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let asked = async {
        loop {
            let channel = connect(address).await.expect("the port is open");
            let status = HealthClient::new(channel).check(whole.clone()).await.unwrap().into_inner().status();
            if status == ServingStatus::NotServing {
                break;
            }
        }
    };
    let ((), ()) = tokio::join!(world.stop(), asked);
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(matches!(watch.message().await, Ok(None)), "who watches is told and let go");
    assert!(connect(address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_call_in_progress_ends_well_and_the_server_waits_for_it() {
    let mut world = World::start_with(|config| config.drain_seconds = 600).await;
    let address = world.address();
    let tenant_id = world.tenant().await.id;
    let (batches, stream) = tokio::sync::mpsc::channel(1);
    let mut acks = world.ingest().stream_activities(ReceiverStream::new(stream)).await.unwrap().into_inner();
    let copies = copies("john@contoso.com", 3, world.now());
    let rest_of_call = async {
        while connect(address).await.is_ok() {} // Until the port is closed.
        let batch = pb::IngestActivitiesRequest { tenant_id, activities: copies, raw_records: vec![] };
        batches.send(pb::StreamActivitiesRequest { sequence: 7, batch: Some(batch) }).await.unwrap();
        drop(batches);
        let ack = acks.message().await.unwrap().unwrap();
        assert_eq!((ack.sequence, ack.batch.unwrap().counts.unwrap().accepted), (7, 3));
        assert!(acks.message().await.unwrap().is_none());
    };
    let ((), ()) = tokio::join!(world.stop(), rest_of_call);
}

/// If it waited for the reader, this test would never end.
#[tokio::test]
async fn a_reader_who_does_not_read_keeps_no_server_from_stopping() {
    let mut world = World::start_with(|config| config.drain_seconds = 1).await;
    let users = (0..1_000).map(|n| upn(&format!("user-{n}-{}@contoso.com", "x".repeat(200)))).collect();
    let question = world.tenant().await.ask(pb::EnrichmentView::Summary, users).encode_to_vec();
    let raw = Raw::connect(world.address()).await;
    let call = raw.post("/riskshare.v1.AlertEnrichmentService/EnrichAlert");
    let unread = call.send_and_not_read(framed(&question)).await;
    world.stop().await;
    drop(unread);
}
