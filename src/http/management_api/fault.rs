//! Every refusal of the Management Activity API: Microsoft's codes (`domain.md` 5), in Microsoft's envelope. The HTTP
//! statuses are ours where Microsoft gives none. `docs/siem.md` lists them.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// A refusal. Its text never holds anything that a caller sent or that is known of anybody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// What was presented proves nobody.
    Unauthenticated,
    /// The token has not the permission.
    PermissionMissing,
    /// A parameter is missing.
    Missing(&'static str),
    /// A parameter is not of its type.
    Type {
        /// Which.
        parameter: &'static str,
        /// What it must be.
        kind: &'static str,
    },
    /// The expiration is past.
    Expiration,
    /// The tenant is not the token's.
    TenantMismatch,
    /// The tenant is no GUID.
    TenantId,
    /// There is no such kind of content.
    ContentType,
    /// The webhook did not prove itself.
    Webhook(&'static str),
    /// There is no subscription to that kind of content.
    NoSubscription,
    /// The tenant does not export risk alerts.
    ExportOff,
    /// The range of time breaks a rule.
    TimeRange,
    /// It ends before it begins.
    TimeOrder,
    /// The next page is none of ours.
    NextPage,
    /// There is no such content.
    NoContent,
    /// There was, and it can no longer be had.
    Expired,
    /// It is no id of content.
    ContentId,
    /// Several languages.
    Languages,
    /// No language.
    Language,
    /// Too many requests. Holds the time after which there is room for one.
    Throttled(Duration),
    /// It cannot be answered now.
    Unavailable,
    /// There is no such operation.
    Operation(StatusCode),
}

impl Fault {
    fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "InvalidAuthenticationToken",
            Self::PermissionMissing => "AF10001",
            Self::Missing(_) => "AF20001",
            Self::Type { .. } => "AF20002",
            Self::Expiration => "AF20003",
            Self::TenantMismatch => "AF20010",
            Self::TenantId => "AF20013",
            Self::ContentType => "AF20020",
            Self::Webhook(_) => "AF20021",
            Self::NoSubscription => "AF20022",
            Self::ExportOff => "AF20023",
            Self::TimeRange => "AF20030",
            Self::NextPage => "AF20031",
            Self::NoContent => "AF20050",
            Self::Expired => "AF20051",
            Self::ContentId => "AF20052",
            Self::Languages => "AF20053",
            Self::Language => "AF20054",
            Self::TimeOrder => "AF20055",
            Self::Throttled(_) => "AF429",
            Self::Unavailable => "AF50000",
            Self::Operation(_) => "UnknownOperation",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::PermissionMissing => StatusCode::UNAUTHORIZED,
            Self::TenantMismatch | Self::Throttled(_) => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoContent => StatusCode::NOT_FOUND,
            Self::Expired => StatusCode::GONE,
            Self::Operation(status) => *status,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Unauthenticated => "The access token is missing, invalid or expired.".to_owned(),
            Self::PermissionMissing => "The token lacks the permission ActivityFeed.Read.".to_owned(),
            Self::Missing(parameter) => format!("The parameter {parameter} is missing."),
            Self::Type { parameter, kind } => format!("The parameter {parameter} must be {kind}."),
            Self::Expiration => "The expiration of the webhook is in the past.".to_owned(),
            Self::TenantMismatch => "The tenant of the URL is not the tenant of the token.".to_owned(),
            Self::TenantId => "The tenant of the URL is not a GUID.".to_owned(),
            Self::ContentType => "There is no such content type.".to_owned(),
            Self::Webhook(why) => format!("The webhook could not be validated: {why}."),
            Self::NoSubscription => "There is no subscription to this content type.".to_owned(),
            Self::ExportOff => {
                "An administrator of the tenant has not turned on the export of risk alerts.".to_owned()
            }
            Self::TimeRange => {
                "startTime and endTime must be given both or neither, be at most 24 hours apart, and \
                                startTime must be at most 7 days ago."
                    .to_owned()
            }
            Self::TimeOrder => "startTime must be before endTime.".to_owned(),
            Self::NextPage => "nextPage must come from a NextPageUri of the same request.".to_owned(),
            Self::NoContent => "There is no such content.".to_owned(),
            Self::Expired => "The content is older than 7 days and can no longer be retrieved.".to_owned(),
            Self::ContentId => "This is not the id of any content.".to_owned(),
            Self::Languages => "Accept-Language must name one language.".to_owned(),
            Self::Language => "Accept-Language must be a language such as en-US.".to_owned(),
            Self::Throttled(_) => "Too many requests.".to_owned(),
            Self::Unavailable => "The service cannot answer now. Try again.".to_owned(),
            Self::Operation(_) => "There is no such operation.".to_owned(),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"error": {"code": self.code(), "message": self.message()}});
        let mut response = (self.status(), json(&body)).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Throttled(wait) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().saturating_add(1)));
            }
            _ => {}
        }
        response
    }
}

/// Answers with JSON.
pub fn json(body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => json_text(text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(), // No map has keys that are no text.
    }
}

/// Answers with a text that is JSON. Names the charset, as Microsoft does and some clients demand.
pub fn json_text(text: String) -> Response {
    let mut response = text.into_response();
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
