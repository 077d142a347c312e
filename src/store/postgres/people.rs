//! Reads users. What a replica read once it keeps under its version, and asks only whether that is still the one.

use super::error::Fault;
use super::save::Versions;
use super::switch::{read_ahead, read_settings, reading};
use super::{Shared, queries};
use crate::domain::activity::Activity;
use crate::domain::facts::{TenantRules, UserFacts};
use crate::domain::ids::TenantId;
use crate::domain::known_facts::{KnownFacts, SharedFacts};
use crate::domain::policy::Policy;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::time::UtcDay;
use crate::domain::user::{Identity, UserNo};
use crate::store::book::change::Change;
use crate::store::book::ledger::Ledger;
use crate::store::book::state::{key_bytes, read_change, read_facts, read_one_activity};
use crate::store::{Hold, Named, Snapshot};
use dashmap::DashMap;
use deadpool_postgres::GenericClient;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// The most users that are kept, and about how many activities of theirs: half a gigabyte. Beyond it the replica begins
/// anew.
const USERS_MAX: usize = 200_000;
const ACTIVITIES_MAX: usize = 4_000_000;

/// What a replica has read.
#[derive(Default)]
pub struct Known {
    rules: DashMap<TenantId, (i64, Arc<TenantRules>)>,
    users: DashMap<(TenantId, UserNo), (i64, Option<SharedFacts>)>,
    keys: DashMap<(TenantId, Vec<u8>), UserNo>,
    /// No fewer activities than are kept.
    activities: AtomicUsize,
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

    /// Notes what is known of a user in a version, unless a later one is known.
    pub fn note(&self, tenant: TenantId, user: UserNo, version: i64, facts: &SharedFacts) {
        let mut kept = self.users.entry((tenant, user)).or_default();
        if kept.0 < version {
            let more =
                facts.activities.len().saturating_sub(kept.1.as_ref().map_or(0, |one| one.activities.len()));
            self.activities.fetch_add(more, Ordering::Relaxed);
            *kept = (version, Some(Arc::clone(facts)));
        }
    }

    /// Notes what a commit has made of users.
    pub fn note_all(&self, ledger: &Ledger, versions: &Versions) {
        self.make_room();
        for (user, version) in versions {
            if let Some(facts) = ledger.tenant().facts(*user) {
                self.note(ledger.tenant().id, *user, *version, &facts);
            }
        }
    }

    fn make_room(&self) {
        let is_full = self.activities.load(Ordering::Relaxed) >= ACTIVITIES_MAX;
        if is_full || self.users.len() >= USERS_MAX || self.keys.len() >= 4 * USERS_MAX {
            self.users.clear();
            self.keys.clear();
            self.activities.store(0, Ordering::Relaxed);
        }
    }
}

/// Whom a question is about.
enum Asked {
    /// Whoever these keys point at.
    Keys(Vec<Vec<u8>>),
    /// Users by their numbers.
    Numbers(Vec<i64>),
}

/// A question about people, with what the replica knows already.
pub struct Question {
    tenant: TenantId,
    id: Uuid,
    asked: Asked,
    /// Whom the replica knows, in which version.
    bases: BTreeMap<UserNo, (i64, SharedFacts)>,
    numbers: Vec<i64>,
    versions: Vec<i64>,
    rules: Option<(i64, Arc<TenantRules>)>,
    rules_version: i64,
}

impl Question {
    /// Returns the question who people are.
    pub fn of(known: &Known, tenant: TenantId, people: &[&Identity]) -> Self {
        let keys: BTreeSet<Vec<u8>> = people.iter().flat_map(|person| person.keys()).map(key_bytes).collect();
        let keys: Vec<Vec<u8>> = keys.into_iter().collect();
        let users = keys.iter().filter_map(|key| known.keys.get(&(tenant, key.clone())).map(|user| *user));
        let users: BTreeSet<UserNo> = users.collect();
        Self::about(known, tenant, Asked::Keys(keys), &users)
    }

    /// Returns the question what users did.
    pub fn numbered(known: &Known, tenant: TenantId, users: &BTreeSet<UserNo>) -> Self {
        let numbers = users.iter().map(|user| i64::from(user.0)).collect();
        Self::about(known, tenant, Asked::Numbers(numbers), users)
    }

