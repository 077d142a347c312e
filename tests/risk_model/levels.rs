//! Level, score and latest exfiltration are what the naive model says.

use super::draft::{any_facts, now, rules};
use super::naive;
use super::run::run;
use proptest::prelude::*;
use riskshare::domain::level;

#[test]
fn level_score_and_latest_exfiltration_are_those_of_the_naive_model() {
    let tally = run(16_000, &(now(), rules(), any_facts()), |(now, rules, facts)| {
        let (rules, facts) = (rules.rules(), facts.facts(now));
        let naive = naive::level::assess(&facts, &rules, now);
        let real = level::assess(&facts, &rules, now);
        prop_assert_eq!((real.level, i64::from(real.score)), (naive.severity, naive.score));
        prop_assert_eq!(real.latest_exfiltration, naive.latest);
        prop_assert_eq!(real.as_of, now);
        let mut marks: Vec<String> = naive.marks.into_iter().map(str::to_owned).collect();
        marks.push(format!("{:?}", naive.severity));
        marks.push(format!("score in {}..{}", naive.score / 10 * 10, naive.score / 10 * 10 + 10));
        Ok(marks)
    });
    tally.expect(40, &["None", "Low", "Medium", "High"]);
    tally.expect(20, &["1: guest", "2: out of scope", "3: no exfiltration"]);
    tally.expect(20, &["unusual", "confidential", "highly confidential", "unallowed", "repeat", "priority"]);
    tally.expect(20, &["cumulative", "sequence", "obfuscation", "deletion", "implicit policy"]);
    tally.expect(10, &["engine alert", "imported alert"]);
    tally.expect(3, &["base 0", "exfiltration by import only"]);
    tally.expect(10, &["score in 30..40", "score in 60..70", "score in 90..100", "score in 100..110"]);
}
