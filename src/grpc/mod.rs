//! The gRPC adapter: parse, admit, read, disclose.

pub mod reply;
pub mod codec;
