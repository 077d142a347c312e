//! Writes what a batch changed: the state after it of everybody whom it touched.

use super::error::Fault;
use super::people::user_no;
use crate::domain::activity::Activity;
use crate::domain::ids::{PolicyId, RiskAlertId, TenantId};
use crate::domain::policy::Policy;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::user::UserNo;
use crate::store::book::change::Change;
use crate::store::book::ledger::Ledger;
use crate::store::book::plan::Writing;
use crate::store::book::state::{
    activity_bytes, due_bytes, key_bytes, review_bytes, write_change, write_facts,
};
use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use std::collections::{BTreeMap, BTreeSet};

/// The versions of users after a change.
pub type Versions = BTreeMap<UserNo, i64>;

/// What a batch changed.
#[derive(Default)]
pub struct Changed {
    users: BTreeSet<UserNo>,
    /// Whose keys or memberships may be others now.
    renamed: BTreeSet<UserNo>,
    /// Whose activities are not only more than before.
    merged: BTreeSet<UserNo>,
    gone: Vec<(UserNo, UserNo)>,
    policies: BTreeMap<PolicyId, Policy>,
    alerts: BTreeSet<RiskAlertId>,
    pseudonyms: Vec<(UserNo, Pseudonym)>,
    activities: Vec<(UserNo, Activity)>,
}

impl Writing for Changed {
    fn change(&mut self, change: &Change) {
        match change {
            Change::User(user) => drop(self.renamed.insert(user.no)),
            Change::Absorbed { from, into } => {
                self.renamed.insert(*into);
                self.merged.insert(*into);
                self.gone.push((*from, *into));
            }
            Change::Policy(policy) => drop(self.policies.insert(policy.id.clone(), policy.clone())),
            Change::Membership { user, .. } => drop(self.renamed.insert(*user)),
            Change::Trigger { user, .. } => drop(self.users.insert(*user)),
            Change::Alert { user, alert } | Change::Decided { user, alert, .. } => {
                self.users.insert(*user);
                self.alerts.insert(alert.id.clone());
            }
            Change::Pseudonym { user, pseudonym } => self.pseudonyms.push((*user, *pseudonym)),
            Change::Brought(person) => {
                self.renamed.insert(person.facts.user.no);
                self.alerts.extend(person.reviews.iter().map(|(alert, _)| alert.clone()));
                self.pseudonyms.push((person.facts.user.no, person.pseudonym));
                let former = person.former.iter().filter_map(|(from, one)| Some((*from, (*one)?)));
                self.pseudonyms.extend(former);
            }
            // No batch has one.
            Change::Settings { .. }
            | Change::Erased(_)
            | Change::Published(_)
            | Change::Next(_)
            | Change::Due(_) => {}
        }
    }

    fn activity(&mut self, user: UserNo, activity: &Activity) {
        self.users.insert(user);
        self.activities.push((user, activity.clone()));
    }
}

impl Changed {
    /// Writes it, after the book has shown it, and returns the versions that users are of then.
    pub async fn save(
        self,
        change: &impl GenericClient,
        tenant: TenantId,
        ledger: &mut Ledger,
    ) -> Result<Versions, Fault> {
        for (from, into) in &self.gone {
            absorb(change, tenant, *from, *into).await?;
        }
        self.save_policies(change, tenant).await?;
        self.save_pseudonyms(change, tenant).await?;
        let versions = self.save_users(change, tenant, ledger).await?;
        self.save_activities(change, tenant, ledger, &versions).await?;
        self.save_alerts(change, tenant, ledger).await?;
        for due in ledger.take_due() {
            let insert = "INSERT INTO due (tenant_id, user_no, alert_id, payload) VALUES ($1, $2, $3, $4)";
            let (user, alert) = (i64::from(due.user.0), due.alert.id.as_str());
            change.execute(insert, &[&tenant.uuid(), &user, &alert, &due_bytes(&due)]).await?;
        }
        let next = i64::from(ledger.next_user().0);
        change
            .execute(
                "UPDATE tenant SET next_user = $2 WHERE tenant_id = $1 AND next_user <> $2",
                &[&tenant.uuid(), &next],
            )
            .await?;
        Ok(versions)
    }

