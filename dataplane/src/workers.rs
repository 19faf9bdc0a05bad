//! The one handle the control plane holds: start the workers, speak to them, see them end. `reload` gives them another
//! configuration; `listening` is where they listen, `starting` how they come about.

mod entrances;
mod listening;
mod reload;
mod starting;

pub use reload::{Committed, Prepared};
pub use starting::start;

use crate::board::Board;
use crate::hub::names;
use crate::io::gateway::Arrival;
use crate::io::inbox::{Mail, Outbox};
use crate::io::records::Records;
use crate::io::resolve::Resolver;
use crate::policy::admission::Gate;
use crate::policy::clients::Clients;
use crate::policy::jwt::KeyRing;
use crate::preparation::Preparation;
use crate::service::{Service, Stock};
use entrances::Entrances;
use listening::Listening;
use ringway_shared::account::Account;
use ringway_shared::command::Command;
use ringway_shared::config::{Certificate, Config};
use ringway_shared::inspect;
use ringway_shared::metrics::Cells;
use ringway_shared::push::{Ask, Reply};
use ringway_shared::session::Ended;
use ringway_shared::tls::TlsService;
use ringway_shared::upstream::UpstreamState;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

/// Why the data plane could not start. The text says what to do.
#[derive(Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for StartError {
    fn from(text: String) -> Self {
        StartError(text)
    }
}

/// How a worker's thread is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerState {
    Running,
    /// It ended because it was told to; `cut` connections were reset at the deadline.
    Ended {
        cut: u64,
    },
    /// It ended on its own: a fault of ours. The process must drain the others and exit.
    Died {
        cause: String,
    },
}

/// What the data plane is started with.
pub struct Plan {
    pub config: Arc<Config>,
    /// One for each worker.
    pub cells: Vec<Arc<Cells>>,
    /// Heartbeats count from here.
    pub epoch: Instant,
    /// Where the control port listens: a target of class `own`.
    pub control_addresses: Vec<SocketAddr>,
    /// The soft limit of descriptors (RLIMIT_NOFILE).
    pub descriptors_max: u64,
    /// Listening sockets that a predecessor or a holder has handed over. Those of addresses that are wanted are taken, the
    /// others are closed.
    pub inherited: Vec<OwnedFd>,
    /// Others have our listening sockets too, see [`Workers::share_listeners`].
    pub listeners_are_shared: bool,
}

/// What is known of clients' addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientFacts {
    /// Banned now, for failed logins.
    pub banned: u64,
    /// How often one found the table full of others and was not counted.
    pub untracked: u64,
    /// Users with at least one WebSocket connection now.
    pub online_users: u64,
}

/// A worker cannot be asked now: its inbox is full or its thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// All workers of this process, and the resolver and verifiers that serve them.
pub struct Workers {
    outboxes: Arc<[Outbox]>,
    states: Vec<Arc<OnceLock<WorkerState>>>,
    cells: Arc<[Arc<Cells>]>,
    records: Records,
    resolver: Resolver,
    notices: Vec<String>,
    clients: Arc<Clients>,
    gate: Arc<Gate>,
    epoch: Instant,
    /// What the next service takes over.
    stock: RefCell<Stock>,
    /// What new connections are served under.
    service: RefCell<Service>,
    listening: RefCell<Vec<Listening>>,
    entrances: RefCell<Entrances>,
    /// Where workers may listen still, until all show this generation.
    closing: RefCell<(u64, Vec<SocketAddr>)>,
    /// The number of the next listener.
    next_listener: Cell<u64>,
    listeners_are_shared: Arc<AtomicBool>,
    /// The latest preparation.
    latest: RefCell<Weak<Preparation>>,
    board: Arc<Board>,
    /// A worker has been told to end.
    ending: Cell<bool>,
}

impl Workers {
    /// What the operator should know about the start, e.g. why epoll is used instead of io_uring.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Client connections served at once, over all workers.
    #[must_use]
    pub fn connections_max(&self) -> u64 {
        self.service.borrow().connections_max
    }

    /// WebSocket connections served at once, over all workers.
    #[must_use]
    pub fn websocket_connections_max(&self) -> u64 {
        self.service.borrow().websocket_connections_max
    }

    /// From the next handshake on clients of a service are shown these certificates, on all workers at once. A service
    /// that had none still does not listen: that takes a new configuration. An empty list changes nothing.
    pub fn renew_certificates(&self, service: TlsService, certificates: &[Arc<Certificate>]) {
        let tls = &self.service.borrow().tls;
        let acceptor = match service {
            TlsService::Socks5 => &tls.socks5,
            TlsService::WebSocket => &tls.websocket,
        };
        if let Some(acceptor) = acceptor {
            acceptor.certificates().replace(certificates);
        }
    }

