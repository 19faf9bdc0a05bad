//! The PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt): who the client is, told by a proxy
//! in front of us, and by us to a target. Own code and no package: decision 5.

mod v1;
mod v2;

use super::reader::Reader;
use ringway_shared::config::ProxyVersion;
use std::net::{IpAddr, SocketAddr};

/// The longest header that is read, additions (TLVs) included. The specification allows 64 KiB; what load
/// balancers send stays below 1 KiB, or 4 with a client's certificate.
pub const HEADER_BYTES_MAX: usize = 4096;
const _: () = assert!(v1::LINE_BYTES_MAX < HEADER_BYTES_MAX);

/// What a connection's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The start of a header; ask again with more.
    More,
    /// A header of so many bytes.
    Header {
        length: usize,
        /// The client; `None`: the connection speaks for itself (UNKNOWN, LOCAL, and what is not TCP over IP).
        source: Option<SocketAddr>,
    },
    /// No header, whatever may follow.
    Invalid,
}

/// What one version's reader found: `None` if the header is not whole yet.
type Found = Option<Result<Option<SocketAddr>, NoHeader>>;

struct NoHeader;

/// Reads a header from all bytes that came so far. Of more bytes than it told `More` of, it tells the same as of
/// the same bytes at once.
#[must_use]
pub fn read(bytes: &[u8]) -> Progress {
    let mut input = Reader::over(bytes);
    let found =
        if bytes.first() == v2::SIGNATURE.first() { v2::read(&mut input) } else { v1::read(&mut input) };
    match found {
        None => Progress::More,
        Some(Ok(source)) => Progress::Header { length: bytes.len() - input.left(), source },
        Some(Err(NoHeader)) => Progress::Invalid,
    }
}

/// The header to send before the first payload byte.
#[must_use]
pub fn write(version: ProxyVersion, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (source, destination) = of_one_family(source, destination);
    match version {
        ProxyVersion::V1 => v1::write(source, destination),
        ProxyVersion::V2 => v2::write(source, destination),
    }
}

/// Both formats have one family for both addresses: where they differ, IPv4 is written as IPv6.
fn of_one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(v4) if from.is_ipv4() != to.is_ipv4() => IpAddr::V6(v4.to_ipv6_mapped()),
        ip => ip,
    };
    (SocketAddr::new(mapped(from), source.port()), SocketAddr::new(mapped(to), destination.port()))
}

/// Whether `bytes` are the start of `whole`, or it of them.
fn agree(bytes: &[u8], whole: &[u8]) -> bool {
    bytes.iter().zip(whole).all(|(byte, wanted)| byte == wanted)
}

/// The client as policy should see it: an IPv4 address in IPv6 clothes is an IPv4 address.
fn client(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into().to_canonical(), port)
}
