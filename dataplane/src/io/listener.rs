//! Listening sockets: binding them, accepting from them, and choosing the worker that serves.

use crate::core::Core;
use crate::io::client::Client;
use crate::io::gateway;
use crate::io::inbox::Mail;
use crate::io::socks;
use crate::io::tls::Acceptor;
use crate::rt::{self, Ready};
use ringway_shared::flight::What;
use ringway_shared::metrics::Cells;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

/// Connections accepted for one wake; then the ring gets its turn.
const ACCEPTS_PER_WAKE: usize = 64;
/// How long a listener rests when descriptors or memory ran out.
const BACKOFF: Duration = Duration::from_millis(50);
/// Batches accepted from a listener that is about to close: a backlog of 16,384.
const BATCHES_BEFORE_CLOSE: usize = 256;
/// A worker hands a socket over when it holds more than 5/4 of the mean and this many on top.
const IMBALANCE_MIN: u64 = 16;
/// Nothing is handed to a worker whose heartbeat is so far behind: it stalls, and its load stays low for that.
const SILENCE_MAX_MS: u64 = 500;

/// Bytes the kernel holds unsent for one WebSocket client.
const NOTSENT_BYTES: u32 = 128 * 1024;

/// What a listener leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Socks5,
    Socks5Tls,
    WebSocket,
    WebSocketTls,
}

impl Door {
    /// Whether it stays open while the worker drains.
    #[must_use]
    pub fn stays_for_drain(self) -> bool {
        self.is_gateway()
    }

    #[must_use]
    fn is_gateway(self) -> bool {
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
}

/// Binds `address` once for each worker. Errors are for the operator: they name the remedy.
pub fn bind_for_all(
    door: Door,
    address: SocketAddr,
    workers: usize,
    backlog: u32,
) -> Result<Vec<OwnedFd>, String> {
    let explain = |error: io::Error| {
        let remedy = match Errno::from_io_error(&error) {
            Some(Errno::ADDRINUSE) => {
                "another process listens there: stop it (`ss -ltnp` names it) or choose another port"
            }
            Some(Errno::ADDRNOTAVAIL) => "no interface of this host has that address",
            Some(Errno::ACCESS) => "ports below 1024 need CAP_NET_BIND_SERVICE",
            _ => "check the address",
        };
        format!("{} {address}: {error}: {remedy}", door.key())
    };
    // SO_REUSEPORT would let a second ringway share the port unnoticed: ask once without it.
    drop(bind(address, false).map_err(explain)?);
    let first = bind(address, true).map_err(explain)?;
    let resolved = first.local_addr().ok().and_then(|bound| bound.as_socket()).unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(bind(resolved, true).map_err(explain)?);
    }
    for socket in &sockets {
        if door.is_gateway() {
            // Accepted sockets inherit it: what a slow reader does not take waits in its queue, where it is counted, not in the kernel.
            socket.set_tcp_notsent_lowat(NOTSENT_BYTES).map_err(explain)?;
        }
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(explain)?;
    }
    Ok(sockets.into_iter().map(OwnedFd::from).collect())
}

fn bind(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit it: one system call less for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The address a bound socket has, its port resolved.
#[must_use]
pub fn local_address(socket: &impl AsFd) -> Option<SocketAddr> {
    rustix::net::getsockname(socket).ok().and_then(|any| SocketAddr::try_from(any).ok())
}

/// Accepts until the listener is shut down.
pub async fn serve(core: Rc<Core>, door: Door, listener: Rc<Ready>) {
    while !core.draining.get() || door.stays_for_drain() {
        if listener.readable().await.is_err() {
            return;
        }
        match accept_batch(&core, door, &listener) {
            Batch::Exhausted => {
                core.cells.accept_backoffs.add(1);
                core.note(What::AcceptBackoff);
                rt::sleep(BACKOFF).await;
            }
            Batch::Closed => return,
            Batch::Emptied | Batch::Full => {}
        }
    }
}

/// Closes a listener. What the kernel has accepted by then is still served: nobody is reset by a drain.
pub fn close(core: &Rc<Core>, door: Door, listener: &Ready) {
    for _ in 0..BATCHES_BEFORE_CLOSE {
        if accept_batch(core, door, listener) != Batch::Full {
            break;
        }
    }
    listener.shutdown();
}

#[derive(PartialEq, Eq)]
enum Batch {
    /// The backlog is empty.
    Emptied,
    /// As many as one wake may take: there may be more.
    Full,
    /// The listener has been shut down.
    Closed,
    /// Descriptors or memory ran out: accepting at once again would only spin.
    Exhausted,
}

fn accept_batch(core: &Rc<Core>, door: Door, listener: &Ready) -> Batch {
    for _ in 0..ACCEPTS_PER_WAKE {
        match acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, peer)) => {
                if let Some(peer) = peer.and_then(|any| SocketAddr::try_from(any).ok()) {
                    place(core, door, socket, peer);
                }
            }
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => return Batch::Exhausted,
            Err(Errno::AGAIN) => return Batch::Emptied,
            Err(Errno::INVAL) => return Batch::Closed,
            // ECONNABORTED and the network errors of accept(2) belong to that one connection.
            Err(_) => {}
        }
    }
    Batch::Full
}

