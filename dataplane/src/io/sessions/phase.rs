//! The phases of a connection, and how long each may last.

use ringway_shared::config::Timeouts;
use ringway_shared::reason::Reason;
use std::time::Duration;

/// What a connection is doing, which decides its deadline and how it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the PROXY protocol header.
    ProxyHeader,
    TlsHandshake,
    Greeting,
    Authentication,
    /// Waiting for a password verifier.
    Verdict,
    Request,
    NameLookup,
    Connect,
    /// BIND: waiting for the expected peer.
    AwaitPeer,
    Relay,
    HalfClosed,
    /// Its UDP association lives as long as it does.
    Associated,
    /// Told that it failed; waiting for its end of stream so that the reply is not lost to a reset.
    Farewell,
}

/// How long a refused client may take to read its reply and close.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

impl Phase {
    /// The name that connections are listed with; among [`ringway_shared::inspect::PHASES`].
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Phase::ProxyHeader => "proxy_header",
            Phase::TlsHandshake => "tls_handshake",
            Phase::Greeting => "greeting",
            Phase::Authentication => "authentication",
            Phase::Verdict => "verdict",
            Phase::Request => "request",
            Phase::NameLookup => "name_lookup",
            Phase::Connect => "connect",
            Phase::AwaitPeer => "await_peer",
            Phase::Relay => "relay",
            Phase::HalfClosed => "half_closed",
            Phase::Associated => "associated",
            Phase::Farewell => "farewell",
        }
    }

    pub(super) fn limit(self, timeouts: &Timeouts) -> Duration {
        match self {
            Phase::ProxyHeader => timeouts.proxy_header,
            Phase::TlsHandshake => timeouts.handshake,
            Phase::Greeting => timeouts.greeting,
            Phase::Authentication | Phase::Verdict => timeouts.authentication,
            Phase::Request => timeouts.request,
            Phase::NameLookup => timeouts.name_lookup,
            Phase::Connect => timeouts.connect,
            Phase::AwaitPeer => timeouts.bind,
            Phase::Relay => timeouts.idle,
            Phase::HalfClosed => timeouts.half_closed,
            Phase::Associated => timeouts.udp_idle,
            Phase::Farewell => FAREWELL_LIMIT,
        }
    }

    pub(super) fn timeout_reason(self) -> Reason {
        match self {
            Phase::ProxyHeader => Reason::ProxyHeaderTimeout,
            Phase::TlsHandshake => Reason::HandshakeTimeout,
            Phase::Greeting => Reason::GreetingTimeout,
            Phase::Authentication => Reason::AuthTimeout,
            Phase::Verdict => Reason::VerifierBusy,
            Phase::Request => Reason::RequestTimeout,
            Phase::NameLookup => Reason::NameLookupTimeout,
            Phase::Connect => Reason::ConnectTimeout,
            Phase::AwaitPeer => Reason::BindTimeout,
            Phase::Relay | Phase::Farewell => Reason::IdleTimeout,
            Phase::HalfClosed => Reason::HalfClosedTimeout,
            Phase::Associated => Reason::UdpIdleTimeout,
        }
    }

    /// Whether the client still has to say something before ringway can act.
    pub(super) fn is_handshake(self) -> bool {
        matches!(
            self,
            Phase::ProxyHeader
                | Phase::TlsHandshake
                | Phase::Greeting
                | Phase::Authentication
                | Phase::Request
        )
    }
}
