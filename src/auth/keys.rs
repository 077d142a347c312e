//! The issuer's public keys: found, fetched, kept, and fetched again, so that its rotation needs nobody here and its
//! outage is not ours.

use crate::auth::Unauthenticated;
use crate::auth::settings::Oidc;
use crate::clock::Clock;
use arc_swap::ArcSwapOption;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Keys are fetched at most once in this time, whatever callers present.
const FETCH_INTERVAL: TimeDelta = TimeDelta::seconds(30);
/// Keys of this age are fetched again as soon as one is used.
const REFRESH_AGE: TimeDelta = TimeDelta::minutes(10);
/// Keys of this age are no longer believed, for their issuer may have withdrawn them long ago.
const AGE_MAX: TimeDelta = TimeDelta::hours(24);
/// How long one request to the issuer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read; key sets of large issuers have some 20 KiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The longest key id.
pub const KEY_ID_BYTES_MAX: usize = 256;

/// The keys of one issuer.
pub struct Keys {
    place: Place,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    known: ArcSwapOption<KeySet>,
    /// One fetch at a time, and when the last one was.
    turn: Arc<Mutex<Option<Attempt>>>,
}

enum Place {
    /// Where the issuer's discovery document says.
    Discovered(String),
    /// Here.
    At(Url),
}

#[derive(Clone, Copy)]
struct Attempt {
    at: DateTime<Utc>,
    succeeded: bool,
}

type Turn = OwnedMutexGuard<Option<Attempt>>;

struct KeySet {
    keys: Vec<Arc<Key>>,
    fetched_at: DateTime<Utc>,
}

/// A key that checks signatures of one kind.
pub struct Key {
    id: Option<String>,
    kind: Kind,
    /// The one algorithm that the issuer uses it for, if it says so.
    only: Option<Algorithm>,
    /// The issuer for whose tokens alone it is good, if the set says so.
    issuer: Option<String>,
    decoding: DecodingKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why keys were not had.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Request(#[from] reqwest::Error),
    #[error("the issuer answered with status {0}")]
    Status(u16),
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is not the JSON that was expected: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("the discovery document is of another issuer")]
    OtherIssuer,
    #[error("the keys are neither at an https URL nor on loopback")]
    Unguarded,
    #[error("the set has no key that checks signatures")]
    Empty,
}

/// Returns a URL whose answers nobody on the way can change: https, or loopback.
#[must_use]
pub fn guarded(uri: &str) -> Option<Url> {
    let url = Url::parse(uri).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let is_guarded = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    is_guarded.then_some(url)
}

impl Keys {
    /// Returns the keys of the issuer. Fetches none yet.
    ///
    /// # Errors
    /// When no TLS client can be had.
    pub fn new(settings: &Oidc, clock: Arc<dyn Clock>) -> Result<Self, reqwest::Error> {
        // A redirect could lead anywhere, and proxies of the environment are no setting.
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        let place = match guarded(&settings.jwks_uri) {
            Some(url) => Place::At(url),
            None => Place::Discovered(settings.issuer.clone()),
        };
        Ok(Self { place, http, clock, known: ArcSwapOption::empty(), turn: Arc::default() })
    }

    /// Returns the key of a token. A key id that nobody knows makes the keys be fetched again, at most once in the
    /// interval.
    ///
    /// # Errors
    /// When there is no such key, or it is not for that algorithm; or when keys cannot be had.
    pub async fn find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, Unauthenticated> {
        if let Some(known) = self.known().filter(|known| known.has(id)) {
            self.refresh_if_old(&known);
            return known.find(id, algorithm);
        }
        let succeeded = self.fetch_unless_lately().await;
        match self.known() {
            Some(known) if succeeded || known.has(id) => known.find(id, algorithm),
            _ => Err(Unauthenticated::Unavailable("the keys of the issuer cannot be had")),
        }
    }

    /// Fetches the keys unless that was tried a moment ago, while callers go on.
    pub fn refresh(self: &Arc<Self>) {
        if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned()
            && !self.is_recent(*turn)
        {
            let keys = Arc::clone(self);
            tokio::spawn(async move { keys.fetch_in(turn).await });
        }
    }

    fn known(&self) -> Option<Arc<KeySet>> {
        let now = self.clock.now();
        self.known.load_full().filter(|known| now - known.fetched_at < AGE_MAX)
    }

    fn refresh_if_old(self: &Arc<Self>, known: &KeySet) {
        if self.clock.now() - known.fetched_at >= REFRESH_AGE {
            self.refresh();
        }
    }

