//! Takes a log out of a folder line by line, and puts one together in another.

use super::Known;
use super::day_file::{self, Lines};
use super::mark::{ANCHORS, HEADS, Mark, sync_folder};
use super::start;
use crate::domain::audit::{AuditLine, ChainHead};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::store::moving::MovedLine;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// So many lines are taken out at once.
const PAGE: usize = if cfg!(test) { 3 } else { 1_000 };
/// Lines of so many bytes are taken out at once.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A place in the log: the file, and how many bytes of it are before.
type Place = (UtcDay, u64);
/// Of a chain the last line, and the last one that was removed.
type Chain = (TenantId, ChainHead, ChainHead);

/// A log that is moved.
pub struct Original {
    folder: PathBuf,
    known: Known,
}

impl Original {
    /// Opens the log of a folder.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        let (known, _) = start::start(&folder)?;
        Ok(Self { folder, known })
    }

    /// Returns the lines behind a place, and the place behind them, or nothing when there are none. Damaged lines are
    /// left out.
    pub fn page(&self, after: Option<Place>) -> io::Result<Option<(Vec<MovedLine>, Place)>> {
        let (mut lines, mut bytes, mut place) = (Vec::new(), 0, after);
        for day in day_file::days(&self.folder)? {
            let from = match after {
                Some((begin, _)) if day < begin => continue,
                Some((begin, from)) if day == begin => from,
                _ => 0,
            };
            let Some(mut file) = Lines::open(&self.folder, day, from, u64::MAX)? else { continue };
            while let Some((at, text)) = file.next()? {
                if let Some((line, text)) = whole(text) {
                    let (tenant, sequence) = (line.tenant, line.sequence);
                    bytes += text.len();
                    lines.push(MovedLine { tenant, sequence, day, text: text.to_owned() });
                }
                place = Some((day, at.end));
                if lines.len() >= PAGE || bytes >= PAGE_BYTES {
                    return Ok(place.map(|place| (lines, place)));
                }
            }
        }
        Ok(place.filter(|_| !lines.is_empty()).map(|place| (lines, place)))
    }

    /// Returns how many lines are whole.
    pub fn count(&self) -> io::Result<u64> {
        let mut count = 0;
        each_line(&self.folder, |_, text| count += u64::from(whole(text).is_some()))?;
        Ok(count)
    }

    /// Returns all chains, in the order of the tenants.
    pub fn chains(&self) -> Vec<Chain> {
        let Known { end, anchors } = &self.known;
        let all = end.heads.iter().map(|(tenant, head)| (*tenant, *head, anchors.head(*tenant)));
        let mut all: Vec<Chain> = all.collect();
        all.sort_unstable_by_key(|(tenant, ..)| *tenant);
        all
    }
}

/// A log that is put together.
pub struct Copy {
    folder: PathBuf,
    /// The last line of each chain that is there.
    written: HashMap<TenantId, u64>,
    end: Mark,
    anchors: Mark,
}

impl Copy {
    /// Opens the log of a folder, with what an earlier beginning left.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut written = HashMap::new();
        for day in day_file::days(&folder)? {
            cut(&folder, day)?;
        }
        each_line(&folder, |_, text| {
            if let Some((line, _)) = whole(text) {
                let last: &mut u64 = written.entry(line.tenant).or_default();
                *last = line.sequence.max(*last);
            }
        })?;
        let mark = |name| Ok::<_, io::Error>(Mark::read(&folder.join(name))?.unwrap_or_default());
        let (end, anchors) = (mark(HEADS)?, mark(ANCHORS)?);
        Ok(Self { folder, written, end, anchors })
    }

    /// Says whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty() && self.end.heads.is_empty()
    }

    /// Puts lines behind those that are there, durably. Lines that are there already are left out.
    pub fn put(&mut self, lines: Vec<MovedLine>) -> io::Result<()> {
        let days: BTreeSet<UtcDay> = lines.iter().map(|line| line.day).collect();
        let mut texts: HashMap<UtcDay, String> = HashMap::new();
        for line in lines {
            let last = self.written.entry(line.tenant).or_default();
            if line.sequence > *last {
                *last = line.sequence;
                let text = texts.entry(line.day).or_default();
                *text += &line.text;
                text.push('\n');
            }
        }
        for day in days {
            let path = day_file::path(&self.folder, day);
            let mut file = OpenOptions::new().append(true).create(true).open(path)?;
            file.write_all(texts.get(&day).map_or(b"", |text| text.as_bytes()))?;
            file.sync_all()?;
        }
        sync_folder(&self.folder)
    }

    /// Puts chains in, durably, when all lines are there.
    pub fn put_chains(&mut self, chains: &[Chain]) -> io::Result<()> {
        for (tenant, head, anchor) in chains {
            self.end.heads.insert(*tenant, *head);
            if anchor.sequence > 0 {
                self.anchors.heads.insert(*tenant, *anchor);
            }
        }
        self.end.day = day_file::days(&self.folder)?.last().copied();
        if let Some(day) = self.end.day {
            self.end.bytes = fs::metadata(day_file::path(&self.folder, day))?.len();
        }
        self.anchors.write(&self.folder, ANCHORS)?;
        self.end.write(&self.folder, HEADS)
    }
}

/// Reads a line that is what was written.
fn whole(text: &[u8]) -> Option<(AuditLine, &str)> {
    let text = str::from_utf8(text).ok()?;
    AuditLine::read(text).filter(AuditLine::is_whole).map(|line| (line, text))
}

fn each_line(folder: &Path, mut each: impl FnMut(UtcDay, &[u8])) -> io::Result<()> {
    for day in day_file::days(folder)? {
        let Some(mut lines) = Lines::open(folder, day, 0, u64::MAX)? else { continue };
        while let Some((_, text)) = lines.next()? {
            each(day, text);
        }
    }
    Ok(())
}

/// Cuts off what was being written when the process died.
fn cut(folder: &Path, day: UtcDay) -> io::Result<()> {
    let Some(mut lines) = Lines::open(folder, day, 0, u64::MAX)? else { return Ok(()) };
    let mut whole = 0;
    while let Some((place, _)) = lines.next()? {
        whole = if place.is_ended { place.end } else { whole };
    }
    let file: File = OpenOptions::new().write(true).open(day_file::path(folder, day))?;
    file.set_len(whole)?;
    file.sync_all()
}