    fn about(known: &Known, tenant: TenantId, asked: Asked, users: &BTreeSet<UserNo>) -> Self {
        let base = |user: &UserNo| {
            let (version, facts) = known.users.get(&(tenant, *user))?.clone();
            Some((*user, (version, facts?)))
        };
        let bases: BTreeMap<UserNo, (i64, SharedFacts)> = users.iter().filter_map(base).collect();
        let version = |(user, (version, _)): (&UserNo, &(i64, SharedFacts))| (i64::from(user.0), *version);
        let (numbers, versions) = bases.iter().map(version).unzip();
        let rules = known.rules(tenant);
        let rules_version = rules.as_ref().map_or(-1, |(version, _)| *version);
        Self { tenant, id: tenant.uuid(), asked, bases, numbers, versions, rules, rules_version }
    }

    /// Returns the parameters of the statement.
    pub fn parameters(&self) -> [&(dyn ToSql + Sync); 5] {
        let asked: &(dyn ToSql + Sync) = match &self.asked {
            Asked::Keys(keys) => keys,
            Asked::Numbers(numbers) => numbers,
        };
        [&self.id, asked, &self.numbers, &self.versions, &self.rules_version]
    }

    fn is_of(&self, keys: &[Vec<u8>]) -> bool {
        matches!(&self.asked, Asked::Keys(asked) if asked == keys)
    }
}

/// A question that was asked, and what the statement told.
pub struct Told {
    /// The question.
    pub question: Question,
    /// The answer.
    pub rows: Vec<Row>,
}

/// Reads people, all in one statement and so of one instant: with the hold, if they were asked for then.
pub async fn read(shared: &Shared, hold: &Hold, people: &[&Identity]) -> Result<Snapshot, Fault> {
    let told = told(shared, hold, people).await?;
    let answer = Answer::of(&shared.known, told)?;
    let found = people.iter().map(|person| {
        let hits: BTreeSet<UserNo> =
            person.keys().filter_map(|key| answer.hits.get(&key_bytes(key)).copied()).collect();
        hits.into_iter().filter_map(|user| answer.users.get(&user).map(|one| Arc::clone(&one.0))).collect()
    });
    Ok(Snapshot { found: found.collect(), rules: answer.rules })
}

async fn told(shared: &Shared, hold: &Hold, people: &[&Identity]) -> Result<Told, Fault> {
    let question = Question::of(&shared.known, hold.tenant(), people);
    let Asked::Keys(keys) = &question.asked else { return Err(Fault::Malformed) };
    if let Some(ahead) = read_ahead(hold).filter(|ahead| ahead.question.is_of(keys)) {
        return Ok(ahead);
    }
    let reading = reading(shared, hold).await?;
    let client = reading.client()?;
    let statement = client.prepare_cached(queries::READ).await?;
    let rows = client.query(&statement, &question.parameters()).await?;
    Ok(Told { question, rows })
}

/// What a tenant's rules are, and what is known of some of its users.
pub struct Numbered {
    /// The rules.
    pub rules: Arc<TenantRules>,
    /// The users with their pseudonyms.
    pub users: BTreeMap<UserNo, (SharedFacts, Pseudonym)>,
}

/// Reads users by their numbers, with what the replica knows already.
pub async fn numbered(
    client: &impl GenericClient,
    known: &Known,
    tenant: TenantId,
    users: &BTreeSet<UserNo>,
) -> Result<Numbered, Fault> {
    let question = Question::numbered(known, tenant, users);
    let statement = client.prepare_cached(queries::READ_NUMBERS).await?;
    let rows = client.query(&statement, &question.parameters()).await?;
    let Answer { rules, users, .. } = Answer::of(known, Told { question, rows })?;
    Ok(Numbered { rules, users })
}

/// What the statement told, understood.
struct Answer {
    rules: Arc<TenantRules>,
    hits: HashMap<Vec<u8>, UserNo>,
    users: BTreeMap<UserNo, (SharedFacts, Pseudonym)>,
}

/// A user as the statement told.
struct ToldUser {
    no: UserNo,
    version: i64,
    /// Nothing of one whom the replica knows.
    payload: Option<Vec<u8>>,
    /// The activities are those that came since what the replica knows.
    since: bool,
    pseudonym: Pseudonym,
}

/// The rows of an answer, by their kinds.
#[derive(Default)]
struct Rows {
    settings: Option<(i64, Vec<u8>)>,
    policies: Vec<Policy>,
    hits: HashMap<Vec<u8>, UserNo>,
    users: Vec<ToldUser>,
    activities: HashMap<UserNo, Vec<Activity>>,
}

