//! The gRPC adapter: parse, admit, read, disclose; nothing else. Never names the store or a rule.

pub mod status;
pub mod reply;
pub mod codec;
pub mod handover;
