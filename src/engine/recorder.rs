//! Takes facts in.

use crate::domain::facts::{Batch, Fact, Outcome};
use crate::domain::time::{FUTURE_SKEW_MINUTES, UtcDay};
use crate::domain::user::Identity;
use crate::gate::admission::{Permit, Refusal, Unavailable};
use crate::store::Store;
use crate::telemetry::METRICS;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;

/// Records facts.
pub struct Recorder {
    store: Arc<dyn Store>,
}

/// What became of a fact that was understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// It was committed, with that outcome.
    Committed(Outcome),
    /// It happened before the horizon and was not kept.
    OutsideWindow,
}

/// Says whether an instant is further ahead of `now` than clocks may differ.
#[must_use]
pub fn is_future(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at > now + TimeDelta::minutes(FUTURE_SKEW_MINUTES)
}

fn happened_at(fact: &Fact) -> Option<DateTime<Utc>> {
    if let Fact::Activity { activity, .. } = fact { Some(activity.at) } else { None }
}

fn measure(outcomes: &[Outcome], outside: usize, lag: Option<TimeDelta>) {
    let count = |of: fn(&Outcome) -> bool| outcomes.iter().filter(|one| of(one)).count();
    METRICS.ingested("accepted", count(|one| matches!(one, Outcome::Accepted)));
    METRICS.ingested("duplicate", count(|one| matches!(one, Outcome::Duplicate)));
    METRICS.ingested("conflict", count(|one| matches!(one, Outcome::Conflict(_))));
    METRICS.ingested("outside_window", outside);
    if let Some(lag) = lag {
        METRICS.ingest_lag.observe(lag.as_seconds_f64().max(0.0));
    }
}

impl Recorder {
    /// Erases whom the keys point at, and returns how many people that were once nothing of them is left; `None`, and
    /// nobody is erased, when they cannot be one.
    ///
    /// # Errors
    /// When it cannot be written down; or when the store cannot answer: they may then have been erased, and repeating it
    /// is safe.
    pub async fn erase(&self, permit: &Permit, person: &Identity) -> Result<Option<i32>, Refusal> {
        let event = permit.change(Vec::new());
        let erased = self.store.erase(permit.tenant(), person, event).await?;
        Ok(erased.map(|count| i32::try_from(count).unwrap_or(i32::MAX)))
    }

    /// Returns the recorder of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Records facts, and returns once they are durable: one outcome each, in order. Applied together or not at all.
    ///
    /// # Errors
    /// When the store cannot answer; the facts may then have been recorded, and repeating them is safe.
    pub async fn record(&self, permit: &Permit, facts: Vec<Fact>) -> Result<Vec<Recorded>, Unavailable> {
        let horizon = UtcDay::of(permit.at()).horizon_start();
        let is_kept =
            |fact: &Fact| !matches!(fact, Fact::Activity { activity, .. } if activity.day() < horizon);
        let kept: Vec<bool> = facts.iter().map(is_kept).collect();
        let facts: Vec<Fact> = facts.into_iter().filter(is_kept).collect();
        let newest = facts.iter().filter_map(happened_at).max();
        let outcomes = if facts.is_empty() {
            Vec::new()
        } else {
            let batch = Batch { tenant: permit.tenant(), at: permit.at(), facts };
            self.store.commit(batch).await?
        };
        measure(&outcomes, kept.iter().filter(|kept| !**kept).count(), newest.map(|at| permit.at() - at));
        let mut outcomes = outcomes.into_iter();
        let missing = || Unavailable("the store gave too few outcomes".to_owned());
        kept.into_iter()
            .map(|kept| {
                if kept {
                    outcomes.next().map(Recorded::Committed).ok_or_else(missing)
                } else {
                    Ok(Recorded::OutsideWindow)
                }
            })
            .collect()
    }
}
