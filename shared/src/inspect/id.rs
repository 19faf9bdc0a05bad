//! What connections are called.

use super::Place;
use std::fmt;
use std::str::FromStr;

/// A service that clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    Socks5,
    WebSocket,
}

impl Service {
    pub const ALL: [Service; 2] = [Service::Socks5, Service::WebSocket];

    #[must_use]
    pub fn label(self) -> &'static str {
        ["socks5", "websocket"][self as usize]
    }

    /// Its letter in a connection's id.
    #[must_use]
    pub fn letter(self) -> char {
        ['s', 'w'][self as usize]
    }
}

/// The name of one connection for ever: `0-s-17-18a3f0c2b5d6e7f8`.
///
/// A place in a worker's table is taken again, a moment is not: with the nanosecond it was accepted at, no two connections of a worker are called the same,
/// nor those of a process started later. It takes no room in the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub worker: u16,
    pub service: Service,
    /// Its place in the worker's table.
    pub index: u32,
    /// When it was accepted, in nanoseconds of the Unix epoch.
    pub accepted_ns: u64,
}

impl ConnectionId {
    #[must_use]
    pub fn place(&self) -> Place {
        Place { service: self.service, index: self.index }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConnectionId { worker, service, index, accepted_ns } = self;
        write!(f, "{worker}-{}-{index}-{accepted_ns:016x}", service.letter())
    }
}

/// It is no connection's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoId;

impl FromStr for ConnectionId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(NoId);
        let (worker, letter, index, accepted) = (next()?, next()?, next()?, next()?);
        let service = Service::ALL.into_iter().find(|service| letter == service.letter().to_string());
        let id = ConnectionId {
            worker: worker.parse().map_err(|_| NoId)?,
            service: service.ok_or(NoId)?,
            index: index.parse().map_err(|_| NoId)?,
            accepted_ns: u64::from_str_radix(accepted, 16).map_err(|_| NoId)?,
        };
        // One connection, one spelling.
        (id.to_string() == text).then_some(id).ok_or(NoId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_is_one() {
        for service in Service::ALL {
            let id = ConnectionId { worker: 3, service, index: 17, accepted_ns: 0x18a3_f0c2_b5d6_e7f8 };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in [
            "",
            "3",
            "3-s-17",
            "3-x-17-18a3f0c2b5d6e7f8",
            "3-s-17-18a3",
            "03-s-17-18a3f0c2b5d6e7f8",
            "3-s-17-18a3f0c2b5d6e7f8-",
            "70000-s-1-18a3f0c2b5d6e7f8",
        ] {
            assert_eq!(text.parse::<ConnectionId>(), Err(NoId), "{text}");
        }
    }
}
