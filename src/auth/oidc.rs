//! Bearer tokens of an OpenID Connect issuer: JWTs (RFC 7519, RFC 9068), checked against its keys.

use crate::auth::Unauthenticated;
use crate::auth::keys::{KEY_ID_BYTES_MAX, Key, Keys};
use crate::auth::settings::{Oidc, TENANT_PLACE};
use crate::auth::signatures::{Claims, Signatures};
use crate::clock::Clock;
use crate::domain::ids::{TenantId, check_text};
use crate::gate::caller::{Caller, Tenants};
use crate::gate::rights::Role;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// The longest token. Those of large issuers have some 2 KiB.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How far the clocks of issuer and server may be apart.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);
/// The longest name of a principal.
const PRINCIPAL_BYTES_MAX: usize = 256;
/// The claims that name the principal, the best first: Entra ID's object id, the standard's subject, the application.
const PRINCIPAL_CLAIMS: [&str; 5] = ["oid", "sub", "azp", "appid", "client_id"];

type Checked<T> = Result<T, Unauthenticated>;

/// Knows callers by their tokens.
pub struct Tokens {
    settings: Oidc,
    algorithms: Vec<Algorithm>,
    tenants: BTreeSet<TenantId>,
    keys: Arc<Keys>,
    signatures: Signatures,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// Believes the issuer of the settings, which were checked. Begins to fetch its keys, so that the log tells at
    /// once when they cannot be had.
    ///
    /// # Errors
    /// When no TLS client can be had.
    pub fn new(settings: &Oidc, clock: Arc<dyn Clock>) -> Result<Self, reqwest::Error> {
        let keys = Arc::new(Keys::new(settings, Arc::clone(&clock))?);
        keys.refresh();
        let algorithms = settings.believed_algorithms().unwrap_or_default();
        let tenants = settings.only_tenants().unwrap_or_default();
        let (settings, signatures) = (settings.clone(), Signatures::default());
        Ok(Self { settings, algorithms, tenants, keys, signatures, clock })
    }

    /// Returns the caller of an `authorization` header.
    ///
    /// # Errors
    /// When it holds no token that is good here and now, or that cannot be found out.
    pub async fn caller(&self, authorization: &str) -> Checked<Caller> {
        let token = bearer(authorization)?;
        let header = decode_header(token).map_err(|_| unproven("no JWT of an algorithm that is known"))?;
        self.check_header(&header)?;
        let key = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let claims = self.signatures.claims(token, &key, || signed_claims(token, header.alg, &key))?;
        let until = self.check_times(&claims)?;
        let tenant = self.tenant(&claims)?;
        self.check_issuer(&claims, tenant, &key)?;
        self.check_audience(&claims)?;
        let (principal, roles) = (principal(&claims)?, self.roles(&claims));
        Ok(authenticated(principal, roles, tenant, until))
    }

    fn check_header(&self, header: &Header) -> Checked<()> {
        let holds = self.algorithms.contains(&header.alg);
        holds.then_some(()).ok_or(unproven("an algorithm that is not allowed"))?;
        let holds = header.typ.as_deref().is_none_or(is_access_token);
        holds.then_some(()).ok_or(unproven("a token of another type"))?;
        let holds = header.kid.as_deref().is_none_or(|kid| kid.len() <= KEY_ID_BYTES_MAX);
        holds.then_some(()).ok_or(unproven("a key id that is too long"))?;
        // RFC 7515, section 4.1.11: whoever does not understand what is critical refuses.
        header.crit.is_none().then_some(()).ok_or(unproven("a critical header"))
    }

    /// Returns until when the token is good.
    fn check_times(&self, claims: &Claims) -> Checked<DateTime<Utc>> {
        let now = self.clock.now();
        let expires = instant(claims, "exp")?.ok_or(unproven("a token without expiry"))?;
        let until = expires.checked_add_signed(LEEWAY).unwrap_or(expires);
        if now >= until {
            return Err(unproven("an expired token"));
        }
        for claim in ["nbf", "iat"] {
            if instant(claims, claim)?.is_some_and(|from| now + LEEWAY < from) {
                return Err(unproven("a token of the future"));
            }
        }
        Ok(until)
    }

    /// Returns the one tenant of the token. Several could be read as any, so they are none.
    fn tenant(&self, claims: &Claims) -> Checked<TenantId> {
        let claim = claims.get(&self.settings.tenant_claim).and_then(Value::as_str);
        let tenant = claim.and_then(|id| Uuid::try_parse(id).ok()).filter(|id| !id.is_nil());
        let tenant = tenant.map(TenantId::new).ok_or(unproven("a token without one tenant"))?;
        let is_believed = self.tenants.is_empty() || self.tenants.contains(&tenant);
        is_believed.then_some(tenant).ok_or(unproven("a tenant for which the issuer is not believed"))
    }

