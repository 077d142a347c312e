//! The PostgreSQL engine: several replicas over one database, which alone knows what is true. `docs/postgres.md` says
//! what is promised.
//!
//! `connections` deals out connections, `facts` commits, `people` reads users, `switch` holds and moves the sharing switch,
//! `alerts` reads and decides about risk alerts, `content` exports, `audit` writes lines; `load` brings into memory what a
//! batch can touch, `save` writes what it changed; `moving` reads a store to the last row, and fills one. All SQL stands in
//! `queries`.

mod alerts;
mod audit;
mod connections;
mod content;
mod erasure;
mod error;
mod facts;
mod load;
mod migrations;
mod moving;
mod people;
mod queries;
mod save;
mod switch;

#[cfg(all(test, has_postgres))]
mod tests;

#[cfg(all(test, not(has_postgres)))]
mod without {
    #[test]
    #[ignore = "PostgreSQL is not installed here: the suite of engines was not run over it"]
    fn the_suite_of_engines_over_postgresql() {}
}

pub use connections::Address;
pub use error::OpenError;
pub use migrations::{SCHEMA_VERSION, migrate};
pub use moving::{PostgresSource, PostgresTarget};

use crate::domain::audit::{AuditEvent, AuditQuery, AuditVerdict, ChainHead};
use crate::domain::content::{Content, ContentQuery};
use crate::domain::decision::{Decision, RiskAlertQuery, Undecided};
use crate::domain::facts::{Batch, Outcome};
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::risk_alert::evaluate;
use crate::domain::settings::Settings;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, UserNo};
use crate::store::book::plan::Evaluate;
use crate::store::{AlertCursor, AlertPage, AuditCursor, AuditPage};
use crate::store::{ChangedSettings, Condition, Hold, Named, Snapshot, Store, StoreError, VersionedSettings};
use async_trait::async_trait;
use audit::AuditWriter;
use chrono::{DateTime, Utc};
use connections::Connections;
use dashmap::DashSet;
use error::Fault;
use people::{Known, Question};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use switch::{GUARD_AGE_MAX, Switches};

/// How long a caller waits for a read, with its connection.
const READ_WAIT: Duration = Duration::from_secs(5);
/// How long a caller waits for a commit, with its connection. Whether one that took longer was made is not known.
const COMMIT_WAIT: Duration = Duration::from_secs(10);
/// How long a caller waits for an audit line. With a read before it, less than a call has.
const LINE_WAIT: Duration = Duration::from_secs(4);
/// A store in a database.
pub struct PostgresStore {
    shared: Arc<Shared>,
    audit: AuditWriter,
}

/// What all parts of the engine use.
struct Shared {
    connections: Connections,
    evaluate: Evaluate,
    strict: bool,
    /// Nobody hands anything over under a guard of this age: turning off waits so long.
    guard_age_max: Duration,
    switches: Switches,
    known: Known,
    /// The weeks whose partitions are known to exist.
    weeks: DashSet<i32>,
    /// The last statement that had to do with it went well.
    reads: AtomicBool,
    commits: AtomicBool,
}

impl Shared {
    /// Reads in time, and notes whether the database could.
    async fn read<T>(&self, work: impl Future<Output = Result<T, Fault>> + Send) -> Result<T, StoreError> {
        let result = in_time(READ_WAIT, work).await;
        self.reads.store(!result.as_ref().is_err_and(Fault::is_of_the_database), Ordering::Relaxed);
        Ok(result?)
    }

    /// Commits in time, and notes whether the database could.
    async fn commit<T>(&self, work: impl Future<Output = Result<T, Fault>> + Send) -> Result<T, StoreError> {
        self.committed(in_time(COMMIT_WAIT, work).await)
    }

    /// Notes how a commit went, for which nobody waits.
    fn committed<T>(&self, result: Result<T, Fault>) -> Result<T, StoreError> {
        self.commits.store(!result.as_ref().is_err_and(Fault::is_of_the_database), Ordering::Relaxed);
        Ok(result?)
    }
}

/// Waits for the database, but not for ever.
async fn in_time<T>(
    bound: Duration,
    work: impl Future<Output = Result<T, Fault>> + Send,
) -> Result<T, Fault> {
    tokio::time::timeout(bound, work).await.unwrap_or(Err(Fault::Slow))
}

impl PostgresStore {
    /// Opens the store in a database whose schema is this program's.
    ///
    /// # Errors
    /// When the database cannot be reached or its schema is another.
    pub async fn open(address: &Address) -> Result<Self, OpenError> {
        let store = Self::lazy(address, evaluate)?;
        let client = store.shared.connections.for_work().await?;
        migrations::check(&client).await?;
        Ok(store)
    }

