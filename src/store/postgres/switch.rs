//! The sharing switch over several replicas (design E): an answer takes a shared lock of its tenant and keeps it until it
//! is handed over; turning sharing off takes the exclusive lock. A guard that is a second old hands nothing over, and
//! after two seconds the database ends the sessions that still hold the lock. Turning off returns no sooner than every guard
//! of the time before is too old: sessions can also be lost, and their locks with them.

use super::connections::APPLICATION;
use super::error::Fault;
use super::people::{Question, Told};
use super::{Shared, audit, queries};
use crate::domain::audit::AuditEvent;
use crate::domain::ids::TenantId;
use crate::domain::settings::Settings;
use crate::store::book::change::Change;
use crate::store::book::state::{read_change, write_change};
use crate::store::book::switch::{DRAIN_MAX, Epoch, Guard, Switch};
use crate::store::{ChangedSettings, Hold, HoldGuard, Moved, Pass, StoreError, VersionedSettings};
use async_trait::async_trait;
use dashmap::DashMap;
use deadpool_postgres::GenericClient;
use deadpool_postgres::Object;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::types::ToSql;

/// A guard of this age gives no pass. Counted from before its lock was asked for.
pub const GUARD_AGE_MAX: Duration = Duration::from_secs(1);
/// The database ends a session that holds a lock and does nothing for so long.
const IDLE_MAX_MS: u64 = 2_000;
/// An answer waits so long behind a switch that is being turned off, which is less than a read waits for the database.
const LOCK_WAIT_MS: u64 = 4_500;

/// What this replica knows of switches. Never that one is on: that is asked anew each time.
#[derive(Default)]
pub struct Switches(DashMap<TenantId, Arc<Local>>);

struct Local {
    switch: Switch,
    /// What holds locks here.
    held: Mutex<Vec<Weak<Held>>>,
}

impl Switches {
    fn of(&self, tenant: TenantId) -> Arc<Local> {
        let new = || Arc::new(Local { switch: Switch::at(0, false), held: Mutex::default() });
        Arc::clone(&self.0.entry(tenant).or_insert_with(new))
    }
}

/// A transaction that holds the shared lock of a tenant. Ends when it is dropped.
pub struct Held {
    client: tokio::sync::Mutex<Option<Open>>,
    since: Instant,
}

impl Held {
    /// Ends the transaction. Whoever reads under it is waited for.
    async fn end(&self) {
        let open = self.client.lock().await.take();
        if let Some(open) = open {
            open.finish().await;
        }
    }
}

/// A connection on which a transaction was begun. Whenever it is dropped, also by a caller who goes away before anything
/// was answered, it goes back to the pool without that transaction: a later commit on it would else be part of it.
pub struct Open(Option<Object>);

impl Open {
    fn client(&self) -> Result<&Object, Fault> {
        self.0.as_ref().ok_or(Fault::Ended)
    }

    async fn finish(mut self) {
        if let Some(client) = self.0.take() {
            finish(client).await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(finish(client))),
            // The database ends the transaction with the connection.
            Err(_) => drop(Object::take(client)),
        }
    }
}

/// Ends a transaction and gives its connection back, or closes it when that fails.
async fn finish(client: Object) {
    if client.batch_execute("COMMIT").await.is_err() {
        drop(Object::take(client));
    }
}

/// What a hold keeps.
pub struct PostgresGuard {
    local: Guard,
    /// Nothing where the tenant did not share: there is nothing to hand over.
    held: Option<Arc<Held>>,
    /// Whom a reader asked for with the hold. Taken once.
    ahead: Mutex<Option<Told>>,
}

impl PostgresGuard {
    /// Returns the guard of a hold under which nothing is handed over.
    fn closed(epoch: Arc<Epoch>) -> Box<Self> {
        Box::new(Self { local: Guard(epoch), held: None, ahead: Mutex::default() })
    }
}

/// What a pass keeps: the lock lasts as long as the bytes.
struct Passing {
    _local: Pass,
    _held: Arc<Held>,
}

#[async_trait]
impl HoldGuard for PostgresGuard {
    fn pass(&self) -> Result<Pass, Moved> {
        let local = self.local.pass()?;
        let held = self.held.as_ref().filter(|held| held.since.elapsed() < GUARD_AGE_MAX).ok_or(Moved)?;
        Ok(Pass::until(held.since + GUARD_AGE_MAX, Passing { _local: local, _held: Arc::clone(held) }))
    }

    async fn release(&self) {
        if let Some(held) = self.held.as_ref().filter(|held| !is_passing(held, 1)) {
            held.end().await;
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The transaction under which a hold's tenant is read, or any connection where there is none.
pub enum Reading<'h> {
    /// That of the hold.
    Held(tokio::sync::MutexGuard<'h, Option<Open>>),
    /// Another.
    Free(Box<Object>),
}

impl Reading<'_> {
    /// Returns the connection.
    pub fn client(&self) -> Result<&Object, Fault> {
        match self {
            Self::Held(open) => open.as_ref().ok_or(Fault::Ended)?.client(),
            Self::Free(client) => Ok(client),
        }
    }
}

/// Returns where to read under a hold.
pub async fn reading<'h>(shared: &Shared, hold: &'h Hold) -> Result<Reading<'h>, Fault> {
    let guard = hold.guard().as_any().downcast_ref::<PostgresGuard>().ok_or(Fault::Malformed)?;
    match &guard.held {
        Some(held) => Ok(Reading::Held(held.client.lock().await)),
        None => Ok(Reading::Free(Box::new(shared.connections.for_work().await?))),
    }
}

