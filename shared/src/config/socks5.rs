//! The SOCKS5 service's part of the configuration: the types.

use super::{Denied, TargetClasses, Tls, Users};
use crate::session::{Command, Host, Protocol};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Socks5 {
    /// Empty: the service is off.
    pub listen: Vec<SocketAddr>,
    /// What is understood on the port, told apart by the first byte.
    pub protocols: Protocols,
    /// What may be asked for; the rest is answered "command not supported".
    pub commands: Commands,
    /// `None`: no authentication. `Some`: RFC 1929 (or HTTP Basic) against these users.
    pub users: Option<Arc<Users>>,
    pub allow_targets: TargetClasses,
    pub deny_targets: Denied,
    /// In order; the first that matches decides, none: allowed.
    pub acl: Arc<[Rule]>,
    pub limits: Limits,
    pub logins: Logins,
    pub timeouts: Timeouts,
    pub dns: Dns,
    pub relay: Relay,
    pub udp: Udp,
    pub bind: Bind,
    pub egress: Egress,
    pub upstream: Upstream,
    pub proxy_protocol: ProxyProtocol,
    pub tls: Tls,
    /// Where used quotas are kept over a restart. Absolute, or relative to the working directory.
    pub quota_file: std::path::PathBuf,
}

/// A set of [`Protocol`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocols(u8);

impl Protocols {
    #[must_use]
    pub fn with(self, protocol: Protocol) -> Self {
        Protocols(self.0 | 1 << protocol as u8)
    }

    #[must_use]
    pub fn contains(self, protocol: Protocol) -> bool {
        self.0 & (1 << protocol as u8) != 0
    }
}

/// A set of [`Command`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commands(u8);

impl Commands {
    #[must_use]
    pub fn with(self, command: Command) -> Self {
        Commands(self.0 | 1 << command as u8)
    }

    #[must_use]
    pub fn contains(self, command: Command) -> bool {
        self.0 & (1 << command as u8) != 0
    }

    #[must_use]
    pub fn all() -> Self {
        Command::ALL.into_iter().fold(Commands::default(), Commands::with)
    }
}

/// One rule of an ACL. It matches what all its criteria match; an empty or absent criterion matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands, for logs and `ringway acl test`: `socks5.acl[3]`, `users[0].acl[1]`.
    pub label: Arc<str>,
    pub action: Action,
    /// Client networks.
    pub from: Vec<IpNet>,
    pub users: Vec<Arc<str>>,
    /// Target networks and domain suffixes; one that matches is enough.
    pub to: Vec<Destination>,
    pub ports: Vec<RangeInclusive<u16>>,
    /// `None`: all.
    pub commands: Option<Commands>,
    pub days: Days,
    /// Minutes of the local day, from (included) to (excluded); `from > to` wraps over midnight.
    pub hours: Option<(u16, u16)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `via`: the group of upstream proxies to go through; `None`: as `socks5.upstream.default` says;
    /// written `direct` it is `Some(Via::Direct)`.
    Allow {
        via: Option<Via>,
    },
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    Direct,
    /// A group that exists (checked when the configuration is read).
    Group(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Network(IpNet),
    /// A domain and all below it: lower case, no leading or trailing dot.
    Domain(Box<str>),
}

/// Days of the week, as bits from Monday (1) to Sunday (64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub u8);

impl Days {
    pub const ALL: Days = Days(0x7f);

    /// `day` counts from Monday, 0, to Sunday, 6.
    #[must_use]
    pub fn contains(self, day: u8) -> bool {
        self.0 & (1 << day) != 0
    }
}

/// `None` in a limit: none.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Client connections at once; `None`: as many as the descriptor limit carries.
    pub connections: Option<usize>,
    /// The listeners' backlog (the kernel caps it at `net.core.somaxconn`).
    pub backlog: u32,
    /// A client is an IPv4 address or an IPv6 /64.
    pub connections_per_client: Option<u32>,
    /// For users whose entry says nothing.
    pub connections_per_user: Option<u32>,
    pub new_connections_per_second: Option<u32>,
    pub new_connections_per_second_per_client: Option<u32>,
    /// UDP associations at once; `None`: as many as the descriptor limit carries.
    pub udp_associations: Option<usize>,
}

/// What happens after failed logins, per client.
#[derive(Clone, Debug)]
pub struct Logins {
    /// How long the answer to a login waits after one failure; doubled by each further one.
    pub delay: Duration,
    pub delay_max: Duration,
    /// So many failures ban the client; `None`: never.
    pub failures_max: Option<u32>,
    pub ban: Duration,
    /// Without a failure for so long the count starts anew.
    pub forget_after: Duration,
}

