//! The sharing gate: the doors on the way from stored user data to the wire.
//!
//! This file is a leaf: it has no child modules, so nothing else can see its private fields. The mint and the coin
//! live together.

use crate::clock::Clock;
use crate::domain::ids::TenantId;
use crate::domain::user::Personal;
use crate::gate::caller::{Access, Caller, Denied, Entry};
use crate::gate::rights::Right;
use crate::store;
use crate::store::{Hold, Store, StoreError};
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// Decides who may learn what, before anything is looked up.
#[derive(Clone)]
pub struct Gate {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// The tenant does not share its users' risk, or stopped while the answer was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("User data is not available")]
pub struct SharingOff(());

/// The store cannot answer now. Holds the cause, for the log alone.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the store is unavailable: {0}")]
pub struct Unavailable(pub String);

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => Self(cause),
            other @ StoreError::SettingsChanged => Self(other.to_string()),
        }
    }
}

/// Why a caller was not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The caller may not do that.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The tenant does not share.
    #[error(transparent)]
    SharingOff(#[from] SharingOff),
    /// The switch could not be read. In doubt, refuse.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The first door: proof that the tenant shared its data when the request was admitted. It is the tenant and the
/// instant of the answer, so that no reader can take them from elsewhere.
///
/// Nobody else can make one:
///
/// ```compile_fail,E0451
/// let forged: riskshare::gate::admission::SharingGrant =
///     riskshare::gate::admission::SharingGrant { ..todo!() };
/// ```
///
/// ```no_run
/// let forged: riskshare::gate::admission::SharingGrant =
///     todo!();
/// ```
#[must_use]
pub struct SharingGrant {
    access: Access,
    hold: Arc<Hold>,
    as_of: DateTime<Utc>,
}

/// The second door: a value that may leave as long as the switch has not moved.
///
/// ```compile_fail,E0451
/// let forged: riskshare::gate::admission::Disclosed<u8> =
///     riskshare::gate::admission::Disclosed { ..todo!() };
/// ```
///
/// ```no_run
/// let forged: riskshare::gate::admission::Disclosed<u8> =
///     todo!();
/// ```
#[must_use]
pub struct Disclosed<T> {
    value: T,
    seal: Seal,
}

/// The third door: what every piece of a disclosed value asks before the transport may have it.
#[derive(Clone)]
pub struct Seal(Arc<Hold>);

/// Leave to hand one piece to the transport, which drops it when it has taken the piece.
#[must_use]
pub struct Pass(#[expect(dead_code, reason = "kept for its drop")] store::Pass);

/// Leave to change a tenant's facts or settings. Tells nothing about anybody.
#[must_use]
#[derive(Clone, Debug)]
pub struct Permit {
    access: Access,
    at: DateTime<Utc>,
}

impl Gate {
    /// Returns the gate of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Looks at the caller's roles.
    ///
    /// # Errors
    /// When none has the right.
    #[expect(clippy::unused_async, reason = "refusals are to be written down")]
    pub async fn authorise(&self, caller: &Caller, right: Right) -> Result<Entry, Refusal> {
        Ok(caller.entry(right, self.clock.now())?)
    }

    /// Looks at the caller's tenants.
    ///
    /// # Errors
    /// When this is none of them, whether it exists or not.
    #[expect(clippy::unused_async, reason = "refusals are to be written down")]
    pub async fn enter(&self, entry: &Entry, tenant: TenantId) -> Result<Access, Refusal> {
        Ok(entry.access(tenant, self.clock.now())?)
    }

    /// Looks at the caller's credentials again, while a stream waits for its next message.
    ///
    /// # Errors
    /// When they have lapsed.
    pub fn still(&self, entry: &Entry) -> Result<(), Refusal> {
        Ok(entry.still(self.clock.now())?)
    }

    /// Decides, before anything about a user is looked up. An unknown tenant and one that never decided are refused
    /// like one that does not share.
    ///
    /// # Errors
    /// When the tenant does not share, or when that cannot be found out.
    pub async fn admit(&self, access: Access) -> Result<SharingGrant, Refusal> {
        let hold = self.store.hold(access.tenant()).await.map_err(Unavailable::from)?;
        if hold.is_sharing() {
            Ok(SharingGrant { access, hold: Arc::new(hold), as_of: self.clock.now() })
        } else {
            Err(SharingOff(()).into())
        }
    }

    /// Lets facts and settings of a tenant be changed, whether it shares or not.
    pub fn permit(&self, access: Access) -> Permit {
        Permit { access, at: self.clock.now() }
    }
}

impl SharingGrant {
    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.hold.tenant()
    }

    /// Returns who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.access.caller()
    }

    /// Returns the instant for which the answer holds.
    #[must_use]
    pub fn as_of(&self) -> DateTime<Utc> {
        self.as_of
    }

    /// Returns how often the switch had moved. Bound into page tokens.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.hold.epoch()
    }

    /// Returns the hold under which the store may be read.
    #[must_use]
    pub fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Spells a name. Names leave in clear here, as the product's alert pages show them (`domain.md` 9, reading 10).
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a grant is what it takes to spell a name")]
    pub fn spell(&self, name: &Personal) -> String {
        name.spell().to_owned()
    }

    /// Opens the second door unless the switch has moved since the first.
    ///
    /// # Errors
    /// When it has.
    pub fn disclose<T>(self, value: T) -> Result<Disclosed<T>, SharingOff> {
        let seal = Seal(self.hold);
        drop(seal.pass()?);
        Ok(Disclosed { value, seal })
    }
}

impl<T> Disclosed<T> {
    /// Returns the value with the seal that goes with it to the transport.
    pub fn leave(self) -> (T, Seal) {
        (self.value, self.seal)
    }
}

impl Seal {
    /// Lets one piece be handed to the transport, which drops the pass when it has taken it.
    ///
    /// # Errors
    /// When the switch has moved.
    pub fn pass(&self) -> Result<Pass, SharingOff> {
        self.0.pass().map(Pass).map_err(|_| SharingOff(()))
    }
}

impl Permit {
    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.access.tenant()
    }

    /// Returns the instant of the change.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }
}
