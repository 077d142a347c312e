//! Promise 1 for refusals: one that depends on users passes the gate like an answer.

use crate::tampered::{Services, Tampered, Tampering, anyone};
use riskshare::domain::ids::TenantId;
use riskshare::gate::caller::Caller;
use riskshare::pb;
use riskshare::pb::alert_enrichment_service_server::AlertEnrichmentService;
use riskshare::pb::incident_service_server::IncidentService;
use tonic::Request;

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
