//! Runs a property and counts what its cases have seen, so that it cannot pass by never getting there.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// How many cases have seen each mark.
pub struct Tally {
    cases: u32,
    marks: BTreeMap<String, u32>,
}

impl Tally {
    /// Asserts that at least so many cases of a thousand have seen each of the marks.
    pub fn expect(&self, per_thousand: u32, marks: &[&str]) {
        for mark in marks {
            let seen = self.marks.get(*mark).copied().unwrap_or(0);
            assert!(
                u64::from(seen) * 1_000 >= u64::from(per_thousand) * u64::from(self.cases),
                "`{mark}` in {seen} of {} cases only; all: {:?}",
                self.cases,
                self.marks
            );
        }
    }
}

/// Runs a property that returns the marks that it has seen.
pub fn run<S: Strategy>(
    cases: u32,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<Vec<String>, TestCaseError>,
) -> Tally
where
    S::Value: Debug,
{
    let tally = RefCell::new(Tally { cases, marks: BTreeMap::new() });
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(strategy, |case| {
        let marks: BTreeSet<String> = property(case)?.into_iter().collect();
        for mark in marks {
            *tally.borrow_mut().marks.entry(mark).or_default() += 1;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    tally.into_inner()
}
