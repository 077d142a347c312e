//! `IngestService`: facts come in item by item; what was understood is committed together.

use crate::domain::audit::AuditChange;
use crate::domain::facts::{Conflict, Fact, Outcome};
use crate::engine::recorder::{Recorded, Recorder};
use crate::gate::admission::{Gate, Permit};
use crate::gate::caller::{Access, Entry};
use crate::gate::rights::Right;
use crate::grpc::auth;
use crate::grpc::enrichment::names_two_people;
use crate::grpc::parse::Fields;
use crate::grpc::rate::TenantRate;
use crate::grpc::records;
use crate::grpc::records::{Item, Rejected};
use crate::grpc::status;
use crate::grpc::status::Invalid;
use crate::pb;
use crate::pb::ingest_service_server::IngestService;
use crate::pb::{ErrorReason, IngestOutcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The most activities, users, memberships, triggers or alerts of a call.
const ITEMS_MAX: usize = 10_000;
/// The most policies of a call.
const POLICIES_MAX: usize = 100;
/// How often the credentials of a stream are looked at while it waits.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Takes facts in.
#[derive(Clone)]
pub struct Ingest {
    /// Says for which tenant.
    pub gate: Gate,
    /// Makes facts durable.
    pub recorder: Arc<Recorder>,
}

/// One call's items: what each means, or why it is refused.
type Items = Vec<Result<Item, Rejected>>;
/// What became of the items.
type Report = (Option<pb::IngestCounts>, Vec<pb::IngestResult>);

#[tonic::async_trait]
impl IngestService for Ingest {
    async fn ingest_activities(
        &self,
        request: Request<pb::IngestActivitiesRequest>,
    ) -> Result<Response<pb::IngestActivitiesResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::IngestActivities).await?;
        Ok(Response::new(self.activities(access, request).await?))
    }

    type StreamActivitiesStream = ReceiverStream<Result<pb::StreamActivitiesResponse, Status>>;

    async fn stream_activities(
        &self,
        request: Request<Streaming<pb::StreamActivitiesRequest>>,
    ) -> Result<Response<Self::StreamActivitiesStream>, Status> {
        // One acknowledgement may wait for the caller to read it; the next batch is not read before.
        let (acks, answer) = mpsc::channel(1);
        let ingest = self.clone();
        let rate = auth::rate(&request);
        let (entry, mut batches) = auth::entry(&self.gate, request, Right::StreamActivities).await?;
        tokio::spawn(async move {
            while let Some(ack) = ingest.next_ack(&entry, rate.as_ref(), &mut batches).await {
                let is_last = ack.is_err();
                if acks.send(ack).await.is_err() || is_last {
                    break;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answer)))
    }

    async fn upsert_users(
        &self,
        request: Request<pb::UpsertUsersRequest>,
    ) -> Result<Response<pb::UpsertUsersResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::UpsertUsers).await?;
        call("users", request.users.len(), ITEMS_MAX)?;
        let items = request.users.iter().map(records::user).collect();
        let (counts, results) = self.record(&self.gate.permit(access), items).await?;
        Ok(Response::new(pb::UpsertUsersResponse { counts, results }))
    }

    async fn upsert_policies(
        &self,
        request: Request<pb::UpsertPoliciesRequest>,
    ) -> Result<Response<pb::UpsertPoliciesResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::UpsertPolicies).await?;
        call("policies", request.policies.len(), POLICIES_MAX)?;
        let items: Items = request.policies.iter().map(records::policy).collect();
        let permit = self.gate.permit_change(access, policies(&items)).await;
        let permit = permit.map_err(|cause| status::audit_unavailable(&cause))?;
        let (counts, results) = self.record(&permit, items).await?;
        Ok(Response::new(pb::UpsertPoliciesResponse { counts, results }))
    }

    async fn set_memberships(
        &self,
        request: Request<pb::SetMembershipsRequest>,
    ) -> Result<Response<pb::SetMembershipsResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::SetMemberships).await?;
        call("memberships", request.memberships.len(), ITEMS_MAX)?;
        let items = request.memberships.iter().map(records::membership).collect();
        let (counts, results) = self.record(&self.gate.permit(access), items).await?;
        Ok(Response::new(pb::SetMembershipsResponse { counts, results }))
    }

    async fn record_triggers(
        &self,
        request: Request<pb::RecordTriggersRequest>,
    ) -> Result<Response<pb::RecordTriggersResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::RecordTriggers).await?;
        call("triggers", request.triggers.len(), ITEMS_MAX)?;
        let items = request.triggers.iter().map(records::trigger).collect();
        let (counts, results) = self.record(&self.gate.permit(access), items).await?;
        Ok(Response::new(pb::RecordTriggersResponse { counts, results }))
    }

    async fn import_risk_alerts(
        &self,
        request: Request<pb::ImportRiskAlertsRequest>,
    ) -> Result<Response<pb::ImportRiskAlertsResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::ImportRiskAlerts).await?;
        let count = request.alerts.len() + request.raw_records.len();
        call("alerts", count, ITEMS_MAX)?;
        let raw = request.raw_records.iter().map(|raw| records::raw_risk_alert(raw));
        let items = request.alerts.iter().map(records::risk_alert).chain(raw).collect();
        let (counts, results) = self.record(&self.gate.permit(access), items).await?;
        Ok(Response::new(pb::ImportRiskAlertsResponse { counts, results }))
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::DeleteUser).await?;
        let mut fields = Fields::default();
        let user = fields.person(format_args!("user"), request.user.as_ref());
        let user = fields.finish(user)?;
        let erased = self.recorder.erase(&self.gate.permit(access), &user).await;
        let erased = erased.map_err(status::refused)?.ok_or_else(names_two_people)?;
        Ok(Response::new(pb::DeleteUserResponse { erased_users: erased }))
    }
}

