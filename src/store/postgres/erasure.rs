//! Erases people: their rows go, with the audit line in the same transaction.

use super::error::Fault;
use super::load::{Names, book, take};
use super::people::{read_policy, user_no};
use super::{Shared, audit};
use crate::domain::audit::{AuditEvent, AuditOutcome};
use crate::domain::ids::TenantId;
use crate::domain::user::{Identity, IdentityKey, Join, UserNo};
use crate::store::book::change::Change;
use crate::store::book::content;
use crate::store::book::state::write_change;
use deadpool_postgres::GenericClient;
use std::collections::BTreeSet;

/// Every number that some people ever had.
const NUMBERS: &str = "WITH RECURSIVE had AS ( \
      SELECT unnest($2::bigint[]) AS user_no \
      UNION SELECT a.from_no FROM absorbed a JOIN had ON a.tenant_id = $1 AND a.into_no = had.user_no) \
    SELECT user_no FROM had";

/// Erases whom the keys point at, if they can be one.
pub async fn erase(
    shared: &Shared,
    tenant: TenantId,
    person: &Identity,
    event: AuditEvent,
) -> Result<Option<u64>, Fault> {
    let mut client = shared.connections.for_work().await?;
    let change = client.transaction().await?;
    let Some(row) = take(&change, tenant, false).await? else {
        audit::append(&change, tenant, vec![event]).await?;
        change.commit().await?;
        return Ok(Some(0));
    };
    let ledger = book(&change, &shared.known, tenant, &row, &Names::of_person(person)).await?;
    let (users, event, erased) = match ledger.join(person) {
        Join::New => (Vec::new(), event, Some(0)),
        Join::Same(users) => {
            let count = users.len() as u64;
            (users, event, Some(count))
        }
        Join::Conflict => {
            let refused = AuditEvent { outcome: AuditOutcome::Refused, users: ledger.hits(person), ..event };
            audit::append(&change, tenant, vec![refused]).await?;
            change.commit().await?;
            return Ok(None);
        }
    };
    let asked: Vec<i64> = users.iter().map(|user| user.0.into()).collect();
    let rows = change.query(NUMBERS, &[&tenant.uuid(), &asked]).await?;
    let numbers = rows.iter().map(|row| user_no(row.get(0))).collect::<Result<BTreeSet<UserNo>, _>>()?;
    let event = AuditEvent { users: numbers.iter().copied().collect(), ..event };
    audit::append(&change, tenant, vec![event]).await?;
    if !users.is_empty() {
        let keys = ledger.erasure_of(&users).keys;
        forget(&change, tenant, &numbers, &keys).await?;
    }
    change.commit().await?;
    shared.known.forget(tenant);
    Ok(erased)
}

async fn forget(
    change: &impl GenericClient,
    tenant: TenantId,
    numbers: &BTreeSet<UserNo>,
    keys: &BTreeSet<IdentityKey>,
) -> Result<(), Fault> {
    let id = tenant.uuid();
    let all: Vec<i64> = numbers.iter().map(|user| user.0.into()).collect();
    for table in ["activity", "risk_alert", "due", "user_state", "identity_key", "membership", "pseudonym"] {
        let clear = format!("DELETE FROM {table} WHERE tenant_id = $1 AND user_no = ANY($2)");
        change.execute(&clear, &[&id, &all]).await?;
    }
    let clear = "DELETE FROM absorbed WHERE tenant_id = $1 AND (from_no = ANY($2) OR into_no = ANY($2))";
    change.execute(clear, &[&id, &all]).await?;
    for row in change.query("SELECT policy_id, payload FROM policy WHERE tenant_id = $1", &[&id]).await? {
        let mut policy = read_policy(row.get(1))?;
        let before = policy.priority_users.len();
        policy.priority_users.retain(|key| !keys.contains(key));
        if policy.priority_users.len() < before {
            let payload = write_change(&Change::Policy(policy));
            let update = "UPDATE policy SET payload = $3 WHERE tenant_id = $1 AND policy_id = $2";
            change.execute(update, &[&id, &row.get::<_, &str>(0), &payload]).await?;
        }
    }
    // Replicas that see it forget whom they know.
    let newer = "UPDATE tenant SET rules_version = rules_version + 1 WHERE tenant_id = $1";
    change.execute(newer, &[&id]).await?;
    for row in change.query("SELECT number, payload FROM content WHERE tenant_id = $1", &[&id]).await? {
        let blob = content::read(row.get(1))?;
        let before = blob.records.len();
        let kept = content::without(blob, numbers);
        if kept.records.len() < before {
            let update = "UPDATE content SET payload = $2 WHERE number = $1";
            change.execute(update, &[&row.get::<_, i64>(0), &content::write(&kept)]).await?;
        }
    }
    Ok(())
}
