//! The files beside the log: VERSION says in which format all is written, LOCK keeps other processes out, HEAD says
//! how far the log reached at least, CURRENT which log it is, MOVED and MOVING that the store is not to be served.

use super::error::OpenError;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The version of all that is in the folder, which VERSION names. A folder of another is refused.
pub const FORMAT_VERSION: u32 = 1;

/// What VERSION holds.
const VERSION: &str = "riskshare embedded store 1\n";
/// The folder of the first log. Later ones have their number behind it.
const LOG: &str = "log";
/// The checkpoint of a log has this name, and the log's number behind it.
const CHECKPOINT: &str = "checkpoint";
/// Marks a store that was moved elsewhere, or is being moved.
pub const MOVED: &str = "MOVED";
/// Marks a store into which another one is being moved.
pub const MOVING: &str = "MOVING";
/// The most bytes of VERSION that are looked at.
const VERSION_BYTES_MAX: u64 = 64;

/// So long a lock is waited for, and so often it is looked at.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// A store's folder, locked for as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    #[expect(dead_code, reason = "kept for its lock")]
    lock: File,
}

/// What is in a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FolderState {
    /// There is no folder.
    Absent,
    /// Nothing: a store can be made in it.
    Empty,
    /// A store of this format that nobody has open.
    Store,
}

impl FolderState {
    /// Looks into a folder and changes nothing.
    ///
    /// # Errors
    /// Why it could not be opened as a store.
    pub fn of(path: &Path) -> Result<Self, OpenError> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(OpenError::Io(ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Absent),
            Err(error) => return Err(OpenError::Io(error)),
        }
        if let Ok(lock) = File::open(path.join("LOCK"))
            && matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
        {
            return Err(OpenError::Locked);
        }
        if has_version(path)? {
            refuse_marked(path)?;
            return Ok(Self::Store);
        }
        refuse_other_things(path)?;
        Ok(Self::Empty)
    }
}

/// Locks, and waits for whoever holds the lock for a moment: a process that is about to end, or one that this one has just
/// started, which has all files until it becomes another program.
fn lock_patiently(lock: &File) -> Result<(), OpenError> {
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => thread::sleep(LOCK_LOOK),
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked),
            Err(TryLockError::Error(error)) => return Err(OpenError::Io(error)),
        }
    }
}

impl Folder {
    /// Opens a folder, making it when there is none, and locks it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let folder = Self::open_to_move(path)?;
        refuse_marked(path)?;
        Ok(folder)
    }

    /// Does the same for whoever moves a store, whatever a move left.
    pub fn open_to_move(path: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(OpenError::Io)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("LOCK"))
            .map_err(OpenError::Io)?;
        lock_patiently(&lock)?;
        let folder = Self { path: path.to_owned(), lock };
        folder.check_version()?;
        Ok(folder)
    }

    /// Says whether a mark is set.
    pub fn is_marked(&self, mark: &str) -> Result<bool, OpenError> {
        is_marked(&self.path, mark)
    }

    /// Sets a mark, durably.
    pub fn mark(&self, mark: &str) -> Result<(), OpenError> {
        self.place(mark, "").map_err(OpenError::Io)
    }

    /// Takes a mark away, durably.
    pub fn unmark(&self, mark: &str) -> Result<(), OpenError> {
        match fs::remove_file(self.path.join(mark)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(OpenError::Io(error)),
            _ => self.sync().map_err(OpenError::Io),
        }
    }

    /// Returns where the log is. A log that was written anew has another folder than the one before; what an
    /// interrupted change of logs left behind is removed, and with it the checkpoint of a log that is gone.
    pub fn log(&self) -> Result<PathBuf, OpenError> {
        let current = self.generation()?;
        for entry in fs::read_dir(&self.path).map_err(OpenError::Io)? {
            let path = entry.map_err(OpenError::Io)?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            if (name == LOG || name.starts_with("log.")) && path != self.log_of(current) {
                fs::remove_dir_all(path).map_err(OpenError::Io)?;
            } else if name.starts_with(CHECKPOINT) && path != self.checkpoint_of(current) {
                fs::remove_file(path).map_err(OpenError::Io)?;
            }
        }
        Ok(self.log_of(current))
    }

    /// Returns where the checkpoint of the log is, if there is one.
    pub fn checkpoint(&self) -> Result<PathBuf, OpenError> {
        Ok(self.checkpoint_of(self.generation()?))
    }

    fn checkpoint_of(&self, generation: u64) -> PathBuf {
        self.path.join(format!("{CHECKPOINT}.{generation}"))
    }

    /// Returns where the next log is to be written, which is no log before [`Folder::go_on`].
    pub fn next_log(&self) -> Result<PathBuf, OpenError> {
        let path = self.log_of(self.generation()? + 1);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(OpenError::Io)?;
        }
        Ok(path)
    }

    /// Goes on in the next log, durably. [`Folder::log`] removes the one before.
    pub fn go_on(&self) -> Result<(), OpenError> {
        let current = self.generation()?;
        self.sync().map_err(OpenError::Io)?;
        self.place("CURRENT", &format!("{}\n", current + 1)).map_err(OpenError::Io)
    }

    fn log_of(&self, generation: u64) -> PathBuf {
        match generation {
            1 => self.path.join(LOG),
            later => self.path.join(format!("{LOG}.{later}")),
        }
    }

    fn generation(&self) -> Result<u64, OpenError> {
        match fs::read_to_string(self.path.join("CURRENT")) {
            Ok(text) => text.trim_end().parse().map_err(|_| OpenError::damaged("CURRENT cannot be read")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(1),
            Err(error) => Err(OpenError::Io(error)),
        }
    }

    /// Returns where the audit log is.
    pub fn audit(&self) -> PathBuf {
        self.path.join("audit")
    }

    /// Opens HEAD. A store that never was open to the end has none.
    pub fn head(&self) -> Result<Head, OpenError> {
        Head::open(&self.path.join("HEAD"))
    }

    /// Makes the folder's entries durable.
    pub fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    fn check_version(&self) -> Result<(), OpenError> {
        if has_version(&self.path)? { Ok(()) } else { self.write_version() }
    }

    /// Writes VERSION into a folder that holds nothing else.
    fn write_version(&self) -> Result<(), OpenError> {
        refuse_other_things(&self.path)?;
        self.place("VERSION", VERSION).map_err(OpenError::Io)
    }

    fn place(&self, name: &str, content: &str) -> io::Result<()> {
        place(&self.path.join(name), |file| file.write_all(content.as_bytes()))
    }
}

