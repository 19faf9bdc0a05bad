//! Version 1, one line of text: `PROXY TCP4 192.0.2.1 198.51.100.7 56324 443` (section 2.1).

use super::{Found, NoHeader, agree, client};
use crate::proto::reader::Reader;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Section 2.1: the worst case, CRLF included.
pub const LINE_BYTES_MAX: usize = 107;

const TCP4: &[u8] = b"PROXY TCP4 ";
const TCP6: &[u8] = b"PROXY TCP6 ";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN";
const END: &[u8] = b"\r\n";

pub fn read(input: &mut Reader) -> Found {
    let line = &input.rest()[..input.left().min(LINE_BYTES_MAX)];
    let Some(start) = [TCP4, TCP6, UNKNOWN].into_iter().find(|start| agree(line, start)) else {
        return Some(Err(NoHeader));
    };
    let rest = line.get(start.len()..)?;
    let read = if start == UNKNOWN { unknown(rest) } else { addresses(rest, start == TCP6) };
    match read {
        Some(Ok((length, source))) => {
            input.bytes(start.len() + length)?;
            Some(Ok(source))
        }
        Some(Err(no_header)) => Some(Err(no_header)),
        // "If the CRLF sequence is not found in the first 107 characters", the line is invalid.
        None => (line.len() == LINE_BYTES_MAX).then_some(Err(NoHeader)),
    }
}

/// What is left of a line: its length with the CRLF, and the client.
type Rest = Option<Result<(usize, Option<SocketAddr>), NoHeader>>;

/// "The receiver must ignore anything presented before the CRLF is found."
fn unknown(rest: &[u8]) -> Rest {
    if !matches!(rest.first()?, b' ' | b'\r') {
        return Some(Err(NoHeader));
    }
    let end = rest.windows(END.len()).position(|pair| pair == END)?;
    Some(Ok((end + END.len(), None)))
}

fn addresses(rest: &[u8], ipv6: bool) -> Rest {
    // What is no part of an address, a port or a space ends the fields, and must be the CRLF.
    let end = rest
        .iter()
        .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b'.' | b':' | b' '))?;
    let (fields, tail) = rest.split_at(end);
    if !agree(tail, END) {
        return Some(Err(NoHeader));
    }
    tail.get(END.len() - 1)?;
    let source = std::str::from_utf8(fields).ok().and_then(|fields| source_of(fields, ipv6));
    Some(source.map(|source| (end + END.len(), Some(source))).ok_or(NoHeader))
}

/// Source and destination address, source and destination port, one space between each two.
fn source_of(fields: &str, ipv6: bool) -> Option<SocketAddr> {
    let mut fields = fields.split(' ');
    let address = |text: &str| -> Option<IpAddr> {
        if ipv6 {
            text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        } else {
            text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        }
    };
    let (source, _destination) = (address(fields.next()?)?, address(fields.next()?)?);
    let (source_port, _destination_port) = (port(fields.next()?)?, port(fields.next()?)?);
    fields.next().is_none().then(|| client(source, source_port))
}

/// "Heading zeroes are not permitted." A sign cannot get here.
fn port(digits: &str) -> Option<u16> {
    let plain = digits == "0" || !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

/// Both addresses are of one family.
pub fn write(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}
