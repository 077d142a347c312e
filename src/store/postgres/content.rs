//! Exports changes of risk alerts, and keeps notes for the floors above.

use super::alerts::rules;
use super::error::Fault;
use super::people::{facts, user_no};
use super::switch::number_of;
use super::{Shared, queries};
use crate::domain::activity::Activity;
use crate::domain::content::{AlertRecord, Content, ContentQuery, RECORDS_MAX};
use crate::domain::facts::UserFacts;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use crate::store::book::content;
use crate::store::book::state::{read_due, read_one_activity};
use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Keeps two replicas from exporting at the same time.
const PUBLISH: i64 = 7_405_179;
/// How many blobs are read at once.
const PAGE: usize = 256;

/// Makes content of what is due, all in one transaction.
pub async fn publish(shared: &Shared, at: DateTime<Utc>) -> Result<u64, Fault> {
    let mut client = shared.connections.for_work().await?;
    let change = client.transaction().await?;
    change.query_one(queries::LOCK, &[&PUBLISH]).await?;
    let take = "DELETE FROM due RETURNING position, tenant_id, user_no, alert_id, payload";
    let mut rows = change.query(take, &[]).await?;
    rows.sort_by_key(|row| row.get::<_, i64>(0));
    let mut dues: BTreeMap<TenantId, Vec<_>> = BTreeMap::new();
    for row in &rows {
        let due = read_due(row.get(4), user_no(row.get(2))?)?;
        dues.entry(TenantId::new(row.get(1))).or_default().push(due);
    }
    let mut made = 0;
    for (tenant, dues) in dues {
        let rules = rules(&change, tenant).await?;
        let (mut records, mut seen, mut users) = (Vec::new(), BTreeSet::new(), HashMap::new());
        for due in &dues {
            let is_first =
                seen.insert(&due.alert.id) && !mark_exported(&change, tenant, due.alert.id.as_str()).await?;
            let facts = match users.entry(due.user) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(user(&change, tenant, due.user).await?),
            };
            records.extend(facts.as_ref().map(|facts| due.record(tenant, facts, &rules, is_first)));
        }
        made += save(&change, tenant, at, &records).await?;
    }
    change.commit().await?;
    Ok(made)
}

/// Notes that a change of an alert is exported, and says whether one was before.
async fn mark_exported(change: &impl GenericClient, tenant: TenantId, alert: &str) -> Result<bool, Fault> {
    let mark = "UPDATE risk_alert new SET exported = true FROM risk_alert old \
        WHERE new.tenant_id = $1 AND new.alert_id = $2 AND old.tenant_id = new.tenant_id \
        AND old.alert_id = new.alert_id RETURNING old.exported";
    let row = change.query_opt(mark, &[&tenant.uuid(), &alert]).await?;
    Ok(row.is_some_and(|row| row.get(0)))
}

async fn user(
    change: &impl GenericClient,
    tenant: TenantId,
    user: UserNo,
) -> Result<Option<UserFacts>, Fault> {
    let (id, number) = (tenant.uuid(), i64::from(user.0));
    let state = "SELECT payload FROM user_state WHERE tenant_id = $1 AND user_no = $2";
    let Some(state) = change.query_opt(state, &[&id, &number]).await? else { return Ok(None) };
    let done = "SELECT day, payload FROM activity WHERE tenant_id = $1 AND user_no = $2";
    let rows = change.query(done, &[&id, &number]).await?;
    let read = |row: &tokio_postgres::Row| read_one_activity(UtcDay::from_number(row.get(0)), row.get(1));
    let activities = rows.iter().map(read).collect::<Result<Vec<Activity>, _>>()?;
    Ok(Some(facts(state.get(0), activities)?))
}

async fn save(
    change: &impl GenericClient,
    tenant: TenantId,
    at: DateTime<Utc>,
    records: &[AlertRecord],
) -> Result<u64, Fault> {
    let last = "SELECT payload FROM content WHERE tenant_id = $1 ORDER BY number DESC LIMIT 1";
    let last = change.query_opt(last, &[&tenant.uuid()]).await?;
    let last = last.map(|row| content::read(row.get(0))).transpose()?;
    let created = last.map_or(at, |last| last.created.max(at));
    let mut made = 0;
    for records in records.chunks(RECORDS_MAX) {
        let number: i64 = change.query_one("SELECT nextval('content_number')", &[]).await?.get(0);
        let blob = Content { number: number_of(number)?, tenant, created, records: records.to_vec() };
        let insert = "INSERT INTO content VALUES ($1, $2, $3, $4)";
        let day = blob.day().number();
        change.execute(insert, &[&number, &tenant.uuid(), &day, &content::write(&blob)]).await?;
        made += 1;
    }
    Ok(made)
}

/// Returns blobs that are wanted.
pub async fn wanted(shared: &Shared, query: &ContentQuery) -> Result<Vec<Arc<Content>>, Fault> {
    let client = shared.connections.for_work().await?;
    let tenant = query.tenant.map(TenantId::uuid);
    let mut after = i64::try_from(query.after).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    let text = "SELECT number, payload FROM content WHERE number > $1 AND ($2::uuid IS NULL OR tenant_id = $2) \
                ORDER BY number LIMIT 256";
    while found.len() < query.size {
        let rows = client.query(text, &[&after, &tenant]).await?;
        for row in &rows {
            after = row.get(0);
            let blob = content::read(row.get(1))?;
            if query.wants(&blob) && found.len() < query.size {
                found.push(Arc::new(blob));
            }
        }
        if rows.len() < PAGE {
            break;
        }
    }
    Ok(found)
}

/// Forgets blobs of days before this one.
pub async fn expire(shared: &Shared, before: UtcDay) -> Result<u64, Fault> {
    let client = shared.connections.for_work().await?;
    Ok(client.execute("DELETE FROM content WHERE day < $1", &[&before.number()]).await?)
}

/// Reads a note.
pub async fn note(shared: &Shared, tenant: TenantId, name: &str) -> Result<Option<Arc<str>>, Fault> {
    let client = shared.connections.for_work().await?;
    let text = "SELECT value FROM note WHERE tenant_id = $1 AND name = $2";
    let row = client.query_opt(text, &[&tenant.uuid(), &name]).await?;
    Ok(row.map(|row| row.get::<_, &str>(0).into()))
}

/// Replaces a note if it still says what is expected.
pub async fn put_note(
    shared: &Shared,
    tenant: TenantId,
    name: &str,
    before: Option<&str>,
    after: &str,
) -> Result<bool, Fault> {
    let client = shared.connections.for_work().await?;
    let id = tenant.uuid();
    let changed = match before {
        None => {
            let insert = "INSERT INTO note VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            client.execute(insert, &[&id, &name, &after]).await?
        }
        Some(before) => {
            let update = "UPDATE note SET value = $4 WHERE tenant_id = $1 AND name = $2 AND value = $3";
            client.execute(update, &[&id, &name, &before, &after]).await?
        }
    };
    Ok(changed == 1)
}
