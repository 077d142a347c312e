//! A store in a folder as one that is moved, and as one into which another is moved.

use super::audit::{Copy, Original};
use super::error::OpenError;
use super::folder::{Folder, MOVED, MOVING};
use super::index::Index;
use super::log::{Bucket, Log, Part as Record, WriteFailed};
use super::parts::Parts;
use super::replay::Rebuilt;
use crate::domain::content::ContentQuery;
use crate::domain::facts::UserFacts;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use crate::store::book::change::Change;
use crate::store::book::content;
use crate::store::book::image::{Image, changes};
use crate::store::book::person::Person;
use crate::store::book::plan::Writing;
use crate::store::moving::{Counts, Key, MoveError, MovedTenant, Part, Piece, Place, Source, Target, no_key};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// So many tenants, users, changes or chains are moved at once.
const PAGE: usize = if cfg!(test) { 2 } else { 500 };
/// Users with so many activities are moved at once.
const ACTIVITIES: usize = 20_000;
/// So many blobs are moved at once.
const BLOBS: usize = 16;

impl From<OpenError> for MoveError {
    fn from(error: OpenError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<WriteFailed> for MoveError {
    fn from(WriteFailed(cause): WriteFailed) -> Self {
        Self::Store(cause)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "is given to map_err")]
fn audit_failed(cause: io::Error) -> MoveError {
    MoveError::Store(format!("the audit log: {cause}"))
}

/// A folder whose store is moved.
pub struct EmbeddedSource {
    folder: Arc<Folder>,
    kept: Kept,
}

impl EmbeddedSource {
    /// Opens the store in a folder.
    ///
    /// # Errors
    /// When it cannot be read, is in use, or is not all there.
    pub fn open(path: &Path) -> Result<Self, MoveError> {
        if !path.join("VERSION").exists() {
            return Err(MoveError::Store("there is no store in that folder".to_owned()));
        }
        let folder = Arc::new(Folder::open_to_move(path)?);
        if folder.is_marked(MOVING)? {
            return Err(OpenError::Unfinished.into());
        }
        let kept = Kept::read(&folder)?;
        Ok(Self { folder, kept })
    }
}

#[async_trait]
impl Source for EmbeddedSource {
    async fn key(&mut self) -> Result<Key, MoveError> {
        Ok(self.kept.log.token_key()?)
    }

    async fn counts(&mut self) -> Result<Counts, MoveError> {
        self.kept.counts()
    }

    async fn leave(&mut self) -> Result<(), MoveError> {
        Ok(self.folder.mark(MOVED)?)
    }

    async fn stay(&mut self) -> Result<(), MoveError> {
        Ok(self.folder.unmark(MOVED)?)
    }

    async fn page(&mut self, part: Part, after: Option<&str>) -> Result<Option<(Piece, String)>, MoveError> {
        self.kept.page(part, after)
    }
}

/// All that a folder holds, read.
struct Kept {
    log: Log,
    images: BTreeMap<TenantId, Image>,
    index: Arc<Index>,
    users: Vec<(TenantId, UserNo)>,
    audit: Original,
}

impl Kept {
    fn read(folder: &Folder) -> Result<Self, MoveError> {
        let mut rebuilt = Rebuilt::default();
        let log = Log::open(folder, &mut rebuilt)?;
        let (ledgers, index) = rebuilt.finish(log.kept()?);
        let images: BTreeMap<TenantId, Image> =
            ledgers.into_iter().map(|(id, ledger)| (id, ledger.image())).collect();
        let of = |image: &Image| {
            let id = image.tenant;
            image.users.iter().map(|facts| (id, facts.no())).collect::<Vec<_>>()
        };
        let users = images.values().flat_map(of).collect();
        let audit = Original::open(folder.audit()).map_err(audit_failed)?;
        Ok(Self { log, images, index, users, audit })
    }

    fn counts(&self) -> Result<Counts, MoveError> {
        let each = |count: &dyn Fn(&Image) -> usize| self.images.values().map(count).sum::<usize>() as u64;
        let facts = |count: &dyn Fn(&UserFacts) -> usize| {
            each(&|image| image.users.iter().map(|facts| count(facts)).sum())
        };
        let all = ContentQuery { size: usize::MAX, ..ContentQuery::default() };
        Ok(Counts::of([
            self.images.len() as u64,
            each(&|image| image.rules.policies.len()),
            self.users.len() as u64,
            each(&|image| image.former.values().map(Vec::len).sum()),
            facts(&|facts| facts.activities.len()),
            facts(&|facts| facts.alerts.len()),
            each(&|image| image.due.len()),
            self.index.contents.wanted(&all).len() as u64,
            self.index.notes.all().len() as u64,
            self.audit.count().map_err(audit_failed)?,
            self.audit.chains().len() as u64,
        ]))
    }

    fn page(&self, part: Part, after: Option<&str>) -> Result<Option<(Piece, String)>, MoveError> {
        Ok(match part {
            Part::Tenants => self.tenants(after)?,
            Part::People => self.people(after)?,
            Part::Due => self.due(after)?,
            Part::Contents => self.contents(after)?,
            Part::Notes => {
                let notes = if after.is_none() { self.index.notes.all() } else { Vec::new() };
                (!notes.is_empty()).then(|| (Piece::Notes(notes), "all".to_owned()))
            }
            Part::Lines => self.lines(after)?,
            Part::Chains => self.chains(after)?,
        })
    }

    fn tenants(&self, after: Option<&str>) -> Result<Option<(Piece, String)>, MoveError> {
        let after = after.map(tenant_of).transpose()?;
        let behind = self.images.values().filter(|image| after.is_none_or(|after| image.tenant > after));
        let all: Vec<MovedTenant> =
            behind.take(PAGE).map(|image| image.without_people(self.index.last_content())).collect();
        let Some(last) = all.last().map(|last| last.tenant.to_string()) else { return Ok(None) };
        Ok(Some((Piece::Tenants(all), last)))
    }

    fn people(&self, after: Option<&str>) -> Result<Option<(Piece, String)>, MoveError> {
        let after = after.map(numbered).transpose()?;
        let after = after.map(|(tenant, user)| (tenant, UserNo(u32::try_from(user).unwrap_or(u32::MAX))));
        let at = self.users.partition_point(|user| after.is_some_and(|after| *user <= after));
        let Some((tenant, _)) = self.users.get(at).copied() else { return Ok(None) };
        let (mut people, mut activities, mut last) = (Vec::new(), 0, None);
        let of_tenant = self.users[at..].iter().take_while(|(of, _)| *of == tenant);
        for (_, user) in of_tenant.take(PAGE) {
            let person = self.person(tenant, *user).ok_or_else(contradiction)?;
            activities += person.facts.activities.len();
            last = Some(format!("{tenant}/{}", user.0));
            people.push(person);
            if activities >= ACTIVITIES {
                break;
            }
        }
        Ok(last.map(|last| (Piece::People(tenant, people), last)))
    }

    fn person(&self, tenant: TenantId, user: UserNo) -> Option<Person> {
        let image = self.images.get(&tenant)?;
        image.person(image.user(user)?)
    }

    fn due(&self, after: Option<&str>) -> Result<Option<(Piece, String)>, MoveError> {
        let after = after.map(numbered).transpose()?;
        for (tenant, image) in &self.images {
            let done = match after {
                Some((of, _)) if *tenant < of => continue,
                Some((of, done)) if *tenant == of => usize::try_from(done).unwrap_or(usize::MAX),
                _ => 0,
            };
            let due: Vec<_> = image.due.iter().skip(done).take(PAGE).cloned().collect();
            if !due.is_empty() {
                let next = format!("{tenant}/{}", done + due.len());
                return Ok(Some((Piece::Due(*tenant, due), next)));
            }
        }
        Ok(None)
    }

    fn contents(&self, after: Option<&str>) -> Result<Option<(Piece, String)>, MoveError> {
        let after = after.map_or(Ok(0), number)?;
        let query = ContentQuery { after, size: BLOBS, ..ContentQuery::default() };
        let contents = self.index.contents.wanted(&query);
        let Some(last) = contents.last().map(|last| last.number.to_string()) else { return Ok(None) };
        let contents = contents.iter().map(|content| (**content).clone()).collect();
        Ok(Some((Piece::Contents(contents), last)))
    }

    fn lines(&self, after: Option<&str>) -> Result<Option<(Piece, String)>, MoveError> {
        let after = after.map(|text| {
            let (day, offset) = text.split_once('/').ok_or_else(misplaced)?;
            Ok::<_, MoveError>((UtcDay::parse(day).ok_or_else(misplaced)?, number(offset)?))
        });
        let page = self.audit.page(after.transpose()?).map_err(audit_failed)?;
        Ok(page.map(|(lines, (day, offset))| (Piece::Lines(lines), format!("{day}/{offset}"))))
    }

    fn chains(&self, after: Option<&str>) -> Result<Option<(Piece, String)>, MoveError> {
        let after = after.map(tenant_of).transpose()?;
        let all = self.audit.chains().into_iter();
        let all: Vec<_> = all.filter(|(id, ..)| after.is_none_or(|after| *id > after)).take(PAGE).collect();
        let Some(last) = all.last().map(|(id, ..)| id.to_string()) else { return Ok(None) };
        Ok(Some((Piece::Chains(all), last)))
    }
}

fn misplaced() -> MoveError {
    MoveError::Store("the place at which the move was cut off cannot be read".to_owned())
}

fn contradiction() -> MoveError {
    MoveError::Store("the store contradicts itself".to_owned())
}

fn tenant_of(text: &str) -> Result<TenantId, MoveError> {
    text.parse().map(TenantId::new).map_err(|_| misplaced())
}

fn number(text: &str) -> Result<u64, MoveError> {
    text.parse().map_err(|_| misplaced())
}

fn numbered(text: &str) -> Result<(TenantId, u64), MoveError> {
    let (tenant, of) = text.split_once('/').ok_or_else(misplaced)?;
    Ok((tenant_of(tenant)?, number(of)?))
}

/// A folder into which a store is moved.
pub struct EmbeddedTarget {
    folder: Arc<Folder>,
    /// Closed once everything is there.
    open: Option<(Log, Copy)>,
}

impl EmbeddedTarget {
    /// Opens a folder, which may be missing.
    ///
    /// # Errors
    /// When it holds something else than a store, or is in use.
    pub fn open(path: &Path) -> Result<Self, MoveError> {
        let folder = Arc::new(Folder::open_to_move(path)?);
        let log = Log::open(&folder, &mut Rebuilt::default())?;
        let audit = Copy::open(folder.audit()).map_err(audit_failed)?;
        Ok(Self { folder, open: Some((log, audit)) })
    }

    fn parts(&mut self) -> Result<&mut (Log, Copy), MoveError> {
        self.open.as_mut().ok_or_else(contradiction)
    }
}

#[async_trait]
impl Target for EmbeddedTarget {
    async fn begin(&mut self, key: Key) -> Result<Option<Place>, MoveError> {
        let is_moving = self.folder.is_marked(MOVING)?;
        let (log, audit) = self.open.as_ref().ok_or_else(contradiction)?;
        let is_same = log.token_key()? == key;
        let is_empty = log.is_empty() && audit.is_empty() && log.reached()?.is_none();
        match (is_same, is_moving) {
            (true, true) => {}
            _ if is_empty => {
                self.folder.mark(MOVING)?;
                log.set_token_key(&key)?;
            }
            (true, false) => return Err(MoveError::Done),
            (false, true) => return Err(MoveError::Another),
            (false, false) => return Err(MoveError::Occupied),
        }
        log.reached()?.map(|text| Place::parse(&text).ok_or_else(misplaced)).transpose()
    }

    async fn put(&mut self, piece: Piece, place: &Place) -> Result<(), MoveError> {
        let (log, audit) = self.parts()?;
        let mut records = Vec::new();
        match piece {
            Piece::Tenants(all) => records.extend(all.into_iter().flat_map(tenant_records)),
            Piece::People(tenant, people) => records.extend(people_records(tenant, people)),
            Piece::Due(tenant, all) => {
                let mut parts = Parts::new(tenant);
                for due in all {
                    parts.change(&Change::Due(due));
                }
                records.extend(parts.finish());
            }
            Piece::Contents(all) => records.extend(all.iter().map(|content| Record {
                bucket: Some(Bucket::Content(content.day())),
                activities: 0,
                payload: content::write(content),
            })),
            Piece::Notes(all) => {
                for (tenant, name, text) in all {
                    log.keep(tenant, &name, &text)?;
                }
            }
            Piece::Lines(lines) => audit.put(lines).map_err(audit_failed)?,
            Piece::Chains(chains) => audit.put_chains(&chains).map_err(audit_failed)?,
        }
        Ok(log.write_noted(&records, Some(&place.to_string()))?)
    }

    /// Reads everything anew from the disk.
    async fn counts(&mut self) -> Result<Counts, MoveError> {
        if let Some((log, _)) = self.open.take() {
            log.close()?;
        }
        Kept::read(&self.folder)?.counts()
    }

    async fn finish(&mut self) -> Result<(), MoveError> {
        Ok(self.folder.unmark(MOVING)?)
    }

    async fn spoil(&mut self, key: Key) -> Result<(), MoveError> {
        let (log, _) = self.open.as_ref().ok_or_else(contradiction)?;
        if log.token_key()? == key {
            self.folder.mark(MOVING)?;
            log.set_token_key(&no_key()?)?;
        }
        Ok(())
    }
}

fn tenant_records(tenant: MovedTenant) -> Vec<Record> {
    let mut parts = Parts::new(tenant.tenant);
    changes(tenant).for_each(|change| parts.change(&change));
    parts.finish()
}

fn people_records(tenant: TenantId, people: Vec<Person>) -> Vec<Record> {
    let mut parts = Parts::new(tenant);
    for person in people {
        for activity in person.facts.activities.iter() {
            parts.activity(person.facts.user.no, &activity.to_activity());
        }
        parts.change(&Change::Brought(Box::new(person)));
    }
    parts.finish()
}
