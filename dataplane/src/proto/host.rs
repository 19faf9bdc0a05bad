//! What a client may name as a host, whatever protocol it speaks.

use ringway_shared::session::Host;
use std::net::{IpAddr, Ipv6Addr};

/// Reads a host name as it stood on the wire. `None`: no name at all, and never to be resolved.
///
/// An address written as text becomes an address here, so that policy judges it as one. Whatever else a
/// resolver might take for an address ("127.1", "0x7f000001", "2130706433") is no name.
#[must_use]
pub fn read(name: &[u8]) -> Option<Host> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some(address) = address_literal(name) {
        return Some(Host::Address(address));
    }
    let is_name = !name.is_empty() && !name.contains(forbidden) && !ends_in_a_number(name);
    is_name.then(|| Host::Name(name.into()))
}

fn address_literal(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse().ok(),
    }
}

/// The forbidden domain code points of the WHATWG URL standard, section 3.1 (NUL and all controls among
/// them: they would also let a client write lines of its own into a log).
fn forbidden(c: char) -> bool {
    c.is_control() || c.is_whitespace() || "#%/:<>?@[\\]^|".contains(c)
}

/// The "ends in a number checker" of the WHATWG URL standard, section 3.5: inet_aton(3) takes such
/// names for IPv4 addresses, and no top-level domain is a number.
fn ends_in_a_number(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_as_the_client_wrote_it() {
        for name in
            ["example.org", "EXAMPLE.org.", "x", "_srv._tcp.a-b.c", "1.example", "münchen.de", "0xcafe.org"]
        {
            assert_eq!(read(name.as_bytes()), Some(Host::Name(name.into())), "{name}");
        }
    }

    #[test]
    fn an_address_in_text_is_an_address() {
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ] {
            assert_eq!(read(text.as_bytes()), Some(Host::Address(address.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn odd_spellings_of_addresses_are_no_names() {
        for text in [
            "127.1",
            "0x7f000001",
            "0X7F.1",
            "2130706433",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "256.0.0.1",
            "a.0x",
            "a.b.7",
            "[127.0.0.1]",
            "[::1",
            "::1]",
            "fe80::1%eth0",
            "1::2::3",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn empty_binary_and_hostile_names_are_no_names() {
        for bytes in [
            &b""[..],
            b"\0",
            b"a\0",
            b"example.org\0.evil",
            b"a b",
            b"a\nb",
            b"a\x7f",
            b"a/b",
            b"user@host",
            b"\xff\xfe",
            b"a\xc2\x85b",
        ] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }
}
