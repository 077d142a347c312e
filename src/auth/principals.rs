//! The file that says which certificate is which principal, and what that one may do. It is read again when it
//! changes; whoever it says something else about is cut off at once.

use crate::domain::ids::{TenantId, check_text};
use crate::gate::caller::{Caller, Tenants};
use crate::gate::rights::Role;
use arc_swap::ArcSwap;
use serde::Deserialize;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use uuid::Uuid;

/// How often the file is looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The longest name of a principal or in a certificate.
const NAME_BYTES_MAX: usize = 256;

/// A name in a certificate, compared to the letter.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Name {
    /// A SPIFFE id: the one URI among the alternative names.
    Spiffe(String),
    /// The subject, as RFC 4514 writes it.
    Subject(String),
    /// A DNS name among the alternative names, in lower case.
    Dns(String),
}

/// One principal of the file.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entered {
    name: String,
    #[serde(default)]
    spiffe: Vec<String>,
    #[serde(default)]
    subject: Vec<String>,
    #[serde(default)]
    dns: Vec<String>,
    roles: Vec<String>,
    tenants: Vec<Uuid>,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Roll {
    #[serde(default)]
    principal: Vec<Entered>,
}

/// A principal and its standing: the caller of which all its callers are part, and with which they fall.
struct Principal {
    entered: Entered,
    standing: Caller,
}

/// What the file says now.
#[derive(Default)]
struct Known {
    principals: Vec<Arc<Principal>>,
    by_name: HashMap<Name, Arc<Principal>>,
}

/// The principals of a file.
pub struct Principals {
    path: PathBuf,
    known: ArcSwap<Known>,
    /// The file as it was last read, good or bad, or why it was not.
    seen: Mutex<Result<Vec<u8>, String>>,
}

/// Why the file does not hold.
#[derive(Debug, thiserror::Error)]
pub enum RollError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(std::io::Error),
    /// It is no TOML, or JSON, of the documented shape.
    #[error("{0}")]
    Malformed(String),
    /// It breaks a rule.
    #[error("principal {name:?}: {rule}")]
    Refused {
        /// Whose entry.
        name: String,
        /// Which rule.
        rule: String,
    },
}

/// The names in a certificate are of no principal, or of more than one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotOne {
    /// Of none.
    Nobody,
    /// Of several.
    Several,
}

impl Principals {
    /// Reads the file and keeps looking at it as long as the principals are in use. A file that no longer holds changes
    /// nothing, and the log says why.
    ///
    /// # Errors
    /// When the file does not hold now.
    pub fn open(path: &Path) -> Result<Arc<Self>, RollError> {
        let bytes = read(path).map_err(RollError::Unreadable)?;
        let known = Known::read(path, &bytes, &Known::default())?;
        let seen = Mutex::new(Ok(bytes));
        let principals = Arc::new(Self { path: path.to_owned(), known: ArcSwap::from_pointee(known), seen });
        tokio::spawn(look(Arc::downgrade(&principals)));
        Ok(principals)
    }

    /// Returns the standing of the one principal who has one of the names.
    ///
    /// # Errors
    /// When it is not one.
    pub fn of(&self, names: &[Name]) -> Result<Caller, NotOne> {
        let known = self.known.load();
        let mut found = names.iter().filter_map(|name| known.by_name.get(name));
        let first = found.next().ok_or(NotOne::Nobody)?;
        if found.any(|other| !Arc::ptr_eq(first, other)) {
            return Err(NotOne::Several);
        }
        Ok(first.standing.clone())
    }

    /// Reads the file again if it changed.
    pub fn look_again(&self) {
        let read = read(&self.path);
        let now = read.as_ref().map(Vec::clone).map_err(ToString::to_string);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        let replaced = read.map_err(RollError::Unreadable).and_then(|bytes| self.replace(&bytes));
        match replaced {
            Ok(()) => tracing::info!("read the principals again"),
            Err(cause) => tracing::error!(%cause, "the file of principals does not hold; the last one stays"),
        }
        *seen = now;
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), RollError> {
        let old = self.known.load_full();
        let new = Arc::new(Known::read(&self.path, bytes, &old)?);
        self.known.store(Arc::clone(&new));
        // After the new ones hold, so that nobody can come in as one of the old any more.
        for principal in &old.principals {
            if !new.principals.iter().any(|kept| Arc::ptr_eq(kept, principal)) {
                principal.standing.revoke();
            }
        }
        Ok(())
    }
}

