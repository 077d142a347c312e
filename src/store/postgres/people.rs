//! Reads users. What a replica read once it keeps under its version, and asks only whether that is still the one.

use super::error::Fault;
use super::switch::{read_ahead, read_settings, reading};
use super::{Shared, queries};
use crate::domain::activity::Activity;
use crate::domain::facts::{SharedFacts, TenantRules, UserFacts};
use crate::domain::ids::TenantId;
use crate::domain::policy::Policy;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, UserNo};
use crate::store::book::change::Change;
use crate::store::book::state::{key_bytes, read_change, read_facts, read_one_activity};
use crate::store::{Hold, Named, Snapshot};
use dashmap::DashMap;
use deadpool_postgres::GenericClient;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// The most users that are kept. Beyond it the replica begins anew.
const USERS_MAX: usize = 200_000;

/// What a replica has read.
#[derive(Default)]
pub struct Known {
    rules: DashMap<TenantId, (i64, Arc<TenantRules>)>,
    users: DashMap<(TenantId, UserNo), (i64, SharedFacts)>,
    keys: DashMap<(TenantId, Vec<u8>), UserNo>,
}

impl Known {
    fn rules(&self, tenant: TenantId) -> Option<(i64, Arc<TenantRules>)> {
        self.rules.get(&tenant).map(|known| known.clone())
    }

    /// Forgets a tenant's users.
    pub fn forget(&self, tenant: TenantId) {
        self.users.retain(|(of, _), _| *of != tenant);
        self.keys.retain(|(of, _), _| *of != tenant);
    }

    fn make_room(&self) {
        if self.users.len() >= USERS_MAX || self.keys.len() >= 4 * USERS_MAX {
            self.users.clear();
            self.keys.clear();
        }
    }
}

/// A question about people.
pub struct Question {
    tenant: TenantId,
    id: Uuid,
    keys: Vec<Vec<u8>>,
    /// The numbers and versions of users whom the keys pointed at when they were read last.
    numbers: Vec<i64>,
    versions: Vec<i64>,
    rules: Option<(i64, Arc<TenantRules>)>,
    rules_version: i64,
}

impl Question {
    /// Returns the question, with what the replica knows already.
    pub fn of(known: &Known, tenant: TenantId, people: &[Identity]) -> Self {
        let keys: BTreeSet<Vec<u8>> = people.iter().flat_map(Identity::keys).map(key_bytes).collect();
        let keys: Vec<Vec<u8>> = keys.into_iter().collect();
        let (numbers, versions) = guesses(known, tenant, &keys);
        let rules = known.rules(tenant);
        let rules_version = rules.as_ref().map_or(-1, |(version, _)| *version);
        Self { tenant, id: tenant.uuid(), keys, numbers, versions, rules, rules_version }
    }

    /// Returns the parameters of the statement.
    pub fn parameters(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.id, &self.keys, &self.numbers, &self.versions, &self.rules_version]
    }
}

/// A question that was asked with the look at the switch, and what the statement told.
pub struct ReadAhead {
    /// The question.
    pub question: Question,
    /// The answer.
    pub rows: Vec<Row>,
}

/// Reads people, all in one statement and so of one instant: with the hold, if they were asked for then.
pub async fn read(shared: &Shared, hold: &Hold, people: &[Identity]) -> Result<Snapshot, Fault> {
    let question = Question::of(&shared.known, hold.tenant(), people);
    let ahead = read_ahead(hold).filter(|ahead| ahead.question.keys == question.keys);
    let ReadAhead { question, rows } = if let Some(ahead) = ahead {
        ahead
    } else {
        let reading = reading(shared, hold).await?;
        let client = reading.client()?;
        let statement = client.prepare_cached(queries::READ).await?;
        let rows = client.query(&statement, &question.parameters()).await?;
        ReadAhead { question, rows }
    };
    let mut answer = Answer::default();
    for row in &rows {
        answer.take(row)?;
    }
    let tenant = question.tenant;
    let rules = answer.rules(&shared.known, tenant, question.rules)?;
    let users = answer.users(&shared.known, tenant)?;
    let found = people.iter().map(|person| {
        let hits: BTreeSet<UserNo> =
            person.keys().filter_map(|key| answer.hits.get(&key_bytes(key)).copied()).collect();
        hits.into_iter().filter_map(|user| users.get(&user).cloned()).collect()
    });
    Ok(Snapshot { found: found.collect(), rules })
}

/// Returns the numbers and versions of users whom keys pointed at when they were read last.
fn guesses(known: &Known, tenant: TenantId, keys: &[Vec<u8>]) -> (Vec<i64>, Vec<i64>) {
    let users: BTreeSet<UserNo> =
        keys.iter().filter_map(|key| known.keys.get(&(tenant, key.clone())).map(|user| *user)).collect();
    let version = |user: UserNo| Some((i64::from(user.0), known.users.get(&(tenant, user))?.0));
    users.into_iter().filter_map(version).unzip()
}

/// What the statement told.
#[derive(Default)]
struct Answer {
    settings: Option<(i64, Vec<u8>)>,
    policies: Vec<Policy>,
    hits: HashMap<Vec<u8>, UserNo>,
    users: Vec<(UserNo, i64, Option<Vec<u8>>)>,
    activities: HashMap<UserNo, Vec<Activity>>,
}

