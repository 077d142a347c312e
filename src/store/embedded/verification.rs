//! Reads behind a start from a checkpoint what the start did not look at, so that damage is noticed all the same.

use super::background;
use super::committer::Command;
use super::log::Records;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

/// A log that is being read. Dropping it ends that.
pub struct Verification {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Verification {
    /// Begins to read. If something is wrong, the committer is told to stop.
    pub fn start(records: Records, commands: SyncSender<Command>) -> std::io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let thread = background::start("verification", move || {
            match records.verify(&flag) {
                Ok(true) => tracing::info!("the log is whole, also what the checkpoint stood for"),
                Ok(false) => {}
                // Fails when it has stopped already.
                Err(error) => drop(commands.send(Command::Break(error.to_string()))),
            }
        })?;
        Ok(Self { is_over, thread: Some(thread) })
    }
}

impl Drop for Verification {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
