//! `AlertEnrichmentService`: the queue's column, the actors of an alert, and a user's timeline.

use crate::domain::dlp_alert::DlpAlert;
use crate::domain::ids::TenantId;
use crate::domain::indicator::{Indicator, NAME_BYTES_MAX};
use crate::domain::user::Identity;
use crate::engine::reading::{Engine, TimelineQuery};
use crate::gate::admission::{Gate, Refusal, SharingGrant};
use crate::grpc::page;
use crate::grpc::page::PageTokens;
use crate::grpc::parse;
use crate::grpc::parse::Fields;
use crate::grpc::render;
use crate::grpc::render::{Renderer, View};
use crate::grpc::reply::Reply;
use crate::grpc::status;
use crate::grpc::status::Invalid;
use crate::pb;
use crate::pb::alert_enrichment_service_server::AlertEnrichmentService;
use crate::pb::enrich_alert_result::Result as Of;
use crate::pb::{ActivityOrder, EnrichmentView, ErrorReason};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The activities of an actor when the caller does not say how many.
pub const ACTIVITIES_DEFAULT: usize = 50;
/// The most activities of an actor.
pub const ACTIVITIES_MAX: usize = 200;
/// The most activities that a page of alerts can ask for: involved users times activities of each.
const PAGE_ACTIVITIES_MAX: usize = 50_000;
const TIMELINE_DEFAULT: usize = 100;
const TIMELINE_MAX: usize = 1_000;
const INDICATORS_MAX: usize = 100;

/// Answers a DLP alert queue.
pub struct Enrichment {
    /// Decides before anything is looked up.
    pub gate: Gate,
    /// Knows the answers.
    pub engine: Arc<Engine>,
    /// Makes page tokens.
    pub tokens: Arc<PageTokens>,
}

#[tonic::async_trait]
impl AlertEnrichmentService for Enrichment {
    async fn enrich_alert(
        &self,
        request: Request<pb::EnrichAlertRequest>,
    ) -> Result<Response<Reply<pb::EnrichAlertResponse>>, Status> {
        let (tenant, alert, view) = one_alert(&request.into_inner())?;
        match self.enrich(tenant, &alert, view).await {
            Err(Refusal::SharingOff(off)) => {
                Ok(Reply::<pb::EnrichAlertResponse>::not_available(off, alert.id))
            }
            answer => answer.map_err(status::refused),
        }
    }

    async fn batch_enrich_alerts(
        &self,
        request: Request<pb::BatchEnrichAlertsRequest>,
    ) -> Result<Response<Reply<pb::BatchEnrichAlertsResponse>>, Status> {
        let (tenant, alerts, view) = alert_page(&request.into_inner())?;
        match self.enrich_page(tenant, &alerts, view).await {
            Err(Refusal::SharingOff(off)) => {
                let ids =
                    alerts.into_iter().map(|one| one.map(|alert| alert.id).map_err(Invalid::into_refusal));
                Ok(Reply::<pb::BatchEnrichAlertsResponse>::not_available(off, ids.collect()))
            }
            answer => answer.map_err(status::refused),
        }
    }

    async fn list_user_activities(
        &self,
        request: Request<pb::ListUserActivitiesRequest>,
    ) -> Result<Response<Reply<pb::ListUserActivitiesResponse>>, Status> {
        let asked = Timeline::parse(&request.into_inner())?;
        let grant = self.gate.admit(asked.tenant).await.map_err(status::refused)?;
        let outcome = self.list(&grant, &asked).await;
        Reply::disclose_outcome(grant, outcome)
    }
}

impl Enrichment {
    async fn enrich(
        &self,
        tenant: TenantId,
        alert: &DlpAlert,
        view: View,
    ) -> Result<Response<Reply<pb::EnrichAlertResponse>>, Refusal> {
        let grant = self.gate.admit(tenant).await?;
        let reading = self.engine.read(&grant, &alert.involved).await?;
        let alert = self.renderer(&grant, &reading, view).alert(alert, 0);
        drop(reading);
        Ok(Reply::disclose(grant, pb::EnrichAlertResponse { alert: Some(alert) })?)
    }

    async fn enrich_page(
        &self,
        tenant: TenantId,
        alerts: &[Result<DlpAlert, Invalid>],
        view: View,
    ) -> Result<Response<Reply<pb::BatchEnrichAlertsResponse>>, Refusal> {
        let grant = self.gate.admit(tenant).await?;
        let people: Vec<Identity> =
            alerts.iter().flatten().flat_map(|alert| alert.involved.iter().cloned()).collect();
        let reading = self.engine.read(&grant, &people).await?;
        let renderer = self.renderer(&grant, &reading, view);
        let mut at = 0;
        let mut results = Vec::with_capacity(alerts.len());
        for alert in alerts {
            let result = match alert {
                Ok(alert) => Of::Alert(renderer.alert(alert, at)),
                Err(invalid) => Of::Refusal(invalid.clone().into_refusal()),
            };
            at += alert.as_ref().map_or(0, |alert| alert.involved.len());
            results.push(pb::EnrichAlertResult { result: Some(result) });
        }
        drop(reading);
        Ok(Reply::disclose(grant, pb::BatchEnrichAlertsResponse { results })?)
    }

