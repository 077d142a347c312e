//! An issuer of tokens: its public key, served on loopback.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Serves a key on loopback, to whoever asks, as long as the program runs. Returns where.
pub async fn issuer(pair: &KeyPair, key: &EncodingKey, algorithm: Algorithm) -> Result<String> {
    let mut public: Value = if algorithm == Algorithm::EdDSA {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw()) })
    } else {
        serde_json::to_value(Jwk::from_encoding_key(key, algorithm)?)?
    };
    public["kid"] = json!("key");
    public.as_object_mut().context("a key is an object")?.remove("alg");
    let body = json!({ "keys": [public] }).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ";
    let answer = format!("{head}{}\r\n\r\n{body}", body.len());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/keys", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Ok(url)
}
