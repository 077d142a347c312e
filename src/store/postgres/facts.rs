//! Commits facts and forgets old activities.

use super::Shared;
use super::error::Fault;
use super::load::{Names, book, take};
use super::save::Changed;
use crate::domain::facts::{Batch, Fact, Outcome};
use crate::domain::time::UtcDay;
use crate::store::book::plan::plan;
use std::collections::BTreeSet;

/// Days of a partition.
const WEEK: i32 = 7;

/// Commits a batch in one transaction.
pub async fn commit(shared: &Shared, batch: Batch) -> Result<Vec<Outcome>, Fault> {
    make_weeks(shared, &batch.facts).await?;
    let (tenant, names) = (batch.tenant, Names::of(&batch.facts));
    let mut client = shared.client().await?;
    let change = client.transaction().await?;
    let row = take(&change, tenant, true).await?.ok_or(Fault::Malformed)?;
    let mut ledger = book(&change, tenant, &row, &names).await?;
    let mut changed = Changed::default();
    let outcomes = plan(&mut ledger, batch, shared.evaluate, &mut changed)?;
    ledger.show();
    changed.save(&change, tenant, &mut ledger).await?;
    change.commit().await?;
    Ok(outcomes)
}

/// Sees to it that the weeks of activities have partitions. In transactions of their own, for they wait for readers.
async fn make_weeks(shared: &Shared, facts: &[Fact]) -> Result<(), Fault> {
    let week = |fact: &Fact| match fact {
        Fact::Activity { activity, .. } => Some(activity.day().number().div_euclid(WEEK)),
        _ => None,
    };
    let weeks: BTreeSet<i32> = facts.iter().filter_map(week).collect();
    for week in weeks {
        if shared.weeks.contains(&week) {
            continue;
        }
        let client = shared.client().await?;
        let (name, first) = (partition(week), week * WEEK);
        let make = format!(
            "SELECT pg_advisory_lock(7405178); \
             CREATE TABLE IF NOT EXISTS {name} PARTITION OF activity FOR VALUES FROM ({first}) TO ({}); \
             SELECT pg_advisory_unlock(7405178)",
            first + WEEK
        );
        client.batch_execute(&make).await?;
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
pub async fn expire(shared: &Shared, first: UtcDay) -> Result<u64, Fault> {
    let mut client = shared.client().await?;
    let change = client.transaction().await?;
    let newer = "UPDATE user_state u SET version = nextval('user_version') \
        FROM (SELECT DISTINCT tenant_id, user_no FROM activity WHERE day < $1) old \
        WHERE u.tenant_id = old.tenant_id AND u.user_no = old.user_no";
    change.execute(newer, &[&first.number()]).await?;
    let forgotten = change.execute("DELETE FROM activity WHERE day < $1", &[&first.number()]).await?;
    change.commit().await?;
    drop_weeks(shared, first).await?;
    Ok(forgotten)
}

/// Drops partitions of weeks that are over: they are empty.
async fn drop_weeks(shared: &Shared, first: UtcDay) -> Result<(), Fault> {
    let client = shared.client().await?;
    let all = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
               WHERE i.inhparent = 'activity'::regclass";
    let current = first.number().div_euclid(WEEK);
    for row in client.query(all, &[]).await? {
        let name: String = row.get(0);
        let week = name.strip_prefix("activity_week_").and_then(|week| week.parse::<i32>().ok());
        if let Some(week) = week.filter(|week| *week < current) {
            client.batch_execute(&format!("DROP TABLE IF EXISTS {}", partition(week))).await?;
            shared.weeks.remove(&week);
        }
    }
    Ok(())
}