    async fn list(
        &self,
        grant: &SharingGrant,
        asked: &Timeline,
    ) -> Result<pb::ListUserActivitiesResponse, Status> {
        let people = std::slice::from_ref(&asked.user);
        let reading = self.engine.read(grant, people).await.map_err(|cause| status::unavailable(&cause))?;
        let involved = reading.person(&asked.user, 0);
        if involved.ambiguous {
            return Err(names_two_people().into());
        }
        let renderer = self.renderer(grant, &reading, View::Severity);
        let after = match (asked.page_token.as_str(), renderer.bound(&involved, &asked.query)) {
            ("", _) => None,
            (token, Some(bound)) => Some(self.tokens.open(bound, token)?),
            (_, None) => return Err(page::refusal().into()),
        };
        let (activities, next_page_token) =
            renderer.page(&involved, &asked.query, after.as_ref(), asked.size);
        let window = Some(render::window(reading.window(&asked.query)));
        Ok(pb::ListUserActivitiesResponse { activities, next_page_token, window })
    }

    fn renderer<'a>(
        &'a self,
        grant: &'a SharingGrant,
        reading: &'a crate::engine::reading::Reading<'a>,
        view: View,
    ) -> Renderer<'a> {
        Renderer { grant, reading, tokens: &self.tokens, view }
    }
}

/// The refusal of a user whose keys point at several known people.
#[must_use]
pub fn names_two_people() -> Invalid {
    Invalid::one(ErrorReason::InvalidField, "user", "has keys of two or more people; name one of them")
}

fn one_alert(request: &pb::EnrichAlertRequest) -> Result<(TenantId, DlpAlert, View), Invalid> {
    let mut fields = Fields::default();
    let tenant = fields.tenant(&request.tenant_id);
    let view = view(&mut fields, request.view, request.activity_page_size, EnrichmentView::Summary);
    let alert = fields.part(parse::dlp_alert(format_args!("alert"), request.alert.as_ref()));
    fields.finish(tenant.zip(alert).map(|(tenant, alert)| (tenant, alert, view)))
}

type AlertPage = (TenantId, Vec<Result<DlpAlert, Invalid>>, View);

fn alert_page(request: &pb::BatchEnrichAlertsRequest) -> Result<AlertPage, Invalid> {
    let mut fields = Fields::default();
    let tenant = fields.tenant(&request.tenant_id);
    let view = view(&mut fields, request.view, request.activity_page_size, EnrichmentView::Severity);
    let alerts = fields.part(parse::alert_page(&request.alerts));
    let (tenant, alerts) = fields.finish(tenant.zip(alerts))?;
    let involved: usize = alerts.iter().flatten().map(|alert| alert.involved.len()).sum();
    match view {
        View::Full(size) if size * involved > PAGE_ACTIVITIES_MAX => {
            let bound = "times the involved users must be at most 50000; ask for fewer activities or alerts";
            Err(Invalid::one(ErrorReason::BatchTooLarge, "activity_page_size", bound))
        }
        _ => Ok((tenant, alerts, view)),
    }
}

fn view(fields: &mut Fields, view: i32, size: i32, unset: EnrichmentView) -> View {
    let size = fields.size(format_args!("activity_page_size"), size, ACTIVITIES_DEFAULT, ACTIVITIES_MAX);
    let view = match fields.known(format_args!("view"), view) {
        Some(EnrichmentView::Unspecified) | None => unset,
        Some(view) => view,
    };
    match view {
        EnrichmentView::Unspecified | EnrichmentView::Severity => View::Severity,
        EnrichmentView::Summary => View::Summary,
        EnrichmentView::Full => View::Full(size),
    }
}

/// What `ListUserActivities` asks for.
struct Timeline {
    tenant: TenantId,
    user: Identity,
    query: TimelineQuery,
    size: usize,
    page_token: String,
}

impl Timeline {
    fn parse(request: &pb::ListUserActivitiesRequest) -> Result<Self, Invalid> {
        let mut fields = Fields::default();
        let tenant = fields.tenant(&request.tenant_id);
        let user = fields.person(format_args!("user"), request.user.as_ref());
        let query = query(&mut fields, request);
        let size = request.page_size.min(TIMELINE_MAX.try_into().unwrap_or(i32::MAX));
        let size = fields.size(format_args!("page_size"), size, TIMELINE_DEFAULT, TIMELINE_MAX);
        let page_token = request.page_token.clone();
        fields.finish(tenant.zip(user).map(|(tenant, user)| Self { tenant, user, query, size, page_token }))
    }
}

