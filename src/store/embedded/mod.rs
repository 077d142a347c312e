//! The embedded engine: fjall for the truth, memory for reads.
//!
//! `folder` and `log` are the disk, `record` and `parts` what is written, `sequences` reads it back and finds out what is
//! missing; `index`, `contents` and `notes` are what readers see, beside what the book shows; `committer` is the one thread
//! that writes, `replay` what happens at start, from a `checkpoint` if there is one (`checkpoints` is when they are written);
//! `verification` reads later what that stood for. `background` is threads that give way. `audit` is the audit log, with a
//! thread of its own; `moving` reads a store to the last bit, and fills one. `docs/storage.md` says what is promised.

mod audit;
mod background;
mod checkpoint;
mod checkpoints;
mod committer;
mod contents;
mod erasure;
mod error;
mod folder;
mod index;
mod log;
mod moving;
mod notes;
mod parts;
mod record;
mod replay;
mod sequences;
mod verification;

#[cfg(test)]
pub(in crate::store) mod tests;

pub use audit::{FolderVerdict, verify_folder};
pub use error::OpenError;
pub use folder::{FORMAT_VERSION, FolderState};
pub use moving::{EmbeddedSource, EmbeddedTarget};

use crate::domain::audit::{AuditEvent, AuditOutcome, AuditQuery, AuditVerdict, ChainHead};
use crate::domain::content::{Content, ContentQuery};
use crate::domain::decision::{Decision, RiskAlertQuery, Undecided};
use crate::domain::facts::{Batch, Outcome};
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::risk_alert::evaluate;
use crate::domain::settings::Settings;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, UserNo};
use crate::store::book::plan::Evaluate;
use crate::store::book::switch::{Epoch, Guard};
use crate::store::book::tenant::Tenant;
use crate::store::{AlertCursor, AlertPage, AuditCursor, AuditPage};
use crate::store::{
    ChangedSettings, Condition, Hits, Hold, Named, Snapshot, Store, StoreError, VersionedSettings,
};
use async_trait::async_trait;
use audit::Audit;
use checkpoints::FIRST_BYTES;
use chrono::{DateTime, Utc};
use committer::{Command, Committer, Writer, ask, ask_patiently};
use folder::Folder;
use index::Index;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// A store in a folder of its own. Dropping it makes everything durable and lets the folder go.
pub struct EmbeddedStore {
    index: Arc<Index>,
    token_key: [u8; 32],
    committer: Committer,
    audit: Audit,
}

