//! The keys that tokens are signed with, each bound to its one algorithm, and how they are read.
//!
//! Those of the configuration stay as they are; those of JWK Sets (RFC 7517) are replaced, set by set, while
//! connections come in. The ring is asked at upgrades alone: a lock is good enough there.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use ring::hmac;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use ringway_shared::config::{self, Algorithm, KeyFile};
use serde::Deserialize;
use serde_json::Value;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes of a JWK Set.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;
/// Keys in one set; further ones are left out, and counted.
const KEYS_MAX: usize = 64;
/// RFC 7518 section 3.2: a key as long as the hash at least. A shorter one can be guessed from one token.
const SECRET_BYTES_MIN: usize = 32;
/// RFC 7518 section 3.3: 2048 bits at least. More than 4096 would cost a worker too much.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// Of a point on P-256: a mark and two coordinates.
const POINT_BYTES: usize = 1 + 2 * 32;
/// What a modulus and a public exponent of up to 8 bytes take more in DER (RFC 8017 appendix A.1.1).
const MODULUS_DER_BYTES: std::ops::RangeInclusive<usize> = 256 + 12..=512 + 22;

/// One key.
pub struct Key {
    /// Its name; tokens without a name, or keys without one, fit any.
    kid: Option<Box<str>>,
    material: Material,
}

/// A key is made for one algorithm and can be used for no other.
enum Material {
    Hs256(hmac::Key),
    Rs256(RsaPublicKeyComponents<Box<[u8]>>),
    /// As RFC 8017 appendix A.1.1 has it.
    Rs256Der(UnparsedPublicKey<Box<[u8]>>),
    /// A point, uncompressed.
    Es256(UnparsedPublicKey<Box<[u8]>>),
}

impl Key {
    fn nameless(material: Material) -> Key {
        Key { kid: None, material }
    }

    fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Hs256(_) => Algorithm::Hs256,
            Material::Rs256(_) | Material::Rs256Der(_) => Algorithm::Rs256,
            Material::Es256(_) => Algorithm::Es256,
        }
    }

    /// Whether it signed this. It takes 20 to 60 us for a public key, 1 us for a secret.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.material {
            Material::Hs256(key) => hmac::verify(key, message, signature),
            Material::Rs256(key) => key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature),
            Material::Rs256Der(key) | Material::Es256(key) => key.verify(message, signature),
        };
        verified.is_ok()
    }
}

/// Keys that were read, and how many could not be used.
#[derive(Default)]
pub struct Keys {
    keys: Vec<Key>,
    /// Left out: for other algorithms or uses, too short, or broken.
    pub skipped: usize,
}

impl Keys {
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Where a set that is replaced comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum JwkSource {
    /// `websocket.jwt.jwks_file`.
    File,
    /// `websocket.jwt.jwks_url`.
    Url,
}

/// All keys there are.
pub struct KeyRing {
    fixed: Arc<[Arc<Key>]>,
    sets: RwLock<[Arc<[Arc<Key>]>; 2]>,
    /// Tokens that named a key nobody knows: a reason to look for new ones.
    unknown_keys: AtomicU64,
    /// What `fixed` and the file's set were made of, and where the other is fetched.
    config: Arc<config::Jwt>,
}

/// What there is for a token.
pub enum Fit {
    /// No key of its name, or none at all for its algorithm.
    None,
    /// Its key is for another algorithm, or its algorithm is not allowed.
    OtherAlgorithm,
    Keys(Vec<Arc<Key>>),
}

impl KeyRing {
    /// The keys that the configuration names. What was fetched from the same URL before is kept. The error is for the
    /// operator: it names the key and the file.
    pub fn new(config: &Arc<config::Jwt>, before: Option<&KeyRing>) -> Result<KeyRing, String> {
        let mut fixed = Vec::new();
        if let Some(secret) = &config.secret {
            fixed.push(Arc::new(secret_key(&secret.0)?));
        }
        for file in &config.public_keys {
            let key = public_key(file)?;
            if !config.algorithms.contains(key.algorithm()) {
                let why = "which websocket.jwt.algorithms does not name: add it, or remove the file";
                return Err(about(file, &format!("is for {}, {why}", key.algorithm().label())));
            }
            fixed.push(Arc::new(key));
        }
        let ring = KeyRing {
            fixed: fixed.into(),
            sets: RwLock::new([Arc::from([]), Arc::from([])]),
            unknown_keys: AtomicU64::new(0),
            config: config.clone(),
        };
        if let Some(before) = before {
            ring.take_over(before);
        }
        if let Some(file) = &config.jwks_file {
            let keys = ring.read(&file.text, JwkSource::File);
            let keys =
                keys.map_err(|why| format!("websocket.jwt.jwks_file {}: {why}", file.path.display()))?;
            ring.replace(JwkSource::File, keys);
        }
        Ok(ring)
    }

