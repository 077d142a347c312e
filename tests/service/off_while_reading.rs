//! Promise 1 for refusals: one that depends on users passes the gate like an answer.

use crate::tampered::{Services, Tampered, Tampering, anyone};
use crate::world::{fields, reason};
use http_body::{Body as _, Frame};
use riskshare::domain::ids::TenantId;
use riskshare::gate::caller::Caller;
use riskshare::grpc::handover::HandOverLayer;
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_server::{AlertEnrichmentService, AlertEnrichmentServiceServer};
use riskshare::pb::incident_service_server::{IncidentService, IncidentServiceServer};
use std::pin::Pin;
use std::sync::Arc;
use tonic::Request;
use tonic::body::Body;
use tonic_prost::ProstEncoder;
use tower::{Layer, Service};

fn named(addresses: &[&str]) -> pb::UserIdentity {
    let smtp_addresses = addresses.iter().map(ToString::to_string).collect();
    pb::UserIdentity { smtp_addresses, ..pb::UserIdentity::default() }
}

fn by<M>(caller: &Caller, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller.clone());
    request
}

#[tokio::test]
async fn a_refusal_that_depends_on_users_does_not_leave_once_sharing_is_off() {
    let tenant = TenantId::new(uuid::Uuid::from_u128(1));
    let store = Tampered::open();
    store.declare(tenant, &["ann@x.com", "bob@x.com"]).await;
    store.tamper(Tampering::OffWhileReading);
    let services = Services::over(&store);
    let (enrichment, incidents) = (services.enrichment(), services.incidents());
    let tenant_id = tenant.to_string();
    let caller = anyone().await;
    for (user, page_token) in [(named(&["ann@x.com", "bob@x.com"]), ""), (named(&["ann@x.com"]), "AAAA")] {
        store.share(tenant, true).await;
        let request = pb::ListUserActivitiesRequest {
            tenant_id: tenant_id.clone(),
            user: Some(user.clone()),
            page_token: page_token.to_owned(),
            ..pb::ListUserActivitiesRequest::default()
        };
        let refusal = enrichment.list_user_activities(by(&caller, request)).await.err().unwrap();
        assert_eq!(refusal.message(), "User data is not available");
        store.share(tenant, true).await;
        let request =
            pb::GetUserRiskRequest { tenant_id: tenant_id.clone(), user: Some(user), activity_page_size: 0 };
        let refusal = incidents.get_user_risk(by(&caller, request)).await.err().unwrap();
        assert_eq!(refusal.message(), "User data is not available");
    }
}

/// The tenant of these tests, with two users, as the transport meets it.
struct Behind {
    store: Arc<Tampered>,
    tenant: TenantId,
    caller: Caller,
}

impl Behind {
    async fn start() -> Self {
        let tenant = TenantId::new(uuid::Uuid::from_u128(1));
        let store = Tampered::open();
        store.declare(tenant, &["ann@x.com", "bob@x.com"]).await;
        store.share(tenant, true).await;
        Self { store, tenant, caller: anyone().await }
    }

    /// Asks for what is refused because both users are known: of the answer's head it returns what the transport
    /// does, and nothing of the body is taken yet.
    async fn refused(&self) -> [http::Response<Body>; 3] {
        let services = Services::over(&self.store);
        let both = Some(named(&["ann@x.com", "bob@x.com"]));
        let timeline = pb::ListUserActivitiesRequest {
            tenant_id: self.tenant.to_string(),
            user: both.clone(),
            ..pb::ListUserActivitiesRequest::default()
        };
        let token = pb::ListUserActivitiesRequest {
            user: Some(named(&["ann@x.com"])),
            page_token: "AAAA".to_owned(),
            ..timeline.clone()
        };
        let risk =
            pb::GetUserRiskRequest { tenant_id: self.tenant.to_string(), user: both, activity_page_size: 0 };
        let enrichment = HandOverLayer.layer(AlertEnrichmentServiceServer::new(services.enrichment()));
        let incidents = HandOverLayer.layer(IncidentServiceServer::new(services.incidents()));
        let timelines = "AlertEnrichmentService/ListUserActivities";
        [
            self.head(enrichment.clone(), timelines, timeline).await,
            self.head(enrichment, timelines, token).await,
            self.head(incidents, "IncidentService/GetUserRisk", risk).await,
        ]
    }

    async fn head<S, M>(&self, mut service: S, method: &str, message: M) -> http::Response<Body>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error: std::fmt::Debug>,
        M: prost::Message + 'static,
    {
        let message = tokio_stream::once(Ok(message));
        let body = tonic::codec::EncodeBody::new_client(ProstEncoder::default(), message, None, None);
        let request = http::Request::post(format!("/riskshare.v1.{method}")).extension(self.caller.clone());
        service.call(request.body(Body::new(body)).unwrap()).await.unwrap()
    }
}

async fn next(body: &mut Body) -> Option<Frame<bytes::Bytes>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.transpose().unwrap()
}

async fn last_words(answer: &mut http::Response<Body>) -> tonic::Status {
    assert_eq!(answer.status(), http::StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    assert!(!answer.headers().contains_key("grpc-status"), "the head tells nothing yet");
    let trailers = next(answer.body_mut()).await.unwrap().into_trailers().unwrap();
    tonic::Status::from_header_map(&trailers).unwrap()
}

#[tokio::test]
async fn a_refusal_that_depends_on_users_leaves_with_a_reason_while_sharing_is_on() {
    let behind = Behind::start().await;
    let mut reasons = Vec::new();
    for mut answer in behind.refused().await {
        let refusal = last_words(&mut answer).await;
        reasons.push((refusal.code(), reason(&refusal), fields(&refusal)));
        assert!(next(answer.body_mut()).await.is_none());
    }
    let expected =
        [("INVALID_FIELD", "user"), ("PAGE_TOKEN_INVALID", "page_token"), ("INVALID_FIELD", "user")];
    let expected = expected
        .map(|(reason, field)| (tonic::Code::InvalidArgument, reason.to_owned(), vec![field.to_owned()]));
    assert_eq!(reasons, expected);
}

#[tokio::test]
async fn off_between_the_last_check_and_the_transport_replaces_a_refusal() {
    let behind = Behind::start().await;
    let answers = behind.refused().await;
    assert!(behind.store.share(behind.tenant, false).await.drained, "nothing is on its way yet");
    for mut answer in answers {
        let refusal = last_words(&mut answer).await;
        assert_eq!(
            (refusal.message(), reason(&refusal).as_str()),
            ("User data is not available", "DATA_SHARING_OFF")
        );
        assert!(fields(&refusal).is_empty());
    }
}

#[tokio::test]
async fn off_waits_for_a_refusal_that_the_transport_is_taking() {
    let behind = Behind::start().await;
    let [mut answer, ..] = behind.refused().await;
    assert_eq!(last_words(&mut answer).await.code(), tonic::Code::InvalidArgument);
    assert!(!behind.store.share(behind.tenant, false).await.drained, "the transport still has it");
    behind.store.share(behind.tenant, true).await;
    drop(answer);
    assert!(behind.store.share(behind.tenant, false).await.drained);
}
