//! Moves all that one engine keeps into an empty store of another, piece by piece. A move that was cut off goes on where
//! it was: the target keeps each piece together with the place behind it.
//!
//! From the first piece on neither store is served: the source not before it is given back, the target not before
//! everything is there and counted.

use crate::domain::audit::ChainHead;
use crate::domain::content::{Content, Due};
use crate::domain::ids::TenantId;
use crate::domain::policy::Policy;
use crate::domain::time::UtcDay;
use crate::domain::user::UserNo;
use crate::store::VersionedSettings;
use crate::store::book::person::Person;
use async_trait::async_trait;
use std::fmt;

/// Why a store was not moved. The texts name parts of a store, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// A store cannot be opened, read or written.
    #[error("{0}")]
    Store(String),
    /// The target is not empty.
    #[error("the store to move into is not empty")]
    Occupied,
    /// Everything is there already.
    #[error("the store was moved there already: serve that one, or give it back with --abandon")]
    Done,
    /// The target holds what another move left.
    #[error("the store to move into holds what another move left: empty it, or end that move first")]
    Another,
    /// Something still serves the store.
    #[error("the store is being served: stop {0} first")]
    Served(String),
    /// The target does not hold what the source holds.
    #[error("{what}: {there} in the source, {here} in the target: the target must not be served")]
    Differs {
        /// Of what.
        what: Kind,
        /// How many the source has.
        there: u64,
        /// How many the target has.
        here: u64,
    },
}

/// Returns a key that no store has.
///
/// # Errors
/// When there is no randomness.
pub fn no_key() -> Result<Key, MoveError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|cause| MoveError::Store(cause.to_string()))?;
    Ok(key)
}

/// What there is to move, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// Tenants with their settings and policies.
    Tenants,
    /// Users with all that hangs on them.
    People,
    /// Changes of risk alerts that are due for export.
    Due,
    /// What was exported.
    Contents,
    /// Notes of the floors above.
    Notes,
    /// Lines of the audit log.
    Lines,
    /// How far each chain of the audit log reaches.
    Chains,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Tenants, Self::People, Self::Due, Self::Contents, Self::Notes, Self::Lines, Self::Chains];

    /// Returns its name, for people and in a [`Place`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::People => "users",
            Self::Due => "due",
            Self::Contents => "blobs",
            Self::Notes => "notes",
            Self::Lines => "lines",
            Self::Chains => "chains",
        }
    }
}

/// A piece of a store, and all of it that stands in one place.
pub enum Piece {
    /// Some tenants.
    Tenants(Vec<MovedTenant>),
    /// Some users of a tenant.
    People(TenantId, Vec<Person>),
    /// What is due of a tenant.
    Due(TenantId, Vec<Due>),
    /// Some blobs.
    Contents(Vec<Content>),
    /// Some notes: whose, their names, and what they say.
    Notes(Vec<(TenantId, String, String)>),
    /// Some lines of the audit log, those of a tenant in order.
    Lines(Vec<MovedLine>),
    /// Of some chains the last line, and the last one that was removed.
    Chains(Vec<(TenantId, ChainHead, ChainHead)>),
}

impl Piece {
    /// Returns how much of its part it is.
    #[must_use]
    pub fn size(&self) -> u64 {
        let size = match self {
            Self::Tenants(all) => all.len(),
            Self::People(_, all) => all.len(),
            Self::Due(_, all) => all.len(),
            Self::Contents(all) => all.len(),
            Self::Notes(all) => all.len(),
            Self::Lines(all) => all.len(),
            Self::Chains(all) => all.len(),
        };
        size as u64
    }
}

/// A tenant without its users.
pub struct MovedTenant {
    /// Whose.
    pub tenant: TenantId,
    /// The settings.
    pub settings: VersionedSettings,
    /// How often the sharing switch has moved.
    pub epoch: u64,
    /// The number that the next new user gets.
    pub next: UserNo,
    /// The policies.
    pub policies: Vec<Policy>,
    /// The number of the last blob that was exported of any tenant.
    pub published: u64,
}

/// A line of the audit log, to the byte as it was written.
pub struct MovedLine {
    /// Whose chain it is in.
    pub tenant: TenantId,
    /// Its number there.
    pub sequence: u64,
    /// The day under which it is kept: its own, or a later one that a line before it in the chain has.
    pub day: UtcDay,
    /// The line, without its end.
    pub text: String,
}

/// How far a move came: the last piece that the target has is the one before this place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Where the piece belongs.
    pub part: Part,
    /// Where the source goes on, in its own words.
    pub after: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part.name(), self.after)
    }
}

impl Place {
    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, after) = text.split_once(' ')?;
        let part = Part::ALL.into_iter().find(|part| part.name() == name)?;
        Some(Self { part, after: after.to_owned() })
    }
}

