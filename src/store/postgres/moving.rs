//! A store in a database as one that is moved, and as one into which another is moved.

use super::connections::APPLICATION;
use super::error::{Fault, OpenError};
use super::facts::make_weeks;
use super::load::{shown, take};
use super::migrations::{MOVED, MOVING, TOKEN_KEY, check_version, clear_meta, meta, set_meta};
use super::people::{Known as Replica, read_policy, user_no};
use super::save::Changed;
use super::switch::{meet, number_of, read_settings, write_settings};
use super::{Address, PostgresStore, Shared};
use crate::domain::audit::{ChainHead, LineHash};
use crate::domain::facts::UserFacts;
use crate::domain::ids::TenantId;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::risk_alert::evaluate;
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use crate::store::book::change::Change;
use crate::store::book::content;
use crate::store::book::ledger::{Ledger, Part as Known};
use crate::store::book::person::Person;
use crate::store::book::plan::Writing;
use crate::store::book::state::{due_bytes, read_due, write_change};
use crate::store::book::switch::Switch;
use crate::store::book::tenant::{Shown, Tenant};
use crate::store::moving::{
    Counts, Key, Kind, MoveError, MovedLine, MovedTenant, Part, Piece, Place, Source, Target, no_key,
};
use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// So many tenants, users, changes or chains are moved at once.
const PAGE: i64 = if cfg!(test) { 2 } else { 200 };
/// So many lines are moved at once.
const LINES: i64 = if cfg!(test) { 3 } else { 1_000 };
/// So many blobs are moved at once.
const BLOBS: i64 = 16;
/// Whoever moves a store asks for counts beside what it reads or writes.
const CONNECTIONS: usize = 8;
/// What the sessions of a move are called, behind the name of all.
const MOVER: &str = "migrate-store";

impl From<OpenError> for MoveError {
    fn from(error: OpenError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<Fault> for MoveError {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.to_string())
    }
}

impl From<tokio_postgres::Error> for MoveError {
    fn from(error: tokio_postgres::Error) -> Self {
        Fault::from(error).into()
    }
}

/// A piece, and the place behind it.
type Page = Result<Option<(Piece, String)>, MoveError>;

/// A database, as whoever moves a store sees it.
struct Database {
    store: PostgresStore,
    application: String,
}

impl Database {
    async fn open(address: &Address) -> Result<Self, MoveError> {
        let address = Address { replica: MOVER.to_owned(), connections: CONNECTIONS, ..address.clone() };
        let database = Self {
            store: PostgresStore::lazy(&address, evaluate)?,
            application: format!("{APPLICATION} {MOVER}"),
        };
        let client = database.client().await?;
        check_version(&client).await?;
        Ok(database)
    }

    fn shared(&self) -> &Shared {
        &self.store.shared
    }

    async fn client(&self) -> Result<Client, MoveError> {
        Ok(self.shared().connections.for_work().await?)
    }

    /// Refuses while a replica is connected. One that starts later looks at the marks.
    async fn check_unserved(&self) -> Result<(), MoveError> {
        let others = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database() \
            AND starts_with(application_name, $1) AND application_name <> $2 ORDER BY 1";
        let rows = self.client().await?.query(others, &[&APPLICATION, &self.application]).await?;
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if names.is_empty() { Ok(()) } else { Err(MoveError::Served(names.join(", "))) }
    }

    async fn counts(&self) -> Result<Counts, MoveError> {
        let client = self.client().await?;
        let mut counts = [0; Kind::ALL.len()];
        for (count, kind) in counts.iter_mut().zip(Kind::ALL) {
            let table = match kind {
                Kind::Tenants => "tenant",
                Kind::Policies => "policy",
                Kind::Users => "user_state",
                Kind::Former => "absorbed",
                Kind::Activities => "activity",
                Kind::RiskAlerts => "risk_alert",
                Kind::Due => "due",
                Kind::Blobs => "content",
                Kind::Notes => "note",
                Kind::Lines => "audit_line",
                Kind::Chains => "audit_head",
            };
            let rows = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?;
            *count = number_of(rows.get(0))?;
        }
        Ok(Counts::of(counts))
    }
}

