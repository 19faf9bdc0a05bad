//! Version 2, binary (section 2.2).

use super::{Found, HEADER_BYTES_MAX, NoHeader, agree, client};
use crate::proto::reader::Reader;
use std::net::{IpAddr, SocketAddr};

pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Version and command.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Address family and transport: the two that our clients can have.
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// Both addresses, both ports.
const IPV4_BYTES: usize = 2 * 4 + 2 * 2;
const IPV6_BYTES: usize = 2 * 16 + 2 * 2;
/// Signature, version and command, family and transport, length.
const FIXED_BYTES: usize = SIGNATURE.len() + 1 + 1 + 2;

/// Additions behind the addresses (TLVs) are skipped. A checksum among them is not verified: TCP has its own.
pub fn read(input: &mut Reader) -> Found {
    if !agree(input.rest(), &SIGNATURE) {
        return Some(Err(NoHeader));
    }
    input.bytes(SIGNATURE.len())?;
    let command = input.byte()?;
    if !matches!(command, LOCAL | PROXY) {
        return Some(Err(NoHeader));
    }
    let family = input.byte()?;
    // Of LOCAL the family "is ignored"; else unassigned values "must be rejected".
    let assigned = family >> 4 <= 3 && family & 0xf <= 2;
    let addresses = match family {
        _ if command == LOCAL => 0,
        TCP_OVER_IPV4 => IPV4_BYTES,
        TCP_OVER_IPV6 => IPV6_BYTES,
        // Valid, but nothing of ours: "falls back to the UNSPEC mode".
        _ if assigned => 0,
        _ => return Some(Err(NoHeader)),
    };
    let length = usize::from(u16::from_be_bytes(input.array()?));
    if length < addresses || length > HEADER_BYTES_MAX - FIXED_BYTES {
        return Some(Err(NoHeader));
    }
    let mut block = Reader::over(input.bytes(length)?);
    Some(Ok(match addresses {
        IPV4_BYTES => source(&mut block, Reader::array::<4>),
        IPV6_BYTES => source(&mut block, Reader::array::<16>),
        _ => None,
    }))
}

fn source<'a, A: Into<IpAddr>>(
    block: &mut Reader<'a>,
    address: fn(&mut Reader<'a>) -> Option<A>,
) -> Option<SocketAddr> {
    let (source, _destination) = (address(block)?, address(block)?);
    Some(client(source, block.port()?))
}

/// Both addresses are of one family.
pub fn write(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (family, length) =
        if source.is_ipv4() { (TCP_OVER_IPV4, IPV4_BYTES) } else { (TCP_OVER_IPV6, IPV6_BYTES) };
    let mut header = Vec::with_capacity(FIXED_BYTES + length);
    header.extend(SIGNATURE);
    header.extend([PROXY, family]);
    header.extend((length as u16).to_be_bytes());
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(ip) => header.extend(ip.octets()),
            IpAddr::V6(ip) => header.extend(ip.octets()),
        }
    }
    for address in [source, destination] {
        header.extend(address.port().to_be_bytes());
    }
    header
}