/// Serves the socket here, or hands it to the least loaded worker when this one has far more than its share.
fn place(core: &Rc<Core>, door: Door, socket: OwnedFd, peer: SocketAddr) {
    let Some(other) = less_loaded(core) else { return adopt(core, door, socket, peer) };
    match core.wiring.outboxes[other].post(Mail::Adopt { door, socket, peer }) {
        Ok(()) => {
            core.cells.handed_over.add(1);
            core.note(What::HandedOver { to: other as u16 });
        }
        Err(Mail::Adopt { door, socket, peer }) => adopt(core, door, socket, peer),
        Err(_) => {}
    }
}

fn less_loaded(core: &Core) -> Option<usize> {
    let here = core.cells.client_sockets();
    let workers = core.wiring.cells.len() as u64;
    if workers == 1 || here < IMBALANCE_MIN || core.draining.get() {
        return None;
    }
    let total: u64 = core.wiring.cells.iter().map(|cells| cells.client_sockets()).sum();
    if here * 4 * workers <= total * 5 + IMBALANCE_MIN * 4 * workers {
        return None;
    }
    let now_ms = core.cells.heartbeat_ms.get();
    let is_awake = |cells: &Cells| now_ms.saturating_sub(cells.heartbeat_ms.get()) < SILENCE_MAX_MS;
    let awake = core.wiring.cells.iter().enumerate().filter(|(_, cells)| is_awake(cells));
    let least = awake.min_by_key(|(_, cells)| cells.client_sockets()).map(|(worker, _)| worker);
    least.filter(|worker| *worker != core.wiring.index)
}

/// Begins to serve a socket on this core.
pub fn adopt(core: &Rc<Core>, door: Door, socket: OwnedFd, peer: SocketAddr) {
    match door {
        // A failed registration (epoll only) closes the socket: the client sees its end.
        Door::Socks5 => {
            if let Ok(socket) = Ready::new(socket) {
                socks::begin(core, Client::plain(socket), peer);
            }
        }
        // Nor is anybody served in plain once no certificate is left.
        Door::Socks5Tls => {
            let tls = core.service().tls.socks5.as_ref().and_then(Acceptor::accept);
            if let (Ok(socket), Some(tls)) = (Ready::new(socket), tls) {
                socks::begin(core, Client::secured(socket, tls, core.tls_scratch.clone()), peer);
            }
        }
        Door::WebSocket => gateway::begin(core, socket, peer, None),
        Door::WebSocketTls => {
            if let Some(tls) = core.service().tls.websocket.as_ref().and_then(Acceptor::accept) {
                gateway::begin(core, socket, peer, Some(tls));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_with_a_remedy_even_to_ourselves() {
        let first = bind_for_all(Door::Socks5, "127.0.0.1:0".parse().unwrap(), 2, 16).unwrap();
        let address = local_address(&first[0]).unwrap();
        assert_eq!(local_address(&first[1]).unwrap(), address);
        let fault = bind_for_all(Door::Socks5, address, 2, 16).unwrap_err();
        assert!(fault.contains("another process listens there"), "{fault}");
    }
}