impl Rows {
    fn take(&mut self, row: &Row) -> Result<(), Fault> {
        let (kind, number, version): (i32, Option<i64>, Option<i64>) = (row.get(0), row.get(1), row.get(2));
        let payload: Option<&[u8]> = row.get(3);
        let user = || user_no(number.ok_or(Fault::Malformed)?);
        let version = || version.ok_or(Fault::Malformed);
        let bytes = || payload.ok_or(Fault::Malformed);
        match kind {
            0 => self.settings = Some((version()?, bytes()?.to_vec())),
            1 => self.policies.push(read_policy(bytes()?)?),
            2 => drop(self.hits.insert(bytes()?.to_vec(), user()?)),
            3 => self.users.push(ToldUser {
                no: user()?,
                version: version()?,
                payload: payload.map(<[u8]>::to_vec),
                since: row.get::<_, Option<i64>>(4).is_some_and(|since| since >= 0),
                pseudonym: pseudonym(row.get::<_, Option<i64>>(5).ok_or(Fault::Malformed)?)?,
            }),
            _ => {
                let activity = read_one_activity(day_of(version()?)?, bytes()?)?;
                self.activities.entry(user()?).or_default().push(activity);
            }
        }
        Ok(())
    }
}

impl Answer {
    fn of(known: &Known, told: Told) -> Result<Self, Fault> {
        let Told { mut question, rows: all } = told;
        let (tenant, mut rows) = (question.tenant, Rows::default());
        for row in &all {
            rows.take(row)?;
        }
        known.make_room();
        let rules = rules(known, tenant, question.rules.take(), &mut rows)?;
        let mut users = BTreeMap::new();
        for ToldUser { no, version, payload, since, pseudonym } in rows.users {
            let base = question.bases.remove(&no);
            let facts = match (payload, base) {
                (None, base) => base.ok_or(Fault::Malformed)?.1,
                (Some(payload), base) => {
                    let mut facts = read_facts(&payload)?;
                    if let Some((_, base)) = base.filter(|_| since) {
                        facts.activities = base.activities.clone();
                    }
                    facts.activities.extend(rows.activities.remove(&no).unwrap_or_default());
                    let facts = KnownFacts::new(facts);
                    known.note(tenant, no, version, &facts);
                    facts
                }
            };
            users.insert(no, (facts, pseudonym));
        }
        // Who was asked for by number has no key here.
        for (key, user) in rows.hits.iter().filter(|(key, _)| !key.is_empty()) {
            known.keys.insert((tenant, key.clone()), *user);
        }
        Ok(Self { rules, hits: rows.hits, users })
    }
}

/// Returns the rules. When they are not those that the replica knows it forgets the tenant's users: somebody may have been
/// erased, of whom nothing may be left.
fn rules(
    known: &Known,
    tenant: TenantId,
    before: Option<(i64, Arc<TenantRules>)>,
    rows: &mut Rows,
) -> Result<Arc<TenantRules>, Fault> {
    let Some((version, settings)) = rows.settings.take() else { return Ok(Arc::default()) };
    if let Some((known_version, rules)) = before
        && known_version == version
    {
        return Ok(rules);
    }
    let policies = std::mem::take(&mut rows.policies);
    let policies = policies.into_iter().map(|policy| (policy.id.clone(), policy)).collect();
    let rules = Arc::new(TenantRules { settings: read_settings(&settings)?.settings, policies });
    known.forget(tenant);
    known.rules.insert(tenant, (version, Arc::clone(&rules)));
    Ok(rules)
}

/// Returns a pseudonym by its number.
pub fn pseudonym(number: i64) -> Result<Pseudonym, Fault> {
    number.try_into().ok().and_then(Pseudonym::numbered).ok_or(Fault::Malformed)
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
    let client = shared.connections.for_work().await?;
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
        let pseudonym = pseudonym(row.get(2))?;
        let user = read_facts(row.get(3))?.user;
        let identity = user.identity.clone();
        let shown = user.declared_identity().unwrap_or_else(|| identity.clone());
        let named = Named { user: user_no(row.get(1))?, pseudonym, identity, shown };
        found.insert(user_no(row.get(0))?, named);
    }
    Ok(users.iter().map(|user| found.get(user).cloned()).collect())
}
