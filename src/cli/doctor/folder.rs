//! The data folder of the embedded engine.

use super::finding::Finding;
use crate::store::embedded::{FolderState, OpenError};
use rustix::fs::{Access, access, statvfs};
use std::path::Path;

const DATA: &str = "data folder";
const DISK: &str = "disk space";

const MIB: u64 = 1 << 20;
/// With less no answer about users is sure to be written down, so soon none is given.
const SPACE_MIN: u64 = 100 * MIB;
/// With less somebody should make room.
const SPACE_SCANT: u64 = 1_024 * MIB;

/// Looks at the folder.
pub fn findings(path: &Path) -> Vec<Finding> {
    let existing = path.ancestors().find(|place| place.exists());
    let existing = existing.filter(|place| !place.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = match statvfs(existing) {
        Ok(disk) => space(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(cause) => Finding::warning(DISK, format!("is not known: {cause}"), "look yourself"),
    };
    vec![state(path, existing), disk]
}

fn state(path: &Path, existing: &Path) -> Finding {
    let shown = path.display();
    match FolderState::of(path) {
        Err(OpenError::Locked) => Finding::failure(
            DATA,
            format!("{shown} is in use by another process"),
            "stop that server, or set data_dir to another folder",
        ),
        Err(cause @ OpenError::UnknownVersion(_)) => Finding::failure(
            DATA,
            format!("{shown}: {cause}"),
            "use the program that wrote it, or set data_dir to an empty folder",
        ),
        Err(cause @ (OpenError::Moved | OpenError::Unfinished)) => {
            Finding::failure(DATA, format!("{shown}: {cause}"), "docs/postgres.md says how a store is moved")
        }
        Err(cause) => {
            Finding::failure(DATA, format!("{shown}: {cause}"), "set data_dir to a folder that can be used")
        }
        Ok(_) if access(existing, Access::WRITE_OK | Access::EXEC_OK).is_err() => Finding::failure(
            DATA,
            format!("this account may not write in {}", existing.display()),
            "give it the right to, or set data_dir to another folder",
        ),
        Ok(FolderState::Absent) => Finding::ok(DATA, format!("{shown} is not there; serve makes it")),
        Ok(FolderState::Empty) => Finding::ok(DATA, format!("{shown} is empty; serve makes a store in it")),
        Ok(FolderState::Store) => Finding::ok(DATA, format!("{shown} has a store, which nobody has open")),
    }
}

fn space(free: u64) -> Finding {
    let text = format!("{} MiB are free", free / MIB);
    let advice = "make room: with a full disk nothing is ingested, and nobody is told anything about users";
    match free {
        ..SPACE_MIN => Finding::failure(DISK, text, advice),
        SPACE_MIN..SPACE_SCANT => Finding::warning(DISK, text, advice),
        _ => Finding::ok(DISK, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn a_disk_that_is_nearly_full_is_told_of_in_time() {
        let verdicts =
            [SPACE_MIN - 1, SPACE_MIN, SPACE_SCANT - 1, SPACE_SCANT].map(|free| space(free).verdict);
        assert_eq!(verdicts, [Verdict::Failure, Verdict::Warning, Verdict::Warning, Verdict::Ok]);
    }
}
