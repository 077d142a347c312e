//! The audit log in the database: one chain for each tenant, whose head is a row that is locked while a line is added.

use super::error::Fault;
use super::switch::number_of;
use super::{LINE_WAIT, Shared, in_time};
use crate::domain::audit::{
    AuditEvent, AuditLine, AuditQuery, AuditVerdict, ChainCheck, ChainHead, LineHash,
};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::store::{AuditCursor, AuditPage, StoreError};
use crate::telemetry::METRICS;
use deadpool_postgres::GenericClient;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};

/// The most lines that wait. One more is refused.
const QUEUE_MAX: usize = 4_096;
/// The most lines that are written together.
const GROUP_MAX: usize = 1_024;
/// How many lines are read at once: the limit of [`LINES`].
const PAGE: usize = 1_000;
/// A page ends when its lines have so many bytes.
const PAGE_TEXT_BYTES_MAX: usize = 512 * 1024;

type Reply = oneshot::Sender<Result<(), StoreError>>;
type Waiting = (TenantId, AuditEvent, Reply);

/// Returns what a fault means to whoever wanted a line.
#[expect(clippy::needless_pass_by_value, reason = "is given to map_err")]
pub fn unavailable(fault: Fault) -> StoreError {
    StoreError::AuditUnavailable(fault.to_string())
}

/// Writes lines of many callers together: one commit for all that wait.
pub struct AuditWriter {
    lines: std::sync::OnceLock<mpsc::Sender<Waiting>>,
    is_writing: Arc<AtomicBool>,
}

impl AuditWriter {
    /// Returns a writer that begins with the first line.
    pub fn new() -> Self {
        Self { lines: std::sync::OnceLock::new(), is_writing: Arc::new(AtomicBool::new(true)) }
    }

    /// Says whether the last lines could be written.
    pub fn is_writing(&self) -> bool {
        self.is_writing.load(Ordering::Relaxed)
    }

    /// Puts a line into a chain and returns once it is durable.
    pub async fn record(
        &self,
        shared: &Arc<Shared>,
        tenant: TenantId,
        event: AuditEvent,
    ) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let lines = self.lines.get_or_init(|| {
            let (lines, queue) = mpsc::channel(QUEUE_MAX);
            tokio::spawn(write_all(Arc::clone(shared), queue, Arc::clone(&self.is_writing)));
            lines
        });
        let full = || StoreError::AuditUnavailable("too many lines are waiting".to_owned());
        lines.try_send((tenant, event, reply)).map_err(|_| full())?;
        let ended = Err(StoreError::AuditUnavailable("the writer has ended".to_owned()));
        in_time(LINE_WAIT, async { Ok(answer.await.unwrap_or(ended)) }).await.map_err(unavailable)?
    }
}

async fn write_all(shared: Arc<Shared>, mut queue: mpsc::Receiver<Waiting>, is_writing: Arc<AtomicBool>) {
    let mut group = Vec::new();
    while queue.recv_many(&mut group, GROUP_MAX).await > 0 {
        let mut events: BTreeMap<TenantId, Vec<AuditEvent>> = BTreeMap::new();
        let mut replies = Vec::new();
        for (tenant, event, reply) in group.drain(..) {
            events.entry(tenant).or_default().push(event);
            replies.push(reply);
        }
        let written = in_time(LINE_WAIT, write(&shared, events)).await;
        is_writing.store(written.is_ok(), Ordering::Relaxed);
        match &written {
            Ok(()) => METRICS.audit_lines.inc_by(replies.len() as u64),
            Err(_) => METRICS.audit_failures.inc_by(replies.len() as u64),
        };
        if let Err(fault) = &written {
            tracing::error!(%fault, lines = replies.len(), "the audit log cannot be written");
        }
        for reply in replies {
            // Nobody waits any more when the caller has gone.
            let _ = reply.send(written.clone().map_err(unavailable));
        }
    }
}

/// Adds lines of several tenants in one transaction, in the order of the tenants: two replicas never wait for each other
/// in a circle.
async fn write(shared: &Shared, events: BTreeMap<TenantId, Vec<AuditEvent>>) -> Result<(), Fault> {
    let mut client = shared.connections.aside().await?;
    let change = client.transaction().await?;
    for (tenant, events) in events {
        append(&change, tenant, events).await?;
    }
    Ok(change.commit().await?)
}

/// Adds lines to a tenant's chain, within a transaction.
pub async fn append(
    change: &impl GenericClient,
    tenant: TenantId,
    events: Vec<AuditEvent>,
) -> Result<(), Fault> {
    let zero = LineHash::default().to_string();
    let begin = "INSERT INTO audit_head VALUES ($1, 0, $2, 0, $2) ON CONFLICT DO NOTHING";
    change.execute(begin, &[&tenant.uuid(), &zero]).await?;
    let look = "SELECT sequence, hash FROM audit_head WHERE tenant_id = $1 FOR UPDATE";
    let row = change.query_one(look, &[&tenant.uuid()]).await?;
    let mut head = head(row.get(0), row.get(1))?;
    let (mut sequences, mut days, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        let (text, next) = AuditLine::text_after(head, tenant, &event);
        head = next;
        sequences.push(i64::try_from(head.sequence).map_err(|_| Fault::Malformed)?);
        days.push(UtcDay::of(event.at).number());
        lines.push(text);
    }
    let insert = "INSERT INTO audit_line SELECT $1, * FROM unnest($2::bigint[], $3::integer[], $4::text[])";
    change.execute(insert, &[&tenant.uuid(), &sequences, &days, &lines]).await?;
    let sequence = i64::try_from(head.sequence).map_err(|_| Fault::Malformed)?;
    let update = "UPDATE audit_head SET sequence = $2, hash = $3 WHERE tenant_id = $1";
    change.execute(update, &[&tenant.uuid(), &sequence, &head.hash.to_string()]).await?;
    Ok(())
}

