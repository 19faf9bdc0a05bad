//! Who may do what on the control port: the words. `server::guard` asks and judges.

use ringway_shared::config::Control;
pub use ringway_shared::config::Scope;
use ringway_shared::config::control::tokens::NAMES_TAKEN;
use std::net::SocketAddr;
use std::rc::Rc;

/// What the operator should know of who may do what.
pub fn notices(control: &Control) -> Vec<String> {
    let exposed = control.listen.iter().find(|address| !address.ip().to_canonical().is_loopback());
    let what = if control.tokens.is_empty() {
        "whoever reaches it may do everything (control.insecure)"
    } else {
        "tokens can be read on their way: control.tls, or a proxy that ends TLS, keeps them secret"
    };
    exposed.map(|address| format!("control.listen {address} is plain HTTP: {what}")).into_iter().collect()
}

/// Where a request came from, and what the connection itself says of who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp {
        address: SocketAddr,
        /// It reached a loopback address: it is on this host.
        near: bool,
    },
    Tls {
        address: SocketAddr,
        near: bool,
        /// The common name of the one that was shown, and verified.
        name: Option<Rc<str>>,
    },
    /// As the kernel has it (SO_PEERCRED).
    Unix { uid: u32, pid: Option<i32> },
}

/// Whether the kernel's word for `uid` is enough to do everything: root, and the user ringway runs as.
#[must_use]
pub fn is_own(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp { address, .. } | Peer::Tls { address, .. } => address.fmt(f),
            Peer::Unix { uid, pid: Some(pid) } => write!(f, "unix:{uid}:{pid}"),
            Peer::Unix { uid, pid: None } => write!(f, "unix:{uid}"),
        }
    }
}

/// No token may be called so.
const ANYBODY: &str = NAMES_TAKEN[0];
const API_KEY: &str = NAMES_TAKEN[1];

/// Who asks.
#[derive(Clone, Debug)]
pub struct Principal {
    /// As the audit log names it: that of a token, `anybody`, `uid:1000`, `certificate:NAME`.
    pub name: Rc<str>,
    pub scope: Scope,
    pub basis: Basis,
}

/// What somebody may do something by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Nobody looked.
    Nothing,
    /// The digest of a token or key.
    Shown([u8; 32]),
    /// The connection they came by.
    Connection(Peer),
}

impl Principal {
    /// Whoever reaches a listener where nobody is asked who they are.
    #[must_use]
    pub fn anybody(peer: &Peer) -> Principal {
        Principal::of_connection(ANYBODY, Scope::Admin, peer)
    }

    /// Whom the connection says it is.
    #[must_use]
    pub fn of_connection(name: &str, scope: Scope, peer: &Peer) -> Principal {
        Principal { name: name.into(), scope, basis: Basis::Connection(peer.clone()) }
    }

    /// Who asks for what is open to everybody: nobody looked.
    #[must_use]
    pub fn nobody() -> Principal {
        Principal { name: "-".into(), scope: Scope::Open, basis: Basis::Nothing }
    }

    /// Who showed a key of the publish API.
    #[must_use]
    pub fn key_holder(digest: [u8; 32]) -> Principal {
        Principal { name: API_KEY.into(), scope: Scope::Operate, basis: Basis::Shown(digest) }
    }

    /// Whether nobody was asked who it is.
    #[must_use]
    pub fn is_anybody(&self) -> bool {
        &*self.name == ANYBODY
    }
}

/// Why a request was refused before it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// It was meant for a name that is not ours.
    Host,
    /// It came from another origin's page.
    Origin,
    /// It would change something and is not JSON.
    ContentType,
    /// It showed nothing, and had to.
    Missing,
    /// It showed more than one credential.
    Several,
    WrongToken,
    /// Of the publish API.
    WrongKey,
    /// Who it is may not do that.
    Scope,
    /// Too many wrong ones came from its address.
    Throttled,
    /// The certificate of a client is not to be believed; there was no request.
    ClientCertificate,
}

impl Failure {
    pub const ALL: [Failure; 10] = [
        Failure::Host,
        Failure::Origin,
        Failure::ContentType,
        Failure::Missing,
        Failure::Several,
        Failure::WrongToken,
        Failure::WrongKey,
        Failure::Scope,
        Failure::Throttled,
        Failure::ClientCertificate,
    ];

    /// The one name, in metrics and in the audit log.
    #[must_use]
    pub fn label(self) -> &'static str {
        [
            "host",
            "origin",
            "content_type",
            "missing",
            "several",
            "wrong_token",
            "wrong_key",
            "scope",
            "throttled",
            "client_certificate",
        ][self as usize]
    }
}