/// Puts a file in its place, durably and whole or not at all.
pub fn place<T>(path: &Path, write: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
    let new = path.with_added_extension("new");
    let mut file = File::create(&new)?;
    let written = write(&mut file)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_folder)?;
    Ok(written)
}

fn is_marked(path: &Path, mark: &str) -> Result<bool, OpenError> {
    path.join(mark).try_exists().map_err(OpenError::Io)
}

/// Refuses a store that is not to be served.
fn refuse_marked(path: &Path) -> Result<(), OpenError> {
    if is_marked(path, MOVED)? {
        return Err(OpenError::Moved);
    }
    if is_marked(path, MOVING)? { Err(OpenError::Unfinished) } else { Ok(()) }
}

/// Says whether a folder has the file VERSION, which must name this format.
fn has_version(path: &Path) -> Result<bool, OpenError> {
    let found = match File::open(path.join("VERSION")) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(OpenError::Io(error)),
    };
    let mut bytes = Vec::new();
    found.take(VERSION_BYTES_MAX).read_to_end(&mut bytes).map_err(OpenError::Io)?;
    let is_ours = bytes == VERSION.as_bytes();
    if is_ours { Ok(true) } else { Err(OpenError::UnknownVersion("VERSION names another one".to_owned())) }
}

/// Refuses a folder that is not empty, though it is no store.
fn refuse_other_things(path: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(path).map_err(OpenError::Io)? {
        let name = entry.map_err(OpenError::Io)?.file_name();
        if name != "LOCK" && name != "VERSION.new" {
            let why = "the folder is not empty and has no file VERSION";
            return Err(OpenError::UnknownVersion(why.to_owned()));
        }
    }
    Ok(())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    // Windows has no such call, and keeps its entries without it.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// The file that says which record was surely made durable: a lower bound that is kept outside the log, so that a
/// log which lost its end is noticed. It is written after the log was synced and not synced itself but at the end,
/// so it may lag behind after a power cut. Two slots are written in turn: one may be torn.
#[derive(Debug)]
pub struct Head {
    file: File,
    sequence: u64,
    slot: u64,
    is_new: bool,
}

/// Sequence number and checksum.
const SLOT_BYTES: usize = 12;

impl Head {
    fn open(path: &Path) -> Result<Self, OpenError> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(OpenError::Io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(OpenError::Io)?;
        let slots = bytes.chunks(SLOT_BYTES).take(2).enumerate();
        let best = slots.filter_map(|(at, slot)| Some((read_slot(slot)?, at as u64))).max();
        match best {
            Some((sequence, slot)) => Ok(Self { file, sequence, slot, is_new: false }),
            None if bytes.is_empty() => Ok(Self { file, sequence: 0, slot: 1, is_new: true }),
            None => Err(OpenError::damaged("HEAD cannot be read")),
        }
    }

    /// Returns it once more, for a log that takes the place of this one.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, ..*self })
    }

    /// Returns the number of a record that surely was durable.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Says whether nothing was ever remembered here: the log must be empty then.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Remembers durably that the log is there, and empty.
    pub fn begin(&mut self) -> io::Result<()> {
        self.set(0)?;
        self.is_new = false;
        self.sync()
    }

    /// Remembers that the log is durable up to this record.
    pub fn set(&mut self, sequence: u64) -> io::Result<()> {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&sequence.to_le_bytes());
        bytes[8..].copy_from_slice(&crc32fast::hash(&sequence.to_le_bytes()).to_le_bytes());
        self.slot = 1 - self.slot;
        self.file.seek(SeekFrom::Start(self.slot * SLOT_BYTES as u64))?;
        self.file.write_all(&bytes)?;
        self.sequence = sequence;
        Ok(())
    }

    /// Makes it durable itself.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn read_slot(slot: &[u8]) -> Option<u64> {
    let (sequence, sum) = slot.split_at_checked(8)?;
    let is_whole = sum == crc32fast::hash(sequence).to_le_bytes();
    if is_whole { sequence.try_into().ok().map(u64::from_le_bytes) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_which_the_folder_names() {
        assert_eq!(VERSION, format!("riskshare embedded store {FORMAT_VERSION}\n"));
    }

    #[test]
    fn a_look_from_outside_says_what_opening_would_and_changes_nothing() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("data");
        assert_eq!(FolderState::of(&path).unwrap(), FolderState::Absent);
        fs::create_dir(&path).unwrap();
        assert_eq!(FolderState::of(&path).unwrap(), FolderState::Empty);
        assert!(fs::read_dir(&path).unwrap().next().is_none());
        let open = Folder::open(&path).unwrap();
        assert!(matches!(FolderState::of(&path), Err(OpenError::Locked)));
        drop(open);
        assert_eq!(FolderState::of(&path).unwrap(), FolderState::Store);
        let open = Folder::open(&path).expect("the look has let go of the lock");
        open.mark(MOVED).unwrap();
        drop(open);
        assert!(matches!(FolderState::of(&path), Err(OpenError::Moved)));
        Folder::open_to_move(&path).unwrap().unmark(MOVED).unwrap();
        fs::write(path.join("VERSION"), "riskshare embedded store 2\n").unwrap();
        assert!(matches!(FolderState::of(&path), Err(OpenError::UnknownVersion(_))));
        assert!(
            matches!(FolderState::of(at.path()), Err(OpenError::UnknownVersion(_))),
            "a folder of others"
        );
        assert!(matches!(FolderState::of(&path.join("VERSION")), Err(OpenError::Io(_))));
    }

    #[test]
    fn a_folder_opens_once_at_a_time() {
        let at = tempfile::tempdir().unwrap();
        let first = Folder::open(at.path()).unwrap();
        assert!(matches!(Folder::open(at.path()), Err(OpenError::Locked)));
        drop(first);
        assert!(Folder::open(at.path()).is_ok());
    }

    #[test]
    fn an_unknown_version_and_a_folder_of_something_else_are_refused() {
        let at = tempfile::tempdir().unwrap();
        drop(Folder::open(at.path()).unwrap());
        for other in ["", "riskshare embedded store 2\n", "riskshare embedded store 1\n1"] {
            fs::write(at.path().join("VERSION"), other).unwrap();
            assert!(matches!(Folder::open(at.path()), Err(OpenError::UnknownVersion(_))), "{other}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("thesis.txt"), "x").unwrap();
        assert!(matches!(Folder::open(elsewhere.path()), Err(OpenError::UnknownVersion(_))));
        assert!(!elsewhere.path().join("VERSION").exists());
    }

    #[test]
    fn a_change_of_logs_that_was_cut_off_leaves_the_old_one_or_the_new_one_and_no_other() {
        let at = tempfile::tempdir().unwrap();
        let folder = Folder::open(at.path()).unwrap();
        let make = |path: PathBuf| fs::create_dir_all(&path).map(|()| path).unwrap();
        let old = make(folder.log().unwrap());
        let next = make(folder.next_log().unwrap());
        assert_eq!(folder.log().unwrap(), old, "before it goes on");
        assert!(old.exists() && !next.exists());
        let next = make(folder.next_log().unwrap());
        let checkpoint = folder.checkpoint().unwrap();
        fs::write(&checkpoint, "").unwrap();
        folder.go_on().unwrap();
        assert!(old.exists() && next.exists() && checkpoint.exists());
        assert_eq!(folder.log().unwrap(), next, "after it went on");
        assert!(!old.exists() && next.exists() && !checkpoint.exists());
        fs::write(at.path().join("CURRENT"), "two").unwrap();
        assert!(matches!(folder.log(), Err(OpenError::Damaged(_))));
    }

    #[test]
    fn head_survives_a_torn_write_of_either_slot_but_not_of_both() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("HEAD");
        let mut head = Head::open(&path).unwrap();
        head.begin().unwrap();
        head.set(5).unwrap();
        head.set(6).unwrap();
        assert_eq!(Head::open(&path).unwrap().sequence(), 6);
        let whole = fs::read(&path).unwrap();
        for (torn, left) in [(0, 5), (SLOT_BYTES, 6)] {
            let mut bytes = whole.clone();
            bytes[torn] ^= 0xff;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(Head::open(&path).unwrap().sequence(), left);
        }
        let mut bytes = whole;
        bytes[0] ^= 0xff;
        bytes[SLOT_BYTES] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(Head::open(&path), Err(OpenError::Damaged(_))));
    }
}
