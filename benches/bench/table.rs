//! Samples in rounds, and what is said of them: medians, ranges, ratios within a round.

use crate::bench::load::Called;
use std::fmt;
use std::fmt::{Display, Formatter};
use std::time::Duration;

/// What was measured of some calls at once.
pub struct Sample {
    calls: u32,
    elapsed: Duration,
    cpu: Duration,
    took: Vec<Duration>,
    answered: usize,
}

impl Sample {
    /// Returns what calls come to that took `elapsed` in all and `cpu` in the program that answered them.
    pub fn new(calls: Vec<Called>, elapsed: Duration, cpu: Duration) -> Self {
        let answered = calls.iter().map(|call| call.answered).sum();
        let mut took: Vec<_> = calls.into_iter().map(|call| call.took).collect();
        took.sort_unstable();
        Self { calls: u32::try_from(took.len()).unwrap_or(u32::MAX), elapsed, cpu, took, answered }
    }

    /// Returns how many calls there were in a second.
    pub fn calls_a_second(&self) -> f64 {
        f64::from(self.calls) / self.elapsed.as_secs_f64()
    }

    /// Returns how long the calls took in all, in us.
    pub fn micros(&self) -> f64 {
        self.elapsed.as_secs_f64() * 1e6
    }

    /// Adds the CPU time of another program that helped.
    pub fn with(self, cpu: Duration) -> Self {
        Self { cpu: self.cpu + cpu, ..self }
    }

    /// Returns the mean bytes of an answer's message, without the five that stand before it.
    pub fn answer_bytes(&self) -> usize {
        (self.answered / self.took.len().max(1)).saturating_sub(5)
    }

    fn millis_of(&self, percent: usize) -> f64 {
        let at = (self.took.len() * percent / 100).min(self.took.len().saturating_sub(1));
        self.took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1_000.0)
    }
}

/// Samples by name, one a round.
pub struct Table {
    /// What is counted: a call, or something of which a call has several.
    unit: &'static str,
    units_a_call: u32,
    series: Vec<(&'static str, Vec<Sample>)>,
}

impl Table {
    /// Returns a table of figures for each of the `units_a_call` units of a call.
    pub fn of(unit: &'static str, units_a_call: u32) -> Self {
        Self { unit, units_a_call, series: Vec::new() }
    }

    /// Adds this round's sample. The first name of all is what the others are compared with.
    pub fn add(&mut self, name: &'static str, sample: Sample) {
        match self.series.iter_mut().find(|(known, _)| *known == name) {
            Some((_, samples)) => samples.push(sample),
            None => self.series.push((name, vec![sample])),
        }
    }

    /// Prints the table, in Markdown.
    pub fn print(&self) {
        let (unit, first) = (self.unit, self.series[0].0);
        println!(
            "\n| | CPU of one {unit}, us | CPU beside {first} | rate, 1/s | p50 of a call, ms | p99, ms |"
        );
        println!("|---|---|---|---|---|---|");
        for (name, samples) in &self.series {
            let spread = |of: &dyn Fn(&Sample) -> f64| Spread::of(samples.iter().map(of));
            println!(
                "| {name} | {} | {} | {} | {} | {} |",
                spread(&|sample| self.micros(sample)),
                self.ratio(samples, &self.series[0].1),
                spread(&|sample| self.rate(sample)),
                spread(&|sample| sample.millis_of(50)),
                spread(&|sample| sample.millis_of(99)),
            );
        }
    }

    /// Returns how the 99th percentile of one series compares with that of another.
    pub fn p99_ratio(&self, name: &str, with: &str) -> Spread {
        self.compare(name, with, |sample| sample.millis_of(99))
    }

    /// Returns how the rate of one series compares with that of another.
    pub fn rate_ratio(&self, name: &str, with: &str) -> Spread {
        self.compare(name, with, |sample| self.rate(sample))
    }

    /// Returns how the CPU time of one series compares with that of another.
    pub fn cpu_ratio(&self, name: &str, with: &str) -> Spread {
        self.compare(name, with, |sample| self.micros(sample))
    }

    fn compare(&self, name: &str, with: &str, figure: impl Fn(&Sample) -> f64) -> Spread {
        let of = |name| {
            let (_, samples) = self.series.iter().find(|(known, _)| *known == name).expect("a series");
            samples.iter().map(&figure)
        };
        Spread::of(of(name).zip(of(with)).map(|(one, other)| one / other))
    }

    fn ratio(&self, samples: &[Sample], base: &[Sample]) -> Spread {
        Spread::of(samples.iter().zip(base).map(|(one, base)| self.micros(one) / self.micros(base)))
    }

    fn micros(&self, sample: &Sample) -> f64 {
        sample.cpu.as_secs_f64() * 1e6 / f64::from(sample.calls * self.units_a_call)
    }

    fn rate(&self, sample: &Sample) -> f64 {
        f64::from(sample.calls * self.units_a_call) / sample.elapsed.as_secs_f64()
    }
}

/// The median of some figures, and the range in which they lie.
pub struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |n: usize| figures.get(n).copied().unwrap_or(f64::NAN);
        Self { low: at(0), median: at(figures.len() / 2), high: at(figures.len().saturating_sub(1)) }
    }
}

impl Display for Spread {
    /// Shows three digits of each.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = [1.0, 10.0, 100.0].iter().filter(|bound| self.median < **bound).count();
        let Self { low, median, high } = self;
        write!(f, "{median:.digits$} ({low:.digits$} to {high:.digits$})")
    }
}
