//! `PseudonymService`: who users are whom a log or an export names without a name.

use crate::domain::audit::REASON_BYTES_MAX;
use crate::domain::user::UserNo;
use crate::gate::admission::{Gate, Refusal};
use crate::gate::audit::About;
use crate::gate::caller::Access;
use crate::gate::rights::Right;
use crate::grpc::auth;
use crate::grpc::parse::Fields;
use crate::grpc::render;
use crate::grpc::reply::Reply;
use crate::grpc::status;
use crate::grpc::status::Invalid;
use crate::pb;
use crate::pb::pseudonym_service_server::PseudonymService;
use tonic::{Request, Response, Status};

/// The most users of one call.
const USERS_MAX: usize = 1_000;

/// Resolves pseudonyms for those who may.
pub struct Pseudonyms {
    /// Decides before anything is looked up.
    pub gate: Gate,
}

#[tonic::async_trait]
impl PseudonymService for Pseudonyms {
    async fn resolve_users(
        &self,
        request: Request<pb::ResolveUsersRequest>,
    ) -> Result<Response<Reply<pb::ResolveUsersResponse>>, Status> {
        let (access, request) = auth::access(&self.gate, request, Right::ResolveUsers).await?;
        let (numbers, reason) = asked(request)?;
        self.resolve(access, &numbers, reason).await.map_err(status::refused)
    }
}

impl Pseudonyms {
    async fn resolve(
        &self,
        access: Access,
        numbers: &[UserNo],
        reason: String,
    ) -> Result<Response<Reply<pb::ResolveUsersResponse>>, Refusal> {
        let mut grant = self.gate.admit(access, About::because(reason)).await?;
        let named = grant.resolve(numbers).await?;
        let written = grant.write_down().await?;
        let users = numbers.iter().zip(named).map(|(number, named)| match named {
            None => pb::ResolvedUser { number: number.0, ..pb::ResolvedUser::default() },
            Some(named) => pb::ResolvedUser {
                number: number.0,
                current_number: Some(named.user.0),
                pseudonym: named.pseudonym.to_string(),
                user: Some(render::identity(&grant, &named.shown)),
            },
        });
        let users = users.collect();
        Reply::disclose(written, pb::ResolveUsersResponse { users }).await
    }
}

fn asked(request: pb::ResolveUsersRequest) -> Result<(Vec<UserNo>, String), Invalid> {
    let mut fields = Fields::default();
    let count = request.user_numbers.len();
    fields.demand((1..=USERS_MAX).contains(&count), format_args!("user_numbers"), "must be 1 to 1000");
    fields.text(format_args!("reason"), &request.reason, REASON_BYTES_MAX);
    let numbers = request.user_numbers.into_iter().map(UserNo).collect();
    fields.finish(Some((numbers, request.reason)))
}
