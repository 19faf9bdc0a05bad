//! Web origins (RFC 6454): what a browser writes in `Origin`, and what the configuration lists.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a host name (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 255;
/// Bytes of a scheme: the longest in use are those of browser extensions.
const SCHEME_BYTES_MAX: usize = 64;

/// A scheme, a host and a port. Lower case; an IPv6 address in its brackets and its shortest form; a port that is the
/// scheme's own is told as such, so that equal origins are equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub scheme: Box<str>,
    pub host: Box<str>,
    /// `None`: the scheme has no port of its own and none was written.
    pub port: Option<u16>,
}

impl Origin {
    /// Reads `scheme://host[:port]` and nothing else: no path, no slash at the end, no user. `None`: it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Origin> {
        let (scheme, rest) = text.split_once("://")?;
        // RFC 3986 section 3.1.
        let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let is_scheme = scheme.len() <= SCHEME_BYTES_MAX
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(part);
        if !is_scheme {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = authority(rest)?;
        Some(Origin { host, port: port.or(default_port(&scheme)), scheme: scheme.into() })
    }
}

/// Reads `host[:port]` as a `Host` header has it (RFC 9110 section 7.2). `None`: it is none.
#[must_use]
pub fn authority(text: &str) -> Option<(Box<str>, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (format!("[{address}]"), port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_name(host).then(|| host.to_ascii_lowercase())?, port)
        }
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host.into(), None)),
        None => None,
        // RFC 3986 section 3.2.3: a colon without a port stands for the default one.
        Some("") => Some((host.into(), None)),
        Some(port) => Some((host.into(), Some(number(port)?))),
    }
}

/// The port that a URL of this scheme means when it names none.
#[must_use]
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// A name or an IPv4 address. Browsers send names as DNS has them, so anything beyond ASCII is none.
fn is_name(host: &str) -> bool {
    let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(part)
}

fn number(port: &str) -> Option<u16> {
    let digits = port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| port.parse().ok())?
}

/// Whether a `Host` is an address or `localhost`: what nobody can point elsewhere. A name can be, by whoever owns it, and so make a
/// browser take two hosts for one (DNS rebinding).
#[must_use]
pub fn is_fixed_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse::<Ipv4Addr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<(String, String, Option<u16>)> {
        Origin::parse(text).map(|origin| (origin.scheme.into(), origin.host.into(), origin.port))
    }

    #[test]
    fn origins_are_told_apart_by_what_counts_alone() {
        for (text, scheme, host, port) in [
            ("https://app.example", "https", "app.example", Some(443)),
            ("HTTPS://App.Example:443", "https", "app.example", Some(443)),
            ("http://app.example", "http", "app.example", Some(80)),
            ("http://app.example:8080", "http", "app.example", Some(8080)),
            ("http://127.0.0.1:3000", "http", "127.0.0.1", Some(3000)),
            ("http://[::1]:3000", "http", "[::1]", Some(3000)),
            ("http://[0:0:0:0:0:0:0:1]", "http", "[::1]", Some(80)),
            ("chrome-extension://abcdefgh", "chrome-extension", "abcdefgh", None),
            ("capacitor://localhost", "capacitor", "localhost", None),
        ] {
            assert_eq!(read(text), Some((scheme.into(), host.into(), port)), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_none() {
        for text in [
            "",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/path",
            "https://app.example?x",
            "https://app.example#x",
            "https://user@app.example",
            "https://app.example:",
            "https://app.example:x",
            "https://app.example:65536",
            "https://app.example:+80",
            "https://app.example https://evil.example",
            "https://app.example,https://evil.example",
            "https://app.example\0",
            "https://bücher.example",
            "https://*.example",
            "https://[::1",
            "https://[::1]x",
            "https://[::1%eth0]",
            "https://::1",
            "ht tp://app.example",
            "://app.example",
            "https:///app.example",
        ] {
            let colon = text.ends_with("example:");
            assert_eq!(read(text).is_some(), colon, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in ".*") {
            let _ = authority(&text);
            if let Some(Origin { scheme, host, port }) = Origin::parse(&text) {
                let again = match port {
                    Some(port) => format!("{scheme}://{host}:{port}"),
                    None => format!("{scheme}://{host}"),
                };
                prop_assert_eq!(Origin::parse(&again), Some(Origin { scheme, host, port }));
            }
        }
    }
}
