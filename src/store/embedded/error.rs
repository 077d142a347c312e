//! Why a folder cannot be opened as a store.

use super::record::Unreadable;
use crate::store::book::codec::Malformed;
use std::io;

/// Why a store cannot be opened. The texts name parts of the store, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder, or a record in it, was written in a format that this program does not know; or the folder holds
    /// something that is no store. Nothing was changed. Use the program that wrote it, or another folder.
    #[error("the store's format is not known: {0}")]
    UnknownVersion(String),
    /// What is there is not what was written. Nothing is guessed: restore a backup.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Another process has it open.
    #[error("the store is in use by another process")]
    Locked,
    /// It was moved elsewhere, or is being moved: what is there is not to be served.
    #[error(
        "the store was moved elsewhere: serve it there, or give it back with `riskshare migrate-store --abandon`"
    )]
    Moved,
    /// Another store is being moved into it.
    #[error("the move of another store into this one has not ended: run `riskshare migrate-store` again")]
    Unfinished,
    /// The file system refused.
    #[error("the store's folder cannot be used: {0}")]
    Io(io::Error),
}

impl OpenError {
    /// Returns the error of a part that is not what was written.
    pub fn damaged(part: impl Into<String>) -> Self {
        Self::Damaged(part.into())
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Files of a store that exists are missing or end too early.
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                Self::damaged(format!("a file is missing or too short ({})", error.kind()))
            }
            _ => Self::Io(error),
        }
    }
}

impl From<fjall::Error> for OpenError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Locked,
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => error.into(),
            fjall::Error::InvalidVersion(_) => Self::UnknownVersion("of the log's files".to_owned()),
            other => Self::damaged(format!("the log: {}", kind_of(&other))),
        }
    }
}

impl From<Unreadable> for OpenError {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Version => Self::UnknownVersion("of a record".to_owned()),
            Unreadable::Damaged => Self::damaged("a record's checksum does not match"),
        }
    }
}

impl From<Malformed> for OpenError {
    fn from(_: Malformed) -> Self {
        Self::damaged("a record cannot be read")
    }
}

/// Says what kind of error it is. The error's own text may hold bytes of a record.
fn kind_of(error: &fjall::Error) -> &'static str {
    match error {
        fjall::Error::Storage(_) => "a table cannot be read",
        fjall::Error::JournalRecovery(_) => "the journal cannot be read",
        fjall::Error::Decompress(_) => "a block cannot be decompressed",
        fjall::Error::InvalidTrailer | fjall::Error::InvalidTag(_) => "the journal holds an unknown mark",
        fjall::Error::Poisoned => "an earlier write failed",
        _ => "it cannot be recovered",
    }
}
