//! THE TABLE: every key once. Defaults, checks, `config default|schema|effective` and docs/configuration.md
//! come from here.

use super::draft::{Auth, Draft, WORKERS_MAX};
use super::kind::Kind;
use super::{DriverChoice, LogFormat, LogLevel};
use Reload::{Listener, Live, NewConnections, Restart};
use std::time::Duration;

/// One descriptor each: the kernel's own ceiling.
const CONNECTIONS_MAX: u64 = 1 << 30;
const PIPE_SIZE_MIN: u64 = 64 << 10;
const PIPE_SIZE_MAX: u64 = 16 << 20;

const MILLISECOND: Duration = Duration::from_millis(1);
const STALL_MIN: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a changed key needs, once reload has landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Takes effect at once.
    Live,
    /// Holds for connections that come after.
    NewConnections,
    /// Opens or closes listeners; the others stay open.
    Listener,
    /// Is read at the start alone.
    Restart,
}

impl Reload {
    /// The name used in documents and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["live", "new_connections", "listener", "restart"][self as usize]
    }
}

/// One key.
pub struct Key {
    /// Dotted, e.g. `socks5.timeouts.idle`.
    pub path: &'static str,
    pub kind: Kind,
    /// As YAML text.
    pub default: &'static str,
    pub reload: Reload,
    /// One or two sentences, with units and limits where the kind does not tell them.
    pub doc: &'static str,
}

impl Key {
    /// The dotted path without its last word.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// The last word of the path.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }
}

const fn key(
    path: &'static str,
    default: &'static str,
    reload: Reload,
    kind: Kind,
    doc: &'static str,
) -> Key {
    Key { path, kind, default, reload, doc }
}

/// What each section is about, in the order of the documents.
pub const SECTIONS: &[(&str, &str)] = &[
    ("workers", "The threads that serve connections."),
    ("socks5", "The SOCKS5 service."),
    ("socks5.limits", "How much the SOCKS5 service takes on."),
    ("socks5.timeouts", "A deadline for each phase of a SOCKS5 connection."),
    ("socks5.dns", "How target names become addresses."),
    ("socks5.relay", "How bytes are moved."),
    ("websocket", "The WebSocket gateway, which is not in this build yet."),
    ("control", "The control port: metrics, health, statistics."),
    ("log", "What is written to stderr."),
];

/// Keys of the contract that later builds serve. A trailing `*` stands for anything.
const LATER: &[&str] = &[
    "socks5.upstream",
    "socks5.acl",
    "socks5.udp",
    "socks5.egress",
    "socks5.proxy_protocol",
    "websocket.*",
    "control.api_keys",
    "control.tokens",
    "log.audit",
];

/// Plain environment names that stand for a key.
pub const PLAIN_NAMES: &[(&str, &str)] = &[("LOG_LEVEL", "log.level")];

/// The key with this path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether keys stand below this path.
#[must_use]
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// Whether a later build will know this path.
#[must_use]
pub fn is_later(path: &str) -> bool {
    LATER.iter().any(|entry| match entry.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
    })
}