/// Takes what was read with a hold.
pub fn read_ahead(hold: &Hold) -> Option<Told> {
    let guard = hold.guard().as_any().downcast_ref::<PostgresGuard>()?;
    guard.ahead.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Looks at a tenant's switch under its shared lock, and at people, if they are asked for, in the same round trip.
pub async fn hold(shared: &Shared, tenant: TenantId, question: Option<Question>) -> Result<Hold, Fault> {
    let since = Instant::now();
    let client = shared.connections.for_answer().await?;
    let (lock, look) =
        (client.prepare_cached(queries::LOCK_SHARED).await?, client.prepare_cached(queries::SWITCH).await?);
    let read = client.prepare_cached(queries::READ_IF_SHARED).await?;
    let open = Open(Some(client));
    let client = open.client()?;
    let idle = if shared.strict { 0 } else { IDLE_MAX_MS };
    let begin = format!(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = {idle}; SET LOCAL lock_timeout = {LOCK_WAIT_MS}"
    );
    let (number, id) = (lock_number(tenant), tenant.uuid());
    let (number, id): ([&(dyn ToSql + Sync); 1], [&(dyn ToSql + Sync); 1]) = ([&number], [&id]);
    // One round trip. What looks is a statement after the lock: its snapshot is no older than the lock.
    let looked = tokio::try_join!(
        client.batch_execute(&begin),
        client.query_one(&lock, &number),
        client.query_opt(&look, &id),
        async {
            match &question {
                Some(question) => client.query(&read, &question.parameters()).await,
                None => Ok(Vec::new()),
            }
        }
    );
    let ((), _, row, rows) = looked?;
    let Some(row) = row else {
        open.finish().await;
        return Ok(Hold::new(tenant, false, 0, PostgresGuard::closed(Epoch::unknown())));
    };
    let (sharing, epoch) = (row.get(0), number_of(row.get(1))?);
    let local = shared.switches.of(tenant);
    local.switch.follow(epoch, sharing);
    let now = local.switch.epoch();
    // The replica may know of a later move than the snapshot.
    let is_current = now.number() == epoch && now.is_open() == sharing;
    if !sharing || !is_current {
        open.finish().await;
        return Ok(Hold::new(tenant, false, epoch, PostgresGuard::closed(now)));
    }
    let held = Arc::new(Held { client: tokio::sync::Mutex::new(Some(open)), since });
    let mut all = local.held.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|held| held.strong_count() > 0);
    all.push(Arc::downgrade(&held));
    drop(all);
    let ahead = Mutex::new(question.map(|question| Told { question, rows }));
    let guard = PostgresGuard { local: Guard(now), held: Some(held), ahead };
    Ok(Hold::new(tenant, true, epoch, Box::new(guard)))
}

/// Reads a tenant's settings.
pub async fn settings(shared: &Shared, tenant: TenantId) -> Result<VersionedSettings, Fault> {
    let client = shared.connections.aside().await?;
    let row = client.query_opt("SELECT settings FROM tenant WHERE tenant_id = $1", &[&tenant.uuid()]).await?;
    row.map_or(Ok(VersionedSettings::default()), |row| read_settings(row.get(0)))
}

/// Says whether anything was ever recorded or written down of a tenant.
pub async fn knows(shared: &Shared, tenant: TenantId) -> Result<bool, Fault> {
    let client = shared.connections.for_work().await?;
    let known = "SELECT EXISTS (SELECT FROM tenant WHERE tenant_id = $1) \
                 OR EXISTS (SELECT FROM audit_head WHERE tenant_id = $1)";
    Ok(client.query_one(known, &[&tenant.uuid()]).await?.get(0))
}

