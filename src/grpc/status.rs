//! The only place where a [`Status`] is made. Each has a canonical code and an `ErrorInfo` with a reason of
//! `error_reason.proto`, and none holds personal data or a rejected value.

use crate::auth::Unauthenticated;
use crate::domain::decision::Undecided;
use crate::domain::risk_alert::Status as AlertStatus;
use crate::gate::admission::{AuditUnavailable, Refusal, SharingOff, Unavailable};
use crate::gate::caller::Denied;
use crate::pb;
use crate::pb::ErrorReason;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "riskshare";

/// The name of a reason as `ErrorInfo` has it.
#[must_use]
pub fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

fn status(code: Code, reason: ErrorReason, message: &str, details: ErrorDetails) -> Status {
    status_of(code, reason, message, details, HashMap::new())
}

fn status_of(
    code: Code,
    reason: ErrorReason,
    message: &str,
    mut details: ErrorDetails,
    metadata: HashMap<String, String>,
) -> Status {
    details.set_error_info(reason_name(reason), DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

/// One field that breaks its bound: its path in the request, and what is wrong, without the value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The path.
    pub field: String,
    /// What is wrong.
    pub description: String,
}

impl Violation {
    /// Names a field.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// Why a request was refused before anything was done: a reason of INVALID_ARGUMENT and the fields at fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// INVALID_FIELD, UNKNOWN_FORMAT, PAGE_TOKEN_INVALID or BATCH_TOO_LARGE.
    pub reason: ErrorReason,
    /// The fields, never none.
    pub violations: Vec<Violation>,
}

impl Invalid {
    /// Returns a refusal for one field.
    pub fn one(reason: ErrorReason, field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { reason, violations: vec![Violation::new(field, description)] }
    }

    fn message(&self) -> String {
        match self.violations.as_slice() {
            [one] => format!("{}: {}", one.field, one.description),
            [one, rest @ ..] => format!("{}: {} (and {} more)", one.field, one.description, rest.len()),
            [] => "the request is invalid".to_owned(),
        }
    }

    /// Returns the refusal as a result of one alert of a page.
    #[must_use]
    pub fn into_refusal(self) -> pb::AlertRefusal {
        pb::AlertRefusal {
            code: Code::InvalidArgument.into(),
            reason: self.reason.into(),
            message: self.message(),
            violations: self
                .violations
                .into_iter()
                .take(VIOLATIONS_MAX)
                .map(|v| pb::FieldViolation { field: v.field, description: v.description })
                .collect(),
        }
    }
}

/// At most so many violations are named, so that the details fit into trailers and those of a page into its answer.
const VIOLATIONS_MAX: usize = 20;

impl From<Invalid> for Status {
    fn from(invalid: Invalid) -> Self {
        let mut details = ErrorDetails::new();
        for violation in invalid.violations.iter().take(VIOLATIONS_MAX) {
            details.add_bad_request_violation(&violation.field, &violation.description);
        }
        status(Code::InvalidArgument, invalid.reason, &invalid.message(), details)
    }
}

/// The refusal of a tenant that does not share: the same bytes whatever was asked.
#[must_use]
pub fn sharing_off(_: SharingOff) -> Status {
    status(
        Code::FailedPrecondition,
        ErrorReason::DataSharingOff,
        "User data is not available",
        ErrorDetails::new(),
    )
}

/// The refusal of a gate.
#[must_use]
pub fn refused(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Denied(denied) => denied_to(denied),
        Refusal::DeniedTooOften(wait) => {
            rate_limited("the caller asks too often for what it may not have; repeat the call later", wait)
        }
        Refusal::SharingOff(off) => sharing_off(off),
        Refusal::Unavailable(cause) => unavailable(&cause),
        Refusal::AuditUnavailable(cause) => audit_unavailable(&cause),
    }
}

fn denied_to(denied: Denied) -> Status {
    let details = ErrorDetails::new();
    match denied {
        Denied::Lapsed => unproven(),
        Denied::PermissionMissing => {
            let message = "the caller has no role that allows this call";
            status(Code::PermissionDenied, ErrorReason::PermissionMissing, message, details)
        }
        Denied::TenantMismatch => {
            let message = "the tenant is not one of the caller's";
            status(Code::PermissionDenied, ErrorReason::TenantMismatch, message, details)
        }
    }
}

