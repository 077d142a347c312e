//! Exchange: mail that was sent (RecordType 2, 3, 50: the mailbox audit) and forwarding that was set up (1).

use crate::intake::activity::external::{Home, addresses};
use crate::intake::activity::{Found, Sign, first_text};
use crate::intake::error::FieldError;
use crate::intake::field::Field;
use crate::intake::management_record::{
    Common, EXCHANGE_ADMIN, EXCHANGE_ITEM, EXCHANGE_ITEM_AGGREGATED, EXCHANGE_ITEM_GROUP,
};

pub(super) fn sign(record: Field<'_>, common: &Common<'_>) -> Found {
    match (common.record_type, common.operation.as_str()) {
        (EXCHANGE_ADMIN, "new-inboxrule") => forwarding(record, "New-InboxRule"),
        (EXCHANGE_ADMIN, "set-mailbox") => forwarding(record, "Set-Mailbox"),
        // Which of the three is not sure (`domain.md` section 4).
        (EXCHANGE_ITEM | EXCHANGE_ITEM_GROUP | EXCHANGE_ITEM_AGGREGATED, operation) => match operation {
            "send" => sent(record, "Send"),
            "sendas" => sent(record, "SendAs"),
            "sendonbehalf" => sent(record, "SendOnBehalf"),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// A mail counts when it has an attachment and somebody outside gets it. Many records name no recipients: of them
/// nothing is assumed.
fn sent(record: Field<'_>, operation: &'static str) -> Found {
    let item = record.get("Item");
    let attachments = attachments(item.get("Attachments"))?;
    let recipients = [record.get("recipientList"), item.get("recipientList")];
    let home = Home::of(record)?;
    let mut outside = Vec::new();
    for recipient in recipients[0].items()?.chain(recipients[1].items()?) {
        let address = recipient.get("Address").required_text()?;
        outside.extend(addresses(address).filter(|address| home.is_outside(address)));
    }
    if attachments.is_empty() || outside.is_empty() {
        return Ok(None);
    }
    Ok(Some(Sign {
        indicator: "EmailExternal",
        operation,
        object_name: attachments,
        destination: outside.join("; "),
    }))
}

/// Returns the names without their sizes: a sequence is joined by the file's name (`risk-model.md` 3).
fn attachments(field: Field<'_>) -> Result<String, FieldError> {
    let text = field.text()?.unwrap_or_default();
    let names = text.split(';').map(without_size).filter(|name| !name.is_empty());
    Ok(names.collect::<Vec<_>>().join("; "))
}

/// `report.xlsx (12345b)` is `report.xlsx`.
fn without_size(name: &str) -> &str {
    let name = name.trim();
    let is_size = |text: &str| {
        text.strip_suffix("b)").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    match name.rsplit_once(" (") {
        Some((bare, size)) if is_size(size) => bare.trim_end(),
        _ => name,
    }
}

/// A rule or mailbox that sends mail on counts when the address is outside. A parameter that is empty takes
/// forwarding away, and a name without a domain is of the organisation.
fn forwarding(record: Field<'_>, operation: &'static str) -> Found {
    let home = Home::of(record)?;
    let (mut outside, mut identity) = (Vec::new(), String::new());
    for parameter in record.get("Parameters").items()? {
        let name = parameter.get("Name").required_text()?.to_ascii_lowercase();
        if name.starts_with("forward") || name.starts_with("redirect") {
            let value = parameter.get("Value").text()?.unwrap_or_default();
            outside.extend(addresses(value).filter(|address| home.is_outside(address)));
        } else if name == "identity" || (name == "name" && identity.is_empty()) {
            identity = first_text(parameter, &["Value"])?;
        }
    }
    if outside.is_empty() {
        return Ok(None);
    }
    Ok(Some(Sign {
        indicator: "MailForwardingRuleExternal",
        operation,
        object_name: identity,
        destination: outside.join("; "),
    }))
}
