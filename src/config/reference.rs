//! What is to be known of a key, how numbers are held to it, and how the document says it.

use crate::config::keys::KEYS;
use crate::config::{Config, ConfigError};
use serde_json::Value;
use std::fmt::Write;

/// A key of the configuration. Its default is that of [`Config::default`].
#[derive(Debug)]
pub struct Key {
    /// Its dotted name.
    pub name: &'static str,
    /// The flag of `serve` that sets it.
    pub flag: &'static str,
    /// What it may be.
    pub bounds: Bounds,
    /// Why it is there and has that default, in Markdown.
    pub why: &'static str,
    /// Its value is shown to nobody: it holds a password.
    pub is_secret: bool,
}

/// What a value may be.
#[derive(Debug)]
pub enum Bounds {
    /// In Markdown. Whoever reads the value checks it.
    Words(&'static str),
    /// A whole number, up to and including the second one.
    Number(Least, u64),
}

/// The least that a number may be.
#[derive(Debug)]
pub enum Least {
    /// This number.
    Of(u64),
    /// 0, which stands for no limit.
    NoLimit,
    /// The value of another key.
    Key(&'static str),
}

pub(super) const fn key(name: &'static str, flag: &'static str, bounds: Bounds, why: &'static str) -> Key {
    Key { name, flag, bounds, why, is_secret: false }
}

pub(super) const fn secret(name: &'static str, flag: &'static str, bounds: Bounds, why: &'static str) -> Key {
    Key { name, flag, bounds, why, is_secret: true }
}

impl Key {
    /// Returns its value in settings that were made JSON.
    #[must_use]
    pub fn value_in<'v>(&self, settings: &'v Value) -> &'v Value {
        value(settings, self.name)
    }

    fn holds(&self, settings: &Value) -> bool {
        let Bounds::Number(least, most) = &self.bounds else { return true };
        let least = match least {
            Least::Of(least) => Some(*least),
            Least::NoLimit => Some(0),
            Least::Key(other) => value(settings, other).as_u64(),
        };
        let number = self.value_in(settings).as_u64();
        number.zip(least).is_some_and(|(number, least)| (least..=*most).contains(&number))
    }

    /// Returns what a number must be, as an error says it.
    fn demand(&self) -> String {
        match &self.bounds {
            Bounds::Words(words) => format!("must be {words}"),
            Bounds::Number(Least::Of(least), most) => format!("must be {least} to {most}"),
            Bounds::Number(Least::NoLimit, most) => format!("must be 0 to {most}"),
            Bounds::Number(Least::Key(least), most) => format!("must be {least} to {most}"),
        }
    }

    /// Returns its row of the table.
    fn row(&self, defaults: &Value) -> String {
        let default = self.value_in(defaults).to_string();
        let bounds = match &self.bounds {
            Bounds::Words(words) => (*words).to_owned(),
            Bounds::Number(Least::Of(least), most) => format!("{} to {}", grouped(*least), grouped(*most)),
            Bounds::Number(Least::NoLimit, most) => format!("0, which is no limit, to {}", grouped(*most)),
            Bounds::Number(Least::Key(least), most) => format!("`{least}` to {}", grouped(*most)),
        };
        let (name, flag, why) = (self.name, self.flag, self.why);
        format!("| `{name}` | `{}` | `{flag}` | {bounds} | {why} |\n", default.trim_matches('"'))
    }
}

fn value<'v>(settings: &'v Value, key: &str) -> &'v Value {
    key.split('.').fold(settings, |value, name| &value[name])
}

/// Returns a number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |index: usize| index > 0 && (digits.len() - index).is_multiple_of(3);
    let with_comma = |(index, digit)| if comma(index) { format!(",{digit}") } else { format!("{digit}") };
    digits.char_indices().map(with_comma).collect()
}

/// Checks every number by its bounds.
pub(super) fn check_numbers(config: &Config) -> Result<(), ConfigError> {
    let settings = serde_json::to_value(config).unwrap_or_default();
    match KEYS.iter().find(|key| !key.holds(&settings)) {
        Some(key) => Err(ConfigError::OutOfBounds { key: key.name, bound: key.demand() }),
        None => Ok(()),
    }
}

/// Returns every key with its default, its bounds and its reason, in Markdown, and a file that says what holds without
/// it.
#[must_use]
pub fn reference() -> String {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let rows: String = KEYS.iter().map(|key| key.row(&defaults)).collect();
    let file = file(&defaults);
    format!(
        "| Key | Default | Flag | Bounds | Why |\n|---|---|---|---|---|\n{rows}\n\
         The same as a file:\n\n```toml\n{file}```\n"
    )
}

/// Returns settings as TOML, section by section.
fn file(settings: &Value) -> String {
    let mut sections: Vec<(&str, String)> = vec![("", String::new())];
    for key in &KEYS {
        let (section, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        let index = sections.iter().position(|(other, _)| *other == section).unwrap_or_else(|| {
            sections.push((section, format!("\n[{section}]\n")));
            sections.len() - 1
        });
        let line = writeln!(sections[index].1, "{name} = {}", key.value_in(settings));
        line.expect("a text can always grow");
    }
    sections.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, keys};
    use std::collections::BTreeSet;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    const BEGIN: &str =
        "<!-- From here on written by `RISKSHARE_TEST_BLESS=1 cargo test --lib config::reference`. -->\n";
    const END: &str = "<!-- To here. -->\n";

    #[test]
    fn every_key_is_explained_once() {
        let explained: BTreeSet<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        assert_eq!((explained, KEYS.len()), (keys(), keys().len()));
    }

    /// Changed the table? Set RISKSHARE_TEST_BLESS, and this test writes the document.
    #[test]
    fn the_document_says_what_the_code_says() {
        let document = std::fs::read_to_string(DOCUMENT).unwrap();
        let (before, rest) = document.split_once(BEGIN).expect("the document has a place for it");
        let (_, after) = rest.split_once(END).expect("the place ends");
        let blessed = format!("{before}{BEGIN}\n{}\n{END}{after}", reference());
        if std::env::var_os("RISKSHARE_TEST_BLESS").is_some() {
            std::fs::write(DOCUMENT, &blessed).unwrap();
        }
        assert!(
            std::fs::read_to_string(DOCUMENT).unwrap() == blessed,
            "docs/configuration.md is not what src/config/keys.rs says: write it with RISKSHARE_TEST_BLESS=1"
        );
    }

    #[test]
    fn the_file_of_the_reference_says_what_holds_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("riskshare.toml");
        std::fs::write(&path, file(&serde_json::to_value(Config::default()).unwrap())).unwrap();
        let loaded = Sources { file: Some(path), ..Sources::default() }.load_with_origins().unwrap();
        assert_eq!(loaded.config, Config::default());
        for key in &KEYS {
            assert_ne!(loaded.origin(key.name), &crate::config::Origin::Default, "{} is left out", key.name);
        }
    }

    #[test]
    fn numbers_are_read_by_people() {
        let texts = [0, 999, 1_000, 65_536, 1_099_511_627_776].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "65,536", "1,099,511,627,776"]);
    }
}
