//! Risk alerts as reviewers see them.

pub use crate::store::{AlertCursor, AlertPage, ReviewedAlert};