/// Every key, in the order of the documents.
pub static KEYS: &[Key] = &[
    key(
        "workers.count",
        "auto",
        Restart,
        Kind::IntegerOrAuto(1..=WORKERS_MAX as u64, |d, n| d.workers_count = n.map(|n| n as usize)),
        "Worker threads. `auto`: as many as `workers.cpus` names, else as the CPUs this process may use.",
    ),
    key(
        "workers.cpus",
        "[]",
        Restart,
        Kind::Cpus(0..=u16::MAX as u64, |d, cpus| d.config.workers.cpus = cpus),
        "Pins worker i to the i-th CPU of the list, e.g. `[0, 2]`. Empty: not pinned.",
    ),
    key(
        "workers.driver",
        "auto",
        Restart,
        Kind::Word(&[
            ("auto", |d| d.config.workers.driver = DriverChoice::Auto),
            ("io_uring", |d| d.config.workers.driver = DriverChoice::IoUring),
            ("epoll", |d| d.config.workers.driver = DriverChoice::Epoll),
        ]),
        "How workers wait for the kernel. `auto`: io_uring, or epoll where the kernel refuses it.",
    ),
    key(
        "workers.stalled_after",
        "2s",
        Live,
        Kind::Duration(STALL_MIN..=HOUR, |d, t| d.config.workers.stalled_after = t),
        "A worker that has not shown life for so long is called stalled on `/livez`.",
    ),
    key(
        "workers.wedged_after",
        "30s",
        Live,
        Kind::Duration(Duration::ZERO..=DAY, |d, t| d.config.workers.wedged_after = t),
        "A worker that has not shown life for so long makes the process drain and exit. `0s`: never.",
    ),
    key(
        "socks5.listen",
        r#"["127.0.0.1:1080"]"#,
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.config.socks5.listen = list },
        "Where SOCKS5 clients connect. `[]` switches the service off.",
    ),
    key(
        "socks5.auth",
        "none",
        NewConnections,
        Kind::Word(&[("none", |d| d.auth = Auth::None), ("password", |d| d.auth = Auth::Password)]),
        "What clients must show. `password`: a name and password of the users file (RFC 1929).",
    ),
    key(
        "socks5.users_file",
        "users.yaml",
        NewConnections,
        Kind::Path(|d, path| d.users_file = path),
        "The users file, read with `auth: password`. A relative path starts at the configuration \
         file's folder, or at the working directory if there is no such file.",
    ),
    key(
        "socks5.open_proxy",
        "false",
        Listener,
        Kind::Bool(|d, yes| d.socks5_open_proxy = yes),
        "Allows a listener beyond loopback without authentication: anybody who reaches it can use this \
         proxy.",
    ),
    key(
        "socks5.allow_targets",
        "[]",
        NewConnections,
        Kind::Classes(|d, classes| d.config.socks5.allow_targets = classes),
        "Target classes to reach besides the public network: `loopback`, `private`, `link_local`, \
         `metadata`, `unspecified`, `multicast`, `own`. `private` is allowed by itself while every \
         SOCKS5 listener is on loopback.",
    ),
    key(
        "socks5.deny_targets",
        "[]",
        NewConnections,
        Kind::Targets(Draft::deny),
        "Target classes and networks that are refused, e.g. `[private, 203.0.113.0/24]`. Wins over \
         `allow_targets`.",
    ),
    key(
        "socks5.limits.connections",
        "auto",
        Live,
        Kind::IntegerOrAuto(1..=CONNECTIONS_MAX, |d, n| {
            d.config.socks5.limits.connections = n.map(|n| n as usize)
        }),
        "Client connections at once. `auto`: as many as the limit of file descriptors carries.",
    ),
    key(
        "socks5.limits.backlog",
        "4096",
        Listener,
        Kind::Integer(1..=1 << 20, |d, n| d.config.socks5.limits.backlog = n as u32),
        "Connections that may wait to be accepted, per listener. The kernel caps it at \
         `net.core.somaxconn`.",
    ),
    key(
        "socks5.timeouts.handshake",
        "10s",
        NewConnections,
        Kind::Duration(MILLISECOND..=HOUR, |d, t| d.config.socks5.timeouts.handshake = t),
        "Greeting, authentication and request together; a byte now and then does not stretch it.",
    ),
    key(
        "socks5.timeouts.greeting",
        "10s",
        NewConnections,
        Kind::Duration(MILLISECOND..=HOUR, |d, t| d.config.socks5.timeouts.greeting = t),
        "From accept to the end of the greeting.",
    ),
    key(
        "socks5.timeouts.authentication",
        "10s",
        NewConnections,
        Kind::Duration(MILLISECOND..=HOUR, |d, t| d.config.socks5.timeouts.authentication = t),
        "From the method's choice to the end of the name and password.",
    ),
    key(
        "socks5.timeouts.request",
        "10s",
        NewConnections,
        Kind::Duration(MILLISECOND..=HOUR, |d, t| d.config.socks5.timeouts.request = t),
        "From there to the end of the request.",
    ),
    key(
        "socks5.timeouts.name_lookup",
        "5s",
        NewConnections,
        Kind::Duration(MILLISECOND..=HOUR, |d, t| d.config.socks5.timeouts.name_lookup = t),
        "Looking up one target name.",
    ),
    key(
        "socks5.timeouts.connect",
        "10s",
        NewConnections,
        Kind::Duration(MILLISECOND..=HOUR, |d, t| d.config.socks5.timeouts.connect = t),
        "All attempts to connect to one target together.",
    ),
    key(
        "socks5.timeouts.idle",
        "15m",
        NewConnections,
        Kind::Duration(SECOND..=WEEK, |d, t| d.config.socks5.timeouts.idle = t),
        "Without a byte in either direction a connection is closed after this.",
    ),
    key(
        "socks5.timeouts.half_closed",
        "60s",
        NewConnections,
        Kind::Duration(SECOND..=DAY, |d, t| d.config.socks5.timeouts.half_closed = t),
        "The same while one direction is closed.",
    ),
    key(
        "socks5.timeouts.drain",
        "30s",
        Live,
        Kind::Duration(Duration::ZERO..=HOUR, |d, t| d.config.socks5.timeouts.drain = t),
        "From SIGTERM until connections still open are cut.",
    ),
    key(
        "socks5.dns.servers",
        "[]",
        Restart,
        Kind::Addresses { default_port: Some(53), put: |d, list| d.config.socks5.dns.servers = list },
        "Name servers to ask. Empty: those of `/etc/resolv.conf`.",
    ),
    key(
        "socks5.dns.cache_entries",
        "4096",
        Restart,
        Kind::Integer(0..=1 << 24, |d, n| d.config.socks5.dns.cache_entries = n),
        "Names kept in the cache. `0`: none.",
    ),
    key(
        "socks5.dns.ttl_max",
        "1h",
        Restart,
        Kind::Duration(Duration::ZERO..=WEEK, |d, t| d.config.socks5.dns.ttl_max = t),
        "An answer is believed as long as it says, but no longer than this.",
    ),
    key(
        "socks5.dns.negative_ttl_max",
        "30s",
        Restart,
        Kind::Duration(Duration::ZERO..=DAY, |d, t| d.config.socks5.dns.negative_ttl_max = t),
        "The same for the answer that there is no such name.",
    ),
    key(
        "socks5.relay.pipes_per_worker",
        "256",
        Restart,
        Kind::Integer(0..=1 << 16, |d, n| d.config.socks5.relay.pipes_per_worker = n as usize),
        "Pipes a worker may lend to directions that splice. `0`: copy only. `fs.pipe-user-pages-soft` \
         bounds them as well.",
    ),
    key(
        "socks5.relay.pipe_size",
        "1MiB",
        Restart,
        Kind::Bytes(PIPE_SIZE_MIN..=PIPE_SIZE_MAX, |d, n| d.config.socks5.relay.pipe_bytes = n as usize),
        "Wanted size of a pipe, a power of two. Without privileges the kernel caps it at \
         `fs.pipe-max-size`.",
    ),
    key(
        "websocket.listen",
        "[]",
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.websocket_listen = list },
        "Must stay empty: this build has no WebSocket gateway yet.",
    ),
    key(
        "control.listen",
        r#"["127.0.0.1:9003"]"#,
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.config.control.listen = list },
        "Where the control port listens. `[]` switches it off.",
    ),
    key(
        "control.open",
        "false",
        Listener,
        Kind::Bool(|d, yes| d.control_open = yes),
        "Allows a control listener beyond loopback: the control port asks nobody who they are yet.",
    ),
    key(
        "control.test_endpoints",
        "false",
        Live,
        Kind::Bool(|d, yes| d.config.control.test_endpoints = yes),
        "Serves the routes for smoke tests and fault drills.",
    ),
    key(
        "control.connections_max",
        "64",
        Live,
        Kind::Integer(1..=1 << 16, |d, n| d.config.control.connections_max = n as usize),
        "Control connections at once.",
    ),
    key(
        "log.level",
        "info",
        Live,
        Kind::Word(&[
            ("error", |d| d.config.log.level = LogLevel::Error),
            ("warn", |d| d.config.log.level = LogLevel::Warn),
            ("info", |d| d.config.log.level = LogLevel::Info),
            ("debug", |d| d.config.log.level = LogLevel::Debug),
            ("trace", |d| d.config.log.level = LogLevel::Trace),
        ]),
        "The least important lines still written.",
    ),
    key(
        "log.format",
        "text",
        Restart,
        Kind::Word(&[
            ("text", |d| d.config.log.format = LogFormat::Text),
            ("json", |d| d.config.log.format = LogFormat::Json),
        ]),
        "Lines for people, or one JSON object a line.",
    ),
    key(
        "log.access",
        "true",
        Live,
        Kind::Bool(|d, yes| {
            d.config.log.access = if yes { super::AccessLog::Stderr } else { super::AccessLog::Off }
        }),
        "Writes one line for each connection at its end: who, to where, bytes each way, duration, reason.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_once_in_a_known_section_and_is_explained() {
        for key in KEYS {
            assert!(SECTIONS.iter().any(|(path, _)| *path == key.section()), "{}", key.path);
            assert!(key.doc.ends_with('.'), "{}: the doc is made of sentences", key.path);
            assert_eq!(KEYS.iter().filter(|other| other.path == key.path).count(), 1, "{}", key.path);
            assert!(!is_section(key.path), "{}", key.path);
        }
        assert!(PLAIN_NAMES.iter().all(|(_, path)| find(path).is_some()));
    }

    #[test]
    fn later_keys_are_known_with_all_they_hold() {
        for (path, later) in [
            ("socks5.udp", true),
            ("socks5.udp.ports", true),
            ("websocket.auth", true),
            ("socks5.udpx", false),
            ("websocket", false),
        ] {
            assert_eq!(is_later(path), later, "{path}");
        }
    }
}
