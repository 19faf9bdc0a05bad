//! SOCKS5: RFC 1928, with the passwords of RFC 1929.

mod message;
mod reply;

pub use message::{LENGTH_MAX, credentials, greeting, request};
pub use reply::answer;

use std::net::IpAddr;

/// VER of the greeting, the request and the reply.
pub const VERSION: u8 = 5;
/// VER of the sub-negotiation of a name and a password.
pub const AUTHENTICATION_VERSION: u8 = 1;

/// ATYP (RFC 1928 section 5).
pub const ATYP_IPV4: u8 = 1;
pub const ATYP_NAME: u8 = 3;
pub const ATYP_IPV6: u8 = 4;

/// METHOD (RFC 1928 section 3).
pub const NO_AUTHENTICATION: u8 = 0;
pub const NAME_AND_PASSWORD: u8 = 2;
pub const NO_ACCEPTABLE_METHODS: u8 = 0xff;

/// The answer to the greeting: VER METHOD.
pub fn selection(method: u8) -> [u8; 2] {
    [VERSION, method]
}

/// The answer to a name and a password: VER STATUS (RFC 1929 section 2).
pub fn status(accepted: bool) -> [u8; 2] {
    [AUTHENTICATION_VERSION, u8::from(!accepted)]
}

/// ATYP and an address in its own family.
pub fn push_address(ip: IpAddr, output: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => {
            output.push(ATYP_IPV4);
            output.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            output.push(ATYP_IPV6);
            output.extend(ip.octets());
        }
    }
}
