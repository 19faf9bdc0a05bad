//! Every address that clients have come in by, and what has come in there.
//!
//! An address that is listened on no more keeps its counters: connections go on, and it may be wanted again.

use super::Workers;
use crate::io::listener::Door;
use ringway_shared::listener::Entrance;
use std::net::SocketAddr;
use std::sync::Arc;

/// Entrances nobody listens at any more that are kept, should they come back; those left last. Those with connections are kept
/// besides.
const LEFT_MAX: usize = 64;

/// All of them; those that are listened on first, in the order of the configuration.
pub struct Entrances {
    workers: usize,
    all: Vec<Arc<Entrance>>,
}

impl Entrances {
    #[must_use]
    pub fn for_workers(workers: usize) -> Entrances {
        Entrances { workers, all: Vec::new() }
    }

    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The one known by this service and address; else a new one, which nobody knows of before it is [noted](Self::note).
    #[must_use]
    pub fn find(&self, door: Door, address: SocketAddr) -> Arc<Entrance> {
        let known = self.all.iter().find(|one| (one.door, one.address) == (door, address)).cloned();
        known.unwrap_or_else(|| Arc::new(Entrance::for_workers(self.workers, door, address)))
    }

    /// These are listened on from now on.
    pub fn note(&mut self, open: Vec<Arc<Entrance>>) {
        let mut left = std::mem::replace(&mut self.all, open);
        left.retain(|one| !self.all.iter().any(|open| Arc::ptr_eq(one, open)));
        let mut idle = 0;
        left.retain(|one| {
            idle += usize::from(one.active() == 0);
            one.active() > 0 || idle <= LEFT_MAX
        });
        self.all.append(&mut left);
    }
}

impl Workers {
    /// Where clients come in, and where they came in before. Counters of connections that end are those of where they came in.
    #[must_use]
    pub fn entrances(&self) -> Vec<Arc<Entrance>> {
        self.entrances.borrow().all.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn an_address_that_comes_back_goes_on_counting_and_another_service_there_is_another_one() {
        let mut entrances = Entrances::for_workers(2);
        let first = entrances.find(Door::Socks5, at(1));
        assert!(!Arc::ptr_eq(&first, &entrances.find(Door::Socks5, at(1))), "not noted yet");
        entrances.note(vec![first.clone()]);
        entrances.note(vec![entrances.find(Door::Socks5, at(2))]);
        assert!(Arc::ptr_eq(&first, &entrances.find(Door::Socks5, at(1))));
        assert!(!Arc::ptr_eq(&first, &entrances.find(Door::Socks5Tls, at(1))));
        let order: Vec<_> = entrances.all.iter().map(|one| one.address.port()).collect();
        assert_eq!(order, [2, 1]);
    }

    #[test]
    fn of_those_that_are_left_the_oldest_are_forgotten_but_for_who_has_connections() {
        let mut entrances = Entrances::for_workers(1);
        let busy = entrances.find(Door::WebSocket, at(1));
        busy.cells[0].opened.add(1);
        entrances.note(vec![busy]);
        for port in 2..200 {
            entrances.note(vec![entrances.find(Door::WebSocket, at(port))]);
        }
        assert_eq!(entrances.all.len(), 1 + LEFT_MAX + 1);
        assert!(entrances.all.iter().any(|one| one.address.port() == 1));
        assert!(entrances.all.iter().all(|one| one.address.port() == 1 || one.address.port() >= 199 - 64));
    }
}
