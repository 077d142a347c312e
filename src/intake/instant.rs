//! Times as the formats write them. All are UTC, whether they say so or not.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// What a text must be to be read as a time.
pub(super) const REASON: &str =
    "must be a UTC time such as 2026-05-04T12:30:00Z, of the years 1970 to 2261, with no other offset";

/// Reads `YYYY-MM-DDThh:mm:ss`, where a space may stand for `T`, up to nine digits of a fraction may follow, and
/// then `Z`, `+00:00` or nothing (`domain.md` section 4, traps). A leap second and `24:00` are no times.
pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let clock = rest.strip_prefix(['T', ' '])?;
    let clock = clock.strip_suffix('Z').or(clock.strip_suffix("+00:00")).unwrap_or(clock);
    in_range(NaiveDateTime::new(parse_date(date)?, parse_clock(clock)?).and_utc())
}

/// Reads milliseconds since 1970-01-01, as OCSF writes them.
pub(super) fn from_millis(millis: i64) -> Option<DateTime<Utc>> {
    in_range(DateTime::from_timestamp_millis(millis)?)
}

/// Zero is an unset field, and 2262 is beyond what 64 bits of nanoseconds hold.
fn in_range(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (at > DateTime::UNIX_EPOCH && at.year() < 2262).then_some(at)
}

fn parse_date(text: &str) -> Option<NaiveDate> {
    let [year, month, day] = numbers(text, '-', [4, 2, 2])?;
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

fn parse_clock(text: &str) -> Option<NaiveTime> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanos = digits(&format!("{fraction:0<9}"))?;
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u32; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, width) in numbers.iter_mut().zip(widths) {
        *number = digits(parts.next().filter(|part| part.len() == width)?)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_in_which_the_formats_write_utc_is_read() {
        for (text, nanos) in [
            ("2015-06-29T20:03:19", 0),
            ("2015-06-29 20:03:19", 0),
            ("2015-06-29T20:03:19Z", 0),
            ("2015-06-29T20:03:19+00:00", 0),
            ("2015-06-29T20:03:19.0433333Z", 43_333_300),
            ("2015-06-29 20:03:19.500000000", 500_000_000),
        ] {
            assert_eq!(parse(text), DateTime::from_timestamp(1_435_608_199, nanos), "{text}");
        }
        assert_eq!(from_millis(1_435_608_199_500), DateTime::from_timestamp(1_435_608_199, 500_000_000));
    }

    #[test]
    fn what_is_no_utc_time_is_refused() {
        for text in [
            "",
            "2015-06-29",
            "2015-06-29T20:03",
            "2015-06-29T24:00:00Z",
            "2015-06-29T20:03:60Z",
            "2015-02-30T20:03:19Z",
            "2015-06-29T20:03:19+02:00",
            "2015-06-29T20:03:19.1234567890Z",
            "2015-06-29T20:03:19.Z",
            "29/06/2015 20:03:19",
            "1970-01-01T00:00:00Z",
            "2262-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "2015-06-29T+1:03:19Z",
            "２015-06-29T20:03:19Z",
            "2015-06-29T20:03:19ZZ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(from_millis(0), None);
        assert_eq!(from_millis(i64::MAX), None);
    }
}
