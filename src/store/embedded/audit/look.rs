//! Reads the log: pages for auditors, checks of the chains, and the end of what is too old.

use super::day_file::{self, Lines, Place};
use super::mark::{ANCHORS, HEADS, Mark, sync_folder};
use super::{OpenError, Shared};
use crate::domain::audit::{
    AuditLine, AuditQuery, AuditVerdict, ChainCheck, ChainFault, ChainHead, FaultKind,
};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::store::{AuditCursor, AuditPage};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::PoisonError;

/// So much of the files is read for one page: a page may hold fewer lines than there are, or none.
const PAGE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A page ends when its lines have so many bytes. Below the 4 MiB that clients take, also with one more line of the
/// longest, and with the pseudonym of everybody in it.
const PAGE_TEXT_BYTES_MAX: usize = 512 * 1024;
/// How often a reader begins anew when files were removed under it.
const TRIES: usize = 8;

/// Hands over all lines of the days from `begin` on, up to the place `end`, until `each` has had enough.
fn scan(
    folder: &Path,
    begin: (Option<UtcDay>, u64),
    end: &Mark,
    mut each: impl FnMut(Place, &[u8]) -> bool,
) -> io::Result<()> {
    for day in day_file::days(folder)? {
        if begin.0.is_some_and(|begin| day < begin) || end.day.is_none_or(|end| end < day) {
            continue;
        }
        let from = if begin.0 == Some(day) { begin.1 } else { 0 };
        let until = if end.day == Some(day) { end.bytes } else { u64::MAX };
        let Some(mut lines) = Lines::open(folder, day, from, until)? else { continue };
        while let Some((place, text)) = lines.next()? {
            if !each(place, text) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads a page of a tenant's events. Damaged lines are left out: [`verify`] names them.
pub fn page(
    shared: &Shared,
    tenant: TenantId,
    query: &AuditQuery,
    after: Option<AuditCursor>,
    size: usize,
) -> io::Result<AuditPage> {
    let (end, head, first) = {
        let known = shared.known();
        (known.end.place(), known.end.head(tenant), known.anchors.day)
    };
    // A line is never in the file of an earlier day than its own.
    let first = first.max(query.from.map(UtcDay::of));
    let begin = match after {
        Some(after) if Some(after.day) >= first => (Some(after.day), after.offset),
        _ => (first, 0),
    };
    let beginning = AuditLine::beginning(tenant);
    let mut cursor =
        after.unwrap_or(AuditCursor { sequence: 0, last: head.sequence, day: UtcDay::MIN, offset: 0 });
    (cursor.day, cursor.offset) = (begin.0.unwrap_or(UtcDay::MIN), begin.1);
    let mut page = AuditPage::default();
    let (mut read, mut shown) = (0, 0);
    scan(&shared.folder, begin, &end, |place, text| {
        read += place.end - if place.day == cursor.day { cursor.offset } else { 0 };
        (cursor.day, cursor.offset) = (place.day, place.end);
        if let Some(line) = own_line(&beginning, text)
            && (cursor.sequence + 1..=cursor.last).contains(&line.sequence)
        {
            cursor.sequence = line.sequence;
            if query.wants(&line.event) {
                page.lines.push(line);
                shown += text.len();
            }
        }
        let is_full = page.lines.len() >= size || shown >= PAGE_TEXT_BYTES_MAX || read >= PAGE_BYTES_MAX;
        page.next = Some(cursor).filter(|cursor| is_full && cursor.sequence < cursor.last);
        !is_full
    })?;
    Ok(page)
}

fn own_line(beginning: &str, text: &[u8]) -> Option<AuditLine> {
    let text = text.starts_with(beginning.as_bytes()).then_some(text)?;
    AuditLine::read(str::from_utf8(text).ok()?).filter(AuditLine::is_whole)
}

/// Checks a tenant's chain.
pub fn verify(shared: &Shared, tenant: TenantId, kept: Option<ChainHead>) -> io::Result<AuditVerdict> {
    let beginning = AuditLine::beginning(tenant);
    for _ in 1..TRIES {
        let (end, head, first, anchor) = {
            let known = shared.known();
            let (end, anchors) = (&known.end, &known.anchors);
            (end.place(), end.head(tenant), anchors.day, anchors.head(tenant))
        };
        let mut check = ChainCheck::new(anchor, kept.into_iter().chain([head]).collect());
        scan(&shared.folder, (first, 0), &end, |place, text| {
            if text.starts_with(beginning.as_bytes()) {
                check.take(&place, text);
            }
            true
        })?;
        // Files that were removed meanwhile would look like lost ones.
        if shared.known().anchors.day == first {
            return Ok(AuditVerdict { head, ..check.finish() });
        }
    }
    Err(io::Error::other("old files were removed again and again"))
}

/// Removes the files of days before this one, and returns how many. The newest file always stays.
pub fn expire(shared: &Shared, before: UtcDay) -> io::Result<u64> {
    let _turn = shared.expiring.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(newest) = shared.known().end.day else { return Ok(0) };
    let before = before.min(newest);
    let mut anchors = shared.known().anchors.clone();
    let old: Vec<UtcDay> = day_file::days(&shared.folder)?.into_iter().filter(|day| *day < before).collect();
    if old.is_empty() {
        return Ok(0);
    }
    let end = Mark { day: Some(before.plus(-1)), bytes: u64::MAX, ..Mark::default() };
    scan(&shared.folder, (anchors.day, 0), &end, |_, text| {
        if let Some(line) = own_line("", text) {
            anchors.raise(line.tenant, line.head());
        }
        true
    })?;
    anchors.day = Some(before);
    anchors.write(&shared.folder, ANCHORS)?;
    shared.known().anchors = anchors;
    for day in &old {
        fs::remove_file(day_file::path(&shared.folder, *day))?;
    }
    sync_folder(&shared.folder)?;
    Ok(old.len() as u64)
}

/// What a check of all chains in a folder found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FolderVerdict {
    /// What was found of each tenant.
    pub tenants: BTreeMap<TenantId, AuditVerdict>,
    /// Lines that are not any tenant's.
    pub strays: Vec<ChainFault>,
    /// The last line has no end: a crash cut it off, or somebody did. No answer left because of it.
    pub is_cut: bool,
}

/// Checks the log of a store that is not open, whose folder is `path`: all tenants, or one. Changes nothing.
///
/// # Errors
/// When there is no log, a server has it open, or it cannot be read.
pub fn verify_folder(
    path: &Path,
    wanted: Option<TenantId>,
    kept: Option<ChainHead>,
) -> Result<FolderVerdict, OpenError> {
    let _lock = lock(path)?;
    let folder = path.join("audit");
    if !folder.is_dir() {
        return Err(OpenError::damaged("it has no audit log"));
    }
    verify_files(&folder, wanted, kept)
}

/// Checks the files of a log to which nobody writes.
pub fn verify_files(
    folder: &Path,
    wanted: Option<TenantId>,
    kept: Option<ChainHead>,
) -> Result<FolderVerdict, OpenError> {
    let anchors = read_mark(folder, ANCHORS)?.unwrap_or_default();
    let heads = read_mark(folder, HEADS)?.unwrap_or_default();
    let mut verdict = FolderVerdict::default();
    let mut checks = BTreeMap::new();
    let new_check = |tenant: TenantId| {
        let own = kept.filter(|_| wanted == Some(tenant));
        ChainCheck::new(
            anchors.head(tenant),
            heads.heads.get(&tenant).copied().into_iter().chain(own).collect(),
        )
    };
    let known = anchors.heads.keys().chain(heads.heads.keys()).copied().chain(wanted);
    for tenant in known.filter(|tenant| wanted.is_none_or(|wanted| wanted == *tenant)) {
        checks.entry(tenant).or_insert_with(|| new_check(tenant));
    }
    let newest = day_file::days(folder)?.last().copied();
    let end = Mark { day: newest, bytes: u64::MAX, ..Mark::default() };
    scan(folder, (anchors.day, 0), &end, |place, text| {
        match AuditLine::tenant_of(text) {
            _ if !place.is_ended && Some(place.day) == newest => verdict.is_cut = true,
            Some(tenant) if wanted.is_none_or(|wanted| wanted == tenant) => {
                checks.entry(tenant).or_insert_with(|| new_check(tenant)).take(&place, text);
            }
            Some(_) => {}
            None => verdict.strays.push(ChainFault {
                kind: FaultKind::Unreadable,
                sequence: 0,
                place: place.to_string(),
            }),
        }
        true
    })
    .map_err(OpenError::Io)?;
    verdict.tenants = checks.into_iter().map(|(tenant, check)| (tenant, check.finish())).collect();
    Ok(verdict)
}

fn read_mark(folder: &Path, name: &str) -> Result<Option<Mark>, OpenError> {
    let mark = Mark::read(&folder.join(name)).map_err(OpenError::Io)?;
    match mark {
        None if folder.join(name).exists() => Err(OpenError::damaged(format!("audit/{name} cannot be read"))),
        mark => Ok(mark),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let lock = match File::open(path.join("LOCK")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(OpenError::UnknownVersion("the folder is no store".to_owned()));
        }
        Err(error) => return Err(OpenError::Io(error)),
    };
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked),
        Err(TryLockError::Error(error)) => Err(OpenError::Io(error)),
    }
}