/// A database whose store is moved.
pub struct PostgresSource(Database);

impl PostgresSource {
    /// Connects to a database.
    ///
    /// # Errors
    /// When it cannot be reached, or holds no store that is all there.
    pub async fn open(address: &Address) -> Result<Self, MoveError> {
        let database = Database::open(address).await?;
        if meta(&**database.client().await?, MOVING).await?.is_some() {
            return Err(OpenError::Unfinished.into());
        }
        Ok(Self(database))
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn key(&mut self) -> Result<Key, MoveError> {
        Ok(super::migrations::token_key(self.0.shared()).await?)
    }

    async fn counts(&mut self) -> Result<Counts, MoveError> {
        self.0.counts().await
    }

    async fn leave(&mut self) -> Result<(), MoveError> {
        set_meta(&**self.0.client().await?, MOVED, b"").await?;
        self.0.check_unserved().await
    }

    async fn stay(&mut self) -> Result<(), MoveError> {
        Ok(clear_meta(&**self.0.client().await?, MOVED).await?)
    }

    async fn page(&mut self, part: Part, after: Option<&str>) -> Page {
        let client = self.0.client().await?;
        match part {
            Part::Tenants => tenants(&client, after).await,
            Part::People => people(&client, after).await,
            Part::Due => due(&client, after).await,
            Part::Contents => contents(&client, after).await,
            Part::Notes if after.is_some() => Ok(None),
            Part::Notes => notes(&client).await,
            Part::Lines => lines(&client, after).await,
            Part::Chains => chains(&client, after).await,
        }
    }
}

async fn tenants(client: &impl GenericClient, after: Option<&str>) -> Page {
    let after = after.map(tenant_of).transpose()?.map(TenantId::uuid);
    let published = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM content_number";
    let published = number_of(client.query_one(published, &[]).await?.get(0))?;
    let page = "SELECT tenant_id, settings, epoch, next_user FROM tenant \
        WHERE $1::uuid IS NULL OR tenant_id > $1 ORDER BY tenant_id LIMIT $2";
    let mut all = Vec::new();
    for row in client.query(page, &[&after, &PAGE]).await? {
        let (id, next): (Uuid, i64) = (row.get(0), row.get(3));
        let policies = client.query("SELECT payload FROM policy WHERE tenant_id = $1", &[&id]).await?;
        let policies = policies.iter().map(|row| read_policy(row.get(0)));
        all.push(MovedTenant {
            tenant: TenantId::new(id),
            settings: read_settings(row.get(1))?,
            epoch: number_of(row.get(2))?,
            next: user_no(next)?,
            policies: policies.collect::<Result<_, _>>()?,
            published,
        });
    }
    let Some(last) = all.last().map(|last| last.tenant.to_string()) else { return Ok(None) };
    Ok(Some((Piece::Tenants(all), last)))
}

async fn people(client: &impl GenericClient, after: Option<&str>) -> Page {
    let (tenant, user) = after.map(numbered).transpose()?.unwrap_or((Uuid::nil(), -1));
    let page = "SELECT tenant_id, user_no FROM user_state WHERE (tenant_id, user_no) > ($1, $2) \
        ORDER BY tenant_id, user_no LIMIT $3";
    let rows = client.query(page, &[&tenant, &user, &PAGE]).await?;
    let Some(tenant) = rows.first().map(|row| row.get::<_, Uuid>(0)) else { return Ok(None) };
    let of_tenant = rows.iter().take_while(|row| row.get::<_, Uuid>(0) == tenant);
    let users = of_tenant.map(|row| user_no(row.get(1))).collect::<Result<BTreeSet<UserNo>, _>>()?;
    let tenant = TenantId::new(tenant);
    let last = users.last().map_or(0, |user| user.0);
    let people = persons(client, tenant, &users).await?;
    Ok(Some((Piece::People(tenant, people), format!("{tenant}/{last}"))))
}

/// Reads all that is kept of some users.
async fn persons(
    client: &impl GenericClient,
    tenant: TenantId,
    users: &BTreeSet<UserNo>,
) -> Result<Vec<Person>, MoveError> {
    let shown = shown(client, &Replica::default(), tenant, 0, users, &mut Known::default()).await?;
    let Shown { users: facts, pseudonyms, reviews, .. } = shown;
    let pseudonyms: BTreeMap<UserNo, Pseudonym> = pseudonyms.into_iter().collect();
    let mut reviews: BTreeMap<UserNo, Vec<_>> = reviews.into_iter().fold(BTreeMap::new(), |mut by, one| {
        by.entry(one.1.user).or_insert_with(Vec::new).push(one);
        by
    });
    let mut former = former(client, tenant, users).await?;
    let mut people = Vec::new();
    for facts in facts {
        let user = facts.user.no;
        people.push(Person {
            pseudonym: *pseudonyms.get(&user).ok_or(Fault::Malformed)?,
            former: former.remove(&user).unwrap_or_default(),
            reviews: reviews.remove(&user).unwrap_or_default(),
            facts: UserFacts::clone(&facts),
        });
    }
    people.sort_unstable_by_key(|person| person.facts.user.no);
    Ok(people)
}

/// Numbers that turned out to be a user, with their pseudonyms.
type Former = BTreeMap<UserNo, Vec<(UserNo, Option<Pseudonym>)>>;

async fn former(
    client: &impl GenericClient,
    tenant: TenantId,
    users: &BTreeSet<UserNo>,
) -> Result<Former, MoveError> {
    let numbers: Vec<i64> = users.iter().map(|user| user.0.into()).collect();
    let all = "WITH RECURSIVE had AS ( \
          SELECT a.from_no, a.into_no AS user_no FROM absorbed a WHERE a.tenant_id = $1 AND a.into_no = ANY($2) \
          UNION SELECT a.from_no, had.user_no FROM absorbed a \
            JOIN had ON a.tenant_id = $1 AND a.into_no = had.from_no) \
        SELECT had.user_no, had.from_no, p.pseudonym FROM had \
          LEFT JOIN pseudonym p ON p.tenant_id = $1 AND p.user_no = had.from_no ORDER BY had.from_no";
    let mut former = Former::new();
    for row in client.query(all, &[&tenant.uuid(), &numbers]).await? {
        let number: Option<i64> = row.get(2);
        let pseudonym = number.and_then(|number| Pseudonym::numbered(number.try_into().ok()?));
        former.entry(user_no(row.get(0))?).or_default().push((user_no(row.get(1))?, pseudonym));
    }
    Ok(former)
}

async fn due(client: &impl GenericClient, after: Option<&str>) -> Page {
    let (tenant, position) = after.map(numbered).transpose()?.unwrap_or((Uuid::nil(), -1));
    let page = "SELECT tenant_id, position, user_no, payload FROM due WHERE (tenant_id, position) > ($1, $2) \
        ORDER BY tenant_id, position LIMIT $3";
    let rows = client.query(page, &[&tenant, &position, &PAGE]).await?;
    let Some(tenant) = rows.first().map(|row| row.get::<_, Uuid>(0)) else { return Ok(None) };
    let (mut all, mut last) = (Vec::new(), 0);
    for row in rows.iter().take_while(|row| row.get::<_, Uuid>(0) == tenant) {
        last = row.get::<_, i64>(1);
        all.push(read_due(row.get(3), user_no(row.get(2))?).map_err(Fault::from)?);
    }
    Ok(Some((Piece::Due(TenantId::new(tenant), all), format!("{tenant}/{last}"))))
}

async fn contents(client: &impl GenericClient, after: Option<&str>) -> Page {
    let after = after.map_or(Ok(0), number)?;
    let page = "SELECT number, payload FROM content WHERE number > $1 ORDER BY number LIMIT $2";
    let rows = client.query(page, &[&after, &BLOBS]).await?;
    let Some(last) = rows.last().map(|row| row.get::<_, i64>(0)) else { return Ok(None) };
    let read = rows.iter().map(|row| content::read(row.get(1)));
    let all = read.collect::<Result<_, _>>().map_err(Fault::from)?;
    Ok(Some((Piece::Contents(all), last.to_string())))
}

async fn notes(client: &impl GenericClient) -> Page {
    let rows = client.query("SELECT tenant_id, name, value FROM note ORDER BY 1, 2", &[]).await?;
    let all: Vec<_> = rows.iter().map(|row| (TenantId::new(row.get(0)), row.get(1), row.get(2))).collect();
    Ok((!all.is_empty()).then(|| (Piece::Notes(all), "all".to_owned())))
}

/// A line is kept under a day that no line before it in its chain is later than: clocks of replicas differ.
async fn lines(client: &impl GenericClient, after: Option<&str>) -> Page {
    let place = after.map(|text| {
        let (place, day) = text.rsplit_once('/').ok_or_else(misplaced)?;
        let (tenant, sequence) = numbered(place)?;
        Ok::<_, MoveError>((tenant, sequence, day.parse().map_err(|_| misplaced())?))
    });
    let (mut tenant, mut sequence, mut latest) = place.transpose()?.unwrap_or((Uuid::nil(), -1, i32::MIN));
    let page = "SELECT tenant_id, sequence, day, line FROM audit_line WHERE (tenant_id, sequence) > ($1, $2) \
        ORDER BY tenant_id, sequence LIMIT $3";
    let mut all = Vec::new();
    for row in client.query(page, &[&tenant, &sequence, &LINES]).await? {
        let (of, day): (Uuid, i32) = (row.get(0), row.get(2));
        latest = if of == tenant { latest.max(day) } else { day };
        (tenant, sequence) = (of, row.get(1));
        all.push(MovedLine {
            tenant: TenantId::new(tenant),
            sequence: number_of(sequence)?,
            day: UtcDay::from_number(latest),
            text: row.get(3),
        });
    }
    let next = format!("{tenant}/{sequence}/{latest}");
    Ok((!all.is_empty()).then_some((Piece::Lines(all), next)))
}

async fn chains(client: &impl GenericClient, after: Option<&str>) -> Page {
    let after = after.map(tenant_of).transpose()?.map(TenantId::uuid);
    let page = "SELECT tenant_id, sequence, hash, anchor_sequence, anchor_hash FROM audit_head \
        WHERE $1::uuid IS NULL OR tenant_id > $1 ORDER BY tenant_id LIMIT $2";
    let head = |sequence: i64, hash: &str| {
        let hash = LineHash::parse(hash).ok_or(Fault::Malformed)?;
        Ok::<_, Fault>(ChainHead { sequence: number_of(sequence)?, hash })
    };
    let mut all = Vec::new();
    for row in client.query(page, &[&after, &PAGE]).await? {
        all.push((TenantId::new(row.get(0)), head(row.get(1), row.get(2))?, head(row.get(3), row.get(4))?));
    }
    let Some(last) = all.last().map(|(id, ..)| id.to_string()) else { return Ok(None) };
    Ok(Some((Piece::Chains(all), last)))
}

fn misplaced() -> MoveError {
    MoveError::Store("the place at which the move was cut off cannot be read".to_owned())
}

fn tenant_of(text: &str) -> Result<TenantId, MoveError> {
    text.parse().map(TenantId::new).map_err(|_| misplaced())
}

fn number(text: &str) -> Result<i64, MoveError> {
    text.parse().map_err(|_| misplaced())
}

fn numbered(text: &str) -> Result<(Uuid, i64), MoveError> {
    let (tenant, of) = text.split_once('/').ok_or_else(misplaced)?;
    Ok((tenant_of(tenant)?.uuid(), number(of)?))
}

/// A database into which a store is moved.
pub struct PostgresTarget(Database);

impl PostgresTarget {
    /// Connects to a database that has the schema.
    ///
    /// # Errors
    /// When it cannot be reached, or its schema is another.
    pub async fn open(address: &Address) -> Result<Self, MoveError> {
        Ok(Self(Database::open(address).await?))
    }
}

#[async_trait]
impl Target for PostgresTarget {
    async fn begin(&mut self, key: Key) -> Result<Option<Place>, MoveError> {
        let client = self.0.client().await?;
        let is_same = meta(&**client, TOKEN_KEY).await?.is_some_and(|own| own == key);
        let place = meta(&**client, MOVING).await?;
        let counts = self.0.counts().await?;
        match (is_same, &place) {
            (true, Some(_)) => {}
            _ if counts == Counts::default() => {
                set_meta(&**client, MOVING, b"").await?;
                set_meta(&**client, TOKEN_KEY, &key).await?;
            }
            (true, None) => return Err(MoveError::Done),
            (false, Some(_)) => return Err(MoveError::Another),
            (false, None) => return Err(MoveError::Occupied),
        }
        self.0.check_unserved().await?;
        let Some(place) = place.filter(|place| !place.is_empty()) else { return Ok(None) };
        let text = String::from_utf8(place).map_err(|_| misplaced())?;
        Place::parse(&text).ok_or_else(misplaced).map(Some)
    }

