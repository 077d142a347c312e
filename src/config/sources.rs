//! Where settings come from: flags > `RISKSHARE_*` > file > defaults.

use crate::config::{Config, ConfigError, flatten, keys};
use ::config::{Environment, File, FileFormat};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Where settings come from, the strongest first. [`Sources::of_process`] reads the real environment.
#[derive(Clone, Default, Debug)]
pub struct Sources {
    /// Keys and values of flags.
    pub flags: Vec<(&'static str, String)>,
    /// The variables whose names begin with `RISKSHARE_`.
    pub env: HashMap<String, String>,
    /// The file that a flag names; `RISKSHARE_CONFIG` is read without it.
    pub file: Option<PathBuf>,
}

pub(super) const PREFIX: &str = "RISKSHARE_";
const FILE_VARIABLE: &str = "RISKSHARE_CONFIG";
/// Is for the commands that call a server, and means nothing to the server.
const TOKEN_VARIABLE: &str = "RISKSHARE_TOKEN_FILE";

impl Sources {
    /// Returns the sources of this process.
    #[must_use]
    pub fn of_process(flags: Vec<(&'static str, String)>, file: Option<PathBuf>) -> Self {
        let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
        let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Self { flags, env: all.filter(|(name, _)| name.starts_with(PREFIX)).collect(), file }
    }

    /// Reads them.
    ///
    /// # Errors
    /// Names the file, the key and the bound at fault.
    pub fn load(mut self) -> Result<Config, ConfigError> {
        let named = self.env.remove(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.env.remove(TOKEN_VARIABLE);
        let mut builder = ::config::Config::builder();
        if let Some(path) = self.file.or(named) {
            let text = read(&path)?;
            refuse_unknown_keys(&path, &text)?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        refuse_unknown_variables(&self.env)?;
        let env = Environment::with_prefix("RISKSHARE").prefix_separator("_").separator("__");
        builder = builder.add_source(env.source(Some(self.env)));
        for (key, value) in self.flags {
            builder = builder.set_override(key, value)?;
        }
        let config: Config = builder.build()?.try_deserialize()?;
        config.check()?;
        Ok(config)
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })
}

fn refuse_unknown_keys(path: &Path, text: &str) -> Result<(), ConfigError> {
    let file = ::config::Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build()?;
    let mut found = BTreeSet::new();
    flatten("", &file.try_deserialize()?, &mut found);
    match found.difference(&keys()).next() {
        Some(key) => Err(ConfigError::UnknownKey { place: path.display().to_string(), key: key.clone() }),
        None => Ok(()),
    }
}

fn refuse_unknown_variables(env: &HashMap<String, String>) -> Result<(), ConfigError> {
    let keys = keys();
    let key_of = |name: &str| name[PREFIX.len()..].replace("__", ".").to_lowercase();
    let mut unknown: Vec<_> = env.keys().filter(|name| !keys.contains(&key_of(name))).collect();
    unknown.sort();
    match unknown.first() {
        Some(name) => Err(ConfigError::UnknownKey { place: (*name).clone(), key: key_of(name) }),
        None => Ok(()),
    }
}
