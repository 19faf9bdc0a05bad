//! UDP associations: RFC 1928 section 7.
//!
//! Here: the life of one, from its request to the end of the control connection it hangs on. `socket` makes its
//! sockets, `batch` receives and sends by the batch, `upward` takes the client's datagrams to their targets,
//! `destinations` knows where those are, `downward` brings the peers' datagrams back.
//!
//! Each socket has a task that waits for it and then moves what is there, through the core's one set of buffers.
//! Nothing a datagram says, and no error of a socket, ends an association.

pub mod batch;
mod destinations;
mod downward;
mod socket;
mod upward;

use crate::core::Core;
use crate::io::route;
use crate::io::sessions::{Phase, Session};
use crate::policy::allowance::Way;
use crate::policy::datagrams::{Peers, Source};
use crate::policy::{quota, rate};
use crate::proto::udp::Reassembly;
use crate::rt;
use batch::{Batch, Tally};
use destinations::Destinations;
use ringway_shared::account::Account;
use ringway_shared::config::{Quota, UserUdp};
use ringway_shared::datagram::Drop as Dropped;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Target};
use rustix::io::Errno;
pub use socket::KERNEL_BUFFER_BYTES;
use socket::Socket;
use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Batches taken from a socket for one wake, and the bytes and datagrams after which no further one is; then the ring
/// gives the neighbours their turn. A batch may hold a thousand datagrams that the kernel has lined up, and each may
/// cost a judgement and a send of its own, or be dropped and move no byte.
const BATCHES_PER_WAKE: usize = 4;
const BYTES_PER_WAKE: u64 = 128 * 1024;
const DATAGRAMS_PER_WAKE: u64 = 128;
/// Errors of a socket in a row before its task rests, and for how long: an interface that is down says so for ever.
const ERRORS_IN_A_ROW_MAX: u32 = 16;
const REST: Duration = Duration::from_millis(10);

/// A UDP association. It ends when this is dropped.
pub struct Association {
    /// What the client is told to send to: BND.ADDR and BND.PORT (RFC 1928 section 6).
    pub advertised: SocketAddr,
    relay: Rc<Relay>,
}

/// What the tasks of one association share.
struct Relay {
    core: Rc<Core>,
    session: Rc<Session>,
    account: Option<Account>,
    /// What the client sends to and hears from.
    client_side: Rc<Socket>,
    /// What peers hear from and send to: IPv4 and IPv6, each made when it is first needed. One socket for all
    /// peers, so that each of them sees the same source port.
    outside: [OnceCell<Rc<Socket>>; 2],
    source: Cell<Source>,
    peers: RefCell<Peers>,
    destinations: RefCell<Destinations>,
    reassembly: RefCell<Option<Box<Reassembly>>>,
    /// A refusal has been noted for the access log: the first is enough.
    noted: Cell<bool>,
    over: Cell<bool>,
}

/// Which way a socket's datagrams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// From the client to its targets.
    Up,
    Down,
}

impl Association {
    /// Makes ready what the request asks for. `expected` is its DST: where the client says it will send from.
    pub fn open(core: &Rc<Core>, session: &Rc<Session>, expected: &Target) -> Result<Association, Reason> {
        route::may_ask(core, session, Command::UdpAssociate)?;
        let udp = &session.service.config.socks5.udp;
        let account = session.account();
        let filter = match account.as_ref().map_or(UserUdp::AsConfigured, |account| account.user.udp) {
            UserUdp::Off => {
                session.facts.borrow_mut().notes().hint = Some("the user's entry says udp: off".into());
                return Err(Reason::DeniedAcl);
            }
            UserUdp::AsConfigured => udp.filter,
            UserUdp::Filter(filter) => filter,
        };
        core.cells.udp_opened.add(1);
        let opened = Self::within_limits(core)
            .and_then(|()| core.udp.prepare().map_err(|_| Reason::NoResources))
            .and_then(|()| socket::keep_asking(&session.client).map_err(|_| Reason::ClientGone))
            .and_then(|()| socket::for_client(core, session));
        let (client_side, bound) = opened.inspect_err(|_| core.cells.udp_closed.add(1))?;
        let advertised = udp.advertise.iter().find(|ip| ip.is_ipv4() == bound.is_ipv4());
        let expected = Some(expected).filter(|_| udp.honour_dst);
        Ok(Association {
            advertised: advertised.map_or(bound, |ip| SocketAddr::new(*ip, bound.port())),
            relay: Rc::new(Relay {
                core: core.clone(),
                session: session.clone(),
                account,
                client_side: Rc::new(client_side),
                outside: Default::default(),
                source: Cell::new(Source::new(session.peer().ip(), expected)),
                peers: RefCell::new(Peers::new(filter)),
                destinations: RefCell::default(),
                reassembly: RefCell::default(),
                noted: Cell::new(false),
                over: Cell::new(false),
            }),
        })
    }

    /// Whether the association that has just been counted may be.
    fn within_limits(core: &Core) -> Result<(), Reason> {
        // Ended ones first: then the number now open is never thought smaller than it is.
        let closed: u64 = core.wiring.cells.iter().map(|cells| cells.udp_closed.get()).sum();
        let opened: u64 = core.wiring.cells.iter().map(|cells| cells.udp_opened.get()).sum();
        let within = opened.saturating_sub(closed) <= core.service().associations_max;
        within.then_some(()).ok_or(Reason::LimitUdpAssociations)
    }

