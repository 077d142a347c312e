//! A file of records, split: a JSON array, an object that holds one in `value` or `Records`, a single object, or
//! JSON Lines. Only the seams are looked at; what is between them is judged by whoever reads the record.

use crate::intake::error::{FieldError, IntakeError};
use crate::intake::json::RECORD_BYTES_MAX;

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The most records of one file.
pub const RECORDS_MAX: usize = 1_000_000;

type Records<'f> = Vec<Result<&'f str, IntakeError>>;

/// Splits a file. Each record is borrowed from it or refused by itself, in the order of the file; a record that is
/// split off may still turn out not to be JSON when it is read. Needs at most 64 bytes a record
/// beside the file.
///
/// # Errors
/// When the file is too large or holds too many records, or is of none of the shapes.
pub fn records(file: &[u8]) -> Result<Records<'_>, IntakeError> {
    let file = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
    if file.len() > FILE_BYTES_MAX {
        return Err(too_large("must be at most 256 MiB"));
    }
    let text = file.trim_ascii();
    match text.first() {
        None => Ok(Vec::new()),
        Some(b'[') => {
            let mut records = Vec::new();
            arrays(text, &mut records)?;
            Ok(records)
        }
        Some(_) => match value_end(text) {
            Some(end) if end == text.len() && text[0] == b'{' => object(text),
            _ => lines(text),
        },
    }
}

fn too_large(reason: &'static str) -> IntakeError {
    FieldError { field: String::new(), reason: reason.into() }.into()
}

/// Several blobs that were put one behind the other are fine. What is behind a broken one is one refused record.
fn arrays<'f>(mut text: &'f [u8], records: &mut Records<'f>) -> Result<(), IntakeError> {
    while let Some(rest) = text.strip_prefix(b"[") {
        text = elements(rest, records)?.trim_ascii_start();
    }
    if !text.is_empty() {
        push(records, text)?;
    }
    Ok(())
}

/// Takes the elements of an array whose bracket is open, and returns what is behind its end.
fn elements<'f>(mut text: &'f [u8], records: &mut Records<'f>) -> Result<&'f [u8], IntakeError> {
    loop {
        text = text.trim_ascii_start();
        if let Some(behind) = text.strip_prefix(b"]") {
            return Ok(behind);
        }
        let end = element_end(text);
        let (element, behind) = text.split_at(end);
        match behind.first() {
            Some(b',') => push(records, element)?,
            Some(b']') => {
                push(records, element)?;
                return Ok(&behind[1..]);
            }
            _ => return cut(records, element),
        }
        text = &behind[1..];
    }
}

/// Takes the last element of an array that was cut: it may be whole, but something is missing behind it.
fn cut<'f>(records: &mut Records<'f>, element: &'f [u8]) -> Result<&'f [u8], IntakeError> {
    if value_end(element).is_some() {
        push(records, element)?;
    }
    records.push(Err(IntakeError::NotJson));
    Ok(&[])
}

fn push<'f>(records: &mut Records<'f>, record: &'f [u8]) -> Result<(), IntakeError> {
    if records.len() >= RECORDS_MAX {
        return Err(too_large("must hold at most 1000000 records"));
    }
    let record = record.trim_ascii();
    records.push(if record.len() > RECORD_BYTES_MAX {
        Err(too_large("must be at most 1 MiB"))
    } else {
        std::str::from_utf8(record).map_err(|_| IntakeError::NotJson)
    });
    Ok(())
}

/// A single record, or the page of a list.
fn object(text: &[u8]) -> Result<Records<'_>, IntakeError> {
    let mut lists = Vec::new();
    for (key, value) in members(text) {
        match key.to_ascii_lowercase().as_slice() {
            b"\"value\"" | b"\"records\"" if value.starts_with(b"[") => lists.push(value),
            b"\"id\"" => return single(text), // A record of its own, whatever else it holds.
            _ => {}
        }
    }
    if lists.is_empty() {
        return single(text);
    }
    let mut records = Vec::new();
    for list in lists {
        arrays(list, &mut records)?;
    }
    Ok(records)
}

fn single(text: &[u8]) -> Result<Records<'_>, IntakeError> {
    let mut records = Vec::new();
    push(&mut records, text)?;
    Ok(records)
}

/// One record a line. A line that is broken is refused by itself. A file without any line that could be a record
/// is refused as a whole.
fn lines(text: &[u8]) -> Result<Records<'_>, IntakeError> {
    let lines = || text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    if !lines().any(|line| line.starts_with(b"{") && line.ends_with(b"}")) {
        return Err(IntakeError::NotJson);
    }
    let mut records = Vec::new();
    for line in lines() {
        push(&mut records, line)?;
    }
    Ok(records)
}

