//! Texts that many activities have in common are kept once.

use crate::domain::activity::Activity;
use crate::domain::user::Personal;
use std::collections::HashSet;
use std::sync::Arc;

/// The most texts of a kind that are looked up. Later new ones are kept as they come.
const TEXTS_MAX: usize = 16_384;

/// The texts of one tenant.
#[derive(Default)]
pub struct Texts {
    operations: HashSet<Arc<str>>,
    destinations: HashSet<Personal>,
}

impl Texts {
    /// Lets an activity share the operation and the destination with others.
    pub fn share(&mut self, activity: Activity) -> Activity {
        let operation = shared(&mut self.operations, activity.operation);
        let destination = shared(&mut self.destinations, activity.destination);
        Activity { operation, destination, ..activity }
    }
}

fn shared<T: Clone + Eq + std::hash::Hash>(known: &mut HashSet<T>, text: T) -> T {
    if let Some(same) = known.get(&text) {
        return same.clone();
    }
    if known.len() < TEXTS_MAX {
        known.insert(text.clone());
    }
    text
}
