//! A place in a record: what stands there, and its path for a refusal.
//!
//! Keys are found in any ASCII case, for some shippers lower-case them (`domain.md` section 4). A key that stands
//! twice in one object is refused where it is read: two readers of the record would see different things.

use crate::intake::error::FieldError;
use crate::intake::instant;
use crate::intake::json::Json;
use chrono::{DateTime, Utc};
use std::borrow::Cow;
use std::fmt::Write;

/// The deepest path of any format is `PolicyDetails[0].Rules[0].Severity`, or as long.
const STEPS_MAX: usize = 6;

#[derive(Clone, Copy)]
enum Step {
    Key(&'static str),
    At(usize),
}

#[derive(Clone, Copy)]
enum Content<'j> {
    Absent,
    Value(&'j Json<'j>),
    /// The key stands twice.
    Twice,
    /// What should hold it is no object.
    Nowhere,
}

/// A place in a record. Null is as good as absent.
#[derive(Clone, Copy)]
pub(super) struct Field<'j> {
    content: Content<'j>,
    path: [Option<Step>; STEPS_MAX],
}

impl<'j> Field<'j> {
    /// Returns the whole record.
    pub(super) fn root(json: &'j Json<'j>) -> Self {
        Self { content: Content::Value(json), path: [None; STEPS_MAX] }
    }

    /// Returns what stands in a text of this place, which is JSON too.
    pub(super) fn with_root(self, json: &'j Json<'j>) -> Self {
        Self { content: Content::Value(json), ..self }
    }

    /// Returns the member of that key.
    pub(super) fn get(self, key: &'static str) -> Self {
        let content = match self.content {
            Content::Value(Json::Object(members)) => member(members, key),
            Content::Value(Json::Null) | Content::Absent => Content::Absent,
            Content::Value(_) | Content::Twice | Content::Nowhere => Content::Nowhere,
        };
        Self { content, path: self.step(Step::Key(key)) }
    }

    /// Returns the first of these members that is there, or else the first.
    pub(super) fn get_any(self, keys: &[&'static str]) -> Self {
        let mut found = keys.iter().map(|key| self.get(key));
        let first = found.next().unwrap_or(self);
        if first.is_absent() { found.find(|field| !field.is_absent()).unwrap_or(first) } else { first }
    }

    /// Says whether there is nothing.
    pub(super) fn is_absent(self) -> bool {
        match self.content {
            Content::Absent | Content::Value(Json::Null) => true,
            Content::Value(Json::Text(text)) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// Says whether it is an object.
    pub(super) fn is_object(self) -> bool {
        matches!(self.content, Content::Value(Json::Object(_)))
    }

    /// Returns a fault of this place.
    pub(super) fn fault(self, reason: impl Into<Cow<'static, str>>) -> FieldError {
        FieldError { field: self.path(), reason: reason.into() }
    }

    /// Returns the fault of a place where something must stand.
    pub(super) fn missing(self) -> FieldError {
        self.fault("is missing")
    }

    /// Returns the trimmed text, if there is any that is not blank.
    pub(super) fn text(self) -> Result<Option<&'j str>, FieldError> {
        match self.present()? {
            Some(Json::Text(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.fault("must be a string")),
            None => Ok(None),
        }
    }

    /// Returns the text, which must be there.
    pub(super) fn required_text(self) -> Result<&'j str, FieldError> {
        self.text()?.ok_or_else(|| self.missing())
    }

    /// Returns the whole number, which may be written as a string (`domain.md` section 4, traps).
    pub(super) fn integer(self) -> Result<Option<i64>, FieldError> {
        const REASON: &str = "must be a whole number";
        match self.present()? {
            Some(Json::Int(number)) => Ok(Some(*number)),
            Some(Json::Text(text)) if text.trim().is_empty() => Ok(None),
            Some(Json::Text(text)) => text.trim().parse().map(Some).map_err(|_| self.fault(REASON)),
            Some(_) => Err(self.fault(REASON)),
            None => Ok(None),
        }
    }

    /// Returns the truth value, which may be written as a string.
    pub(super) fn flag(self) -> Result<Option<bool>, FieldError> {
        match self.present()? {
            Some(Json::Bool(flag)) => Ok(Some(*flag)),
            Some(Json::Text(text)) if text.trim().eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Json::Text(text)) if text.trim().eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(Json::Text(text)) if text.trim().is_empty() => Ok(None),
            Some(_) => Err(self.fault("must be true or false")),
            None => Ok(None),
        }
    }

    /// Returns the UTC time.
    pub(super) fn time(self) -> Result<Option<DateTime<Utc>>, FieldError> {
        match self.text()? {
            Some(text) => instant::parse(text).map(Some).ok_or_else(|| self.fault(instant::REASON)),
            None => Ok(None),
        }
    }

    /// Returns the UTC time, which must be there.
    pub(super) fn required_time(self) -> Result<DateTime<Utc>, FieldError> {
        self.time()?.ok_or_else(|| self.missing())
    }

    /// Returns the items of a list; none if there is no list.
    pub(super) fn items(self) -> Result<impl Iterator<Item = Field<'j>> + Clone, FieldError> {
        let items: &'j [Json<'j>] = match self.present()? {
            Some(Json::List(items)) => items,
            Some(_) => return Err(self.fault("must be a list")),
            None => &[],
        };
        Ok(items.iter().enumerate().map(move |(index, item)| Self {
            content: Content::Value(item),
            path: self.step(Step::At(index)),
        }))
    }

    fn present(self) -> Result<Option<&'j Json<'j>>, FieldError> {
        match self.content {
            Content::Value(Json::Null) | Content::Absent => Ok(None),
            Content::Value(value) => Ok(Some(value)),
            Content::Twice => Err(self.fault("stands twice")),
            Content::Nowhere => Err(self.fault("must stand in an object")),
        }
    }

    fn step(self, step: Step) -> [Option<Step>; STEPS_MAX] {
        let mut path = self.path;
        if let Some(free) = path.iter_mut().find(|step| step.is_none()) {
            *free = Some(step);
        }
        path
    }

    fn path(self) -> String {
        let mut path = String::new();
        for step in self.path.into_iter().flatten() {
            match step {
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => path.extend([".", key]),
                Step::At(index) => write!(path, "[{index}]").unwrap_or_default(),
            }
        }
        path
    }
}

