//! Audit records to activities: which operation is a sign of which indicator (`domain.md` section 4).
//!
//! A record tells nothing of whether the organisation allows the destination, so `unallowed_destination` is never
//! set here.

mod endpoint;
mod exchange;
mod external;
mod power_bi;
mod sharepoint;
mod teams;

use crate::domain::activity::{Activity, Sensitivity};
use crate::domain::ids::ActivityId;
use crate::domain::indicator::Indicator;
use crate::domain::user::{Personal, is_service_name};
use crate::intake::AuditRecord;
use crate::intake::error::{Faults, FieldError, IntakeError};
use crate::intake::field::Field;
use crate::intake::management_record::{self, Common, DLP_ENDPOINT};
use crate::intake::who::{self, Who};

/// The longest object name, in bytes. Of a longer one the end is kept: the file's name is there.
const OBJECT_NAME_BYTES_MAX: usize = 4096;
/// The longest destination, in bytes. A longer one is cut.
const DESTINATION_BYTES_MAX: usize = 2048;

/// What a record of an indicator says.
struct Sign {
    indicator: &'static str,
    /// The operation in the product's spelling.
    operation: &'static str,
    object_name: String,
    destination: String,
}

/// Nothing when the record is of no indicator.
type Found = Result<Option<Sign>, FieldError>;

/// Reads an audit record. A service's record is not looked into.
pub(super) fn audit_record(record: Field<'_>) -> Result<AuditRecord, IntakeError> {
    let mut faults = Faults::default();
    let common = management_record::common(record, &mut faults);
    let is_service = faults.keep(is_service(record));
    let (common, is_service) = faults.finish(common.zip(is_service))?;
    if is_service {
        return Ok(AuditRecord::Ignored);
    }
    let Some(sign) = sign(record, &common)? else { return Ok(AuditRecord::Ignored) };
    activity(record, &common, &sign)
}

fn activity(record: Field<'_>, common: &Common<'_>, sign: &Sign) -> Result<AuditRecord, IntakeError> {
    let mut faults = Faults::default();
    let id = ActivityId::new(common.id).map_err(|error| record.get("Id").fault(error.to_string()));
    let id = faults.keep(id);
    let user = faults.keep(who::any_name(record.get("UserId")));
    let sensitivity = faults.keep(sensitivity(record));
    let read = (|| {
        let Who::Person(user) = user? else { return Some(AuditRecord::Ignored) };
        let activity = Activity {
            id: id?,
            at: common.at,
            indicator: Indicator::named(sign.indicator),
            operation: sign.operation.into(),
            object_name: Personal::new(who::end_of(&sign.object_name, OBJECT_NAME_BYTES_MAX)),
            destination: Personal::new(who::start_of(&sign.destination, DESTINATION_BYTES_MAX)),
            sensitivity: sensitivity?,
            unallowed_destination: false,
        };
        Some(AuditRecord::Activity { user, activity })
    })();
    faults.finish(read)
}

/// Operations of one name are recorded by devices and by SharePoint: the record type tells them apart.
fn sign(record: Field<'_>, common: &Common<'_>) -> Found {
    if common.record_type == DLP_ENDPOINT {
        return endpoint::sign(record, &common.operation);
    }
    for read in [sharepoint::sign, exchange::sign, teams::sign, power_bi::sign] {
        if let Some(sign) = read(record, common)? {
            return Ok(Some(sign));
        }
    }
    Ok(None)
}

fn is_service(record: Field<'_>) -> Result<bool, FieldError> {
    let named = record.get("UserId").text()?.is_some_and(is_service_name);
    Ok(management_record::is_service_type(record.get("UserType"))? || named)
}

/// A record has its label's id and not its rank: it is known to be labelled, and no more [I].
fn sensitivity(record: Field<'_>) -> Result<Sensitivity, FieldError> {
    let event = record.get("SensitivityLabelEventData");
    let nested = if event.is_object() { event.get("SensitivityLabelId").text()? } else { None };
    let label = record.get("SensitivityLabelId").text()?.or(nested);
    Ok(if label.is_some() { Sensitivity::General } else { Sensitivity::None })
}

/// Returns the first text that is there, or an empty one.
fn first_text(record: Field<'_>, keys: &[&'static str]) -> Result<String, FieldError> {
    Ok(record.get_any(keys).text()?.unwrap_or_default().to_owned())
}
