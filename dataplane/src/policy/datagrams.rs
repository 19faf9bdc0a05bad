//! Who may use a UDP association: which source on the client's side, which peers outside.

use super::recent::Recent;
use ringway_shared::config::UdpFilter;
use ringway_shared::session::{Host, Target};
use std::net::{IpAddr, SocketAddr};

/// Peers remembered for a filter, some 100 KB of them; beyond it the one sent to longest ago must be sent to again.
pub const PEERS_MAX: usize = 1_024;

/// The one source on the client's side: the client's address and the port it first sends from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// `None`: the request named an address that is not the client's, so nobody may.
    ip: Option<IpAddr>,
    /// The port the request named.
    port: Option<u16>,
    latched: Option<SocketAddr>,
}

impl Source {
    /// `expected` is DST of the request, where it is honoured: "the address and port that the client expects to use
    /// to send UDP datagrams", zeros where it does not know (RFC 1928 section 6).
    #[must_use]
    pub fn new(client: IpAddr, expected: Option<&Target>) -> Source {
        let client = client.to_canonical();
        let named = expected.and_then(|target| match target.host {
            Host::Address(ip) => Some(ip.to_canonical()).filter(|ip| !ip.is_unspecified()),
            Host::Name(_) => None,
        });
        Source {
            ip: Some(client).filter(|client| named.is_none_or(|named| named == *client)),
            port: expected.map(|target| target.port).filter(|port| *port != 0),
            latched: None,
        }
    }

    #[must_use]
    pub fn admits(&self, from: SocketAddr) -> bool {
        match self.latched {
            Some(latched) => latched == from,
            None => {
                self.ip == Some(from.ip().to_canonical()) && self.port.is_none_or(|port| port == from.port())
            }
        }
    }

    /// From now on nobody else is admitted.
    pub fn latch(&mut self, from: SocketAddr) {
        self.latched = Some(from);
    }

    /// Where the client is; `None`: it has sent nothing yet.
    #[must_use]
    pub fn latched(&self) -> Option<SocketAddr> {
        self.latched
    }
}

/// Whose datagrams are let in from outside.
#[derive(Debug)]
pub struct Peers {
    filter: UdpFilter,
    sent_to: Recent<SocketAddr, ()>,
}

impl Peers {
    #[must_use]
    pub fn new(filter: UdpFilter) -> Peers {
        Peers { filter, sent_to: Recent::new(PEERS_MAX) }
    }

    /// Notes that the client has sent to `peer`.
    pub fn note(&mut self, peer: SocketAddr) {
        if self.filter != UdpFilter::FullCone {
            self.sent_to.put(self.key(peer), ());
        }
    }

    #[must_use]
    pub fn admit(&self, peer: SocketAddr) -> bool {
        self.filter == UdpFilter::FullCone || self.sent_to.get(&self.key(peer)).is_some()
    }

    /// Scopes and flow labels do not make a peer another one.
    fn key(&self, peer: SocketAddr) -> SocketAddr {
        let port = if self.filter == UdpFilter::Address { 0 } else { peer.port() };
        SocketAddr::new(peer.ip(), port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn expecting(text: &str) -> Target {
        let address = address(text);
        Target { host: Host::Address(address.ip()), port: address.port() }
    }

    fn source(expected: &str) -> Source {
        Source::new(address("192.0.2.1:4000").ip(), Some(&expecting(expected)))
    }

    #[test]
    fn the_first_port_of_the_client_is_latched() {
        let mut source = source("0.0.0.0:0");
        assert!(!source.admits(address("192.0.2.2:5000")));
        assert!(source.admits(address("192.0.2.1:5000")) && source.admits(address("192.0.2.1:5001")));
        source.latch(address("192.0.2.1:5000"));
        assert!(source.admits(address("192.0.2.1:5000")) && !source.admits(address("192.0.2.1:5001")));
        assert_eq!(source.latched(), Some(address("192.0.2.1:5000")));
    }

    #[test]
    fn a_mapped_client_is_the_ipv4_client() {
        let source = Source::new(address("[::ffff:192.0.2.1]:4000").ip(), None);
        assert!(source.admits(address("192.0.2.1:5000")));
    }

    #[test]
    fn dst_of_the_request_restricts_port_and_address() {
        assert!(source("0.0.0.0:5000").admits(address("192.0.2.1:5000")));
        assert!(!source("[::]:5000").admits(address("192.0.2.1:5001")));
        assert!(source("192.0.2.1:0").admits(address("192.0.2.1:5001")));
        assert!(source("[::ffff:192.0.2.1]:0").admits(address("192.0.2.1:5001")));
        // Who names an address that is not its own gets no more than its own, and so nothing.
        for from in ["192.0.2.1:5000", "192.0.2.9:5000"] {
            assert!(!source("192.0.2.9:5000").admits(address(from)));
        }
    }

    #[test]
    fn each_filter_lets_in_what_its_name_says() {
        for (filter, admitted) in [
            (UdpFilter::FullCone, [true, true, true]),
            (UdpFilter::Address, [true, true, false]),
            (UdpFilter::AddressPort, [true, false, false]),
        ] {
            let mut peers = Peers::new(filter);
            peers.note(address("192.0.2.1:53"));
            let seen =
                ["192.0.2.1:53", "192.0.2.1:54", "192.0.2.2:53"].map(|peer| peers.admit(address(peer)));
            assert_eq!(seen, admitted, "{filter:?}");
        }
    }
}
