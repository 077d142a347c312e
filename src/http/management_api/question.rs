//! What a caller of the Management Activity API asks: parameters, times, ids.

use crate::domain::time::UtcDay;
use crate::engine::feed::{ContentType, expiry};
use crate::export::content_item::ID_END;
use crate::http::management_api::fault::Fault;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use std::collections::HashMap;
use uuid::Uuid;

/// How far start and end may be apart.
const RANGE_MAX: TimeDelta = TimeDelta::hours(24);
/// How much older than seven days a start may be: the request took some time, and clocks differ.
const SLACK: TimeDelta = TimeDelta::minutes(5);

/// The parameters of a query. Their names are compared in any case, as Microsoft does; unknown ones are let be.
pub struct Parameters(HashMap<String, String>);

/// Which content is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// Made from here on.
    pub start: DateTime<Utc>,
    /// Made before.
    pub end: DateTime<Utc>,
}

impl Parameters {
    /// Reads the query of a URL. Of a name that comes twice the first counts.
    pub fn of(query: Option<&str>) -> Self {
        let mut all = HashMap::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            all.entry(name.to_ascii_lowercase()).or_insert_with(|| value.into_owned());
        }
        Self(all)
    }

    /// Returns a parameter that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the kind of content.
    pub fn content_type(&self) -> Result<ContentType, Fault> {
        let name = self.get("contentType").ok_or(Fault::Missing("contentType"))?;
        ContentType::named(name).ok_or(Fault::ContentType)
    }

    /// Returns the vendor's tenant, if it is given.
    pub fn publisher(&self) -> Result<Option<Uuid>, Fault> {
        let parse = |text| {
            let refused = Fault::Type { parameter: "PublisherIdentifier", kind: "a GUID" };
            Uuid::try_parse(text).map_err(|_| refused)
        };
        self.get("PublisherIdentifier").map(parse).transpose()
    }

    /// Returns the range: the last 24 hours when none is given, with this very instant.
    pub fn range(&self, now: DateTime<Utc>) -> Result<Range, Fault> {
        let time = |parameter| self.get(parameter).map(|text| time(parameter, text)).transpose();
        let (start, end) = match (time("startTime")?, time("endTime")?) {
            (None, None) => {
                let end = now + TimeDelta::milliseconds(1);
                return Ok(Range { start: end - RANGE_MAX, end });
            }
            (Some(start), Some(end)) => (start, end),
            _ => return Err(Fault::TimeRange),
        };
        if start >= end {
            return Err(Fault::TimeOrder);
        }
        if end - start > RANGE_MAX || expiry(start) + SLACK < now {
            return Err(Fault::TimeRange);
        }
        Ok(Range { start, end })
    }

    /// Returns the number of the content behind which the next page begins.
    pub fn next_page(&self) -> Result<u64, Fault> {
        match self.get("nextPage") {
            None => Ok(0),
            Some(text) => text.parse().map_err(|_| Fault::NextPage),
        }
    }
}

/// Reads `YYYY-MM-DD`, `YYYY-MM-DDTHH:MM` or `YYYY-MM-DDTHH:MM:SS`, with or without fractions, `Z` or `+00:00`: always
/// UTC.
pub fn time(parameter: &'static str, text: &str) -> Result<DateTime<Utc>, Fault> {
    let bare = text.strip_suffix(['Z', 'z']).or_else(|| text.strip_suffix("+00:00")).unwrap_or(text);
    let of_day = || UtcDay::parse(bare).map(UtcDay::start);
    let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f"];
    let of_time = || {
        formats
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(bare, format).ok())
            .map(|at| at.and_utc())
    };
    of_day().or_else(of_time).ok_or(Fault::Type { parameter, kind: "a UTC time such as 2026-05-01T12:00:00" })
}

