//! Issues tokens as others do, and makes admissions that judge them.

#![allow(clippy::unwrap_used, dead_code)] // each test file uses its part of this

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Signed, EncodingKey, crypto};
use ringway_dataplane::policy::admission::{Admission, Refusal};
use ringway_shared::config::{self, Algorithm, Algorithms, GatewayAuth, Jwt, KeyFile, OneSession, Secret};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub const SECRET: &str = "a secret of more than thirty-two bytes";
pub const NOW: u64 = 1_800_000_000;

#[macro_export]
macro_rules! key {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jwt_keys/", $name))
    };
}

pub fn jwt() -> Jwt {
    Jwt {
        secret: None,
        public_keys: Vec::new(),
        jwks_file: None,
        jwks_url: None,
        jwks_refresh: Duration::from_secs(300),
        issuer: None,
        audience: None,
        leeway: Duration::ZERO,
        algorithms: Algorithm::ALL.into_iter().fold(Algorithms::default(), Algorithms::with),
    }
}

pub fn with_secret() -> Jwt {
    Jwt { secret: Some(Secret(SECRET.as_bytes().into())), ..jwt() }
}

pub fn with_pem(text: &str) -> Jwt {
    Jwt { public_keys: vec![file(text)], ..jwt() }
}

pub fn file(text: &str) -> KeyFile {
    KeyFile { path: "keys/one.pem".into(), text: text.into() }
}

pub fn set(keys: &[&str]) -> String {
    format!("{{\"keys\": [{}]}}", keys.join(","))
}

pub fn try_admission(jwt: Jwt, before: Option<&Admission>) -> Result<Admission, String> {
    let config = config::Admission {
        auth: GatewayAuth::Jwt(Arc::new(jwt)),
        allowed_origins: Vec::new(),
        connections_per_user: None,
        one_session: OneSession::Off,
        connection_rate: None,
    };
    Admission::new(&config, false, before)
}

pub fn admission(jwt: Jwt) -> Admission {
    try_admission(jwt, None).unwrap()
}

pub fn fault(jwt: Jwt) -> String {
    try_admission(jwt, None).err().unwrap()
}

pub enum Signer {
    Secret(&'static [u8]),
    Rsa(&'static str),
    Ec(&'static str),
}

pub const HS: Signer = Signer::Secret(SECRET.as_bytes());
pub const RSA: Signer = Signer::Rsa(key!("rsa.pem"));
pub const RSA2: Signer = Signer::Rsa(key!("rsa2.pem"));
pub const EC: Signer = Signer::Ec(key!("ec.pem"));

impl Signer {
    pub fn sign(&self, message: &str) -> String {
        let (algorithm, key) = match self {
            Signer::Secret(secret) => (Signed::HS256, EncodingKey::from_secret(secret)),
            Signer::Rsa(pem) => (Signed::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()),
            Signer::Ec(pem) => (Signed::ES256, EncodingKey::from_ec_pem(pem.as_bytes()).unwrap()),
        };
        crypto::sign(message.as_bytes(), &key, algorithm).unwrap()
    }

    /// A token with exactly this header and these claims.
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(&header.to_string()), encoded(&claims.to_string()));
        format!("{message}.{}", self.sign(&message))
    }
}

pub fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

pub fn alice() -> Value {
    json!({"sub": "alice", "exp": NOW + 60})
}

pub fn user(admission: &Admission, token: &str) -> Result<String, Refusal> {
    admission.identify(token, NOW).map(|identity| identity.user.to_string())
}
