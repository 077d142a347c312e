//! What every record of the Office 365 Management Activity API has (`domain.md` section 5, "Common schema").

use crate::domain::ids::check_text;
use crate::intake::error::{Faults, FieldError};
use crate::intake::field::Field;
use chrono::{DateTime, Utc};

pub(super) const EXCHANGE_ADMIN: i64 = 1;
pub(super) const EXCHANGE_ITEM: i64 = 2;
pub(super) const EXCHANGE_ITEM_GROUP: i64 = 3;
pub(super) const SHAREPOINT_FILE: i64 = 6;
pub(super) const DLP_SHAREPOINT: i64 = 11;
pub(super) const DLP_EXCHANGE: i64 = 13;
pub(super) const SHAREPOINT_SHARING: i64 = 14;
pub(super) const SECURITY_ALERT: i64 = 40;
pub(super) const EXCHANGE_ITEM_AGGREGATED: i64 = 50;
pub(super) const DLP_ENDPOINT: i64 = 63;
/// What newer metadata calls a DLP match of a device. Activities of devices are read from 63 alone: read from both,
/// one copy would count twice.
pub(super) const COMPLIANCE_DLP_ENDPOINT: i64 = 108;
/// A record type that is given by a name which is not in [`NAMES`].
const OTHER: i64 = -1;

/// Names that some exports give instead of the number.
const NAMES: [(&str, i64); 11] = [
    ("ExchangeAdmin", EXCHANGE_ADMIN),
    ("ExchangeItem", EXCHANGE_ITEM),
    ("ExchangeItemGroup", EXCHANGE_ITEM_GROUP),
    ("ExchangeItemAggregated", EXCHANGE_ITEM_AGGREGATED),
    ("SharePointFileOperation", SHAREPOINT_FILE),
    ("ComplianceDLPSharePoint", DLP_SHAREPOINT),
    ("ComplianceDLPExchange", DLP_EXCHANGE),
    ("SharePointSharingOperation", SHAREPOINT_SHARING),
    ("SecurityComplianceAlerts", SECURITY_ALERT),
    ("DLPEndpoint", DLP_ENDPOINT),
    ("ComplianceDLPEndpoint", COMPLIANCE_DLP_ENDPOINT),
];

/// The common part of a record.
pub(super) struct Common<'j> {
    /// Its id, unique per record.
    pub(super) id: &'j str,
    /// When it was written.
    pub(super) at: DateTime<Utc>,
    /// Its type. The list of types is open: a number that is not known is no fault.
    pub(super) record_type: i64,
    /// Its operation, in lower case: casing varies (`domain.md` 3.2).
    pub(super) operation: String,
}

/// Reads the common part.
pub(super) fn common<'j>(record: Field<'j>, faults: &mut Faults) -> Option<Common<'j>> {
    let id = faults.keep(id(record.get("Id")));
    let at = faults.keep(record.get("CreationTime").required_time());
    let record_type = faults.keep(record_type(record.get("RecordType")));
    let operation = faults.keep(record.get("Operation").required_text());
    faults.keep(record.get("UserId").required_text());
    Some(Common { id: id?, at: at?, record_type: record_type?, operation: operation?.to_ascii_lowercase() })
}

/// The longest id of an alert in the caller's system, in bytes.
const ID_BYTES_MAX: usize = 256;

/// Reads an id.
pub(super) fn id(field: Field<'_>) -> Result<&str, FieldError> {
    let id = field.required_text()?;
    check_text(id, ID_BYTES_MAX).map_err(|error| field.fault(error.to_string()))?;
    Ok(id)
}

/// Reads the record type: a number, a number in a string, or a name.
pub(super) fn record_type(field: Field<'_>) -> Result<i64, FieldError> {
    if let Ok(Some(number)) = field.integer() {
        return Ok(number);
    }
    if field.is_absent() {
        return Err(field.missing());
    }
    let name =
        field.text().ok().flatten().filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let name = name.ok_or_else(|| field.fault("must be a number or a name"))?;
    let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    Ok(known.map_or(OTHER, |(_, number)| *number))
}

/// Says whether the user type is one of those that are no people: data centre administrators, the system,
/// applications, service principals and policies.
pub(super) fn is_service_type(field: Field<'_>) -> Result<bool, FieldError> {
    const NAMES: [&str; 11] = [
        "Regular",
        "Reserved",
        "Admin",
        "DcAdmin",
        "System",
        "Application",
        "ServicePrincipal",
        "CustomPolicy",
        "SystemPolicy",
        "PartnerTechnician",
        "Guest",
    ];
    const SERVICES: std::ops::RangeInclusive<i64> = 3..=8;
    let number = match (field.is_absent(), field.integer(), field.text()) {
        (true, ..) => return Ok(false),
        (_, Ok(number), _) => number,
        (_, _, Ok(Some(name))) => NAMES
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))
            .and_then(|at| i64::try_from(at).ok()),
        _ => None,
    };
    match number {
        Some(number @ 0..=10) => Ok(SERVICES.contains(&number)),
        _ => Err(field.fault("must be one of the user types 0 to 10")),
    }
}