fn member<'j>(members: &'j [(Cow<'j, str>, Json<'j>)], key: &str) -> Content<'j> {
    let mut found = members.iter().filter(|(other, _)| other.eq_ignore_ascii_case(key));
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Content::Value(value),
        (None, _) => Content::Absent,
        (Some(_), Some(_)) => Content::Twice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T>(text: &str, read: impl Fn(Field<'_>) -> Result<T, FieldError>) -> Result<T, String> {
        let json = Json::parse(text).unwrap();
        read(Field::root(&json)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_says_where_and_in_the_formats_own_spelling() {
        let severity = |record: Field<'_>| {
            let policy = record.get("PolicyDetails").items()?.next().unwrap();
            let rule = policy.get("Rules").items()?.nth(1).unwrap();
            rule.get("Severity").required_text().map(str::to_owned)
        };
        let text = r#"{"policydetails":[{"RULES":[{},{"severity":7}]}]}"#;
        assert_eq!(check(text, severity).unwrap_err(), "PolicyDetails[0].Rules[1].Severity must be a string");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_where_it_is_read_and_only_there() {
        let text = r#"{"Id":"a","id":"b","x":1,"x":2,"Name":"n"}"#;
        assert_eq!(check(text, |r| r.get("Id").required_text().map(drop)).unwrap_err(), "Id stands twice");
        assert!(check(text, |r| r.get("Name").required_text().map(drop)).is_ok());
    }

    #[test]
    fn null_and_blank_are_absent_but_a_wrong_kind_is_a_fault() {
        let text = r#"{"a":null,"b":"  ","c":[],"d":"s"}"#;
        assert_eq!(check(text, |r| r.get("a").required_text().map(drop)).unwrap_err(), "a is missing");
        assert_eq!(check(text, |r| r.get("b").required_text().map(drop)).unwrap_err(), "b is missing");
        assert_eq!(check(text, |r| r.get("c").text().map(drop)).unwrap_err(), "c must be a string");
        assert_eq!(check(text, |r| r.get("d").items().map(drop)).unwrap_err(), "d must be a list");
        let inside = check(text, |r| r.get("d").get("e").text().map(drop));
        assert_eq!(inside.unwrap_err(), "d.e must stand in an object");
    }

    #[test]
    fn numbers_and_truth_may_be_strings() {
        let text = r#"{"a":"14","b":14,"c":1.5,"d":"True","e":"yes"}"#;
        assert_eq!(check(text, |r| r.get("a").integer()), Ok(Some(14)));
        assert_eq!(check(text, |r| r.get("b").integer()), Ok(Some(14)));
        assert_eq!(check(text, |r| r.get("c").integer()).unwrap_err(), "c must be a whole number");
        assert_eq!(check(text, |r| r.get("d").flag()), Ok(Some(true)));
        assert_eq!(check(text, |r| r.get("e").flag()).unwrap_err(), "e must be true or false");
    }
}
