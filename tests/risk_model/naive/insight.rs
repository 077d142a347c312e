//! Section 2, daily insights.

use super::Seen;
use riskshare::domain::activity::Sensitivity;
use riskshare::domain::indicator::Indicator;

/// What a policy score is made of.
#[derive(Clone, Debug)]
pub struct Insight {
    pub age: i64,
    pub score: i64,
    /// What happened on the way, so that a test can count what it has seen.
    pub marks: Vec<&'static str>,
}

/// What raises scores, apart from the activities.
#[derive(Clone, Copy)]
pub struct Raise {
    pub cutoff: i64,
    pub repeat: bool,
    pub priority: bool,
}

/// The activities of one indicator on one day.
pub fn of_day<'a>(seen: &'a [Seen], indicator: &Indicator, age: i64) -> Vec<&'a Seen> {
    seen.iter().filter(|a| a.indicator.name() == indicator.name() && a.age == age).collect()
}

pub fn base(n: i64, [t1, t2, t3]: [i64; 3]) -> i64 {
    if n < t1 {
        15 * n / t1
    } else if n < t2 {
        16 + 17 * (n - t1) / (t2 - t1)
    } else if n < t3 {
        34 + 32 * (n - t2) / (t3 - t2)
    } else {
        67 + 33 * (n - t3).min(t3) / t3
    }
}

pub fn is_unusual(seen: &[Seen], indicator: &Indicator, age: i64, cutoff: i64) -> bool {
    let n = count(of_day(seen, indicator, age).len());
    let mut w = 0;
    let mut p = 0;
    for earlier in age + 1..=age + 90 {
        if earlier <= 119 {
            w += 1;
            p += count(of_day(seen, indicator, earlier).len());
        }
    }
    n >= cutoff && w >= 14 && n * w > 3 * p
}

/// The insight of one indicator on one day on which there was something.
pub fn daily(seen: &[Seen], indicator: &Indicator, age: i64, thresholds: [i64; 3], raise: Raise) -> Insight {
    let all = of_day(seen, indicator, age);
    let base = base(count(all.len()), thresholds);
    let mut insight = Insight { age, score: base, marks: vec![] };
    if base == 0 {
        insight.marks.push("base 0");
        return insight;
    }
    let mut boost = |points, mark| {
        insight.score += points;
        insight.marks.push(mark);
    };
    if is_unusual(seen, indicator, age, raise.cutoff) {
        boost(20, "unusual");
    }
    if all.iter().any(|a| a.sensitivity == Sensitivity::HighlyConfidential) {
        boost(16, "highly confidential");
    } else if all.iter().any(|a| a.sensitivity == Sensitivity::Confidential) {
        boost(8, "confidential");
    }
    if all.iter().any(|a| a.unallowed) {
        boost(10, "unallowed");
    }
    if raise.repeat {
        boost(15, "repeat");
    }
    if raise.priority {
        boost(10, "priority");
    }
    insight.score = insight.score.min(100);
    insight
}

pub fn count(len: usize) -> i64 {
    i64::try_from(len).unwrap()
}
