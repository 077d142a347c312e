//! OCSF Data Security Finding, class 2006 (`domain.md` 3.4).

use crate::domain::dlp_alert::{self, AlertSeverity, DlpAlert, INVOLVED_USERS_MAX};
use crate::domain::user::{Identity, IdentityKey, is_service_name};
use crate::intake::dlp_record::TITLE_BYTES_MAX;
use crate::intake::error::{Faults, FieldError, IntakeError};
use crate::intake::field::Field;
use crate::intake::who::{self, Who};
use crate::intake::{instant, management_record};
use chrono::{DateTime, Utc};

const DATA_SECURITY_FINDING: i64 = 2006;

/// Reads a finding.
pub(super) fn dlp_alert(record: Field<'_>) -> Result<DlpAlert, IntakeError> {
    let class = record.get("class_uid");
    if class.integer()? != Some(DATA_SECURITY_FINDING) {
        return Err(class.fault("must be 2006, Data Security Finding").into());
    }
    let mut faults = Faults::default();
    let finding = record.get("finding_info");
    let id = faults.keep(management_record::id(finding.get("uid")));
    let title = faults.keep(finding.get("title").text());
    let created_at = faults.keep(created_at(record));
    let severity = faults.keep(severity(record.get("severity_id")));
    let policy = faults.keep(record.get("data_security").get("policy").get("name").text());
    let involved = faults.keep(involved(record));
    let alert = (|| {
        Some(DlpAlert {
            id: id?.into(),
            title: who::start_of(title?.unwrap_or_default(), TITLE_BYTES_MAX).to_owned(),
            policy_name: who::start_of(policy?.unwrap_or_default(), TITLE_BYTES_MAX).to_owned(),
            created_at: Some(created_at?),
            severity: severity?,
            involved: involved?,
        })
    })();
    faults.finish(alert)
}

/// Reads when the finding was created, or else when the event happened; `_dt` twins hold text.
fn created_at(record: Field<'_>) -> Result<DateTime<Utc>, FieldError> {
    let finding = record.get("finding_info");
    for place in [finding.get("created_time"), record.get("time")] {
        if let Some(millis) = place.integer()? {
            return instant::from_millis(millis)
                .ok_or_else(|| place.fault("must be milliseconds of the years 1970 to 2261"));
        }
    }
    for place in [finding.get("created_time_dt"), record.get("time_dt")] {
        if let Some(at) = place.time()? {
            return Ok(at);
        }
    }
    Err(record.get("time").missing())
}

fn severity(field: Field<'_>) -> Result<Option<AlertSeverity>, FieldError> {
    match field.integer()? {
        None | Some(0 | 99) => Ok(None),
        Some(1) => Ok(Some(AlertSeverity::Informational)),
        Some(2) => Ok(Some(AlertSeverity::Low)),
        Some(3) => Ok(Some(AlertSeverity::Medium)),
        Some(4..=6) => Ok(Some(AlertSeverity::High)), // High, Critical, Fatal.
        Some(_) => Err(field.fault("must be 0 to 6, or 99")),
    }
}

/// Reads the actor. A finding without one, such as of data at rest, involves the owners of the data [I].
fn involved(record: Field<'_>) -> Result<Vec<Identity>, FieldError> {
    let actor = record.get("actor").get("user");
    if actor.is_object() {
        return Ok(match user(actor)? {
            Who::Person(identity) => vec![identity],
            Who::Service => Vec::new(),
            Who::Nobody => return Err(actor.fault("names nobody: it needs a uid, name or email_addr")),
        });
    }
    let resources = record.get("resources");
    let owners = resources.items()?.chain([record.get("file")]).map(|resource| resource.get("owner"));
    let mut involved = Vec::new();
    for owner in owners {
        if let Who::Person(identity) = user(owner)? {
            involved.push(identity);
        }
    }
    let involved = dlp_alert::distinct(involved);
    if involved.len() > INVOLVED_USERS_MAX {
        return Err(resources.fault("must name at most 1000 users"));
    }
    Ok(involved)
}

fn user(field: Field<'_>) -> Result<Who, FieldError> {
    if is_service_type(field.get("type_id"))? {
        return Ok(Who::Service);
    }
    let mut identity = Identity::default();
    for place in [field.get("uid"), field.get("uid_alt")] {
        // A uid may be of any directory; only object ids and SIDs are keys of ours.
        let key = |text| IdentityKey::object_id(text).or_else(|_| IdentityKey::sid(text)).ok();
        identity = place.text()?.and_then(key).into_iter().fold(identity, Identity::with);
    }
    let (name, domain) = (field.get("name"), field.get("domain").text()?);
    match (name.text()?, domain) {
        (Some(name), _) if is_service_name(name) => return Ok(Who::Service),
        (Some(text), _) if text.contains(['@', '\\']) => {
            if let Who::Person(person) = who::any_name(name)? {
                identity.absorb(&person);
            }
        }
        (Some(text), Some(domain)) => {
            let key = IdentityKey::account(&format!("{domain}\\{text}"));
            identity = identity.with(key.map_err(|error| who::key_fault(name, error))?);
        }
        (Some(_), None) | (None, _) => {} // A bare name is anybody's.
    }
    if let Who::Person(person) = who::address(field.get("email_addr"))? {
        identity.absorb(&person);
    }
    if identity.is_empty() {
        return Ok(Who::Nobody);
    }
    if identity.is_service() {
        return Ok(Who::Service);
    }
    who::named(identity, field.get("full_name")).map(Who::Person)
}

/// 3 is System and 4 is Service.
fn is_service_type(field: Field<'_>) -> Result<bool, FieldError> {
    match field.integer()? {
        None | Some(0..=2 | 99) => Ok(false),
        Some(3 | 4) => Ok(true),
        Some(_) => Err(field.fault("must be 0 to 4, or 99")),
    }
}
