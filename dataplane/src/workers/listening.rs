//! Where the process listens: an address each, with a socket for each worker.

use super::Workers;
use super::entrances::Entrances;
use crate::io::listener::Door;
use crate::io::listener::binding::{self, Inherited, Wanted, explain, local_address};
use crate::io::own::Own;
use ringway_shared::listener::Entrance;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// An address that is listened on.
pub struct Listening {
    /// What workers know it by.
    pub id: u64,
    /// As the configuration has it: its port may be 0.
    pub wanted: Wanted,
    /// Its port resolved.
    pub address: SocketAddr,
    /// Where who comes in there is counted.
    pub entrance: Arc<Entrance>,
    /// A socket at least for each worker, and whose it is. Copies: the workers have their own.
    sockets: Vec<(usize, OwnedFd)>,
}

/// What becomes of the addresses when the configuration changes.
pub struct Change {
    /// Those that stay, by number, and how they are wanted from now on.
    pub kept: Vec<(u64, Wanted)>,
    pub added: Vec<Wanted>,
}

impl Change {
    /// An address stays where it is wanted again, be it for another service: nobody who waits there is lost.
    #[must_use]
    pub fn between(now: &[Listening], wanted: Vec<Wanted>) -> Change {
        let mut change = Change { kept: Vec::new(), added: Vec::new() };
        let same_service = |one: &Listening, wanted: &Wanted| {
            let known = [one.wanted.address, one.address].contains(&wanted.address);
            known && one.wanted.door == wanted.door
        };
        let left = change.keep(now, wanted, same_service);
        change.added = change.keep(now, left, |one, wanted| one.address == wanted.address);
        change
    }

    /// Keeps what fits and is not kept already; what is wanted besides.
    fn keep(
        &mut self,
        now: &[Listening],
        wanted: Vec<Wanted>,
        fits: impl Fn(&Listening, &Wanted) -> bool,
    ) -> Vec<Wanted> {
        let mut left = Vec::new();
        for wanted in wanted {
            let is_free = |one: &&Listening| self.kept.iter().all(|(id, _)| *id != one.id);
            match now.iter().filter(is_free).find(|one| fits(one, &wanted)) {
                Some(one) => self.kept.push((one.id, wanted)),
                None => left.push(wanted),
            }
        }
        left
    }
}

impl Listening {
    /// Takes the inherited sockets of this address, and binds what is missing. Nobody is accepted yet, but where the
    /// inherited ones do already.
    ///
    /// `others`: where this process, or the one that handed over, listens still. Whether anybody else does cannot be asked
    /// while one of these is in the way; but it was asked then.
    pub fn bind(
        id: u64,
        wanted: Wanted,
        entrances: &Entrances,
        others: &[SocketAddr],
        inherited: &mut Vec<Inherited>,
    ) -> Result<Listening, String> {
        let explain = |error: io::Error| explain(&wanted, &error);
        let mut take = |fits: &dyn Fn(SocketAddr) -> bool| {
            let taken = inherited.extract_if(.., |one| fits(one.address));
            // More than workers: each of them takes several, so that no queue is left without anybody who accepts.
            taken
                .enumerate()
                .map(|(index, one)| (index % entrances.workers(), one.socket))
                .collect::<Vec<_>>()
        };
        let mut sockets = take(&|there| there == wanted.address);
        // Where an address is widened, the kernel prefers a narrower one as long as anybody has it open: who comes there
        // must find somebody who accepts.
        let narrower = take(&|there| wanted.address.ip().is_unspecified() && overlap(there, wanted.address));
        for (_, socket) in sockets.iter().chain(&narrower) {
            binding::dress(socket, wanted.door).map_err(explain)?;
        }
        let in_the_way = others.iter().any(|other| overlap(*other, wanted.address));
        let (mut address, takes_over) = (wanted.address, !sockets.is_empty());
        if !takes_over && !in_the_way {
            binding::ask_alone(address).map_err(explain)?;
        }
        for worker in sockets.len()..entrances.workers() {
            let socket = match binding::bind_shared(wanted.door, address) {
                Ok(socket) => socket,
                // One that does not share its address (systemd's do not by default): then its queue is shared.
                Err(_) if takes_over => sockets[0].1.try_clone().map_err(explain)?,
                Err(error) => return Err(explain(error)),
            };
            address = local_address(&socket).unwrap_or(address);
            sockets.push((worker, socket));
        }
        sockets.extend(narrower);
        let entrance = entrances.find(wanted.door, address);
        Ok(Listening { id, wanted, address, entrance, sockets })
    }

    /// Copies of one worker's sockets, for it.
    pub fn of_worker(&self, worker: usize) -> io::Result<Vec<(u64, Arc<Entrance>, OwnedFd)>> {
        let own = self.sockets.iter().filter(|(of, _)| *of == worker);
        own.map(|(_, socket)| Ok((self.id, self.entrance.clone(), socket.try_clone()?))).collect()
    }

    /// Begins to listen, or changes how many may wait.
    pub fn listen(&self) -> Result<(), String> {
        let listen = |(_, socket): &(usize, OwnedFd)| binding::listen(socket, self.wanted.backlog);
        self.sockets.iter().try_for_each(listen).map_err(|error| explain(&self.wanted, &error))
    }

