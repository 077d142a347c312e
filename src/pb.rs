//! The wire types, generated from `proto/riskshare/v1`.
#![allow(clippy::all, clippy::pedantic, clippy::disallowed_methods, missing_docs, reason = "generated")]

tonic::include_proto!("riskshare.v1");

/// The descriptors of all services, for reflection and for printing messages as JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
