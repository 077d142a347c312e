//! Domain values in outside formats: one file each.

mod person;

#[cfg(test)]
mod golden;

pub mod csv;
pub mod content_item;
pub mod ediscovery;
pub mod management_record;
pub mod ocsf;
pub mod cef;
pub mod syslog;