impl Answer {
    fn take(&mut self, row: &Row) -> Result<(), Fault> {
        let (kind, number, version): (i32, Option<i64>, Option<i64>) = (row.get(0), row.get(1), row.get(2));
        let payload: Option<&[u8]> = row.get(3);
        let user = || user_no(number.ok_or(Fault::Malformed)?);
        let bytes = || payload.ok_or(Fault::Malformed);
        match kind {
            0 => self.settings = Some((version.ok_or(Fault::Malformed)?, bytes()?.to_vec())),
            1 => self.policies.push(read_policy(bytes()?)?),
            2 => drop(self.hits.insert(bytes()?.to_vec(), user()?)),
            3 => {
                let version = version.ok_or(Fault::Malformed)?;
                self.users.push((user()?, version, payload.map(<[u8]>::to_vec)));
            }
            _ => {
                let activity = read_one_activity(day_of(version.ok_or(Fault::Malformed)?)?, bytes()?)?;
                self.activities.entry(user()?).or_default().push(activity);
            }
        }
        Ok(())
    }

    fn rules(
        &mut self,
        known: &Known,
        tenant: TenantId,
        before: Option<(i64, Arc<TenantRules>)>,
    ) -> Result<Arc<TenantRules>, Fault> {
        let Some((version, settings)) = self.settings.take() else { return Ok(Arc::default()) };
        if let Some((known_version, rules)) = before
            && known_version == version
        {
            return Ok(rules);
        }
        let policies = std::mem::take(&mut self.policies);
        let policies = policies.into_iter().map(|policy| (policy.id.clone(), policy)).collect();
        let rules = Arc::new(TenantRules { settings: read_settings(&settings)?.settings, policies });
        known.rules.insert(tenant, (version, Arc::clone(&rules)));
        Ok(rules)
    }

    fn users(&mut self, known: &Known, tenant: TenantId) -> Result<BTreeMap<UserNo, SharedFacts>, Fault> {
        known.make_room();
        let mut users = BTreeMap::new();
        for (no, version, payload) in std::mem::take(&mut self.users) {
            let facts = match payload {
                Some(payload) => {
                    let facts = Arc::new(facts(&payload, self.activities.remove(&no).unwrap_or_default())?);
                    known.users.insert((tenant, no), (version, Arc::clone(&facts)));
                    facts
                }
                // Whoever forgot it meanwhile makes the caller ask again.
                None => known
                    .users
                    .get(&(tenant, no))
                    .filter(|kept| kept.0 == version)
                    .map(|kept| Arc::clone(&kept.1))
                    .ok_or(Fault::Busy)?,
            };
            users.insert(no, facts);
        }
        for (key, user) in &self.hits {
            known.keys.insert((tenant, key.clone()), *user);
        }
        Ok(users)
    }
}

/// Puts a user together.
pub fn facts(payload: &[u8], activities: Vec<Activity>) -> Result<UserFacts, Fault> {
    let mut facts = read_facts(payload)?;
    facts.activities.extend(activities);
    Ok(facts)
}

/// Reads a policy.
pub fn read_policy(bytes: &[u8]) -> Result<Policy, Fault> {
    match read_change(bytes)? {
        Change::Policy(policy) => Ok(policy),
        _ => Err(Fault::Malformed),
    }
}

/// Returns the user of a number.
pub fn user_no(number: i64) -> Result<UserNo, Fault> {
    number.try_into().map(UserNo).map_err(|_| Fault::Malformed)
}

fn day_of(day: i64) -> Result<UtcDay, Fault> {
    day.try_into().map(UtcDay::from_number).map_err(|_| Fault::Malformed)
}

const NAMED: &str = "WITH RECURSIVE way AS ( \
      SELECT asked, asked AS user_no FROM unnest($2::bigint[]) AS asked \
      UNION SELECT way.asked, a.into_no FROM way JOIN absorbed a ON a.tenant_id = $1 AND a.from_no = way.user_no) \
    SELECT way.asked, u.user_no, u.pseudonym, u.payload FROM way JOIN user_state u \
      ON u.tenant_id = $1 AND u.user_no = way.user_no";

/// Returns who users are, by their numbers.
pub async fn named(shared: &Shared, tenant: TenantId, users: &[UserNo]) -> Result<Vec<Option<Named>>, Fault> {
    let client = shared.client().await?;
    named_by(&client, tenant, users).await
}

/// Returns who users are, on that connection.
pub async fn named_by(
    client: &impl GenericClient,
    tenant: TenantId,
    users: &[UserNo],
) -> Result<Vec<Option<Named>>, Fault> {
    let numbers: Vec<i64> = users.iter().map(|user| user.0.into()).collect();
    let mut found = HashMap::new();
    for row in client.query(NAMED, &[&tenant.uuid(), &numbers]).await? {
        let pseudonym: i64 = row.get(2);
        let pseudonym = pseudonym.try_into().ok().and_then(Pseudonym::numbered).ok_or(Fault::Malformed)?;
        let user = read_facts(row.get(3))?.user;
        let identity = user.identity.clone();
        let shown = user.declared_identity().unwrap_or_else(|| identity.clone());
        let named = Named { user: user_no(row.get(1))?, pseudonym, identity, shown };
        found.insert(user_no(row.get(0))?, named);
    }
    Ok(users.iter().map(|user| found.get(user).cloned()).collect())
}
