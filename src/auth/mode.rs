//! What callers must present, by the configuration.

use crate::auth::certificates::Certificates;
use crate::auth::oidc::Tokens;
use crate::auth::principals::{Principals, RollError};
use crate::auth::settings::{Auth, Mode};
use crate::auth::{Anyone, Authenticator, Presented, Unauthenticated};
use crate::clock::Clock;
use crate::gate::caller::Caller;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;

/// Why callers cannot be authenticated as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file of principals does not hold.
    #[error("auth.principals_file {}: {cause}", path.display())]
    Principals {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: RollError,
    },
    /// The issuer's keys cannot be fetched for want of a client.
    #[error("cannot set up a client for the issuer's keys: {0}")]
    Client(reqwest::Error),
}

/// Returns what the configuration asks for. Runs within a Tokio runtime.
///
/// # Errors
/// When it cannot be had.
pub fn authenticator(settings: &Auth, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Authenticator>, AuthError> {
    let certificates = || {
        let path = &settings.principals_file;
        let refused = |cause| AuthError::Principals { path: path.clone(), cause };
        Principals::open(path).map_err(refused).map(|all| Certificates::new(all, Arc::clone(clock)))
    };
    let tokens = || Tokens::new(&settings.oidc, Arc::clone(clock)).map_err(AuthError::Client);
    Ok(match settings.mode {
        Mode::None => Arc::new(Anyone::default()),
        Mode::Mtls => Arc::new(certificates()?),
        Mode::Oidc => Arc::new(tokens()?),
        Mode::MtlsOrOidc => Arc::new(Either { certificates: certificates()?, tokens: tokens()? }),
    })
}

#[async_trait]
impl Authenticator for Certificates {
    async fn caller(&self, presented: Presented<'_>) -> Result<Caller, Unauthenticated> {
        self.caller(presented.certificates)
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn caller(&self, presented: Presented<'_>) -> Result<Caller, Unauthenticated> {
        match presented.authorization {
            Some(authorization) => self.caller(authorization).await,
            None => Err(Unauthenticated::Unproven("no token")),
        }
    }
}

/// Takes a certificate or a token. With both, the token says who and in which roles, and both must speak for the
/// tenant: a stolen token is of no use on another tenant's machine.
struct Either {
    certificates: Certificates,
    tokens: Tokens,
}

#[async_trait]
impl Authenticator for Either {
    async fn caller(&self, presented: Presented<'_>) -> Result<Caller, Unauthenticated> {
        let Some(authorization) = presented.authorization else {
            return self.certificates.caller(presented.certificates);
        };
        if presented.certificates.is_empty() {
            return self.tokens.caller(authorization).await;
        }
        let certificate = self.certificates.caller(presented.certificates)?;
        Ok(self.tokens.caller(authorization).await?.along_with(&certificate))
    }
}