    /// Relays datagrams for exactly as long as the control connection lives, unless the session is cut.
    pub async fn run(self) -> Reason {
        let Relay { core, session, client_side, .. } = &*self.relay;
        core.sessions.enter(session, Phase::Associated);
        self.relay.spawn(self.relay.clone().pump(client_side.clone(), Direction::Up));
        loop {
            let ready = session.client.readable().await;
            if let Some(reason) = session.cut_reason() {
                return reason;
            }
            // "A UDP association terminates when the TCP connection that the UDP ASSOCIATE request arrived on
            // terminates": what is said on it meanwhile means nothing.
            match session.client.receive(&mut core.scratch.borrow_mut()) {
                Ok(0) => return Reason::Finished,
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::INTR) if ready.is_ok() => {}
                Err(_) => return Reason::ClientReset,
            }
        }
    }
}

impl Drop for Association {
    fn drop(&mut self) {
        let relay = &self.relay;
        relay.over.set(true);
        relay.core.cells.udp_closed.add(1);
        relay.destinations.borrow_mut().forsake(&relay.core.questions);
        // Their tasks wake, see that it is over, and let go of what they share.
        for socket in relay.outside.iter().filter_map(OnceCell::get).chain([&relay.client_side]) {
            socket.ready.shutdown();
        }
    }
}

impl Relay {
    /// Spawns a task of this association. Should it panic, it takes the association along.
    fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let relay = self.clone();
        let panicked = move || {
            relay.core.count_panic();
            relay.session.client.socket().abort();
        };
        rt::spawn(panicked, task);
    }

    /// Waits for a socket and moves what is there, until the association is over.
    async fn pump(self: Rc<Self>, socket: Rc<Socket>, direction: Direction) {
        let mut errors = 0;
        loop {
            let ready = socket.ready.readable().await;
            if ready.is_err() || self.over.get() {
                return;
            }
            // What ICMP says of a peer comes as an error of the next call; the association survives it.
            errors = if self.drain(&socket, direction).is_ok() { 0 } else { errors + 1 };
            if errors > ERRORS_IN_A_ROW_MAX {
                // Boxed: an idle association must not carry the room of a timer.
                Box::pin(rt::sleep(REST)).await;
            }
        }
    }

    /// Moves what a socket has now, up to a wake's budget.
    fn drain(self: &Rc<Self>, socket: &Socket, direction: Direction) -> io::Result<()> {
        let mut buffers = self.core.udp.borrow_mut();
        let Some(buffers) = buffers.as_deref_mut() else { return Ok(()) };
        self.expire_fragments();
        let mut tally = Tally::default();
        let mut outcome = Ok(());
        for _ in 0..BATCHES_PER_WAKE {
            match buffers.receive(socket) {
                Ok(Batch { incoming, mut outgoing, may_be_more }) => {
                    match direction {
                        Direction::Up => self.forward(incoming, &mut outgoing, &mut tally),
                        Direction::Down => self.bring_back(incoming, &mut outgoing, &mut tally),
                    }
                    outgoing.flush(&mut tally);
                    let spent = tally.payload_bytes > BYTES_PER_WAKE || tally.seen > DATAGRAMS_PER_WAKE;
                    if !may_be_more || spent {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        self.settle(direction, &tally);
        outcome
    }

    /// Ends an unfinished sequence that is overdue: its next fragment may never come to ask.
    fn expire_fragments(&self) {
        let mut reassembly = self.reassembly.borrow_mut();
        let Some(reassembly) = reassembly.as_deref_mut() else { return };
        self.count_dropped(Dropped::Fragment, reassembly.expire(self.core.now_ns()));
    }

    /// Takes a datagram's bytes out of what the user may move.
    fn admit(&self, direction: Direction, payload: &[u8]) -> Result<(), Dropped> {
        let Some(Account { user, usage }) = &self.account else { return Ok(()) };
        let (rate, due_ns) = match direction {
            Direction::Up => (user.rate_up, &usage.up_due_ns),
            Direction::Down => (user.rate_down, &usage.down_due_ns),
        };
        let in_time =
            |rate| rate::try_take(due_ns, rate, rate::DATAGRAM_BURST_NS, payload.len(), self.core.now_ns());
        if !rate.is_none_or(in_time) {
            return Err(Dropped::RateLimited);
        }
        let is_left = |quota: Quota| quota::try_take(&usage.quota_used, quota.bytes, payload.len());
        if user.quota.is_none_or(is_left) { Ok(()) } else { Err(Dropped::QuotaExhausted) }
    }

    /// Enters what was sent into the books.
    fn settle(&self, direction: Direction, tally: &Tally) {
        if tally.datagrams == 0 {
            return;
        }
        let Relay { core, session, account, .. } = self;
        let (way, datagrams) = match direction {
            Direction::Up => (Way::Up, &core.cells.udp_sent),
            Direction::Down => (Way::Down, &core.cells.udp_received),
        };
        core.count_bytes(session, account.as_ref(), way, tally.payload_bytes);
        datagrams.add(tally.datagrams);
        session.touch(core.sessions.now_tick());
    }

    fn count_dropped(&self, why: Dropped, datagrams: u64) {
        self.core.cells.udp_dropped.of(why).add(datagrams);
    }

    /// The socket towards peers of a family, made now if need be.
    fn outside(self: &Rc<Self>, ipv6: bool) -> Result<&Rc<Socket>, Dropped> {
        let place = &self.outside[usize::from(ipv6)];
        if let Some(socket) = place.get() {
            return Ok(socket);
        }
        let other = self.outside[usize::from(!ipv6)].get();
        let socket = socket::for_peers(&self.core, &self.session, ipv6, other.map(|other| &**other));
        let socket = Rc::new(socket.map_err(|_| Dropped::NoRoute)?);
        self.spawn(self.clone().pump(socket.clone(), Direction::Down));
        Ok(place.get_or_init(|| socket))
    }
}
