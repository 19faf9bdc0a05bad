//! The target of a CONNECT: `host:port`, and nothing but that (RFC 9112 section 3.2.3, authority-form).

use crate::proto::host;
use ringway_shared::reason::Reason;
use ringway_shared::session::Target;

/// As in the other protocols, whose names are led by one byte of length or bounded by us.
const HOST_BYTES_MAX: usize = 255;
const PORT_DIGITS_MAX: usize = 5;

pub fn read(text: &str) -> Result<Target, Reason> {
    let (host, port) = text.rsplit_once(':').ok_or(Reason::Malformed)?;
    // RFC 3986 section 3.2.2: an IPv6 address stands in brackets, or its last group would be a port.
    if host.contains(':') && !host.starts_with('[') {
        return Err(Reason::Malformed);
    }
    if host.len() > HOST_BYTES_MAX {
        return Err(Reason::BadName);
    }
    let port = port_of(port).ok_or(Reason::Malformed)?;
    let host = host::read(host.as_bytes()).ok_or(Reason::BadName)?;
    Ok(Target { host, port })
}

/// RFC 9110 section 9.3.6: an empty or invalid port must be refused; nobody listens on port 0.
fn port_of(digits: &str) -> Option<u16> {
    let plain = (1..=PORT_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}
