//! Risk alerts that are sent to collectors and files: all of them, in order, whatever happens to the receiver.

use crate::tls::Authority;
use crate::world::*;
use chrono::TimeDelta;
use rcgen::ExtendedKeyUsagePurpose;
use riskshare::delivery::sender::Format;
use riskshare::pb::{AuditOutcome, RiskAlertStatus, Severity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const JOHN: &str = "john@contoso.com";

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Lets risk alerts happen, each in a cycle of its own or in that of the one before.
async fn happen(world: &World, tenant: &str, ids: &[&str]) {
    for id in ids {
        let severity = if id.len() == 1 { Severity::High } else { Severity::Low };
        world.known(tenant).import(id, JOHN, severity, RiskAlertStatus::NeedsReview).await;
        world.clock.set(world.now() + TimeDelta::minutes(61));
    }
}

async fn exporting(world: &World) -> String {
    let tenant = world.silent_tenant().await;
    tenant.export(true).await;
    tenant.id
}

/// A collector that takes frames of known length.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<String>>>);

impl Collector {
    fn messages(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn listen(&self, address: SocketAddr) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, here) = (listener.local_addr().unwrap(), self.clone());
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                here.take(connection).await;
            }
        });
        (address, task)
    }

    async fn listen_with(&self, tls: TlsAcceptor) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, here) = (listener.local_addr().unwrap(), self.clone());
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                if let Ok(connection) = tls.accept(connection).await {
                    here.take(connection).await;
                }
            }
        });
        address
    }

    async fn take(&self, mut connection: impl AsyncRead + Unpin) {
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).await.unwrap();
        let mut rest = std::str::from_utf8(&bytes).unwrap();
        while let Some((length, message)) = rest.split_once(' ') {
            let (message, next) = message.split_at(length.parse().unwrap());
            self.0.lock().unwrap().push(message.to_owned());
            rest = next;
        }
        assert_eq!(rest, "");
    }
}

fn send_to(world: &mut World, url: String) {
    world.reconfigure(|config| config.export.syslog.url = url);
}

#[tokio::test]
async fn a_file_gets_a_line_for_each_change_and_the_audit_log_one_for_each_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let mut world = World::start_with(|config| config.export.file.path.clone_from(&path)).await;
    let id = exporting(&world).await;
    happen(&world, &id, &["a", "b"]).await;
    until("two lines", async || (lines(&path).len() == 2).then_some(())).await;
    world.restart().await;
    happen(&world, &id, &["c"]).await;
    until("three lines", async || (lines(&path).len() == 3).then_some(())).await;
    let findings: Vec<Value> = lines(&path).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for finding in &findings {
        assert_eq!((&finding["class_uid"], &finding["risk_level_id"]), (&2006.into(), &3.into()));
        assert_eq!(
            (&finding["actor"]["user"]["email_addr"], &finding["activity_id"]),
            (&JOHN.into(), &1.into())
        );
        assert_eq!(finding["metadata"]["tenant_uid"], id.as_str());
    }
    let lines: Vec<_> =
        world.written_down(&id).await.into_iter().filter(|one| one.action == "DeliverContent").collect();
    assert!((2..=3).contains(&lines.len()), "one for each blob");
    assert!(
        lines.iter().all(|one| one.principal == "riskshare/file" && one.outcome() == AuditOutcome::Disclosed)
    );
    assert!(lines.iter().all(|one| one.user_numbers.len() == 1));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "it holds clear names");
    }
}

#[tokio::test]
async fn a_tenant_that_does_not_export_is_sent_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.jsonl");
    let world = World::start_with(|config| config.export.file.path.clone_from(&path)).await;
    let (silent, loud) = (world.silent_tenant().await.id, exporting(&world).await);
    happen(&world, &silent, &["a"]).await;
    happen(&world, &loud, &["b"]).await;
    until("a line", async || (!lines(&path).is_empty()).then_some(())).await;
    assert!(lines(&path).iter().all(|line| line.contains(&loud)));
}

#[tokio::test]
async fn a_dead_collector_loses_nothing_and_holds_nothing_else_up() {
    let (folder, collector) = (tempfile::tempdir().unwrap(), Collector::default());
    let path = folder.path().join("alerts.cef");
    let (address, task) = collector.listen("127.0.0.1:0".parse().unwrap()).await;
    let mut world = World::start_with(|config| {
        config.export.file.path.clone_from(&path);
        config.export.file.format = Format::Cef;
        config.export.syslog.url = format!("tcp://{address}");
        "127.0.0.1:0".clone_into(&mut config.metrics.listen);
    })
    .await;
    let id = exporting(&world).await;
    happen(&world, &id, &["a"]).await;
    until("a message", async || (collector.messages().len() == 1).then_some(())).await;
    task.abort();
    let _ = task.await;
    happen(&world, &id, &["b", "c", "dd"]).await;
    until("four lines", async || (lines(&path).len() == 4).then_some(())).await;
    assert_eq!(collector.messages().len(), 1);
    until("a metric that says so", async || {
        let text =
            reqwest::get(format!("http://{}/metrics", world.metrics())).await.unwrap().text().await.unwrap();
        let told = ["riskshare_export_failures_total", "riskshare_export_backlog_records"];
        told.iter()
            .all(|name| text.contains(&format!("{name}{{receiver=\"riskshare/syslog\"}}")))
            .then_some(())
    })
    .await;
    // Over a restart too.
    world.restart().await;
    let (_, _task) = collector.listen(address).await;
    until("all messages", async || (collector.messages().len() >= 4).then_some(())).await;
    let messages = collector.messages();
    for (message, line) in messages.iter().zip(lines(&path)) {
        let (head, text) = message.split_at(message.find("CEF:").unwrap());
        assert_eq!(text, line);
        let priority = if text.contains("cs4=High") { "<106>1 " } else { "<109>1 " };
        assert!(head.starts_with(priority) && head.ends_with(" - riskshare - AlertTriggered - "), "{head}");
    }
    send_to(&mut world, String::new());
}

#[tokio::test]
async fn a_collector_over_tls_proves_who_it_is() {
    let (folder, collector) = (tempfile::tempdir().unwrap(), Collector::default());
    let authority = Authority::new("collectors");
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
    let address = collector.listen_with(TlsAcceptor::from(Arc::new(config))).await;
    let (ours, others) = (folder.path().join("ca.pem"), folder.path().join("other.pem"));
    std::fs::write(&ours, authority.pem()).unwrap();
    std::fs::write(&others, Authority::new("others").pem()).unwrap();
    let path = folder.path().join("alerts.jsonl");
    let mut world = World::start_with(|config| {
        config.export.syslog.url = format!("tls://localhost:{}", address.port());
        config.export.syslog.ca = others;
        config.export.syslog.format = Format::Record;
        config.export.file.path.clone_from(&path);
    })
    .await;
    let id = exporting(&world).await;
    happen(&world, &id, &["a"]).await;
    until("a line", async || (lines(&path).len() == 1).then_some(())).await;
    assert_eq!(collector.messages(), [""; 0], "it is not believed");
    world.reconfigure(|config| config.export.syslog.ca = ours);
    world.restart().await;
    until("a message", async || (collector.messages().len() == 1).then_some(())).await;
    assert!(collector.messages()[0].contains("\"RecordType\":40"));
}
