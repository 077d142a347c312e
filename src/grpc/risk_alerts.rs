//! `RiskAlertService`: the risk alerts of insider risk management, for those who review them.

use crate::domain::audit::REASON_BYTES_MAX;
use crate::domain::decision::{AlertChange, COMMENT_BYTES_MAX, RiskAlertQuery};
use crate::domain::ids::RiskAlertId;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::risk_alert::{Origin, Status as AlertStatus};
use crate::domain::user::Identity;
use crate::engine::alerts;
use crate::engine::alerts::{AlertPage, ReviewedAlert};
use crate::export::{csv, ediscovery};
use crate::gate::admission::{Gate, Refusal, SharingGrant};
use crate::gate::audit::About;
use crate::gate::caller::Access;
use crate::gate::rights::Right;
use crate::grpc::auth;
use crate::grpc::page::{AlertBound, PageTokens};
use crate::grpc::parse::Fields;
use crate::grpc::prose;
use crate::grpc::records::{alert_severity, alert_status, policy_id};
use crate::grpc::render;
use crate::grpc::reply::Reply;
use crate::grpc::status;
use crate::grpc::status::Invalid;
use crate::pb;
use crate::pb::risk_alert_service_server::RiskAlertService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 500;
/// The most rows of a part of a file: with the longest names they still fit into an answer.
const ROWS_MAX: usize = 2_000;
/// The most lines of a part of an export of users: each has a history.
const LINES_MAX: usize = 500;
/// The most users of such an export.
const USERS_MAX: usize = 100;
/// The most values of a filter: more than there are.
const VALUES_MAX: usize = 16;

/// Answers reviewers of risk alerts.
pub struct RiskAlerts {
    /// Decides before anything is looked up.
    pub gate: Gate,
    /// Makes page tokens.
    pub tokens: Arc<PageTokens>,
}

#[tonic::async_trait]
impl RiskAlertService for RiskAlerts {
    async fn list_risk_alerts(
        &self,
        request: Request<pb::ListRiskAlertsRequest>,
    ) -> Result<Response<Reply<pb::ListRiskAlertsResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::ListRiskAlerts).await?;
        let (query, size) = query(&request, PAGE_DEFAULT, PAGE_MAX)?;
        self.list(access, &query, &request.page_token, size).await.map_err(status::refused)
    }

    async fn export_risk_alerts(
        &self,
        request: Request<pb::ExportRiskAlertsRequest>,
    ) -> Result<Response<Reply<pb::ExportRiskAlertsResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::ExportRiskAlerts).await?;
        let request = as_list(request);
        let (query, size) = query(&request, ROWS_MAX, ROWS_MAX)?;
        self.export(access, &query, &request.page_token, size).await.map_err(status::refused)
    }

    async fn export_user_risk_alerts(
        &self,
        request: Request<pb::ExportUserRiskAlertsRequest>,
    ) -> Result<Response<Reply<pb::ExportUserRiskAlertsResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::ExportUserRiskAlerts).await?;
        let asked = AskedUsers::parse(request)?;
        self.export_users(access, asked).await.map_err(status::refused)
    }

    async fn get_risk_alert(
        &self,
        request: Request<pb::GetRiskAlertRequest>,
    ) -> Result<Response<Reply<pb::GetRiskAlertResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::GetRiskAlert).await?;
        let mut fields = Fields::default();
        let id = alert_id(&mut fields, &request.alert_id);
        let id = fields.finish(id)?;
        self.get(access, &id).await.map_err(status::refused)
    }

    async fn update_risk_alert_status(
        &self,
        request: Request<pb::UpdateRiskAlertStatusRequest>,
    ) -> Result<Response<Reply<pb::UpdateRiskAlertStatusResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::UpdateRiskAlertStatus).await?;
        let asked = Asked::parse(request)?;
        self.update(access, asked).await.map_err(status::refused)
    }
}

