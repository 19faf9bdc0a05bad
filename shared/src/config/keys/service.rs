//! Keys of the SOCKS5 service: who is served, and how far.

use super::Reload::{Listener, Live, NewConnections, Restart};
use super::{DAY, HOUR, Key, MILLISECOND, MINUTE, SECOND, WEEK, key};
use crate::config::draft::{Auth, Draft};
use crate::config::kind::Kind;
use crate::config::{Commands, Protocols};
use crate::session::{Command, Protocol};
use std::time::Duration;

/// One descriptor each: the kernel's own ceiling.
const CONNECTIONS_MAX: u64 = 1 << 30;
/// Of what is counted in 32 bits.
const COUNT_MAX: u64 = 1 << 30;
/// RFC 1928 section 7: the reassembly timer must be no less than 5 seconds.
const FRAGMENTS_MIN: Duration = Duration::from_secs(5);

pub const KEYS: &[Key] = &[
    key(
        "socks5.listen",
        r#"["127.0.0.1:1080"]"#,
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.config.socks5.listen = list },
        "Where SOCKS5 clients connect. `[]` switches the service off.",
    ),
    key(
        "socks5.protocols",
        "[socks5, socks4, http_connect]",
        NewConnections,
        Kind::Words {
            clear: |d| d.config.socks5.protocols = Protocols::default(),
            words: &[
                ("socks5", |d| d.serve(Protocol::Socks5)),
                ("socks4", |d| d.serve(Protocol::Socks4)),
                ("http_connect", |d| d.serve(Protocol::HttpConnect)),
            ],
        },
        "What is understood there, told apart by the first byte. `socks4` (4a too) knows no passwords: with `auth: password` it is refused.",
    ),
    key(
        "socks5.commands",
        "[connect, bind, udp_associate]",
        NewConnections,
        Kind::Words {
            clear: |d| d.config.socks5.commands = Commands::default(),
            words: &[
                ("connect", |d| d.obey(Command::Connect)),
                ("bind", |d| d.obey(Command::Bind)),
                ("udp_associate", |d| d.obey(Command::UdpAssociate)),
            ],
        },
        "What clients may ask for; anything else is answered that it is not supported.",
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
         file's folder, or at the working directory if there is no such file. A reload cuts the connections of users it no longer has.",
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
        "socks5.quota_file",
        "quotas.json",
        Restart,
        Kind::Path(|d, path| d.config.socks5.quota_file = path),
        "Where used quotas are kept, so that they survive a restart; only read and written if a user has a quota. A relative path starts where that of `users_file` does.",
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
        "socks5.acl",
        "[]",
        NewConnections,
        Kind::Rules(|d, rules| d.rules = rules),
        "Who may go where: rules, of which the first that matches decides; where none does the request is allowed. Asked after `deny_targets` and after the rules of the user, if there is one. No rule takes the place of `auth`.",
    ),
    key(
        "socks5.limits.connections",
        "auto",
        Live,
        Kind::IntegerOr("auto", 1..=CONNECTIONS_MAX, |d, n| {
            d.config.socks5.limits.connections = n.map(|n| n as usize)
        }),
        "Client connections at once. `auto`: as many as the limit of file descriptors carries.",
    ),
    key(
        "socks5.limits.backlog",
        "4096",
        Live,
        Kind::Integer(1..=1 << 20, |d, n| d.config.socks5.limits.backlog = n as u32),
        "Connections that may wait to be accepted, per listener. The kernel caps it at \
         `net.core.somaxconn`.",
    ),
    key(
        "socks5.limits.connections_per_client",
        "none",
        Live,
        Kind::IntegerOr("none", 1..=COUNT_MAX, |d, n| {
            d.config.socks5.limits.connections_per_client = n.map(|n| n as u32)
        }),
        "Connections of one client at once: of an IPv4 address, or of an IPv6 /64.",
    ),
    key(
        "socks5.limits.connections_per_user",
        "none",
        Live,
        Kind::IntegerOr("none", 1..=COUNT_MAX, |d, n| {
            d.config.socks5.limits.connections_per_user = n.map(|n| n as u32)
        }),
        "Connections of one user at once, over all clients, for users whose entry says nothing.",
    ),
    key(
        "socks5.limits.new_connections_per_second",
        "none",
        Live,
        Kind::IntegerOr("none", 1..=COUNT_MAX, |d, n| {
            d.config.socks5.limits.new_connections_per_second = n.map(|n| n as u32)
        }),
        "Connections accepted in one second; a burst of one second is let through.",
    ),
    key(
        "socks5.limits.new_connections_per_second_per_client",
        "none",
        Live,
        Kind::IntegerOr("none", 1..=COUNT_MAX, |d, n| {
            d.config.socks5.limits.new_connections_per_second_per_client = n.map(|n| n as u32)
        }),
        "The same for one client: an IPv4 address, or an IPv6 /64.",
    ),
    key(
        "socks5.limits.udp_associations",
        "auto",
        Live,
        Kind::IntegerOr("auto", 1..=CONNECTIONS_MAX, |d, n| {
            d.config.socks5.limits.udp_associations = n.map(|n| n as usize)
        }),
        "UDP associations at once. `auto`: as many as the limit of file descriptors carries.",
    ),
    key(
        "socks5.logins.delay",
        "200ms",
        Live,
        Kind::Duration(Duration::ZERO..=MINUTE, |d, t| d.config.socks5.logins.delay = t),
        "How long the answer to a login waits after one failed login of its client; each further one doubles it. `0s`: never.",
    ),
    key(
        "socks5.logins.delay_max",
        "5s",
        Live,
        Kind::Duration(Duration::ZERO..=MINUTE, |d, t| d.config.socks5.logins.delay_max = t),
        "It waits no longer than this.",
    ),
    key(
        "socks5.logins.failures_max",
        "10",
        Live,
        Kind::IntegerOr("none", 1..=COUNT_MAX, |d, n| {
            d.config.socks5.logins.failures_max = n.map(|n| n as u32)
        }),
        "So many failed logins ban the client: an IPv4 address, or an IPv6 /64. `none`: nobody is banned.",
    ),
    key(
        "socks5.logins.ban",
        "5m",
        Live,
        Kind::Duration(SECOND..=WEEK, |d, t| d.config.socks5.logins.ban = t),
        "How long a banned client is refused.",
    ),
    key(
        "socks5.logins.forget_after",
        "15m",
        Live,
        Kind::Duration(SECOND..=WEEK, |d, t| d.config.socks5.logins.forget_after = t),
        "Without a failed login for so long its count starts anew.",
    ),
    key(
        "socks5.timeouts.proxy_header",
        "5s",
        NewConnections,
        Kind::Duration(MILLISECOND..=HOUR, |d, t| d.config.socks5.timeouts.proxy_header = t),
        "From accept to the end of the PROXY protocol header, for clients in `socks5.proxy_protocol.from`.",
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
        "socks5.timeouts.bind",
        "60s",
        NewConnections,
        Kind::Duration(MILLISECOND..=HOUR, |d, t| d.config.socks5.timeouts.bind = t),
        "BIND: from the first answer to the connection of the expected peer.",
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
        "socks5.timeouts.udp_idle",
        "5m",
        NewConnections,
        Kind::Duration(SECOND..=WEEK, |d, t| d.config.socks5.timeouts.udp_idle = t),
        "Without a datagram in either direction a UDP association is closed after this.",
    ),
    key(
        "socks5.timeouts.fragments",
        "10s",
        NewConnections,
        Kind::Duration(FRAGMENTS_MIN..=HOUR, |d, t| d.config.socks5.timeouts.fragments = t),
        "From the first fragment of a datagram to its last (RFC 1928 section 7: at least 5 s).",
    ),
    key(
        "socks5.timeouts.drain",
        "30s",
        Live,
        Kind::Duration(Duration::ZERO..=HOUR, |d, t| d.config.socks5.timeouts.drain = t),
        "From SIGTERM until connections still open are cut; or `websocket.drain_window` and `websocket.close_timeout` together, if that is longer and WebSocket clients are connected.",
    ),
];