/// Reads the id of a blob: its number, and when it was made.
pub fn read_content_id(id: &str) -> Result<(u64, DateTime<Utc>), Fault> {
    let mut parts = id.split('$');
    let read = (|| {
        let (created, number, end) = (parts.next()?, parts.next()?, parts.next()?);
        let created = NaiveDateTime::parse_from_str(created, "%Y%m%d%H%M%S%3f").ok()?.and_utc();
        let is_whole = end == ID_END && parts.next().is_none();
        is_whole.then_some((number.parse().ok()?, created))
    })();
    read.ok_or(Fault::ContentId)
}

/// Checks the one language that may be asked for.
pub fn check_language(header: Option<&str>) -> Result<(), Fault> {
    let Some(text) = header.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(()) };
    if text.contains(',') {
        return Err(Fault::Languages);
    }
    let is_part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    if text.split('-').all(is_part) { Ok(()) } else { Err(Fault::Language) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::content_item::{content_id, written};

    fn now() -> DateTime<Utc> {
        "2026-05-08T12:00:00Z".parse().unwrap()
    }

    fn range(query: &str) -> Result<(String, String), Fault> {
        let range = Parameters::of(Some(query)).range(now())?;
        Ok((written(range.start), written(range.end)))
    }

    #[test]
    fn times_are_read_in_every_form_that_clients_send() {
        let expected = "2026-05-08T09:30:00.000Z";
        for text in [
            "2026-05-08T09:30",
            "2026-05-08T09:30:00",
            "2026-05-08T09:30:00Z",
            "2026-05-08T09:30:00.000Z",
            "2026-05-08T09:30:00+00:00",
        ] {
            assert_eq!(written(time("startTime", text).unwrap()), expected, "{text}");
        }
        assert_eq!(written(time("startTime", "2026-05-08").unwrap()), "2026-05-08T00:00:00.000Z");
        for text in
            ["", "yesterday", "2026-13-01", "2026-05-08T09", "2026-05-08 09:30", "2026-05-08T09:30+02:00"]
        {
            assert!(time("startTime", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_is_a_day_of_the_last_week() {
        let day = ("2026-05-07T12:00:00.000Z".to_owned(), "2026-05-08T12:00:00.000Z".to_owned());
        let last = ("2026-05-07T12:00:00.001Z".to_owned(), "2026-05-08T12:00:00.001Z".to_owned());
        assert_eq!(range("").unwrap(), last);
        assert_eq!(range("startTime=2026-05-07T12:00&ENDTIME=2026-05-08T12%3A00%3A00Z").unwrap(), day);
        assert!(range("startTime=2026-05-01T12:00&endTime=2026-05-02T12:00").is_ok());
        for (query, fault) in [
            ("startTime=2026-05-07", Fault::TimeRange),
            ("endTime=2026-05-07", Fault::TimeRange),
            ("startTime=2026-05-07&endTime=2026-05-08T00:01", Fault::TimeRange),
            ("startTime=2026-05-01T11:54&endTime=2026-05-01T13:00", Fault::TimeRange),
            ("startTime=2026-05-07&endTime=2026-05-07", Fault::TimeOrder),
            ("startTime=2026-05-07T01:00&endTime=2026-05-07", Fault::TimeOrder),
            ("startTime=2026-05-07&endTime=soon", time("endTime", "soon").unwrap_err()),
        ] {
            assert_eq!(range(query), Err(fault), "{query}");
        }
    }

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let id = content_id(17, now());
        assert_eq!(id, "20260508120000000$17$audit_general");
        assert_eq!(read_content_id(&id), Ok((17, now())));
        for text in ["", "x", "20260508120000000$17", "20260508120000000$x$audit_general", &format!("{id}$")]
        {
            assert_eq!(read_content_id(text), Err(Fault::ContentId), "{text}");
        }
    }

    #[test]
    fn one_language_is_asked_for_or_none() {
        for good in [None, Some(""), Some("en-US"), Some("de")] {
            assert_eq!(check_language(good), Ok(()));
        }
        assert_eq!(check_language(Some("en-US, de")), Err(Fault::Languages));
        for bad in ["*", "en_US", "en-US;q=1", "-"] {
            assert_eq!(check_language(Some(bad)), Err(Fault::Language), "{bad}");
        }
    }
}