impl EmbeddedStore {
    /// Opens the store in a folder, or makes one in an empty or missing folder. Reads the checkpoint and all records behind
    /// it: see `docs/storage.md` for how long that takes.
    ///
    /// # Errors
    /// When the folder is no store of this format, is damaged, is in use, or cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, evaluate, FIRST_BYTES)
    }

    fn open_with(path: &Path, evaluate: Evaluate, first_bytes: u64) -> Result<Self, OpenError> {
        let folder = Arc::new(Folder::open(path)?);
        let (log, rebuilt, checkpoints) = replay::open(&folder, first_bytes)?;
        let token_key = log.token_key()?;
        let audit = Audit::open(folder.audit())?;
        let unread = if checkpoints.is_any() { Some(log.records()?) } else { None };
        let (ledgers, index) = rebuilt.finish(log.kept()?);
        let lines = audit.lines();
        let index_of_writer = Arc::clone(&index);
        let writer = Writer {
            verification: None,
            log,
            folder,
            ledgers,
            index: index_of_writer,
            evaluate,
            lines,
            checkpoints,
        };
        let committer = Committer::start(writer, unread).map_err(OpenError::Io)?;
        Ok(Self { index, token_key, committer, audit })
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn hold(&self, tenant: TenantId) -> Result<Hold, StoreError> {
        let epoch = self.index.get(tenant).map_or_else(Epoch::unknown, |known| known.switch.epoch());
        Ok(Hold::new(tenant, epoch.is_open(), epoch.number(), Box::new(Guard(epoch))))
    }

    async fn read(&self, hold: &Hold, people: &[&Identity]) -> Result<Snapshot, StoreError> {
        match self.index.get(hold.tenant()) {
            Some(tenant) => Ok(tenant.snapshot(people)),
            None => Ok(Snapshot { rules: Arc::default(), found: vec![Hits::new(); people.len()] }),
        }
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        ask(&self.committer.commands(), |reply| Command::Commit(batch, reply)).await
    }

    async fn settings(&self, tenant: TenantId) -> Result<VersionedSettings, StoreError> {
        Ok(self.index.get(tenant).map(|known| known.settings()).unwrap_or_default())
    }

    /// Runs in a task of its own: a caller that goes away leaves no change half done.
    async fn change_settings(
        &self,
        tenant: TenantId,
        expected: u64,
        settings: Settings,
        event: AuditEvent,
    ) -> Result<ChangedSettings, StoreError> {
        let known = match self.index.get(tenant) {
            Some(known) => known,
            None if expected == 0 => self.index.get_or_add(tenant),
            None => return Err(StoreError::SettingsChanged),
        };
        let ways = Ways { commits: self.committer.commands(), lines: self.audit.lines() };
        let task = tokio::spawn(change(known, ways, expected, settings, event));
        task.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the change was cut off".to_owned())))
    }

    async fn knows(&self, tenant: TenantId) -> Result<bool, StoreError> {
        Ok(self.index.get(tenant).is_some() || self.audit.knows(tenant))
    }

    async fn record(&self, tenant: TenantId, event: AuditEvent) -> Result<(), StoreError> {
        self.audit.record(tenant, event).await
    }

    async fn audit_page(
        &self,
        tenant: TenantId,
        query: AuditQuery,
        after: Option<AuditCursor>,
        size: usize,
    ) -> Result<AuditPage, StoreError> {
        self.audit.page(tenant, query, after, size).await
    }

    async fn verify_audit(
        &self,
        tenant: TenantId,
        kept: Option<ChainHead>,
    ) -> Result<AuditVerdict, StoreError> {
        self.audit.verify(tenant, kept).await
    }

    async fn expire_audit(&self, before: UtcDay) -> Result<u64, StoreError> {
        self.audit.expire(before).await
    }

    async fn expire(&self, today: UtcDay) -> Result<u64, StoreError> {
        ask(&self.committer.commands(), |reply| Command::Expire(today.horizon_start(), reply)).await
    }

    async fn erase(
        &self,
        tenant: TenantId,
        person: &Identity,
        event: AuditEvent,
    ) -> Result<Option<u64>, StoreError> {
        let (person, event) = (person.clone(), Box::new(event));
        ask(&self.committer.commands(), |reply| Command::Erase { tenant, person, event, reply }).await
    }

    async fn named(&self, tenant: TenantId, users: &[UserNo]) -> Result<Vec<Option<Named>>, StoreError> {
        let known = self.index.get(tenant);
        Ok(users.iter().map(|user| known.as_ref()?.named(*user)).collect())
    }

    async fn risk_alerts(
        &self,
        hold: &Hold,
        query: &RiskAlertQuery,
        after: Option<&AlertCursor>,
        size: usize,
    ) -> Result<AlertPage, StoreError> {
        let known = self.index.get(hold.tenant());
        Ok(known.map(|known| known.reviewed_page(query, after, size)).unwrap_or_default())
    }

    async fn risk_alert(&self, hold: &Hold, alert: &RiskAlertId) -> Result<AlertPage, StoreError> {
        let Some(known) = self.index.get(hold.tenant()) else { return Ok(AlertPage::default()) };
        let alerts = known.reviewed(alert).into_iter().collect();
        Ok(AlertPage { rules: known.decided().rules, alerts, next: None })
    }

    async fn decide(
        &self,
        tenant: TenantId,
        decision: Decision,
        event: AuditEvent,
    ) -> Result<Result<(), Undecided>, StoreError> {
        let (decision, event) = (Box::new(decision), Box::new(event));
        ask(&self.committer.commands(), |reply| Command::Decide { tenant, decision, event, reply }).await
    }

    async fn publish(&self, at: DateTime<Utc>) -> Result<u64, StoreError> {
        ask(&self.committer.commands(), |reply| Command::Publish(at, reply)).await
    }

    async fn contents(&self, query: &ContentQuery) -> Result<Vec<Arc<Content>>, StoreError> {
        Ok(self.index.contents.wanted(query))
    }

    async fn expire_contents(&self, before: UtcDay) -> Result<u64, StoreError> {
        ask(&self.committer.commands(), |reply| Command::ExpireContent(before, reply)).await
    }

    async fn note(&self, tenant: TenantId, name: &str) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.index.notes.get(tenant, name))
    }

    async fn put_note(
        &self,
        tenant: TenantId,
        name: &str,
        before: Option<&str>,
        after: &str,
    ) -> Result<bool, StoreError> {
        let (name, before, after) = (name.to_owned(), before.map(str::to_owned), after.to_owned());
        ask(&self.committer.commands(), |reply| Command::Note { tenant, name, before, after, reply }).await
    }

    async fn condition(&self) -> Condition {
        Condition { reads: true, commits: self.committer.is_writing(), audits: self.audit.is_writing() }
    }

    async fn token_key(&self) -> Result<[u8; 32], StoreError> {
        Ok(self.token_key)
    }
}

/// Where a change of settings goes.
struct Ways {
    commits: SyncSender<Command>,
    lines: SyncSender<audit::Command>,
}

/// Changes settings, one change of a tenant after the other. Off closes the switch before anything is written.
async fn change(
    tenant: Arc<Tenant>,
    ways: Ways,
    expected: u64,
    settings: Settings,
    event: AuditEvent,
) -> Result<ChangedSettings, StoreError> {
    let turn = tenant.turn.lock().await;
    if tenant.settings().version != expected {
        return Err(StoreError::SettingsChanged);
    }
    let is_on = settings.data_sharing;
    if !is_on {
        tenant.switch.close();
    }
    audit::record(&ways.lines, tenant.id, event.clone()).await?;
    let epoch = tenant.switch.epoch();
    let epoch = if is_on && !epoch.is_open() { epoch.number() + 1 } else { epoch.number() };
    let settings = VersionedSettings { settings, version: expected + 1 };
    let changed = settings.clone();
    let id = tenant.id;
    let commit = |reply| Command::Settings { tenant: id, settings: changed, epoch, reply };
    if let Err(error) = ask_patiently(ways.commits, commit).await {
        let failed = AuditEvent { outcome: AuditOutcome::Failed, ..event };
        // The line before says what was to happen; this one is better, but not promised.
        let _ = audit::record(&ways.lines, tenant.id, failed).await;
        return Err(error);
    }
    drop(turn);
    let drained = if is_on { true } else { tenant.switch.drained().await };
    Ok(ChangedSettings { settings, drained, cut_off: Vec::new() })
}
