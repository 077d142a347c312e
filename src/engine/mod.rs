//! What is true now, and answers about it.

pub mod recorder;
pub mod decisions;
mod shelf;
pub mod reading;
pub mod audit_log;
pub mod alerts;
pub mod feed;
