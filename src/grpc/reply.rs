//! What a handler of a user-data RPC may return. A leaf, like the gate.

use crate::gate::admission::{Refusal, Seal, SharingGrant, SharingOff, WrittenDown};
use crate::grpc::codec::Wire;
use crate::pb;
use prost::Message;
use std::sync::Arc;
use tonic::{Response, Status};

/// What goes to the transport beside a reply's bytes, as an extension of the response. The hand-over layer lets no
/// byte of a gated service pass without one.
#[derive(Clone)]
pub enum Custody {
    /// Holds data of users: each piece needs a pass.
    Sealed(Seal),
    /// Is a refusal that depends on users, in place of the message: it needs a pass too.
    Refusal(Status, Seal),
    /// Is the constant that needs none.
    Constant,
}

/// A reply that went through the gate, or the one constant that needs none.
pub struct Reply<M>(Box<dyn Wire<M>>);

impl<M: Message> Reply<M> {
    /// Discloses what has the bytes of a message, of which it is written down who was read for it.
    ///
    /// # Errors
    /// When the switch has moved since the grant was given, or the store cannot say.
    pub async fn disclose(
        written: WrittenDown<'_>,
        message: impl Wire<M> + 'static,
    ) -> Result<Response<Self>, Refusal> {
        let (message, seal) = written.disclose(message).await?.leave();
        Ok(Self::respond(message, Custody::Sealed(seal)))
    }

    /// Discloses a refusal that depends on what is known of users: it leaves like an answer. As an error of the handler
    /// it would go past the last door; so it is a response with an empty message, which the hand-over layer replaces.
    ///
    /// # Errors
    /// When the switch has moved since the grant was given, or it cannot be written down.
    pub async fn withhold(grant: &SharingGrant, refusal: Status) -> Result<Response<Self>, Refusal>
    where
        M: Default + 'static,
    {
        let (refusal, seal) = grant.write_down_refusal().await?.disclose(refusal).await?.leave();
        Ok(Self::respond(M::default(), Custody::Refusal(refusal, seal)))
    }

    /// Gives the bytes to the codec. They leave through the hand-over layer only.
    pub fn wire(&self) -> &dyn Wire<M> {
        &*self.0
    }

    fn respond(message: impl Wire<M> + 'static, custody: Custody) -> Response<Self> {
        let mut response = Response::new(Self(Box::new(message)));
        response.extensions_mut().insert(custody);
        response
    }
}

/// The column of an alert whose tenant does not share: the id that the caller sent and the constant words.
fn not_available(alert_id: &str) -> pb::EnrichedAlert {
    pb::EnrichedAlert {
        alert_id: alert_id.to_owned(),
        severity: pb::Severity::UserDataNotAvailable.into(),
        severity_text: "User data is not available".to_owned(),
        ..pb::EnrichedAlert::default()
    }
}

impl Reply<pb::EnrichAlertResponse> {
    /// Returns the answer of a tenant that does not share.
    pub fn not_available(_: SharingOff, alert_id: &str) -> Response<Self> {
        let alert = Some(not_available(alert_id));
        Self::respond(pb::EnrichAlertResponse { alert }, Custody::Constant)
    }
}

impl Reply<pb::BatchEnrichAlertsResponse> {
    /// Returns the page of a tenant that does not share: for each alert its id, or the refusal that parsing gave.
    pub fn not_available(_: SharingOff, alerts: Vec<Result<Arc<str>, pb::AlertRefusal>>) -> Response<Self> {
        use pb::enrich_alert_result::Result as Of;
        let one = |alert: Result<Arc<str>, _>| match alert {
            Ok(id) => Of::Alert(not_available(&id)),
            Err(refusal) => Of::Refusal(refusal),
        };
        let results =
            alerts.into_iter().map(|alert| pb::EnrichAlertResult { result: Some(one(alert)) }).collect();
        Self::respond(pb::BatchEnrichAlertsResponse { results }, Custody::Constant)
    }
}
