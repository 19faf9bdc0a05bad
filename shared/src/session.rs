//! What is told of a connection when it has ended: the access log's line, as a value.

use crate::closing::Closing;
use crate::gateway::Refused;
use crate::reason::Reason;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where a client wants to go, as it said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Address(std::net::IpAddr),
    Name(Box<str>),
}

/// What a client asks for (RFC 1928 section 4, CMD). SOCKS4 has the first two, HTTP the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Command {
    Connect = 1,
    Bind = 2,
    UdpAssociate = 3,
}

impl Command {
    pub const ALL: [Command; 3] = [Command::Connect, Command::Bind, Command::UdpAssociate];

    /// The name used in the configuration, in metrics and in logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Command::Connect => "connect",
            Command::Bind => "bind",
            Command::UdpAssociate => "udp_associate",
        }
    }
}

/// What a client speaks on the SOCKS5 port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    Socks5,
    /// SOCKS4 and 4a.
    Socks4,
    HttpConnect,
}

impl Protocol {
    pub const ALL: [Protocol; 3] = [Protocol::Socks5, Protocol::Socks4, Protocol::HttpConnect];

    /// The name used in the configuration, in metrics and in logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["socks5", "socks4", "http_connect"][self as usize]
    }

    /// Whether the protocol has a way to ask for it.
    #[must_use]
    pub fn knows(self, command: Command) -> bool {
        match self {
            Protocol::Socks5 => true,
            Protocol::Socks4 => command != Command::UdpAssociate,
            Protocol::HttpConnect => command == Command::Connect,
        }
    }
}

/// A requested target: host and port as the client sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: Host,
    pub port: u16,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Address(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// One ended connection, of either service. Sent up by its worker, written by the control plane.
#[derive(Clone, Debug)]
pub enum Ended {
    Socks5(Box<SessionEnd>),
    WebSocket(Box<WebSocketEnd>),
}

/// One ended connection of the SOCKS5 port.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    pub worker: u16,
    /// When it was accepted, in milliseconds of the Unix epoch.
    pub accepted_at_ms: u64,
    /// The client, as the PROXY protocol header says where one was sent.
    pub client: SocketAddr,
    /// It came by TLS.
    pub tls: bool,
    /// `None`: it never said a byte.
    pub protocol: Option<Protocol>,
    pub command: Option<Command>,
    pub user: Option<Arc<str>>,
    /// The name a failed login claimed; whatever bytes the client sent, made printable.
    pub claimed: Option<Box<str>>,
    /// Its failed login began a ban of the client.
    pub banned: bool,
    pub target: Option<Target>,
    /// The address that was dialled (the last one tried).
    pub address: Option<SocketAddr>,
    /// The upstream proxy it went through.
    pub upstream: Option<Arc<str>>,
    /// The answer sent, if one was: SOCKS5 REP, SOCKS4 CD, or an HTTP status.
    pub reply: Option<u16>,
    /// The error of the last connect(2) that failed.
    pub errno: Option<i32>,
    pub reason: Reason,
    /// The ACL rule that decided, e.g. `socks5.acl[3]`.
    pub rule: Option<Arc<str>>,
    /// What the operator can do about it, where there is something (e.g. the key that would allow a target).
    pub hint: Option<Box<str>>,
    /// Payload bytes from client to target.
    pub sent_bytes: u64,
    /// Payload bytes from target to client.
    pub received_bytes: u64,
    pub phases: Phases,
    pub duration: Duration,
}

/// How long each phase took, where it was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// From accept to a whole request, authentication included.
    pub handshake: Option<Duration>,
    pub name_lookup: Option<Duration>,
    pub connect: Option<Duration>,
}

/// One ended connection of the WebSocket port. What was never known, because it ended before, is `None`, `false` or 0.
///
/// "Sent" is what ringway sent to the client, as in the `websocket_` metrics.
#[derive(Clone, Debug)]
pub struct WebSocketEnd {
    pub worker: u16,
    /// When it was accepted, in milliseconds of the Unix epoch.
    pub accepted_at_ms: u64,
    pub client: SocketAddr,
    /// It came by TLS (`wss://`).
    pub tls: bool,
    /// The path asked for, e.g. `/ws`; never its query, which may hold a token.
    pub path: Option<Box<str>>,
    pub user: Option<Arc<str>>,
    /// The name the gateway gave the connection: what presence and the publish API know it by.
    pub client_id: Option<Arc<str>>,
    /// The subprotocol agreed on (RFC 6455 section 1.9).
    pub subprotocol: Option<Arc<str>>,
    /// permessage-deflate was agreed on (RFC 7692).
    pub compressed: bool,
    /// Publications and answers handed to the kernel for it.
    pub sent_messages: u64,
    /// Its messages; control frames are not among them.
    pub received_messages: u64,
    /// Bytes written to it, inside TLS: frames with their headers, compressed as they were.
    pub sent_bytes: u64,
    /// Payload bytes of its messages, inflated.
    pub received_bytes: u64,
    /// Deliveries it lost, for whatever reason ([`crate::gateway::Dropped`]).
    pub dropped: u64,
    pub closing: Closing,
    /// The close codes that went over the wire each way.
    pub code_sent: Option<u16>,
    pub code_received: Option<u16>,
    /// Why its upgrade was refused, and the HTTP status it was answered with.
    pub refused: Option<(Refused, u16)>,
    /// What the operator can do about it, where there is something (e.g. the key that would allow an origin).
    pub hint: Option<Box<str>>,
    pub duration: Duration,
}
