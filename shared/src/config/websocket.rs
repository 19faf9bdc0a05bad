//! What the configuration says of the WebSocket gateway.

use super::{Admission, Tls};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct WebSocket {
    /// Empty: the gateway does not listen in plain.
    pub listen: Vec<SocketAddr>,
    /// Accepted connections the kernel holds for us.
    pub backlog: u32,
    /// Whether `/echo` is served.
    pub echo: bool,
    pub limits: WebSocketLimits,
    pub timeouts: WebSocketTimeouts,
    pub compression: Compression,
    pub batching: Batching,
    /// In any order, prefixes distinct; [`Namespace::of`] finds the one of a topic.
    pub namespaces: Arc<[Namespace]>,
    pub tls: Tls,
    pub admission: Admission,
}

#[derive(Clone, Debug)]
pub struct WebSocketLimits {
    /// Connections at once, over all workers; `None`: as many as descriptors carry.
    pub connections: Option<usize>,
    /// Connections of one client at once; `None`: no limit.
    pub connections_per_client: Option<u32>,
    /// Topics and patterns of one connection at once.
    pub subscriptions_per_client: u32,
    /// Bytes of a message, whole and inflated.
    pub message_bytes: usize,
    /// Messages waiting for one connection.
    pub queued_messages: u32,
    /// Bytes waiting for one connection.
    pub queued_bytes: usize,
    /// Bytes waiting for all connections of one worker.
    pub queued_bytes_per_worker: usize,
    /// Messages from one connection per second; `None`: no limit.
    pub messages_per_second: Option<u32>,
    /// Payload bytes from one connection per second; `None`: no limit.
    pub bytes_per_second: Option<u64>,
    /// Topics that one worker is home to.
    pub topics_per_worker: usize,
    /// Bytes of publications that one worker keeps as history.
    pub history_bytes_per_worker: usize,
}

#[derive(Clone, Debug)]
pub struct WebSocketTimeouts {
    /// From accept to a whole upgrade request.
    pub handshake: Duration,
    /// Between two pings; zero: none are sent.
    pub heartbeat: Duration,
    /// From a ping to its pong.
    pub pong: Duration,
    /// Without a data message in either direction; zero: never.
    pub idle: Duration,
    /// From our close frame to the client's.
    pub close: Duration,
    /// Over which a drain spreads its close frames.
    pub drain: Duration,
}

/// permessage-deflate (RFC 7692).
#[derive(Clone, Debug)]
pub struct Compression {
    pub enabled: bool,
    /// Shorter messages are sent as they are.
    pub threshold_bytes: usize,
    /// 1 (quick) to 9 (small).
    pub level: u32,
    /// The base-two logarithm of the window, 9 to 15.
    pub window_bits: u8,
    /// Whether a connection may keep its window from message to message: it costs memory for each.
    pub context_takeover: bool,
}

/// Holding messages back so that several leave in one write.
#[derive(Clone, Debug)]
pub struct Batching {
    pub enabled: bool,
    /// As many are never held back.
    pub messages: u32,
    /// No message is held back longer.
    pub timeout: Duration,
}

/// What holds for the topics that begin with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub prefix: Arc<str>,
    pub publish: Publishers,
    /// Publications kept; 0: none.
    pub history_size: u32,
    /// How long they are kept; zero: until newer ones push them out.
    pub history_ttl: Duration,
    pub presence: bool,
    pub overflow: Overflow,
    pub compression: bool,
}

/// Which clients may publish. The server's own API always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishers {
    Server,
    Subscribers,
    Anyone,
}

/// What becomes of a publication that finds a connection's queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The connection is closed: it reads too slowly.
    Disconnect,
    DropOldest,
    DropNewest,
    /// A newer publication takes the place of the older one of its topic as soon as the connection is behind.
    ConflateLatest,
}

impl Namespace {
    /// The namespace of a topic: that of the longest prefix.
    #[must_use]
    pub fn of<'a>(namespaces: &'a [Namespace], topic: &str) -> Option<&'a Namespace> {
        let fitting = namespaces.iter().filter(|namespace| topic.starts_with(&*namespace.prefix));
        fitting.max_by_key(|namespace| namespace.prefix.len())
    }
}

impl Default for Namespace {
    /// What holds where nothing is configured.
    fn default() -> Self {
        Namespace {
            prefix: "".into(),
            publish: Publishers::Server,
            history_size: 0,
            history_ttl: Duration::ZERO,
            presence: false,
            overflow: Overflow::Disconnect,
            compression: true,
        }
    }
}
