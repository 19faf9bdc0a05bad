//! What a connection is called, in lists, exemplars and the flight recorder: `0-s-1847340134432785`, one name for ever.
//!
//! Serials only go on, and begin at the second a worker starts ([`first_serial`]): no connection is called as another was, not even one of the process
//! before, unless a worker had accepted more than a million a second all its life.

use std::fmt;
use std::str::FromStr;

/// What a connection came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    Socks5,
    WebSocket,
}

impl Service {
    pub const ALL: [Service; 2] = [Service::Socks5, Service::WebSocket];

    /// The name used in lists.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["socks5", "websocket"][self as usize]
    }

    /// Its letter in a connection's name.
    #[must_use]
    pub fn letter(self) -> &'static str {
        ["s", "w"][self as usize]
    }
}

/// A connection, as its worker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    pub service: Service,
    /// Counts the service's connections on this worker, from [`first_serial`] on.
    pub serial: u64,
}

/// What a worker that starts at this second counts from.
#[must_use]
pub fn first_serial(unix_s: u64) -> u64 {
    unix_s << 20 & SERIAL_MASK
}

impl Connection {
    #[must_use]
    pub fn socks5(serial: u64) -> Connection {
        Connection { service: Service::Socks5, serial }
    }

    #[must_use]
    pub fn websocket(serial: u64) -> Connection {
        Connection { service: Service::WebSocket, serial }
    }

    /// One word, for a ring of words.
    pub(crate) fn pack(connection: Option<Connection>) -> u64 {
        connection.map_or(0, |it| (it.service as u64 + 1) << SERVICE_SHIFT | it.serial & SERIAL_MASK)
    }

    pub(crate) fn unpack(word: u64) -> Option<Connection> {
        let service = *Service::ALL.get((word >> SERVICE_SHIFT).checked_sub(1)? as usize)?;
        Some(Connection { service, serial: word & SERIAL_MASK })
    }
}

const SERVICE_SHIFT: u32 = 62;
const SERIAL_MASK: u64 = (1 << SERVICE_SHIFT) - 1;

/// A connection's name among those of all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub worker: usize,
    pub connection: Connection,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connection { service, serial } = self.connection;
        write!(f, "{}-{}-{serial}", self.worker, service.letter())
    }
}

impl FromStr for ConnectionId {
    type Err = ();

    fn from_str(text: &str) -> Result<ConnectionId, ()> {
        let mut parts = text.splitn(3, '-');
        let mut next = || parts.next().ok_or(());
        let worker = number(next()?)?.try_into().map_err(|_| ())?;
        let letter = next()?;
        let service = Service::ALL.into_iter().find(|service| service.letter() == letter).ok_or(())?;
        let serial = number(next()?)?;
        Ok(ConnectionId { worker, connection: Connection { service, serial } })
    }
}

/// Digits alone, and none before them that say nothing: a connection has one name.
fn number(text: &str) -> Result<u64, ()> {
    let spelt_once = text == "0" || text.starts_with(|first: char| ('1'..='9').contains(&first));
    spelt_once.then(|| text.parse().ok()).flatten().ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for (text, worker, connection) in
            [("0-s-17", 0, Connection::socks5(17)), ("12-w-4294967296", 12, Connection::websocket(1 << 32))]
        {
            let id = ConnectionId { worker, connection };
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(Connection::unpack(Connection::pack(Some(connection))), Some(connection));
        }
        assert_eq!(Connection::unpack(Connection::pack(None)), None);
        for wrong in ["", "0", "0-s", "0-s-", "0-x-1", "0-s-1-", "-1-s-1", "00-s-1", "0-s-+1", "0-s-01"] {
            assert_eq!(wrong.parse::<ConnectionId>(), Err(()), "{wrong}");
        }
    }
}