    async fn save_policies(&self, change: &impl GenericClient, tenant: TenantId) -> Result<(), Fault> {
        if self.policies.is_empty() {
            return Ok(());
        }
        let upsert = "INSERT INTO policy VALUES ($1, $2, $3) \
                      ON CONFLICT (tenant_id, policy_id) DO UPDATE SET payload = $3";
        for (id, policy) in &self.policies {
            let payload = write_change(&Change::Policy(policy.clone()));
            change.execute(upsert, &[&tenant.uuid(), &id.as_str(), &payload]).await?;
        }
        let newer = "UPDATE tenant SET rules_version = rules_version + 1 WHERE tenant_id = $1";
        change.execute(newer, &[&tenant.uuid()]).await?;
        Ok(())
    }

    async fn save_pseudonyms(&self, change: &impl GenericClient, tenant: TenantId) -> Result<(), Fault> {
        if self.pseudonyms.is_empty() {
            return Ok(());
        }
        let users: Vec<i64> = self.pseudonyms.iter().map(|(user, _)| user.0.into()).collect();
        let drawn: Vec<i64> = self.pseudonyms.iter().map(|(_, one)| one.number().into()).collect();
        let insert = "INSERT INTO pseudonym SELECT $1, * FROM unnest($2::bigint[], $3::bigint[])";
        change.execute(insert, &[&tenant.uuid(), &drawn, &users]).await?;
        Ok(())
    }