    /// Takes what the ring used until now has fetched, if it was from the same place.
    pub fn take_over(&self, before: &KeyRing) {
        self.unknown_keys.store(before.unknown_keys(), Relaxed);
        if before.config.jwks_url == self.config.jwks_url {
            let fetched = before.set(JwkSource::Url);
            self.sets.write().unwrap_or_else(PoisonError::into_inner)[JwkSource::Url as usize] = fetched;
        }
    }

    /// What the configuration says of the keys.
    #[must_use]
    pub fn config(&self) -> &config::Jwt {
        &self.config
    }

    /// Reads a JWK Set. What is in it that cannot be used is left out (RFC 7517 section 5); an error if nothing is
    /// left, or if it is none: then the keys there were are better. The text tells what to do, and no key.
    pub fn read(&self, text: &str, source: JwkSource) -> Result<Keys, String> {
        if text.len() > JWKS_BYTES_MAX {
            return Err(format!("is larger than {JWKS_BYTES_MAX} bytes: this is no JWK Set"));
        }
        let set: JwkSet = serde_json::from_str(text)
            .map_err(|error| format!("is no JWK Set, {{\"keys\": […]}}: wrong in line {}", error.line()))?;
        let mut read = Keys::default();
        for jwk in set.keys {
            let key = serde_json::from_value(jwk).ok().and_then(|jwk| jwk_key(jwk, source));
            match key
                .filter(|key| self.config.algorithms.contains(key.algorithm()) && read.keys.len() < KEYS_MAX)
            {
                Some(key) => read.keys.push(key),
                None => read.skipped += 1,
            }
        }
        if read.is_empty() {
            let names: Vec<_> = Algorithm::ALL
                .into_iter()
                .filter(|one| self.config.algorithms.contains(*one))
                .map(Algorithm::label)
                .collect();
            return Err(format!("holds no key for {}, of {} keys in it", names.join(" or "), read.skipped));
        }
        Ok(read)
    }

    /// From now on these are the keys of `source`.
    pub fn replace(&self, source: JwkSource, keys: Keys) {
        let keys = keys.keys.into_iter().map(Arc::new).collect();
        self.sets.write().unwrap_or_else(PoisonError::into_inner)[source as usize] = keys;
    }

    /// How many tokens named a key that nobody knows.
    #[must_use]
    pub fn unknown_keys(&self) -> u64 {
        self.unknown_keys.load(Relaxed)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fixed.len() + self.set(JwkSource::File).len() + self.set(JwkSource::Url).len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys for a token of this name and algorithm: those of the name, or those without one.
    pub(super) fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> Fit {
        if !self.config.algorithms.contains(algorithm) {
            return Fit::OtherAlgorithm;
        }
        let sets = self.sets.read().unwrap_or_else(PoisonError::into_inner).clone();
        let all = || self.fixed.iter().chain(sets.iter().flat_map(|set| set.iter()));
        let named = |key: &&Arc<Key>| kid.is_some_and(|kid| key.kid.as_deref() == Some(kid));
        let nameless = |key: &&Arc<Key>| kid.is_none() || key.kid.is_none();
        let for_it = |key: &&Arc<Key>| key.algorithm() == algorithm;
        if all().any(|key| named(&key)) {
            let keys: Vec<_> = all().filter(named).filter(for_it).cloned().collect();
            return if keys.is_empty() { Fit::OtherAlgorithm } else { Fit::Keys(keys) };
        }
        let keys: Vec<_> = all().filter(nameless).filter(for_it).cloned().collect();
        if !keys.is_empty() {
            return Fit::Keys(keys);
        }
        self.unknown_keys.fetch_add(1, Relaxed);
        Fit::None
    }

    fn set(&self, source: JwkSource) -> Arc<[Arc<Key>]> {
        self.sets.read().unwrap_or_else(PoisonError::into_inner)[source as usize].clone()
    }
}

fn secret_key(secret: &[u8]) -> Result<Key, String> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(format!(
            "the secret of websocket.jwt has {} bytes: HS256 needs {SECRET_BYTES_MIN} at least (RFC 7518 section 3.2); make one with \
             `openssl rand -hex 32`",
            secret.len()
        ));
    }
    Ok(Key::nameless(Material::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret))))
}

