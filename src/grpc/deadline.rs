//! How long a call has: what the caller says in `grpc-timeout`, but never longer than the server's own limit.

use http::HeaderMap;
use std::time::Duration;

const HEADER: &str = "grpc-timeout";
/// The most digits of the header.
const DIGITS_MAX: usize = 8;
/// With less than this left no work is begun: the caller would be gone before the answer.
const WORTH_BEGINNING: Duration = Duration::from_millis(20);

/// Returns how long the caller waits. A header that cannot be read counts as none, as other servers have it.
#[must_use]
pub fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Says whether so much time is too little to begin.
#[must_use]
pub fn is_too_short(time: Duration) -> bool {
    time < WORTH_BEGINNING
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &[u8]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, http::HeaderValue::from_bytes(value).unwrap());
        asked(&headers)
    }

    #[test]
    fn each_unit_is_read() {
        let cases = [
            ("2H", Duration::from_hours(2)),
            ("3M", Duration::from_mins(3)),
            ("4S", Duration::from_secs(4)),
            ("5m", Duration::from_millis(5)),
            ("6u", Duration::from_micros(6)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("99999999H", Duration::from_hours(99_999_999)),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_counts_as_none() {
        for text in ["", "S", "1", "-1S", "+1S", "1 S", "1.5S", "123456789S", "1s"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(b"1\xff"), None);
        assert_eq!(asked(&HeaderMap::new()), None);
    }

    #[test]
    fn the_last_twenty_milliseconds_are_not_begun() {
        assert!(is_too_short(Duration::from_millis(19)) && !is_too_short(Duration::from_millis(20)));
    }
}
