//! `AuditService`: who asked for what, for auditors.

use crate::domain::audit::{
    AuditEvent, AuditLine, AuditOutcome, AuditVerdict, ChainHead, FaultKind, LineHash, PRINCIPAL_BYTES_MAX,
};
use crate::domain::user::UserNo;
use crate::engine::audit_log::{AuditLog, AuditQuery, Named};
use crate::gate::admission::Gate;
use crate::gate::rights::Right;
use crate::grpc::auth;
use crate::grpc::page::{AuditBound, PageTokens};
use crate::grpc::parse::{ALERT_ID_BYTES_MAX, Fields};
use crate::grpc::render;
use crate::grpc::status;
use crate::grpc::status::Invalid;
use crate::pb;
use crate::pb::audit_service_server::AuditService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;
const ACTION_BYTES_MAX: usize = 64;

/// Answers auditors.
pub struct AuditDesk {
    /// Says for which tenant, and writes it down.
    pub gate: Gate,
    /// Reads the log.
    pub log: Arc<AuditLog>,
    /// Makes page tokens.
    pub tokens: Arc<PageTokens>,
}

#[tonic::async_trait]
impl AuditService for AuditDesk {
    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::ListAuditEvents).await?;
        let (query, size) = query(&request)?;
        let bound = AuditBound { caller: &access.caller().clone(), tenant: access.tenant(), query: &query };
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(self.tokens.open_audit(bound, token)?),
        };
        let grant = self.gate.inspect(access).await.map_err(status::refused)?;
        let page = self.log.page(&grant, query.clone(), after, size).await;
        let page = page.map_err(|cause| status::audit_unavailable(&cause))?;
        let next_page_token = page.next.map(|next| self.tokens.issue_audit(bound, next)).unwrap_or_default();
        let users = self.log.named(&grant, &page.lines).await.map_err(|cause| status::unavailable(&cause))?;
        let users = users.into_iter().map(user).collect();
        let events = page.lines.into_iter().map(event).collect();
        Ok(Response::new(pb::ListAuditEventsResponse { events, next_page_token, users }))
    }

    async fn verify_audit_log(
        &self,
        request: Request<pb::VerifyAuditLogRequest>,
    ) -> Result<Response<pb::VerifyAuditLogResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::VerifyAuditLog).await?;
        let expected = expected(request.expected.as_ref())?;
        let grant = self.gate.inspect(access).await.map_err(status::refused)?;
        let verdict = self.log.verify(&grant, expected).await;
        Ok(Response::new(found(verdict.map_err(|cause| status::audit_unavailable(&cause))?)))
    }
}

fn query(request: &pb::ListAuditEventsRequest) -> Result<(AuditQuery, usize), Invalid> {
    let mut fields = Fields::default();
    let size = request.page_size.min(PAGE_MAX.try_into().unwrap_or(i32::MAX));
    let size = fields.size(format_args!("page_size"), size, PAGE_DEFAULT, PAGE_MAX);
    fields.length(format_args!("principal"), &request.principal, PRINCIPAL_BYTES_MAX);
    fields.length(format_args!("action"), &request.action, ACTION_BYTES_MAX);
    fields.length(format_args!("alert_id"), &request.alert_id, ALERT_ID_BYTES_MAX);
    let from = fields.instant_if_set(format_args!("start_time"), request.start_time);
    let until = fields.instant_if_set(format_args!("end_time"), request.end_time);
    let in_order = from.zip(until).is_none_or(|(from, until)| from <= until);
    fields.demand(in_order, format_args!("start_time"), "must not be after end_time");
    let outcome = fields.known(format_args!("outcome"), request.outcome);
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let query = AuditQuery {
        from,
        until,
        principal: text(&request.principal),
        action: text(&request.action),
        outcome: outcome.and_then(wanted),
        user: request.user_number.map(UserNo),
        alert: text(&request.alert_id),
    };
    fields.finish(Some((query, size)))
}

fn wanted(outcome: pb::AuditOutcome) -> Option<AuditOutcome> {
    AuditOutcome::ALL.into_iter().find(|own| to_outcome(*own) == outcome)
}