    /// The accounts of the users there are now, in the users file's order.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        let service = self.service.borrow();
        service.login.as_ref().map_or_else(Vec::new, |login| login.directory.accounts().to_vec())
    }

    /// The keys that JSON Web Tokens are judged by; `None`: none are asked for.
    #[must_use]
    pub fn key_ring(&self) -> Option<Arc<KeyRing>> {
        self.service.borrow().admission.keys().cloned()
    }

    /// The upstream proxies there are now, in the configuration's order.
    #[must_use]
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        self.service.borrow().upstreams.states()
    }

    /// Forgets clients of whom there is nothing to know any more, and tells of those there is. Once a second will do.
    #[must_use]
    pub fn look_after_clients(&self) -> ClientFacts {
        let now_ns = self.epoch.elapsed().as_nanos() as u64;
        let banned = self.clients.tidy(&self.service.borrow().config.socks5.logins, now_ns);
        ClientFacts {
            banned: banned as u64,
            untracked: self.clients.untracked(),
            online_users: self.gate.online.users(),
        }
    }

    /// Tells one worker. False: its inbox is full or its thread has ended. Never blocks.
    #[must_use]
    pub fn tell(&self, worker: usize, command: Command) -> bool {
        let told = |outbox: &Outbox| outbox.post(Mail::Command(command)).is_ok();
        let told = self.outboxes.get(worker).is_some_and(told);
        // A worker that rests or resumes lives on: it can be given another configuration, and its sockets to a successor.
        if told && matches!(command, Command::Drain | Command::Retire | Command::Cut) {
            self.ending.set(true);
            // The worker has its own; with these the sockets would outlive it.
            self.listening.borrow_mut().iter_mut().for_each(|one| one.forget(worker));
        }
        told
    }

    /// The generation of the configuration that a worker serves under.
    #[must_use]
    pub fn generation_of(&self, worker: usize) -> u64 {
        self.cells.get(worker).map_or(0, |cells| cells.generation.get())
    }

    /// Asks one worker; it calls `reply` on its own thread, unless it ends before. Never blocks.
    ///
    /// # Errors
    /// Its inbox is full or its thread has ended; `reply` is dropped uncalled.
    pub fn push(&self, worker: usize, ask: Ask, reply: Reply) -> Result<(), Busy> {
        let outbox = self.outboxes.get(worker).ok_or(Busy)?;
        outbox.post(Mail::Push(Box::new((ask, reply)))).map_err(|_| Busy)
    }

    /// Asks one worker about its connections; it calls `reply` on its own thread, unless it ends before. Never blocks.
    ///
    /// # Errors
    /// Its inbox is full or its thread has ended; `reply` is dropped uncalled.
    pub fn inspect(&self, worker: usize, ask: inspect::Ask, reply: inspect::Reply) -> Result<(), Busy> {
        let outbox = self.outboxes.get(worker).ok_or(Busy)?;
        outbox.post(Mail::Inspect(Box::new((ask, reply)))).map_err(|_| Busy)
    }

    /// Gives one worker a connection that the control port has let in: it makes the upgrade and serves it from then on.
    ///
    /// # Errors
    /// Its inbox is full or its thread has ended; the connection comes back.
    pub fn welcome(&self, worker: usize, arrival: Arrival) -> Result<(), Arrival> {
        let Some(outbox) = self.outboxes.get(worker) else { return Err(arrival) };
        outbox.post(Mail::Welcome(Box::new(arrival))).map_err(|mail| match mail {
            Mail::Welcome(arrival) => *arrival,
            _ => unreachable!("the mail that was posted comes back"),
        })
    }

    /// What stands on the topics of the feed now.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The worker that orders a topic's publications and keeps its history and presence.
    #[must_use]
    pub fn home_of(&self, topic: &str) -> usize {
        names::home(topic, self.outboxes.len())
    }

    /// How many workers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.outboxes.len()
    }

    /// Takes up to `max` records of ended connections. Never blocks.
    pub fn take_session_ends(&self, into: &mut Vec<Ended>, max: usize) {
        self.records.take(into, max);
    }

    /// How worker `worker` is doing. Never blocks.
    #[must_use]
    pub fn state(&self, worker: usize) -> WorkerState {
        self.states.get(worker).and_then(|state| state.get()).cloned().unwrap_or(WorkerState::Running)
    }
}
