//! The header on each datagram between a client and its association: RFC 1928 section 7.
//!
//! [`Datagram::read`] takes a client's datagram apart, [`Header::of`] makes what goes before a peer's, and
//! [`Reassembly`] puts fragments together. The address is left as it stood on the wire: a client that sends
//! many datagrams to one target has it understood once.

use super::host;
use super::reader::Reader;
use super::socks5::{ATYP_IPV4, ATYP_IPV6, ATYP_NAME};
pub use reassembly::{HELD_BYTES_MAX, Reassembly, Taken, Whole};
use ringway_shared::session::{Host, Target};
use std::net::{IpAddr, SocketAddr};

mod reassembly;

/// The longest header ringway writes: RSV, FRAG, ATYP, an IPv6 address, the port.
pub const HEADER_BYTES_MAX: usize = 2 + 1 + 1 + 16 + 2;

/// What one datagram of a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub fragment: Fragment,
    /// ATYP, DST.ADDR and DST.PORT: equal bytes mean an equal target.
    pub address: &'a [u8],
    pub payload: &'a [u8],
}

/// FRAG: what part of a sequence a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// It stands for itself.
    Whole,
    /// Its place, from 1 to 127. With the high-order bit it is the end of its sequence.
    Part { place: u8, last: bool },
}

impl Fragment {
    fn of(frag: u8) -> Option<Fragment> {
        match frag {
            0 => Some(Fragment::Whole),
            // An end that has no place.
            0x80 => None,
            _ => Some(Fragment::Part { place: frag & 0x7f, last: frag & 0x80 != 0 }),
        }
    }
}

impl<'a> Datagram<'a> {
    /// Takes a datagram apart: RSV RSV FRAG ATYP DST.ADDR DST.PORT DATA. `None`: it is malformed.
    ///
    /// RSV is ignored, as it is in a request: it says nothing, and refusing it would protect nobody.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Datagram<'a>> {
        let (&[_, _, frag, address_type], rest) = bytes.split_first_chunk()?;
        let address_bytes = match address_type {
            ATYP_IPV4 => 4,
            ATYP_IPV6 => 16,
            ATYP_NAME => 1 + usize::from(*rest.first()?),
            _ => return None,
        };
        let (address, payload) = bytes.get(3..)?.split_at_checked(1 + address_bytes + 2)?;
        Some(Datagram { fragment: Fragment::of(frag)?, address, payload })
    }
}

/// Understands an address that [`Datagram::read`] has cut out. `None`: it is no target (a bad name, port 0).
#[must_use]
pub fn target(address: &[u8]) -> Option<Target> {
    let mut reader = Reader::over(address);
    let host = match reader.byte()? {
        ATYP_IPV4 => Host::Address(IpAddr::from(reader.array::<4>()?)),
        ATYP_IPV6 => Host::Address(IpAddr::from(reader.array::<16>()?)),
        ATYP_NAME => host::read(reader.field()?)?,
        _ => return None,
    };
    // Nobody can be sent to at port 0 (RFC 768: as a source port it means "none").
    let port = reader.port().filter(|port| *port != 0)?;
    Some(Target { host, port })
}

/// What goes before a peer's datagram on its way to the client.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    length: u8,
}

impl Header {
    /// The header of a datagram from `peer`, never a fragment.
    #[must_use]
    pub fn of(peer: SocketAddr) -> Header {
        let mut header = Header { bytes: [0; HEADER_BYTES_MAX], length: 3 };
        match peer.ip().to_canonical() {
            IpAddr::V4(ip) => {
                header.push(&[ATYP_IPV4]);
                header.push(&ip.octets());
            }
            IpAddr::V6(ip) => {
                header.push(&[ATYP_IPV6]);
                header.push(&ip.octets());
            }
        }
        header.push(&peer.port().to_be_bytes());
        header
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.length);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn datagram(header: &[u8], payload: &[u8]) -> Vec<u8> {
        [header, payload].concat()
    }

    #[test]
    fn a_datagram_is_cut_at_the_end_of_its_address() {
        for (header, address_at) in [
            (&b"\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x50"[..], 3),
            (b"\x00\x00\x00\x03\x0bexample.org\x00\x50", 3),
            (b"\x00\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb", 3),
        ] {
            let bytes = datagram(header, b"data");
            let read = Datagram::read(&bytes).unwrap();
            assert_eq!((read.address, read.payload), (&header[address_at..], &b"data"[..]));
            assert_eq!(read.fragment, Fragment::Whole);
            assert!(Datagram::read(header).unwrap().payload.is_empty(), "an empty datagram is one");
            for end in 0..header.len() {
                assert_eq!(Datagram::read(&header[..end]), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn frag_is_a_place_and_an_end() {
        let fragment = |frag: u8| {
            let header = [0, 0, frag, 1, 192, 0, 2, 1, 0, 80];
            Datagram::read(&header).map(|datagram| datagram.fragment)
        };
        assert_eq!(fragment(0), Some(Fragment::Whole));
        assert_eq!(fragment(1), Some(Fragment::Part { place: 1, last: false }));
        assert_eq!(fragment(0x7f), Some(Fragment::Part { place: 127, last: false }));
        assert_eq!(fragment(0x82), Some(Fragment::Part { place: 2, last: true }));
        assert_eq!(fragment(0x80), None);
    }

    #[test]
    fn names_that_are_none_and_port_0_are_no_targets() {
        assert_eq!(target(b"\x03\x0bexample.org\x00\x50").unwrap().to_string(), "example.org:80");
        assert_eq!(target(b"\x03\x09127.0.0.1\x00\x50").unwrap().host, Host::Address([127, 0, 0, 1].into()));
        for address in [
            &b"\x03\x00\x00\x50"[..],
            b"\x03\x02a\x00\x00\x50",
            b"\x03\x05127.1\x00\x50",
            b"\x01\x7f\0\0\x01\0\0",
        ] {
            assert_eq!(target(address), None, "{address:?}");
        }
    }

    #[test]
    fn a_mapped_peer_is_told_as_ipv4() {
        let header = Header::of("[::ffff:192.0.2.1]:80".parse().unwrap());
        assert_eq!(header.bytes(), b"\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x50");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_lose_none(bytes: Vec<u8>) {
            if let Some(read) = Datagram::read(&bytes) {
                prop_assert_eq!(&[&bytes[..3], read.address, read.payload].concat(), &bytes);
                let _ = target(read.address);
            }
        }

        #[test]
        fn what_is_written_is_read(ip: IpAddr, port in 1..u16::MAX, payload: Vec<u8>) {
            let peer = SocketAddr::new(ip, port);
            let bytes = datagram(Header::of(peer).bytes(), &payload);
            let read = Datagram::read(&bytes).unwrap();
            prop_assert_eq!(read.payload, &payload);
            prop_assert_eq!(read.fragment, Fragment::Whole);
            prop_assert_eq!(target(read.address), Some(Target { host: Host::Address(ip.to_canonical()), port }));
        }
    }
}