/// Changes settings, with the audit line in the same transaction.
pub async fn change(
    shared: &Shared,
    tenant: TenantId,
    expected: u64,
    settings: Settings,
    event: AuditEvent,
) -> Result<ChangedSettings, StoreError> {
    let mut client = shared.connections.for_change().await?;
    let change = client.transaction().await.map_err(Fault::from)?;
    if expected == 0 {
        meet(&change, tenant).await?;
    }
    let row = change.query_opt(queries::TENANT, &[&tenant.uuid()]).await.map_err(Fault::from)?;
    let Some(row) = row else { return Err(StoreError::SettingsChanged) };
    if number_of(row.get(1))? != expected {
        return Err(StoreError::SettingsChanged);
    }
    let (was_on, epoch): (bool, i64) = (row.get(2), row.get(3));
    let is_on = settings.data_sharing;
    let local = shared.switches.of(tenant);
    let (mut drained, mut cut_off) = (true, Vec::new());
    if !is_on {
        local.switch.close();
        if was_on {
            (drained, cut_off) = drain(shared, &change, tenant, &local).await?;
        }
    }
    let dark_since = Instant::now();
    let epoch = if is_on == was_on { epoch } else { epoch + 1 };
    let settings = VersionedSettings { settings, version: expected + 1 };
    let bytes = write_settings(&settings, epoch);
    let version = i64::try_from(settings.version).map_err(|_| Fault::Malformed)?;
    change
        .execute(queries::SETTINGS, &[&tenant.uuid(), &bytes, &version, &is_on, &epoch])
        .await
        .map_err(Fault::from)?;
    if !settings.settings.alert_export {
        let forget = "DELETE FROM due WHERE tenant_id = $1";
        change.execute(forget, &[&tenant.uuid()]).await.map_err(Fault::from)?;
    }
    audit::append(&change, tenant, vec![event]).await.map_err(audit::unavailable)?;
    change.commit().await.map_err(Fault::from)?;
    drop(client);
    local.switch.follow(number_of(epoch)?, is_on);
    // A replica may hold a guard whose session was lost, with its lock: its network was cut, or the database is another
    // one than before. It gives nothing away once the guard is too old. Also when it was off already: whoever turned it
    // off may not have got this far.
    if !is_on && epoch > 0 {
        sleep_until(dark_since + shared.guard_age_max).await;
    }
    Ok(ChangedSettings { settings, drained, cut_off })
}

/// Takes the exclusive lock of a switch. Who holds the shared one here and hands nothing over is ended at once; others
/// have two seconds, and then the database ends them, unless the switch is strict. Says whether none had to be, and else
/// whose they were.
async fn drain(
    shared: &Shared,
    change: &impl GenericClient,
    tenant: TenantId,
    local: &Local,
) -> Result<(bool, Vec<String>), Fault> {
    let begun = Instant::now();
    let number = lock_number(tenant);
    let holders = shared.connections.aside().await?.query(queries::HOLDERS, &[&number]).await?;
    let holders: BTreeMap<i32, String> = holders.iter().map(|row| (row.get(0), row.get(1))).collect();
    end_idle(local);
    let here = local.switch.drained().await;
    let parameters: [&(dyn ToSql + Sync); 1] = [&number];
    let locked = change.query_one(queries::LOCK, &parameters);
    tokio::pin!(locked);
    loop {
        let left = DRAIN_MAX.saturating_sub(begun.elapsed());
        tokio::select! {
            locked = &mut locked => {
                locked?;
                break;
            }
            () = sleep(left.max(Duration::from_millis(20))) => {}
        }
        if begun.elapsed() >= DRAIN_MAX && !shared.strict {
            shared.connections.aside().await?.query_one(queries::END_HOLDERS, &[&number]).await?;
        }
    }
    // A session that handed over what it had goes on; one that is gone was cut off, by us or by its time.
    let pids: Vec<i32> = holders.keys().copied().collect();
    let ended = shared.connections.aside().await?.query(queries::ENDED, &[&pids]).await?;
    let ended: BTreeSet<String> =
        ended.iter().filter_map(|row| holders.get(&row.get::<_, i32>(0)).cloned()).collect();
    Ok((here && ended.is_empty(), ended.into_iter().map(|name| replica_of(&name)).collect()))
}

/// Returns the name of a replica by the name of its sessions.
fn replica_of(application: &str) -> String {
    application.strip_prefix(APPLICATION).unwrap_or(application).trim().to_owned()
}

fn end_idle(local: &Local) {
    let all: Vec<Arc<Held>> = {
        let held = local.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().filter_map(Weak::upgrade).collect()
    };
    for held in all {
        if !is_passing(&held, 2) {
            tokio::spawn(async move { held.end().await });
        }
    }
}

/// Says whether more keep a transaction than so many: passes, whose bytes are on their way.
fn is_passing(held: &Arc<Held>, others: usize) -> bool {
    Arc::strong_count(held) > others
}

/// Makes a tenant known.
pub async fn meet(client: &impl GenericClient, tenant: TenantId) -> Result<(), Fault> {
    let bytes = write_settings(&VersionedSettings::default(), 0);
    client.execute(queries::MEET_TENANT, &[&tenant.uuid(), &bytes]).await?;
    Ok(())
}

/// Writes settings with how often the switch has moved.
pub fn write_settings(settings: &VersionedSettings, epoch: i64) -> Vec<u8> {
    let epoch = u64::try_from(epoch).unwrap_or_default();
    write_change(&Change::Settings { settings: settings.clone(), epoch })
}

/// Reads settings.
pub fn read_settings(bytes: &[u8]) -> Result<VersionedSettings, Fault> {
    match read_change(bytes)? {
        Change::Settings { settings, .. } => Ok(settings),
        _ => Err(Fault::Malformed),
    }
}

/// Returns the number of a tenant's lock. Two tenants of one number would only wait for each other.
pub fn lock_number(tenant: TenantId) -> i64 {
    let (high, low) = tenant.uuid().as_u64_pair();
    (high ^ low.rotate_left(17)).cast_signed()
}

/// Returns a number that is never negative.
pub fn number_of(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| Fault::Malformed)
}
