//! The Basic scheme, RFC 7617.

use crate::proto::credentials::{Credentials, wipe};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const SCHEME: &[u8] = b"Basic";

/// Reads a Proxy-Authorization field. `None`: it shows no name and password that we could read.
pub fn read(field: &[u8]) -> Option<Credentials> {
    let (scheme, rest) = field.split_at_checked(SCHEME.len())?;
    // RFC 9110 section 11.1: a scheme's name is case-insensitive, and at least one space follows it.
    if !scheme.eq_ignore_ascii_case(SCHEME) || !rest.starts_with(b" ") {
        return None;
    }
    let mut pair = STANDARD.decode(rest.trim_ascii()).ok()?;
    // Section 2: the name ends at the first colon; the password may hold more of them.
    let colon = pair.iter().position(|byte| *byte == b':');
    let credentials =
        colon.map(|colon| Credentials { name: pair[..colon].into(), password: pair[colon + 1..].into() });
    wipe(&mut pair);
    credentials
}

/// Writes such a field.
pub fn write(name: &[u8], password: &[u8]) -> String {
    format!("Basic {}", STANDARD.encode([name, b":", password].concat()))
}