/// The refusal of a caller who could not be made out. Why goes to the log, for the caller might be an attacker.
#[must_use]
pub fn unauthenticated(why: &Unauthenticated) -> Status {
    match why {
        Unauthenticated::Unproven(cause) => {
            tracing::info!(cause, "a caller was not authenticated");
            unproven()
        }
        Unauthenticated::Unavailable(cause) => {
            tracing::error!(cause, "callers cannot be authenticated now");
            let message = "callers cannot be authenticated now; repeat the call";
            status(Code::Unavailable, ErrorReason::IdentityUnavailable, message, ErrorDetails::new())
        }
    }
}

fn unproven() -> Status {
    let message = "the call has no credentials that are valid here and now";
    status(Code::Unauthenticated, ErrorReason::Unauthenticated, message, ErrorDetails::new())
}

/// What a store that cannot answer looks like from outside. The cause goes to the log.
#[must_use]
pub fn unavailable(cause: &Unavailable) -> Status {
    tracing::error!(cause = cause.0, "the store is unavailable");
    let message = "the store cannot answer now; repeat the call";
    status(Code::Unavailable, ErrorReason::StoreUnavailable, message, ErrorDetails::new())
}

/// What an audit log that cannot be written or read looks like from outside. The cause goes to the log.
#[must_use]
pub fn audit_unavailable(cause: &AuditUnavailable) -> Status {
    tracing::error!(cause = cause.0, "the audit log is unavailable");
    let message = "the call cannot be written down in the audit log now, so it was not answered; repeat it";
    status(Code::Unavailable, ErrorReason::AuditUnavailable, message, ErrorDetails::new())
}

/// The settings changed since the caller read them.
#[must_use]
pub fn etag_mismatch() -> Status {
    changed("the settings have changed since this etag was read; read them again and repeat")
}

fn changed(message: &str) -> Status {
    status(Code::Aborted, ErrorReason::EtagMismatch, message, ErrorDetails::new())
}

/// There is no such risk alert for the caller.
#[must_use]
pub fn risk_alert_not_found() -> Status {
    let message = "there is no such risk alert";
    status(Code::NotFound, ErrorReason::RiskAlertNotFound, message, ErrorDetails::new())
}

/// A decision about a risk alert was not taken.
#[must_use]
pub fn undecided(undecided: &Undecided) -> Status {
    match undecided {
        Undecided::Unknown => risk_alert_not_found(),
        Undecided::Changed => {
            changed("the risk alert has changed since this etag was read; read it again and repeat")
        }
        Undecided::Illegal { from, to } => {
            let (from, to) = (state(*from), state(*to));
            let message = format!("a risk alert does not go from {from} to {to}");
            status_of(
                Code::FailedPrecondition,
                ErrorReason::TransitionNotAllowed,
                &message,
                ErrorDetails::new(),
                [("from".to_owned(), from.to_owned()), ("to".to_owned(), to.to_owned())].into(),
            )
        }
    }
}

fn state(status: AlertStatus) -> &'static str {
    match status {
        AlertStatus::NeedsReview => "NEEDS_REVIEW",
        AlertStatus::Confirmed => "CONFIRMED",
        AlertStatus::Resolved => "RESOLVED",
        AlertStatus::Dismissed => "DISMISSED",
    }
}

/// The server has no room for the call, or the message is too large.
#[must_use]
pub fn overloaded(message: &str) -> Status {
    status(Code::ResourceExhausted, ErrorReason::Overloaded, message, ErrorDetails::new())
}

/// The message is larger than its service takes.
#[must_use]
pub fn too_large() -> Status {
    overloaded("the message is larger than the limit of this service; send less at once")
}

/// The answer is larger than clients take by default.
#[must_use]
pub fn answer_too_large() -> Status {
    overloaded("the answer would be larger than 4 MiB; ask about fewer users at once")
}

/// The tenant was asked about more often than it may be. `wait` says when there is room for one more.
#[must_use]
pub fn tenant_rate_limited(wait: Duration) -> Status {
    rate_limited("the tenant has as many calls a second as it may have; repeat the call later", wait)
}

fn rate_limited(message: &str, wait: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(wait));
    status(Code::ResourceExhausted, ErrorReason::RateLimited, message, details)
}

/// The time that the caller gave, or the server's own limit, is over.
#[must_use]
pub fn deadline_exceeded() -> Status {
    let message = "the time of the call is over; a call that changes something may have done so";
    status(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message, ErrorDetails::new())
}

/// A second message where a method takes one.
#[must_use]
pub fn one_message() -> Status {
    unsupported_call("the method takes one message")
}

