//! Finds out who calls. What was presented is checked here and nowhere else; what comes out is a
//! [`Caller`].

pub mod certificates;
pub mod keys;
pub mod mode;
pub mod oidc;
pub mod principals;
pub mod settings;
pub mod signatures;

use crate::gate::caller::{Caller, Tenants};
use crate::gate::rights::Role;
use async_trait::async_trait;

/// What came with a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// The value of the one `authorization` header.
    pub authorization: Option<&'a str>,
    /// The certificates that the peer proved to own, its own first, in DER. Empty without mutual TLS.
    pub certificates: &'a [Vec<u8>],
}

/// Why nobody could be made out. Callers are told one text for all of them; the log may tell more.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// What was presented proves nobody; why is for the log alone and holds nothing of what was presented.
    #[error("{0}")]
    Unproven(&'static str),
    /// It cannot be checked now, such as when the issuer's keys cannot be fetched.
    #[error("{0}")]
    Unavailable(&'static str),
}

/// Makes callers out of what they present.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Returns who calls.
    ///
    /// # Errors
    /// When that cannot be made out.
    async fn caller(&self, presented: Presented<'_>) -> Result<Caller, Unauthenticated>;
}

/// Takes everybody for the one person whose machine this is: every role, every tenant. For loopback alone.
pub struct Anyone(Caller);

impl Default for Anyone {
    fn default() -> Self {
        Self(anyone())
    }
}

#[expect(clippy::disallowed_methods, reason = "this is authentication")]
fn anyone() -> Caller {
    Caller::authenticated("local".to_owned(), Role::ALL.into(), Tenants::All, None)
}

#[async_trait]
impl Authenticator for Anyone {
    async fn caller(&self, _: Presented<'_>) -> Result<Caller, Unauthenticated> {
        Ok(self.0.clone())
    }
}
