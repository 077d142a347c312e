//! DLP records of the Management Activity API: Exchange, SharePoint and OneDrive, endpoint (`domain.md` 3.2).

use crate::domain::dlp_alert::{AlertSeverity, DlpAlert};
use crate::domain::user::Identity;
use crate::intake::error::{Faults, FieldError, IntakeError};
use crate::intake::field::Field;
use crate::intake::management_record::{
    self, COMPLIANCE_DLP_ENDPOINT, Common, DLP_ENDPOINT, DLP_EXCHANGE, DLP_SHAREPOINT, SECURITY_ALERT,
};
use crate::intake::who::{self, Who};
use crate::intake::{security_alert, severity};

/// The longest title or policy name, in bytes. A longer one is cut.
pub(super) const TITLE_BYTES_MAX: usize = 1024;

/// Reads a record of a DLP rule match, or an alert of RecordType 40.
pub(super) fn dlp_alert(record: Field<'_>) -> Result<DlpAlert, IntakeError> {
    let field = record.get("RecordType");
    match management_record::record_type(field)? {
        SECURITY_ALERT => security_alert::dlp_alert(record),
        DLP_SHAREPOINT | DLP_EXCHANGE | DLP_ENDPOINT | COMPLIANCE_DLP_ENDPOINT => rule_match(record),
        _ => Err(field.fault("must be of a DLP record: 11, 13, 40, 63 or 108").into()),
    }
}

fn rule_match(record: Field<'_>) -> Result<DlpAlert, IntakeError> {
    let mut faults = Faults::default();
    let common = management_record::common(record, &mut faults);
    if let Some(common) = &common {
        faults.keep(check_operation(common, record.get("Operation")));
    }
    let involved = common.as_ref().and_then(|common| faults.keep(involved(record, common.record_type)));
    let policy = common.as_ref().and_then(|common| faults.keep(policy(record, common.record_type)));
    let alert = common.zip(involved).zip(policy).map(|((common, involved), policy)| DlpAlert {
        id: common.id.into(),
        title: String::new(),
        policy_name: who::start_of(policy.name, TITLE_BYTES_MAX).to_owned(),
        created_at: Some(common.at),
        severity: policy.severity,
        involved,
    });
    faults.finish(alert)
}

/// A match that was undone, or an event that only informs, is no alert. An endpoint record has the operation of
/// the activity.
fn check_operation(common: &Common<'_>, field: Field<'_>) -> Result<(), FieldError> {
    if is_endpoint(common.record_type) || common.operation == "dlprulematch" {
        return Ok(());
    }
    Err(field.fault("must be DlpRuleMatch"))
}

/// Reads the actor: the metadata first, then `UserId`; `UserKey` holds a service's name (`domain.md` 3.2, "Actor
/// rule"). Of an endpoint, `UserId` only.
fn involved(record: Field<'_>, record_type: i64) -> Result<Vec<Identity>, FieldError> {
    let metadata = match record_type {
        DLP_EXCHANGE => record.get("ExchangeMetaData").get("From"),
        DLP_SHAREPOINT => record.get("SharePointMetaData").get("From"),
        _ => record.get("UserId"),
    };
    for (place, exchange) in [(metadata, record_type == DLP_EXCHANGE), (record.get("UserId"), false)] {
        let who = if exchange { who::address(place)? } else { who::any_name(place)? };
        if let Who::Person(identity) = who {
            return Ok(vec![identity]);
        }
    }
    // Only services acted, and it says so; without metadata, nobody can tell.
    if metadata.is_absent() { Err(metadata.missing()) } else { Ok(Vec::new()) }
}

fn is_endpoint(record_type: i64) -> bool {
    matches!(record_type, DLP_ENDPOINT | COMPLIANCE_DLP_ENDPOINT)
}

struct Policy<'j> {
    name: &'j str,
    severity: Option<AlertSeverity>,
}

/// Reads the first policy's name and the highest severity of all rules that matched.
fn policy(record: Field<'_>, record_type: i64) -> Result<Policy<'_>, FieldError> {
    let details = record.get("PolicyDetails");
    let mut found: Option<Policy<'_>> = None;
    for policy in details.items()? {
        let severity = rules_severity(policy.get("Rules"))?;
        let name = policy.get("PolicyName").text()?.unwrap_or_default();
        let so_far = found.get_or_insert(Policy { name, severity });
        so_far.severity = severity::higher(so_far.severity, severity);
    }
    match found {
        Some(policy) => Ok(policy),
        None if is_endpoint(record_type) => endpoint_policy(record.get("PolicyMatchInfo")),
        None => Err(details.missing()),
    }
}

fn rules_severity(rules: Field<'_>) -> Result<Option<AlertSeverity>, FieldError> {
    rules.items()?.try_fold(None, |highest, rule| {
        Ok(severity::higher(highest, severity::of_dlp_alert(rule.get("Severity"))?))
    })
}

/// Endpoint activity is recorded with or without a match; without one there is no alert.
fn endpoint_policy(info: Field<'_>) -> Result<Policy<'_>, FieldError> {
    let name = info.get("PolicyName").text()?;
    let name = name.ok_or_else(|| info.fault("names no policy: the record is an activity and no alert"))?;
    Ok(Policy { name, severity: None })
}
