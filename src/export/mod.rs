//! Domain values in outside formats: one file each.

pub mod csv;
