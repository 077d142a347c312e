//! A record as a syslog message (RFC 5424) in a frame of known length (RFC 6587 3.4.1, which RFC 5425 demands over TLS).
//!
//! Crates that make such messages stamp them with the time at which they are made. Ours is the time of the change, and
//! a message that is sent again is the same message.

use crate::domain::content::AlertRecord;
use crate::domain::severity::Severity;
use crate::export::management_record::operation;
use chrono::SecondsFormat;

/// The facility: log audit.
const FACILITY: u8 = 13;
/// The longest message. RFC 5425 demands that a receiver takes 2,048 bytes, and hopes for 8,192.
pub const MESSAGE_BYTES_MAX: usize = 8_192;

/// Returns the frame of a record whose text in some format is `text`, which must be one line. A longer text than a
/// receiver must take is cut.
#[must_use]
pub fn frame(record: &AlertRecord, text: &str) -> String {
    let priority = FACILITY * 8 + severity(record.alert.severity);
    let at = record.alert.updated_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut message = format!("<{priority}>1 {at} - riskshare - {} - {text}", operation(record.first));
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    format!("{} {message}", message.len())
}

fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::None => 6,   // informational
        Severity::Low => 5,    // notice
        Severity::Medium => 4, // warning
        Severity::High => 2,   // critical
    }
}
