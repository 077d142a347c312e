//! An activity as it is kept, borrowed from where it is kept.

use super::chunk::Reader;
use crate::domain::activity::{Activity, Sensitivity};
use crate::domain::ids::ActivityId;
use crate::domain::indicator::Indicator;
use crate::domain::time::UtcDay;
use crate::domain::user::{Personal, PersonalText};
use chrono::{DateTime, Utc};
use std::cmp::Ordering;
use std::fmt;
use uuid::Uuid;

/// An activity as it is kept. Its texts are looked at when they are asked for: most rules need none.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// The source's id.
    pub id: RowId<'a>,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What it is a sign of.
    pub indicator: &'a Indicator,
    /// How sensitive the content is.
    pub sensitivity: Sensitivity,
    /// The organisation does not allow the destination.
    pub unallowed_destination: bool,
    pub(super) texts: Texts<'a>,
}

/// Where a row's texts are.
#[derive(Clone, Copy)]
pub(super) enum Texts<'a> {
    In(&'a Activity),
    /// In a chunk, from a place on.
    At(Reader<'a>),
}

/// An activity's id as it is kept. Most sources give UUIDs, which take less than half of their text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RowId<'a> {
    /// A UUID in lower case with hyphens.
    Uuid(Uuid),
    /// Any other text.
    Text(&'a str),
}

impl<'a> RowId<'a> {
    /// Returns how an id is kept.
    #[must_use]
    pub fn of(id: &'a ActivityId) -> Self {
        let text = id.as_str();
        let uuid = if text.len() == 36 { Uuid::try_parse(text).ok() } else { None };
        // Only what comes out of it as it went in.
        uuid.map(Self::Uuid).filter(|uuid| uuid.with_text(|same| same == text)).unwrap_or(Self::Text(text))
    }

    /// Gives its text to `use_it`.
    pub fn with_text<T>(&self, use_it: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Uuid(uuid) => use_it(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Self::Text(text) => use_it(text),
        }
    }

    /// Returns its text.
    #[must_use]
    pub fn text(&self) -> String {
        self.with_text(str::to_owned)
    }
}

/// As their texts are ordered.
impl Ord for RowId<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Uuid(one), Self::Uuid(other)) => one.cmp(other), // Digits are in order, and hyphens in one place.
            _ => self.with_text(|one| other.with_text(|other| one.cmp(other))),
        }
    }
}

impl PartialOrd for RowId<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for RowId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| text.fmt(f))
    }
}

impl<'a> Row<'a> {
    /// Returns an activity as if it were kept.
    #[must_use]
    pub fn of(activity: &'a Activity) -> Self {
        Self {
            id: RowId::of(&activity.id),
            at: activity.at,
            indicator: &activity.indicator,
            sensitivity: activity.sensitivity,
            unallowed_destination: activity.unallowed_destination,
            texts: Texts::In(activity),
        }
    }

    /// Returns the source's operation.
    #[must_use]
    pub fn operation(&self) -> &'a str {
        match self.texts {
            Texts::In(activity) => &activity.operation,
            Texts::At(mut from) => from.text(),
        }
    }

    /// Returns the object's name or path; may be empty.
    #[must_use]
    pub fn object_name(&self) -> PersonalText<'a> {
        match self.texts {
            Texts::In(activity) => activity.object_name.borrowed(),
            Texts::At(from) => PersonalText::new(from.behind(1).text()),
        }
    }

    /// Returns where the data went; may be empty.
    #[must_use]
    pub fn destination(&self) -> PersonalText<'a> {
        match self.texts {
            Texts::In(activity) => activity.destination.borrowed(),
            Texts::At(from) => PersonalText::new(from.behind(2).text()),
        }
    }

    /// Returns the activity by itself.
    #[must_use]
    pub fn to_activity(&self) -> Activity {
        Activity {
            id: self.id.with_text(ActivityId::kept),
            at: self.at,
            indicator: self.indicator.clone(),
            operation: self.operation().into(),
            object_name: Personal::from(self.object_name()),
            destination: Personal::from(self.destination()),
            sensitivity: self.sensitivity,
            unallowed_destination: self.unallowed_destination,
        }
    }

    /// Returns the day on which it counts.
    #[must_use]
    pub fn day(&self) -> UtcDay {
        UtcDay::of(self.at)
    }

    pub(super) fn place(&self) -> Place<'a> {
        Place::of(self.at, self.id)
    }
}

impl PartialEq for Row<'_> {
    fn eq(&self, other: &Self) -> bool {
        let told = |row: &Self| (row.at, row.sensitivity, row.unallowed_destination);
        (told(self), self.id, self.indicator) == (told(other), other.id, other.indicator)
            && self.operation() == other.operation()
            && self.object_name() == other.object_name()
            && self.destination() == other.destination()
    }
}

impl Eq for Row<'_> {}

/// What puts rows in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place<'a> {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
    pub(super) id: RowId<'a>,
}

impl<'a> Place<'a> {
    pub(super) fn of(at: DateTime<Utc>, id: RowId<'a>) -> Self {
        Self { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos(), id }
    }
}

impl PartialEq<Activity> for Row<'_> {
    fn eq(&self, other: &Activity) -> bool {
        *self == Row::of(other)
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_activity().fmt(f)
    }
}