    /// Says whether the last attempt, which may be the one made here, succeeded.
    async fn fetch_unless_lately(self: &Arc<Self>) -> bool {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        match *turn {
            Some(last) if self.is_recent(*turn) => last.succeeded,
            _ => {
                let keys = Arc::clone(self);
                // A caller who hangs up must not stop what others wait for.
                tokio::spawn(async move { keys.fetch_in(turn).await }).await.unwrap_or(false)
            }
        }
    }

    fn is_recent(&self, last: Option<Attempt>) -> bool {
        let now = self.clock.now();
        // A clock that was put back makes no attempt recent.
        last.is_some_and(|last| last.at <= now && now - last.at < FETCH_INTERVAL)
    }

    async fn fetch_in(&self, mut turn: Turn) -> bool {
        let at = self.clock.now();
        let fetched = self.fetch().await;
        let succeeded = fetched.is_ok();
        match fetched {
            Ok(keys) => self.known.store(Some(Arc::new(KeySet { keys, fetched_at: at }))),
            Err(cause) => tracing::warn!(%cause, "cannot fetch the keys of the issuer; the last ones stay"),
        }
        *turn = Some(Attempt { at, succeeded });
        succeeded
    }

    async fn fetch(&self) -> Result<Vec<Arc<Key>>, FetchError> {
        let url = match &self.place {
            Place::At(url) => url.clone(),
            Place::Discovered(issuer) => self.discover(issuer).await?,
        };
        let set: Set = self.get(url).await?;
        let keys: Vec<_> = set.keys.into_iter().filter_map(Key::read).map(Arc::new).collect();
        if keys.is_empty() { Err(FetchError::Empty) } else { Ok(keys) }
    }

    /// Asks the issuer where its keys are (OpenID Connect Discovery 1.0, section 4).
    async fn discover(&self, issuer: &str) -> Result<Url, FetchError> {
        let uri = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document: Discovery = self.get(guarded(&uri).ok_or(FetchError::Unguarded)?).await?;
        if document.issuer != issuer {
            return Err(FetchError::OtherIssuer);
        }
        guarded(&document.jwks_uri).ok_or(FetchError::Unguarded)
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, FetchError> {
        let mut answer = self.http.get(url).send().await?;
        if !answer.status().is_success() {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// A set of keys (RFC 7517), each read by itself: one of a kind that is not known spoils none.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl KeySet {
    fn has(&self, id: Option<&str>) -> bool {
        id.is_none() || self.keys.iter().any(|key| key.id.as_deref() == id)
    }

    /// Finds the one key of an id. Without an id there must be only one that it could be.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Unauthenticated> {
        let is_it = |key: &&Arc<Key>| id.is_none() || key.id.as_deref() == id;
        let mut found = self.keys.iter().filter(is_it).filter(|key| key.is_for(algorithm));
        match (found.next(), found.next()) {
            (Some(key), None) => Ok(Arc::clone(key)),
            _ => Err(Unauthenticated::Unproven("no one key of the issuer is that of the token")),
        }
    }
}

impl Key {
    /// Reads a key that checks signatures. `None` for any other: secrets, keys to encrypt with, and kinds that are not
    /// known.
    #[must_use]
    pub fn read(mut value: Value) -> Option<Self> {
        let issuer = value.get("issuer").and_then(Value::as_str).map(str::to_owned);
        let only = match value.as_object_mut()?.remove("alg") {
            None => None,
            Some(name) => Some(Algorithm::from_str(name.as_str()?).ok()?),
        };
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let is_to_sign =
            jwk.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let kind = kind_of(&jwk.algorithm).filter(|_| is_to_sign)?;
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        let id = jwk.common.key_id.filter(|id| id.len() <= KEY_ID_BYTES_MAX);
        Some(Self { id, kind, only, issuer, decoding })
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        kind_for(algorithm) == Some(self.kind) && self.only.is_none_or(|only| only == algorithm)
    }

    /// Returns the issuer for whose tokens alone it is good, if its set says so.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns what checks a signature.
    #[must_use]
    pub fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

fn kind_of(parameters: &AlgorithmParameters) -> Option<Kind> {
    match parameters {
        AlgorithmParameters::RSA(_) => Some(Kind::Rsa),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Some(Kind::P256),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => Some(Kind::P384),
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => Some(Kind::Ed25519),
        _ => None,
    }
}

fn kind_for(algorithm: Algorithm) -> Option<Kind> {
    match algorithm {
        Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512 => Some(Kind::Rsa),
        Algorithm::ES256 => Some(Kind::P256),
        Algorithm::ES384 => Some(Kind::P384),
        Algorithm::EdDSA => Some(Kind::Ed25519),
        _ => None,
    }
}
