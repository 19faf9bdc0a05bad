//! Keys of the WebSocket gateway, but for admission and TLS.

use super::Reload::{Listener, Live, NewConnections};
use super::{DAY, HOUR, Key, MILLISECOND, MILLISECOND_100, MINUTE, WEEK, key};
use crate::config::kind::Kind;
use std::time::Duration;

/// One descriptor each: the kernel's own ceiling.
const CONNECTIONS_MAX: u64 = 1 << 30;
const COUNT_MAX: u64 = 1 << 30;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

pub const KEYS: &[Key] = &[
    key(
        "websocket.listen",
        r#"["127.0.0.1:8765"]"#,
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.config.websocket.listen = list },
        "Where WebSocket clients connect: `/ws` speaks the plain JSON protocol. `[]` switches it off.",
    ),
    key(
        "websocket.backlog",
        "4096",
        Live,
        Kind::Integer(1..=1 << 20, |d, n| d.config.websocket.backlog = n as u32),
        "Connections the kernel holds until they are accepted; `net.core.somaxconn` is its ceiling.",
    ),
    key(
        "websocket.echo",
        "false",
        NewConnections,
        Kind::Bool(|d, yes| d.config.websocket.echo = yes),
        "Serves `/echo`, which sends every message back: for benches and conformance tests.",
    ),
    key(
        "websocket.namespaces",
        "[]",
        Live,
        Kind::Namespaces(|d, list| d.config.websocket.namespaces = list.into()),
        "What holds for topics by what they begin with. A topic that no prefix fits: only the server publishes, nothing is kept.",
    ),
    key(
        "websocket.max_connections",
        "auto",
        Live,
        Kind::IntegerOr("auto", 1..=CONNECTIONS_MAX, |d, n| {
            d.config.websocket.limits.connections = n.map(|n| n as usize)
        }),
        "Connections at once. `auto`: as many as the limit of file descriptors carries. Beyond it upgrades are answered 503; of those that come at the very same time on several workers one for each may pass.",
    ),
    key(
        "websocket.max_connections_per_client",
        "none",
        NewConnections,
        Kind::IntegerOr("none", 1..=COUNT_MAX, |d, n| {
            d.config.websocket.limits.connections_per_client = n.map(|n| n as u32)
        }),
        "Connections of one client at once: of an IPv4 address, or of an IPv6 /64.",
    ),
    key(
        "websocket.max_subscriptions_per_client",
        "100",
        Live,
        Kind::Integer(1..=1 << 20, |d, n| d.config.websocket.limits.subscriptions_per_client = n as u32),
        "Topics and patterns that one connection may be subscribed to.",
    ),
    key(
        "websocket.max_message_size",
        "1MiB",
        NewConnections,
        Kind::Bytes(125..=GIB, |d, n| d.config.websocket.limits.message_bytes = n as usize),
        "A message from a client, all its fragments together, inflated; a larger one ends the connection with code 1009.",
    ),
    key(
        "websocket.max_queued_messages",
        "1024",
        Live,
        Kind::Integer(1..=1 << 24, |d, n| d.config.websocket.limits.queued_messages = n as u32),
        "Messages that may wait for one connection; then its namespace's `overflow` decides.",
    ),
    key(
        "websocket.max_queued_size",
        "1MiB",
        Live,
        Kind::Bytes(KIB..=4 * GIB, |d, n| d.config.websocket.limits.queued_bytes = n as usize),
        "Bytes that may wait for one connection; then its namespace's `overflow` decides.",
    ),
    key(
        "websocket.max_queued_size_per_worker",
        "256MiB",
        Live,
        Kind::Bytes(MIB..=1024 * GIB, |d, n| d.config.websocket.limits.queued_bytes_per_worker = n as usize),
        "Bytes that may wait for all connections of one worker, a shared publication counted for each.",
    ),
    key(
        "websocket.max_messages_per_second",
        "none",
        Live,
        Kind::IntegerOr("none", 1..=COUNT_MAX, |d, n| {
            d.config.websocket.limits.messages_per_second = n.map(|n| n as u32)
        }),
        "Messages one connection may send in a second, pings too; a burst of one second is let through, more ends it with code 3013.",
    ),
    key(
        "websocket.max_bytes_per_second",
        "none",
        Live,
        Kind::IntegerOr("none", 1..=1 << 40, |d, n| d.config.websocket.limits.bytes_per_second = n),
        "Payload bytes one connection may send in a second; a burst of one second is let through, more ends it with code 3013.",
    ),
    key(
        "websocket.max_topics_per_worker",
        "1000000",
        Live,
        Kind::Integer(1..=1 << 28, |d, n| d.config.websocket.limits.topics_per_worker = n as usize),
        "Topics that one worker is home to. Beyond it new ones are refused.",
    ),
    key(
        "websocket.max_history_size_per_worker",
        "64MiB",
        Live,
        Kind::Bytes(0..=1024 * GIB, |d, n| d.config.websocket.limits.history_bytes_per_worker = n as usize),
        "Bytes of publications that one worker keeps as history; the oldest go first.",
    ),
    key(
        "websocket.handshake_timeout",
        "10s",
        NewConnections,
        Kind::Duration(MILLISECOND_100..=HOUR, |d, t| d.config.websocket.timeouts.handshake = t),
        "From accept to a whole upgrade request, TLS included; a byte at a time does not stretch it.",
    ),
    key(
        "websocket.heartbeat_interval",
        "30s",
        Live,
        Kind::Duration(Duration::ZERO..=DAY, |d, t| d.config.websocket.timeouts.heartbeat = t),
        "A client that has sent nothing for so long is sent a ping. `0s`: never.",
    ),
    key(
        "websocket.pong_timeout",
        "10s",
        Live,
        Kind::Duration(MILLISECOND_100..=HOUR, |d, t| d.config.websocket.timeouts.pong = t),
        "A pinged client that sends nothing for so long is cut with code 3012.",
    ),
    key(
        "websocket.idle_timeout",
        "300s",
        Live,
        Kind::Duration(Duration::ZERO..=WEEK, |d, t| d.config.websocket.timeouts.idle = t),
        "Without a message in either direction a connection is closed after this, pings and pongs not counted. `0s`: never.",
    ),
    key(
        "websocket.close_timeout",
        "5s",
        Live,
        Kind::Duration(MILLISECOND_100..=HOUR, |d, t| d.config.websocket.timeouts.close = t),
        "From a close frame of ours until the connection is cut, should the client not answer.",
    ),
    key(
        "websocket.drain_window",
        "5s",
        Live,
        Kind::Duration(Duration::ZERO..=HOUR, |d, t| d.config.websocket.timeouts.drain = t),
        "A drain closes connections with code 1012, spread over this time so that clients do not come back all at once.",
    ),
    key(
        "websocket.batching",
        "false",
        Live,
        Kind::Bool(|d, yes| d.config.websocket.batching.enabled = yes),
        "Holds publications back so that several leave in one write: fewer system calls for more delay.",
    ),
    key(
        "websocket.batch_size",
        "100",
        Live,
        Kind::Integer(1..=1 << 16, |d, n| d.config.websocket.batching.messages = n as u32),
        "With `batching`: so many messages waiting for one connection leave at once.",
    ),
    key(
        "websocket.batch_timeout",
        "100ms",
        Live,
        Kind::Duration(MILLISECOND..=MINUTE, |d, t| d.config.websocket.batching.timeout = t),
        "With `batching`: no message waits longer.",
    ),
    key(
        "websocket.compression",
        "true",
        NewConnections,
        Kind::Bool(|d, yes| d.config.websocket.compression.enabled = yes),
        "Agrees to permessage-deflate (RFC 7692) with clients that offer it.",
    ),
    key(
        "websocket.compression_threshold",
        "1KiB",
        Live,
        Kind::Bytes(0..=GIB, |d, n| d.config.websocket.compression.threshold_bytes = n as usize),
        "Shorter messages are sent as they are.",
    ),
    key(
        "websocket.compression_level",
        "3",
        Live,
        Kind::Integer(1..=9, |d, n| d.config.websocket.compression.level = n as u32),
        "1 (quick) to 9 (small).",
    ),
    key(
        "websocket.compression_window_bits",
        "15",
        NewConnections,
        Kind::Integer(9..=15, |d, n| d.config.websocket.compression.window_bits = n as u8),
        "The base-two logarithm of the compression window.",
    ),
    key(
        "websocket.compression_context_takeover",
        "false",
        NewConnections,
        Kind::Bool(|d, yes| d.config.websocket.compression.context_takeover = yes),
        "Lets clients keep their window from message to message: they send less, and each costs about 45 KiB here. Publications are \
         compressed once for all and never use it.",
    ),
];