fn about(file: &KeyFile, why: &str) -> String {
    format!("websocket.jwt.public_key_files {}: {why}", file.path.display())
}

/// The one public key of a PEM file (RFC 7468 section 13, or RFC 8017's own form).
fn public_key(file: &KeyFile) -> Result<Key, String> {
    let named = |why: &str| about(file, why);
    let text = &*file.text;
    if text.contains("PRIVATE KEY-----") {
        return Err(named(
            "holds a private key, which belongs to who signs: write the public one alone, as `openssl pkey -pubout` gives it",
        ));
    }
    if text.matches("-----BEGIN ").count() != 1 || !text.contains("PUBLIC KEY-----") {
        return Err(named("is not one public key in PEM: it begins with -----BEGIN PUBLIC KEY-----"));
    }
    if let Ok(key) = DecodingKey::from_rsa_pem(text.as_bytes()) {
        let der = key.as_bytes();
        if !MODULUS_DER_BYTES.contains(&der.len()) {
            return Err(named("is an RSA key of less than 2048 or more than 4096 bits"));
        }
        let key = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, der.into());
        return Ok(Key::nameless(Material::Rs256Der(key)));
    }
    let point = DecodingKey::from_ec_pem(text.as_bytes()).ok().and_then(|key| es256(key.as_bytes()));
    let material =
        point.ok_or_else(|| named("is neither an RSA key nor one on P-256, the curve of ES256"))?;
    Ok(Key::nameless(material))
}

/// A key for ES256, if the point is as long as one of its curve (SEC 1 section 2.3.3). One that is not on the curve
/// verifies nothing.
fn es256(point: &[u8]) -> Option<Material> {
    let fits = point.len() == POINT_BYTES && point[0] == 4;
    fits.then(|| Material::Es256(UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point.into())))
}

/// RFC 7517 section 5.
#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

/// RFC 7517 section 4 and RFC 7518 section 6: what of a key concerns us.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

/// The key, if it is one to verify with. A secret that can be fetched is none.
fn jwk_key(jwk: Jwk, source: JwkSource) -> Option<Key> {
    let algorithm = match (&*jwk.kty, jwk.crv.as_deref()) {
        ("RSA", _) => Algorithm::Rs256,
        ("EC", Some("P-256")) => Algorithm::Es256,
        ("oct", _) if source == JwkSource::File => Algorithm::Hs256,
        _ => return None,
    };
    let is_for_this = jwk.alg.is_none_or(|alg| alg == algorithm.label())
        && jwk.usage.is_none_or(|usage| usage == "sig")
        && jwk.key_ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !is_for_this {
        return None;
    }
    let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
    let kid = jwk.kid.map(String::into_boxed_str);
    let material = match algorithm {
        Algorithm::Rs256 => {
            let (n, e) = (bytes(jwk.n)?, bytes(jwk.e)?);
            // RFC 7518 section 6.3.1.1 forbids a leading zero, and some write one.
            let n = n.strip_prefix(&[0]).unwrap_or(&n);
            let fits = MODULUS_BYTES.contains(&n.len()) && (1..=8).contains(&e.len());
            fits.then(|| Material::Rs256(RsaPublicKeyComponents { n: n.into(), e: e.into() }))?
        }
        Algorithm::Es256 => es256(&[vec![4], bytes(jwk.x)?, bytes(jwk.y)?].concat())?,
        Algorithm::Hs256 => secret_key(&bytes(jwk.k)?).ok()?.material,
    };
    Some(Key { kid, material })
}
