//! The server's last word, RFC 1928 section 6, and the one way to it from a [`Reason`].

use super::output::Output;
use super::{VERSION, message};
use ringway_shared::reason::Reason;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// BND.ADDR and BND.PORT of a reply that has none to tell.
pub const UNBOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// RFC 1928 section 6, REP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    Succeeded = 0,
    GeneralFailure = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    TtlExpired = 6,
    CommandNotSupported = 7,
    AddressTypeNotSupported = 8,
}

impl Reply {
    /// The one way from a reason to the wire. `None`: such an end comes before a request or after its reply.
    #[must_use]
    pub fn of(reason: Reason) -> Option<Reply> {
        Some(match reason {
            Reason::Malformed
            | Reason::ConnectFailed
            | Reason::NoResources
            | Reason::ResolverBusy
            | Reason::UpstreamUnreachable
            | Reason::UpstreamRefused
            | Reason::LimitUdpAssociations => Reply::GeneralFailure,
            Reason::DeniedTarget
            | Reason::DeniedAcl
            | Reason::QuotaExhausted
            | Reason::BindPeerRefused
            | Reason::ConnectForbidden => Reply::NotAllowed,
            Reason::NetworkUnreachable => Reply::NetworkUnreachable,
            Reason::HostUnreachable
            | Reason::BadName
            | Reason::NameNotFound
            | Reason::NameLookupFailed
            | Reason::NameLookupTimeout => Reply::HostUnreachable,
            Reason::ConnectRefused => Reply::ConnectionRefused,
            Reason::ConnectTimeout | Reason::BindTimeout => Reply::TtlExpired,
            Reason::CommandNotSupported => Reply::CommandNotSupported,
            Reason::AddressTypeNotSupported => Reply::AddressTypeNotSupported,
            // Before the request was whole: the methods and the status of RFC 1929 have answers of their own.
            Reason::BadVersion
            | Reason::NoAcceptableMethod
            | Reason::AuthFailed
            | Reason::VerifierBusy
            | Reason::AuthRequired
            | Reason::MethodNotAllowed
            | Reason::HeaderTooLarge
            | Reason::BadProxyHeader
            | Reason::ProxyHeaderTimeout
            | Reason::ClientBanned
            | Reason::LimitConnections
            | Reason::LimitClientConnections
            | Reason::LimitUserConnections
            | Reason::LimitNewConnections
            | Reason::LimitClientNewConnections
            | Reason::GreetingTimeout
            | Reason::AuthTimeout
            | Reason::RequestTimeout
            | Reason::HandshakeTimeout => return None,
            // The client is gone, was answered, or is cut off by a reset.
            Reason::Finished
            | Reason::ClientGone
            | Reason::ClientReset
            | Reason::TargetReset
            | Reason::IdleTimeout
            | Reason::HalfClosedTimeout
            | Reason::UdpIdleTimeout
            | Reason::UserRemoved
            | Reason::Drained
            | Reason::Panicked => return None,
        })
    }

    /// VER REP RSV ATYP BND.ADDR BND.PORT, the address in its own family.
    pub(super) fn write(self, bound: SocketAddr, output: &mut Output) {
        output.push(&[VERSION, self as u8, 0]);
        match bound.ip() {
            IpAddr::V4(ip) => {
                output.push(&[message::ATYP_IPV4]);
                output.push(&ip.octets());
            }
            IpAddr::V6(ip) => {
                output.push(&[message::ATYP_IPV6]);
                output.push(&ip.octets());
            }
        }
        output.push(&bound.port().to_be_bytes());
    }
}
