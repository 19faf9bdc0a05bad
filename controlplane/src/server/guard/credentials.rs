//! What a request shows: a token, or a key of the publish API. Only digests leave this page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use sha2::{Digest, Sha256};

const KEY: &str = "x-api-key";
const KEY_SCHEME: &str = "apikey";

/// What was found of one kind.
pub enum Shown<T> {
    Nothing,
    One(T),
    Several,
    /// Something that is none of the kind.
    Unknown,
}

/// A token as it was shown.
pub struct Token {
    /// By Basic alone.
    pub name: Option<String>,
    pub digest: [u8; 32],
}

/// The token: RFC 6750 section 2.1 or RFC 7617.
pub fn token(headers: &HeaderMap) -> Shown<Token> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    match (shown.next(), shown.next()) {
        (None, _) => Shown::Nothing,
        (Some(_), Some(_)) => Shown::Several,
        (Some(value), None) => of_value(value).map_or(Shown::Unknown, Shown::One),
    }
}

fn of_value(value: &HeaderValue) -> Option<Token> {
    if let Some(token) = of_scheme(value, "bearer") {
        return (!token.is_empty()).then(|| Token { name: None, digest: digest(token) });
    }
    let pair = STANDARD.decode(of_scheme(value, "basic")?).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&pair[..colon]).ok()?.to_owned();
    Some(Token { name: Some(name), digest: digest(&pair[colon + 1..]) })
}

/// The key of the publish API.
pub fn key(headers: &HeaderMap) -> Shown<&[u8]> {
    let named = headers.get_all(KEY).iter().map(HeaderValue::as_bytes);
    let schemed = headers.get_all(AUTHORIZATION).iter().filter_map(|value| of_scheme(value, KEY_SCHEME));
    let mut keys = named.chain(schemed);
    match (keys.next(), keys.next()) {
        (None, _) => Shown::Nothing,
        (Some(_), Some(_)) => Shown::Several,
        // A key and a token are two answers to one question.
        (Some(_), None) if headers.contains_key(KEY) && headers.contains_key(AUTHORIZATION) => Shown::Several,
        (Some(key), None) => Shown::One(key),
    }
}

pub fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// What stands behind the scheme's name (RFC 9110 section 11.4).
fn of_scheme<'a>(value: &'a HeaderValue, scheme: &str) -> Option<&'a [u8]> {
    let bytes = value.as_bytes();
    let (start, rest) = (bytes.get(..scheme.len())?, &bytes[scheme.len()..]);
    (start.eq_ignore_ascii_case(scheme.as_bytes()) && rest.starts_with(b" ")).then(|| rest.trim_ascii())
}
