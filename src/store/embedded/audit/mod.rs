//! The audit log: a file of JSON Lines for each UTC day, with the chains of all tenants in it.
//!
//! `day_file` is the files and how they are read, `mark` the heads that are kept beside them, `start` what is done with
//! what a crash left, `writer` the one thread that writes, `look` how the log is read and checked, `copy` how it is moved.
//! `docs/audit.md` says what is promised.

mod copy;
mod day_file;
mod look;
mod mark;
mod start;
#[cfg(test)]
mod tests;
mod writer;

pub use copy::{Copy, Original};
pub use look::{FolderVerdict, verify_folder};
pub use writer::Command;

use super::error::OpenError;
use crate::domain::audit::{AuditEvent, AuditQuery, AuditVerdict, ChainHead};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::store::{AuditCursor, AuditPage, StoreError};
use mark::Mark;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};
use writer::Writer;

/// The most lines that wait. One more is refused.
const QUEUE_MAX: usize = 4_096;
/// The most readers of the log at a time. They read whole files.
const READERS_MAX: usize = 2;

/// After so long a log that could not be written is worth another try, though nobody tried.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The log of a folder.
pub struct Audit {
    shared: Arc<Shared>,
    lines: SyncSender<Command>,
    thread: Option<thread::JoinHandle<()>>,
    readers: Arc<Semaphore>,
}

/// What the writer and readers both see.
pub struct Shared {
    folder: PathBuf,
    known: Mutex<Known>,
    trouble: Mutex<Option<Trouble>>,
    /// Lets one expiry happen after the other.
    expiring: Mutex<()>,
}

/// Why lines were not written the last time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    /// There may be room again.
    Since(Instant),
    /// Nothing is written before a restart.
    ForGood,
}

/// What is durable.
#[derive(Default)]
struct Known {
    /// How far the log reaches, and its heads.
    end: Mark,
    /// The first day that is kept, and the last lines before it.
    anchors: Mark,
}

impl Shared {
    fn new(folder: PathBuf, known: Known) -> Self {
        Self { folder, known: Mutex::new(known), trouble: Mutex::default(), expiring: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audit {
    /// Opens the log in a folder, which is made if need be. A line that a crash cut off is removed; other damage is
    /// left as it is, for [`Audit::verify`] to name, and new lines go on behind it.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn open(folder: PathBuf) -> Result<Self, OpenError> {
        let (known, file) = start::start(&folder).map_err(OpenError::Io)?;
        let shared = Arc::new(Shared::new(folder, known));
        let (lines, queue) = sync_channel(QUEUE_MAX);
        let writer = Writer::new(Arc::clone(&shared), file);
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&queue));
        let thread = Some(thread.map_err(OpenError::Io)?);
        Ok(Self { shared, lines, thread, readers: Arc::new(Semaphore::new(READERS_MAX)) })
    }

    /// Says whether a tenant has a chain.
    pub fn knows(&self, tenant: TenantId) -> bool {
        let known = self.shared.known();
        known.end.heads.contains_key(&tenant)
    }

    /// Says whether lines can be written, as far as is known.
    pub fn is_writing(&self) -> bool {
        let is_there = self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        is_there
            && match *self.shared.trouble() {
                None => true,
                Some(Trouble::Since(failed)) => failed.elapsed() >= RETRY_AFTER,
                Some(Trouble::ForGood) => false,
            }
    }

    /// Writes an event down and returns once it is durable.
    pub async fn record(&self, tenant: TenantId, event: AuditEvent) -> Result<(), StoreError> {
        record(&self.lines, tenant, event).await
    }

    /// Returns the way in, for tasks that outlive a borrow of this.
    pub fn lines(&self) -> SyncSender<Command> {
        self.lines.clone()
    }

    /// Reads a page of a tenant's events.
    pub async fn page(
        &self,
        tenant: TenantId,
        query: AuditQuery,
        after: Option<AuditCursor>,
        size: usize,
    ) -> Result<AuditPage, StoreError> {
        self.look(move |shared| look::page(shared, tenant, &query, after, size)).await
    }

    /// Checks a tenant's chain.
    pub async fn verify(
        &self,
        tenant: TenantId,
        kept: Option<ChainHead>,
    ) -> Result<AuditVerdict, StoreError> {
        self.look(move |shared| look::verify(shared, tenant, kept)).await
    }

    /// Removes the files of days before this one, and returns how many. The last lines in them are kept as anchors.
    pub async fn expire(&self, before: UtcDay) -> Result<u64, StoreError> {
        self.look(move |shared| look::expire(shared, before)).await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Shared) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let looked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            look(&shared)
        });
        match looked.await {
            Ok(looked) => looked.map_err(|cause| StoreError::AuditUnavailable(cause.to_string())),
            Err(fault) => Err(StoreError::AuditUnavailable(fault.to_string())),
        }
    }
}

/// Writes an event down and returns once it is durable.
pub async fn record(
    lines: &SyncSender<Command>,
    tenant: TenantId,
    event: AuditEvent,
) -> Result<(), StoreError> {
    send(lines, tenant, event)?.await.unwrap_or_else(|_| Err(closing()))
}

/// Writes an event down, from a thread that may wait, and returns once it is durable.
pub fn record_now(
    lines: &SyncSender<Command>,
    tenant: TenantId,
    event: AuditEvent,
) -> Result<(), StoreError> {
    send(lines, tenant, event)?.blocking_recv().unwrap_or_else(|_| Err(closing()))
}

fn send(
    lines: &SyncSender<Command>,
    tenant: TenantId,
    event: AuditEvent,
) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
    let (reply, answer) = oneshot::channel();
    match lines.try_send(Command::Record { tenant, event: Box::new(event), reply }) {
        Ok(()) => Ok(answer),
        Err(TrySendError::Full(_)) => {
            Err(StoreError::AuditUnavailable("too many lines are waiting".to_owned()))
        }
        Err(TrySendError::Disconnected(_)) => Err(closing()),
    }
}

fn closing() -> StoreError {
    StoreError::AuditUnavailable("the audit log is closing".to_owned())
}

impl Drop for Audit {
    fn drop(&mut self) {
        // Fails when the thread has ended already.
        let _ = self.lines.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
