//! The server's last word, RFC 1928 section 6, and the one way to it from a [`Reason`].

use super::{VERSION, push_address};
use crate::proto::handshake::{Outcome, UNBOUND};
use ringway_shared::reason::Reason;
use std::net::SocketAddr;

/// RFC 1928 section 6, REP.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Reply {
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

/// Answers a request; returns the REP that was said.
pub fn answer(outcome: Outcome, output: &mut Vec<u8>) -> u16 {
    let (reply, bound) = match outcome {
        Ok(bound) => (Reply::Succeeded, bound),
        Err(reason) => (Reply::of(reason), UNBOUND),
    };
    reply.write(bound, output);
    reply as u16
}

impl Reply {
    /// The one way from a reason to the wire.
    fn of(reason: Reason) -> Reply {
        match reason {
            Reason::Malformed
            | Reason::ConnectFailed
            | Reason::NoResources
            | Reason::ResolverBusy
            | Reason::UpstreamUnreachable
            | Reason::UpstreamRefused
            | Reason::LimitConnections
            | Reason::LimitNewConnections
            | Reason::LimitUdpAssociations => Reply::GeneralFailure,
            Reason::DeniedTarget
            | Reason::DeniedAcl
            | Reason::QuotaExhausted
            | Reason::UserRemoved
            | Reason::ClientBanned
            | Reason::LimitClientConnections
            | Reason::LimitClientNewConnections
            | Reason::LimitUserConnections
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
            | Reason::AuthRequired
            | Reason::VerifierBusy
            | Reason::BadProxyHeader
            | Reason::TlsFailed
            | Reason::ProxyHeaderTimeout
            | Reason::GreetingTimeout
            | Reason::AuthTimeout
            | Reason::RequestTimeout
            | Reason::HandshakeTimeout
            // Another protocol's.
            | Reason::MethodNotAllowed
            | Reason::HeaderTooLarge
            // The client is gone, was answered, or is cut off by a reset.
            | Reason::Finished
            | Reason::ClientGone
            | Reason::ClientReset
            | Reason::TargetReset
            | Reason::IdleTimeout
            | Reason::HalfClosedTimeout
            | Reason::UdpIdleTimeout
            | Reason::Drained
            | Reason::Draining
            | Reason::Killed
            | Reason::Panicked => Reply::GeneralFailure,
        }
    }

    /// VER REP RSV ATYP BND.ADDR BND.PORT, the address in its own family.
    fn write(self, bound: SocketAddr, output: &mut Vec<u8>) {
        output.extend([VERSION, self as u8, 0]);
        push_address(bound.ip(), output);
        output.extend(bound.port().to_be_bytes());
    }
}