    /// Returns a store that connects when it is asked something.
    fn lazy(address: &Address, evaluate: Evaluate) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            connections: Connections::to(address)?,
            evaluate,
            strict: address.strict,
            guard_age_max: GUARD_AGE_MAX,
            switches: Switches::default(),
            known: Known::default(),
            weeks: DashSet::new(),
            reads: AtomicBool::new(true),
            commits: AtomicBool::new(true),
        });
        Ok(Self { shared, audit: AuditWriter::new() })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn hold(&self, tenant: TenantId) -> Result<Hold, StoreError> {
        self.shared.read(switch::hold(&self.shared, tenant, None)).await
    }

    async fn hold_to_read(&self, tenant: TenantId, people: &[&Identity]) -> Result<Hold, StoreError> {
        let question = Question::of(&self.shared.known, tenant, people);
        self.shared.read(switch::hold(&self.shared, tenant, Some(question))).await
    }

    async fn read(&self, hold: &Hold, people: &[&Identity]) -> Result<Snapshot, StoreError> {
        self.shared.read(people::read(&self.shared, hold, people)).await
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        self.shared.commit(facts::commit(&self.shared, batch)).await
    }

    async fn settings(&self, tenant: TenantId) -> Result<VersionedSettings, StoreError> {
        self.shared.read(switch::settings(&self.shared, tenant)).await
    }

    /// Runs in a task of its own: a caller that goes away leaves no change half done.
    async fn change_settings(
        &self,
        tenant: TenantId,
        expected: u64,
        settings: Settings,
        event: AuditEvent,
    ) -> Result<ChangedSettings, StoreError> {
        let shared = Arc::clone(&self.shared);
        let task =
            tokio::spawn(async move { switch::change(&shared, tenant, expected, settings, event).await });
        task.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the change was cut off".to_owned())))
    }

    async fn knows(&self, tenant: TenantId) -> Result<bool, StoreError> {
        self.shared.read(switch::knows(&self.shared, tenant)).await
    }

    async fn record(&self, tenant: TenantId, event: AuditEvent) -> Result<(), StoreError> {
        self.audit.record(&self.shared, tenant, event).await
    }

    async fn audit_page(
        &self,
        tenant: TenantId,
        query: AuditQuery,
        after: Option<AuditCursor>,
        size: usize,
    ) -> Result<AuditPage, StoreError> {
        let page = audit::page(&self.shared, tenant, &query, after, size);
        in_time(READ_WAIT, page).await.map_err(audit::unavailable)
    }

    async fn verify_audit(
        &self,
        tenant: TenantId,
        kept: Option<ChainHead>,
    ) -> Result<AuditVerdict, StoreError> {
        audit::verify(&self.shared, tenant, kept).await.map_err(audit::unavailable)
    }

    async fn expire_audit(&self, before: UtcDay) -> Result<u64, StoreError> {
        audit::expire(&self.shared, before).await.map_err(audit::unavailable)
    }

    async fn expire(&self, today: UtcDay) -> Result<u64, StoreError> {
        self.shared.committed(facts::expire(&self.shared, today.horizon_start()).await)
    }

    async fn erase(
        &self,
        tenant: TenantId,
        person: &Identity,
        event: AuditEvent,
    ) -> Result<Option<u64>, StoreError> {
        self.shared.committed(erasure::erase(&self.shared, tenant, person, event).await)
    }

    async fn named(&self, tenant: TenantId, users: &[UserNo]) -> Result<Vec<Option<Named>>, StoreError> {
        self.shared.read(people::named(&self.shared, tenant, users)).await
    }

    async fn risk_alerts(
        &self,
        hold: &Hold,
        query: &RiskAlertQuery,
        after: Option<&AlertCursor>,
        size: usize,
    ) -> Result<AlertPage, StoreError> {
        self.shared.read(alerts::page(&self.shared, hold, query, after, size)).await
    }

    async fn risk_alert(&self, hold: &Hold, alert: &RiskAlertId) -> Result<AlertPage, StoreError> {
        self.shared.read(alerts::one(&self.shared, hold, alert)).await
    }

    async fn decide(
        &self,
        tenant: TenantId,
        decision: Decision,
        event: AuditEvent,
    ) -> Result<Result<(), Undecided>, StoreError> {
        self.shared.commit(alerts::decide(&self.shared, tenant, &decision, event)).await
    }

    async fn publish(&self, at: DateTime<Utc>) -> Result<u64, StoreError> {
        self.shared.committed(content::publish(&self.shared, at).await)
    }

    async fn contents(&self, query: &ContentQuery) -> Result<Vec<Arc<Content>>, StoreError> {
        self.shared.read(content::wanted(&self.shared, query)).await
    }

    async fn expire_contents(&self, before: UtcDay) -> Result<u64, StoreError> {
        self.shared.committed(content::expire(&self.shared, before).await)
    }

    async fn note(&self, tenant: TenantId, name: &str) -> Result<Option<Arc<str>>, StoreError> {
        self.shared.read(content::note(&self.shared, tenant, name)).await
    }

    async fn put_note(
        &self,
        tenant: TenantId,
        name: &str,
        before: Option<&str>,
        after: &str,
    ) -> Result<bool, StoreError> {
        self.shared.commit(content::put_note(&self.shared, tenant, name, before, after)).await
    }

    async fn condition(&self) -> Condition {
        Condition {
            reads: self.shared.reads.load(Ordering::Relaxed),
            commits: self.shared.commits.load(Ordering::Relaxed),
            audits: self.audit.is_writing(),
        }
    }

    async fn token_key(&self) -> Result<[u8; 32], StoreError> {
        self.shared.read(migrations::token_key(&self.shared)).await
    }
}
