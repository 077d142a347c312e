//! What is served over HTTP/1.1, to those who speak no gRPC.

pub mod management_api;
pub mod metrics;
