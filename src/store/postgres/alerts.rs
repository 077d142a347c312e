//! Reads risk alerts for reviewers, and takes their decisions.

use super::error::Fault;
use super::load::{Names, book, take};
use super::people::{named_by, read_policy, user_no};
use super::save::{Changed, place};
use super::switch::{read_settings, reading};
use super::{Shared, audit};
use crate::domain::audit::AuditEvent;
use crate::domain::decision::{Decision, RiskAlertQuery, Undecided};
use crate::domain::facts::TenantRules;
use crate::domain::ids::{RiskAlertId, TenantId};
use crate::domain::user::UserNo;
use crate::store::book::change::Change;
use crate::store::book::plan::Writing;
use crate::store::book::state::read_review;
use crate::store::{AlertCursor, AlertPage, Hold, ReviewedAlert};
use deadpool_postgres::GenericClient;
use std::sync::Arc;
use tokio_postgres::Row;

/// So many risk alerts are looked at for a page.
const LOOKED_MAX: usize = 10_000;

const COLUMNS: &str = "SELECT alert_id, user_no, exported, payload FROM risk_alert WHERE tenant_id = $1";

/// Reads a page, looking at no more than [`LOOKED_MAX`] alerts or one page.
pub async fn page(
    shared: &Shared,
    hold: &Hold,
    query: &RiskAlertQuery,
    after: Option<&AlertCursor>,
    size: usize,
) -> Result<AlertPage, Fault> {
    let reading = reading(shared, hold).await?;
    let client = reading.client()?;
    let mut page = AlertPage { next: after.cloned(), ..AlertPage::default() };
    let mut looked = 0;
    loop {
        let places = places(client, hold.tenant(), query, page.next.as_ref(), size.max(1)).await?;
        let found = alerts(client, hold.tenant(), &places.rows).await?;
        page.rules = found.rules;
        page.next = None;
        for one in found.alerts {
            looked += 1;
            let cursor = AlertCursor { created_at: one.alert.created_at, id: one.alert.id.clone() };
            let is_of = query.pseudonym.is_none_or(|wanted| one.user.pseudonym == wanted);
            if query.wants(&one.alert) && is_of {
                page.alerts.push(ReviewedAlert { history: Vec::new(), ..one });
            }
            page.next = Some(cursor);
            if page.alerts.len() >= size {
                break;
            }
        }
        let is_last_looked = looked_at_all(&places, page.next.as_ref());
        if !places.more && is_last_looked {
            page.next = None;
            return Ok(page);
        }
        if page.alerts.len() >= size || looked >= LOOKED_MAX || page.next.is_none() {
            return Ok(page);
        }
    }
}

/// Alerts in their order.
struct Places {
    rows: Vec<Row>,
    /// There are others behind them.
    more: bool,
}

fn looked_at_all(places: &Places, at: Option<&AlertCursor>) -> bool {
    places.rows.last().is_none_or(|last| at.is_some_and(|at| at.id.as_str() == last.get::<_, &str>(0)))
}

async fn places(
    client: &impl GenericClient,
    tenant: TenantId,
    query: &RiskAlertQuery,
    after: Option<&AlertCursor>,
    size: usize,
) -> Result<Places, Fault> {
    let (before, other, order) = if query.oldest_first {
        (">", "<", "place, alert_id DESC")
    } else {
        ("<", ">", "place DESC, alert_id")
    };
    let behind = format!("(place {before} $2 OR (place = $2 AND alert_id {other} $3))");
    let from = after.map_or_else(Vec::new, |after| place(after.created_at));
    let id = after.map_or("", |after| after.id.as_str());
    let users: Option<Vec<i64>> =
        query.users.as_ref().map(|users| users.iter().map(|user| user.0.into()).collect());
    let limit = i64::try_from(size.saturating_add(1)).unwrap_or(i64::MAX);
    let text = format!(
        "{COLUMNS} AND ($4 OR {behind}) AND ($5::bigint[] IS NULL OR user_no = ANY($5)) ORDER BY {order} LIMIT $6"
    );
    let mut rows =
        client.query(&text, &[&tenant.uuid(), &from, &id, &after.is_none(), &users, &limit]).await?;
    let more = rows.len() > size;
    rows.truncate(size);
    Ok(Places { rows, more })
}

/// Reads one alert with its history.
pub async fn one(shared: &Shared, hold: &Hold, alert: &RiskAlertId) -> Result<AlertPage, Fault> {
    let reading = reading(shared, hold).await?;
    let client = reading.client()?;
    let text = format!("{COLUMNS} AND alert_id = $2");
    let rows = client.query(&text, &[&hold.tenant().uuid(), &alert.as_str()]).await?;
    alerts(client, hold.tenant(), &rows).await
}

async fn alerts(client: &impl GenericClient, tenant: TenantId, rows: &[Row]) -> Result<AlertPage, Fault> {
    let users = rows.iter().map(|row| user_no(row.get(1))).collect::<Result<Vec<UserNo>, _>>()?;
    let named = named_by(client, tenant, &users).await?;
    let mut alerts = Vec::with_capacity(rows.len());
    for ((row, user), named) in rows.iter().zip(users).zip(named) {
        let (alert, review) = read_review(row.get(3), user, row.get(2))?;
        alerts.extend(named.map(|user| ReviewedAlert { alert, user, history: review.history }));
    }
    Ok(AlertPage { rules: Arc::new(rules(client, tenant).await?), alerts, next: None })
}

/// Reads a tenant's rules.
pub async fn rules(client: &impl GenericClient, tenant: TenantId) -> Result<TenantRules, Fault> {
    let mut rules = TenantRules::default();
    let id = tenant.uuid();
    if let Some(row) = client.query_opt("SELECT settings FROM tenant WHERE tenant_id = $1", &[&id]).await? {
        rules.settings = read_settings(row.get(0))?.settings;
    }
    for row in client.query("SELECT payload FROM policy WHERE tenant_id = $1", &[&id]).await? {
        let policy = read_policy(row.get(0))?;
        rules.policies.insert(policy.id.clone(), policy);
    }
    Ok(rules)
}

/// Takes a decision, with its audit line in the same transaction.
pub async fn decide(
    shared: &Shared,
    tenant: TenantId,
    decision: &Decision,
    event: AuditEvent,
) -> Result<Result<(), Undecided>, Fault> {
    let mut client = shared.connections.for_work().await?;
    let change = client.transaction().await?;
    let Some(row) = take(&change, tenant, false).await? else { return Ok(Err(Undecided::Unknown)) };
    let mut ledger = book(&change, &shared.known, tenant, &row, &Names::of_alert(&decision.alert)).await?;
    let known = ledger.alerted(&decision.alert).and_then(|user| {
        Some((user, ledger.look(user, |facts| facts.alerts.get(&decision.alert).cloned())??))
    });
    let Some((user, alert)) = known else { return Ok(Err(Undecided::Unknown)) };
    let alert = match alert.decided(decision) {
        Ok(alert) => alert,
        Err(undecided) => return Ok(Err(undecided)),
    };
    audit::append(&change, tenant, vec![AuditEvent { users: vec![user], ..event }]).await?;
    let (by, comment) = (decision.by.clone(), decision.comment.clone());
    let decided = Change::Decided { user, alert, by, comment };
    let mut changed = Changed::default();
    changed.change(&decided);
    ledger.apply(decided)?;
    ledger.show();
    let versions = changed.save(&change, tenant, &mut ledger).await?;
    change.commit().await?;
    shared.known.note_all(&ledger, &versions);
    Ok(Ok(()))
}
