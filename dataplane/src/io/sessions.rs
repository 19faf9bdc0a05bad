//! The live connections of one core: their phases and deadlines, and how to cut them.
//!
//! No connection owns a timer. Each notes the tick of its last activity; a scan of the table finds
//! those whose phase has lasted too long and cuts them by waking whatever they wait on.

mod inspect;
mod phase;

pub use phase::Phase;

use crate::io::client::Client;
use crate::io::questions::{Questions, Ticket};
use crate::policy::clients::Admission;
use crate::rt::Ready;
use crate::service::Service;
use ringway_shared::account::Account;
use ringway_shared::connection::Connection;
use ringway_shared::listener::ListenerCells;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Phases, Protocol, Target};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The length of a tick. Deadlines are kept to a tick in small tables, to [`SCAN_TICKS`] in large ones.
pub const TICK: Duration = Duration::from_millis(100);
/// A table is scanned once in so many ticks.
const SCAN_TICKS: usize = 10;
/// Entries scanned at each tick in any case.
const SCAN_MIN: usize = 1024;

/// Facts for the record of a connection, filled in as they become known.
#[derive(Default)]
pub struct Facts {
    pub account: Option<Account>,
    pub protocol: Option<Protocol>,
    pub command: Option<Command>,
    pub target: Option<Target>,
    pub address: Option<SocketAddr>,
    pub reply: Option<u16>,
    pub phases: Phases,
    /// Boxed: most connections have none, and each idle one pays for the room.
    notes: Option<Box<Notes>>,
}

/// Facts that few connections have.
#[derive(Default)]
pub struct Notes {
    /// The name a failed login claimed.
    pub claimed: Option<Box<str>>,
    /// That failure began a ban.
    pub banned: bool,
    pub upstream: Option<Arc<str>>,
    pub rule: Option<Arc<str>>,
    pub hint: Option<Box<str>>,
    /// The error of the last connect(2) that failed.
    pub errno: Option<i32>,
}

impl Facts {
    pub fn notes(&mut self) -> &mut Notes {
        self.notes.get_or_insert_default()
    }

    #[must_use]
    pub fn login_failed(&self) -> bool {
        self.notes.as_ref().is_some_and(|notes| notes.claimed.is_some())
    }

    /// Withdraws the hint of a failure that was made good.
    pub fn forget_hint(&mut self) {
        if let Some(notes) = &mut self.notes {
            notes.hint = None;
        }
    }

    /// The upstream proxy it goes through.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<str>> {
        self.notes.as_ref()?.upstream.as_ref()
    }

    /// The notes there are, for the record.
    pub fn take_notes(&mut self) -> Notes {
        self.notes.take().map_or_else(Notes::default, |notes| *notes)
    }
}

/// One connection, shared by its task and the table.
pub struct Session {
    pub client: Client,
    /// What it is served under, whatever is reloaded meanwhile.
    pub service: Rc<Service>,
    /// What this core counts of the listener it came in by.
    pub listener: Arc<ListenerCells>,
    /// Who it is: the socket's peer, or whom the PROXY protocol header names.
    peer: Cell<SocketAddr>,
    /// Its place among its client's connections, once it has one.
    pub admission: Cell<Option<Admission>>,
    /// It is counted among its user's connections.
    pub in_account: Cell<bool>,
    pub accepted: Instant,
    /// Its number among those this core has accepted; see [`Core::serial`](crate::core::Core::serial).
    serial: u64,
    pub sent_bytes: Cell<u64>,
    pub received_bytes: Cell<u64>,
    pub facts: RefCell<Facts>,
    target: RefCell<Option<Rc<Ready>>>,
    question: Cell<Option<Ticket>>,
    phase: Cell<Phase>,
    opened_tick: u32,
    /// The tick of the last activity in this phase.
    since_tick: Cell<u32>,
    allowed_ticks: Cell<u32>,
    cut: Cell<Option<Reason>>,
    /// Directions that do not read now: one has ended, or waits for a slow receiver.
    not_reading: Cell<u8>,
}

// With the counts of an `Rc` it fits the allocator's class of 320 bytes; the next one is 384.
const _: () = assert!(size_of::<Session>() <= 304);

