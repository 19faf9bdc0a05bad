//! An address that clients come in by, and what has come in there: shared by all workers, and kept over reloads by its service and
//! address.
//!
//! The counters are cells, one writer each. A connection holds those of its worker, so that counting costs it one store more.

use crate::metrics::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a listener leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    Socks5,
    Socks5Tls,
    WebSocket,
    WebSocketTls,
}

impl Door {
    pub const ALL: [Door; 4] = [Door::Socks5, Door::Socks5Tls, Door::WebSocket, Door::WebSocketTls];

    #[must_use]
    pub fn is_gateway(self) -> bool {
        matches!(self, Door::WebSocket | Door::WebSocketTls)
    }

    /// The key that opened it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Door::Socks5 => "socks5.listen",
            Door::Socks5Tls => "socks5.tls.listen",
            Door::WebSocket => "websocket.listen",
            Door::WebSocketTls => "websocket.tls.listen",
        }
    }

    /// The service's name, in metrics and pages.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Door::Socks5 => "socks5",
            Door::Socks5Tls => "socks5_tls",
            Door::WebSocket => "websocket",
            Door::WebSocketTls => "websocket_tls",
        }
    }
}

/// What came in by one address on one core.
#[derive(Default)]
#[repr(align(128))]
pub struct ListenerCells {
    /// Connections accepted, whether or not they came to anything.
    pub opened: Cell,
    /// Those that have ended. Read it before `opened`: then active is never negative.
    pub closed: Cell,
    /// Those of them that ended by a failure: `Reason::is_failure`, `Closing::is_failure`.
    pub failed: Cell,
    /// Bytes in the direction that the service's own metrics call so: a proxy's payload from clients to targets, all that the
    /// gateway says to clients.
    pub sent_bytes: Cell,
    /// The other way: payload.
    pub received_bytes: Cell,
}

/// One address of one service.
pub struct Entrance {
    pub door: Door,
    /// Its port resolved.
    pub address: SocketAddr,
    /// One for each worker, each in an allocation of its own: who holds one counts its holders beside nobody else's.
    pub cells: Box<[Arc<ListenerCells>]>,
}

impl Entrance {
    #[must_use]
    pub fn for_workers(workers: usize, door: Door, address: SocketAddr) -> Self {
        Entrance { door, address, cells: (0..workers).map(|_| Arc::default()).collect() }
    }

    /// Sum of a cell over all workers.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&ListenerCells) -> u64) -> u64 {
        self.cells.iter().map(|cells| of(cells)).sum()
    }

    /// Connections open now.
    #[must_use]
    pub fn active(&self) -> u64 {
        let closed = self.sum(|cells| cells.closed.get());
        self.sum(|cells| cells.opened.get()).saturating_sub(closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_do_not_share_cache_lines() {
        assert_eq!(std::mem::align_of::<ListenerCells>(), 128);
        let entrance = Entrance::for_workers(2, Door::Socks5, "127.0.0.1:1080".parse().unwrap());
        entrance.cells[0].opened.add(3);
        entrance.cells[1].closed.add(1);
        assert_eq!((entrance.active(), entrance.sum(|cells| cells.opened.get())), (2, 3));
    }

    #[test]
    fn labels_and_keys_are_distinct() {
        for (one, other) in Door::ALL.iter().zip(&Door::ALL[1..]) {
            assert!(one.label() != other.label() && one.key() != other.key());
        }
    }
}
