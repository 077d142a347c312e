//! The bytes of numbers and texts inside a record. Numbers are varints, little end first. A text that a record
//! has held before is written as its number in that record.

use crate::domain::user::Personal;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// The bytes cannot be what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// Writes.
#[derive(Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    texts: HashMap<Box<str>, u64>,
}

impl Encoder {
    /// Returns what was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns how many bytes were written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes a byte.
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Writes yes or no.
    pub fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }

    /// Writes a number; small ones are short.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }

    /// Writes a number that may be negative; those near 0 are short.
    pub fn signed(&mut self, number: i64) {
        self.number((number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
    }

    /// Writes some numbers that may be negative.
    pub fn all_signed(&mut self, numbers: impl IntoIterator<Item = i32>) {
        for number in numbers {
            self.signed(number.into());
        }
    }

    /// Writes how many of something follow.
    pub fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// Writes a UUID.
    pub fn uuid(&mut self, id: Uuid) {
        self.bytes.extend_from_slice(id.as_bytes());
    }

    /// Writes an instant.
    pub fn instant(&mut self, at: DateTime<Utc>) {
        self.signed(at.timestamp());
        self.number(at.timestamp_subsec_nanos().into());
    }

    /// Writes a text that no other is like.
    pub fn unique(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Writes bytes that were written by themselves.
    pub fn block(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes a text that may come again.
    pub fn text(&mut self, text: &str) {
        if let Some(&number) = self.texts.get(text) {
            self.number(number);
        } else {
            self.number(0);
            self.unique(text);
            self.texts.insert(text.into(), self.texts.len() as u64 + 1);
        }
    }

    /// Writes whether there is a value.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Reads what an [`Encoder`] wrote.
pub struct Decoder<'a> {
    bytes: &'a [u8],
    texts: Vec<Text>,
}

/// A text of the record, shared by all its uses. Which of the two forms is made depends on the first use.
#[derive(Default)]
struct Text {
    plain: Option<Arc<str>>,
    personal: Option<Personal>,
}

impl<'a> Decoder<'a> {
    /// Reads from the beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, texts: Vec::new() }
    }

    /// Says whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Reads a byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    /// Reads yes or no.
    pub fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// Reads a number.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    /// Reads a number that may be negative.
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Reads a number that fits the type wanted.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.number()?).map_err(|_| Malformed)
    }

    /// Reads a number that may be negative and fits an `i32`.
    pub fn small_signed(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.signed()?).map_err(|_| Malformed)
    }

    /// Reads a UUID.
    pub fn uuid(&mut self) -> Result<Uuid, Malformed> {
        Uuid::from_slice(self.take(16)?).map_err(|_| Malformed)
    }

    /// Reads an instant.
    pub fn instant(&mut self) -> Result<DateTime<Utc>, Malformed> {
        let (seconds, nanos) = (self.signed()?, self.small()?);
        DateTime::from_timestamp(seconds, nanos).ok_or(Malformed)
    }

    /// Reads a text that no other is like.
    pub fn unique(&mut self) -> Result<&'a str, Malformed> {
        let length = self.small()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }

    /// Reads bytes that were written by themselves.
    pub fn block(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.small()?;
        self.take(length)
    }

    /// Reads a text that may come again.
    pub fn text(&mut self) -> Result<Arc<str>, Malformed> {
        let (text, fresh) = self.repeated()?;
        let known = text.plain.clone().or_else(|| text.personal.as_ref().map(|p| spelled(p).into()));
        let plain = known.or_else(|| fresh.map(Arc::from)).ok_or(Malformed)?;
        Ok(Arc::clone(text.plain.insert(plain)))
    }

    /// Reads a personal text that may come again.
    pub fn personal(&mut self) -> Result<Personal, Malformed> {
        let (text, fresh) = self.repeated()?;
        let known = text.personal.clone().or_else(|| text.plain.as_deref().map(Personal::new));
        let personal = known.or_else(|| fresh.map(Personal::new)).ok_or(Malformed)?;
        Ok(text.personal.insert(personal).clone())
    }

    /// Reads a value if there is one.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Reads a count and so many values.
    pub fn several<T, C: FromIterator<T>>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<C, Malformed> {
        let count: usize = self.small()?;
        (0..count).map(|_| read(self)).collect()
    }

    fn repeated(&mut self) -> Result<(&mut Text, Option<&'a str>), Malformed> {
        let number: usize = self.small()?;
        let fresh = if number == 0 { Some(self.unique()?) } else { None };
        if fresh.is_some() {
            self.texts.push(Text::default());
        }
        let at = if number == 0 { self.texts.len() } else { number };
        Ok((self.texts.get_mut(at - 1).ok_or(Malformed)?, fresh))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }
}

#[expect(clippy::disallowed_methods, reason = "the record holds the text")]
fn spelled(text: &Personal) -> &str {
    text.spell()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            numbers: Vec<u64>, signed: Vec<i64>, texts: Vec<String>, seconds in -1_000_000_000_000_i64..1_000_000_000_000,
        ) {
            let at = DateTime::from_timestamp(seconds, 999_999_999).unwrap();
            let mut out = Encoder::default();
            for n in &numbers { out.number(*n); }
            for n in &signed { out.signed(*n); }
            for t in texts.iter().chain(&texts) { out.text(t); }
            out.instant(at);
            let bytes = out.finish();
            let mut read = Decoder::new(&bytes);
            for n in numbers { prop_assert_eq!(read.number(), Ok(n)); }
            for n in signed { prop_assert_eq!(read.signed(), Ok(n)); }
            for t in &texts { prop_assert_eq!(&*read.text().unwrap(), t.as_str()); }
            for t in &texts { prop_assert_eq!(read.personal().unwrap(), Personal::new(t)); }
            prop_assert_eq!(read.instant(), Ok(at));
            prop_assert!(read.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes: Vec<u8>) {
            let mut read = Decoder::new(&bytes);
            let mut left = bytes.len() + 1;
            while !read.is_empty() && left > 0 {
                left -= 1;
                let _ = (read.text(), read.instant(), read.personal(), read.uuid());
            }
        }
    }

    #[test]
    fn a_text_that_comes_again_costs_one_byte() {
        let mut out = Encoder::default();
        out.text("https://example.com/a/long/destination");
        let once = out.bytes.len();
        out.text("https://example.com/a/long/destination");
        assert_eq!(out.bytes.len(), once + 1);
    }
}
