//! Measures what it costs to know who calls: nothing, a certificate, a token of each kind, in one thread and one run.
//!
//! `cargo run --release --example callers`

#[path = "../benches/bench/issuer.rs"]
mod issuer;

use anyhow::{Result, ensure};
use issuer::issuer;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SanType};
use riskshare::auth::mode::authenticator;
use riskshare::auth::settings::{Auth, Mode, Oidc};
use riskshare::auth::{Authenticator, Presented};
use riskshare::clock::{Clock, SystemClock};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const AUDIENCE: &str = "riskshare";
const CALLS: usize = 20_000;
const ROUNDS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let anyone = authenticator(&Auth::default(), &clock)?;
    let none = median(&*anyone, Presented::default()).await?;
    println!("| a caller shows | ns a call |\n|---|---|\n| nothing | {none} |");

    let folder = tempfile::tempdir()?;
    let (auth, certificate) = certified(folder.path())?;
    let certificates = [certificate];
    let shown = Presented { certificates: &certificates, ..Presented::default() };
    println!("| a certificate | {} |", median(&*authenticator(&auth, &clock)?, shown).await?);

    for (name, pair, key, algorithm) in keys()? {
        let auth = trusting(&issuer(&pair, &key, algorithm).await?);
        let claims = json!({
            "iss": auth.oidc.issuer, "aud": AUDIENCE, "tid": TENANT, "roles": ["dlp-alert-reader"],
            "oid": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "exp": clock.now().timestamp() + 3_600,
        });
        let header = Header { kid: Some("key".to_owned()), ..Header::new(algorithm) };
        let authorization = format!("Bearer {}", encode(&header, &claims, &key)?);
        let shown = Presented { authorization: Some(&authorization), ..Presented::default() };
        println!("| a token, {name} | {} |", median(&*authenticator(&auth, &clock)?, shown).await?);
    }
    Ok(())
}

/// Returns the median of the rounds.
async fn median(authenticator: &dyn Authenticator, shown: Presented<'_>) -> Result<u128> {
    authenticator.caller(shown).await?; // Fetches keys.
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..CALLS {
            let caller = authenticator.caller(shown).await?;
            ensure!(!caller.principal().is_empty());
        }
        rounds.push(begun.elapsed().as_nanos() / CALLS as u128);
    }
    rounds.sort_unstable();
    Ok(rounds[ROUNDS / 2])
}

/// Returns settings under which a certificate is a principal's, and the certificate.
fn certified(folder: &std::path::Path) -> Result<(Auth, Vec<u8>)> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("spiffe://contoso.com/desk".try_into()?)];
    let certificate = params.self_signed(&KeyPair::generate()?)?;
    let principals_file = folder.join("principals.toml");
    let roll = format!(
        "[[principal]]\nname = \"desk\"\nspiffe = [\"spiffe://contoso.com/desk\"]\nroles = [\"dlp-alert-reader\"]\n\
         tenants = [\"{TENANT}\"]\n"
    );
    std::fs::write(&principals_file, roll)?;
    let auth = Auth { mode: Mode::Mtls, principals_file, ..Auth::default() };
    Ok((auth, certificate.der().to_vec()))
}

type Signing = (&'static str, KeyPair, EncodingKey, Algorithm);

fn keys() -> Result<Vec<Signing>> {
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519)?;
    let of_rsa = EncodingKey::from_rsa_pem(rsa.serialize_pem().as_bytes())?;
    let of_p256 = EncodingKey::from_ec_pem(p256.serialize_pem().as_bytes())?;
    let of_ed25519 = EncodingKey::from_ed_pem(ed25519.serialize_pem().as_bytes())?;
    Ok(vec![
        ("RS256, 2,048 bits", rsa, of_rsa, Algorithm::RS256),
        ("ES256", p256, of_p256, Algorithm::ES256),
        ("EdDSA", ed25519, of_ed25519, Algorithm::EdDSA),
    ])
}

fn trusting(keys_url: &str) -> Auth {
    let oidc = Oidc {
        issuer: "https://issuer.example".to_owned(),
        audience: AUDIENCE.to_owned(),
        jwks_uri: keys_url.to_owned(),
        algorithms: "RS256,ES256,EdDSA".to_owned(),
        ..Oidc::default()
    };
    Auth { mode: Mode::Oidc, oidc, ..Auth::default() }
}