    fn check_issuer(&self, claims: &Claims, tenant: TenantId, key: &Key) -> Checked<()> {
        let issuer = claims.get("iss").and_then(Value::as_str);
        let for_tenant = |pattern: &str| pattern.replace(TENANT_PLACE, &tenant.to_string());
        let is_ours = issuer.is_some_and(|issuer| issuer == for_tenant(&self.settings.issuer));
        is_ours.then_some(()).ok_or(unproven("a token of another issuer"))?;
        let is_its_key = key.issuer().is_none_or(|of| issuer.is_some_and(|issuer| issuer == for_tenant(of)));
        is_its_key.then_some(()).ok_or(unproven("a key of another issuer"))
    }

    fn check_audience(&self, claims: &Claims) -> Checked<()> {
        let is_for_us = |value: &Value| value.as_str() == Some(&self.settings.audience);
        let holds = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_for_us),
            Some(one) => is_for_us(one),
            None => false,
        };
        holds.then_some(()).ok_or(unproven("a token for another audience"))
    }

    /// Returns the roles that are known here. Others are for other products.
    fn roles(&self, claims: &Claims) -> BTreeSet<Role> {
        let named = |value: &Value| value.as_str().and_then(Role::named);
        match claims.get(&self.settings.roles_claim) {
            Some(Value::Array(all)) => all.iter().filter_map(named).collect(),
            Some(one) => named(one).into_iter().collect(),
            None => BTreeSet::new(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is authentication")]
fn authenticated(principal: String, roles: BTreeSet<Role>, tenant: TenantId, until: DateTime<Utc>) -> Caller {
    Caller::authenticated(principal, roles, Tenants::These(BTreeSet::from([tenant])), Some(until))
}

fn unproven(why: &'static str) -> Unauthenticated {
    Unauthenticated::Unproven(why)
}

/// Takes the token out of the header (RFC 6750, section 2.1). The scheme's name has no case.
fn bearer(authorization: &str) -> Checked<&str> {
    let (scheme, token) = authorization.split_once(' ').unwrap_or_default();
    let token = token.trim_start_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(unproven("an authorization that is no bearer token"));
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(unproven("a token that is too long"));
    }
    Ok(token)
}

/// Says whether a type is that of tokens for calls. A token that says nothing is taken for one, as the standard has it.
fn is_access_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// Returns the claims if the key signed them. What they say is checked by the callers of this: by our clock, with
/// names of claims that are settings.
fn signed_claims(token: &str, algorithm: Algorithm, key: &Key) -> Checked<Claims> {
    let mut signature_alone = Validation::new(algorithm);
    signature_alone.required_spec_claims.clear();
    signature_alone.validate_exp = false;
    signature_alone.validate_nbf = false;
    signature_alone.validate_aud = false;
    let decoded = decode::<Claims>(token, key.decoding(), &signature_alone);
    decoded.map(|data| data.claims).map_err(|_| unproven("a signature of somebody else"))
}

/// Returns the instant of a claim, in whole seconds.
fn instant(claims: &Claims, claim: &str) -> Checked<Option<DateTime<Utc>>> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is then out of range")]
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
    let instant = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    instant.map(Some).ok_or(unproven("a time that is none"))
}

/// Names who calls. The prefix keeps tokens from passing for certificates of the same name.
fn principal(claims: &Claims) -> Checked<String> {
    let mut named = PRINCIPAL_CLAIMS.iter().filter_map(|claim| claims.get(*claim)?.as_str());
    let name = named.find(|name| check_text(name, PRINCIPAL_BYTES_MAX).is_ok());
    name.map(|name| format!("oidc:{name}")).ok_or(unproven("a token that names nobody"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_behind_the_scheme_and_has_at_most_16_kib() {
        assert_eq!(bearer("Bearer a.b.c"), Ok("a.b.c"));
        assert_eq!(bearer("bEARER   a.b.c"), Ok("a.b.c"));
        let longest = "x".repeat(16 * 1024);
        assert_eq!(bearer(&format!("Bearer {longest}")), Ok(longest.as_str()));
        for refused in ["", "Bearer", "Bearer ", "a.b.c", "Basic a.b.c", &format!("Bearer x{longest}")] {
            assert!(bearer(refused).is_err(), "{refused}");
        }
    }
}