    async fn put(&mut self, piece: Piece, place: &Place) -> Result<(), MoveError> {
        if let Piece::People(_, people) = &piece {
            let rows = people.iter().flat_map(|person| person.facts.activities.iter());
            let days: Vec<UtcDay> = rows.map(|row| row.day()).collect();
            make_weeks(self.0.shared(), days.into_iter()).await?;
        }
        let mut client = self.0.client().await?;
        let change = client.transaction().await?;
        match piece {
            Piece::Tenants(all) => put_tenants(&change, all).await?,
            Piece::People(tenant, people) => put_people(&change, tenant, people).await?,
            Piece::Due(tenant, all) => {
                let insert =
                    "INSERT INTO due (tenant_id, user_no, alert_id, payload) VALUES ($1, $2, $3, $4)";
                for due in all {
                    let (user, alert) = (i64::from(due.user.0), due.alert.id.as_str());
                    change.execute(insert, &[&tenant.uuid(), &user, &alert, &due_bytes(&due)]).await?;
                }
            }
            Piece::Contents(all) => {
                for blob in all {
                    let number = i64::try_from(blob.number).map_err(|_| Fault::Malformed)?;
                    let (tenant, day) = (blob.tenant.uuid(), blob.day().number());
                    let insert = "INSERT INTO content VALUES ($1, $2, $3, $4)";
                    change.execute(insert, &[&number, &tenant, &day, &content::write(&blob)]).await?;
                }
            }
            Piece::Notes(all) => {
                for (tenant, name, text) in all {
                    let insert = "INSERT INTO note VALUES ($1, $2, $3)";
                    change.execute(insert, &[&tenant.uuid(), &name, &text]).await?;
                }
            }
            Piece::Lines(lines) => put_lines(&change, lines).await?,
            Piece::Chains(all) => put_chains(&change, all).await?,
        }
        set_meta(&*change, MOVING, place.to_string().as_bytes()).await?;
        Ok(change.commit().await?)
    }

