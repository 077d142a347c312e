//! Brings into memory what a batch can touch, and makes a book of it: the same rules then judge there as in every engine.

use super::error::Fault;
use super::people::{Known, Numbered, numbered, pseudonym, user_no};
use super::queries;
use super::switch::{meet, read_settings};
use crate::domain::facts::Fact;
use crate::domain::ids::{ActivityId, PolicyId, RiskAlertId, TenantId};
use crate::domain::pseudonym::Pseudonym;
use crate::domain::user::{Identity, UserNo};
use crate::store::VersionedSettings;
use crate::store::book::ledger::{Ledger, Part};
use crate::store::book::state::{key_bytes, read_review};
use crate::store::book::switch::Switch;
use crate::store::book::tenant::{Decided, Shown, Tenant};
use deadpool_postgres::GenericClient;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Keeps two batches of a tenant from being judged at the same time. The number is beside that of the switch.
const INGEST: i64 = 0x5249_534b_4641_4354;

/// What facts name.
#[derive(Default)]
pub struct Names {
    keys: BTreeSet<Vec<u8>>,
    activities: BTreeSet<String>,
    alerts: BTreeSet<String>,
    policies: BTreeSet<String>,
    /// Each person by all the keys of one fact.
    people: BTreeSet<Vec<Vec<u8>>>,
    facts: usize,
    /// Some keys may be nobody's any more once a declaration was taken.
    declares: bool,
}

impl Names {
    /// Returns what a batch names.
    pub fn of(facts: &[Fact]) -> Self {
        let mut names = Self { facts: facts.len(), ..Self::default() };
        for fact in facts {
            match fact {
                Fact::Activity { user, activity } => {
                    names.person(user);
                    names.activities.insert(activity.id.as_str().to_owned());
                }
                Fact::User(declaration) => {
                    names.declares = true;
                    names.person(&declaration.identity);
                }
                Fact::Policy(policy) => drop(names.policies.insert(policy.id.as_str().to_owned())),
                Fact::Membership { user, .. } | Fact::Trigger { user, .. } => names.person(user),
                Fact::RiskAlert { user, alert } => {
                    names.person(user);
                    names.alerts.insert(alert.id.as_str().to_owned());
                }
            }
        }
        names
    }

    /// Returns what a person's keys name.
    pub fn of_person(person: &Identity) -> Self {
        let mut names = Self::default();
        names.person(person);
        names
    }

    /// Returns a risk alert's name.
    pub fn of_alert(alert: &RiskAlertId) -> Self {
        Self { alerts: [alert.as_str().to_owned()].into(), ..Self::default() }
    }

    fn person(&mut self, person: &Identity) {
        let keys: Vec<Vec<u8>> = person.keys().map(key_bytes).collect();
        self.keys.extend(keys.iter().cloned());
        self.people.insert(keys);
    }

    /// Returns how many users there can be who are new, when these keys point at somebody.
    fn new_users_max(&self, hits: &BTreeSet<Vec<u8>>) -> usize {
        let is_new = |keys: &&Vec<Vec<u8>>| !keys.iter().any(|key| hits.contains(key));
        if self.declares { self.facts } else { self.people.iter().filter(is_new).count() }
    }
}

/// A tenant's row, which nobody else changes while the transaction lasts.
pub struct Row {
    /// The settings.
    pub settings: VersionedSettings,
    /// The number that the next new user gets.
    pub next: u32,
}

/// Returns the number of the lock that whoever changes facts of a tenant takes.
pub fn ingest_lock(tenant: TenantId) -> i64 {
    super::switch::lock_number(tenant) ^ INGEST
}

/// Takes a tenant for this transaction alone, as far as facts go. A tenant that nobody knows is met if it may be.
pub async fn take(
    change: &impl GenericClient,
    tenant: TenantId,
    may_meet: bool,
) -> Result<Option<Row>, Fault> {
    change.query_one(queries::LOCK, &[&ingest_lock(tenant)]).await?;
    if may_meet {
        meet(change, tenant).await?;
    }
    let Some(row) = change.query_opt(queries::TENANT, &[&tenant.uuid()]).await? else { return Ok(None) };
    let next: i64 = row.get(4);
    let next = next.try_into().map_err(|_| Fault::Malformed)?;
    Ok(Some(Row { settings: read_settings(row.get(0))?, next }))
}

