//! Outside JSON to domain values, or which field is wrong. Tolerant of fields it does not know, strict about what
//! the others mean. Decides nothing.
//!
//! One file a format: `graph_alert` for Microsoft Graph, `management_record` and its neighbours for the Office
//! 365 Management Activity API, `ocsf` for OCSF. `docs/formats.md` says what each field means. A record is read
//! into a small tree and not by derived structs, so that a refusal names the field at fault, keys may come in any
//! letter case, and a key that stands twice is noticed.

mod activity;
mod dlp_record;
mod error;
mod field;
mod graph_alert;
mod graph_evidence;
mod instant;
mod json;
mod management_record;
mod ocsf;
mod records;
mod security_alert;
mod severity;
mod who;

use crate::domain::activity::Activity;
use crate::domain::dlp_alert::DlpAlert;
use crate::domain::risk_alert::RiskAlert;
use crate::domain::user::Identity;
use field::Field;
use json::Json;

pub use error::{FIELD_ERRORS_MAX, FieldError, IntakeError};
pub use json::RECORD_BYTES_MAX;
pub use records::{FILE_BYTES_MAX, RECORDS_MAX, records};

/// What an audit record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuditRecord {
    /// A person did something that an indicator detects.
    Activity {
        /// Who: at least one key.
        user: Identity,
        /// What.
        activity: Activity,
    },
    /// The record is well formed, and of no indicator, or of a service account.
    Ignored,
}

/// A risk alert of insider risk management.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportedAlert {
    /// Whose: at least one key.
    pub user: Identity,
    /// The alert; its origin is [`crate::domain::risk_alert::Origin::Imported`].
    pub alert: RiskAlert,
    /// Where the record says when the alert was raised, updated and closed.
    pub times: AlertTimes,
}

/// The fields of a record from which the times of a risk alert are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named as in the alert")]
pub struct AlertTimes {
    pub created_at: &'static str,
    pub updated_at: &'static str,
    pub closed_at: &'static str,
}

/// The field of an audit record that says when it happened.
pub const ACTIVITY_TIME: &str = "CreationTime";

/// Reads a DLP alert: Microsoft Graph `security/alerts_v2`, a Management Activity API DLP record (RecordType 11,
/// 13, 63 or 108) or RecordType 40 DLP alert, or OCSF Data Security Finding (`domain.md` section 3).
///
/// # Errors
/// [`IntakeError`]; an alert of another product is a fault of the field that says so.
pub fn dlp_alert(json: &str) -> Result<DlpAlert, IntakeError> {
    const ACCEPTED: &str = "Microsoft Graph alerts_v2 alert; Office 365 Management Activity API DLP record or \
                            RecordType 40 alert; OCSF Data Security Finding (class_uid 2006)";
    let json = open(json)?;
    let record = Field::root(&json);
    match format_of(record) {
        Some(Format::Graph) => graph_alert::dlp_alert(record),
        Some(Format::Management) => dlp_record::dlp_alert(record),
        Some(Format::Ocsf) => ocsf::dlp_alert(record),
        None => Err(IntakeError::UnknownFormat { accepted: ACCEPTED }),
    }
}

/// Reads a Management Activity API audit record (`domain.md` section 4).
///
/// # Errors
/// [`IntakeError`].
pub fn activity(json: &str) -> Result<AuditRecord, IntakeError> {
    const ACCEPTED: &str = "Office 365 Management Activity API audit record";
    let json = open(json)?;
    let record = Field::root(&json);
    match format_of(record) {
        Some(Format::Management) => activity::audit_record(record),
        _ => Err(IntakeError::UnknownFormat { accepted: ACCEPTED }),
    }
}

/// Reads a risk alert: a RecordType 40 record of category `InsiderRiskManagement`, or a Microsoft Graph alert whose
/// source is insider risk management (`domain.md` 1.2 and 5).
///
/// # Errors
/// [`IntakeError`]; an alert of another product is a fault of the field that says so.
pub fn risk_alert(json: &str) -> Result<ImportedAlert, IntakeError> {
    const ACCEPTED: &str =
        "Office 365 Management Activity API RecordType 40 record; Microsoft Graph alerts_v2 alert";
    let json = open(json)?;
    let record = Field::root(&json);
    match format_of(record) {
        Some(Format::Graph) => graph_alert::risk_alert(record),
        Some(Format::Management) => security_alert::risk_alert(record),
        _ => Err(IntakeError::UnknownFormat { accepted: ACCEPTED }),
    }
}

enum Format {
    Graph,
    Management,
    Ocsf,
}

/// Tells the formats apart by a key that only one of them has.
fn format_of(record: Field<'_>) -> Option<Format> {
    let has = |keys: &[&'static str]| !record.get_any(keys).is_absent();
    if !record.is_object() {
        None
    } else if has(&["class_uid"]) {
        Some(Format::Ocsf)
    } else if has(&["RecordType", "Operation"]) {
        Some(Format::Management)
    } else if has(&["serviceSource", "detectionSource", "evidence"]) {
        Some(Format::Graph)
    } else {
        None
    }
}

fn open(text: &str) -> Result<Json<'_>, IntakeError> {
    check_size(text)?;
    Json::parse(text).ok_or(IntakeError::NotJson)
}

fn check_size(text: &str) -> Result<(), FieldError> {
    if text.len() <= RECORD_BYTES_MAX {
        return Ok(());
    }
    Err(FieldError { field: String::new(), reason: "must be at most 1 MiB".into() })
}
