//! The settings of authentication, checked. `docs/configuration.md` lists them, `docs/security.md` shows them at work.

use crate::auth::keys;
use crate::domain::ids::TenantId;
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use uuid::Uuid;

/// How callers are known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// What callers present.
    pub mode: Mode,
    /// The file that says which certificate is which principal. Empty: none.
    pub principals_file: PathBuf,
    /// Lets callers whom nobody knows read the contract by reflection. Mode `none` does so anyway.
    pub open_reflection: bool,
    /// Whose tokens are believed.
    pub oidc: Oidc,
}

/// What callers present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing: everybody is the one person whose machine this is.
    #[default]
    None,
    /// A client certificate.
    Mtls,
    /// A bearer token.
    Oidc,
    /// Either. With both, the token has the roles, and its tenant must be one of the certificate's.
    MtlsOrOidc,
}

impl Mode {
    /// Says whether callers must show who they are.
    #[must_use]
    pub fn authenticates(self) -> bool {
        self != Self::None
    }

    /// Says whether certificates are looked at.
    #[must_use]
    pub fn takes_certificates(self) -> bool {
        matches!(self, Self::Mtls | Self::MtlsOrOidc)
    }

    /// Says whether tokens are looked at.
    #[must_use]
    pub fn takes_tokens(self) -> bool {
        matches!(self, Self::Oidc | Self::MtlsOrOidc)
    }
}

/// Whose tokens are believed, and where in them tenant and roles stand. Lists are texts with commas.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// The `iss` of every token, to the letter, and where the issuer is discovered. `{tenantid}` stands for the
    /// tenant of the token. Empty: none.
    pub issuer: String,
    /// What the `aud` of every token must be or hold. Empty: none.
    pub audience: String,
    /// Where the issuer's keys are. Empty: where the issuer's discovery document says.
    pub jwks_uri: String,
    /// The only tenants for which the issuer is believed. Empty: all.
    pub tenants: String,
    /// The claim that names the one tenant, a UUID.
    pub tenant_claim: String,
    /// The claim that lists the roles.
    pub roles_claim: String,
    /// The signatures that are believed.
    pub algorithms: String,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            jwks_uri: String::new(),
            tenants: String::new(),
            tenant_claim: "tid".to_owned(),
            roles_claim: "roles".to_owned(),
            algorithms: "RS256,PS256,ES256,EdDSA".to_owned(),
        }
    }
}

/// What stands for the tenant in an issuer that has one for each.
pub const TENANT_PLACE: &str = "{tenantid}";

/// A setting and the bound that it breaks.
pub type Broken = (&'static str, &'static str);

impl Auth {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first key at fault.
    pub fn check(&self) -> Result<(), Broken> {
        let needs_file = self.mode.takes_certificates();
        let has_file = !self.principals_file.as_os_str().is_empty();
        bound(
            "auth.principals_file",
            has_file || !needs_file,
            "must name the file that says which certificate is which principal, for auth.mode = mtls and mtls_or_oidc",
        )?;
        self.oidc.check(self.mode.takes_tokens())
    }
}

impl Oidc {
    fn check(&self, is_used: bool) -> Result<(), Broken> {
        let is_guarded = |uri: &str| uri.is_empty() || keys::guarded(uri).is_some();
        bound(
            "auth.oidc.issuer",
            is_guarded(&self.issuer) && !(is_used && self.issuer.is_empty()),
            "must be the issuer's https URL (http for loopback only), for auth.mode = oidc and mtls_or_oidc",
        )?;
        bound(
            "auth.oidc.audience",
            !(is_used && self.audience.is_empty()),
            "must be what tokens for riskshare have as `aud`, for auth.mode = oidc and mtls_or_oidc",
        )?;
        let is_template = self.issuer.contains(TENANT_PLACE);
        bound(
            "auth.oidc.jwks_uri",
            is_guarded(&self.jwks_uri) && !(is_template && self.jwks_uri.is_empty()),
            "must be an https URL (http for loopback only); an auth.oidc.issuer with {tenantid} needs one",
        )?;
        bound(
            "auth.oidc.tenants",
            self.only_tenants().is_some_and(|tenants| !(is_template && tenants.is_empty())),
            "must be UUIDs with commas between; an auth.oidc.issuer with {tenantid} needs one at least",
        )?;
        bound("auth.oidc.tenant_claim", !self.tenant_claim.is_empty(), "must name a claim")?;
        bound("auth.oidc.roles_claim", !self.roles_claim.is_empty(), "must name a claim")?;
        bound(
            "auth.oidc.algorithms",
            self.believed_algorithms().is_some_and(|algorithms| !algorithms.is_empty()),
            "must be some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA with commas between",
        )
    }

    /// Returns the only tenants for which the issuer is believed; none of them stands for all. `None` for a text that
    /// is no such list.
    #[must_use]
    pub fn only_tenants(&self) -> Option<BTreeSet<TenantId>> {
        list(&self.tenants).map(|id| Uuid::try_parse(id).ok().map(TenantId::new)).collect()
    }

    /// Returns the signatures that are believed. `None` for a text that is no such list: secrets that the issuer
    /// would have to share sign nothing here, and no signature is none.
    #[must_use]
    pub fn believed_algorithms(&self) -> Option<Vec<Algorithm>> {
        let by_key_pair =
            |name| Algorithm::from_str(name).ok().filter(|one| one.family() != AlgorithmFamily::Hmac);
        list(&self.algorithms).map(by_key_pair).collect()
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn bound(key: &'static str, holds: bool, bound: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err((key, bound)) }
}
