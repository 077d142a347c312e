//! The one thread that writes. What waits is written together: one sync for all.

use super::mark::{HEADS, sync_folder};
use super::{Shared, Trouble, day_file};
use crate::domain::audit::{AuditEvent, AuditLine, ChainHead};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::store::StoreError;
use crate::telemetry::METRICS;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A group is closed when it has so many lines.
const GROUP_LINES_MAX: usize = 1_024;
/// A group is closed when it has so many bytes.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often the heads are written beside the files: so much at most is read at the next start.
const HEADS_PERIOD: Duration = Duration::from_mins(1);

/// Where an answer goes.
pub type Reply = oneshot::Sender<Result<(), StoreError>>;

/// What the thread is asked to do.
pub enum Command {
    /// Write an event down.
    Record {
        /// In whose chain.
        tenant: TenantId,
        /// What.
        event: Box<AuditEvent>,
        /// Where the answer goes.
        reply: Reply,
    },
    /// Write the heads and stop.
    Stop,
}

/// The thread's state.
pub struct Writer {
    shared: Arc<Shared>,
    file: Option<File>,
    /// Why nothing can be written before a restart.
    broken: Option<String>,
    remembered: Instant,
    is_ahead: bool,
}

/// Lines that are written together.
struct Group {
    text: String,
    /// The latest of their days.
    day: UtcDay,
    heads: HashMap<TenantId, ChainHead>,
    replies: Vec<Reply>,
}

impl Writer {
    /// Returns the state behind the last line. `file` is the last one, if there is one.
    pub fn new(shared: Arc<Shared>, file: Option<File>) -> Self {
        Self { shared, file, broken: None, remembered: Instant::now(), is_ahead: false }
    }

    /// Writes until it is told to stop.
    pub fn run(mut self, queue: &Receiver<Command>) {
        loop {
            match queue.recv_timeout(HEADS_PERIOD) {
                Ok(Command::Record { tenant, event, reply }) => {
                    let day = UtcDay::of(event.at);
                    let (heads, replies) = (HashMap::new(), Vec::new());
                    let mut group = Group { text: String::new(), day, heads, replies };
                    self.join(&mut group, tenant, &event, reply);
                    let stops = self.gather(&mut group, queue);
                    self.write(group);
                    if stops {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.is_ahead && self.remembered.elapsed() >= HEADS_PERIOD {
                self.remember();
            }
        }
        self.remember();
    }

    /// Takes what waits, and says whether it was told to stop.
    fn gather(&self, group: &mut Group, queue: &Receiver<Command>) -> bool {
        while group.replies.len() < GROUP_LINES_MAX && group.text.len() < GROUP_BYTES_MAX {
            match queue.try_recv() {
                Ok(Command::Record { tenant, event, reply }) => self.join(group, tenant, &event, reply),
                Ok(Command::Stop) => return true,
                Err(_) => return false,
            }
        }
        false
    }

    fn join(&self, group: &mut Group, tenant: TenantId, event: &AuditEvent, reply: Reply) {
        let head = group.heads.entry(tenant).or_insert_with(|| self.shared.known().end.head(tenant));
        group.day = group.day.max(UtcDay::of(event.at));
        let (text, next) = AuditLine::text_after(*head, tenant, event);
        *head = next;
        group.text += &text;
        group.text.push('\n');
        group.replies.push(reply);
    }

    /// Makes a group durable, then shows it, then answers.
    fn write(&mut self, group: Group) {
        let written = self.append(group.day, group.text.as_bytes());
        if let Err(cause) = &written {
            tracing::error!(cause, lines = group.replies.len(), "the audit log cannot be written");
            METRICS.audit_failures.inc_by(group.replies.len() as u64);
            let is_for_good = self.broken.is_some();
            let trouble = if is_for_good { Trouble::ForGood } else { Trouble::Since(Instant::now()) };
            *self.shared.trouble() = Some(trouble);
        } else {
            METRICS.audit_lines.inc_by(group.replies.len() as u64);
            *self.shared.trouble() = None;
            self.shared.known().end.heads.extend(group.heads);
            self.is_ahead = true;
        }
        for reply in group.replies {
            // Nobody waits any more when the caller has gone.
            let _ = reply.send(written.clone().map_err(StoreError::AuditUnavailable));
        }
    }

    /// Appends to the newest file.
    fn append(&mut self, day: UtcDay, text: &[u8]) -> Result<(), String> {
        if let Some(cause) = &self.broken {
            return Err(cause.clone());
        }
        let begin = self.turn_to(day)?;
        let file = self.file.as_mut().ok_or("no file is open")?;
        if let Err(cause) = file.write_all(text) {
            // A full disk may have room again, if what was begun can be taken back.
            if let Err(cause) = file.set_len(begin) {
                self.broken = Some(format!("a line that was begun cannot be taken back: {cause}"));
            }
            return Err(cause.to_string());
        }
        if let Err(cause) = file.sync_data() {
            // What is durable now is unknown, and a second sync that succeeds would prove nothing.
            self.broken = Some(format!("an earlier sync failed: {cause}"));
            return Err(cause.to_string());
        }
        self.shared.known().end.bytes = begin + text.len() as u64;
        Ok(())
    }

    /// Sees to it that the newest file is open and not of an earlier day, and returns its length. Time that runs
    /// backwards does not bring lines before earlier ones.
    fn turn_to(&mut self, day: UtcDay) -> Result<u64, String> {
        let (newest, length) = {
            let known = self.shared.known();
            (known.end.day, known.end.bytes)
        };
        match (&self.file, newest) {
            (Some(_), Some(newest)) if day <= newest => Ok(length),
            // The newest file is missing. It is not begun anew, so that its lines stay missing.
            (None, Some(newest)) if day <= newest => self.begin(newest.plus(1)),
            _ => self.begin(day),
        }
    }

    /// Begins the file of a day.
    fn begin(&mut self, day: UtcDay) -> Result<u64, String> {
        let path = day_file::path(&self.shared.folder, day);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.map_err(|cause| format!("a new file cannot be made: {cause}"))?;
        if let Err(cause) = sync_folder(&self.shared.folder) {
            self.broken = Some(format!("a new file is not durable: {cause}"));
            return Err(cause.to_string());
        }
        self.file = Some(file);
        let mut known = self.shared.known();
        known.end.day = Some(day);
        known.end.bytes = 0;
        Ok(0)
    }

    fn remember(&mut self) {
        let end = self.shared.known().end.clone();
        if let Err(cause) = end.write(&self.shared.folder, HEADS) {
            tracing::error!(%cause, "the heads of the audit log cannot be written");
        }
        self.is_ahead = false;
        self.remembered = Instant::now();
    }
}
