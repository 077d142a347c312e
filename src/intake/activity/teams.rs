//! Teams: chats and messages with links that reach another organisation.

use crate::intake::activity::external::Home;
use crate::intake::activity::{Found, Sign, first_text};
use crate::intake::error::FieldError;
use crate::intake::field::Field;
use crate::intake::management_record::Common;

pub(super) fn sign(record: Field<'_>, common: &Common<'_>) -> Found {
    let (operation, in_chat) = match common.operation.as_str() {
        "chatcreated" => ("ChatCreated", true),
        "messagecreatedhaslink" => ("MessageCreatedHasLink", record.get("ChannelType").is_absent()),
        _ => return Ok(None),
    };
    let Some(destination) = outside(record)? else { return Ok(None) };
    Ok(Some(Sign {
        indicator: if in_chat { "TeamsChatFileSharedExternal" } else { "TeamsChannelFileSharedExternal" },
        operation,
        object_name: first_text(record, &["ObjectId", "ChatName", "ChannelName"])?,
        destination,
    }))
}

/// Returns who is outside, or nothing if nobody is. The record may say that somebody is without saying who.
fn outside(record: Field<'_>) -> Result<Option<String>, FieldError> {
    let home = Home::of(record)?;
    let mut people = Vec::new();
    for member in record.get("Members").items()? {
        people.extend(member.get("UPN").text()?.filter(|upn| home.is_outside(upn)));
    }
    let participants = record.get("ParticipantInfo");
    let said = participants.get("HasForeignTenantUsers").flag()?.unwrap_or(false)
        || participants.get("HasGuestUsers").flag()?.unwrap_or(false);
    Ok((said || !people.is_empty()).then(|| people.join("; ")))
}
