//! The files, one for each UTC day in which something was written down, and the lines in them.

use crate::domain::time::UtcDay;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

/// The longest line that is read. The server writes none of half of it.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;

/// Returns where the file of a day is.
pub fn path(folder: &Path, day: UtcDay) -> PathBuf {
    folder.join(name(day))
}

fn name(day: UtcDay) -> String {
    format!("{day}.jsonl")
}

/// Returns the days that have a file, the earliest first.
pub fn days(folder: &Path) -> io::Result<Vec<UtcDay>> {
    let mut days = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let day = entry.file_name().to_str().and_then(|name| UtcDay::parse(name.strip_suffix(".jsonl")?));
        days.extend(day);
    }
    days.sort_unstable();
    Ok(days)
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file.
    pub day: UtcDay,
    /// The line, counted from 1 at the place where reading began.
    pub line: u64,
    /// Where it ends, in bytes.
    pub end: u64,
    /// It has an end.
    pub is_ended: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", name(self.day), self.line)
    }
}

/// The lines of a file.
pub struct Lines {
    reader: BufReader<Take<File>>,
    place: Place,
    text: Vec<u8>,
}

impl Lines {
    /// Opens the file of a day from byte `from` up to byte `until`. `None` when there is no such file.
    pub fn open(folder: &Path, day: UtcDay, from: u64, until: u64) -> io::Result<Option<Self>> {
        let mut file = match File::open(path(folder, day)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(from))?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, file.take(until.saturating_sub(from)));
        let place = Place { day, line: 0, end: from, is_ended: true };
        Ok(Some(Self { reader, place, text: Vec::new() }))
    }

    /// Returns the next line without its end. Of one that is too long only the beginning, which is no line either.
    pub fn next(&mut self) -> io::Result<Option<(Place, &[u8])>> {
        self.text.clear();
        self.place.is_ended = false;
        let begin = self.place.end;
        while !self.place.is_ended {
            let part = match self.reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                part => part?,
            };
            if part.is_empty() {
                break;
            }
            let end = part.iter().position(|byte| *byte == b'\n');
            let text = &part[..end.unwrap_or(part.len())];
            let room = LINE_BYTES_MAX.saturating_sub(self.text.len());
            self.text.extend_from_slice(&text[..text.len().min(room)]);
            let taken = text.len() + usize::from(end.is_some());
            self.place.is_ended = end.is_some();
            self.place.end += taken as u64;
            self.reader.consume(taken);
        }
        self.place.line += 1;
        Ok((self.place.end > begin).then_some((self.place, &self.text)))
    }
}
