//! Signatures that were found good, so that a caller who comes with the same token again does not cost another check.
//! Nothing else about a token is remembered: its times, issuer, audience, tenant and roles are looked at every time.

use crate::auth::keys::Key;
use dashmap::DashMap;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Longer tokens are checked every time. Those of large issuers have some 2 KiB.
const TOKEN_BYTES_MAX: usize = 4 * 1024;
/// So many are remembered, some tens of MiB at the most; then it begins anew.
const REMEMBERED_MAX: usize = 4_096;

/// What a token claims.
pub type Claims = Map<String, Value>;

/// The claims of tokens, by the SHA-256 of the whole token.
#[derive(Default)]
pub struct Signatures(DashMap<[u8; 32], Signed>);

/// Claims and the very key that signed them. A key that was fetched again is another one, whatever its name.
struct Signed {
    key: Arc<Key>,
    claims: Arc<Claims>,
}

impl Signatures {
    /// Returns the claims of a token that the key signed: as remembered, or by checking.
    ///
    /// # Errors
    /// What the check says.
    pub fn claims<E>(
        &self,
        token: &str,
        key: &Arc<Key>,
        check: impl FnOnce() -> Result<Claims, E>,
    ) -> Result<Arc<Claims>, E> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(signed) = self.0.get(&digest).filter(|signed| Arc::ptr_eq(&signed.key, key)) {
            return Ok(Arc::clone(&signed.claims));
        }
        let claims = Arc::new(check()?);
        if token.len() <= TOKEN_BYTES_MAX {
            if self.0.len() >= REMEMBERED_MAX {
                self.0.clear();
            }
            self.0.insert(digest, Signed { key: Arc::clone(key), claims: Arc::clone(&claims) });
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// The public key of RFC 7517, appendix A.1.
    fn key() -> Arc<Key> {
        let key = serde_json::json!({
            "kty": "EC", "crv": "P-256", "kid": "1",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        });
        Arc::new(Key::read(key).unwrap())
    }

    #[test]
    fn a_signature_is_checked_once_for_each_token_and_key() {
        let (signatures, checks) = (Signatures::default(), Cell::new(0));
        let (one, other) = (key(), key());
        let ask = |token: &str, key: &Arc<Key>| {
            let check = || {
                checks.set(checks.get() + 1);
                Ok::<_, ()>(Claims::new())
            };
            signatures.claims(token, key, check).unwrap();
            checks.get()
        };
        assert_eq!([ask("a", &one), ask("a", &one)], [1, 1]);
        assert_eq!([ask("b", &one), ask("a", &one)], [2, 2], "another token is checked");
        assert_eq!([ask("a", &other), ask("a", &other)], [3, 3], "another key of the same name is another");
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!([ask(&long, &one), ask(&long, &one)], [4, 5]);
    }

    #[test]
    fn what_was_refused_is_not_remembered_and_there_is_a_bound() {
        let (signatures, key) = (Signatures::default(), key());
        assert_eq!(signatures.claims("a", &key, || Err("forged")), Err("forged"));
        assert_eq!(signatures.claims("a", &key, || Err("forged again")), Err("forged again"));
        for n in 0..=REMEMBERED_MAX {
            signatures.claims(&n.to_string(), &key, || Ok::<_, ()>(Claims::new())).unwrap();
        }
        assert!(signatures.0.len() <= REMEMBERED_MAX);
    }
}
