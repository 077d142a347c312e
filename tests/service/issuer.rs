//! An issuer of tokens of a test's own: discovery and keys over HTTP on loopback, and tokens signed as told.

use crate::world::{NOON, at};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm};
use riskshare::auth::settings::Mode;
use riskshare::config::Config;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// The audience of most tokens.
pub const AUDIENCE: &str = "riskshare-of-contoso";

/// A key pair with a name.
pub struct Signer {
    pub id: String,
    pub algorithm: Algorithm,
    pub key: EncodingKey,
    pub public_pem: String,
    public: Value,
}

impl Signer {
    pub fn rsa(id: &str) -> Self {
        Self::new(id, Algorithm::RS256, &PKCS_RSA_SHA256, EncodingKey::from_rsa_pem)
    }

    pub fn p256(id: &str) -> Self {
        Self::new(id, Algorithm::ES256, &PKCS_ECDSA_P256_SHA256, EncodingKey::from_ec_pem)
    }

    pub fn ed25519(id: &str) -> Self {
        Self::new(id, Algorithm::EdDSA, &PKCS_ED25519, EncodingKey::from_ed_pem)
    }

    fn new(
        id: &str,
        algorithm: Algorithm,
        kind: &'static SignatureAlgorithm,
        read: fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>,
    ) -> Self {
        let pair = KeyPair::generate_for(kind).unwrap();
        let key = read(pair.serialize_pem().as_bytes()).unwrap();
        let mut public = match algorithm {
            // This library makes no public key of that kind out of a private one.
            Algorithm::EdDSA => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw()) })
            }
            _ => serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap(),
        };
        public["kid"] = json!(id);
        public["use"] = json!("sig");
        public.as_object_mut().unwrap().remove("alg");
        Self { id: id.to_owned(), algorithm, key, public_pem: pair.public_key_pem(), public }
    }

    pub fn header(&self) -> Header {
        Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) }
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.key).unwrap()
    }

    /// Returns the public key as a set has it.
    pub fn public(&self) -> Value {
        self.public.clone()
    }
}

/// Puts a token together by hand, signed or not.
pub fn by_hand(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> String) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = sign(message.as_bytes());
    format!("{message}.{signature}")
}

/// What the issuer answers, and how often it was asked.
#[derive(Default)]
struct Desk {
    discovery: Value,
    keys: Option<String>,
    fetches: usize,
}

pub struct Issuer {
    pub signer: Signer,
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
}

impl Issuer {
    /// Starts one with one key. Serves as long as the test's runtime.
    pub async fn start() -> Self {
        Self::start_with(Signer::p256("first")).await
    }

    pub async fn start_with(signer: Signer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Mutex::new(Desk::default()));
        tokio::spawn(serve(listener, Arc::clone(&desk)));
        let issuer = Self { signer, address, desk };
        issuer.discover(json!({ "issuer": issuer.url(), "jwks_uri": issuer.keys_url() }));
        issuer.publish(&[issuer.signer.public()]);
        issuer
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn keys_url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    pub fn discover(&self, document: Value) {
        self.desk.lock().unwrap().discovery = document;
    }

    pub fn publish(&self, keys: &[Value]) {
        self.desk.lock().unwrap().keys = Some(json!({ "keys": keys }).to_string());
    }

    pub fn publish_text(&self, text: String) {
        self.desk.lock().unwrap().keys = Some(text);
    }

    /// Answers every request with a fault from now on.
    pub fn fail(&self) {
        self.desk.lock().unwrap().keys = None;
    }

    /// Returns how often the keys were asked for.
    pub fn fetches(&self) -> usize {
        self.desk.lock().unwrap().fetches
    }

    /// Makes a server believe it.
    pub fn configure(&self, config: &mut Config) {
        config.auth.mode = Mode::Oidc;
        config.auth.oidc.issuer = self.url();
        AUDIENCE.clone_into(&mut config.auth.oidc.audience);
    }

    /// Returns the claims of a good token, valid from an hour before to an hour after noon.
    pub fn claims(&self, tenant: &str, roles: &[&str]) -> Value {
        let noon = at(NOON).timestamp();
        json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": "connector", "tid": tenant, "roles": roles,
            "iat": noon - 3_600, "nbf": noon - 3_600, "exp": noon + 3_600,
        })
    }

    /// Returns the `authorization` of a good token.
    pub fn bearer(&self, tenant: &str, roles: &[&str]) -> String {
        format!("Bearer {}", self.signer.sign(&self.claims(tenant, roles)))
    }
}

async fn serve(listener: TcpListener, desk: Arc<Mutex<Desk>>) {
    while let Ok((connection, _)) = listener.accept().await {
        let desk = Arc::clone(&desk);
        let answer = service_fn(move |request| {
            let answer = answer(&desk, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), answer));
    }
}

fn answer(desk: &Mutex<Desk>, request: &Request<Incoming>) -> Response<String> {
    let mut desk = desk.lock().unwrap();
    let text = match request.uri().path() {
        "/.well-known/openid-configuration" => Some(desk.discovery.to_string()),
        "/keys" => {
            desk.fetches += 1;
            desk.keys.clone()
        }
        _ => None,
    };
    let status = if text.is_some() { 200 } else { 503 };
    Response::builder().status(status).body(text.unwrap_or_default()).unwrap()
}
