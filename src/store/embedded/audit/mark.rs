//! Heads that are kept beside the files: `heads.json` says how far the log reached at least, `anchors.json` what the
//! removed days ended with.

use crate::domain::audit::ChainHead;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcDay;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// How far the log reached at least.
pub const HEADS: &str = "heads.json";
/// What the removed days ended with.
pub const ANCHORS: &str = "anchors.json";

/// A place in the log, and the last line of each tenant before it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Mark {
    /// The day of the file; none when there never was one.
    #[serde(with = "as_text")]
    pub day: Option<UtcDay>,
    /// How many bytes of it are before the place.
    pub bytes: u64,
    /// The last lines.
    pub heads: HashMap<TenantId, ChainHead>,
}

impl Mark {
    /// Reads one. A file that is not there or cannot be understood is no mark.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it in the place of the one before: whole or not at all, and durably.
    pub fn write(&self, folder: &Path, name: &str) -> io::Result<()> {
        let new = folder.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&new, folder.join(name))?;
        sync_folder(folder)
    }

    /// Takes heads over that are further on.
    pub fn raise(&mut self, tenant: TenantId, head: ChainHead) {
        let own = self.heads.entry(tenant).or_default();
        if own.sequence < head.sequence {
            *own = head;
        }
    }

    /// Returns the place alone.
    pub fn place(&self) -> Self {
        Self { day: self.day, bytes: self.bytes, heads: HashMap::new() }
    }

    /// Returns the last line of a tenant.
    pub fn head(&self, tenant: TenantId) -> ChainHead {
        self.heads.get(&tenant).copied().unwrap_or_default()
    }
}

/// Makes a folder's entries durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows has no such call, and keeps its entries without it.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// A day as `YYYY-MM-DD`.
mod as_text {
    use super::UtcDay;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub fn serialize<S: Serializer>(day: &Option<UtcDay>, to: S) -> Result<S::Ok, S::Error> {
        match day {
            Some(day) => to.collect_str(day),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UtcDay>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| UtcDay::parse(&text).ok_or_else(|| D::Error::custom("must be a day"))).transpose()
    }
}
