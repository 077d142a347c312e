//! What can go wrong between here and the database. A driver's messages can hold values, so none of their text leaves.

use crate::store::StoreError;
use crate::store::book::codec::Malformed;
use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is none.
    #[error("postgres.url is no address of a database")]
    Address,
    /// The file of authorities cannot be used.
    #[error("postgres.ca: {0}")]
    Authorities(String),
    /// The database cannot be reached or refuses.
    #[error(transparent)]
    Database(#[from] Fault),
    /// The schema is of another version than this program.
    #[error(
        "the database's schema has version {found}, this program needs {needed}: run `riskshare migrate`"
    )]
    Schema {
        /// What is there; 0 for none.
        found: i64,
        /// What is needed.
        needed: i64,
    },
    /// The store was moved elsewhere, or is being moved: what is there is not to be served.
    #[error(
        "the store was moved elsewhere: serve it there, or give it back with `riskshare migrate-store --abandon`"
    )]
    Moved,
    /// Another store is being moved into it.
    #[error("the move of another store into this one has not ended: run `riskshare migrate-store` again")]
    Unfinished,
}

/// What the database did not do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// It refused, for the reason of that code.
    #[error("the database refused ({0})")]
    Refused(String),
    /// It cannot be reached, or the connection broke.
    #[error("the database cannot be reached")]
    Unreachable,
    /// No connection was free in time.
    #[error("no connection to the database is free")]
    Busy,
    /// It did not answer in time. What it was asked to do it may have done.
    #[error("the database does not answer in time")]
    Slow,
    /// What is there is not what was written.
    #[error("the store contradicts itself")]
    Malformed,
    /// The hold is too old, or its switch has moved.
    #[error("the hold has ended")]
    Ended,
}

impl Fault {
    /// Says whether others, too, would be refused now: the database is away, full, or cannot keep up. Not where two
    /// callers were only in each other's way.
    pub fn is_of_the_database(&self) -> bool {
        match self {
            Self::Refused(code) => !matches!(code.get(..2), Some("23" | "40" | "55")),
            Self::Unreachable | Self::Busy | Self::Slow | Self::Malformed => true,
            Self::Ended => false,
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) if *code == SqlState::ADMIN_SHUTDOWN => Self::Ended,
            Some(code) => Self::Refused(code.code().to_owned()),
            None => Self::Unreachable,
        }
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(_) => Self::Busy,
            PoolError::Backend(error) => error.into(),
            _ => Self::Unreachable,
        }
    }
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.to_string())
    }
}