async fn look(principals: Weak<Principals>) {
    let mut period = tokio::time::interval(LOOK_PERIOD);
    loop {
        period.tick().await;
        let Some(principals) = principals.upgrade() else { return };
        drop(tokio::task::spawn_blocking(move || principals.look_again()).await);
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other("the file is larger than 4 MiB"));
    }
    Ok(bytes)
}

impl Known {
    /// Reads a file. Whoever stands in it as before is kept.
    fn read(path: &Path, bytes: &[u8], before: &Self) -> Result<Self, RollError> {
        let roll = Roll::read(path, bytes)?;
        let mut known = Self::default();
        for entered in roll.principal {
            let refused = |rule: String| RollError::Refused { name: entered.name.clone(), rule };
            let of_that_name = |one: &&Arc<Principal>| one.entered.name == entered.name;
            if known.principals.iter().any(|other| of_that_name(&other)) {
                return Err(refused("stands there twice".to_owned()));
            }
            let kept = before.principals.iter().find(of_that_name).filter(|one| one.entered == entered);
            let principal = match kept {
                Some(kept) => Arc::clone(kept),
                None => Arc::new(Principal::enter(&entered).map_err(refused)?),
            };
            for name in entered.names() {
                match known.by_name.entry(name) {
                    Entry::Vacant(free) => drop(free.insert(Arc::clone(&principal))),
                    Entry::Occupied(_) => {
                        return Err(refused("has a certificate that another has".to_owned()));
                    }
                }
            }
            known.principals.push(principal);
        }
        Ok(known)
    }
}

impl Roll {
    fn read(path: &Path, bytes: &[u8]) -> Result<Self, RollError> {
        let text = std::str::from_utf8(bytes).map_err(|cause| RollError::Malformed(cause.to_string()))?;
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let read = if is_json {
            serde_json::from_str(text).map_err(|cause| cause.to_string())
        } else {
            toml::from_str(text).map_err(|cause| cause.to_string())
        };
        read.map_err(RollError::Malformed)
    }
}

impl Entered {
    fn names(&self) -> impl Iterator<Item = Name> {
        let spiffe = self.spiffe.iter().cloned().map(Name::Spiffe);
        let subject = self.subject.iter().cloned().map(Name::Subject);
        spiffe.chain(subject).chain(self.dns.iter().map(|name| Name::Dns(name.to_ascii_lowercase())))
    }

    fn check(&self) -> Result<(), String> {
        check_text(&self.name, NAME_BYTES_MAX).map_err(|rule| format!("name {rule}"))?;
        for name in self.spiffe.iter().chain(&self.subject).chain(&self.dns) {
            check_text(name, NAME_BYTES_MAX).map_err(|rule| format!("spiffe, subject or dns {rule}"))?;
        }
        if self.spiffe.iter().any(|id| !id.starts_with("spiffe://")) {
            return Err("spiffe must begin with spiffe://".to_owned());
        }
        if self.names().next().is_none() {
            return Err("must have a spiffe, subject or dns".to_owned());
        }
        if self.tenants.is_empty() || self.tenants.iter().any(Uuid::is_nil) {
            return Err("tenants must be one tenant's UUID or more".to_owned());
        }
        Ok(())
    }
}

impl Principal {
    #[expect(clippy::disallowed_methods, reason = "this is authentication")]
    fn enter(entered: &Entered) -> Result<Self, String> {
        entered.check()?;
        let role = |name: &String| Role::named(name).ok_or_else(|| format!("{name:?} is no role"));
        let roles = entered.roles.iter().map(role).collect::<Result<_, _>>()?;
        let tenants = Tenants::These(entered.tenants.iter().copied().map(TenantId::new).collect());
        // The prefix keeps certificates from passing for tokens of the same name.
        let standing = Caller::authenticated(format!("mtls:{}", entered.name), roles, tenants, None);
        Ok(Self { entered: entered.clone(), standing })
    }
}