impl Ingest {
    async fn activities(
        &self,
        access: Access,
        request: pb::IngestActivitiesRequest,
    ) -> Result<pb::IngestActivitiesResponse, Status> {
        let count = request.activities.len() + request.raw_records.len();
        call("activities", count, ITEMS_MAX)?;
        let raw = request.raw_records.iter().map(|raw| records::raw_activity(raw));
        let items = request.activities.iter().map(records::activity).chain(raw).collect();
        let (counts, results) = self.record(&self.gate.permit(access), items).await?;
        Ok(pb::IngestActivitiesResponse { counts, results })
    }

    /// Reads the next batch of a stream and records it. `None` when the caller has no more.
    async fn next_ack(
        &self,
        entry: &Entry,
        rate: Option<&TenantRate>,
        batches: &mut Streaming<pb::StreamActivitiesRequest>,
    ) -> Option<Result<pb::StreamActivitiesResponse, Status>> {
        let next = tokio::select! {
            next = batches.message() => next,
            lapsed = self.lapsed(entry) => Err(lapsed),
        };
        let request = match next {
            Ok(request) => request?,
            Err(refusal) => return Some(Err(status::in_our_words(&refusal).unwrap_or(refusal))),
        };
        let sequence = request.sequence;
        let batch = match request.batch {
            Some(batch) => match auth::enter(&self.gate, entry, &batch).await {
                Ok(access) => match auth::count(rate, &access) {
                    Ok(()) => self.activities(access, batch).await,
                    Err(refusal) => Err(refusal),
                },
                Err(refusal) => Err(refusal),
            },
            None => Err(Invalid::one(ErrorReason::InvalidField, "batch", "must be set").into()),
        };
        Some(batch.map(|batch| pb::StreamActivitiesResponse { sequence, batch: Some(batch) }))
    }

    /// Waits until the credentials of an open stream are no longer valid: who sends nothing is not kept either.
    async fn lapsed(&self, entry: &Entry) -> Status {
        let mut looks = tokio::time::interval(LOOK_PERIOD);
        loop {
            looks.tick().await;
            if let Err(refusal) = self.gate.still(entry) {
                return status::refused(refusal);
            }
        }
    }