#[derive(Clone, Debug)]
pub struct Timeouts {
    /// The PROXY protocol header, where one must come.
    pub proxy_header: Duration,
    /// Total for greeting, authentication and request.
    pub handshake: Duration,
    pub greeting: Duration,
    pub authentication: Duration,
    pub request: Duration,
    pub name_lookup: Duration,
    /// All attempts of one request together, an upstream proxy's handshake included.
    pub connect: Duration,
    /// BIND: from the first reply to the expected peer's connection.
    pub bind: Duration,
    /// No byte either way.
    pub idle: Duration,
    /// No byte while one direction is closed.
    pub half_closed: Duration,
    /// No datagram either way.
    pub udp_idle: Duration,
    /// From the first fragment of a datagram to its last (RFC 1928 section 7: at least 5 s).
    pub fragments: Duration,
    /// From SIGTERM to cutting what is left.
    pub drain: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Empty: as /etc/resolv.conf says.
    pub servers: Vec<SocketAddr>,
    /// Names held in the cache; 0: no cache.
    pub cache_entries: u64,
    /// A longer TTL is cut to this.
    pub ttl_max: Duration,
    /// How long at most "no such name" is believed.
    pub negative_ttl_max: Duration,
}

#[derive(Clone, Debug)]
pub struct Relay {
    /// Pipes a worker may lend to splicing directions; 0: copy only.
    pub pipes_per_worker: usize,
    /// Wanted size of a pipe in bytes, a power of two.
    pub pipe_bytes: usize,
}

/// Which peers' datagrams a UDP association lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpFilter {
    /// Everybody's.
    FullCone,
    /// Those from an address the client has sent to.
    Address,
    /// Those from an address and port the client has sent to.
    AddressPort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragments {
    Reassemble,
    Drop,
}

#[derive(Clone, Debug)]
pub struct Udp {
    pub filter: UdpFilter,
    pub fragments: Fragments,
    /// The address told to clients instead of the socket's own (NAT, cloud): at most one of each family.
    pub advertise: Vec<IpAddr>,
    /// Ports of the client's side; `None`: the kernel chooses.
    pub ports: Option<RangeInclusive<u16>>,
    /// Whether a DST.ADDR and DST.PORT other than zero restrict who may send (RFC 1928 section 6).
    pub honour_dst: bool,
}

#[derive(Clone, Debug)]
pub struct Bind {
    /// The address told to clients instead of the socket's own: at most one of each family.
    pub advertise: Vec<IpAddr>,
    /// Ports to listen on; `None`: the kernel chooses.
    pub ports: Option<RangeInclusive<u16>>,
}

/// Which of a name's addresses are dialled, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    Ipv6,
    Ipv4,
    Ipv6Only,
    Ipv4Only,
}

/// How sockets towards targets and upstream proxies leave this host.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Source addresses; one of the right family is chosen by client and user. None of it: the kernel chooses.
    pub addresses: Vec<IpAddr>,
    /// SO_BINDTODEVICE.
    pub interface: Option<Box<str>>,
    /// SO_MARK; 0: none.
    pub mark: u32,
    pub prefer: Prefer,
    /// TCP Fast Open (RFC 7413) where the client's first bytes came with its request.
    pub fast_open: bool,
}

#[derive(Clone, Debug)]
pub struct Upstream {
    pub proxies: Vec<UpstreamProxy>,
    /// The group used where no rule names one; `None`: direct.
    pub default: Option<Arc<str>>,
    pub health_interval: Duration,
    /// So many failures in a row and a proxy is left alone until a check succeeds.
    pub failures_max: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamProxy {
    pub name: Arc<str>,
    pub group: Arc<str>,
    pub protocol: UpstreamProtocol,
    pub host: Host,
    pub port: u16,
    pub login: Option<UpstreamLogin>,
    /// Its share among the healthy ones of its group; 0: only when no other is left.
    pub weight: u32,
    pub names: UpstreamNames,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    Socks5,
    HttpConnect,
}

/// Who looks up a target's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamNames {
    /// ringway does, and judges the address it found; the upstream gets the address.
    Local,
    /// The upstream does; rules about addresses cannot hold for names then.
    Remote,
}

/// `Debug` never shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamLogin {
    pub name: Box<[u8]>,
    pub password: Box<[u8]>,
}

impl std::fmt::Debug for UpstreamLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UpstreamLogin(<redacted>)")
    }
}

#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    /// Clients in these networks must begin with a PROXY protocol header.
    pub from: Vec<IpNet>,
    /// Targets that get one.
    pub to: Vec<Destination>,
    pub version: ProxyVersion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    V1,
    V2,
}
