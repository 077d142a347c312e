//! What a check found, and how a person reads it.

use crate::cli::terminal::{Paint, visible};

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing is to be done.
    Ok,
    /// It works, and somebody should know something.
    Warning,
    /// A server would not start, or not keep what it promises.
    Failure,
}

/// What a check found. Its texts hold no secret and nobody's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How it went.
    pub verdict: Verdict,
    /// What was looked at.
    pub about: &'static str,
    /// What is so.
    pub text: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    /// Nothing is to be done.
    pub fn ok(about: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, about, text: text.into(), advice: None }
    }

    /// It works, and somebody should know something.
    pub fn warning(about: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, about, text: text.into(), advice: Some(advice.into()) }
    }

    /// A server would not start, or not keep what it promises.
    pub fn failure(about: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failure, about, text: text.into(), advice: Some(advice.into()) }
    }

    fn lines(&self, paint: Paint) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Failure => "failure",
        };
        let advice = self.advice.iter().map(|advice| format!("{:27}-> {}\n", "", visible(advice)));
        let (verdict, about, text) = (paint.verdict(verdict), self.about, visible(&self.text));
        format!("{verdict}  {about:<16}  {text}\n{}", advice.collect::<String>())
    }
}

/// Returns what was found, in lines, and how often each of what is to be done something about.
pub fn report(findings: &[Finding], paint: Paint) -> String {
    let count = |verdict, word| {
        let count = findings.iter().filter(|finding| finding.verdict == verdict).count();
        format!("{count} {word}{}", if count == 1 { "" } else { "s" })
    };
    let lines: String = findings.iter().map(|finding| finding.lines(paint)).collect();
    format!("{lines}\n{}, {}\n", count(Verdict::Failure, "failure"), count(Verdict::Warning, "warning"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_what_to_do_another() {
        let findings =
            [Finding::ok("settings", "hold"), Finding::failure("ports", "taken\u{1b}[2J", "free it")];
        assert_eq!(
            report(&findings, Paint::plain()),
            "ok       settings          hold\nfailure  ports             taken\u{FFFD}[2J\n                           -> free it\n\n\
             1 failure, 0 warnings\n"
        );
    }
}