    /// From now on it is wanted so. Only a socket that does not listen could fail at this.
    pub fn rededicate(&mut self, wanted: Wanted, entrance: Arc<Entrance>) {
        (self.wanted, self.entrance) = (wanted, entrance);
        let _ = self.listen();
        for (_, socket) in &self.sockets {
            let _ = binding::dress(socket, wanted.door);
        }
    }

    /// Copies of all sockets.
    pub fn copies(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(|(_, socket)| socket.try_clone()).collect()
    }

    /// A worker listens no more.
    pub fn forget(&mut self, worker: usize) {
        self.sockets.retain(|(of, _)| *of != worker);
    }
}

/// Where these count who comes in.
pub fn entrances(listening: &[Listening]) -> Vec<Arc<Entrance>> {
    listening.iter().map(|one| one.entrance.clone()).collect()
}

/// Whether two addresses cannot be bound by strangers.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    one.port() != 0 && one.port() == other.port() && same_family && (any || one.ip() == other.ip())
}

/// The addresses that reach this process itself.
pub fn own(addresses: impl Iterator<Item = SocketAddr>) -> Arc<Own> {
    Arc::new(Own(addresses.collect()))
}

pub fn no_descriptor(error: &io::Error) -> String {
    format!("cannot copy a listening socket: {error}; raise `ulimit -n`")
}

impl Workers {
    /// Copies of one worker's sockets.
    pub(super) fn sockets_of(&self, worker: usize) -> io::Result<Vec<(u64, Arc<Entrance>, OwnedFd)>> {
        let listening = self.listening.borrow();
        let sockets: io::Result<Vec<_>> = listening.iter().map(|one| one.of_worker(worker)).collect();
        Ok(sockets?.into_iter().flatten().collect())
    }

    /// Where this service listens now, ports resolved.
    fn addresses(&self, door: Door) -> Vec<SocketAddr> {
        let listening = self.listening.borrow();
        listening.iter().filter(|one| one.wanted.door == door).map(|one| one.address).collect()
    }

    /// The SOCKS5 addresses, ports resolved.
    #[must_use]
    pub fn socks5_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(Door::Socks5)
    }

    /// Those of them that speak TLS first.
    #[must_use]
    pub fn socks5_tls_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(Door::Socks5Tls)
    }

    /// Where the gateway listens with TLS, ports resolved.
    #[must_use]
    pub fn websocket_tls_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(Door::WebSocketTls)
    }

    /// The gateway's addresses, ports resolved.
    #[must_use]
    pub fn websocket_addresses(&self) -> Vec<SocketAddr> {
        self.addresses(Door::WebSocket)
    }

    /// Copies of all listening sockets there are now, for a successor or a holder: the key each is listed under, its address, and the
    /// socket. From now on they are [shared](Self::share_listeners).
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn listeners(&self) -> Result<Vec<(&'static str, SocketAddr, OwnedFd)>, String> {
        let mut all = Vec::new();
        for one in self.listening.borrow().iter() {
            let copies = one.copies().map_err(|error| no_descriptor(&error))?;
            all.extend(copies.into_iter().map(|copy| (one.wanted.door.key(), one.address, copy)));
        }
        self.share_listeners(true);
        Ok(all)
    }

    /// Whether others have our listening sockets too. Then no end of ours shuts them down: neither a drain nor a worker that
    /// dies. What is in their queues belongs to the others. A listener that a new configuration does not want is
    /// shut down for all.
    pub fn share_listeners(&self, shared: bool) {
        self.listeners_are_shared.store(shared, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(door: Door, address: &str) -> Wanted {
        Wanted { door, address: address.parse().unwrap(), backlog: 16 }
    }

    fn bound(id: u64, wanted: Wanted) -> Listening {
        Listening::bind(id, wanted, &Entrances::for_workers(2), &[], &mut Vec::new()).unwrap()
    }

    #[test]
    fn a_taken_port_is_refused_with_a_remedy_even_to_ourselves() {
        let first = bound(0, wanted(Door::Socks5, "127.0.0.1:0"));
        first.listen().unwrap();
        let sockets = first.copies().unwrap();
        assert!(sockets.iter().all(|socket| local_address(socket) == Some(first.address)));
        let again = Wanted { address: first.address, ..first.wanted };
        let entrances = Entrances::for_workers(2);
        let fault = Listening::bind(1, again, &entrances, &[], &mut Vec::new()).err().unwrap();
        assert!(fault.contains("another process listens there"), "{fault}");
        let others = [first.address];
        assert!(
            Listening::bind(1, again, &entrances, &others, &mut Vec::new()).is_ok(),
            "it is us who are in the way"
        );
    }

    #[test]
    fn an_address_is_kept_wherever_it_is_wanted_and_each_once() {
        let any = "127.0.0.1:0";
        let now = [bound(0, wanted(Door::Socks5, any)), bound(1, wanted(Door::WebSocket, any))];
        let [socks5, websocket] = [0, 1].map(|index| now[index].wanted);
        let change = Change::between(&now, vec![socks5, socks5, websocket]);
        assert_eq!((change.kept, change.added), (vec![(0, socks5), (1, websocket)], vec![socks5]));
        let crossed = Wanted { address: now[1].address, ..socks5 };
        let change = Change::between(&now, vec![crossed]);
        assert_eq!((change.kept, change.added), (vec![(1, crossed)], vec![]));
    }
}