impl Session {
    /// Why it was cut, if it was. Whoever is woken from a wait asks this before reading the wake as news.
    #[must_use]
    pub fn cut_reason(&self) -> Option<Reason> {
        self.cut.get()
    }

    /// What it is called.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::socks5(self.serial)
    }

    /// Who the client is.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer.get()
    }

    /// The client is whom the PROXY protocol header names.
    pub fn set_peer(&self, peer: SocketAddr) {
        self.peer.set(peer);
    }

    /// The account of the user it is, if it had to say so.
    #[must_use]
    pub fn account(&self) -> Option<Account> {
        self.facts.borrow().account.clone()
    }

    /// Notes that the connection lives. Called for each read of a relay, so it must cost nothing.
    pub fn touch(&self, now_tick: u32) {
        self.since_tick.set(now_tick);
    }

    /// Notes that one direction no longer reads its sender, or reads it again. Of a socket that nobody reads
    /// the scan asks whether it has been reset.
    pub fn set_reading(&self, reading: bool) {
        let others = self.not_reading.get();
        self.not_reading.set(if reading { others - 1 } else { others + 1 });
    }

    /// The side that has been reset while nobody was reading it, if one has.
    fn reset_side(&self) -> Option<Reason> {
        if self.not_reading.get() == 0 {
            return None;
        }
        let target = self.target.borrow();
        let target = target.as_ref()?;
        // POLLERR is told unasked.
        let mut sides =
            [PollFd::new(&self.client, PollFlags::empty()), PollFd::new(&**target, PollFlags::empty())];
        poll(&mut sides, Some(&Timespec::default())).ok()?;
        let broke = |side: &PollFd| side.revents().contains(PollFlags::ERR);
        let reasons = [Reason::ClientReset, Reason::TargetReset];
        sides.iter().zip(reasons).find(|(side, _)| broke(side)).map(|(_, reason)| reason)
    }

    /// Whether the client has reset its connection while its target was sought, when nobody reads it.
    fn reset_by_client(&self) -> Option<Reason> {
        let mut client = [PollFd::new(&self.client, PollFlags::empty())];
        poll(&mut client, Some(&Timespec::default())).ok()?;
        client[0].revents().contains(PollFlags::ERR).then_some(Reason::ClientGone)
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The socket now being dialled or relayed to. Tells whether there was one before.
    pub fn set_target(&self, target: Option<Rc<Ready>>) -> bool {
        self.target.replace(target).is_some()
    }

    /// The question now being waited on.
    pub fn set_question(&self, ticket: Option<Ticket>) {
        self.question.set(ticket);
    }

    /// Cuts the connection: the first reason stands, and whatever its task waits on ends.
    fn cut_with(&self, reason: Reason, questions: &Questions) {
        if self.cut.get().is_some() {
            return;
        }
        self.cut.set(Some(reason));
        match self.phase.get() {
            Phase::ProxyHeader
            | Phase::TlsHandshake
            | Phase::Greeting
            | Phase::Authentication
            | Phase::Request
            | Phase::Associated
            | Phase::Farewell => self.client.socket().shutdown(),
            // The client is still owed a reply.
            Phase::Verdict | Phase::NameLookup => {
                if let Some(ticket) = self.question.get() {
                    questions.expire(ticket);
                }
            }
            Phase::Connect | Phase::AwaitPeer => self.abort_target(),
            Phase::Relay | Phase::HalfClosed => {
                self.client.socket().abort();
                self.abort_target();
            }
        }
    }

    fn abort_target(&self) {
        if let Some(target) = self.target.borrow().as_ref() {
            target.abort();
        }
    }
}

/// All connections of one core.
#[derive(Default)]
pub struct Sessions {
    table: RefCell<Slab<Rc<Session>>>,
    tick: Cell<u32>,
    scan_at: Cell<usize>,
}

