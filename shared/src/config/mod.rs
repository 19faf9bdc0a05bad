//! The configuration, parsed and usable: every value typed, every unit in its type.
//!
//! This page holds the types, `socks5` and `websocket` those of the two services, `admission` those of who may come to the second, `control` those of the control port, `history` those of what is kept of traffic, `alerts` what is watched. How texts become one, in reading order: `keys` (the table of all keys), `load`
//! (the story), `yaml` (text to a tree with places), `form` (trees against the table), `kind`, `read` and `nets`
//! (what a value may be), `fields` (mappings in lists), `rules`, `proxies`, `namespaces` and `tls` (kinds of them), `overrides` (environment and `--set`), `checks` (rules between keys), `users` (the
//! users file), `contents` (what of files and secrets tells a change), `difference` (from one configuration to the next), `print` (the table for people and programs). Must not be here: reading a file, asking the
//! host.

mod admission;
pub mod alerts;
mod api_keys;
mod checks;
mod contents;
pub mod control;
mod difference;
mod draft;
mod effective;
mod fault;
mod fields;
mod form;
mod history;
mod keys;
mod kind;
mod load;
mod namespaces;
mod nets;
mod overrides;
mod place;
pub mod print;
mod proxies;
mod read;
mod rules;
mod socks5;
mod suggest;
mod tls;
pub mod units;
mod users;
mod value;
mod websocket;
mod yaml;

pub use admission::*;
pub use alerts::{AlertRule, Alerts, MEASURES, Measure, Severity, Unit, Webhook, When};
pub use control::{
    AllowedHost, ApiKey, ClientCertificates, Control, ControlTls, ControlToken, Scope, UnixSocket,
};
pub use difference::{Change, difference};
pub use effective::{Effective, Setting};
pub use fault::{Fault, Faults};
pub use history::{History, Keep};
pub use keys::{KEYS, Key, Reload};
pub use load::{FILE_BYTES_MAX, HostFacts, Loaded, Override, SourceFile, Sources, load};
pub use place::{Place, Source, Span};
pub use socks5::*;
pub use tls::{
    Authorities, Certificate, CertificateFault, CertificateFiles, Half, PEM_BYTES_MAX, Tls, TlsVersion,
    common_name,
};
pub use units::{duration as read_duration, show_duration};
pub use users::{USERS_FILE_BYTES_MAX, USERS_MAX};
pub use value::Value;
pub use websocket::*;

use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A whole, valid configuration. Only `load` makes one.
#[derive(Clone, Debug)]
pub struct Config {
    pub workers: Workers,
    pub socks5: Socks5,
    pub websocket: WebSocket,
    pub control: Control,
    pub alerts: Alerts,
    pub history: History,
    pub log: Log,
}

impl Config {
    /// Every TCP address that is listened on, by the key that has it.
    #[must_use]
    pub fn listen_addresses(&self) -> [(&'static str, &[SocketAddr]); 6] {
        [
            ("socks5.listen", &self.socks5.listen),
            ("socks5.tls.listen", &self.socks5.tls.listen),
            ("websocket.listen", &self.websocket.listen),
            ("websocket.tls.listen", &self.websocket.tls.listen),
            ("control.listen", &self.control.listen),
            ("control.tls.listen", &self.control.tls.tls.listen),
        ]
    }
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
    /// How long the new process of a hot restart may take until it could serve.
    pub ready_within: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring, or epoll where it is refused.
    Auto,
    IoUring,
    Epoll,
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
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
    /// Where one line for each ended connection goes.
    pub access: AccessLog,
    pub access_format: LogFormat,
    /// Where one line for each change made on the control port goes.
    pub audit: AccessLog,
    /// Where one line for each request on the control port goes.
    pub control: AccessLog,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    /// Among the other lines.
    Stderr,
    /// Appended to; opened anew at SIGUSR1.
    File(std::path::PathBuf),
}

/// As it is written in the configuration.
impl std::fmt::Display for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AccessLog::Off => f.write_str("off"),
            AccessLog::Stderr => f.write_str("stderr"),
            AccessLog::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub const ALL: [LogLevel; 5] =
        [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

    /// The name used in the configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["error", "warn", "info", "debug", "trace"][self as usize]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The users file, parsed: `users: [{name, password, …}]`.
#[derive(Clone, Debug, Default)]
pub struct Users {
    pub entries: Vec<Arc<User>>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct User {
    /// 1 to 255 bytes (RFC 1929).
    pub name: Arc<str>,
    pub password: Password,
    /// Connections at once, over all workers; `None`: as `socks5.limits.connections_per_user` says.
    pub connections: Option<u32>,
    /// Bytes per second from client to target; `None`: no limit.
    pub rate_up: Option<u64>,
    /// Bytes per second from target to client; `None`: no limit.
    pub rate_down: Option<u64>,
    pub quota: Option<Quota>,
    /// Source addresses instead of `socks5.egress.addresses`; empty: those.
    pub egress: Vec<IpAddr>,
    pub udp: UserUdp,
    /// Asked before `socks5.acl`.
    pub acl: Arc<[Rule]>,
}

impl User {
    /// A user without limits of its own.
    #[must_use]
    pub fn unlimited(name: Arc<str>, password: Password) -> User {
        User {
            name,
            password,
            connections: None,
            rate_up: None,
            rate_down: None,
            quota: None,
            egress: Vec::new(),
            udp: UserUdp::AsConfigured,
            acl: Arc::new([]),
        }
    }
}

/// Payload bytes a user may move, both directions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub bytes: u64,
    pub period: QuotaPeriod,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaPeriod {
    /// A calendar month, UTC.
    Month,
    Total,
}

/// What a user's UDP associations are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserUdp {
    /// As `socks5.udp.filter` says.
    AsConfigured,
    /// The user gets none.
    Off,
    Filter(UdpFilter),
}

/// How a password is kept. `Debug` never shows it.
#[derive(PartialEq, Eq)]
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
