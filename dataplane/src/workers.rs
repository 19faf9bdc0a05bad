//! The one handle the control plane holds: start the workers, speak to them, see them end.

use crate::core::Wiring;
use crate::hub::names;
use crate::io::inbox::{self, Inbox, Mail, Outbox};
use crate::io::listener::{self, Door};
use crate::io::own::Own;
use crate::io::records::{self, Records};
use crate::io::resolve;
use crate::policy::admission::{self, Gate};
use crate::policy::clients::Clients;
use crate::policy::jwt::KeyRing;
use crate::service::{Service, Stock};
use crate::worker::{self, Post, Serving};
use crossbeam_channel::{Receiver, Sender, bounded};
use ringway_shared::account::Account;
use ringway_shared::command::Command;
use ringway_shared::config::{Certificate, Config};
use ringway_shared::inspect;
use ringway_shared::metrics::Cells;
use ringway_shared::push::{Ask, Reply};
use ringway_shared::session::Ended;
use ringway_shared::tls::TlsService;
use ringway_shared::upstream::UpstreamState;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Descriptors kept for everything but relayed connections: rings, listeners, control port, logs.
const DESCRIPTORS_RESERVED: u64 = 128;
/// At most one in so many descriptors is an end of a pipe.
const PIPES_SHARE: u64 = 16;

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
    records: Records,
    addresses: Addresses,
    notices: Vec<String>,
    clients: Arc<Clients>,
    gate: Arc<Gate>,
    epoch: Instant,
    /// What the next service takes over.
    stock: RefCell<Stock>,
    /// What new connections are served under.
    service: RefCell<Service>,
}

/// Binds every listener, then starts resolver, verifiers and workers. Returns when every worker serves.
pub fn start(plan: Plan) -> Result<Workers, StartError> {
    let config = &plan.config;
    let (listeners, addresses) = bind(config)?;
    let (recorder, records) = records::records();
    let (outboxes, inboxes) = inboxes(config.workers.count)?;
    let for_pipes = plan.descriptors_max / PIPES_SHARE;
    let for_sockets = plan.descriptors_max.saturating_sub(DESCRIPTORS_RESERVED + for_pipes);
    let mut stock = Stock::new(config.workers.count, for_sockets);
    let service = stock.prepare(config)?;
    let pipes_carried = for_pipes / 2 / config.workers.count as u64;
    let (resolver, _ends_with_its_askers) =
        resolve::start(&config.socks5.dns, config.socks5.timeouts.name_lookup)?;
    let clients = Arc::<Clients>::default();
    let gate = Arc::<Gate>::default();
    let own = addresses.all().chain(&plan.control_addresses).copied().collect();
    let wiring = Wiring {
        index: 0,
        relay: config.socks5.relay.clone(),
        cells: plan.cells.clone().into(),
        outboxes: outboxes.clone(),
        own: Arc::new(Own(own)),
        clients: clients.clone(),
        gate: gate.clone(),
        epoch: plan.epoch,
        resolver,
        recorder,
        service: service.clone(),
        sockets_max: for_sockets,
        pipes_max: config.socks5.relay.pipes_per_worker.min(pipes_carried as usize),
    };
    let mut workers = Workers {
        states: inboxes.iter().map(|_| Arc::default()).collect(),
        outboxes,
        records,
        addresses,
        notices: Vec::new(),
        clients,
        gate,
        epoch: plan.epoch,
        stock: RefCell::new(stock),
        service: RefCell::new(service),
    };
    let (serving_sender, serving) = bounded(config.workers.count);
    for (index, (inbox, listeners)) in inboxes.into_iter().zip(listeners).enumerate() {
        let post = Post { wiring: Wiring { index, ..wiring.clone() }, inbox, listeners };
        spawn(post, workers.states[index].clone(), serving_sender.clone())?;
    }
    drop(serving_sender);
    workers.notices = await_serving(&serving, config.workers.count)?;
    workers.notices.extend(admission::notices(&config.websocket));
    Ok(workers)
}

/// Where the services listen, ports resolved.
#[derive(Default)]
struct Addresses {
    socks5: Vec<SocketAddr>,
    socks5_tls: Vec<SocketAddr>,
    websocket_tls: Vec<SocketAddr>,
    websocket: Vec<SocketAddr>,
}

impl Addresses {
    fn all(&self) -> impl Iterator<Item = &SocketAddr> {
        self.socks5.iter().chain(&self.socks5_tls).chain(&self.websocket).chain(&self.websocket_tls)
    }
}

/// One worker's listeners.
type Listeners = Vec<(Door, OwnedFd)>;

