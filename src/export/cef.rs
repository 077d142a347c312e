//! A record in ArcSight's Common Event Format, version 0.

use crate::domain::content::AlertRecord;
use crate::domain::ids::TenantId;
use crate::domain::severity::Severity;
use crate::export::management_record::{guid, operation, policy_name, word};
use crate::export::person::Person;
use std::fmt::Write;

/// Returns a record as one line.
#[must_use]
pub fn line(tenant: TenantId, record: &AlertRecord) -> String {
    let AlertRecord { alert, first, .. } = record;
    let header = ["CEF:0", "riskshare", "riskshare", env!("CARGO_PKG_VERSION"), operation(*first)];
    let name = format!("Insider risk alert: {}", policy_name(record));
    let mut line = format!("{}|{}|{}|", header.join("|"), head(&name), severity(alert.severity));
    let person = Person::of(&record.identity);
    let fields = [
        ("rt", alert.updated_at.timestamp_millis().to_string()),
        ("start", alert.created_at.timestamp_millis().to_string()),
        ("externalId", record.id.to_string()),
        ("cat", "InsiderRiskManagement".to_owned()),
        ("act", operation(*first).to_owned()),
        ("outcome", word(alert.status).to_owned()),
        ("suser", person.called()),
        ("suid", person.unique()),
        ("cs1Label", "alertId".to_owned()),
        ("cs1", guid(tenant, alert.id.as_str()).to_string()),
        ("cs2Label", "policyId".to_owned()),
        ("cs2", guid(tenant, alert.policy.as_str()).to_string()),
        ("cs3Label", "tenantId".to_owned()),
        ("cs3", tenant.to_string()),
        ("cs4Label", "severity".to_owned()),
        ("cs4", alert.severity.word().to_owned()),
        ("cn1Label", "riskScore".to_owned()),
        ("cn1", alert.score.to_string()),
    ];
    for (at, (key, value)) in fields.iter().enumerate() {
        let space = if at == 0 { "" } else { " " };
        write!(line, "{space}{key}={}", extension(value)).expect("memory takes everything");
    }
    line
}

/// Returns where the severity lies between 0 and 10: CEF calls up to 3 low, up to 6 medium, up to 8 high.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::None => 0,
        Severity::Low => 3,
        Severity::Medium => 6,
        Severity::High => 8,
    }
}

/// Keeps a text of the header from ending its field, or the line.
fn head(text: &str) -> String {
    escaped(text, &['\\', '|'])
}

/// Keeps a value from being taken for the next key, or from ending the line.
fn extension(text: &str) -> String {
    escaped(text, &['\\', '='])
}

fn escaped(text: &str, marks: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if marks.contains(&c) {
            out.push('\\');
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_ends_a_field_or_the_line_with_a_name() {
        assert_eq!(head("a|b\\c=d\ne"), "a\\|b\\\\c=d e");
        assert_eq!(extension("a|b\\c=d\r\ne"), "a|b\\\\c\\=d  e");
    }
}
