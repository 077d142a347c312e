//! Who is refused is written down in their own tenant's log, never in that of the tenant that they asked for.

use riskshare::clock::ManualClock;
use riskshare::domain::audit::{AuditEvent, AuditOutcome, AuditQuery, SERVER_CHAIN};
use riskshare::domain::ids::TenantId;
use riskshare::gate::admission::Gate;
use riskshare::gate::caller::{Caller, Tenants};
use riskshare::gate::rights::Role;
use riskshare::grpc::enrichment::Enrichment;
use riskshare::grpc::page::PageTokens;
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_server::AlertEnrichmentService;
use riskshare::store::Store;
use riskshare::store::embedded::EmbeddedStore;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::{Request, Status};
use tonic_types::StatusExt;

struct Desk {
    store: Arc<dyn Store>,
    enrichment: Enrichment,
    _folder: tempfile::TempDir,
}

fn tenant(number: u128) -> TenantId {
    TenantId::new(uuid::Uuid::from_u128(number))
}

#[expect(clippy::disallowed_methods, reason = "the test is the authentication")]
fn caller(role: Role, tenants: &[u128]) -> Caller {
    let tenants: BTreeSet<TenantId> = tenants.iter().copied().map(tenant).collect();
    Caller::authenticated("svc-7".to_owned(), [role].into(), Tenants::These(tenants), None)
}

impl Desk {
    fn new() -> Self {
        Self::bounded(0)
    }

    /// Returns a desk that writes so many refusals of a principal down a minute.
    fn bounded(denials: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(folder.path()).unwrap());
        let clock = Arc::new(ManualClock::at("2026-11-24T12:00:00Z".parse().unwrap()));
        let tokens = Arc::new(PageTokens::new([7; 32]));
        let gate = Gate::new(Arc::clone(&store), clock).with_denials_a_minute(denials);
        let enrichment = Enrichment { gate, tokens, shelf: Arc::default() };
        Self { store, enrichment, _folder: folder }
    }

    async fn ask(&self, caller: &Caller, number: u128) -> Result<(), Status> {
        let mut request = Request::new(pb::EnrichAlertRequest {
            tenant_id: tenant(number).to_string(),
            alert: Some(crate::world::alert("alert-1", vec![crate::world::upn("john@contoso.com")])),
            ..Default::default()
        });
        request.extensions_mut().insert(caller.clone());
        self.enrichment.enrich_alert(request).await.map(drop)
    }

    async fn lines(&self, tenant: TenantId) -> Vec<AuditEvent> {
        let page = self.store.audit_page(tenant, AuditQuery::default(), None, 100).await.unwrap();
        page.lines.into_iter().map(|line| line.event).collect()
    }
}

#[tokio::test]
async fn a_role_that_does_not_allow_a_call_is_written_down_in_the_callers_own_log() {
    let desk = Desk::new();
    desk.ask(&caller(Role::DlpAlertReader, &[2, 1]), 2).await.unwrap();
    assert_eq!(desk.lines(tenant(2)).await[0].outcome, AuditOutcome::SharingOff);
    let refusal = desk.ask(&caller(Role::Ingestor, &[2, 1]), 2).await.unwrap_err();
    assert_eq!(crate::world::reason(&refusal), "PERMISSION_MISSING");
    let lines = desk.lines(tenant(1)).await;
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].outcome, lines[0].action.as_str()),
        (AuditOutcome::PermissionMissing, "EnrichAlert")
    );
    assert_eq!(lines[0].principal, "svc-7");
    assert_eq!(desk.lines(tenant(2)).await.len(), 1);
}

#[tokio::test]
async fn a_tenant_of_somebody_else_is_written_down_in_the_callers_own_log_and_not_in_theirs() {
    let desk = Desk::new();
    let (ours, theirs) = (caller(Role::DlpAlertReader, &[1]), caller(Role::DlpAlertReader, &[2]));
    desk.ask(&theirs, 2).await.unwrap();
    for asked in [2, 3] {
        let refusal = desk.ask(&ours, asked).await.unwrap_err();
        assert_eq!(crate::world::reason(&refusal), "TENANT_MISMATCH");
    }
    let lines = desk.lines(tenant(1)).await;
    let told: Vec<_> = lines.iter().map(|line| (line.outcome, line.asked)).collect();
    let mismatch = AuditOutcome::TenantMismatch;
    assert_eq!(told, [(mismatch, Some(tenant(2))), (mismatch, Some(tenant(3)))]);
    assert_eq!((desk.lines(tenant(2)).await.len(), desk.lines(tenant(3)).await.len()), (1, 0));
}

#[tokio::test]
async fn a_caller_without_any_tenant_is_written_down_in_the_servers_log() {
    let desk = Desk::new();
    desk.ask(&caller(Role::DlpAlertReader, &[]), 2).await.unwrap_err();
    let lines = desk.lines(SERVER_CHAIN).await;
    assert_eq!((lines.len(), lines[0].asked), (1, Some(tenant(2))));
    assert!(!desk.store.knows(tenant(2)).await.unwrap());
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test is the authentication")]
async fn whoever_goes_on_asking_for_what_it_may_not_have_is_not_told_and_written_down_for_ever() {
    const DENIALS: usize = 3;
    let desk = Desk::bounded(3);
    let reader = caller(Role::DlpAlertReader, &[1]);
    desk.ask(&caller(Role::DlpAlertReader, &[2]), 2).await.unwrap();
    let mut told = Vec::new();
    for asked in [2, 3].into_iter().cycle().take(40) {
        told.push(desk.ask(&reader, asked).await.unwrap_err());
    }
    let reasons: Vec<_> = told.iter().map(crate::world::reason).collect();
    let last = told.last().unwrap();
    let wait = last.get_details_retry_info().and_then(|info| info.retry_delay);
    let denied = reasons.iter().filter(|reason| *reason == "TENANT_MISMATCH").count();
    assert_eq!(reasons.iter().filter(|reason| *reason == "RATE_LIMITED").count(), 40 - denied);
    assert!((DENIALS..40).contains(&denied), "so many at once, and one more each 20 s: {reasons:?}");
    assert!(wait.is_some_and(|wait| !wait.is_zero()), "{last:?}");
    assert_eq!(desk.lines(tenant(1)).await.len(), denied, "every answer that says why has its line");
    desk.ask(&reader, 1).await.unwrap();
    let other = Caller::authenticated(
        "svc-8".to_owned(),
        [Role::Ingestor].into(),
        Tenants::These([tenant(1)].into()),
        None,
    );
    let refusal = desk.ask(&other, 1).await.unwrap_err();
    assert_eq!(crate::world::reason(&refusal), "PERMISSION_MISSING", "another principal has its own rate");
}
