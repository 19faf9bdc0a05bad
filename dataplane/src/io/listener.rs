//! Listening sockets: accepting from them, and choosing the worker that serves. `binding` makes them.

pub mod binding;

use crate::core::Core;
use crate::io::client::Client;
use crate::io::gateway;
use crate::io::inbox::Mail;
use crate::io::socks;
use crate::io::tls::Acceptor;
use crate::rt::{self, Ready};
use futures_util::future::{Either, select};
use ringway_shared::flight::What;
pub use ringway_shared::listener::Door;
use ringway_shared::listener::Entrance;
use ringway_shared::metrics::Cells;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
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

/// A listening socket of one worker.
pub struct Listener {
    /// Which address of the process it is of: the same number on all workers.
    pub id: u64,
    /// Where it leads, and where who comes in is counted.
    entrance: RefCell<Arc<Entrance>>,
    socket: Ready,
    left: Cell<bool>,
    /// The task that serves it.
    waker: Cell<Option<Waker>>,
}

impl Listener {
    /// Errors: the epoll driver cannot watch it.
    pub fn new(id: u64, entrance: Arc<Entrance>, socket: OwnedFd) -> io::Result<Rc<Listener>> {
        let socket = Ready::new(socket)?;
        Ok(Rc::new(Listener {
            id,
            entrance: RefCell::new(entrance),
            socket,
            left: Cell::new(false),
            waker: Cell::default(),
        }))
    }

    #[must_use]
    pub fn door(&self) -> Door {
        self.entrance.borrow().door
    }

    /// Whoever is accepted from now on comes in here.
    pub fn lead_to(&self, entrance: Arc<Entrance>) {
        self.entrance.replace(entrance);
    }

    /// Accepts nobody any more, and closes the socket. For whoever else has it, it stays as it is, with all who wait in its
    /// queue.
    pub fn leave(&self) {
        self.left.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits until somebody has come. False: it is over, and who has come is not ours.
    async fn awaits(&self) -> bool {
        let left = poll_fn(|context| {
            self.waker.set(Some(context.waker().clone()));
            if self.left.get() { Poll::Ready(()) } else { Poll::Pending }
        });
        // A wait that loses is withdrawn from the ring, which would else keep the socket open.
        let is_ready = matches!(select(pin!(self.socket.readable()), left).await, Either::Left((Ok(()), _)));
        is_ready && !self.left.get()
    }

    /// Lets the kernel accept nobody any more, in no process that has this socket.
    pub fn shutdown(&self) {
        self.leave();
        self.socket.shutdown();
    }
}

/// Accepts until the listener is left or shut down.
pub async fn serve(core: Rc<Core>, listener: Rc<Listener>) {
    loop {
        if !listener.awaits().await {
            return;
        }
        match accept_batch(&core, &listener) {
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

/// Serves what the kernel has accepted by now: nobody is reset by a drain, nor by a listener that goes.
pub fn empty(core: &Rc<Core>, listener: &Listener) {
    for _ in 0..BATCHES_BEFORE_CLOSE {
        if accept_batch(core, listener) != Batch::Full {
            break;
        }
    }
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

fn accept_batch(core: &Rc<Core>, listener: &Listener) -> Batch {
    for _ in 0..ACCEPTS_PER_WAKE {
        match acceptfrom_with(&listener.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, peer)) => {
                if let Some(peer) = peer.and_then(|any| SocketAddr::try_from(any).ok()) {
                    place(core, &listener.entrance.borrow(), socket, peer);
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
fn place(core: &Rc<Core>, entrance: &Arc<Entrance>, socket: OwnedFd, peer: SocketAddr) {
    let Some(other) = less_loaded(core) else { return adopt(core, entrance, socket, peer) };
    match core.wiring.outboxes[other].post(Mail::Adopt { entrance: entrance.clone(), socket, peer }) {
        Ok(()) => {
            core.cells.handed_over.add(1);
            core.note(What::HandedOver { to: other as u16 });
        }
        Err(Mail::Adopt { entrance, socket, peer }) => adopt(core, &entrance, socket, peer),
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
pub fn adopt(core: &Rc<Core>, entrance: &Entrance, socket: OwnedFd, peer: SocketAddr) {
    let counts = || entrance.cells[core.wiring.index].clone();
    match entrance.door {
        // A failed registration (epoll only) closes the socket: the client sees its end.
        Door::Socks5 => {
            if let Ok(socket) = Ready::new(socket) {
                socks::begin(core, Client::plain(socket), peer, counts());
            }
        }
        // Nor is anybody served in plain once no certificate is left.
        Door::Socks5Tls => {
            let tls = core.service().tls.socks5.as_ref().and_then(Acceptor::accept);
            if let (Ok(socket), Some(tls)) = (Ready::new(socket), tls) {
                let client = Client::secured(socket, tls, core.tls_scratch.clone());
                socks::begin(core, client, peer, counts());
            }
        }
        Door::WebSocket => gateway::begin(core, socket, peer, None, counts()),
        Door::WebSocketTls => {
            if let Some(tls) = core.service().tls.websocket.as_ref().and_then(Acceptor::accept) {
                gateway::begin(core, socket, peer, Some(tls), counts());
            }
        }
    }
}