fn head(sequence: i64, hash: &str) -> Result<ChainHead, Fault> {
    Ok(ChainHead { sequence: number_of(sequence)?, hash: LineHash::parse(hash).ok_or(Fault::Malformed)? })
}

const LINES: &str = "SELECT sequence, line FROM audit_line WHERE tenant_id = $1 AND sequence > $2 \
    AND sequence <= $3 ORDER BY sequence LIMIT 1000";

/// Reads a page. Damaged lines are left out: [`verify`] names them.
pub async fn page(
    shared: &Shared,
    tenant: TenantId,
    query: &AuditQuery,
    after: Option<AuditCursor>,
    size: usize,
) -> Result<AuditPage, Fault> {
    let client = shared.connections.for_work().await?;
    let mut cursor = if let Some(after) = after {
        after
    } else {
        let last = heads(&client, tenant).await?.map_or(0, |(head, _)| head.sequence);
        AuditCursor { sequence: 0, last, day: UtcDay::MIN, offset: 0 }
    };
    let last = i64::try_from(cursor.last).map_err(|_| Fault::Malformed)?;
    let (mut page, mut shown) = (AuditPage::default(), 0);
    loop {
        let from = i64::try_from(cursor.sequence).map_err(|_| Fault::Malformed)?;
        let rows = client.query(LINES, &[&tenant.uuid(), &from, &last]).await?;
        for row in &rows {
            cursor.sequence = number_of(row.get(0))?;
            let text: &str = row.get(1);
            if let Some(line) = AuditLine::read(text).filter(AuditLine::is_whole)
                && query.wants(&line.event)
            {
                page.lines.push(line);
                shown += text.len();
            }
            if page.lines.len() >= size || shown >= PAGE_TEXT_BYTES_MAX {
                page.next = Some(cursor).filter(|cursor| cursor.sequence < cursor.last);
                return Ok(page);
            }
        }
        if rows.len() < PAGE {
            return Ok(page);
        }
    }
}

async fn heads(
    client: &impl GenericClient,
    tenant: TenantId,
) -> Result<Option<(ChainHead, ChainHead)>, Fault> {
    let look = "SELECT sequence, hash, anchor_sequence, anchor_hash FROM audit_head WHERE tenant_id = $1";
    let row = client.query_opt(look, &[&tenant.uuid()]).await?;
    row.map(|row| Ok((head(row.get(0), row.get(1))?, head(row.get(2), row.get(3))?))).transpose()
}

/// Checks a tenant's chain, as of one instant.
pub async fn verify(
    shared: &Shared,
    tenant: TenantId,
    kept: Option<ChainHead>,
) -> Result<AuditVerdict, Fault> {
    let mut client = shared.connections.for_work().await?;
    let look = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    let look = look.read_only(true).start().await?;
    let (head, anchor) = heads(&look, tenant).await?.unwrap_or_default();
    let mut check = ChainCheck::new(anchor, kept.into_iter().chain([head]).collect());
    let (mut from, last) = (0_i64, i64::MAX);
    loop {
        let rows = look.query(LINES, &[&tenant.uuid(), &from, &last]).await?;
        for row in &rows {
            from = row.get(0);
            check.take(&format_args!("line {from}"), row.get::<_, &str>(1).as_bytes());
        }
        if rows.len() < PAGE {
            return Ok(AuditVerdict { head, ..check.finish() });
        }
    }
}

/// Removes lines of days before this one as long as no later day's stand before them, and returns how many. The last
/// one of each chain that goes is its anchor.
pub async fn expire(shared: &Shared, before: UtcDay) -> Result<u64, Fault> {
    let mut client = shared.connections.for_work().await?;
    let change = client.transaction().await?;
    let old = "SELECT l.tenant_id, max(l.sequence) FROM audit_line l WHERE l.day < $1 AND NOT EXISTS ( \
                 SELECT FROM audit_line later WHERE later.tenant_id = l.tenant_id \
                 AND later.sequence < l.sequence AND later.day >= $1) \
               GROUP BY l.tenant_id ORDER BY l.tenant_id";
    let mut removed = 0;
    for row in change.query(old, &[&before.number()]).await? {
        let (tenant, sequence): (uuid::Uuid, i64) = (row.get(0), row.get(1));
        change.query_one("SELECT FROM audit_head WHERE tenant_id = $1 FOR UPDATE", &[&tenant]).await?;
        let line = "SELECT line FROM audit_line WHERE tenant_id = $1 AND sequence = $2";
        let line = change.query_one(line, &[&tenant, &sequence]).await?;
        if let Some(line) = AuditLine::read(line.get(0)) {
            let raise = "UPDATE audit_head SET anchor_sequence = $2, anchor_hash = $3 WHERE tenant_id = $1";
            change.execute(raise, &[&tenant, &sequence, &line.hash.to_string()]).await?;
        }
        let remove = "DELETE FROM audit_line WHERE tenant_id = $1 AND sequence <= $2";
        removed += change.execute(remove, &[&tenant, &sequence]).await?;
    }
    change.commit().await?;
    Ok(removed)
}
