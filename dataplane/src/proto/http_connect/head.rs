//! A request's head: where it ends, and what in it is an error.

use crate::proto::reader::{Message, Reader};
use ringway_shared::reason::Reason;

/// The request line and the header section together; nobody's tunnel needs more.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
pub const HEADERS_MAX: usize = 64;

/// What of a head matters here.
pub struct Head<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub authorization: Option<&'a [u8]>,
}

/// Takes a head up to and with its empty line.
///
/// RFC 9112 section 2.2 lets a server read a bare LF as a line's end and a bare CR as a space: two readers who
/// differ there can be played off against each other, so here both are errors, each as soon as it is seen.
pub fn framed<'a>(input: &mut Reader<'a>) -> Message<&'a [u8]> {
    let bytes = input.rest();
    // From the first unseen byte: or a head sent a byte at a time would cost its length squared.
    for (at, byte) in bytes.iter().enumerate().take(HEAD_BYTES_MAX).skip(input.seen()) {
        let after_cr = bytes[..at].ends_with(b"\r");
        if *byte == 0 || (*byte == b'\n') != after_cr {
            return Some(Err(Reason::Malformed));
        }
        if bytes[..=at].ends_with(b"\r\n\r\n") {
            return input.bytes(at + 1).map(Ok);
        }
    }
    (bytes.len() >= HEAD_BYTES_MAX).then_some(Err(Reason::HeaderTooLarge))
}

/// Reads a whole head of a CONNECT.
pub fn parse(bytes: &[u8]) -> Result<Head<'_>, Reason> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let request = read(bytes, &mut headers)?;
    let (Some(method), Some(target)) = (request.method, request.path) else { return Err(Reason::Malformed) };
    let authorization = only(request.headers, "proxy-authorization")?;
    Ok(Head { method, target, authorization })
}

/// Reads a whole head of any method. `httparse` refuses folded lines, space before a colon and control characters.
pub fn read<'h, 'b>(
    bytes: &'b [u8],
    headers: &'h mut [httparse::Header<'b>; HEADERS_MAX],
) -> Result<httparse::Request<'h, 'b>, Reason> {
    // RFC 9112 section 2.2: a server should ignore at least one empty line before the request line.
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let mut request = httparse::Request::new(headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Reason::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(Reason::HeaderTooLarge),
        Err(httparse::Error::Version) if speaks_other_version(bytes) => return Err(Reason::BadVersion),
        Err(_) => return Err(Reason::Malformed),
    }
    match only(request.headers, "host")? {
        // RFC 9112 section 3.2: HTTP/1.1 must have one, though a CONNECT's target says all there is.
        None if request.version == Some(1) => Err(Reason::Malformed),
        Some(host) if !may_name_a_host(host) => Err(Reason::Malformed),
        _ => Ok(request),
    }
}

/// The value of a field that may stand once at most: of two, another reader might believe the other.
pub fn only<'a>(headers: &[httparse::Header<'a>], name: &str) -> Result<Option<&'a [u8]>, Reason> {
    let mut values =
        headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Reason::Malformed),
    }
}

/// Whether it is made of what a host and its port are made of (RFC 3986 section 3.2.2); an empty Host is one.
fn may_name_a_host(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

/// Whether a request line ends in a well-formed version (RFC 9112 section 2.3) that is not one of ours.
fn speaks_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = line else { return false };
    major.is_ascii_digit() && minor.is_ascii_digit()
}
