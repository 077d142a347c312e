//! Why a record is refused. No message holds a value, or a key, of the record.

use std::borrow::Cow;
use std::fmt;

/// The most fields that one refusal names.
pub const FIELD_ERRORS_MAX: usize = 20;

/// One field that is missing, or does not mean what it must.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// Its path in the record, in the format's own spelling, such as `PolicyDetails[0].Rules[1].Severity`. Empty
    /// for the record as a whole.
    pub field: String,
    /// What is wrong and what would be right, without the value.
    pub reason: Cow<'static, str>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.field.is_empty() { "the record" } else { &self.field })?;
        write!(f, " {}", self.reason)
    }
}

/// Why a record is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IntakeError {
    /// It is not JSON in UTF-8, or is nested more than 127 deep.
    #[error("the record is not JSON, or is nested too deep")]
    NotJson,
    /// It is JSON of a shape that is not read here.
    #[error("the record is none of: {accepted}")]
    UnknownFormat {
        /// The shapes that are.
        accepted: &'static str,
    },
    /// Its format is known, and fields of it are at fault: at least one, at most [`FIELD_ERRORS_MAX`].
    #[error("{}", sentence(.0))]
    Field(Vec<FieldError>),
}

fn sentence(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl From<FieldError> for IntakeError {
    fn from(error: FieldError) -> Self {
        Self::Field(vec![error])
    }
}

/// Collects the faults of a record, so that one refusal names them all.
#[derive(Default)]
pub(super) struct Faults(Vec<FieldError>);

impl Faults {
    /// Returns the value, or notes the fault.
    pub(super) fn keep<T>(&mut self, result: Result<T, FieldError>) -> Option<T> {
        result.map_err(|error| self.note(error)).ok()
    }

    /// Notes a fault.
    pub(super) fn note(&mut self, error: FieldError) {
        if self.0.len() < FIELD_ERRORS_MAX {
            self.0.push(error);
        }
    }

    /// Says whether there is none so far.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value if there is no fault and all its parts were read.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, IntakeError> {
        debug_assert!(value.is_some() || !self.is_empty(), "a refusal names a field");
        match value {
            Some(value) if self.is_empty() => Ok(value),
            _ => Err(IntakeError::Field(self.0)),
        }
    }
}