/// Returns the keys, in quotes, and values of an object, as far as it goes on well.
fn members(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = object.strip_prefix(b"{").unwrap_or(object);
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        let (key, behind) = rest.split_at_checked(string_end(rest)?)?;
        let value = behind.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let (value, behind) = value.split_at_checked(element_end(value))?;
        rest = behind.strip_prefix(b",").unwrap_or(&[]);
        Some((key, value))
    })
}

/// Returns where an element ends: at the comma or bracket behind it, or with the text.
fn element_end(text: &[u8]) -> usize {
    let mut at = 0;
    let mut depth = 0_usize;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                at += string_end(&text[at..]).unwrap_or(text.len());
                continue;
            }
            b'[' | b'{' => depth += 1,
            b',' | b']' | b'}' if depth == 0 => return at,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Returns where the array or object at the start ends, if it does.
fn value_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut depth = 0_usize;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                at += string_end(&text[at..])?;
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth <= 1 => return (depth == 1).then_some(at + 1),
            b']' | b'}' => depth -= 1,
            _ if depth == 0 && !byte.is_ascii_whitespace() => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Returns where the string at the start ends, if there is one and it does.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut bytes = text.strip_prefix(b"\"")?.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return Some(at + 2),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits, and shows each record as it is, or as `!` if it is refused.
    fn check(file: impl AsRef<[u8]>, expected: &[&str]) {
        let records = records(file.as_ref()).unwrap();
        let shown: Vec<_> = records.iter().map(|record| record.as_ref().map_or("!", |text| *text)).collect();
        assert_eq!(shown, expected, "{}", String::from_utf8_lossy(file.as_ref()));
    }

    #[test]
    fn every_shape_in_which_exports_come_is_split() {
        check("", &[]);
        check("[]", &[]);
        check(" [ {\"a\":[1,2]} , {\"b\":\"],}\\\"\"} ]\n", &["{\"a\":[1,2]}", "{\"b\":\"],}\\\"\"}"]);
        check("[{}]\n[{\"a\":1}]", &["{}", "{\"a\":1}"]);
        check("{\n \"a\": {\"b\": 1}\n}", &["{\n \"a\": {\"b\": 1}\n}"]);
        check("{\"@odata.context\":\"x,]\",\"value\":[{\"id\":1},{}]}", &["{\"id\":1}", "{}"]);
        check("{\"Records\":[{}]}", &["{}"]);
        check("{\"id\":\"a\",\"value\":[{}]}", &["{\"id\":\"a\",\"value\":[{}]}"]);
        check("{\"a\":1}\r\n\r\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]);
        check("\u{FEFF}[{}]", &["{}"]);
    }

    #[test]
    fn a_broken_record_does_not_take_the_others_along() {
        check("{\"a\":1}\n{\"b\":\n{\"c\":3}", &["{\"a\":1}", "{\"b\":", "{\"c\":3}"]);
        check("{\"b\":\"\n{\"c\":3}", &["{\"b\":\"", "{\"c\":3}"]);
        check(b"{\"a\":1}\n{\"b\":\"\xFF\"}\n{}", &["{\"a\":1}", "!", "{}"]);
        check("[{\"a\":1},{\"b\":", &["{\"a\":1}", "!"]);
        check("[{\"a\":1},{}", &["{\"a\":1}", "{}", "!"]);
        check("[{},}{},{}]", &["{}", "!"]);
        check("[{}] garbage", &["{}", "garbage"]);
        let large = format!("[{{}},\"{}\",{{}}]", "x".repeat(RECORD_BYTES_MAX));
        check(large, &["{}", "!", "{}"]);
    }

    #[test]
    fn what_is_no_file_of_records_is_refused_as_a_whole() {
        for file in ["hello", "{\"a\":", "{\"a\":1} x", "{\n\"a\": 1,\n", "\u{FEFF}x", "\"", "{", "}"] {
            assert_eq!(records(file.as_bytes()).unwrap_err(), IntakeError::NotJson, "{file}");
        }
        assert_eq!(records(b"\xFF\xFE{\0}\0").unwrap_err(), IntakeError::NotJson);
    }

    #[test]
    fn depth_costs_no_stack_and_the_number_of_records_is_bounded() {
        let deep = "[".repeat(4 * 1024 * 1024);
        assert_eq!(records(deep.as_bytes()).unwrap(), [Err(IntakeError::NotJson)]);
        let many = format!("[{}0]", "0,".repeat(RECORDS_MAX));
        assert!(matches!(records(many.as_bytes()), Err(IntakeError::Field(_))));
        assert!(size_of::<Result<&str, IntakeError>>() <= 32);
    }
}
