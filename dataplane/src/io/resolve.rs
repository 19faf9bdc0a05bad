//! Names to addresses, on a thread of its own.

use std::net::IpAddr;

/// Why a name gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The name does not exist, or has no A or AAAA record.
    NotFound,
    /// The name servers failed or answered nonsense.
    Failed,
    /// No answer within `socks5.timeouts.name_lookup`.
    Timeout,
}

/// All addresses of a name, at least one.
pub type Answer = Result<Vec<IpAddr>, LookupError>;
