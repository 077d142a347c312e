//! Commits facts and forgets old activities.

use super::Shared;
use super::error::Fault;
use super::load::{Names, book, ingest_lock, take};
use super::queries;
use super::save::Changed;
use crate::domain::facts::{Batch, Fact, Outcome};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::store::book::plan::plan;
use deadpool_postgres::Client;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Days of a partition.
const WEEK: i32 = 7;

/// Keeps two replicas from making the same partition.
const WEEKS: i64 = 7_405_178;

/// Commits a batch in one transaction.
pub async fn commit(shared: &Shared, batch: Batch) -> Result<Vec<Outcome>, Fault> {
    let done = batch.facts.iter().filter_map(|fact| match fact {
        Fact::Activity { activity, .. } => Some(activity.day()),
        _ => None,
    });
    make_weeks(shared, done).await?;
    let (tenant, names) = (batch.tenant, Names::of(&batch.facts));
    let mut client = shared.connections.for_work().await?;
    let change = client.transaction().await?;
    let row = take(&change, tenant, true).await?.ok_or(Fault::Malformed)?;
    let mut ledger = book(&change, &shared.known, tenant, &row, &names).await?;
    let mut changed = Changed::default();
    let outcomes = plan(&mut ledger, batch, shared.evaluate, &mut changed)?;
    ledger.show();
    let versions = changed.save(&change, tenant, &mut ledger).await?;
    change.commit().await?;
    shared.known.note_all(&ledger, &versions);
    Ok(outcomes)
}

/// Sees to it that the weeks of activities have partitions, in a transaction of its own.
pub async fn make_weeks(shared: &Shared, days: impl Iterator<Item = UtcDay> + Send) -> Result<(), Fault> {
    let weeks = days.map(|day| day.number().div_euclid(WEEK));
    let weeks: BTreeSet<i32> = weeks.filter(|week| !shared.weeks.contains(week)).collect();
    if weeks.is_empty() {
        return Ok(());
    }
    let mut client = shared.connections.for_work().await?;
    let change = client.transaction().await?;
    change.query_one(queries::LOCK, &[&WEEKS]).await?;
    for week in &weeks {
        let (name, first) = (partition(*week), week * WEEK);
        let attached =
            "SELECT FROM pg_inherits WHERE inhparent = 'activity'::regclass AND inhrelid = to_regclass($1)";
        if change.query_opt(attached, &[&name]).await?.is_none() {
            // Made apart and attached: that waits for no reader and no other commit, and they do not wait for it.
            let make = format!(
                "CREATE TABLE IF NOT EXISTS {name} (LIKE activity INCLUDING INDEXES); \
                 ALTER TABLE activity ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({})",
                first + WEEK
            );
            change.batch_execute(&make).await?;
        }
    }
    change.commit().await?;
    for week in weeks {
        shared.weeks.insert(week);
    }
    Ok(())
}

fn partition(week: i32) -> String {
    if week < 0 {
        format!("activity_before_{}", week.unsigned_abs())
    } else {
        format!("activity_week_{week}")
    }
}

/// Forgets activities of days before `first`, and returns how many. Weeks that are over go as a whole.
///
/// One tenant after the other, each as alone as a commit takes it: so the two never wait for each other in a circle.
pub async fn expire(shared: &Shared, first: UtcDay) -> Result<u64, Fault> {
    let mut client = shared.connections.for_work().await?;
    let mut forgotten = 0;
    let tenants = "SELECT DISTINCT tenant_id FROM activity WHERE day < $1";
    for row in client.query(tenants, &[&first.number()]).await? {
        let tenant: Uuid = row.get(0);
        let change = client.transaction().await?;
        change.query_one(queries::LOCK, &[&ingest_lock(TenantId::new(tenant))]).await?;
        let newer = "UPDATE user_state u SET version = next.version, whole = next.version FROM ( \
              SELECT user_no, nextval('user_version') AS version FROM ( \
                SELECT DISTINCT user_no FROM activity WHERE tenant_id = $1 AND day < $2) AS old) AS next \
            WHERE u.tenant_id = $1 AND u.user_no = next.user_no";
        change.execute(newer, &[&tenant, &first.number()]).await?;
        let old = "DELETE FROM activity WHERE tenant_id = $1 AND day < $2";
        forgotten += change.execute(old, &[&tenant, &first.number()]).await?;
        change.commit().await?;
    }
    drop_weeks(shared, &client, first).await?;
    Ok(forgotten)
}

/// Drops the partitions of weeks that are over: they are empty. Detached first, for a partition that is dropped where it
/// hangs waits for every reader of any week, and every new reader for it. What an interruption left half done is finished.
async fn drop_weeks(shared: &Shared, client: &Client, first: UtcDay) -> Result<(), Fault> {
    let all = "SELECT c.relname, i.inhdetachpending FROM pg_class c \
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = 'activity'::regclass \
        WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'activity'::regclass)";
    let current = first.number().div_euclid(WEEK);
    for row in client.query(all, &[]).await? {
        let (name, pending): (String, Option<bool>) = (row.get(0), row.get(1));
        let week = name.strip_prefix("activity_week_").and_then(|week| week.parse::<i32>().ok());
        let Some(week) = week.filter(|week| *week < current) else { continue };
        shared.weeks.remove(&week);
        let name = partition(week);
        let how = match pending {
            Some(true) => Some("FINALIZE"),
            Some(false) => Some("CONCURRENTLY"),
            None => None,
        };
        if let Some(how) = how {
            client.batch_execute(&format!("ALTER TABLE activity DETACH PARTITION {name} {how}")).await?;
        }
        client.batch_execute(&format!("DROP TABLE IF EXISTS {name}")).await?;
    }
    Ok(())
}
