//! Wire messages as canonical proto JSON.

use crate::pb;
use anyhow::Context;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

/// Returns a message as indented JSON with a line's end. `name` is its full name, such as
/// `riskshare.v1.EnrichedAlert`.
///
/// # Errors
/// Never for a message of the contract under its own name.
pub fn canonical(name: &str, message: &impl Message) -> anyhow::Result<String> {
    let pool = DescriptorPool::decode(pb::DESCRIPTORS)?;
    let descriptor = pool.get_message_by_name(name).with_context(|| format!("no message {name}"))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    Ok(serde_json::to_string_pretty(&dynamic)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_message_is_printed_with_proto_json_names() {
        let settings = pb::Settings { data_sharing_enabled: true, lookback_days: 90, ..Default::default() };
        let answer = pb::GetSettingsResponse { settings: Some(settings) };
        let text = canonical("riskshare.v1.GetSettingsResponse", &answer).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json!({"settings": {"dataSharingEnabled": true, "lookbackDays": 90}}));
    }
}
