//! What all connections of one core share. Lives on the worker's thread and never leaves it.

use crate::board::Board;
use crate::io::dial::winners::Winners;
use crate::io::gateway::{self, Gateway};
use crate::io::inbox::{Outbox, ReturnAddress};
use crate::io::local_time::LocalClock;
use crate::io::own::Own;
use crate::io::pipes::PipePool;
use crate::io::questions::{Question, Questions};
use crate::io::records::Recorder;
use crate::io::resolve::Resolver;
use crate::io::sessions::{Session, Sessions};
use crate::io::tls;
use crate::io::udp;
use crate::io::verify::Remembered;
use crate::policy::acl::LocalTime;
use crate::policy::admission::Gate;
use crate::policy::allowance::Way;
use crate::policy::clients::Clients;
use crate::rt::Ready;
use crate::service::Service;
use ringway_shared::account::Account;
use ringway_shared::config;
use ringway_shared::connection::{Connection, first_serial};
use ringway_shared::flight::What;
use ringway_shared::metrics::Cells;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What a worker is given at its start; the same for all but `index` and what follows from it.
#[derive(Clone)]
pub struct Wiring {
    pub index: usize,
    /// All workers' cells; `cells[index]` is this core's own.
    pub cells: Arc<[Arc<Cells>]>,
    /// All workers' inboxes.
    pub outboxes: Arc<[Outbox]>,
    /// Where the process itself listens at the start.
    pub own: Arc<Own>,
    /// What is known of client addresses, over all workers.
    pub clients: Arc<Clients>,
    /// Who may come to the gateway, over all workers.
    pub gate: Arc<Gate>,
    /// The process's epoch, which heartbeats, rates and bans count from.
    pub epoch: Instant,
    pub resolver: Resolver,
    pub recorder: Recorder,
    /// What the first connections are served under.
    pub service: Service,
    /// Sockets of clients and targets at once, over all workers: the descriptors that nothing else needs. Beyond
    /// it clients would take the control port's.
    pub sockets_max: u64,
    /// Pipes this core may make at most, for the descriptors they take.
    pub pipes_max: usize,
    /// Other processes have the listening sockets too: they are not to be shut down.
    pub listeners_are_shared: Arc<AtomicBool>,
    /// What stands on the topics of the feed.
    pub board: Arc<Board>,
}

/// Bytes of the scratch buffer: the most that a copying direction holds for a slow receiver.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// One core's state.
pub struct Core {
    pub wiring: Wiring,
    /// What new connections are served under.
    service: RefCell<Rc<Service>>,
    /// Where the process itself listens.
    own: RefCell<Arc<Own>>,
    pub cells: Arc<Cells>,
    pub sessions: Sessions,
    pub questions: Questions,
    /// The clock of rules with days or hours.
    clock: LocalClock,
    /// Which of a name's addresses stood last.
    pub winners: RefCell<Winners>,
    /// Hashed passwords verified here not long ago.
    pub remembered: RefCell<Remembered>,
    pub pipes: Rc<PipePool>,
    /// The one buffer bytes are copied through; borrowed only between two waits.
    pub scratch: RefCell<Box<[u8]>>,
    /// The one buffer ciphertext passes through, while `scratch` holds the plaintext.
    pub tls_scratch: Rc<RefCell<Box<[u8]>>>,
    /// What the datagrams of UDP associations pass through.
    pub udp: udp::batch::Shared,
    pub draining: Cell<bool>,
    /// It takes no new clients for now.
    pub resting: Cell<bool>,
    /// It drains because a successor serves in its place: who has got in by now still gets served.
    pub retiring: Cell<bool>,
    /// The WebSocket connections.
    pub gateway: Gateway,
    /// What it counts connections from, to name them.
    first_serial: u64,
    /// What it said when a fault of ours left it in pieces: the worker ends.
    broken: RefCell<Option<Box<dyn Any + Send>>>,
}

impl Core {
    /// Errors: the kernel gave no random bytes, or no descriptor for the gateway's set.
    pub fn new(wiring: Wiring) -> io::Result<Rc<Core>> {
        let cells = wiring.cells[wiring.index].clone();
        cells.generation.set(1);
        Ok(Rc::new(Core {
            service: RefCell::new(Rc::new(wiring.service.clone())),
            own: RefCell::new(wiring.own.clone()),
            sessions: Sessions::default(),
            questions: Questions::default(),
            clock: LocalClock::system(),
            winners: RefCell::default(),
            remembered: RefCell::new(Remembered::new()?),
            pipes: pipes(&wiring, cells.clone()),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            tls_scratch: Rc::new(RefCell::new(vec![0; tls::SCRATCH_BYTES_MIN].into_boxed_slice())),
            udp: udp::batch::Shared::default(),
            draining: Cell::new(false),
            resting: Cell::new(false),
            retiring: Cell::new(false),
            gateway: gateway(&wiring)?,
            first_serial: first_serial(
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            ),
            broken: RefCell::default(),
            cells,
            wiring,
        }))
    }

    /// What a connection accepted now is served under.
    #[must_use]
    pub fn service(&self) -> Rc<Service> {
        self.service.borrow().clone()
    }

    /// From now on connections are served under `service`, and this process listens at `own`; connections of users it does not
    /// know are cut.
    pub fn serve_under(&self, service: Service, own: Arc<Own>) {
        let service = Rc::new(service);
        self.own.replace(own);
        self.sessions.cut_strangers(&service, &self.questions);
        self.gateway.serve_under(&service);
        let relay = &service.config.socks5.relay;
        self.pipes.set_limits(pipes_max(&self.wiring, relay), relay.pipe_bytes);
        self.service.replace(service);
    }