impl Sessions {
    /// This core's coarse clock: ticks since its start.
    #[must_use]
    pub fn now_tick(&self) -> u32 {
        self.tick.get()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.table.borrow().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Enters a new connection; its key is for [`Sessions::remove`].
    pub fn insert(
        &self,
        client: Client,
        peer: SocketAddr,
        service: Rc<Service>,
        listener: Arc<ListenerCells>,
        serial: u64,
    ) -> (usize, Rc<Session>) {
        let session = Rc::new(Session {
            client,
            peer: Cell::new(peer),
            admission: Cell::new(None),
            in_account: Cell::new(false),
            accepted: Instant::now(),
            serial,
            sent_bytes: Cell::new(0),
            received_bytes: Cell::new(0),
            facts: RefCell::default(),
            target: RefCell::default(),
            question: Cell::new(None),
            phase: Cell::new(Phase::Greeting),
            opened_tick: self.tick.get(),
            since_tick: Cell::new(self.tick.get()),
            allowed_ticks: Cell::new(ticks(service.config.socks5.timeouts.greeting)),
            service,
            listener,
            cut: Cell::new(None),
            not_reading: Cell::new(0),
        });
        (self.table.borrow_mut().insert(session.clone()), session)
    }

    pub fn remove(&self, key: usize) {
        self.table.borrow_mut().try_remove(key);
    }

    /// Begins a phase with its configured limit.
    pub fn enter(&self, session: &Session, phase: Phase) {
        self.enter_for(session, phase, phase.limit(&session.service.config.socks5.timeouts));
    }

    /// Begins a phase with a limit of its own, e.g. one connect attempt of several.
    pub fn enter_for(&self, session: &Session, phase: Phase, limit: Duration) {
        session.phase.set(phase);
        session.since_tick.set(self.tick.get());
        session.allowed_ticks.set(ticks(limit));
    }

    /// Withdraws a cut that has been acted upon, e.g. a connect attempt before the next one.
    pub fn forgive(&self, session: &Session) {
        session.cut.set(None);
    }

    /// One tick of the coarse clock: cuts what has lasted too long in this tick's share of the table.
    pub fn tick(&self, questions: &Questions) {
        self.tick.set(self.tick.get().wrapping_add(1));
        let table = self.table.borrow();
        let slots = table.capacity();
        let share = slots.min(SCAN_MIN.max(slots.div_ceil(SCAN_TICKS)));
        let start = self.scan_at.get();
        for offset in 0..share {
            let key = (start + offset) % slots;
            if let Some(session) = table.get(key)
                && let Some(reason) = self.overdue(session)
            {
                session.cut_with(reason, questions);
            }
        }
        self.scan_at.set((start + share).checked_rem(slots).unwrap_or(0));
    }

    /// Why a connection must be cut now, if it must.
    fn overdue(&self, session: &Session) -> Option<Reason> {
        let now = self.tick.get();
        let phase = session.phase.get();
        if now.wrapping_sub(session.since_tick.get()) >= session.allowed_ticks.get() {
            return Some(phase.timeout_reason());
        }
        let left = match phase {
            Phase::Relay | Phase::HalfClosed => session.reset_side(),
            Phase::NameLookup | Phase::Connect | Phase::AwaitPeer => session.reset_by_client(),
            _ => None,
        };
        if left.is_some() {
            return left;
        }
        let in_handshake =
            now.wrapping_sub(session.opened_tick) >= ticks(session.service.config.socks5.timeouts.handshake);
        (phase.is_handshake() && in_handshake).then_some(Reason::HandshakeTimeout)
    }

    /// Cuts every connection that has not said yet what it wants.
    pub fn cut_handshakes(&self, reason: Reason, questions: &Questions) {
        self.cut_where(reason, questions, |session| session.phase.get().is_handshake());
    }

    /// Cuts every connection; returns how many there were.
    pub fn cut_all(&self, reason: Reason, questions: &Questions) -> u64 {
        self.cut_where(reason, questions, |_| true)
    }

    /// Cuts the connections of users that `service` does not know.
    pub fn cut_strangers(&self, service: &Service, questions: &Questions) {
        let is_stranger =
            |session: &Session| session.account().is_some_and(|account| !service.knows(&account));
        self.cut_where(Reason::UserRemoved, questions, is_stranger);
    }

    fn cut_where(&self, reason: Reason, questions: &Questions, wanted: impl Fn(&Session) -> bool) -> u64 {
        let table = self.table.borrow();
        let chosen = table.iter().map(|(_, session)| session).filter(|session| wanted(session));
        chosen.map(|session| session.cut_with(reason, questions)).count() as u64
    }
}

/// A duration in ticks, rounded up, plus the tick that is already running.
pub fn ticks(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis().div_ceil(TICK.as_millis()) + 1).unwrap_or(u32::MAX)
}