impl RiskAlerts {
    /// Reads a page, or refuses a token that was made for another question.
    async fn page(
        &self,
        grant: &mut SharingGrant,
        query: &RiskAlertQuery,
        page_token: &str,
        size: usize,
    ) -> Result<Result<AlertPage, Invalid>, Refusal> {
        let after = match page_token {
            "" => None,
            token => match self.tokens.open_alerts(bound(grant, query), token) {
                Ok(cursor) => Some(cursor),
                Err(invalid) => return Ok(Err(invalid)),
            },
        };
        Ok(Ok(grant.risk_alerts(query, after.as_ref(), size).await?))
    }

    fn next(&self, grant: &SharingGrant, query: &RiskAlertQuery, page: &AlertPage) -> String {
        let next = page.next.as_ref().map(|next| self.tokens.issue_alerts(bound(grant, query), next));
        next.unwrap_or_default()
    }

    async fn export(
        &self,
        access: Access,
        query: &RiskAlertQuery,
        page_token: &str,
        size: usize,
    ) -> Result<Response<Reply<pb::ExportRiskAlertsResponse>>, Refusal> {
        let mut grant = self.gate.admit(access, About::default()).await?;
        let page = match self.page(&mut grant, query, page_token, size).await? {
            Ok(page) => page,
            Err(invalid) => return Reply::withhold(&grant, invalid.into()).await,
        };
        let written = grant.write_down().await?;
        let rows = page.alerts.iter().map(|one| csv::Row {
            alert: &one.alert,
            user: shown(&grant, &page, one),
            policy: policy_name(&page, one),
        });
        let csv = csv::text(rows, page_token.is_empty());
        let next_page_token = self.next(&grant, query, &page);
        Reply::disclose(written, pb::ExportRiskAlertsResponse { csv, next_page_token }).await
    }

    async fn export_users(
        &self,
        access: Access,
        asked: AskedUsers,
    ) -> Result<Response<Reply<pb::ExportUserRiskAlertsResponse>>, Refusal> {
        let mut grant = self.gate.admit(access, About::because(asked.reason)).await?;
        let query = alerts::of_people(&mut grant, &asked.users.iter().collect::<Vec<_>>()).await?;
        let page = match self.page(&mut grant, &query, &asked.page_token, asked.size).await? {
            Ok(page) => page,
            Err(invalid) => return Reply::withhold(&grant, invalid.into()).await,
        };
        let page = alerts::with_histories(&mut grant, page).await?;
        let written = grant.write_down().await?;
        let lines = page.alerts.iter().map(|one| {
            ediscovery::line(&ediscovery::Row {
                tenant: grant.tenant(),
                alert: &one.alert,
                history: &one.history,
                policy: policy_name(&page, one),
                user: &one.user.shown,
                pseudonym: one.user.pseudonym,
            })
        });
        let json_lines = lines.collect();
        let next_page_token = self.next(&grant, &query, &page);
        Reply::disclose(written, pb::ExportUserRiskAlertsResponse { json_lines, next_page_token }).await
    }

    async fn list(
        &self,
        access: Access,
        query: &RiskAlertQuery,
        page_token: &str,
        size: usize,
    ) -> Result<Response<Reply<pb::ListRiskAlertsResponse>>, Refusal> {
        let mut grant = self.gate.admit(access, About::default()).await?;
        let page = match self.page(&mut grant, query, page_token, size).await? {
            Ok(page) => page,
            Err(invalid) => return Reply::withhold(&grant, invalid.into()).await,
        };
        let written = grant.write_down().await?;
        let alerts = page.alerts.iter().map(|one| alert(&grant, &page, one)).collect();
        let next_page_token = self.next(&grant, query, &page);
        Reply::disclose(written, pb::ListRiskAlertsResponse { alerts, next_page_token }).await
    }