    /// Notes an event of the worker itself for the flight recorder.
    pub fn note(&self, what: What) {
        self.cells.flight.note(self.now_ns(), None, what);
    }

    /// The name of the connection that was accepted as the service's `count`th here.
    #[must_use]
    pub fn serial(&self, count: u64) -> u64 {
        self.first_serial + count
    }

    /// Notes what happened to a connection at that moment.
    pub fn note_of(&self, connection: Connection, at: Instant, what: What) {
        self.cells.flight.note(self.ns_at(at), Some(connection), what);
    }

    /// A task has panicked, and was ended alone.
    pub fn count_panic(&self) {
        self.cells.tasks_panicked.add(1);
        self.note(What::Panicked);
    }

    /// Whether connecting there would reach this process itself.
    #[must_use]
    pub fn is_own(&self, address: SocketAddr) -> bool {
        self.own.borrow().contains(address)
    }

    /// Whether other processes have the listening sockets too.
    #[must_use]
    pub fn shares_listeners(&self) -> bool {
        self.wiring.listeners_are_shared.load(Relaxed)
    }

    /// What the operator's clock shows.
    #[must_use]
    pub fn local_time(&self) -> LocalTime {
        self.clock.now()
    }

    /// Nanoseconds since the process's epoch: the clock of rates and bans.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.ns_at(Instant::now())
    }

    /// The same of a moment that is known already: reading the clock is dearer than noting what it said.
    #[must_use]
    pub fn ns_at(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.wiring.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Where the answer to a question of this core goes.
    #[must_use]
    pub fn return_address(&self, question: &Question) -> ReturnAddress {
        ReturnAddress { outbox: self.wiring.outboxes[self.wiring.index].clone(), ticket: question.ticket() }
    }

    /// Whether this core may serve the client it has just counted.
    #[must_use]
    pub fn has_room_for_client(&self) -> bool {
        let connections: u64 = self.wiring.cells.iter().map(|cells| cells.clients_now.get()).sum();
        connections <= self.service.borrow().connections_max && self.has_room_for_socket()
    }

    /// Whether the descriptor budget has room for the sockets counted now.
    #[must_use]
    pub fn has_room_for_socket(&self) -> bool {
        let open = |cells: &Arc<Cells>| cells.client_sockets() + cells.targets_now.get();
        self.wiring.cells.iter().map(open).sum::<u64>() <= self.wiring.sockets_max
    }

    /// Gives a session the socket it dials or relays to, or takes it away, and keeps count.
    pub fn set_target(&self, session: &Session, target: Option<Rc<Ready>>) {
        let now = target.is_some();
        match (session.set_target(target), now) {
            (false, true) => self.cells.targets_now.add(1),
            (true, false) => self.cells.targets_now.sub(1),
            _ => {}
        }
    }

    /// Enters payload that a session has moved into all books there are: its own, this core's, its listener's, and its user's.
    #[inline]
    pub fn count_bytes(&self, session: &Session, account: Option<&Account>, way: Way, bytes: u64) {
        let of_user = account.map(|account| &account.usage.cells[self.wiring.index]);
        let (of_session, of_core, of_listener, of_user) = match way {
            Way::Up => {
                let of_user = of_user.map(|user| &user.sent_bytes);
                (&session.sent_bytes, &self.cells.sent_bytes, &session.listener.sent_bytes, of_user)
            }
            Way::Down => {
                let of_user = of_user.map(|user| &user.received_bytes);
                (
                    &session.received_bytes,
                    &self.cells.received_bytes,
                    &session.listener.received_bytes,
                    of_user,
                )
            }
        };
        of_session.set(of_session.get() + bytes);
        of_core.add(bytes);
        of_listener.add(bytes);
        if let Some(of_user) = of_user {
            of_user.add(bytes);
        }
    }

    /// Milliseconds since the process's epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ns() / 1_000_000
    }

    /// Ticks since the process's epoch, 1 at least.
    #[must_use]
    pub fn now_tick(&self) -> u32 {
        gateway::tick_of(self.now_ns()).max(1)
    }

    /// WebSocket connections of the gateway's own listeners open now, over all workers.
    #[must_use]
    pub fn websocket_connections(&self) -> u64 {
        self.wiring.cells.iter().map(|cells| cells.websocket.clients()).sum()
    }

    /// Something shared is in pieces: the worker ends, and with it the process.
    pub fn break_down(&self, panic: Box<dyn Any + Send>) {
        self.broken.replace(Some(panic));
        self.ring_bell();
    }

    /// What broke, if something did.
    #[must_use]
    pub fn broken(&self) -> Option<Box<dyn Any + Send>> {
        self.broken.take()
    }

    /// Rings this core's own bell, so that its main loop looks at the inbox and at the drain.
    pub fn ring_bell(&self) {
        self.wiring.outboxes[self.wiring.index].ring();
    }
}

fn pipes(wiring: &Wiring, cells: Arc<Cells>) -> Rc<PipePool> {
    let relay = &wiring.service.config.socks5.relay;
    PipePool::new(pipes_max(wiring, relay), relay.pipe_bytes, cells)
}

fn pipes_max(wiring: &Wiring, relay: &config::Relay) -> usize {
    relay.pipes_per_worker.min(wiring.pipes_max)
}

fn gateway(wiring: &Wiring) -> io::Result<Gateway> {
    let mut seed = [0u8; 8];
    rustix::rand::getrandom(&mut seed[..], rustix::rand::GetRandomFlags::empty())?;
    let config = &wiring.service.config;
    let by_ring = config.workers.driver != config::DriverChoice::Epoll;
    Gateway::new(&config.websocket, wiring.index, wiring.cells.len(), u64::from_ne_bytes(seed), by_ring)
}
