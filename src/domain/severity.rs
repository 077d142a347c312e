//! The four levels and their cuts.

/// A level of insider risk. Ordered: `None` is the lowest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Not in scope, or no exfiltration activity. Does not mean "safe".
    None,
    /// Scores 1 to 33.
    Low,
    /// Scores 34 to 66.
    Medium,
    /// Scores 67 to 100; Microsoft's published cut.
    High,
}

impl Severity {
    /// Returns the severity of a score (`risk-model.md` 4).
    #[must_use]
    pub fn of_score(score: i32) -> Self {
        match score {
            i32::MIN..=0 => Self::None,
            1..=33 => Self::Low,
            34..=66 => Self::Medium,
            67.. => Self::High,
        }
    }

    /// Returns the lowest score of this severity, 0 for `None`.
    #[must_use]
    pub fn cut(self) -> i32 {
        match self {
            Self::None => 0,
            Self::Low => 1,
            Self::Medium => 34,
            Self::High => 67,
        }
    }

    /// Returns the word of the Insider risk severity column (`domain.md` 1.1, fact 6).
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_the_lowest_score_of_its_severity() {
        for severity in [Severity::Low, Severity::Medium, Severity::High] {
            assert_eq!(Severity::of_score(severity.cut()), severity);
            assert!(Severity::of_score(severity.cut() - 1) < severity);
        }
    }
}
