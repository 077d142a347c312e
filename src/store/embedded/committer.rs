//! The one thread that writes. What waits is committed together: one sync for all.

use super::audit;
use super::checkpoints::Checkpoints;
use super::erasure::Without;
use super::folder::Folder;
use super::index::Index;
use super::log::{Bucket, Log, Part, RewriteFailed, WriteFailed};
use super::parts::Parts;
use super::sequences::Records;
use super::verification::Verification;
use crate::domain::audit::{AuditEvent, AuditOutcome};
use crate::domain::content::{Content, RECORDS_MAX};
use crate::domain::decision::{Decision, Undecided};
use crate::domain::facts::{Batch, Outcome};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, Join};
use crate::store::book::change::Change;
use crate::store::book::codec::{Encoder, Malformed};
use crate::store::book::content;
use crate::store::book::erasure::Erasure;
use crate::store::book::ledger::Ledger;
use crate::store::book::plan::{Evaluate, plan};
use crate::store::{StoreError, VersionedSettings};
use crate::telemetry::METRICS;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use tokio::sync::oneshot;

/// The most commands that wait. One more is refused.
pub const QUEUE_MAX: usize = 256;
/// A group is closed when it has so many facts.
const GROUP_FACTS_MAX: usize = 20_000;

/// What is answered when the committer has stopped.
const STOPPED: &str = "an earlier write failed or the store is closing";

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the committer is asked to do.
pub enum Command {
    /// Commit a batch.
    Commit(Batch, Reply<Vec<Outcome>>),
    /// Replace the settings, and move the sharing switch to where they say.
    Settings {
        /// Whose.
        tenant: TenantId,
        /// The settings and their new version.
        settings: VersionedSettings,
        /// How often the switch will have moved.
        epoch: u64,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Forget activities of days before this one.
    Expire(UtcDay, Reply<u64>),
    /// Export what is due, as of an instant.
    Publish(DateTime<Utc>, Reply<u64>),
    /// Forget what was exported on days before this one.
    ExpireContent(UtcDay, Reply<u64>),
    /// Keep a note in the place of the one before.
    Note {
        /// Whose.
        tenant: TenantId,
        /// Its name.
        name: String,
        /// What the one before must be; nothing when there must be none.
        before: Option<String>,
        /// What it is from now on.
        after: String,
        /// Says whether the one before was as expected.
        reply: Reply<bool>,
    },
    /// Erase whom the keys point at, if they can be one.
    Erase {
        /// Whose.
        tenant: TenantId,
        /// The keys.
        person: Identity,
        /// What is written down of it.
        event: Box<AuditEvent>,
        /// Where the answer goes.
        reply: Reply<Option<u64>>,
    },
    /// Take a decision about a risk alert.
    Decide {
        /// Whose.
        tenant: TenantId,
        /// Which.
        decision: Box<Decision>,
        /// What is written down of it.
        event: Box<AuditEvent>,
        /// Where the answer goes.
        reply: Reply<Result<(), Undecided>>,
    },
    /// Stop, for the log is not what was written.
    Break(String),
    /// Make everything durable and stop.
    Stop,
}

/// Sends commands to the thread, and ends it when dropped.
pub struct Committer {
    commands: SyncSender<Command>,
    thread: Option<thread::JoinHandle<()>>,
}

/// The thread's state.
pub struct Writer {
    /// Reads the log. Goes before it, as fields do in this order.
    pub verification: Option<Verification>,
    /// The log.
    pub log: Log,
    /// Where it is. Locked until all is written.
    pub folder: Arc<Folder>,
    /// The books by tenant.
    pub ledgers: HashMap<TenantId, Ledger>,
    /// What readers see.
    pub index: Arc<Index>,
    /// The rule that raises risk alerts.
    pub evaluate: Evaluate,
    /// The way into the audit log.
    pub lines: SyncSender<audit::Command>,
    /// The checkpoints of the log.
    pub checkpoints: Checkpoints,
}

impl Committer {
    /// Starts the thread, and the reading of records that nobody has looked at.
    pub fn start(mut writer: Writer, unread: Option<Records>) -> std::io::Result<Self> {
        let (commands, queue) = sync_channel(QUEUE_MAX);
        let verify = |records| Verification::start(records, commands.clone());
        writer.verification = unread.map(verify).transpose()?;
        let thread = thread::Builder::new().name("committer".to_owned()).spawn(move || writer.run(&queue))?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Says whether the thread still writes. It ends for good at the first error.
    pub fn is_writing(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Returns a sender of commands.
    pub fn commands(&self) -> SyncSender<Command> {
        self.commands.clone()
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // Fails when the thread has ended already.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Puts a command into the queue and waits for its answer.
pub async fn ask<T>(
    commands: &SyncSender<Command>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, StoreError> {
    let (reply, answer) = oneshot::channel();
    match commands.try_send(command(reply)) {
        Ok(()) => answer.await.unwrap_or_else(|_| Err(stopped())),
        Err(TrySendError::Full(_)) => Err(StoreError::Unavailable("too many commits are waiting".to_owned())),
        Err(TrySendError::Disconnected(_)) => Err(stopped()),
    }
}

/// Waits for room in the queue, however long, then for the answer. For what must not be refused because of load.
pub async fn ask_patiently<T>(
    commands: SyncSender<Command>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, StoreError> {
    let (reply, answer) = oneshot::channel();
    let command = command(reply);
    let sent = tokio::task::spawn_blocking(move || commands.send(command).is_ok()).await;
    if sent.unwrap_or(false) { answer.await.unwrap_or_else(|_| Err(stopped())) } else { Err(stopped()) }
}

fn stopped() -> StoreError {
    StoreError::Unavailable(STOPPED.to_owned())
}

/// How many people were erased, `None` when they cannot be one; or why that could not be written down.
type Erased = Result<Option<u64>, StoreError>;

/// Why the thread stops.
enum Stop {
    /// It was asked to.
    Asked,
    /// It may not acknowledge anything more.
    Broken(StoreError),
}

impl From<WriteFailed> for Stop {
    fn from(failed: WriteFailed) -> Self {
        Self::Broken(StoreError::Unavailable(failed.0))
    }
}

impl From<RewriteFailed> for Stop {
    fn from(failed: RewriteFailed) -> Self {
        Self::Broken(StoreError::Unavailable(failed.0))
    }
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Self::Broken(StoreError::Unavailable("the store contradicts itself".to_owned()))
    }
}

/// Batches that are written together.
#[derive(Default)]
struct Group {
    parts: Vec<Part>,
    tenants: BTreeSet<TenantId>,
    replies: Vec<(Reply<Vec<Outcome>>, Vec<Outcome>)>,
    facts: usize,
}

impl Writer {
    /// Ends when it is asked to, or at the first error: dropping the queue tells everybody who waits.
    fn run(mut self, queue: &Receiver<Command>) {
        while let Ok(first) = queue.recv() {
            match self.serve(first, queue) {
                Ok(()) => {}
                Err(Stop::Asked) => {
                    self.checkpoints.finish(&mut self.log, &self.folder, &self.ledgers, &self.index);
                    break;
                }
                Err(Stop::Broken(error)) => return tracing::error!(%error, "the store stops writing"),
            }
        }
        if let Err(WriteFailed(cause)) = self.log.close() {
            tracing::error!(cause, "the store was not closed cleanly");
        }
    }

    /// Serves a command and all that wait behind it.
    fn serve(&mut self, first: Command, queue: &Receiver<Command>) -> Result<(), Stop> {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Commit(batch, reply) => self.join(&mut group, batch, reply)?,
                other => {
                    self.write(std::mem::take(&mut group))?;
                    self.serve_alone(other)?;
                }
            }
            if group.facts >= GROUP_FACTS_MAX {
                break;
            }
            next = queue.try_recv().ok();
        }
        self.write(group)
    }

    fn serve_alone(&mut self, command: Command) -> Result<(), Stop> {
        match command {
            Command::Commit(batch, reply) => {
                let mut group = Group::default();
                self.join(&mut group, batch, reply)?;
                self.write(group)
            }
            Command::Settings { tenant, settings, epoch, reply } => {
                self.decide(tenant, settings, epoch)?;
                let _ = reply.send(Ok(()));
                Ok(())
            }
            Command::Expire(first, reply) => {
                let forgotten = self.expire_before(first)?;
                self.checkpoints.go_on(&mut self.log, &self.folder, &self.ledgers, &self.index);
                let _ = reply.send(Ok(forgotten));
                Ok(())
            }
            Command::Publish(at, reply) => {
                let contents = self.publish(at)?;
                let _ = reply.send(Ok(contents));
                Ok(())
            }
            Command::ExpireContent(first, reply) => {
                self.log.drop_before(Bucket::Content(first))?;
                let _ = reply.send(Ok(self.index.contents.expire_before(first)));
                Ok(())
            }
            Command::Note { tenant, name, before, after, reply } => {
                let is_expected = self.index.notes.get(tenant, &name).as_deref() == before.as_deref();
                if is_expected {
                    self.log.keep(tenant, &name, &after)?;
                    self.index.notes.put(tenant, &name, &after);
                }
                let _ = reply.send(Ok(is_expected));
                Ok(())
            }
            Command::Erase { tenant, person, event, reply } => {
                let erased = self.erase(tenant, &person, *event)?;
                let _ = reply.send(erased);
                Ok(())
            }
            Command::Decide { tenant, decision, event, reply } => {
                let decided = self.review(tenant, *decision, *event)?;
                let _ = reply.send(decided);
                Ok(())
            }
            Command::Break(why) => Err(Stop::Broken(StoreError::Unavailable(why))),
            Command::Stop => Err(Stop::Asked),
        }
    }

    fn join(&mut self, group: &mut Group, batch: Batch, reply: Reply<Vec<Outcome>>) -> Result<(), Stop> {
        let (tenant, facts) = (batch.tenant, batch.facts.len());
        let (evaluate, mut parts) = (self.evaluate, Parts::new(tenant));
        let outcomes = plan(self.ledger(tenant), batch, evaluate, &mut parts)?;
        group.parts.extend(parts.finish());
        group.tenants.insert(tenant);
        group.replies.push((reply, outcomes));
        group.facts += facts;
        Ok(())
    }

    /// Makes a group durable, then shows it, then answers.
    fn write(&mut self, group: Group) -> Result<(), Stop> {
        self.log.write(&group.parts)?;
        if group.facts > 0 {
            METRICS.commit_group.observe(f64::from(u32::try_from(group.facts).unwrap_or(u32::MAX)));
        }
        for tenant in group.tenants {
            self.ledger(tenant).show();
        }
        for (reply, outcomes) in group.replies {
            // Nobody waits any more when the caller has gone.
            let _ = reply.send(Ok(outcomes));
        }
        Ok(())
    }

    /// Settings that turn sharing on are durable before the switch opens; whoever turned it off has closed it.
    fn decide(&mut self, tenant: TenantId, settings: VersionedSettings, epoch: u64) -> Result<(), Stop> {
        let is_open = settings.settings.data_sharing;
        self.commit_alone(tenant, Change::Settings { settings, epoch })?;
        if is_open {
            self.ledger(tenant).tenant().switch.open();
        }
        Ok(())
    }

    /// Who is erased is written down before. Nobody is when that cannot be, or when the keys are of several people.
    fn erase(&mut self, tenant: TenantId, person: &Identity, event: AuditEvent) -> Result<Erased, Stop> {
        let ledger = self.ledger(tenant);
        let (users, erasure) = match ledger.join(person) {
            Join::New => (Vec::new(), Erasure::default()),
            Join::Same(users) => {
                let erasure = ledger.erasure_of(&users);
                (users, erasure)
            }
            Join::Conflict => {
                let refused = AuditEvent { outcome: AuditOutcome::Refused, ..event };
                let event = AuditEvent { users: ledger.hits(person), ..refused };
                return Ok(audit::record_now(&self.lines, tenant, event).map(|()| None));
            }
        };
        let event = AuditEvent { users: erasure.numbers.iter().copied().collect(), ..event };
        if let Err(unavailable) = audit::record_now(&self.lines, tenant, event.clone()) {
            return Ok(Err(unavailable));
        }
        if !users.is_empty()
            && let Err(stop) = self.forget(tenant, &erasure)
        {
            let failed = AuditEvent { outcome: AuditOutcome::Failed, ..event };
            // The line before says what was to happen; this one is better, but not promised.
            let _ = audit::record_now(&self.lines, tenant, failed);
            return Err(stop);
        }
        Ok(Ok(Some(users.len() as u64)))
    }

    /// The log is written anew without them before anything is shown: what is gone from memory is gone from disk.
    fn forget(&mut self, tenant: TenantId, erasure: &Erasure) -> Result<(), Stop> {
        let change = Change::Erased(erasure.numbers.clone());
        let mut last = Encoder::default();
        last.uuid(tenant.uuid());
        change.write(&mut last);
        // Both hold the log that is about to go, and its people.
        self.checkpoints.give_up();
        self.verification = None;
        let without = Without { tenant, erasure };
        self.log.write_anew(&self.folder, &without, &last.finish())?;
        let ledger = self.ledger(tenant);
        ledger.apply(change)?;
        ledger.show();
        self.index.contents.forget(tenant, &erasure.numbers);
        self.checkpoints.go_on(&mut self.log, &self.folder, &self.ledgers, &self.index);
        Ok(())
    }

    /// A decision that is taken is written down before.
    fn review(
        &mut self,
        tenant: TenantId,
        decision: Decision,
        event: AuditEvent,
    ) -> Result<Result<Result<(), Undecided>, StoreError>, Stop> {
        let ledger = self.ledger(tenant);
        let known = ledger.alerted(&decision.alert).and_then(|user| {
            Some((user, ledger.look(user, |facts| facts.alerts.get(&decision.alert).cloned())??))
        });
        let decided =
            known.ok_or(Undecided::Unknown).and_then(|(user, alert)| Ok((user, alert.decided(&decision)?)));
        let (user, alert) = match decided {
            Ok(decided) => decided,
            Err(undecided) => return Ok(Ok(Err(undecided))),
        };
        let event = AuditEvent { users: vec![user], ..event };
        if let Err(unavailable) = audit::record_now(&self.lines, tenant, event) {
            return Ok(Err(unavailable));
        }
        let change = Change::Decided { user, alert, by: decision.by, comment: decision.comment };
        self.commit_alone(tenant, change)?;
        Ok(Ok(Ok(())))
    }

    /// Makes one change durable, then shows it.
    fn commit_alone(&mut self, tenant: TenantId, change: Change) -> Result<(), Stop> {
        let mut out = Encoder::default();
        out.uuid(tenant.uuid());
        change.write(&mut out);
        self.log.write(&[Part { bucket: None, activities: 0, payload: out.finish() }])?;
        let ledger = self.ledger(tenant);
        ledger.apply(change)?;
        ledger.show();
        Ok(())
    }

    /// What is due of all tenants becomes content in one write: no change is exported twice, or never.
    fn publish(&mut self, at: DateTime<Utc>) -> Result<u64, Stop> {
        let (mut number, mut parts, mut contents) = (self.index.last_content(), Vec::new(), Vec::new());
        let mut published = Vec::new();
        // In one order, that what is exported does not depend on chance.
        let ledgers: BTreeMap<&TenantId, &Ledger> = self.ledgers.iter().collect();
        for (tenant, ledger) in ledgers {
            let due = ledger.due();
            if due.is_empty() {
                continue;
            }
            let created = self.index.contents.created(*tenant).map_or(at, |last| last.max(at));
            for records in due.chunks(RECORDS_MAX) {
                number += 1;
                let content = Content { number, tenant: *tenant, created, records: records.to_vec() };
                let bucket = Some(Bucket::Content(content.day()));
                parts.push(Part { bucket, activities: 0, payload: content::write(&content) });
                contents.push(content);
            }
            let (change, mut out) = (Change::Published(number), Encoder::default());
            out.uuid(tenant.uuid());
            change.write(&mut out);
            parts.push(Part { bucket: None, activities: 0, payload: out.finish() });
            published.push((*tenant, change));
        }
        self.log.write(&parts)?;
        for (tenant, change) in published {
            let ledger = self.ledger(tenant);
            ledger.apply(change)?;
            ledger.show();
        }
        self.index.note_content(number);
        let count = contents.len() as u64;
        self.index.contents.put(contents);
        Ok(count)
    }

    fn expire_before(&mut self, first: UtcDay) -> Result<u64, Stop> {
        // What is in memory is in a bucket.
        if !self.log.drop_before(Bucket::Activities(first))? {
            return Ok(0);
        }
        self.checkpoints.holds_too_much();
        let mut forgotten = 0;
        for ledger in self.ledgers.values_mut() {
            forgotten += ledger.expire_before(first);
            ledger.show();
        }
        Ok(forgotten)
    }

    fn ledger(&mut self, tenant: TenantId) -> &mut Ledger {
        let index = &self.index;
        self.ledgers.entry(tenant).or_insert_with(|| Ledger::new(index.get_or_add(tenant)))
    }
}