/// A way of calling that no method has.
#[must_use]
pub fn unsupported() -> Status {
    unsupported_call("the method cannot be called in this way")
}

fn unsupported_call(message: &str) -> Status {
    status(Code::Unimplemented, ErrorReason::UnsupportedCall, message, ErrorDetails::new())
}

/// What came is no message.
#[must_use]
pub fn malformed() -> Status {
    let message = "the request is not a readable message";
    status(Code::Internal, ErrorReason::Internal, message, ErrorDetails::new())
}

/// Gives what the gRPC library says of a call our constant text and a reason: its own may repeat what was sent.
/// `None` when it needs neither.
#[must_use]
pub fn in_our_words(theirs: &Status) -> Option<Status> {
    if !theirs.details().is_empty() {
        return None;
    }
    match theirs.code() {
        Code::Internal => Some(malformed()),
        Code::OutOfRange => Some(too_large()),
        // Without a text it is a method that does not exist.
        Code::Unimplemented if !theirs.message().is_empty() => Some(unsupported()),
        _ => None,
    }
}

/// The refusal as the trailers that end an answer whose head is out.
///
/// # Errors
/// The refusal itself when it does not fit into headers, which ends the stream as well.
pub fn as_trailers(refusal: &Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    refusal.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}

/// The message holds more elements than any request may.
#[must_use]
pub fn too_many() -> Status {
    overloaded("the message holds more elements than a request may have; send less at once")
}

/// A fault of ours. `cause` goes to the log, the caller reads a constant.
#[must_use]
pub fn internal(cause: &str) -> Status {
    tracing::error!(cause, "internal fault");
    let details = ErrorDetails::new();
    status(
        Code::Internal,
        ErrorReason::Internal,
        "an internal fault; the log of the server holds the cause",
        details,
    )
}

/// A request that is not a readable message. Text that is not UTF-8 is the caller's field error; anything else is
/// what gRPC calls INTERNAL.
#[must_use]
pub fn unreadable(error: &prost::DecodeError) -> Status {
    let text = error.to_string();
    if text.contains("UTF-8") {
        return Invalid::one(ErrorReason::InvalidField, field_of(&text), "must be UTF-8").into();
    }
    tracing::info!("a request was not a readable message");
    malformed()
}

/// Finds the field's path in prost's text, `...message: Inner.field: Outer.field: invalid string value...`, the
/// innermost first: names of the contract only, nothing of the request.
fn field_of(text: &str) -> String {
    let names = text.split(": ").filter_map(|part| {
        let (message, field) = part.split_once('.')?;
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_name(message) && is_name(field)).then_some(field)
    });
    let mut path: Vec<_> = names.collect();
    path.reverse();
    if path.is_empty() { "request".to_owned() } else { path.join(".") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_its_reason_and_the_fields_at_fault() {
        let invalid = Invalid::one(ErrorReason::InvalidField, "tenant_id", "must be a UUID");
        let status = Status::from(invalid);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_FIELD", "riskshare"));
        let request = status.get_details_bad_request().unwrap();
        assert_eq!(request.field_violations[0].field, "tenant_id");
    }

    #[test]
    fn an_unreadable_request_is_logged_without_anything_of_it() {
        use prost::Message;
        use std::io::{Read, Seek};
        use std::sync::Arc;
        let error = pb::EnrichAlertRequest::decode(&b"\x0a\x7fjohn@contoso.com"[..]).unwrap_err();
        let mut log = Arc::new(tempfile::tempfile().unwrap());
        let subscriber = tracing_subscriber::fmt().with_writer(Arc::clone(&log)).finish();
        let status = tracing::subscriber::with_default(subscriber, || unreadable(&error));
        assert_eq!(status.code(), Code::Internal);
        let mut lines = String::new();
        log.rewind().unwrap();
        log.read_to_string(&mut lines).unwrap();
        assert!(lines.contains("INFO") && lines.contains("a request was not a readable message"), "{lines}");
        assert!(!lines.contains("john"), "{lines}");
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_by_the_path_of_its_field() {
        use prost::Message;
        let bad = [0x12, 3, 0x0a, 1, 0xff]; // alert { alert_id: "\xff" }
        let error = pb::EnrichAlertRequest::decode(&bad[..]).unwrap_err();
        let status = unreadable(&error);
        assert_eq!(status.code(), Code::InvalidArgument);
        let request = status.get_details_bad_request().unwrap();
        assert_eq!(request.field_violations[0].field, "alert.alert_id");
    }
}
