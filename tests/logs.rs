//! Logs hold nobody: whatever is sent, and whatever becomes of it, no name, address or file is in them, at the loudest
//! filter that there is.

mod child;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use child::Server;
use chrono::TimeDelta;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use prost_types::{FieldMask, Timestamp};
use riskshare::clock::{Clock, SystemClock};
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_client::AlertEnrichmentServiceClient;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::fs::File;
use std::process::Stdio;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
/// Stands in everything that could be a person's.
const CANARY: &str = "qz7rk2vx9wpl4tnd8hgb";

fn user() -> pb::UserIdentity {
    pb::UserIdentity {
        upn: format!("{CANARY}@contoso.com"),
        account_name: format!("CORP\\{CANARY}"),
        display_name: format!("{CANARY} Doe"),
        ..Default::default()
    }
}

/// Fills every text of a message, and of those in it, with the canary.
fn filled(message: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if let Some(value) = value(&field, depth) {
            let value = if field.is_list() { Value::List(vec![value]) } else { value };
            filled.set_field(&field, value);
        }
    }
    filled
}

fn value(field: &FieldDescriptor, depth: usize) -> Option<Value> {
    match field.kind() {
        Kind::String if field.name() == "tenant_id" => Some(Value::String(TENANT.to_owned())),
        Kind::String => Some(Value::String(CANARY.to_owned())),
        Kind::Bytes => Some(Value::Bytes(CANARY.as_bytes().to_vec().into())),
        Kind::Message(inner) if depth > 0 && inner.package_name() == "riskshare.v1" => {
            Some(Value::Message(filled(&inner, depth - 1)))
        }
        _ => None,
    }
}

/// Calls every RPC with the canary in every field, also as a token. Returns how many calls that were.
async fn call_everything(channel: &Channel) -> usize {
    let pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    let ours = pool.services().filter(|service| service.package_name() == "riskshare.v1");
    let mut calls = 0;
    for method in ours.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        for depth in 0..4 {
            let mut request = Request::new(tokio_stream::once(filled(&method.input(), depth)));
            request.metadata_mut().insert("authorization", format!("Bearer {CANARY}").parse().unwrap());
            let mut client = Grpc::new(channel.clone());
            client.ready().await.unwrap();
            let codec = ProstCodec::<DynamicMessage, ()>::default();
            let _: Result<_, Status> =
                client.client_streaming(request, path.parse().unwrap(), codec).await.map(drop);
            calls += 1;
        }
    }
    calls
}

/// Shares or not.
async fn share(channel: &Channel, on: bool) {
    let request = pb::UpdateSettingsRequest {
        tenant_id: TENANT.to_owned(),
        settings: Some(pb::Settings {
            data_sharing_enabled: on,
            user_analytics_enabled: true,
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: ["data_sharing_enabled", "user_analytics_enabled"].map(str::to_owned).to_vec(),
        }),
        etag: String::new(),
    };
    SettingsServiceClient::new(channel.clone()).update_settings(request).await.unwrap();
}

/// Takes facts about the person in, asks about them in every view, and erases them.
async fn live_through_a_story(channel: &Channel) {
    let mut ingest = IngestServiceClient::new(channel.clone());
    let at = SystemClock.now() - TimeDelta::hours(1);
    let activity = |number: usize| pb::ActivityRecord {
        activity_id: format!("activity-{number}"),
        user: Some(user()),
        occurred_at: Some(Timestamp { seconds: at.timestamp(), nanos: 0 }),
        indicator: "CopyToUSB".to_owned(),
        object_name: format!("C:\\{CANARY}.docx"),
        destination: format!("E:\\{CANARY}.docx"),
        ..Default::default()
    };
    let record = format!(
        r#"{{"RecordType":63,"Operation":"FileUploadedToCloud","Id":"x","UserId":"{CANARY}@contoso.com","CreationTime":5}}"#
    );
    let request = pb::IngestActivitiesRequest {
        tenant_id: TENANT.to_owned(),
        activities: (0..30).map(activity).collect(),
        raw_records: vec![record, CANARY.to_owned()],
    };
    let counts = ingest.ingest_activities(request).await.unwrap().into_inner().counts.unwrap();
    assert_eq!((counts.accepted, counts.rejected), (30, 2));
    let alert = pb::DlpAlert {
        alert_id: format!("alert-{CANARY}"),
        title: CANARY.to_owned(),
        policy_name: CANARY.to_owned(),
        involved_users: vec![user()],
        ..Default::default()
    };
    let ask = pb::EnrichAlertRequest {
        tenant_id: TENANT.to_owned(),
        alert: Some(alert),
        view: pb::EnrichmentView::Full.into(),
        activity_page_size: 0,
    };
    let mut enrichment = AlertEnrichmentServiceClient::new(channel.clone());
    let answer = enrichment.enrich_alert(ask).await.unwrap().into_inner().alert.unwrap();
    assert!(!answer.actors[0].activities.is_empty(), "the canary is in the answer");
    let erase = pb::DeleteUserRequest { tenant_id: TENANT.to_owned(), user: Some(user()) };
    assert_eq!(ingest.delete_user(erase).await.unwrap().into_inner().erased_users, 1);
}

#[tokio::test]
async fn no_log_line_holds_a_name_an_address_a_file_or_a_token() {
    for format in ["json", "text"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let arguments = ["--log-filter", "trace", "--log-format", format];
        let log = Stdio::from(File::create(&path).unwrap());
        let mut server = Server::start_logging(folder.path(), "127.0.0.1:0", &arguments, &[], log);
        let channel = server.connect().await;
        let calls = call_everything(&channel).await;
        share(&channel, true).await;
        live_through_a_story(&channel).await;
        call_everything(&channel).await;
        share(&channel, false).await;
        call_everything(&channel).await;
        server.kill();
        let log = std::fs::read_to_string(path).unwrap();
        assert!(log.lines().count() > calls && log.contains("serving"), "{} lines", log.lines().count());
        let hex = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let numbers = format!("{:?}", CANARY.as_bytes());
        for form in
            [CANARY, &hex, numbers.trim_matches(['[', ']']), STANDARD.encode(CANARY).trim_end_matches('=')]
        {
            let holds = log.lines().find(|line| line.contains(form));
            assert!(holds.is_none(), "{format}: {holds:?}");
        }
    }
}