    async fn get(
        &self,
        access: Access,
        id: &RiskAlertId,
    ) -> Result<Response<Reply<pb::GetRiskAlertResponse>>, Refusal> {
        let mut grant = self.gate.admit(access, About::alerts([&id.as_str().into()])).await?;
        let page = grant.risk_alert(id).await?;
        let Some(one) = page.alerts.first() else {
            return Reply::withhold(&grant, status::risk_alert_not_found()).await;
        };
        let written = grant.write_down().await?;
        let alert = Some(alert(&grant, &page, one));
        Reply::disclose(written, pb::GetRiskAlertResponse { alert }).await
    }

    async fn update(
        &self,
        access: Access,
        asked: Asked,
    ) -> Result<Response<Reply<pb::UpdateRiskAlertStatusResponse>>, Refusal> {
        let mut grant = self.gate.admit(access, About::alerts([&asked.id.as_str().into()])).await?;
        let decided = grant.decide(&asked.id, asked.status, asked.etag, asked.comment).await?;
        if let Err(undecided) = decided {
            return Reply::withhold(&grant, status::undecided(&undecided)).await;
        }
        let page = grant.risk_alert(&asked.id).await?;
        let written = grant.write_down().await?;
        let alert = page.alerts.first().map(|one| alert(&grant, &page, one));
        Reply::disclose(written, pb::UpdateRiskAlertStatusResponse { alert }).await
    }
}

fn bound<'a>(grant: &'a SharingGrant, query: &'a RiskAlertQuery) -> AlertBound<'a> {
    AlertBound { caller: grant.caller(), tenant: grant.tenant(), epoch: grant.epoch(), query }
}

/// What `ExportUserRiskAlerts` asks for.
struct AskedUsers {
    users: Vec<Identity>,
    reason: String,
    size: usize,
    page_token: String,
}

impl AskedUsers {
    fn parse(request: pb::ExportUserRiskAlertsRequest) -> Result<Self, Invalid> {
        let mut fields = Fields::default();
        let count = request.users.len();
        fields.demand((1..=USERS_MAX).contains(&count), format_args!("users"), "must be 1 to 100");
        fields.text(format_args!("reason"), &request.reason, REASON_BYTES_MAX);
        let users = request.users.iter().take(USERS_MAX).enumerate();
        let users =
            users.filter_map(|(i, user)| fields.person(format_args!("users[{i}]"), Some(user))).collect();
        let size = request.page_size.min(LINES_MAX.try_into().unwrap_or(i32::MAX));
        let size = fields.size(format_args!("page_size"), size, LINES_MAX, LINES_MAX);
        let page_token = request.page_token;
        fields.finish(Some(Self { users, reason: request.reason, size, page_token }))
    }
}

/// What `UpdateRiskAlertStatus` asks for.
struct Asked {
    id: RiskAlertId,
    status: AlertStatus,
    comment: String,
    etag: Option<String>,
}

impl Asked {
    fn parse(request: pb::UpdateRiskAlertStatusRequest) -> Result<Self, Invalid> {
        let mut fields = Fields::default();
        let id = alert_id(&mut fields, &request.alert_id);
        let status = alert_status(&mut fields, format_args!("status"), request.status);
        fields.length(format_args!("comment"), &request.comment, COMMENT_BYTES_MAX);
        let etag = Some(request.etag).filter(|etag| !etag.is_empty());
        let asked = id.zip(status).map(|(id, status)| Self { id, status, comment: request.comment, etag });
        fields.finish(asked)
    }
}

fn alert_id(fields: &mut Fields, id: &str) -> Option<RiskAlertId> {
    RiskAlertId::new(id).map_err(|error| fields.refuse(format_args!("alert_id"), error.to_string())).ok()
}

/// Both take the same filters.
fn as_list(request: pb::ExportRiskAlertsRequest) -> pb::ListRiskAlertsRequest {
    let pb::ExportRiskAlertsRequest {
        tenant_id,
        statuses,
        severities,
        policy_id,
        start_time,
        end_time,
        page_size,
        page_token,
        oldest_first,
        user_pseudonym,
    } = request;
    pb::ListRiskAlertsRequest {
        tenant_id,
        statuses,
        severities,
        policy_id,
        start_time,
        end_time,
        page_size,
        page_token,
        oldest_first,
        user_pseudonym,
    }
}

