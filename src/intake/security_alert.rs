//! Security and Compliance alerts of the Management Activity API, RecordType 40: of DLP (`domain.md` 3.3) and of
//! insider risk management (`domain.md` section 5).

use crate::domain::dlp_alert::DlpAlert;
use crate::domain::ids::{PolicyId, RiskAlertId};
use crate::domain::risk_alert::{Origin, RiskAlert, Status};
use crate::domain::user::{Identity, IdentityKey};
use crate::intake::dlp_record::TITLE_BYTES_MAX;
use crate::intake::error::{Faults, FieldError, IntakeError};
use crate::intake::field::Field;
use crate::intake::json::Json;
use crate::intake::management_record::{self, SECURITY_ALERT};
use crate::intake::who::{self, Who};
use crate::intake::{ACTIVITY_TIME, AlertTimes, ImportedAlert, severity};

/// Reads an alert of category `DataLossPrevention`.
pub(super) fn dlp_alert(record: Field<'_>) -> Result<DlpAlert, IntakeError> {
    check_category(record, "DataLossPrevention", "must be DataLossPrevention")?;
    let mut faults = Faults::default();
    let common = management_record::common(record, &mut faults);
    faults.keep(check_operation(record.get("Operation")));
    let id = faults.keep(management_record::id(record.get("AlertId")));
    let severity = faults.keep(severity::of_dlp_alert(record.get("Severity")));
    let title = faults.keep(record.get("Name").required_text());
    let data = faults.keep(with_data(record.get("Data"), |data| {
        Ok((dlp_actor(data)?, data.get("dpn").text()?.unwrap_or_default().to_owned()))
    }));
    let alert = (|| {
        let (involved, policy_name) = data?;
        Some(DlpAlert {
            id: id?.into(),
            title: who::start_of(title?, TITLE_BYTES_MAX).to_owned(),
            policy_name: who::start_of(&policy_name, TITLE_BYTES_MAX).to_owned(),
            created_at: Some(common?.at),
            severity: severity?,
            involved,
        })
    })();
    faults.finish(alert)
}

/// Reads an alert of category `InsiderRiskManagement`.
///
/// The record says when it was written and not when the alert was first raised: both times of the alert are the
/// record's. Nor does it say whether exfiltration raised it, unless `Data` has our own `Exfiltration`.
pub(super) fn risk_alert(record: Field<'_>) -> Result<ImportedAlert, IntakeError> {
    let field = record.get("RecordType");
    if management_record::record_type(field)? != SECURITY_ALERT {
        return Err(field.fault("must be 40").into());
    }
    check_category(record, "InsiderRiskManagement", "must be InsiderRiskManagement")?;
    let mut faults = Faults::default();
    let common = management_record::common(record, &mut faults);
    faults.keep(check_operation(record.get("Operation")));
    let id = faults.keep(alert_id(record.get("AlertId")));
    let policy = faults.keep(policy_id(record.get_any(&["PolicyId", "Name"])));
    let severity = faults.keep(severity::of_risk_alert(record.get("Severity")));
    let status = faults.keep(status(record.get("Status")));
    let data = faults.keep(with_data(record.get("Data"), |data| {
        Ok((risk_user(data)?, data.get("Exfiltration").flag()?.unwrap_or(false)))
    }));
    let imported = (|| {
        let ((user, exfiltration), severity, status, at) = (data?, severity?, status?, common?.at);
        let alert = RiskAlert {
            id: id?,
            policy: policy?,
            severity,
            score: severity.cut(),
            status,
            origin: Origin::Imported { exfiltration },
            created_at: at,
            updated_at: at,
            closed_at: status.is_closed().then_some(at),
        };
        let times =
            AlertTimes { created_at: ACTIVITY_TIME, updated_at: ACTIVITY_TIME, closed_at: ACTIVITY_TIME };
        Some(ImportedAlert { user, alert, times })
    })();
    faults.finish(imported)
}

/// Reads the id of a risk alert.
pub(super) fn alert_id(field: Field<'_>) -> Result<RiskAlertId, FieldError> {
    RiskAlertId::new(field.required_text()?).map_err(|error| field.fault(error.to_string()))
}

/// Reads the id or name of the policy of a risk alert.
pub(super) fn policy_id(field: Field<'_>) -> Result<PolicyId, FieldError> {
    PolicyId::new(field.required_text()?).map_err(|error| field.fault(error.to_string()))
}

fn check_category(record: Field<'_>, wanted: &str, reason: &'static str) -> Result<(), FieldError> {
    let field = record.get("Category");
    if field.required_text()?.eq_ignore_ascii_case(wanted) { Ok(()) } else { Err(field.fault(reason)) }
}

fn check_operation(field: Field<'_>) -> Result<(), FieldError> {
    // An absent operation is a fault of the common part already.
    let Ok(Some(operation)) = field.text() else { return Ok(()) };
    let known = ["AlertTriggered", "AlertUpdated", "AlertEntityGenerated"];
    if known.iter().any(|known| known.eq_ignore_ascii_case(operation)) {
        return Ok(());
    }
    Err(field.fault("must be AlertTriggered, AlertUpdated or AlertEntityGenerated"))
}

/// Maps the words of the Management Activity API (`domain.md` 1.2).
fn status(field: Field<'_>) -> Result<Status, FieldError> {
    match field.required_text()?.to_ascii_lowercase().as_str() {
        "active" => Ok(Status::NeedsReview),
        "investigating" => Ok(Status::Confirmed),
        "resolved" => Ok(Status::Resolved),
        "dismissed" => Ok(Status::Dismissed),
        _ => Err(field.fault("must be Active, Investigating, Resolved or Dismissed")),
    }
}

/// Reads `Data`: JSON in a string, or unpacked by a shipper.
fn with_data<T>(
    field: Field<'_>,
    read: impl FnOnce(Field<'_>) -> Result<T, FieldError>,
) -> Result<T, FieldError> {
    if field.is_object() {
        return read(field);
    }
    match Json::parse(field.required_text()?) {
        Some(json @ Json::Object(_)) => read(field.with_root(&json)),
        _ => Err(field.fault("must be a JSON object in a string")),
    }
}

/// Reads the involved user: `f3u`, or the sender of a mail. `UserId` and `UserKey` are constants.
fn dlp_actor(data: Field<'_>) -> Result<Vec<Identity>, FieldError> {
    let field = data.get_any(&["f3u", "mfrm"]);
    match who::any_name(field)? {
        Who::Person(identity) => Ok(vec![identity]),
        Who::Service => Ok(Vec::new()),
        Who::Nobody => Err(field.missing()),
    }
}

/// Reads the user of a risk alert. Microsoft names the contents of `Data` and not its keys: the first of each list
/// is what we write, the others are what we have seen elsewhere.
fn risk_user(data: Field<'_>) -> Result<Identity, FieldError> {
    let upn = data.get_any(&["UserPrincipalName", "UPN", "UserUpn", "f3u"]);
    let id = data.get_any(&["UserId", "UserObjectId", "AadUserId", "UniqueUserId"]);
    let mut user = match who::any_name(upn)? {
        Who::Person(identity) => identity,
        Who::Service => return Err(upn.fault("names a service")),
        Who::Nobody => Identity::default(),
    };
    // The unique id may be of a kind that is no key of ours.
    if let Some(key) = id.text()?.and_then(|text| IdentityKey::object_id(text).ok()) {
        user = user.with(key);
    }
    if user.is_empty() { Err(upn.missing()) } else { Ok(user) }
}
