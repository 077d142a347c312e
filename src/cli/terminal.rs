//! What is written to a terminal, and how: colours only where a person looks, and no text of others that could
//! steer it.

use crate::cli::Ran;
use crate::config::no_color;
use crate::domain::ids::is_invisible;
use std::io::{ErrorKind, IsTerminal, Write, stdout};
use std::process::ExitCode;

/// Writes to stdout. A reader who has had enough (`riskshare ... | head`) is no failure.
///
/// # Errors
/// When stdout cannot be written.
pub fn say(text: &str) -> Ran {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => Err(anyhow::Error::from(cause).into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Returns a text in which every character can be seen: a file's name must not move the cursor, hide itself or
/// turn the line around.
#[must_use]
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if is_invisible(c) { '\u{FFFD}' } else { c }).collect()
}

/// Returns a visible text of at most `width` characters; of a longer one the end is left out.
#[must_use]
pub fn cell(text: &str, width: usize) -> String {
    let text = visible(text);
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Returns a visible path of at most `width` characters; of a longer one the beginning is left out, for the file's
/// name stands at the end.
#[must_use]
pub fn path_cell(text: &str, width: usize) -> String {
    let text = visible(text);
    let count = text.chars().count();
    if count <= width {
        return text;
    }
    let kept = text.chars().skip(count - width.saturating_sub(1));
    std::iter::once('…').chain(kept).collect()
}

/// Colours text, or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    colours: bool,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const GREEN: &str = "32";

impl Paint {
    /// Colours what goes to stdout if that is a terminal and nobody has set `NO_COLOR`.
    #[must_use]
    pub fn for_stdout() -> Self {
        Self { colours: stdout().is_terminal() && !no_color() }
    }

    /// Colours nothing.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { colours: false }
    }

    /// Makes a heading stand out.
    #[must_use]
    pub fn heading(self, text: &str) -> String {
        self.with(BOLD, text)
    }

    /// Lets a text step back.
    #[must_use]
    pub fn aside(self, text: &str) -> String {
        self.with(DIM, text)
    }

    /// Colours a severity's text, which may be padded.
    #[must_use]
    pub fn severity(self, text: &str) -> String {
        match text.trim() {
            "High" => self.with(RED, text),
            "Medium" => self.with(YELLOW, text),
            "Low" => self.with(CYAN, text),
            _ => self.with(DIM, text),
        }
    }

    /// Colours how a check went.
    #[must_use]
    pub fn verdict(self, text: &str) -> String {
        match text.trim() {
            "ok" => self.with(GREEN, text),
            "warning" => self.with(YELLOW, text),
            _ => self.with(RED, text),
        }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\u{202E}c\nd"), "a\u{FFFD}[2Jb\u{FFFD}c\u{FFFD}d");
    }

    #[test]
    fn a_text_is_cut_to_its_cell() {
        assert_eq!((cell("abcd", 4), cell("abcde", 4)), ("abcd".to_owned(), "abc…".to_owned()));
        assert_eq!((path_cell("abcd", 4), path_cell("abcde", 4)), ("abcd".to_owned(), "…cde".to_owned()));
    }

    #[test]
    fn colours_come_only_when_asked_for() {
        assert_eq!(Paint::plain().severity("High  "), "High  ");
        assert_eq!(Paint { colours: true }.severity("High  "), "\u{1b}[1;31mHigh  \u{1b}[0m");
    }
}
