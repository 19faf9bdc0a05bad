//! The configuration, parsed and usable: every value typed, every unit in its type.
//!
//! This page holds the types. How texts become one, in reading order: `keys` (the table of all keys), `load`
//! (the story), `yaml` (text to a tree with places), `form` (trees against the table), `kind` and `read`
//! (what a value may be), `overrides` (environment and `--set`), `checks` (rules between keys), `users` (the
//! users file), `print` (the table for people and programs). Must not be here: reading a file, asking the
//! host.

mod checks;
mod draft;
mod effective;
mod fault;
mod form;
mod keys;
mod kind;
mod load;
mod overrides;
mod place;
pub mod print;
mod read;
mod suggest;
mod units;
mod users;
mod value;
mod yaml;

pub use effective::{Effective, Setting};
pub use fault::{Fault, Faults};
pub use keys::{KEYS, Key, Reload};
pub use load::{FILE_BYTES_MAX, HostFacts, Loaded, SourceFile, Sources, load};
pub use place::{Place, Source, Span};
pub use users::{USERS_FILE_BYTES_MAX, USERS_MAX};
pub use value::Value;

use ipnet::IpNet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A whole, valid configuration. Only `load` makes one.
#[derive(Clone, Debug)]
pub struct Config {
    pub workers: Workers,
    pub socks5: Socks5,
    pub control: Control,
    pub log: Log,
}

#[derive(Clone, Debug)]
pub struct Workers {
    /// How many worker threads; at least 1.
    pub count: usize,
    /// Worker i is pinned to `cpus[i]`; empty: not pinned. Otherwise as long as `count`.
    pub cpus: Vec<usize>,
    pub driver: DriverChoice,
    /// A worker whose heartbeat is older than this is called stalled on `/livez`.
    pub stalled_after: Duration,
    /// A worker whose heartbeat is older than this makes the process drain and exit; zero: never.
    pub wedged_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring, or epoll where it is refused.
    Auto,
    IoUring,
    Epoll,
}

#[derive(Clone, Debug)]
pub struct Socks5 {
    /// Empty: the service is off.
    pub listen: Vec<SocketAddr>,
    /// `None`: no authentication. `Some`: RFC 1929 against these users.
    pub users: Option<Arc<Users>>,
    pub allow_targets: TargetClasses,
    pub deny_targets: Denied,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub dns: Dns,
    pub relay: Relay,
}

/// One class of target address. An address is of exactly one class, besides being `own` or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TargetClass {
    Loopback,
    Private,
    LinkLocal,
    Metadata,
    Unspecified,
    Multicast,
    /// One of ringway's own listeners, on top of the address's own class.
    Own,
}

impl TargetClass {
    pub const ALL: [TargetClass; 7] = [
        TargetClass::Loopback,
        TargetClass::Private,
        TargetClass::LinkLocal,
        TargetClass::Metadata,
        TargetClass::Unspecified,
        TargetClass::Multicast,
        TargetClass::Own,
    ];

    /// The name used in the configuration and in logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["loopback", "private", "link_local", "metadata", "unspecified", "multicast", "own"][self as usize]
    }
}

/// A set of [`TargetClass`]es.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetClasses(u8);

impl TargetClasses {
    #[must_use]
    pub fn with(self, class: TargetClass) -> Self {
        TargetClasses(self.0 | 1 << class as u8)
    }

    #[must_use]
    pub fn contains(self, class: TargetClass) -> bool {
        self.0 & (1 << class as u8) != 0
    }
}

/// What `socks5.deny_targets` names: classes and networks. Denial wins over allowance.
#[derive(Clone, Debug, Default)]
pub struct Denied {
    pub classes: TargetClasses,
    pub networks: Vec<IpNet>,
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// Client connections at once; `None`: as many as the descriptor limit carries.
    pub connections: Option<usize>,
    /// The listeners' backlog (the kernel caps it at `net.core.somaxconn`).
    pub backlog: u32,
}

#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Total for greeting, authentication and request.
    pub handshake: Duration,
    pub greeting: Duration,
    pub authentication: Duration,
    pub request: Duration,
    pub name_lookup: Duration,
    /// All attempts of one request together.
    pub connect: Duration,
    /// No byte either way.
    pub idle: Duration,
    /// No byte while one direction is closed.
    pub half_closed: Duration,
    /// From SIGTERM to cutting what is left.
    pub drain: Duration,
}

#[derive(Clone, Debug)]
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

#[derive(Clone, Debug)]
pub struct Control {
    /// Empty: the control port is off.
    pub listen: Vec<SocketAddr>,
    pub test_endpoints: bool,
    /// Control connections at once.
    pub connections_max: usize,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
    /// One line for each ended connection.
    pub access: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The users file, parsed: `users: [{name, password}]`.
#[derive(Debug, Default)]
pub struct Users {
    pub entries: Vec<User>,
}

#[derive(Debug)]
pub struct User {
    /// 1 to 255 bytes (RFC 1929).
    pub name: Arc<str>,
    pub password: Password,
}

/// How a password is kept. `Debug` never shows it.
pub enum Password {
    /// Written `{plain}secret`. Any bytes, 0 to 255 of them.
    Plain(Box<[u8]>),
    /// An argon2id PHC string, e.g. `$argon2id$v=19$m=19456,t=2,p=1$…`.
    Argon2(Box<str>),
    /// A bcrypt string, e.g. `$2b$12$…`.
    Bcrypt(Box<str>),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Password::Plain(_) => "{plain}<redacted>",
            Password::Argon2(_) => "$argon2<redacted>",
            Password::Bcrypt(_) => "$2b$<redacted>",
        })
    }
}
