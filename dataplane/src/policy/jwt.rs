//! Whether a JSON Web Token is to be believed, and whom it names (`websocket.auth: jwt`).
//!
//! RFC 7519 in the compact form of RFC 7515. A key is bound to its algorithm when it is read (`keys`), so what a token
//! says of its own algorithm chooses among keys and can never turn one key into another (RFC 8725 section 3.1).
//! The one door to `jsonwebtoken`, which reads keys, and with `tokens` to `ring`, which verifies.

mod keys;

pub use keys::{JWKS_BYTES_MAX, JwkSource, KeyRing, Keys};

use super::admission::{Identity, Refusal};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keys::Fit;
use ringway_shared::config::{self, Algorithm};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of a user's name, as everywhere in the configuration.
const SUBJECT_BYTES_MAX: usize = 255;
/// Keys that a token is tried with if it does not name one: each costs as much as the first.
const KEYS_TRIED_MAX: usize = 4;

/// What a token must hold besides a good signature.
#[derive(Clone, Debug)]
pub struct Rules {
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    leeway_s: u64,
}

/// RFC 7515 section 4.1: what of the header concerns us.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    /// Extensions that must be understood, of which there are none here.
    #[serde(borrow, default)]
    crit: Option<&'a RawValue>,
}

/// RFC 7519 section 4.1, and what Centrifugo's tokens hold beyond it.
#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow, default)]
    sub: Option<Cow<'a, str>>,
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(borrow, default)]
    iss: Option<Cow<'a, str>>,
    #[serde(default)]
    aud: Option<Audience>,
    #[serde(default)]
    channels: Option<Vec<String>>,
    #[serde(borrow, default)]
    info: Option<&'a RawValue>,
}

/// RFC 7519 section 4.1.3: one name or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Rules {
    #[must_use]
    pub fn new(config: &config::Jwt) -> Rules {
        Rules {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway_s: config.leeway.as_secs(),
        }
    }

    /// Whom the token names. It has been found short enough before.
    pub fn judge(&self, ring: &KeyRing, token: &str, now_unix_s: u64) -> Result<Identity, Refusal> {
        // Only what is signed is looked at any further (RFC 7515 section 5.2).
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::TokenMalformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refusal::TokenMalformed)?;
        if payload.contains('.') {
            return Err(Refusal::TokenMalformed);
        }
        let header = decoded(header)?;
        let header: Header<'_> = read(&header)?;
        if header.crit.is_some() {
            return Err(Refusal::TokenMalformed);
        }
        verify(ring, &header, message, signature)?;
        let payload = decoded(payload)?;
        self.judge_claims(read(&payload)?, now_unix_s)
    }

    fn judge_claims(&self, claims: Claims<'_>, now_unix_s: u64) -> Result<Identity, Refusal> {
        // A date may have a fraction (RFC 7519 section 2). Casts of what is out of range stop at its ends.
        let expires_at = claims.exp.map(|exp| (exp.floor() as u64).saturating_add(self.leeway_s));
        if expires_at.is_some_and(|end| now_unix_s >= end) {
            return Err(Refusal::TokenExpired);
        }
        let starts_at = claims.nbf.map_or(0, |nbf| nbf.ceil() as u64);
        if now_unix_s.saturating_add(self.leeway_s) < starts_at {
            return Err(Refusal::TokenEarly);
        }
        if self.issuer.is_some() && self.issuer.as_deref() != claims.iss.as_deref() {
            return Err(Refusal::TokenIssuer);
        }
        if let Some(audience) = &self.audience {
            let named = match &claims.aud {
                None => false,
                Some(Audience::One(name)) => **name == **audience,
                Some(Audience::Several(names)) => names.iter().any(|name| **name == **audience),
            };
            if !named {
                return Err(Refusal::TokenAudience);
            }
        }
        match claims.sub {
            Some(subject) if subject.len() <= SUBJECT_BYTES_MAX => Ok(Identity {
                user: subject.into(),
                expires_at,
                channels: claims.channels.into_iter().flatten().map(Arc::from).collect(),
                info: claims.info.map(|info| info.get().into()),
            }),
            _ => Err(Refusal::TokenSubject),
        }
    }
}

fn verify(ring: &KeyRing, header: &Header<'_>, message: &str, signature: &str) -> Result<(), Refusal> {
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.label() == header.alg);
    let algorithm = algorithm.ok_or(Refusal::TokenAlgorithm)?;
    match ring.fitting(header.kid.as_deref(), algorithm) {
        Fit::None => Err(Refusal::TokenKeyUnknown),
        Fit::OtherAlgorithm => Err(Refusal::TokenAlgorithm),
        Fit::Keys(keys) => {
            let signature = decoded(signature)?;
            let mut tried = keys.iter().take(KEYS_TRIED_MAX);
            let good = tried.any(|key| key.verifies(message.as_bytes(), &signature));
            if good { Ok(()) } else { Err(Refusal::TokenSignature) }
        }
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::TokenMalformed)
}

/// Reads a JSON object (RFC 7519 section 7.2); a list in the order of the fields would do for serde.
fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Refusal> {
    let is_object = json.trim_ascii_start().starts_with(b"{");
    let read = is_object.then(|| serde_json::from_slice(json).ok()).flatten();
    read.ok_or(Refusal::TokenMalformed)
}