fn query(
    request: &pb::ListRiskAlertsRequest,
    default: usize,
    max: usize,
) -> Result<(RiskAlertQuery, usize), Invalid> {
    let mut fields = Fields::default();
    let size = request.page_size.min(max.try_into().unwrap_or(i32::MAX));
    let size = fields.size(format_args!("page_size"), size, default, max);
    for (name, count) in [("statuses", request.statuses.len()), ("severities", request.severities.len())] {
        fields.demand(count <= VALUES_MAX, format_args!("{name}"), "must be at most 16");
    }
    let mut query = RiskAlertQuery { oldest_first: request.oldest_first, ..RiskAlertQuery::default() };
    for (i, value) in request.statuses.iter().take(VALUES_MAX).enumerate() {
        query.statuses.extend(alert_status(&mut fields, format_args!("statuses[{i}]"), *value));
    }
    for (i, value) in request.severities.iter().take(VALUES_MAX).enumerate() {
        query.severities.extend(alert_severity(&mut fields, format_args!("severities[{i}]"), *value));
    }
    if !request.policy_id.is_empty() {
        query.policy = policy_id(&mut fields, &request.policy_id);
    }
    if !request.user_pseudonym.is_empty() {
        query.pseudonym = Pseudonym::spelled(&request.user_pseudonym);
        let is_one = query.pseudonym.is_some();
        fields.demand(is_one, format_args!("user_pseudonym"), "must be a pseudonym such as AnonIS8-988");
    }
    query.from = fields.instant_if_set(format_args!("start_time"), request.start_time);
    query.until = fields.instant_if_set(format_args!("end_time"), request.end_time);
    let in_order = query.from.zip(query.until).is_none_or(|(from, until)| from <= until);
    fields.demand(in_order, format_args!("start_time"), "must not be after end_time");
    fields.finish(Some((query, size)))
}

/// Renders an alert. The user's names are left out while the tenant's anonymization is on.
fn alert(grant: &SharingGrant, page: &AlertPage, one: &ReviewedAlert) -> pb::RiskAlert {
    let ReviewedAlert { alert, user, history } = one;
    pb::RiskAlert {
        alert_id: alert.id.as_str().to_owned(),
        policy_id: alert.policy.as_str().to_owned(),
        policy_name: policy_name(page, one).to_owned(),
        user_pseudonym: user.pseudonym.to_string(),
        user: is_named(page).then(|| render::identity(grant, &user.shown)),
        severity: render::severity(alert.severity).into(),
        score: alert.score,
        status: render::alert_status(alert.status).into(),
        imported: matches!(alert.origin, Origin::Imported { .. }),
        created_at: Some(render::timestamp(alert.created_at)),
        updated_at: Some(render::timestamp(alert.updated_at)),
        closed_at: alert.closed_at.map(render::timestamp),
        etag: alert.version(),
        history: history.iter().map(change).collect(),
    }
}

fn is_named(page: &AlertPage) -> bool {
    !page.rules.settings.anonymization
}

fn policy_name<'p>(page: &'p AlertPage, one: &ReviewedAlert) -> &'p str {
    page.rules.policies.get(&one.alert.policy).map_or("", |policy| &policy.name)
}

/// Returns the user as one text.
fn shown(grant: &SharingGrant, page: &AlertPage, one: &ReviewedAlert) -> String {
    if is_named(page) {
        prose::called(Some(&render::identity(grant, &one.user.shown)))
    } else {
        one.user.pseudonym.to_string()
    }
}

fn change(change: &AlertChange) -> pb::RiskAlertChange {
    pb::RiskAlertChange {
        changed_at: Some(render::timestamp(change.at)),
        status: render::alert_status(change.status).into(),
        severity: render::severity(change.severity).into(),
        score: change.score,
        changed_by: change.by.clone().unwrap_or_default(),
        comment: change.comment.clone(),
    }
}
