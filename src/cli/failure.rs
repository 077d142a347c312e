//! Why a command could not do its work, as a person reads it.

use crate::cli::terminal::visible;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a command could not do its work.
#[derive(Debug)]
pub enum Failure {
    /// The server refused the call.
    Refused(Box<Status>),
    /// Nothing that speaks gRPC answered, or the server said that it cannot answer now.
    Unavailable {
        /// The address.
        server: String,
        /// What came instead of an answer.
        status: Box<Status>,
    },
    /// Anything on this side: a file, the configuration, the server that `serve` could not start.
    Local(anyhow::Error),
}

impl Failure {
    /// Returns what a call's error means.
    #[must_use]
    pub fn of_call(server: &str, status: Status) -> Self {
        if is_unavailable(&status) {
            return Self::Unavailable { server: server.to_owned(), status: Box::new(status) };
        }
        Self::Refused(Box::new(status))
    }

    /// Returns 2 when trying again later may help, else 1.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unavailable { .. } => ExitCode::from(2),
            Self::Refused(_) | Self::Local(_) => ExitCode::FAILURE,
        }
    }
}

/// Says whether the call may succeed later as it is. The client itself never cancels: CANCELLED is what it makes of
/// a deadline. A status with a source was made on this side, of a connection that broke; its code may be any.
#[must_use]
pub fn is_unavailable(status: &Status) -> bool {
    let is_code = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled);
    is_code || status.source().is_some()
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Local(error.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "riskshare: {}", refusal(status)),
            Self::Unavailable { server, status } if status.get_error_details().error_info().is_some() => {
                write!(f, "riskshare: {server} cannot answer now\n{}", refusal(status))
            }
            Self::Unavailable { server, status } => {
                write!(f, "riskshare: cannot reach {server}: {}", visible(&root_cause(status)))
            }
            Self::Local(error) => write!(f, "riskshare: {}", sentence(error)),
        }
    }
}

/// Returns a refusal in lines: code and message, the reason, and each field at fault. Whoever answers may be no server
/// of ours: its words must not steer the terminal.
fn refusal(status: &Status) -> String {
    let details = status.get_error_details();
    let mut lines = vec![format!("{}: {}", code_name(status.code()), visible(status.message()))];
    lines.extend(details.error_info().map(|info| format!("  reason  {}", visible(&info.reason))));
    let violations = details.bad_request().map(|request| request.field_violations.as_slice());
    for violation in violations.unwrap_or_default() {
        lines.push(format!("  field   {}: {}", visible(&violation.field), visible(&violation.description)));
    }
    lines.join("\n")
}

/// Returns an error and its causes, but not twice what says it twice: some libraries put the cause in the message.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Returns a code's canonical name, such as `INVALID_ARGUMENT`.
#[must_use]
pub fn code_name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// Returns the innermost error: the outer ones say only that the transport failed.
fn root_cause(status: &Status) -> String {
    let mut cause: &dyn Error = status;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if cause.is::<Status>() { status.message().to_owned() } else { cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::status::Invalid;
    use crate::pb::ErrorReason;

    #[test]
    fn a_refusal_is_read_line_by_line() {
        let invalid = Invalid::one(ErrorReason::InvalidField, "tenant_id", "must be a UUID");
        let failure = Failure::of_call("http://127.0.0.1:1", invalid.into());
        assert_eq!(
            failure.to_string(),
            "riskshare: INVALID_ARGUMENT: tenant_id: must be a UUID\n  reason  INVALID_FIELD\n  \
             field   tenant_id: must be a UUID"
        );
    }

    #[test]
    fn what_a_server_says_does_not_steer_the_terminal() {
        let invalid = Invalid::one(ErrorReason::InvalidField, "a\u{1b}[2J", "b\u{202e}c\nd");
        for status in [invalid.into(), Status::from(std::io::Error::other("gone\u{1b}[2J"))] {
            let told = Failure::of_call("http://127.0.0.1:1", status).to_string();
            assert!(told.contains('\u{FFFD}'), "{told:?}");
            assert!(!told.contains(['\u{1b}', '\u{202e}']) && told.lines().count() <= 3, "{told:?}");
        }
    }

    #[test]
    fn a_cause_is_told_once() {
        let io = std::io::Error::other("no room");
        let error = anyhow::Error::new(io).context("cannot write: no room").context("stopped");
        assert_eq!(Failure::Local(error).to_string(), "riskshare: stopped: cannot write: no room");
    }

    #[test]
    fn codes_have_their_canonical_names() {
        let names = [Code::Ok, Code::FailedPrecondition, Code::Unavailable].map(code_name);
        assert_eq!(names, ["OK", "FAILED_PRECONDITION", "UNAVAILABLE"]);
    }
}