/// Returns the book of what can be touched.
pub async fn book(
    change: &impl GenericClient,
    known: &Known,
    tenant: TenantId,
    row: &Row,
    names: &Names,
) -> Result<Ledger, Fault> {
    let id = tenant.uuid();
    let mut part = Part { next: row.next, ..Part::default() };
    let mut wanted: BTreeSet<UserNo> = BTreeSet::new();
    let keys: Vec<&[u8]> = names.keys.iter().map(Vec::as_slice).collect();
    let mut hits: BTreeSet<Vec<u8>> = BTreeSet::new();
    let hit = "SELECT user_no, key FROM identity_key WHERE tenant_id = $1 AND key = ANY($2)";
    for row in change.query(hit, &[&id, &keys]).await? {
        wanted.insert(user_no(row.get(0))?);
        hits.insert(row.get(1));
    }
    let ids: Vec<&str> = names.activities.iter().map(String::as_str).collect();
    let done = "SELECT activity_id, user_no FROM activity WHERE tenant_id = $1 AND activity_id = ANY($2)";
    for row in change.query(done, &[&id, &ids]).await? {
        let (activity, user) =
            (ActivityId::new(row.get(0)).map_err(|_| Fault::Malformed)?, user_no(row.get(1))?);
        part.activities.insert(activity, user);
        wanted.insert(user);
    }
    let ids: Vec<&str> = names.alerts.iter().map(String::as_str).collect();
    let raised = "SELECT alert_id, user_no FROM risk_alert WHERE tenant_id = $1 AND alert_id = ANY($2)";
    for row in change.query(raised, &[&id, &ids]).await? {
        let (alert, user) =
            (RiskAlertId::new(row.get(0)).map_err(|_| Fault::Malformed)?, user_no(row.get(1))?);
        part.alerts.insert(alert, user);
        wanted.insert(user);
    }
    let policies: Vec<&str> = names.policies.iter().map(String::as_str).collect();
    let members = "SELECT policy_id, user_no FROM membership WHERE tenant_id = $1 AND policy_id = ANY($2)";
    for row in change.query(members, &[&id, &policies]).await? {
        let (policy, user) = (PolicyId::new(row.get(0)).map_err(|_| Fault::Malformed)?, user_no(row.get(1))?);
        part.members.entry(policy).or_default().insert(user);
        wanted.insert(user);
    }
    part.offered = offered(change, tenant, names.new_users_max(&hits)).await?;
    let shown = shown(change, known, tenant, row.settings.version, &wanted, &mut part).await?;
    let known = Arc::new(Tenant::new(tenant, Switch::at(0, false)));
    known.show(shown);
    Ok(Ledger::of_part(known, part))
}

/// Reads users and all that hangs on them.
pub async fn shown(
    change: &impl GenericClient,
    known: &Known,
    tenant: TenantId,
    settings_version: u64,
    wanted: &BTreeSet<UserNo>,
    part: &mut Part,
) -> Result<Shown, Fault> {
    let Numbered { rules, users } = numbered(change, known, tenant, wanted).await?;
    let decided = Some(Decided { rules, version: settings_version });
    let mut shown = Shown { decided, ..Shown::default() };
    for (no, (facts, pseudonym)) in users {
        shown.keys.extend(facts.user.identity.keys().map(|key| (key.clone(), Some(no))));
        for policy in facts.memberships.keys() {
            part.members.entry(policy.clone()).or_default().insert(no);
        }
        shown.pseudonyms.push((no, pseudonym));
        shown.users.push(facts);
    }
    let numbers: Vec<i64> = wanted.iter().map(|user| user.0.into()).collect();
    let alerts = "SELECT alert_id, user_no, exported, payload FROM risk_alert WHERE tenant_id = $1 AND user_no = ANY($2)";
    for row in change.query(alerts, &[&tenant.uuid(), &numbers]).await? {
        let no = user_no(row.get(1))?;
        let (alert, review) = read_review(row.get(3), no, row.get(2))?;
        part.alerts.insert(alert.id.clone(), no);
        shown.reviews.push((alert.id, review));
    }
    Ok(shown)
}

/// Returns pseudonyms that nobody has, as many as there can be new users.
async fn offered(
    change: &impl GenericClient,
    tenant: TenantId,
    count: usize,
) -> Result<Vec<Pseudonym>, Fault> {
    let mut free: BTreeSet<i64> = BTreeSet::new();
    while free.len() < count {
        let mut bytes = vec![0; 4 * (count - free.len())];
        getrandom::fill(&mut bytes).map_err(|_| Fault::Malformed)?;
        let draw = |four: &[u8]| {
            let number = u32::from_le_bytes(four.try_into().unwrap_or_default());
            i64::from(number % Pseudonym::COUNT)
        };
        let drawn: BTreeSet<i64> = bytes.chunks_exact(4).map(draw).collect();
        let drawn: Vec<i64> = drawn.into_iter().collect();
        let taken = "SELECT pseudonym FROM pseudonym WHERE tenant_id = $1 AND pseudonym = ANY($2)";
        let taken: BTreeSet<i64> =
            change.query(taken, &[&tenant.uuid(), &drawn]).await?.iter().map(|row| row.get(0)).collect();
        free.extend(drawn.into_iter().filter(|one| !taken.contains(one)));
    }
    free.into_iter().map(pseudonym).collect()
}
