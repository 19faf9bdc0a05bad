//! Who may do what on the control port.

use std::net::SocketAddr;
use std::rc::Rc;

/// What somebody may do; each allows what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// Where a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Principal {
    /// As the audit log names it.
    pub name: Rc<str>,
    pub scope: Scope,
    pub peer: Peer,
}

impl Principal {
    /// Whoever reaches the port, where nobody is asked who they are.
    #[must_use]
    pub fn anybody(peer: Peer) -> Principal {
        Principal { name: "anybody".into(), scope: Scope::Admin, peer }
    }
}
