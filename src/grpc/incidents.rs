//! `IncidentService`: what Defender incident pages show about the users of an incident.

use crate::domain::dlp_alert::{DlpAlert, involved};
use crate::domain::user::Identity;
use crate::engine::reading::Reading;
use crate::gate::admission::{Gate, Refusal};
use crate::gate::audit::About;
use crate::gate::caller::Access;
use crate::gate::rights::Right;
use crate::grpc::auth;
use crate::grpc::enrichment::{ACTIVITIES_DEFAULT, ACTIVITIES_MAX, names_two_people};
use crate::grpc::page::PageTokens;
use crate::grpc::parse;
use crate::grpc::parse::{ALERT_ID_BYTES_MAX, Fields};
use crate::grpc::render;
use crate::grpc::render::{Renderer, View};
use crate::grpc::reply::Reply;
use crate::grpc::status;
use crate::grpc::status::Invalid;
use crate::pb;
use crate::pb::incident_service_server::IncidentService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Feeds incident pages.
pub struct Incidents {
    /// Decides before anything is looked up.
    pub gate: Gate,
    /// Makes page tokens.
    pub tokens: Arc<PageTokens>,
}

#[tonic::async_trait]
impl IncidentService for Incidents {
    async fn get_impacted_assets(
        &self,
        request: Request<pb::GetImpactedAssetsRequest>,
    ) -> Result<Response<Reply<pb::GetImpactedAssetsResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::GetImpactedAssets).await?;
        let alerts = incident(&request.incident_id, &request.alerts)?;
        self.assets(access, request.incident_id, &alerts).await.map_err(status::refused)
    }

    async fn list_impacted_entities(
        &self,
        request: Request<pb::ListImpactedEntitiesRequest>,
    ) -> Result<Response<Reply<pb::ListImpactedEntitiesResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::ListImpactedEntities).await?;
        let alerts = incident(&request.incident_id, &request.alerts)?;
        self.entities(access, request.incident_id, &alerts).await.map_err(status::refused)
    }

    async fn get_user_risk(
        &self,
        request: Request<pb::GetUserRiskRequest>,
    ) -> Result<Response<Reply<pb::GetUserRiskResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::GetUserRisk).await?;
        let (user, size) = one_user(&request)?;
        self.user_risk(access, &user, size).await.map_err(status::refused)
    }
}

impl Incidents {
    async fn assets(
        &self,
        access: Access,
        incident_id: String,
        alerts: &[DlpAlert],
    ) -> Result<Response<Reply<pb::GetImpactedAssetsResponse>>, Refusal> {
        let people = involved(alerts);
        let mut grant = self.gate.admit_to_read(access, about(&incident_id, alerts), &people).await?;
        let reading = Reading::open(&mut grant, &people).await?;
        let written = reading.grant().write_down().await?;
        let queue = reading.queue(&people, 0);
        let renderer = Renderer { reading: &reading, tokens: &self.tokens, view: View::Severity };
        let answer = pb::GetImpactedAssetsResponse {
            incident_id,
            assets: renderer.impacted(&queue),
            as_of: Some(render::timestamp(reading.as_of())),
            valid_until: Some(render::timestamp(queue.valid_until)),
        };
        Reply::disclose(written, answer).await
    }

    async fn entities(
        &self,
        access: Access,
        incident_id: String,
        alerts: &[DlpAlert],
    ) -> Result<Response<Reply<pb::ListImpactedEntitiesResponse>>, Refusal> {
        let people = involved(alerts);
        let mut grant = self.gate.admit_to_read(access, about(&incident_id, alerts), &people).await?;
        let alert_of: Vec<usize> =
            alerts.iter().enumerate().flat_map(|(i, alert)| alert.involved.iter().map(move |_| i)).collect();
        let reading = Reading::open(&mut grant, &people).await?;
        let written = reading.grant().write_down().await?;
        let mut involved = reading.queue(&people, 0).involved;
        involved.sort_by(|a, b| a.identity.canonical().cmp(&b.identity.canonical()));
        let renderer = Renderer { reading: &reading, tokens: &self.tokens, view: View::Severity };
        let entities = involved.iter().map(|one| {
            let mut matched: Vec<usize> = one.mentions.iter().map(|mention| alert_of[*mention]).collect();
            matched.sort_unstable();
            matched.dedup();
            pb::ImpactedEntity {
                user: Some(renderer.identity(&one.identity)),
                alert_ids: matched.into_iter().map(|alert| alerts[alert].id.as_ref().to_owned()).collect(),
            }
        });
        let answer = pb::ListImpactedEntitiesResponse { incident_id, entities: entities.collect() };
        Reply::disclose(written, answer).await
    }

    async fn user_risk(
        &self,
        access: Access,
        user: &Identity,
        size: usize,
    ) -> Result<Response<Reply<pb::GetUserRiskResponse>>, Refusal> {
        let people = &[user];
        let mut grant = self.gate.admit_to_read(access, About::default(), people).await?;
        let reading = Reading::open(&mut grant, people).await?;
        let involved = reading.person(user, 0);
        if involved.ambiguous {
            return Reply::withhold(reading.grant(), names_two_people().into()).await;
        }
        let written = reading.grant().write_down().await?;
        let renderer = Renderer { reading: &reading, tokens: &self.tokens, view: View::Full(size) };
        let answer = pb::GetUserRiskResponse {
            actor: Some(renderer.actor(&involved)),
            as_of: Some(render::timestamp(reading.as_of())),
            valid_until: Some(render::timestamp(involved.assessment.valid_until)),
            window: Some(render::window(reading.lookback())),
        };
        Reply::disclose(written, answer).await
    }
}

fn about(incident: &str, alerts: &[DlpAlert]) -> About {
    About::alerts(alerts.iter().map(|alert| &alert.id)).of_incident(incident)
}

fn incident(id: &str, alerts: &[pb::DlpAlert]) -> Result<Vec<DlpAlert>, Invalid> {
    let mut fields = Fields::default();
    fields.length(format_args!("incident_id"), id, ALERT_ID_BYTES_MAX);
    let alerts = fields.part(parse::incident_alerts(alerts));
    fields.finish(alerts)
}

fn one_user(request: &pb::GetUserRiskRequest) -> Result<(Identity, usize), Invalid> {
    let mut fields = Fields::default();
    let user = fields.person(format_args!("user"), request.user.as_ref());
    let size = request.activity_page_size;
    let size = fields.size(format_args!("activity_page_size"), size, ACTIVITIES_DEFAULT, ACTIVITIES_MAX);
    fields.finish(user.map(|user| (user, size)))
}
