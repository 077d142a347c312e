//! What can happen to the files.

use super::day_file;
use super::look::verify_files;
use super::mark::{ANCHORS, HEADS, Mark};
use super::{Audit, FolderVerdict, RETRY_AFTER, Shared, Trouble};
use crate::domain::audit::{AuditEvent, AuditOutcome, AuditQuery, AuditVerdict, ChainHead, FaultKind};
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use crate::store::StoreError;
use crate::store::conformance::{asked, noon, tenant, today};
use chrono::TimeDelta;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    /// Returns a folder whose log has three lines of each of two tenants, in turn, and was closed.
    async fn filled() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let audit = place.open();
        for _ in 0..3 {
            audit.record(tenant(0), event()).await.unwrap();
            audit.record(tenant(1), event()).await.unwrap();
        }
        place
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("audit")
    }

    fn file(&self) -> PathBuf {
        day_file::path(&self.folder(), today())
    }

    fn open(&self) -> Audit {
        Audit::open(self.folder()).unwrap()
    }

    fn verify(&self) -> FolderVerdict {
        verify_files(&self.folder(), None, None).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.file()).unwrap().lines().map(|line| format!("{line}\n")).collect()
    }
}

fn event() -> AuditEvent {
    AuditEvent { alerts: vec!["alert-1".into()], ..asked("EnrichAlert", AuditOutcome::Disclosed) }
}

async fn check(audit: &Audit, tenant: TenantId) -> AuditVerdict {
    audit.verify(tenant, None).await.unwrap()
}

/// Returns the faults in a few words each.
fn told(verdict: &AuditVerdict) -> Vec<(FaultKind, u64, &str)> {
    verdict.faults.iter().map(|fault| (fault.kind, fault.sequence, fault.place.as_str())).collect()
}

#[tokio::test]
async fn every_changed_byte_of_a_file_is_found_with_its_place() {
    let place = Place::filled().await;
    let whole = fs::read(place.file()).unwrap();
    let verdict = place.verify();
    assert!(verdict.tenants.values().all(|verdict| verdict.faults.is_empty() && verdict.lines == 3));
    let mut line = 1;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x04;
        fs::write(place.file(), &bytes).unwrap();
        let verdict = place.verify();
        let mut places: Vec<&str> = verdict.strays.iter().map(|fault| fault.place.as_str()).collect();
        places.extend(verdict.tenants.values().flat_map(|verdict| &verdict.faults).map(|f| f.place.as_str()));
        let named = format!("2026-05-01.jsonl line {line}");
        let is_end = at == whole.len() - 1;
        assert!(
            places.contains(&if is_end { "the end of the log" } else { &named }),
            "byte {at}: {places:?}"
        );
        line += usize::from(whole[at] == b'\n');
    }
}

#[tokio::test]
async fn a_line_that_was_removed_doubled_or_moved_is_found() {
    let place = Place::filled().await;
    let lines = place.lines();
    let with = |order: &[usize]| {
        let text: String = order.iter().map(|at| lines[*at].as_str()).collect();
        fs::write(place.file(), text).unwrap();
        place.verify()
    };
    assert!(with(&[0, 1, 2, 3, 4, 5]).tenants.values().all(|verdict| verdict.faults.is_empty()));
    let removed = with(&[0, 1, 3, 4, 5]);
    let place_of = |line| format!("2026-05-01.jsonl line {line}");
    assert_eq!(told(&removed.tenants[&tenant(0)]), [(FaultKind::Missing, 2, place_of(4).as_str())]);
    assert_eq!(told(&removed.tenants[&tenant(1)]), []);
    let doubled = with(&[0, 1, 2, 2, 3, 4, 5]);
    assert_eq!(told(&doubled.tenants[&tenant(0)]), [(FaultKind::OutOfOrder, 2, place_of(4).as_str())]);
    let moved = with(&[2, 0, 1, 3, 4, 5]);
    let expected = [(FaultKind::Missing, 1, place_of(1)), (FaultKind::OutOfOrder, 1, place_of(2))];
    assert_eq!(told(&moved.tenants[&tenant(0)]), expected.each_ref().map(|(a, b, c)| (*a, *b, c.as_str())));
    // Lines of two tenants may be in either order: which was first is in neither chain.
    assert!(with(&[1, 0, 2, 3, 4, 5]).tenants.values().all(|verdict| verdict.faults.is_empty()));
}

/// Numbers that look random and are the same in each run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

