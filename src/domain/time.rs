//! Whole UTC days, the only calendar of the risk model.

use chrono::{DateTime, Days, NaiveDate, Utc};
use std::fmt;

/// The model sees the days of the horizon and nothing else: 120, ending with today (`risk-model.md`, Words).
pub const HORIZON_DAYS: i32 = 120;

/// How far ahead of the clock a fact may be dated, in minutes (catalogue row 73).
pub const FUTURE_SKEW_MINUTES: i64 = 5;

/// A UTC calendar day, counted from 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct UtcDay(i32);

impl UtcDay {
    /// A day before all others.
    pub const MIN: Self = Self(i32::MIN);
    /// A day after all others.
    pub const MAX: Self = Self(i32::MAX);

    /// Returns the day in which an instant lies.
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        // Chrono's range is ±262,000 years, which is 96 million days.
        Self(i32::try_from(at.timestamp().div_euclid(86_400)).unwrap_or(i32::MAX))
    }

    /// Returns the day so many days after 1970-01-01.
    #[must_use]
    pub fn from_number(days: i32) -> Self {
        Self(days)
    }

    /// Returns how many days after 1970-01-01 it is.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// Returns the day `days` later, or earlier when negative.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Returns how many days `self` is after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> i32 {
        self.0 - earlier.0
    }

    /// Returns its first instant.
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(self.0) * 86_400, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Returns the first day of the horizon that ends with it.
    #[must_use]
    pub fn horizon_start(self) -> Self {
        self.plus(1 - HORIZON_DAYS)
    }

    /// Reads `YYYY-MM-DD`: digits and hyphens, for the date parser takes signs and blanks too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_form =
            |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
        if text.len() != 10 || !text.bytes().enumerate().all(is_form) {
            return None;
        }
        let date: NaiveDate = text.parse().ok()?;
        Some(Self::of(date.and_hms_opt(0, 0, 0)?.and_utc()))
    }
}

/// Prints `YYYY-MM-DD`.
impl fmt::Display for UtcDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = NaiveDate::default();
        let days = Days::new(u64::from(self.0.unsigned_abs()));
        let date = if self.0 < 0 { epoch.checked_sub_days(days) } else { epoch.checked_add_days(days) };
        match date {
            Some(date) => date.fmt(f),
            None => write!(f, "{}", self.0),
        }
    }
}

/// How many days, ending with today, a tenant shares: 90 to 120 (`domain.md` 9, reading 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lookback(i32);

impl Lookback {
    /// The fewest days.
    pub const MIN: i32 = 90;
    /// The most days, and the default.
    pub const MAX: i32 = HORIZON_DAYS;

    /// Returns the lookback of so many days, or nothing when out of bounds.
    #[must_use]
    pub fn new(days: i32) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&days).then_some(Self(days))
    }

    /// Returns how many days it has.
    #[must_use]
    pub fn days(self) -> i32 {
        self.0
    }

    /// Returns the days that it covers.
    #[must_use]
    pub fn window(self, today: UtcDay) -> Window {
        Window { first: today.plus(1 - self.0), last: today }
    }
}

impl Default for Lookback {
    fn default() -> Self {
        Self(Self::MAX)
    }
}

/// A range of days, both ends included. Empty when `first` is after `last`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Window {
    /// The first day.
    pub first: UtcDay,
    /// The last day.
    pub last: UtcDay,
}

impl Window {
    /// Says whether the day lies in it.
    #[must_use]
    pub fn contains(self, day: UtcDay) -> bool {
        self.first <= day && day <= self.last
    }

    /// Returns how many days it has.
    #[must_use]
    pub fn days(self) -> i32 {
        (self.last.since(self.first) + 1).max(0)
    }

    /// Returns the days that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_utc_and_prints_as_a_date() {
        let at: DateTime<Utc> = "2026-02-28T23:59:59.999Z".parse().unwrap();
        assert_eq!(UtcDay::of(at).to_string(), "2026-02-28");
        assert_eq!(UtcDay::of(at).plus(1).to_string(), "2026-03-01");
        assert_eq!(UtcDay::parse("2026-02-28"), Some(UtcDay::of(at)));
        for bad in
            ["2026-02-30", "+026-01-01", "-001-01-01", "2026-1-001", " 026-01-01", "2026-01-1 ", "2026/01/01"]
        {
            assert_eq!(UtcDay::parse(bad), None, "{bad}");
        }
        assert_eq!(UtcDay::of("1969-12-31T23:00:00Z".parse().unwrap()).to_string(), "1969-12-31");
    }

    #[test]
    fn the_lookback_is_90_to_120_days_that_end_today() {
        let today = UtcDay::parse("2026-05-01").unwrap();
        assert_eq!(Lookback::new(89), None);
        assert_eq!(Lookback::new(121), None);
        let window = Lookback::new(90).unwrap().window(today);
        assert_eq!((window.days(), window.last), (90, today));
        assert_eq!(Lookback::default().window(today).first, today.horizon_start());
    }
}
