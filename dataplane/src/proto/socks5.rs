//! SOCKS5: RFC 1928, with the passwords of RFC 1929.

mod message;
mod reply;

pub(super) use message::{LENGTH_MAX, credentials, greeting, request};
pub(super) use reply::answer;

/// VER of the greeting, the request and the reply.
const VERSION: u8 = 5;
/// VER of the sub-negotiation of a name and a password.
const AUTHENTICATION_VERSION: u8 = 1;

/// METHOD (RFC 1928 section 3).
pub(super) const NO_AUTHENTICATION: u8 = 0;
pub(super) const NAME_AND_PASSWORD: u8 = 2;
pub(super) const NO_ACCEPTABLE_METHODS: u8 = 0xff;

/// The answer to the greeting: VER METHOD.
pub(super) fn selection(method: u8) -> [u8; 2] {
    [VERSION, method]
}

/// The answer to a name and a password: VER STATUS (RFC 1929 section 2).
pub(super) fn status(accepted: bool) -> [u8; 2] {
    [AUTHENTICATION_VERSION, u8::from(!accepted)]
}