fn query(fields: &mut Fields, request: &pb::ListUserActivitiesRequest) -> TimelineQuery {
    let window = request.window.clone().unwrap_or_default();
    let first = fields.day(format_args!("window.start_day"), &window.start_day);
    let last = fields.day(format_args!("window.end_day"), &window.end_day);
    let in_order = first.zip(last).is_none_or(|(first, last)| first <= last);
    fields.demand(in_order, format_args!("window.start_day"), "must not be after end_day");
    let names = &request.indicators;
    fields.demand(names.len() <= INDICATORS_MAX, format_args!("indicators"), "must be at most 100");
    for (i, name) in names.iter().take(INDICATORS_MAX).enumerate() {
        fields.text(format_args!("indicators[{i}]"), name, NAME_BYTES_MAX);
    }
    let order = fields.known(format_args!("order"), request.order);
    TimelineQuery {
        first,
        last,
        indicators: names.iter().map(|name| Indicator::named(name)).collect(),
        oldest_first: order == Some(ActivityOrder::OldestFirst),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::facts::{Batch, Declaration, Fact, Outcome};
    use crate::domain::settings::Settings;
    use crate::domain::time::UtcDay;
    use crate::domain::user::IdentityKey;
    use crate::grpc::incidents::Incidents;
    use crate::pb::incident_service_server::IncidentService;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::{ChangedSettings, Hold, Snapshot, Store, StoreError, VersionedSettings};

    /// A store in which somebody turns sharing off while users are being read.
    struct TurnedOff(EmbeddedStore);

    #[tonic::async_trait]
    impl Store for TurnedOff {
        async fn hold(&self, tenant: TenantId) -> Result<Hold, StoreError> {
            self.0.hold(tenant).await
        }

        async fn read(&self, hold: &Hold, people: &[Identity]) -> Result<Snapshot, StoreError> {
            let found = self.0.read(hold, people).await;
            let version = self.0.settings(hold.tenant()).await?.version;
            self.0.change_settings(hold.tenant(), version, Settings::default()).await?;
            found
        }

        async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
            self.0.commit(batch).await
        }

        async fn settings(&self, tenant: TenantId) -> Result<VersionedSettings, StoreError> {
            self.0.settings(tenant).await
        }

        async fn change_settings(
            &self,
            tenant: TenantId,
            expected: u64,
            settings: Settings,
        ) -> Result<ChangedSettings, StoreError> {
            self.0.change_settings(tenant, expected, settings).await
        }

        async fn expire(&self, today: UtcDay) -> Result<u64, StoreError> {
            self.0.expire(today).await
        }

        async fn token_key(&self) -> Result<[u8; 32], StoreError> {
            self.0.token_key().await
        }
    }

    fn declared(address: &str) -> Fact {
        let identity = Identity::default().with(IdentityKey::address(address).unwrap());
        Fact::User(Declaration {
            identity,
            guest: false,
            potential_high_impact: false,
            confirmed_violation_before: false,
        })
    }

    fn named(addresses: &[&str]) -> pb::UserIdentity {
        let smtp_addresses = addresses.iter().map(ToString::to_string).collect();
        pb::UserIdentity { smtp_addresses, ..pb::UserIdentity::default() }
    }

    #[tokio::test]
    async fn a_refusal_that_depends_on_users_does_not_leave_once_sharing_is_off() {
        let here = tempfile::tempdir().unwrap();
        let now = "2026-05-01T12:00:00Z".parse().unwrap();
        let tenant = TenantId::new(uuid::Uuid::from_u128(1));
        let store: Arc<dyn Store> = Arc::new(TurnedOff(EmbeddedStore::open(here.path()).unwrap()));
        let facts = vec![declared("ann@x.com"), declared("bob@x.com")];
        store.commit(Batch { tenant, at: now, facts }).await.unwrap();
        let gate = Gate::new(Arc::clone(&store), Arc::new(ManualClock::at(now)));
        let engine = Arc::new(Engine::new(Arc::clone(&store)));
        let tokens = Arc::new(PageTokens::new([7; 32]));
        let incidents =
            Incidents { gate: gate.clone(), engine: Arc::clone(&engine), tokens: Arc::clone(&tokens) };
        let enrichment = Enrichment { gate, engine, tokens };
        let share = async || {
            let sharing = Settings { data_sharing: true, ..Settings::default() };
            let version = store.settings(tenant).await.unwrap().version;
            store.change_settings(tenant, version, sharing).await.unwrap();
        };
        let tenant_id = tenant.to_string();
        for (user, page_token) in [(named(&["ann@x.com", "bob@x.com"]), ""), (named(&["ann@x.com"]), "AAAA")]
        {
            share().await;
            let request = pb::ListUserActivitiesRequest {
                tenant_id: tenant_id.clone(),
                user: Some(user.clone()),
                page_token: page_token.to_owned(),
                ..pb::ListUserActivitiesRequest::default()
            };
            let refusal = enrichment.list_user_activities(Request::new(request)).await.err().unwrap();
            assert_eq!(refusal.message(), "User data is not available");
            share().await;
            let request = pb::GetUserRiskRequest {
                tenant_id: tenant_id.clone(),
                user: Some(user),
                activity_page_size: 0,
            };
            let refusal = incidents.get_user_risk(Request::new(request)).await.err().unwrap();
            assert_eq!(refusal.message(), "User data is not available");
        }
    }
}