    async fn record(&self, permit: &Permit, items: Items) -> Result<Report, Status> {
        let items: Items = items.into_iter().map(|item| item?.no_later_than(permit.at())).collect();
        let facts: Vec<Fact> = items.iter().filter_map(|item| item.as_ref().ok()?.fact().cloned()).collect();
        let recorded =
            self.recorder.record(permit, facts).await.map_err(|cause| status::unavailable(&cause))?;
        let mut recorded = recorded.into_iter();
        let mut counts = pb::IngestCounts::default();
        let mut results = Vec::new();
        for (index, item) in (0..).zip(items) {
            let result = match item {
                Err(rejected) => result(IngestOutcome::Rejected, &rejected.field, &rejected.description),
                Ok(Item::Ignored) => result(IngestOutcome::Ignored, "", "holds no activity of a person"),
                Ok(Item::Fact(..)) => outcome(recorded.next()),
            };
            count(&mut counts, result.outcome());
            if result.outcome() != IngestOutcome::Accepted {
                results.push(pb::IngestResult { index, ..result });
            }
        }
        Ok((Some(counts), results))
    }
}

/// Says for the audit log which policies a call declares.
fn policies(items: &Items) -> Vec<AuditChange> {
    let facts = items.iter().filter_map(|item| item.as_ref().ok()?.fact());
    let id = |fact: &Fact| match fact {
        Fact::Policy(policy) => Some(policy.id.as_str().to_owned()),
        _ => None,
    };
    facts.filter_map(id).map(|value| AuditChange { field: "policy_id".to_owned(), value }).collect()
}

/// Checks the number of items of a call.
fn call(field: &str, count: usize, max: usize) -> Result<(), Invalid> {
    match count {
        0 => Err(Invalid::one(ErrorReason::InvalidField, field, "must not be empty")),
        count if count > max => {
            let bound = format!("must be at most {max} in all");
            Err(Invalid::one(ErrorReason::BatchTooLarge, field, bound))
        }
        _ => Ok(()),
    }
}

fn outcome(recorded: Option<Recorded>) -> pb::IngestResult {
    match recorded {
        Some(Recorded::Committed(Outcome::Accepted)) => result(IngestOutcome::Accepted, "", ""),
        Some(Recorded::Committed(Outcome::Duplicate)) => result(IngestOutcome::Duplicate, "", ""),
        Some(Recorded::Committed(Outcome::Conflict(conflict))) => {
            let (field, description) = conflict_of(conflict);
            result(IngestOutcome::Conflict, field, description)
        }
        Some(Recorded::OutsideWindow) => {
            result(IngestOutcome::OutsideWindow, "", "happened before the 120-day horizon")
        }
        // The recorder answers for every fact or not at all.
        None => unreachable!("a fact without an outcome"),
    }
}

fn conflict_of(conflict: Conflict) -> (&'static str, &'static str) {
    match conflict {
        Conflict::ActivityId => ("activity_id", "is taken by an activity with other content, which stays"),
        Conflict::Identity => {
            let cause = "has keys of people who cannot be one: two declared accounts, two object ids or SIDs, or more \
                         than 128 keys";
            ("user", cause)
        }
        Conflict::RiskAlertId => ("alert_id", "is taken by an alert of another user, which stays"),
    }
}

fn result(outcome: IngestOutcome, field: &str, description: &str) -> pb::IngestResult {
    let (field, description) = (field.to_owned(), description.to_owned());
    pb::IngestResult { index: 0, outcome: outcome.into(), field, description }
}

fn count(counts: &mut pb::IngestCounts, outcome: IngestOutcome) {
    let count = match outcome {
        IngestOutcome::Accepted => &mut counts.accepted,
        IngestOutcome::Duplicate => &mut counts.duplicate,
        IngestOutcome::Conflict => &mut counts.conflict,
        IngestOutcome::OutsideWindow => &mut counts.outside_window,
        IngestOutcome::Ignored => &mut counts.ignored,
        IngestOutcome::Rejected | IngestOutcome::Unspecified => &mut counts.rejected,
    };
    *count += 1;
}
