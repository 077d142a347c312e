//! Reads behind a start from a checkpoint what the start did not look at, so that damage is noticed all the same.

use super::background;
use super::committer::Command;
use super::sequences::Records;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel};

/// A log that is being read. Dropping it ends that, and waits until nothing of the log is held any more: then its files may
/// go. It does not wait for what the committer is told, for it is the committer who drops it.
pub struct Verification {
    is_over: Arc<AtomicBool>,
    /// Ends with the reading.
    read: Receiver<()>,
}

impl Verification {
    /// Begins to read. If something is wrong, the committer is told to stop.
    pub fn start(records: Records, commands: SyncSender<Command>) -> std::io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let (reading, read) = channel();
        background::start("verification", move || {
            let verified = records.verify(&flag);
            drop((records, reading));
            match verified {
                Ok(true) => tracing::info!("the log is whole, also what the checkpoint stood for"),
                Ok(false) => {}
                // Fails when it has stopped already.
                Err(error) => drop(commands.send(Command::Break(error.to_string()))),
            }
        })?;
        Ok(Self { is_over, read })
    }
}

impl Drop for Verification {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Nothing is ever sent: it fails when the reading has ended.
        let _ = self.read.recv();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::folder::Folder;
    use crate::store::embedded::log;
    use crate::store::embedded::log::{Extent, Log, Part};
    use crate::store::embedded::replay::Rebuilt;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn whoever_ends_it_need_not_listen_to_what_it_says_and_the_log_is_free() {
        let at = tempfile::tempdir().unwrap();
        let folder = Folder::open(at.path()).unwrap();
        let mut log = Log::open(&folder, &mut Rebuilt::default()).unwrap();
        log.write(&[Part { bucket: None, activities: 0, payload: vec![0; 16] }]).unwrap();
        let known = log.extent();
        drop(log);
        let opened = log::open(&folder).unwrap();
        let facts = opened.database.keyspace("facts", Default::default).unwrap();
        facts.remove(1_u64.to_be_bytes()).unwrap();
        facts.insert(1_u64.to_be_bytes(), b"damaged").unwrap();
        drop(facts);
        let log = Log::since(&known, opened, &folder, &mut Rebuilt::default()).unwrap();

        let (commands, queue) = sync_channel(0);
        let verification = Verification::start(log.records().unwrap(), commands).unwrap();
        drop(log);
        assert!(verification.read.recv().is_err(), "it has read, and now nobody takes what it says");
        drop(verification);
        let known = Extent { last: 0, ..known };
        let again = Log::since(&known, log::open(&folder).unwrap(), &folder, &mut Rebuilt::default());
        assert!(again.is_err());
        assert!(matches!(queue.recv(), Ok(Command::Break(_))));
    }
}