    async fn counts(&mut self) -> Result<Counts, MoveError> {
        self.0.counts().await
    }

    async fn finish(&mut self) -> Result<(), MoveError> {
        let client = self.0.client().await?;
        // Whoever asks first would else plan by tables that were empty.
        client.batch_execute("ANALYZE").await?;
        Ok(clear_meta(&**client, MOVING).await?)
    }

    async fn spoil(&mut self, key: Key) -> Result<(), MoveError> {
        let mut client = self.0.client().await?;
        let change = client.transaction().await?;
        if meta(&*change, TOKEN_KEY).await?.is_some_and(|own| own == key) {
            set_meta(&*change, MOVING, b"").await?;
            set_meta(&*change, TOKEN_KEY, &no_key()?).await?;
        }
        change.commit().await?;
        self.0.check_unserved().await
    }
}

async fn put_tenants(change: &impl GenericClient, all: Vec<MovedTenant>) -> Result<(), Fault> {
    for MovedTenant { tenant, settings, epoch, next, policies, published } in all {
        meet(change, tenant).await?;
        let (epoch, next) = (i64::try_from(epoch).map_err(|_| Fault::Malformed)?, i64::from(next.0));
        let version = i64::try_from(settings.version).map_err(|_| Fault::Malformed)?;
        let update = "UPDATE tenant SET settings = $2, settings_version = $3, sharing = $4, epoch = $5, \
            next_user = $6 WHERE tenant_id = $1";
        let (bytes, sharing) = (write_settings(&settings, epoch), settings.settings.data_sharing);
        change.execute(update, &[&tenant.uuid(), &bytes, &version, &sharing, &epoch, &next]).await?;
        for policy in policies {
            let payload = write_change(&Change::Policy(policy.clone()));
            let insert = "INSERT INTO policy VALUES ($1, $2, $3)";
            change.execute(insert, &[&tenant.uuid(), &policy.id.as_str(), &payload]).await?;
        }
        let published = i64::try_from(published).map_err(|_| Fault::Malformed)?;
        if published > 0 {
            change.query_one("SELECT setval('content_number', $1)", &[&published]).await?;
        }
    }
    Ok(())
}

/// What was kept of people is applied as what happens is, and what changed is written as ever.
async fn put_people(change: &impl GenericClient, tenant: TenantId, people: Vec<Person>) -> Result<(), Fault> {
    let row = take(change, tenant, false).await?.ok_or(Fault::Malformed)?;
    let known = Arc::new(Tenant::new(tenant, Switch::at(0, false)));
    let mut ledger = Ledger::of_part(known, Known { next: row.next, ..Known::default() });
    let (mut changed, mut from_no, mut into_no) = (Changed::default(), Vec::new(), Vec::new());
    for person in people {
        let user = person.facts.user.no;
        for activity in person.facts.activities.iter() {
            changed.activity(user, &activity.to_activity());
        }
        from_no.extend(person.former.iter().map(|(from, _)| i64::from(from.0)));
        into_no.resize(from_no.len(), i64::from(user.0));
        let brought = Change::Brought(Box::new(person));
        changed.change(&brought);
        ledger.apply(brought)?;
    }
    ledger.show();
    changed.save(change, tenant, &mut ledger).await?;
    let insert = "INSERT INTO absorbed SELECT $1, * FROM unnest($2::bigint[], $3::bigint[])";
    change.execute(insert, &[&tenant.uuid(), &from_no, &into_no]).await?;
    Ok(())
}

async fn put_lines(change: &impl GenericClient, lines: Vec<MovedLine>) -> Result<(), Fault> {
    let tenants: Vec<Uuid> = lines.iter().map(|line| line.tenant.uuid()).collect();
    let sequences = lines.iter().map(|line| i64::try_from(line.sequence).map_err(|_| Fault::Malformed));
    let sequences = sequences.collect::<Result<Vec<i64>, _>>()?;
    let days: Vec<i32> = lines.iter().map(|line| line.day.number()).collect();
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let insert = "INSERT INTO audit_line SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[]) \
        ON CONFLICT DO NOTHING";
    change.execute(insert, &[&tenants, &sequences, &days, &texts]).await?;
    Ok(())
}

async fn put_chains(
    change: &impl GenericClient,
    all: Vec<(TenantId, ChainHead, ChainHead)>,
) -> Result<(), Fault> {
    for (tenant, head, anchor) in all {
        let number = |head: ChainHead| i64::try_from(head.sequence).map_err(|_| Fault::Malformed);
        let insert = "INSERT INTO audit_head VALUES ($1, $2, $3, $4, $5)";
        let (hash, anchor_hash) = (head.hash.to_string(), anchor.hash.to_string());
        change
            .execute(insert, &[&tenant.uuid(), &number(head)?, &hash, &number(anchor)?, &anchor_hash])
            .await?;
    }
    Ok(())
}
