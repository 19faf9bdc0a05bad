//! What is told of a connection when it has ended: the access log's line, as a value.

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

/// One ended connection. Sent up by its worker, written by the control plane.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    pub worker: u16,
    /// When it was accepted, in milliseconds of the Unix epoch.
    pub accepted_at_ms: u64,
    pub client: SocketAddr,
    pub user: Option<Arc<str>>,
    pub target: Option<Target>,
    /// The address that was dialled (the last one tried).
    pub address: Option<SocketAddr>,
    /// The SOCKS reply sent, if one was.
    pub reply: Option<u8>,
    pub reason: Reason,
    /// What the operator can do about it, where there is something (e.g. the key that would allow a target).
    pub hint: Option<Box<str>>,
    /// Payload bytes from client to target.
    pub sent_bytes: u64,
    /// Payload bytes from target to client.
    pub received_bytes: u64,
    pub connect: Option<Duration>,
    pub duration: Duration,
}
