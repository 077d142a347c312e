//! What is done with what is there when the log is opened: find each tenant's last line, and cut off what a crash left
//! of a line that was never acknowledged. Only what was written after `heads.json` is read.

use super::Known;
use super::day_file;
use super::day_file::Lines;
use super::mark::{ANCHORS, HEADS, Mark, sync_folder};
use crate::domain::audit::AuditLine;
use crate::domain::time::UtcDay;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Opens the log: what is known of it, and the file to go on in.
pub fn start(folder: &Path) -> io::Result<(Known, Option<File>)> {
    fs::create_dir_all(folder)?;
    let days = day_file::days(folder)?;
    let anchors = kept(folder, ANCHORS)?.unwrap_or_default();
    let heads = kept(folder, HEADS)?;
    if heads.is_none() && !days.is_empty() {
        tracing::warn!("the audit log has no readable {HEADS}: whether it lost its end cannot be told");
    }
    let mut end = heads.unwrap_or_default();
    for (tenant, head) in &anchors.heads {
        end.raise(*tenant, *head);
    }
    let file = catch_up(folder, &days, &mut end)?;
    let known = Known { end, anchors };
    known.end.write(folder, HEADS)?;
    Ok((known, file))
}

fn kept(folder: &Path, name: &str) -> io::Result<Option<Mark>> {
    let mark = Mark::read(&folder.join(name))?;
    if mark.is_none() && folder.join(name).exists() {
        tracing::error!(name, "a file of the audit log cannot be read: verify the log");
    }
    Ok(mark)
}

/// Reads what was written after `end` and moves it to the end of the last file, which it opens.
fn catch_up(folder: &Path, days: &[UtcDay], end: &mut Mark) -> io::Result<Option<File>> {
    if end.day.is_some_and(|day| days.last().is_none_or(|last| *last < day)) {
        tracing::error!("the newest file of the audit log is missing: verify the log");
        return Ok(None); // The next line begins a file of a later day; never the missing one anew.
    }
    let from = end.clone();
    for day in days.iter().filter(|day| from.day.is_none_or(|from| from <= **day)) {
        let begin = if from.day == Some(*day) { from.bytes } else { 0 };
        read_heads(folder, *day, begin, end)?;
    }
    let Some(last) = days.last().copied() else { return Ok(None) };
    let file = OpenOptions::new().append(true).open(day_file::path(folder, last))?;
    let known = if from.day == Some(last) { from.bytes } else { 0 };
    end.bytes = mend(folder, &file, last, known)?;
    end.day = Some(last);
    sync_folder(folder)?;
    Ok(Some(file))
}

fn read_heads(folder: &Path, day: UtcDay, begin: u64, end: &mut Mark) -> io::Result<()> {
    let Some(mut lines) = Lines::open(folder, day, begin, u64::MAX)? else { return Ok(()) };
    while let Some((place, text)) = lines.next()? {
        match str::from_utf8(text).ok().and_then(AuditLine::read).filter(AuditLine::is_whole) {
            Some(line) if place.is_ended => end.raise(line.tenant, line.head()),
            _ if place.is_ended => {
                tracing::error!(%day, "a line of the audit log is damaged: verify the log");
            }
            _ => {} // Cut off; see `mend`.
        }
    }
    Ok(())
}

/// Sees to it that the file ends with a line's end, and returns its length. What stands behind the last one was being
/// written when the server died, and nobody was told that it is durable: it goes. Unless it is older than that.
fn mend(folder: &Path, mut file: &File, day: UtcDay, known: u64) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut whole = if length < known { 0 } else { known }; // What is known ends with a line's end.
    if let Some(mut lines) = Lines::open(folder, day, whole, u64::MAX)? {
        while let Some((place, _)) = lines.next()? {
            whole = if place.is_ended { place.end } else { whole };
        }
    }
    if length < known {
        tracing::error!(%day, "the audit log is shorter than it was: verify the log");
    }
    if whole == length {
        return Ok(length);
    }
    if whole >= known {
        tracing::warn!(%day, bytes = length - whole, "cut off an audit line that was never acknowledged");
        file.set_len(whole)?;
        file.sync_all()?;
        return Ok(whole);
    }
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(length + 1)
}
