//! `control`: the control port, and who may do what there.

pub mod tokens;
pub mod written;

use super::AllowedOrigin;
use super::tls::{Authorities, Tls};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What somebody may do on the control port; each allows what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scope {
    /// Anybody: what load balancers probe.
    Open,
    /// Looking.
    Read,
    /// Acting upon connections and traffic: kill, drain, publish.
    Operate,
    /// Acting upon ringway itself: configuration, levels, profiles, fault drills.
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 4] = [Scope::Open, Scope::Read, Scope::Operate, Scope::Admin];

    /// The name used in the configuration, in answers and in logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["open", "read", "operate", "admin"][self as usize]
    }
}

#[derive(Clone, Debug)]
pub struct Control {
    /// Empty: the control port has no plain listener.
    pub listen: Vec<SocketAddr>,
    pub tls: ControlTls,
    pub unix: Option<UnixSocket>,
    pub test_endpoints: bool,
    /// Control connections at once.
    pub connections_max: usize,
    pub feed: Feed,
    /// Who may use the publish API; empty: whoever has scope `operate`.
    pub api_keys: Arc<[ApiKey]>,
    /// Who may do what; empty: whoever reaches a listener that asks nobody may do everything.
    pub tokens: Arc<[ControlToken]>,
    /// Whether `/metrics` asks for no token.
    pub metrics_open: bool,
    /// Whether whoever reaches a listener beyond loopback that asks nobody may do everything.
    pub insecure: bool,
    /// Names it may be called by, besides addresses and `localhost`.
    pub allowed_hosts: Vec<AllowedHost>,
    /// Whose pages may act, besides its own: never `Any` or `Null`.
    pub allowed_origins: Vec<AllowedOrigin>,
}

/// The live feed, and who reads it at the control port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// From one `traffic_data` to the next.
    pub interval: Duration,
    /// WebSocket connections that came in by the control port, at once.
    pub clients_max: usize,
}

/// A key of the publish API. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub enum ApiKey {
    Plain(Box<str>),
    /// The SHA-256 of one.
    Sha256([u8; 32]),
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ApiKey::Plain(_) => "<redacted>",
            ApiKey::Sha256(_) => "{sha256}<redacted>",
        })
    }
}

/// Somebody who may do something. `Debug` never shows the token.
#[derive(Clone, PartialEq, Eq)]
pub struct ControlToken {
    pub name: Arc<str>,
    /// Never `Open`.
    pub scope: Scope,
    /// The token's SHA-256.
    pub digest: [u8; 32],
}

impl fmt::Debug for ControlToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.scope.label(), self.name)
    }
}

/// What a request's `Host` may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    /// `*`: the check is off.
    Any,
    /// In small letters.
    Exactly(Box<str>),
    /// `*.name`: every name below it.
    Below(Box<str>),
}

impl AllowedHost {
    /// Whether `name`, in small letters and without a port, is allowed.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        match self {
            AllowedHost::Any => true,
            AllowedHost::Exactly(own) => **own == *name,
            AllowedHost::Below(parent) => name
                .strip_suffix(&**parent)
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty()),
        }
    }
}

/// The listener that programs of this host alone reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    pub path: PathBuf,
    /// The permissions of its file.
    pub mode: u32,
    /// What users may do who are neither root nor ringway's own; `None`: nothing without a token.
    pub others: Option<Scope>,
}

#[derive(Clone, Debug, Default)]
pub struct ControlTls {
    pub tls: Tls,
    /// `None`: clients are not asked for a certificate.
    pub clients: Option<ClientCertificates>,
}

/// How clients say who they are by certificate.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    /// Who shows none gets no connection.
    pub required: bool,
    /// Who must have signed them.
    pub authorities: Authorities,
    /// What who shows one may do.
    pub scope: Scope,
}
