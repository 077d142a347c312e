//! What is true now, and answers about it.

pub mod recorder;
pub mod decisions;
pub mod assessor;
pub mod reading;
pub mod audit_log;
pub mod alerts;
pub mod feed;