/// Edits a log in one of five ways, so that it is another than before.
fn edited(lines: &[String], numbers: &mut Numbers) -> Vec<u8> {
    let (at, other) = (numbers.below(lines.len()), numbers.below(lines.len() - 1));
    let other = if other < at { other } else { other + 1 };
    let mut lines = lines.to_vec();
    match numbers.below(5) {
        0 => drop(lines.remove(at)),
        1 => lines.swap(at, other),
        2 => lines.insert(at, lines[other].clone()),
        kind => {
            let mut bytes = lines.concat().into_bytes();
            let byte = numbers.below(bytes.len());
            if kind == 3 {
                bytes.truncate(byte);
            } else {
                bytes[byte] ^= 1 << numbers.below(8);
            }
            return bytes;
        }
    }
    lines.concat().into_bytes()
}

/// `RISKSHARE_TEST_EDITS` says how many edits are tried: `docs/audit.md`.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a longer run is asked for by the environment")]
async fn whatever_is_edited_is_found() {
    let edits = std::env::var("RISKSHARE_TEST_EDITS").map_or(500, |count| count.parse().unwrap());
    let place = Place::filled().await;
    let audit = place.open();
    for _ in 0..20 {
        audit.record(tenant(0), event()).await.unwrap();
    }
    drop(audit);
    let lines: Vec<String> =
        place.lines().into_iter().filter(|line| line.contains(&tenant(0).to_string())).collect();
    let verify = |bytes: &[u8]| {
        fs::write(place.file(), bytes).unwrap();
        verify_files(&place.folder(), Some(tenant(0)), None).unwrap()
    };
    let whole = verify(lines.concat().as_bytes());
    assert_eq!((told(&whole.tenants[&tenant(0)]), whole.strays.len()), (vec![], 0));
    let mut numbers = Numbers(16);
    for edit in 0..edits {
        let bytes = edited(&lines, &mut numbers);
        let verdict = verify(&bytes);
        let faults = verdict.strays.len() + verdict.tenants[&tenant(0)].faults.len();
        assert!(faults > 0, "edit {edit}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_found_by_the_heads_beside_it_and_for_ever() {
    let place = Place::filled().await;
    let lines = place.lines();
    fs::write(place.file(), lines[..4].concat()).unwrap();
    let end = [(FaultKind::Truncated, 3, "the end of the log")];
    assert_eq!(told(&place.verify().tenants[&tenant(0)]), end);
    let audit = place.open();
    assert_eq!(told(&check(&audit, tenant(0)).await), end);
    audit.record(tenant(0), event()).await.unwrap();
    let gap = [(FaultKind::Missing, 3, "2026-05-01.jsonl line 5")];
    assert_eq!(told(&check(&audit, tenant(0)).await), gap);
    assert_eq!(check(&audit, tenant(0)).await.head.sequence, 4);
    drop(audit);
    assert_eq!(told(&check(&place.open(), tenant(0)).await), gap);
}

#[tokio::test]
async fn a_log_whose_heads_were_removed_too_is_found_by_whoever_kept_a_line() {
    let place = Place::filled().await;
    let kept = check(&place.open(), tenant(0)).await.head;
    let lines = place.lines();
    fs::write(place.file(), lines[..4].concat()).unwrap();
    fs::remove_file(place.folder().join(HEADS)).unwrap();
    assert_eq!(told(&place.verify().tenants[&tenant(0)]), []);
    let verdict = verify_files(&place.folder(), Some(tenant(0)), Some(kept)).unwrap();
    assert_eq!(verdict.tenants[&tenant(0)].faults[0].kind, FaultKind::Truncated);
    let audit = place.open();
    audit.record(tenant(0), AuditEvent { principal: "forger".to_owned(), ..event() }).await.unwrap();
    assert_eq!(check(&audit, tenant(0)).await.faults, []);
    let found = audit.verify(tenant(0), Some(kept)).await.unwrap();
    assert_eq!(told(&found), [(FaultKind::Rewritten, 3, "2026-05-01.jsonl line 5")]);
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_goes_and_all_before_it_stay() {
    let place = Place::filled().await;
    let whole = fs::read(place.file()).unwrap();
    let length = place.lines()[5].len();
    let last = 2 * length;
    fs::remove_file(place.folder().join(HEADS)).unwrap(); // As if the crash came within the first minute.
    let cuts = (1..=last).step_by(29).chain([2, length - 1, length, last]);
    for cut in cuts {
        fs::write(place.file(), &whole[..whole.len() - cut]).unwrap();
        let is_cut = cut != last && whole[whole.len() - cut - 1] != b'\n';
        assert_eq!(place.verify().is_cut, is_cut, "{cut}");
        let audit = place.open();
        assert_eq!(check(&audit, tenant(0)).await.faults, [], "{cut}");
        audit.record(tenant(1), event()).await.unwrap();
        let verdict = check(&audit, tenant(1)).await;
        assert_eq!((verdict.faults, verdict.head.sequence), (vec![], 3), "{cut}");
        drop(audit);
        fs::remove_file(place.folder().join(HEADS)).unwrap();
    }
}

#[tokio::test]
async fn damage_does_not_keep_the_log_from_opening_and_new_lines_go_on_behind_it() {
    let place = Place::filled().await;
    let mut bytes = fs::read(place.file()).unwrap();
    let at = place.lines()[0].len() + place.lines()[1].len() + 60;
    bytes[at] ^= 1;
    fs::write(place.file(), &bytes).unwrap();
    let audit = place.open();
    audit.record(tenant(0), event()).await.unwrap();
    let verdict = check(&audit, tenant(0)).await;
    assert_eq!((verdict.faults.len(), verdict.head.sequence), (1, 4));
    assert_eq!(verdict.faults[0].place, "2026-05-01.jsonl line 3");
    let page = audit.page(tenant(0), AuditQuery::default(), None, 10).await.unwrap();
    assert_eq!(page.lines.iter().map(|line| line.sequence).collect::<Vec<_>>(), [1, 3, 4]);
}

#[tokio::test]
async fn a_file_that_was_removed_is_found() {
    let place = Place::filled().await;
    let audit = place.open();
    let next = AuditEvent { at: noon() + TimeDelta::days(1), ..event() };
    audit.record(tenant(0), next.clone()).await.unwrap();
    audit.record(tenant(0), next.clone()).await.unwrap();
    drop(audit);
    let newest = day_file::path(&place.folder(), today().plus(1));
    let kept = fs::read(&newest).unwrap();
    fs::remove_file(&newest).unwrap();
    let audit = place.open();
    audit.record(tenant(0), next).await.unwrap();
    assert_eq!(told(&check(&audit, tenant(0)).await), [(FaultKind::Missing, 4, "2026-05-03.jsonl line 1")]);
    drop(audit);
    fs::write(&newest, kept).unwrap();
    assert_eq!(check(&place.open(), tenant(0)).await.faults, []);
    fs::remove_file(place.file()).unwrap();
    let audit = place.open();
    assert_eq!(told(&check(&audit, tenant(0)).await), [(FaultKind::Missing, 1, "2026-05-02.jsonl line 1")]);
    assert_eq!(told(&check(&audit, tenant(1)).await), [(FaultKind::Truncated, 1, "the end of the log")]);
}

#[tokio::test]
async fn time_that_runs_backwards_puts_no_line_before_an_earlier_one() {
    let place = Place::filled().await;
    let audit = place.open();
    let before = AuditEvent { at: noon() - TimeDelta::days(40), ..event() };
    audit.record(tenant(0), before.clone()).await.unwrap();
    assert_eq!(check(&audit, tenant(0)).await.faults, []);
    let query = AuditQuery { until: Some(noon() - TimeDelta::days(1)), ..AuditQuery::default() };
    let found = audit.page(tenant(0), query, None, 10).await.unwrap();
    assert_eq!(found.lines.iter().map(|line| &line.event).collect::<Vec<_>>(), [&before]);
}

#[tokio::test]
async fn where_the_next_file_cannot_be_made_nothing_is_written_down_until_it_can() {
    let place = Place::filled().await;
    let audit = place.open();
    let next = AuditEvent { at: noon() + TimeDelta::days(1), ..event() };
    let way = day_file::path(&place.folder(), today().plus(1));
    fs::create_dir(&way).unwrap();
    for _ in 0..2 {
        let refused = audit.record(tenant(0), next.clone()).await;
        assert!(matches!(refused, Err(StoreError::AuditUnavailable(_))));
    }
    assert_eq!(check(&audit, tenant(0)).await.head.sequence, 3);
    assert!(!audit.is_writing());
    fs::remove_dir(&way).unwrap();
    audit.record(tenant(0), next).await.unwrap();
    assert!(audit.is_writing());
    let verdict = check(&audit, tenant(0)).await;
    assert_eq!((verdict.faults, verdict.head.sequence), (vec![], 4));
}

#[tokio::test]
async fn a_log_that_nobody_tried_for_a_while_is_worth_another_try_unless_it_is_broken_for_good() {
    let place = Place::filled().await;
    let audit = place.open();
    let says = |trouble| {
        *audit.shared.trouble() = Some(trouble);
        audit.is_writing()
    };
    let now = Instant::now();
    assert!(!says(Trouble::Since(now)));
    assert!(says(Trouble::Since(now.checked_sub(RETRY_AFTER).unwrap())));
    assert!(!says(Trouble::ForGood));
}

#[tokio::test]
async fn a_write_that_cannot_be_taken_back_is_the_last_before_a_restart() {
    let place = Place::filled().await;
    let (known, _) = super::start::start(&place.folder()).unwrap();
    let before = known.end.clone();
    let shared = Arc::new(Shared::new(place.folder(), known));
    let (lines, queue) = std::sync::mpsc::sync_channel(8);
    let full = fs::OpenOptions::new().append(true).open("/dev/full").unwrap();
    let writer = super::writer::Writer::new(Arc::clone(&shared), Some(full));
    let thread = std::thread::spawn(move || writer.run(&queue));
    for day in [0, 1] {
        let event = AuditEvent { at: noon() + TimeDelta::days(day), ..event() };
        let refused = super::record(&lines, tenant(0), event).await;
        assert!(matches!(refused, Err(StoreError::AuditUnavailable(_))));
    }
    drop(lines);
    thread.join().unwrap();
    assert_eq!(shared.known().end, before);
    assert_eq!(*shared.trouble(), Some(Trouble::ForGood));
    place.open().record(tenant(0), event()).await.unwrap();
    assert_eq!(check(&place.open(), tenant(0)).await.faults, []);
}

#[tokio::test]
async fn a_crash_between_the_anchor_and_the_removal_is_put_right_by_the_next_expiry() {
    let place = Place::filled().await;
    let audit = place.open();
    audit.record(tenant(0), AuditEvent { at: noon() + TimeDelta::days(1), ..event() }).await.unwrap();
    let old = fs::read(place.file()).unwrap();
    assert_eq!(audit.expire(today().plus(1)).await.unwrap(), 1);
    let anchors = Mark::read(&place.folder().join(ANCHORS)).unwrap();
    drop(audit);
    fs::write(place.file(), old).unwrap();
    let audit = place.open();
    let verdict = check(&audit, tenant(0)).await;
    assert_eq!((verdict.faults, verdict.lines, verdict.anchor.sequence), (vec![], 1, 3));
    assert_eq!(audit.expire(today().plus(1)).await.unwrap(), 1);
    assert!(!place.file().exists());
    assert_eq!(Mark::read(&place.folder().join(ANCHORS)).unwrap(), anchors);
    // The newest file stays, however old it is.
    assert_eq!(audit.expire(UtcDay::from_number(99_999)).await.unwrap(), 0);
}

#[tokio::test]
async fn an_anchor_that_was_changed_is_found() {
    let place = Place::filled().await;
    let audit = place.open();
    audit.record(tenant(0), AuditEvent { at: noon() + TimeDelta::days(1), ..event() }).await.unwrap();
    audit.expire(today().plus(1)).await.unwrap();
    drop(audit);
    let path = place.folder().join(ANCHORS);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("\"sequence\":3", "\"sequence\":2")).unwrap();
    assert_eq!(check(&place.open(), tenant(0)).await.faults[0].kind, FaultKind::Missing);
    fs::remove_file(&path).unwrap();
    assert_eq!(check(&place.open(), tenant(0)).await.faults[0].kind, FaultKind::Missing);
    fs::write(&path, "{").unwrap();
    assert_eq!(check(&place.open(), tenant(0)).await.faults[0].kind, FaultKind::Missing);
    assert!(verify_files(&place.folder(), None, None).is_err());
}

#[tokio::test]
async fn the_hash_of_a_line_can_be_computed_with_sed_and_sha256sum() {
    let place = Place::filled().await;
    let command = format!(
        r#"tail -n 1 {} | sed 's/,"hash":"[0-9a-f]*"}}$/}}/' | tr -d '\n' | sha256sum"#,
        place.file().display()
    );
    let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
    let hash = String::from_utf8(output.stdout).unwrap();
    assert!(place.lines()[5].contains(&format!("\"hash\":\"{}\"", &hash[..64])), "{hash}");
}

#[test]
fn a_folder_without_a_log_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let verify = |path: &Path| super::verify_folder(path, None, Some(ChainHead::default()));
    assert!(verify(place.path()).is_err());
    fs::write(place.path().join("LOCK"), "").unwrap();
    assert!(verify(place.path()).is_err());
    fs::create_dir(place.path().join("audit")).unwrap();
    assert_eq!(verify(place.path()).unwrap(), FolderVerdict::default());
}
