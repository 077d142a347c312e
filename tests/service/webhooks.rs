//! Webhooks of the Management Activity API: proved before they are told, told of what is new, and left in peace when
//! they fail.

use crate::management_api::Connector;
use crate::tls::Authority;
use crate::world::*;
use chrono::TimeDelta;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::ExtendedKeyUsagePurpose;
use riskshare::pb::{RiskAlertStatus, Severity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const START: &str = "subscriptions/start?contentType=Audit.General";
const NOTIFICATIONS: &str = "subscriptions/notifications?contentType=Audit.General";

/// What the receiver was sent, and what it answers.
struct Desk {
    status: u16,
    came: Vec<(Option<String>, Option<String>, Value)>,
}

/// A receiver over HTTPS on loopback.
struct Receiver {
    address: String,
    desk: Arc<Mutex<Desk>>,
    folder: TempDir,
}

impl Receiver {
    async fn start() -> Self {
        let authority = Authority::new("webhooks");
        let signed = authority.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth);
        let chain = vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
        let desk = Arc::new(Mutex::new(Desk { status: 200, came: Vec::new() }));
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&desk)));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { address, desk, folder }
    }

    fn answer(&self, status: u16) {
        self.desk.lock().unwrap().status = status;
    }

    fn came(&self) -> Vec<(Option<String>, Option<String>, Value)> {
        self.desk.lock().unwrap().came.clone()
    }

    async fn world(&self) -> World {
        let ca = self.folder.path().join("ca.pem");
        World::start_with(|config| {
            let api = &mut config.management_api;
            "127.0.0.1:0".clone_into(&mut api.listen);
            "https://siem.contoso.com/feed/".clone_into(&mut api.public_url);
            "localhost".clone_into(&mut api.webhook_hosts);
            api.webhook_ca = ca;
        })
        .await
    }

    fn asked(&self, expiration: &str) -> String {
        json!({"webhook": {"address": self.address, "authId": "o365", "expiration": expiration}}).to_string()
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, desk: Arc<Mutex<Desk>>) {
    while let Ok((connection, _)) = listener.accept().await {
        let (tls, desk) = (tls.clone(), Arc::clone(&desk));
        tokio::spawn(async move {
            let Ok(connection) = tls.accept(connection).await else { return };
            let answer = service_fn(move |request| answer(Arc::clone(&desk), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), answer).await;
        });
    }
}

async fn answer(desk: Arc<Mutex<Desk>>, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (auth_id, code) = (header("Webhook-AuthID"), header("Webhook-ValidationCode"));
    let body = axum::body::to_bytes(axum::body::Body::new(request.into_body()), 1 << 20).await.unwrap();
    let mut desk = desk.lock().unwrap();
    desk.came.push((auth_id, code, serde_json::from_slice(&body).unwrap()));
    Ok(Response::builder().status(desk.status).body(String::new()).unwrap())
}

#[tokio::test]
async fn a_webhook_proves_itself_and_is_told_where_new_content_is() {
    let receiver = Receiver::start().await;
    let world = receiver.world().await;
    let tenant = world.silent_tenant().await;
    tenant.export(true).await;
    let siem = Connector::of(&world, &tenant.id);
    // Content of before is not told.
    siem.start().await;
    tenant.import("before", "john@contoso.com", Severity::Low, RiskAlertStatus::NeedsReview).await;
    world.clock.set(world.now() + TimeDelta::minutes(61));
    until("content", async || Some(siem.content().await).filter(|content| !content.is_empty())).await;

    receiver.answer(500);
    assert_eq!(siem.post(START, &receiver.asked("")).await.code(), "AF20021");
    receiver.answer(200);
    let started = siem.post(START, &receiver.asked("2026-12-01T00:00:00Z")).await.body;
    let webhook = json!({
        "status": "enabled", "address": receiver.address, "authId": "o365", "expiration": "2026-12-01T00:00:00.000Z",
    });
    assert_eq!(started, json!({"contentType": "Audit.General", "status": "enabled", "webhook": webhook}));
    let (auth_id, code, body) = receiver.came().pop().unwrap();
    assert_eq!((auth_id.as_deref(), &body), (Some("o365"), &json!({"validationCode": code.unwrap()})));

    tenant.import("new", "john@contoso.com", Severity::High, RiskAlertStatus::NeedsReview).await;
    world.clock.set(world.now() + TimeDelta::minutes(61));
    let told = until("a notification", async || {
        receiver
            .came()
            .into_iter()
            .find(|(_, code, _)| code.is_none())
            .map(|(auth_id, _, body)| (auth_id, body))
    });
    let (auth_id, body) = told.await;
    assert_eq!(auth_id.as_deref(), Some("o365"));
    let item = siem.content().await.pop().unwrap();
    let mut expected = item.clone();
    expected["tenantId"] = json!(tenant.id);
    expected["clientId"] = json!("local");
    assert_eq!(body, json!([expected]));
    let uri = item["contentUri"].as_str().unwrap();
    assert!(
        uri.starts_with(&format!(
            "https://siem.contoso.com/feed/api/v1.0/{}/activity/feed/audit/",
            tenant.id
        ))
    );
    assert!(!body.to_string().contains("john"));
    let listed = until("a notification that is listed", async || {
        Some(siem.get(NOTIFICATIONS).await.body).filter(|list| list != &json!([]))
    });
    let listed = listed.await;
    assert_eq!((&listed[0]["notificationStatus"], listed.as_array().unwrap().len()), (&json!("success"), 1));
    // Started without one, it has none any more.
    assert_eq!(siem.start().await["webhook"], Value::Null);
}

#[tokio::test]
async fn a_webhook_that_fails_is_tried_again_later_and_one_that_is_past_its_end_never() {
    let receiver = Receiver::start().await;
    let world = receiver.world().await;
    let tenant = world.silent_tenant().await;
    tenant.export(true).await;
    let siem = Connector::of(&world, &tenant.id);
    siem.post(START, &receiver.asked("2026-11-24T20:00")).await;
    receiver.answer(503);
    tenant.import("a", "john@contoso.com", Severity::High, RiskAlertStatus::NeedsReview).await;
    world.clock.set(world.now() + TimeDelta::minutes(61));
    let failed = until("a failed notification", async || {
        Some(siem.get(NOTIFICATIONS).await.body).filter(|list| list != &json!([]))
    });
    assert_eq!(failed.await[0]["notificationStatus"], "failed");
    let tried = receiver.came().len();
    receiver.answer(200);
    world.clock.set(world.now() + TimeDelta::seconds(61));
    until("another try", async || (receiver.came().len() > tried).then_some(())).await;
    until("success", async || {
        let list = siem.get(NOTIFICATIONS).await.body;
        (list[0]["notificationStatus"] == "success" && list.as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    world.clock.set(at("2026-11-24T20:00:00Z"));
    assert_eq!(siem.get("subscriptions/list").await.body[0]["webhook"]["status"], "expired");
    let told = receiver.came().len();
    tenant.import("b", "john@contoso.com", Severity::High, RiskAlertStatus::NeedsReview).await;
    world.clock.set(at("2026-11-24T21:01:00Z"));
    until("content", async || Some(siem.content().await).filter(|content| content.len() == 2)).await;
    siem.post(START, &receiver.asked("")).await;
    assert_eq!(receiver.came().len(), told + 1, "only the new proof came");
}
