//! Who calls, and the first steps on the way in: the role, then the tenant. A leaf, like the gate: an [`Access`] can
//! only be had from a [`Caller`], and a caller only from authentication.

use crate::domain::ids::TenantId;
use crate::gate::rights::{Right, Role};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Somebody who was authenticated, with what they are trusted with. Clones are the same caller.
#[derive(Clone)]
pub struct Caller(Arc<Who>);

struct Who {
    principal: String,
    roles: BTreeSet<Role>,
    tenants: Tenants,
    until: Option<DateTime<Utc>>,
    revoked: AtomicBool,
}

/// For which tenants a caller may speak.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tenants {
    /// All: a server that authenticates nobody serves one person's machine.
    All,
    /// These.
    These(BTreeSet<TenantId>),
}

/// Why a caller may not do what was asked. Depends on nothing that is stored, least of all on whether the tenant
/// exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// What was presented is no longer valid: it expired, or its roles were changed.
    #[error("the credentials are no longer valid")]
    Lapsed,
    /// No role of the caller's has the right.
    #[error("the caller has no role that allows this")]
    PermissionMissing,
    /// The tenant is not one of the caller's.
    #[error("the tenant is not the caller's")]
    TenantMismatch,
}

impl Caller {
    /// Made by authentication only, which `clippy.toml` sees to. `until` is when the credentials expire.
    #[must_use]
    pub fn authenticated(
        principal: String,
        roles: BTreeSet<Role>,
        tenants: Tenants,
        until: Option<DateTime<Utc>>,
    ) -> Self {
        Self(Arc::new(Who { principal, roles, tenants, until, revoked: AtomicBool::new(false) }))
    }

    /// Returns the name under which it was authenticated. For the audit log, never for others.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.0.principal
    }

    /// Returns its roles.
    #[must_use]
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.0.roles
    }

    /// Returns the tenants it may speak for.
    #[must_use]
    pub fn tenants(&self) -> &Tenants {
        &self.0.tenants
    }

    /// Takes everything from it, open streams too: its roles or tenants are not what they were.
    pub fn revoke(&self) {
        self.0.revoked.store(true, Ordering::SeqCst);
    }

    /// The first step: the role.
    ///
    /// # Errors
    /// When no role has the right, or the credentials have lapsed.
    pub fn entry(&self, right: Right, now: DateTime<Utc>) -> Result<Entry, Denied> {
        let entry = Entry { caller: self.clone(), right };
        entry.check(now)?;
        let is_allowed = right.roles().iter().any(|role| self.0.roles.contains(role));
        if is_allowed { Ok(entry) } else { Err(Denied::PermissionMissing) }
    }
}

impl fmt::Debug for Caller {
    /// Leaves out the principal, who may be a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("roles", &self.0.roles).finish_non_exhaustive()
    }
}

/// A caller whose role has the right.
#[derive(Clone, Debug)]
#[must_use]
pub struct Entry {
    caller: Caller,
    right: Right,
}

impl Entry {
    /// The second step: the tenant. A stream takes it for each message anew.
    ///
    /// # Errors
    /// When the tenant is not the caller's, or the credentials have lapsed meanwhile.
    pub fn access(&self, tenant: TenantId, now: DateTime<Utc>) -> Result<Access, Denied> {
        self.check(now)?;
        let is_theirs = match &self.caller.0.tenants {
            Tenants::All => true,
            Tenants::These(tenants) => tenants.contains(&tenant),
        };
        if is_theirs { Ok(Access { entry: self.clone(), tenant }) } else { Err(Denied::TenantMismatch) }
    }

    /// Returns who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns what is asked for.
    #[must_use]
    pub fn right(&self) -> Right {
        self.right
    }

    fn check(&self, now: DateTime<Utc>) -> Result<(), Denied> {
        let who = &self.caller.0;
        let is_valid = !who.revoked.load(Ordering::SeqCst) && who.until.is_none_or(|until| now < until);
        if is_valid { Ok(()) } else { Err(Denied::Lapsed) }
    }
}

/// Proof that a caller may do one thing with one tenant. Says nothing yet about whether the tenant shares.
///
/// ```compile_fail,E0451
/// let forged: riskshare::gate::caller::Access =
///     riskshare::gate::caller::Access { ..todo!() };
/// ```
///
/// ```no_run
/// let forged: riskshare::gate::caller::Access =
///     todo!();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Access {
    entry: Entry,
    tenant: TenantId,
}

impl Access {
    /// Returns who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.entry.caller
    }

    /// Returns what is asked for.
    #[must_use]
    pub fn right(&self) -> Right {
        self.entry.right
    }

    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test is the authentication")]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn tenant(number: u128) -> TenantId {
        TenantId::new(Uuid::from_u128(number))
    }

    fn reader(until: Option<&str>) -> Caller {
        let tenants = Tenants::These(BTreeSet::from([tenant(1)]));
        let until = until.map(|until| until.parse().unwrap());
        Caller::authenticated("svc".to_owned(), BTreeSet::from([Role::DlpAlertReader]), tenants, until)
    }

    fn noon() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_role_opens_what_it_is_for_in_its_own_tenant_and_nothing_else() {
        let entry = reader(None).entry(Right::EnrichAlert, noon()).unwrap();
        assert_eq!(entry.access(tenant(1), noon()).unwrap().tenant(), tenant(1));
        assert_eq!(entry.access(tenant(2), noon()).unwrap_err(), Denied::TenantMismatch);
        assert_eq!(reader(None).entry(Right::UpdateSettings, noon()).unwrap_err(), Denied::PermissionMissing);
    }

    #[test]
    fn what_has_lapsed_or_was_revoked_opens_nothing_not_even_what_had_begun() {
        let caller = reader(Some("2026-11-24T12:00:01Z"));
        let entry = caller.entry(Right::EnrichAlert, noon()).unwrap();
        let later = noon() + chrono::TimeDelta::seconds(1);
        assert_eq!(entry.access(tenant(1), later).unwrap_err(), Denied::Lapsed);
        assert_eq!(caller.entry(Right::EnrichAlert, later).unwrap_err(), Denied::Lapsed);
        assert!(entry.access(tenant(1), noon()).is_ok());
        caller.revoke();
        assert_eq!(entry.access(tenant(1), noon()).unwrap_err(), Denied::Lapsed);
    }
}