/// The listeners of each worker, and the addresses they have.
fn bind(config: &Config) -> Result<(Vec<Listeners>, Addresses), StartError> {
    let workers = config.workers.count;
    let mut listeners: Vec<Listeners> = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Addresses::default();
    let (socks5, websocket) = (&config.socks5, &config.websocket);
    for (door, wanted, backlog, bound) in [
        (Door::Socks5, &socks5.listen, socks5.limits.backlog, &mut addresses.socks5),
        (Door::Socks5Tls, &socks5.tls.listen, socks5.limits.backlog, &mut addresses.socks5_tls),
        (Door::WebSocket, &websocket.listen, websocket.backlog, &mut addresses.websocket),
        (Door::WebSocketTls, &websocket.tls.listen, websocket.backlog, &mut addresses.websocket_tls),
    ] {
        for address in wanted {
            let sockets = listener::bind_for_all(door, *address, workers, backlog)?;
            bound.extend(sockets.first().and_then(listener::local_address));
            for (worker, socket) in listeners.iter_mut().zip(sockets) {
                worker.push((door, socket));
            }
        }
    }
    Ok((listeners, addresses))
}

fn inboxes(workers: usize) -> Result<(Arc<[Outbox]>, Vec<Inbox>), StartError> {
    let pairs: Result<Vec<_>, _> = (0..workers).map(|_| inbox::inbox()).collect();
    let pairs = pairs
        .map_err(|error| StartError(format!("cannot make a worker's inbox: {error}; raise `ulimit -n`")))?;
    let (outboxes, inboxes): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    Ok((outboxes.into(), inboxes))
}

fn spawn(post: Post, state: Arc<OnceLock<WorkerState>>, serving: Sender<Serving>) -> Result<(), StartError> {
    let index = post.wiring.index;
    let life = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            worker::run(post, |outcome| {
                let _ = serving.send(outcome);
            })
        }));
        let _ = state.set(match outcome {
            Ok(cut) => WorkerState::Ended { cut },
            Err(panic) => WorkerState::Died { cause: text_of(&*panic) },
        });
    };
    let spawned = std::thread::Builder::new().name(format!("ringway-w{index}")).spawn(life);
    spawned
        .map(|_| ())
        .map_err(|error| StartError(format!("cannot start worker {index}: {error}; raise `ulimit -u`")))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
}

fn await_serving(serving: &Receiver<Serving>, workers: usize) -> Result<Vec<String>, StartError> {
    let mut notices = Vec::new();
    for _ in 0..workers {
        match serving.recv() {
            Ok(Ok(notice)) => notices.extend(notice),
            Ok(Err(fault)) => return Err(StartError(fault)),
            Err(_) => return Err(StartError("a worker died while starting; its panic is in the log".into())),
        }
    }
    notices.dedup();
    Ok(notices)
}

impl Workers {
    /// The SOCKS5 addresses, ports resolved.
    #[must_use]
    pub fn socks5_addresses(&self) -> &[SocketAddr] {
        &self.addresses.socks5
    }

    /// Those of them that speak TLS first.
    #[must_use]
    pub fn socks5_tls_addresses(&self) -> &[SocketAddr] {
        &self.addresses.socks5_tls
    }

    /// Where the gateway listens with TLS, ports resolved.
    #[must_use]
    pub fn websocket_tls_addresses(&self) -> &[SocketAddr] {
        &self.addresses.websocket_tls
    }

    /// The gateway's addresses, ports resolved.
    #[must_use]
    pub fn websocket_addresses(&self) -> &[SocketAddr] {
        &self.addresses.websocket
    }

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

    /// Serves new connections under `config` and cuts those of users it no longer has. What is read at the start
    /// alone (listeners, workers, resolver) stays as it was. A configuration that cannot be served changes nothing.
    /// Workers that cannot be told go on as before, all others are told: call it again for them. Never blocks.
    pub fn reconfigure(&self, config: &Arc<Config>) -> Result<(), String> {
        let service = self.stock.borrow_mut().prepare(config)?;
        let refused = |outbox: &Outbox| outbox.post(Mail::Serve(Box::new(service.clone()))).is_err();
        let outboxes = self.outboxes.iter().enumerate();
        let untold: Vec<usize> =
            outboxes.filter(|(_, outbox)| refused(outbox)).map(|(worker, _)| worker).collect();
        self.service.replace(service);
        if untold.is_empty() {
            return Ok(());
        }
        Err(format!("workers {untold:?} cannot be told: their inboxes are full or they have ended"))
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
        self.outboxes.get(worker).is_some_and(|outbox| outbox.post(Mail::Command(command)).is_ok())
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
