//! Severities as the formats spell them.

use crate::domain::dlp_alert::AlertSeverity;
use crate::domain::severity::Severity;
use crate::intake::error::FieldError;
use crate::intake::field::Field;

/// Reads the severity of a DLP alert, in any letter case. `unknown` is a word of Graph and is none.
pub(super) fn of_dlp_alert(field: Field<'_>) -> Result<Option<AlertSeverity>, FieldError> {
    let Some(word) = field.text()? else { return Ok(None) };
    match word.to_ascii_lowercase().as_str() {
        "unknown" => Ok(None),
        "informational" => Ok(Some(AlertSeverity::Informational)),
        "low" => Ok(Some(AlertSeverity::Low)),
        "medium" => Ok(Some(AlertSeverity::Medium)),
        "high" => Ok(Some(AlertSeverity::High)),
        _ => Err(field.fault("must be informational, low, medium or high")),
    }
}

/// Reads the severity of a risk alert, which is never none (`domain.md` 9, reading 12).
pub(super) fn of_risk_alert(field: Field<'_>) -> Result<Severity, FieldError> {
    match field.required_text()?.to_ascii_lowercase().as_str() {
        "low" => Ok(Severity::Low),
        "medium" => Ok(Severity::Medium),
        "high" => Ok(Severity::High),
        _ => Err(field.fault("must be low, medium or high")),
    }
}

/// Returns the higher of two.
pub(super) fn higher(one: Option<AlertSeverity>, other: Option<AlertSeverity>) -> Option<AlertSeverity> {
    let rank = |severity: &AlertSeverity| match severity {
        AlertSeverity::Informational => 0,
        AlertSeverity::Low => 1,
        AlertSeverity::Medium => 2,
        AlertSeverity::High => 3,
    };
    one.into_iter().chain(other).max_by_key(rank)
}
