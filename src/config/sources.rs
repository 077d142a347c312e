//! Where settings come from: flags > `RISKSHARE_*` > file > defaults.

use crate::config::{Config, ConfigError, flatten, keys};
use ::config::{Environment, File, FileFormat};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
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

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// The file.
    File(PathBuf),
    /// The variable of that name.
    Variable(String),
    /// A flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Every setting, and where each comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// By key, where its value comes from. What is not there has its default.
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Returns where a key's value comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
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
    pub fn load(self) -> Result<Config, ConfigError> {
        Ok(self.load_with_origins()?.config)
    }

    /// Reads them, and notes where each value comes from.
    ///
    /// # Errors
    /// Those of [`Sources::load`].
    pub fn load_with_origins(mut self) -> Result<Loaded, ConfigError> {
        let named = self.env.remove(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.env.remove(TOKEN_VARIABLE);
        let mut builder = ::config::Config::builder();
        let mut origins = BTreeMap::new();
        if let Some(path) = self.file.or(named) {
            let text = read(&path)?;
            let keys = known_keys(&path, &text)?;
            origins.extend(keys.into_iter().map(|key| (key, Origin::File(path.clone()))));
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        refuse_unknown_variables(&self.env)?;
        origins.extend(self.env.keys().map(|name| (key_of(name), Origin::Variable(name.clone()))));
        let env = Environment::with_prefix("RISKSHARE").prefix_separator("_").separator("__");
        builder = builder.add_source(env.source(Some(self.env)));
        for (key, value) in self.flags {
            builder = builder.set_override(key, value)?;
            origins.insert(key.to_owned(), Origin::Flag);
        }
        let config: Config = builder.build()?.try_deserialize()?;
        config.check()?;
        Ok(Loaded { config, origins })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })
}

/// Returns the keys of a file.
fn known_keys(path: &Path, text: &str) -> Result<BTreeSet<String>, ConfigError> {
    let file = ::config::Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build()?;
    let mut found = BTreeSet::new();
    flatten("", &file.try_deserialize()?, &mut found);
    match found.difference(&keys()).next() {
        Some(key) => Err(ConfigError::UnknownKey { place: path.display().to_string(), key: key.clone() }),
        None => Ok(found),
    }
}

/// Returns the key of a variable, which may not exist.
fn key_of(variable: &str) -> String {
    variable[PREFIX.len()..].replace("__", ".").to_lowercase()
}

fn refuse_unknown_variables(env: &HashMap<String, String>) -> Result<(), ConfigError> {
    let keys = keys();
    let mut unknown: Vec<_> = env.keys().filter(|name| !keys.contains(&key_of(name))).collect();
    unknown.sort();
    match unknown.first() {
        Some(name) => Err(ConfigError::UnknownKey { place: (*name).clone(), key: key_of(name) }),
        None => Ok(()),
    }
}