/// What is counted in both stores at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Tenants.
    Tenants,
    /// Policies.
    Policies,
    /// Users.
    Users,
    /// Numbers that turned out to be another user.
    Former,
    /// Activities.
    Activities,
    /// Risk alerts.
    RiskAlerts,
    /// Changes of risk alerts that are due for export.
    Due,
    /// Blobs that were exported.
    Blobs,
    /// Notes.
    Notes,
    /// Lines of the audit log.
    Lines,
    /// Chains of the audit log.
    Chains,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Tenants,
        Self::Policies,
        Self::Users,
        Self::Former,
        Self::Activities,
        Self::RiskAlerts,
        Self::Due,
        Self::Blobs,
        Self::Notes,
        Self::Lines,
        Self::Chains,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tenants => "tenants",
            Self::Policies => "policies",
            Self::Users => "users",
            Self::Former => "former numbers of users",
            Self::Activities => "activities",
            Self::RiskAlerts => "risk alerts",
            Self::Due => "changes due for export",
            Self::Blobs => "exported blobs",
            Self::Notes => "notes",
            Self::Lines => "audit lines",
            Self::Chains => "audit chains",
        })
    }
}

/// How many of each kind a store holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts([u64; Kind::ALL.len()]);

impl Counts {
    /// Returns counts in the order of [`Kind::ALL`].
    #[must_use]
    pub fn of(counts: [u64; Kind::ALL.len()]) -> Self {
        Self(counts)
    }

    /// Returns how many of a kind there are.
    #[must_use]
    pub fn get(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Returns how much there is to move of a part.
    #[must_use]
    pub fn of_part(&self, part: Part) -> u64 {
        self.get(match part {
            Part::Tenants => Kind::Tenants,
            Part::People => Kind::Users,
            Part::Due => Kind::Due,
            Part::Contents => Kind::Blobs,
            Part::Notes => Kind::Notes,
            Part::Lines => Kind::Lines,
            Part::Chains => Kind::Chains,
        })
    }

    fn compare(&self, here: &Self) -> Result<(), MoveError> {
        let differs = |kind: &Kind| self.get(*kind) != here.get(*kind);
        match Kind::ALL.into_iter().find(differs) {
            Some(what) => Err(MoveError::Differs { what, there: self.get(what), here: here.get(what) }),
            None => Ok(()),
        }
    }
}

/// The key of page tokens, by which a store and its copy are known to be the same.
pub type Key = [u8; 32];

/// The store that is moved.
#[async_trait]
pub trait Source: Send {
    /// Returns its key.
    async fn key(&mut self) -> Result<Key, MoveError>;

    /// Counts what it holds.
    async fn counts(&mut self) -> Result<Counts, MoveError>;

    /// Sees to it that it is not served, from now on until it is given back.
    async fn leave(&mut self) -> Result<(), MoveError>;

    /// Lets it be served again.
    async fn stay(&mut self) -> Result<(), MoveError>;

    /// Returns the piece behind a place of a part, and the place behind it, or nothing at the part's end.
    async fn page(&mut self, part: Part, after: Option<&str>) -> Result<Option<(Piece, String)>, MoveError>;
}

/// The store into which it is moved.
#[async_trait]
pub trait Target: Send {
    /// Sees to it that it is not served before the end, and returns how far a move of the store of that key came.
    ///
    /// # Errors
    /// When it holds something else.
    async fn begin(&mut self, key: Key) -> Result<Option<Place>, MoveError>;

    /// Takes a piece, and durably with it the place behind.
    async fn put(&mut self, piece: Piece, place: &Place) -> Result<(), MoveError>;

    /// Counts what it holds.
    async fn counts(&mut self) -> Result<Counts, MoveError>;

    /// Lets it be served from now on.
    async fn finish(&mut self) -> Result<(), MoveError>;

    /// Sees to it that it is not served any more, and that no move goes on there, if it holds the store of that key or a
    /// part of it.
    async fn spoil(&mut self, key: Key) -> Result<(), MoveError>;
}

/// Moves everything, and counts it in both. Says after each piece which part it was of, and how much of it is there.
///
/// # Errors
/// When a store fails or the counts differ: the source is then still whole, and the move can be run again.
pub async fn move_all(
    source: &mut dyn Source,
    target: &mut dyn Target,
    moved: &mut (dyn FnMut(Part, u64) + Send),
) -> Result<Counts, MoveError> {
    let key = source.key().await?;
    let reached = target.begin(key).await?;
    source.leave().await?;
    for part in Part::ALL {
        let mut after = match &reached {
            Some(place) if place.part > part => continue,
            Some(place) if place.part == part => Some(place.after.clone()),
            _ => None,
        };
        while let Some((piece, next)) = source.page(part, after.as_deref()).await? {
            let size = piece.size();
            target.put(piece, &Place { part, after: next.clone() }).await?;
            moved(part, size);
            after = Some(next);
        }
    }
    let here = target.counts().await?;
    source.counts().await?.compare(&here)?;
    target.finish().await?;
    Ok(here)
}

/// Gives the source back, and sees to it before that the target is not served.
///
/// # Errors
/// When a store fails.
pub async fn abandon(source: &mut dyn Source, target: &mut dyn Target) -> Result<(), MoveError> {
    target.spoil(source.key().await?).await?;
    source.stay().await
}
