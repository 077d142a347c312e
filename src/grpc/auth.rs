//! Who calls, and the way in: each handler begins with [`access`], in the order authenticate, role, tenant.

use crate::auth::{Authenticator, Presented, Unauthenticated};
use crate::gate::admission::Gate;
use crate::gate::caller;
use crate::gate::caller::{Access, Caller};
use crate::gate::rights::Right;
use crate::grpc::parse;
use crate::grpc::rate::TenantRate;
use crate::grpc::status;
use crate::grpc::unread::UnreadPage;
use crate::pb;
use crate::transport::peer::PeerCertificates;
use http::header::{AUTHORIZATION, Entry};
use http::{HeaderMap, HeaderValue, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::{Request, Status};
use tower::{Layer, Service};

/// Puts a [`Caller`] on every request, or refuses it.
#[derive(Clone)]
pub struct AuthLayer(Arc<dyn Authenticator>);

impl AuthLayer {
    /// Returns the layer of an authenticator.
    #[must_use]
    pub fn new(authenticator: Arc<dyn Authenticator>) -> Self {
        Self(authenticator)
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, authenticator: Arc::clone(&self.0) }
    }
}

/// A service that knows its callers.
#[derive(Clone)]
pub struct Authenticated<S> {
    inner: S,
    authenticator: Arc<dyn Authenticator>,
}

impl<S, R> Service<http::Request<R>> for Authenticated<S>
where
    S: Service<http::Request<R>, Response = Response<tonic::body::Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<tonic::body::Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<R>) -> Self::Future {
        // The service that is ready is the one that is called; its clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let authenticator = Arc::clone(&self.authenticator);
        let certificates = request.extensions().get::<PeerCertificates>().cloned().unwrap_or_default();
        let authorization = authorization(request.headers_mut());
        Box::pin(async move {
            match made_out(&*authenticator, authorization, &certificates).await {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(unauthenticated) => Ok(status::unauthenticated(&unauthenticated).into_http()),
            }
        })
    }
}

async fn made_out(
    authenticator: &dyn Authenticator,
    authorization: Result<Option<HeaderValue>, Unauthenticated>,
    certificates: &PeerCertificates,
) -> Result<Caller, Unauthenticated> {
    let authorization = authorization?;
    let authorization = authorization.as_ref().map(HeaderValue::to_str).transpose();
    let authorization =
        authorization.map_err(|_| Unauthenticated::Unproven("the authorization is no text"))?;
    authenticator.caller(Presented { authorization, certificates: &certificates.0 }).await
}

/// Takes the header off the request, so that nothing behind can log it. Two could be read as two callers, so they are
/// none.
fn authorization(headers: &mut HeaderMap) -> Result<Option<HeaderValue>, Unauthenticated> {
    match headers.entry(AUTHORIZATION) {
        Entry::Vacant(_) => Ok(None),
        Entry::Occupied(all) => {
            let mut all = all.remove_entry_mult().1;
            let one = all.next();
            match all.next() {
                None => Ok(one),
                Some(_) => Err(Unauthenticated::Unproven("two authorization headers")),
            }
        }
    }
}

/// A request that names its tenant.
pub trait Tenanted {
    /// Returns what it says.
    fn tenant_id(&self) -> &str;
}

macro_rules! tenanted {
    ($($request:ty)*) => {
        $(impl Tenanted for $request {
            fn tenant_id(&self) -> &str {
                &self.tenant_id
            }
        })*
    };
}

tenanted! {
    UnreadPage pb::EnrichAlertRequest pb::ListUserActivitiesRequest pb::SummarizeAlertRequest
    pb::RankAlertsRequest pb::GetImpactedAssetsRequest pb::ListImpactedEntitiesRequest
    pb::GetUserRiskRequest pb::IngestActivitiesRequest pb::UpsertUsersRequest pb::UpsertPoliciesRequest
    pb::SetMembershipsRequest pb::RecordTriggersRequest pb::ImportRiskAlertsRequest pb::DeleteUserRequest
    pb::ListRiskAlertsRequest pb::GetRiskAlertRequest pb::ExportRiskAlertsRequest
    pb::ExportUserRiskAlertsRequest pb::UpdateRiskAlertStatusRequest pb::GetSettingsRequest
    pb::UpdateSettingsRequest pb::ListAuditEventsRequest pb::VerifyAuditLogRequest pb::ResolveUsersRequest
}

/// Lets a call in: its role has the right, and its tenant is one of the caller's.
///
/// # Errors
/// UNAUTHENTICATED, PERMISSION_MISSING, INVALID_FIELD for a tenant that is no UUID, TENANT_MISMATCH, RATE_LIMITED; in
/// this order.
pub async fn access<M: Tenanted>(
    gate: &Gate,
    request: Request<M>,
    right: Right,
) -> Result<(Access, M), Status> {
    let rate = rate(&request);
    let (entry, message) = entry(gate, request, right).await?;
    let access = enter(gate, &entry, &message).await?;
    count(rate.as_ref(), &access)?;
    Ok((access, message))
}

/// Returns what bounds how often the tenants of a request are asked about.
pub fn rate<M>(request: &Request<M>) -> Option<TenantRate> {
    request.extensions().get::<TenantRate>().cloned()
}

/// Counts a call, or a message of a stream, for its tenant. Whoever turns sharing off is never told to come later.
///
/// # Errors
/// RATE_LIMITED.
pub fn count(rate: Option<&TenantRate>, access: &Access) -> Result<(), Status> {
    match (rate, access.right()) {
        (None, _) | (_, Right::GetSettings | Right::UpdateSettings) => Ok(()),
        (Some(rate), _) => rate.count(access.tenant()),
    }
}

/// Lets a call in as far as its role goes, for streams: each message names its tenant, see [`enter`].
///
/// # Errors
/// UNAUTHENTICATED, PERMISSION_MISSING.
pub async fn entry<M>(gate: &Gate, request: Request<M>, right: Right) -> Result<(caller::Entry, M), Status> {
    let (_, extensions, message) = request.into_parts();
    let caller = extensions.get::<Caller>();
    let caller =
        caller.ok_or_else(|| status::internal("a call that went past authentication reached a handler"))?;
    let entry = gate.authorise(caller, right).await.map_err(status::refused)?;
    Ok((entry, message))
}

/// Lets a message in whose call has an entry.
///
/// # Errors
/// INVALID_FIELD for a tenant that is no UUID, TENANT_MISMATCH, UNAUTHENTICATED when the credentials lapsed meanwhile.
pub async fn enter<M: Tenanted>(gate: &Gate, entry: &caller::Entry, message: &M) -> Result<Access, Status> {
    let tenant = parse::tenant(message.tenant_id())?;
    gate.enter(entry, tenant).await.map_err(status::refused)
}
