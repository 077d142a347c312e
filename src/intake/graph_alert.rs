//! Microsoft Graph `security/alerts_v2`: alerts of DLP (`domain.md` 3.1) and of insider risk management (1.2).

use crate::domain::dlp_alert::{self, DlpAlert, INVOLVED_USERS_MAX};
use crate::domain::risk_alert::{Origin, RiskAlert, Status};
use crate::domain::user::Identity;
use crate::intake::dlp_record::TITLE_BYTES_MAX;
use crate::intake::error::{Faults, FieldError, IntakeError};
use crate::intake::field::Field;
use crate::intake::graph_evidence::{Mention, mentions};
use crate::intake::{AlertTimes, ImportedAlert, management_record, security_alert, severity, who};
use chrono::{DateTime, Utc};

const DLP: [&str; 2] = ["dataLossPrevention", "microsoftDataLossPrevention"];
const INSIDER_RISK: [&str; 1] = ["microsoftInsiderRiskManagement"];

/// Reads an alert whose source is DLP.
pub(super) fn dlp_alert(record: Field<'_>) -> Result<DlpAlert, IntakeError> {
    check_source(record, &DLP, "must be dataLossPrevention or microsoftDataLossPrevention")?;
    let mut faults = Faults::default();
    let id = faults.keep(management_record::id(record.get("id")));
    let created_at = faults.keep(record.get("createdDateTime").required_time());
    let severity = faults.keep(severity::of_dlp_alert(record.get("severity")));
    let title = faults.keep(record.get("title").text());
    let evidence = record.get("evidence");
    let mentions = mentions(evidence, &mut faults).into_iter().map(|mention| mention.identity);
    let involved = dlp_alert::distinct(mentions.collect());
    if involved.len() > INVOLVED_USERS_MAX {
        faults.note(evidence.fault("must name at most 1000 users"));
    }
    let alert = (|| {
        Some(DlpAlert {
            id: id?.into(),
            title: who::start_of(title?.unwrap_or_default(), TITLE_BYTES_MAX).to_owned(),
            policy_name: String::new(), // The alert has its policy's id only.
            created_at: Some(created_at?),
            severity: severity?,
            involved,
        })
    })();
    faults.finish(alert)
}

/// Reads an alert whose source is insider risk management. Exfiltration raised it if its category says so [I].
pub(super) fn risk_alert(record: Field<'_>) -> Result<ImportedAlert, IntakeError> {
    check_source(record, &INSIDER_RISK, "must be microsoftInsiderRiskManagement")?;
    let mut faults = Faults::default();
    let id = faults.keep(security_alert::alert_id(record.get("id")));
    let policy = faults.keep(security_alert::policy_id(record.get_any(&["alertPolicyId", "detectorId"])));
    let severity = faults.keep(severity::of_risk_alert(record.get("severity")));
    let status = faults.keep(status(record));
    let created_at = faults.keep(record.get("createdDateTime").required_time());
    let updated_at = faults.keep(record.get("lastUpdateDateTime").required_time());
    let resolved_at = faults.keep(record.get("resolvedDateTime").time());
    let exfiltration = faults.keep(is_exfiltration(record));
    let mentions = mentions(record.get("evidence"), &mut faults);
    let user = faults.keep(one_user(record.get("evidence"), mentions));
    let imported = (|| {
        let (severity, status, updated_at) = (severity?, status?, updated_at?);
        let alert = RiskAlert {
            id: id?,
            policy: policy?,
            severity,
            score: severity.cut(),
            status,
            origin: Origin::Imported { exfiltration: exfiltration? },
            created_at: created_at?,
            updated_at,
            closed_at: closed_at(status, resolved_at?, updated_at),
        };
        let resolved =
            if resolved_at.flatten().is_some() { "resolvedDateTime" } else { "lastUpdateDateTime" };
        let times = AlertTimes {
            created_at: "createdDateTime",
            updated_at: "lastUpdateDateTime",
            closed_at: resolved,
        };
        Some(ImportedAlert { user: user?, alert, times })
    })();
    faults.finish(imported)
}

fn closed_at(
    status: Status,
    resolved_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    status.is_closed().then(|| resolved_at.unwrap_or(updated_at))
}

/// Checks that one of the two sources is the wanted one, and neither is of the other product that is read here.
fn check_source(record: Field<'_>, wanted: &[&str], reason: &'static str) -> Result<(), FieldError> {
    let sources = [record.get("serviceSource"), record.get("detectionSource")];
    let mut found = false;
    for field in sources {
        let Some(source) = field.text()? else { continue };
        let is_one_of = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(source));
        if is_one_of(wanted) {
            found = true;
        } else if is_one_of(&DLP) || is_one_of(&INSIDER_RISK) {
            return Err(field.fault(reason));
        } else if source == "unknownFutureValue" {
            return Err(field.fault("is hidden: ask with the header Prefer: include-unknown-enum-members"));
        }
    }
    if found { Ok(()) } else { Err(source_fault(sources[0], reason)) }
}

fn source_fault(service: Field<'_>, reason: &'static str) -> FieldError {
    if service.is_absent() { service.missing() } else { service.fault(reason) }
}

/// Maps Defender's status and classification (`domain.md` 1.2). The classification counts once it is resolved.
fn status(record: Field<'_>) -> Result<Status, FieldError> {
    let field = record.get("status");
    match field.required_text()?.to_ascii_lowercase().as_str() {
        "new" | "inprogress" => Ok(Status::NeedsReview),
        "resolved" => classification(record.get("classification")),
        _ => Err(field.fault("must be new, inProgress or resolved")),
    }
}

fn classification(field: Field<'_>) -> Result<Status, FieldError> {
    match field.text()?.unwrap_or("unknown").to_ascii_lowercase().as_str() {
        "truepositive" => Ok(Status::Confirmed),
        "falsepositive" | "informationalexpectedactivity" | "unknown" => Ok(Status::Dismissed),
        _ => {
            Err(field.fault("must be unknown, truePositive, falsePositive or informationalExpectedActivity"))
        }
    }
}

fn is_exfiltration(record: Field<'_>) -> Result<bool, FieldError> {
    let mut words = record.get("categories").items()?.chain([record.get("category")]);
    words.try_fold(false, |found, field| {
        Ok(found || field.text()?.is_some_and(|word| word.eq_ignore_ascii_case("exfiltration")))
    })
}

/// A risk alert is of one user: the policy's violator, or else everybody who is named, who must be one.
fn one_user(evidence: Field<'_>, mut mentions: Vec<Mention>) -> Result<Identity, FieldError> {
    if mentions.iter().any(|mention| mention.violator) {
        mentions.retain(|mention| mention.violator);
    }
    let mut mentions = mentions.into_iter().map(|mention| mention.identity);
    let mut user = mentions.next().ok_or_else(|| evidence.fault("must name the user"))?;
    for other in mentions {
        if !user.is_compatible(&other) || !other.keys().any(|key| user.has(key)) {
            return Err(evidence.fault("must name one user"));
        }
        user.absorb(&other);
    }
    Ok(user)
}