fn to_outcome(outcome: AuditOutcome) -> pb::AuditOutcome {
    match outcome {
        AuditOutcome::Disclosed => pb::AuditOutcome::Disclosed,
        AuditOutcome::Refused => pb::AuditOutcome::Refused,
        AuditOutcome::SharingOff => pb::AuditOutcome::SharingOff,
        AuditOutcome::PermissionMissing => pb::AuditOutcome::PermissionMissing,
        AuditOutcome::TenantMismatch => pb::AuditOutcome::TenantMismatch,
        AuditOutcome::Changed => pb::AuditOutcome::Changed,
        AuditOutcome::Failed => pb::AuditOutcome::Failed,
    }
}

fn event(line: AuditLine) -> pb::AuditEvent {
    let AuditEvent {
        at,
        principal,
        action,
        outcome,
        asked,
        incident,
        alerts,
        more_alerts,
        users,
        more_users,
        unknown,
        changes,
        reason,
    } = line.event;
    let change = |change: crate::domain::audit::AuditChange| pb::AuditChange {
        field: change.field,
        value: change.value,
    };
    pb::AuditEvent {
        sequence: line.sequence,
        hash: line.hash.to_string(),
        occurred_at: Some(render::timestamp(at)),
        principal,
        action,
        outcome: to_outcome(outcome).into(),
        asked_tenant_id: asked.map(|tenant| tenant.to_string()).unwrap_or_default(),
        incident_id: incident,
        alert_ids: alerts.iter().map(|id| id.as_ref().to_owned()).collect(),
        more_alerts,
        user_numbers: users.into_iter().map(|user| user.0).collect(),
        more_users,
        unknown_users: unknown,
        changes: changes.into_iter().map(change).collect(),
        reason,
    }
}

fn user((number, named): (UserNo, Named)) -> pb::AuditedUser {
    pb::AuditedUser { number: number.0, current_number: named.user.0, pseudonym: named.pseudonym.to_string() }
}

fn expected(head: Option<&pb::AuditChainHead>) -> Result<Option<ChainHead>, Invalid> {
    let Some(head) = head else { return Ok(None) };
    let mut fields = Fields::default();
    let hash = LineHash::parse(&head.hash);
    fields.demand(hash.is_some(), format_args!("expected.hash"), "must be 64 lowercase hexadecimal digits");
    fields.finish(hash.map(|hash| Some(ChainHead { sequence: head.sequence, hash })))
}

/// Says what a check found.
#[must_use]
pub fn found(verdict: AuditVerdict) -> pb::VerifyAuditLogResponse {
    let faults = verdict.faults.into_iter().map(|fault| pb::AuditFault {
        kind: to_kind(fault.kind).into(),
        sequence: fault.sequence,
        place: fault.place,
    });
    let faults: Vec<_> = faults.collect();
    pb::VerifyAuditLogResponse {
        valid: faults.is_empty(),
        anchor: Some(to_head(verdict.anchor)),
        head: Some(to_head(verdict.head)),
        lines: verdict.lines,
        faults,
        more_faults: verdict.more_faults,
    }
}

fn to_head(head: ChainHead) -> pb::AuditChainHead {
    pb::AuditChainHead { sequence: head.sequence, hash: head.hash.to_string() }
}

fn to_kind(kind: FaultKind) -> pb::AuditFaultKind {
    match kind {
        FaultKind::Unreadable => pb::AuditFaultKind::Unreadable,
        FaultKind::Altered => pb::AuditFaultKind::Altered,
        FaultKind::Unlinked => pb::AuditFaultKind::Unlinked,
        FaultKind::Missing => pb::AuditFaultKind::Missing,
        FaultKind::OutOfOrder => pb::AuditFaultKind::OutOfOrder,
        FaultKind::Truncated => pb::AuditFaultKind::Truncated,
        FaultKind::Rewritten => pb::AuditFaultKind::Rewritten,
        FaultKind::Expired => pb::AuditFaultKind::Expired,
    }
}
