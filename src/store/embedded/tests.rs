//! The suite of all engines over this one, and what can happen to its folder.

use super::{EmbeddedStore, OpenError};
use crate::store::Store;
use crate::store::conformance::Place;
use std::sync::Arc;
use tempfile::TempDir;

struct Here(TempDir);

impl Place for Here {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn Store> {
        Arc::new(EmbeddedStore::open(self.0.path()).unwrap())
    }
}

crate::conformance!(Here);

#[test]
fn a_second_open_is_refused_until_the_first_is_gone() {
    let here = Here::new();
    let first = here.open();
    assert!(matches!(EmbeddedStore::open(here.0.path()), Err(OpenError::Locked)));
    drop(first);
    assert!(EmbeddedStore::open(here.0.path()).is_ok());
}
