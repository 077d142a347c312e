//! Risk alerts as reviewers see them.

use crate::domain::decision::RiskAlertQuery;
use crate::domain::user::Identity;
use crate::gate::admission::{Refusal, SharingGrant};
pub use crate::store::{AlertCursor, AlertPage, ReviewedAlert};

/// Returns the question for all alerts of some people, the oldest first: of everybody whom their keys point at.
///
/// # Errors
/// When the store cannot answer, which is written down.
pub async fn of_people(grant: &mut SharingGrant, people: &[&Identity]) -> Result<RiskAlertQuery, Refusal> {
    let snapshot = grant.look_up(people).await?;
    let users = snapshot.found.iter().flatten().map(|facts| facts.user.no).collect();
    Ok(RiskAlertQuery { users: Some(users), oldest_first: true, ..RiskAlertQuery::default() })
}

/// Adds their histories to the alerts of a page. One that has gone meanwhile is left out.
///
/// # Errors
/// When the store cannot answer, which is written down.
pub async fn with_histories(grant: &mut SharingGrant, page: AlertPage) -> Result<AlertPage, Refusal> {
    let mut alerts = Vec::with_capacity(page.alerts.len());
    for one in &page.alerts {
        alerts.extend(grant.risk_alert(&one.alert.id).await?.alerts);
    }
    Ok(AlertPage { alerts, ..page })
}