    /// Writes the state of all who were touched, with the keys and memberships of those who may have others now.
    async fn save_users(
        &self,
        change: &impl GenericClient,
        tenant: TenantId,
        ledger: &Ledger,
    ) -> Result<Versions, Fault> {
        let resolve = |users: &BTreeSet<UserNo>| -> BTreeSet<UserNo> {
            users.iter().map(|user| ledger.resolve(*user)).collect()
        };
        let (renamed, merged) = (resolve(&self.renamed), resolve(&self.merged));
        let touched: BTreeSet<UserNo> = resolve(&self.users).union(&renamed).copied().collect();
        let (mut users, mut pseudonyms, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
        for user in &touched {
            let facts = ledger.tenant().facts(*user).ok_or(Fault::Malformed)?;
            let named = ledger.tenant().named(*user).ok_or(Fault::Malformed)?;
            users.push(i64::from(user.0));
            pseudonyms.push(i64::from(named.pseudonym.number()));
            payloads.push(write_facts(&facts));
        }
        let merged: Vec<bool> = touched.iter().map(|user| merged.contains(user)).collect();
        save_names(change, tenant, ledger, &renamed).await?;
        let upsert = "INSERT INTO user_state AS old \
            SELECT $1, user_no, version, CASE WHEN merged THEN version ELSE 0 END, pseudonym, payload FROM ( \
              SELECT *, nextval('user_version') AS version \
              FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::boolean[]) \
                AS given (user_no, pseudonym, payload, merged)) AS new \
            ON CONFLICT (tenant_id, user_no) DO UPDATE \
            SET version = excluded.version, whole = greatest(old.whole, excluded.whole), \
              pseudonym = excluded.pseudonym, payload = excluded.payload \
            RETURNING user_no, version";
        let rows = change.query(upsert, &[&tenant.uuid(), &users, &pseudonyms, &payloads, &merged]).await?;
        rows.iter().map(|row| Ok((user_no(row.get(0))?, row.get(1)))).collect()
    }

    async fn save_activities(
        &self,
        change: &impl GenericClient,
        tenant: TenantId,
        ledger: &Ledger,
        versions: &Versions,
    ) -> Result<(), Fault> {
        let all = || self.activities.iter();
        let users: Vec<UserNo> = all().map(|(user, _)| ledger.resolve(*user)).collect();
        let version = |user: &UserNo| versions.get(user).copied().ok_or(Fault::Malformed);
        let versions = users.iter().map(version).collect::<Result<Vec<i64>, _>>()?;
        let users: Vec<i64> = users.iter().map(|user| user.0.into()).collect();
        let days: Vec<i32> = all().map(|(_, activity)| activity.day().number()).collect();
        let ids: Vec<&str> = all().map(|(_, activity)| activity.id.as_str()).collect();
        let payloads: Vec<Vec<u8>> = all().map(|(user, activity)| activity_bytes(*user, activity)).collect();
        let insert = "INSERT INTO activity \
            SELECT $1, * FROM unnest($2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::bytea[])";
        change.execute(insert, &[&tenant.uuid(), &users, &days, &ids, &versions, &payloads]).await?;
        Ok(())
    }

    async fn save_alerts(
        &self,
        change: &impl GenericClient,
        tenant: TenantId,
        ledger: &Ledger,
    ) -> Result<(), Fault> {
        for id in &self.alerts {
            save_alert(change, tenant, ledger, id).await?;
        }
        Ok(())
    }
}

/// Writes the keys and memberships of users, in the place of those that they had.
async fn save_names(
    change: &impl GenericClient,
    tenant: TenantId,
    ledger: &Ledger,
    renamed: &BTreeSet<UserNo>,
) -> Result<(), Fault> {
    if renamed.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = renamed.iter().map(|user| user.0.into()).collect();
    for table in ["identity_key", "membership"] {
        let clear = format!("DELETE FROM {table} WHERE tenant_id = $1 AND user_no = ANY($2)");
        change.execute(&clear, &[&tenant.uuid(), &numbers]).await?;
    }
    let (mut keys, mut of_keys) = (Vec::new(), Vec::new());
    let (mut policies, mut of_policies) = (Vec::new(), Vec::new());
    for user in renamed {
        let facts = ledger.tenant().facts(*user).ok_or(Fault::Malformed)?;
        keys.extend(facts.user.identity.keys().map(key_bytes));
        of_keys.resize(keys.len(), i64::from(user.0));
        policies.extend(facts.memberships.keys().map(|policy| policy.as_str().to_owned()));
        of_policies.resize(policies.len(), i64::from(user.0));
    }
    let insert = "INSERT INTO identity_key SELECT $1, * FROM unnest($2::bytea[], $3::bigint[]) \
                  ON CONFLICT (tenant_id, key) DO UPDATE SET user_no = excluded.user_no";
    change.execute(insert, &[&tenant.uuid(), &keys, &of_keys]).await?;
    let insert = "INSERT INTO membership SELECT $1, * FROM unnest($2::text[], $3::bigint[])";
    change.execute(insert, &[&tenant.uuid(), &policies, &of_policies]).await?;
    Ok(())
}

/// Writes a risk alert as the book shows it.
pub async fn save_alert(
    change: &impl GenericClient,
    tenant: TenantId,
    ledger: &Ledger,
    id: &RiskAlertId,
) -> Result<(), Fault> {
    let review = ledger.tenant().reviews.get(id).ok_or(Fault::Malformed)?;
    let user = ledger.resolve(review.user);
    let facts = ledger.tenant().facts(user).ok_or(Fault::Malformed)?;
    let alert = facts.alerts.get(id).ok_or(Fault::Malformed)?;
    let upsert = "INSERT INTO risk_alert VALUES ($1, $2, $3, $4, $5, $6) \
        ON CONFLICT (tenant_id, alert_id) DO UPDATE SET user_no = $3, place = $4, exported = $5, payload = $6";
    let (number, place, payload) = (i64::from(user.0), place(alert.created_at), review_bytes(alert, &review));
    change
        .execute(upsert, &[&tenant.uuid(), &id.as_str(), &number, &place, &review.exported, &payload])
        .await?;
    Ok(())
}

/// Returns an instant as bytes that are ordered as instants are.
pub fn place(at: DateTime<Utc>) -> Vec<u8> {
    let seconds = at.timestamp().cast_unsigned() ^ (1 << 63);
    [&seconds.to_be_bytes()[..], &at.timestamp_subsec_nanos().to_be_bytes()].concat()
}

/// Moves everything of a number to another.
async fn absorb(
    change: &impl GenericClient,
    tenant: TenantId,
    from: UserNo,
    into: UserNo,
) -> Result<(), Fault> {
    let (id, from, into) = (tenant.uuid(), i64::from(from.0), i64::from(into.0));
    for table in ["activity", "risk_alert", "due"] {
        let move_all = format!("UPDATE {table} SET user_no = $3 WHERE tenant_id = $1 AND user_no = $2");
        change.execute(&move_all, &[&id, &from, &into]).await?;
    }
    for table in ["user_state", "identity_key", "membership"] {
        let clear = format!("DELETE FROM {table} WHERE tenant_id = $1 AND user_no = $2");
        change.execute(&clear, &[&id, &from]).await?;
    }
    change.execute("INSERT INTO absorbed VALUES ($1, $2, $3)", &[&id, &from, &into]).await?;
    Ok(())
}
