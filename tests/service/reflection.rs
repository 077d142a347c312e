//! What a stranger finds out by asking the server about itself.

use crate::world::World;
use prost_types::FileDescriptorSet;
use std::collections::BTreeSet;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

const SERVICES: [&str; 10] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "riskshare.v1.AlertEnrichmentService",
    "riskshare.v1.AuditService",
    "riskshare.v1.IncidentService",
    "riskshare.v1.IngestService",
    "riskshare.v1.PseudonymService",
    "riskshare.v1.RiskAlertService",
    "riskshare.v1.SettingsService",
];

/// Also reading 9 and 11 of the documentation: nothing here hands out risk alerts, a CSV or an export.
#[tokio::test]
async fn both_reflection_versions_list_all_services_and_no_other() {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let world = World::start().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(world.channel.clone());
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list")
    };
    let found: BTreeSet<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    let expected = BTreeSet::from(SERVICES);
    assert!(found.is_subset(&expected), "{found:?}");
    assert!(SERVICES[3..].iter().all(|name| found.contains(name)));
}

#[tokio::test]
async fn the_details_of_errors_can_be_looked_up() {
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let world = World::start().await;
    for symbol in ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "riskshare.v1.ErrorReason"] {
        let mut client =
            v1alpha::server_reflection_client::ServerReflectionClient::new(world.channel.clone());
        let request = v1alpha::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::FileContainingSymbol(symbol.to_owned())),
        };
        let mut answers =
            client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().unwrap().message_response;
        assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{symbol}: {answer:?}");
    }
}

#[tokio::test]
async fn every_service_is_healthy() {
    let world = World::start().await;
    let mut client = HealthClient::new(world.channel.clone());
    for service in SERVICES[3..].iter().chain(&[""]) {
        let request = HealthCheckRequest { service: (*service).to_owned() };
        let answer = client.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
}

#[test]
fn every_field_of_the_contract_is_documented() {
    use prost::Message;
    let files = FileDescriptorSet::decode(riskshare::pb::DESCRIPTORS).unwrap();
    let own: Vec<_> = files.file.iter().filter(|file| file.package() == "riskshare.v1").collect();
    assert!(own.len() >= 9);
    for file in own {
        let spoken: BTreeSet<_> = file
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| location.path.clone())
            .collect();
        for (message, index) in file.message_type.iter().zip(0..) {
            assert!(spoken.contains(&vec![4, index]), "{}", message.name());
            for (field, number) in message.field.iter().zip(0..) {
                assert!(spoken.contains(&vec![4, index, 2, number]), "{}.{}", message.name(), field.name());
            }
        }
    }
}
