//! Who may do what on the control port: the words. `server::guard` asks and judges.

pub use ringway_shared::config::Scope;
use std::net::SocketAddr;
use std::rc::Rc;

/// Where a request came from, and what the connection itself says of who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    Tls {
        address: SocketAddr,
        /// Clients are asked for a certificate here.
        asked: bool,
        /// The common name of the one that was shown, and verified.
        name: Option<Rc<str>>,
    },
    /// As the kernel has it (SO_PEERCRED).
    Unix {
        uid: u32,
        pid: Option<i32>,
    },
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp(address) | Peer::Tls { address, .. } => address.fmt(f),
            Peer::Unix { uid, pid: Some(pid) } => write!(f, "unix:{uid}:{pid}"),
            Peer::Unix { uid, pid: None } => write!(f, "unix:{uid}"),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Principal {
    /// As the audit log names it: that of a token, `anybody`, `uid:1000`, `certificate:NAME`.
    pub name: Rc<str>,
    pub scope: Scope,
    pub peer: Peer,
}

impl Principal {
    /// Whoever reaches a listener where nobody is asked who they are.
    #[must_use]
    pub fn anybody(peer: Peer) -> Principal {
        Principal { name: "anybody".into(), scope: Scope::Admin, peer }
    }
}
