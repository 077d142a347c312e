//! When checkpoints are written: in a thread of their own while the log goes on, and at the end.

use super::background;
use super::checkpoint::Moment;
use super::folder::Folder;
use super::index::Index;
use super::log::Log;
use crate::domain::ids::TenantId;
use crate::store::book::ledger::Ledger;
use std::collections::HashMap;
use std::io;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A log is read so fast up to this length that it needs no checkpoint. All of it is checked then, at each start.
pub const FIRST_BYTES: u64 = 4 << 20;
/// The next checkpoint is written when the log has grown by so much of the last one: what is replayed at a start stays a
/// small part of what is loaded, and what is written a small multiple of what comes in.
const PART: u64 = 64;

/// A checkpoint is begun where the disk has room for so many of its like: it must not take the room of what comes in.
const ROOM: u64 = 4;

/// The checkpoints of a log.
pub struct Checkpoints {
    /// The shortest log, or rest of one, that gets a checkpoint.
    first_bytes: u64,
    /// How long the last one is.
    bytes: u64,
    /// Holds days that were dropped since: it is due, however little came in.
    is_old: bool,
    running: Option<Running>,
}

/// A checkpoint that is being written.
struct Running {
    thread: JoinHandle<io::Result<u64>>,
    is_over: Arc<AtomicBool>,
    /// How much of the log it takes in.
    behind: u64,
    /// The one before holds days that were dropped.
    was_old: bool,
}

impl Checkpoints {
    /// Returns those of a log of which the last one has so many bytes, 0 when there is none, and may hold days that were dropped.
    pub fn of(first_bytes: u64, bytes: u64, is_old: bool) -> Self {
        Self { first_bytes, bytes, is_old, running: None }
    }

    /// Says whether there is one.
    pub fn is_any(&self) -> bool {
        self.bytes > 0
    }

    /// Begins the next one when it is due and the one before is done.
    pub fn go_on(
        &mut self,
        log: &mut Log,
        folder: &Folder,
        ledgers: &HashMap<TenantId, Ledger>,
        index: &Index,
    ) {
        if self.running.as_ref().is_some_and(|running| !running.thread.is_finished()) {
            return;
        }
        self.wait(log);
        if self.is_due(log) {
            self.begin(log, folder, ledgers, index);
        }
    }

    /// Writes the last one, when it is due, and waits for it.
    pub fn finish(
        &mut self,
        log: &mut Log,
        folder: &Folder,
        ledgers: &HashMap<TenantId, Ledger>,
        index: &Index,
    ) {
        self.wait(log);
        self.go_on(log, folder, ledgers, index);
        self.wait(log);
    }

    /// Says that days were dropped.
    pub fn holds_too_much(&mut self) {
        self.is_old = true;
    }

    /// Gives up what is being written: it holds somebody who must be nowhere.
    pub fn give_up(&mut self) {
        if let Some(running) = self.running.take() {
            running.is_over.store(true, Ordering::Relaxed);
            let _ = running.thread.join();
        }
        self.bytes = 0;
    }

    fn is_due(&self, log: &Log) -> bool {
        let has_grown = log.behind() > 0 && log.behind() >= self.first_bytes.max(self.bytes / PART);
        has_grown || (self.is_old && self.bytes > 0)
    }

    /// Everything that was written is shown: call it between commits.
    fn begin(&mut self, log: &Log, folder: &Folder, ledgers: &HashMap<TenantId, Ledger>, index: &Index) {
        let moment = Moment {
            extent: log.extent(),
            published: index.last_content(),
            images: ledgers.values().map(Ledger::image).collect(),
        };
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let write = move |path: PathBuf| moment.write(&path, &flag);
        let needed = ROOM * self.bytes.max(log.behind());
        let started = folder.checkpoint().map_err(io::Error::other).and_then(|path| {
            has_room(&path, needed)?;
            background::start("checkpoint", move || write(path))
        });
        match started {
            Ok(thread) => {
                let was_old = std::mem::take(&mut self.is_old);
                self.running = Some(Running { thread, is_over, behind: log.behind(), was_old });
            }
            Err(error) => tracing::warn!(%error, "no checkpoint could be begun: the next start takes longer"),
        }
    }

    fn wait(&mut self, log: &mut Log) {
        let Some(running) = self.running.take() else { return };
        match running.thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread failed"))) {
            Ok(bytes) => {
                log.caught_up(running.behind);
                self.bytes = bytes;
                tracing::debug!(bytes, "wrote a checkpoint");
            }
            Err(error) => {
                self.is_old |= running.was_old;
                tracing::warn!(%error, "no checkpoint was written: the next start takes longer");
            }
        }
    }
}

/// Fails when the disk of a file has less room.
fn has_room(path: &Path, needed: u64) -> io::Result<()> {
    let disk = rustix::fs::statvfs(path.parent().unwrap_or(path))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < needed {
        return Err(ErrorKind::StorageFull.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::replay::Rebuilt;
    use std::fs;

    #[test]
    fn one_that_holds_what_was_dropped_stays_due_until_the_next_one_is_written() {
        let at = tempfile::tempdir().unwrap();
        let folder = Folder::open(at.path()).unwrap();
        let mut log = Log::open(&folder, &mut Rebuilt::default()).unwrap();
        let (ledgers, index) = (HashMap::new(), Index::default());
        let mut checkpoints = Checkpoints::of(FIRST_BYTES, 1, false);
        let path = folder.checkpoint().unwrap();
        checkpoints.finish(&mut log, &folder, &ledgers, &index);
        assert!(!path.exists(), "none is due");
        checkpoints.holds_too_much();
        let in_the_way = path.with_added_extension("new");
        fs::create_dir(&in_the_way).unwrap();
        checkpoints.finish(&mut log, &folder, &ledgers, &index);
        assert!(!path.exists(), "it cannot be written");
        fs::remove_dir(&in_the_way).unwrap();
        checkpoints.finish(&mut log, &folder, &ledgers, &index);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        checkpoints.finish(&mut log, &folder, &ledgers, &index);
        assert!(!path.exists(), "none is due any more");
    }
}
