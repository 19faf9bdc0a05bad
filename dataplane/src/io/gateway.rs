//! The WebSocket gateway of one core: one task that serves all its connections (docs/decisions/0010).
//!
//! Connections are small slots in a slab; their sockets stand in one set that the ring waits on (`rt/many`). A turn reads what the ready ones have
//! into the core's one scratch buffer, acts on it, answers all of them, hands the hub's news around, and then writes to everybody who has something queued, each once. In
//! the order of a connection's life: `slot`, `arriving`, `opening` (the upgrade), `reading` (frames), `talking` (the JSON protocol), `writing`, `ending`;
//! `feed` is about those who read what ringway says of itself, `clock` keeps all deadlines, `effects` carries out what the hub says, `orders` what the publish API asks.

mod answers;
mod arriving;
pub use arriving::{Arrival, begin, welcome};

mod clock;
pub use clock::tick_of;

mod effects;
mod ending;
mod feed;
pub mod inspect;
mod opening;
mod orders;
mod reading;
mod settings;
mod slot;
mod talking;
mod together;
mod wire;
mod writing;

use crate::core::Core;
use crate::hub::{Hub, Namespaces, Post};
use crate::policy::online::Session;
use crate::proto::deflate::Inflater;
use crate::rt;
use crate::rt::many::{Look, Many, News};
use crate::service::Service;
use ringway_shared::closing::Closing;
use ringway_shared::config::WebSocket;
use ringway_shared::push::{Ask, Reply};
use slab::Slab;
use slot::Slot;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Connections written to in one turn; then the ring, and with it every other task of the core, has its own.
const SENDS_PER_TURN: usize = 64;

/// So long a turn goes on to the next socket: what is not served then is served in the next one. Several milliseconds would be felt by the
/// relays of the same core.
const TURN_NS: u64 = 1_000_000;
/// Sockets read in one turn, but for those that the last look finds.
const READS_PER_TURN: usize = 128;

/// The gateway of one core.
pub struct Gateway {
    many: Many,
    state: RefCell<State>,
    /// The task that wakes for held-back batches runs.
    paced: Cell<bool>,
}

/// What its connections share.
struct State {
    slots: Slab<Slot>,
    hub: Hub,
    /// For all connections that keep no window of their own.
    inflater: Option<Inflater>,
    /// Compresses publications, once for all connections that take them so.
    encoder: effects::Encoder,
    /// Frames for the connection that is being read.
    answers: answers::Answers,
    /// The text of one of them.
    said: Vec<u8>,
    /// What holds for topics now.
    namespaces: Arc<Namespaces>,
    /// What is gathered for one write, or for those of one call.
    outgoing: Vec<u8>,
    /// Many writes by one call.
    together: together::Together,
    /// What is left of connections' last reads, by slot and generation.
    held: VecDeque<(u32, u32, Box<[u8]>)>,
    /// How far the hub is ahead of the sockets.
    ahead: effects::Ahead,
    /// Answers under way to one connection.
    letter: effects::Letter,
    /// Whether what clients send is limited at all.
    limits_rates: bool,
    /// Who waits for the hub's answers.
    tickets: HashMap<u64, effects::Asker>,
    next_ticket: u64,
    /// Subscriptions that the hub has not recorded yet, by slot and ticket: nearly always none.
    asked: BTreeSet<(u32, u64)>,
    /// The connection that is being served: who is to blame for a panic.
    serving: Option<u32>,
    /// Where the next scan of deadlines begins.
    scan_from: usize,
    drain: Option<clock::Drain>,
    /// Sessions of other workers that have lost their place and could not be told yet.
    unreplaced: Vec<Session>,
}

impl Gateway {
    /// `by_ring`: a fan-out may be written through a ring of its own, where the kernel has one for us. Errors: no descriptor is left.
    pub fn new(
        websocket: &WebSocket,
        worker: usize,
        workers: usize,
        seed: u64,
        by_ring: bool,
    ) -> io::Result<Gateway> {
        let state = State {
            slots: Slab::new(),
            hub: settings::hub(websocket, worker, workers, seed),
            inflater: Some(Inflater::new(false)),
            encoder: effects::Encoder::default(),
            answers: answers::Answers::default(),
            said: Vec::new(),
            namespaces: settings::namespaces(websocket),
            outgoing: Vec::with_capacity(writing::GATHER_BYTES),
            together: together::Together::new(by_ring),
            held: VecDeque::new(),
            ahead: effects::Ahead::default(),
            letter: effects::Letter::default(),
            limits_rates: limits_rates(websocket),
            tickets: HashMap::new(),
            next_ticket: 0,
            asked: BTreeSet::new(),
            serving: None,
            scan_from: 0,
            drain: None,
            unreplaced: Vec::new(),
        };
        Ok(Gateway { many: Many::new()?, state: RefCell::new(state), paced: Cell::new(false) })
    }

    /// From now on publications are handled under a new configuration.
    pub fn serve_under(&self, service: &Service) {
        let state = &mut *self.state.borrow_mut();
        state.namespaces = settings::namespaces(&service.config.websocket);
        state.limits_rates = limits_rates(&service.config.websocket);
        state.hub.reconfigure(state.namespaces.clone());
        // Its compressors are of the old level.
        state.encoder = effects::Encoder::default();
        state.hub.set_limits(settings::limits(&service.config.websocket));
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.borrow().slots.is_empty()
    }
}

fn limits_rates(websocket: &WebSocket) -> bool {
    websocket.limits.messages_per_second.is_some() || websocket.limits.bytes_per_second.is_some()
}

/// Serves the core's connections for ever.
pub async fn serve(core: Rc<Core>) {
    let mut look = Look::default();
    loop {
        let busy = guarded(&core, |core| turn(core, &mut look));
        if busy {
            core.gateway.many.give_way().await;
        } else if core.gateway.many.news().await.is_err() {
            return;
        }
    }
}

/// Does `work`; a panic ends the connection that was being served, and it alone: what was left for others leaves before anything else is
/// done. True: there is more to do.
fn guarded(core: &Rc<Core>, mut work: impl FnMut(&Rc<Core>) -> bool) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| work(core)));
    outcome.unwrap_or_else(|panic| {
        core.count_panic();
        let mut state = core.gateway.state.borrow_mut();
        match state.serving.take() {
            Some(conn) => {
                state.abort(core, conn, Closing::Internal);
                // If it was gone already: nobody else is to be told what was meant for it.
                state.answers.clear();
                // It may have been in use.
                state.inflater.get_or_insert_with(|| Inflater::new(false));
            }
            // The hub itself: what it holds cannot be trusted any more. The worker ends, and with it the process.
            None => core.break_down(panic),
        }
        drop(state);
        // As deep as connections are left at the most: each panic takes one of them out.
        guarded(core, send_left)
    })
}

fn send_left(core: &Rc<Core>) -> bool {
    core.gateway.state.borrow_mut().send_left(core);
    true
}

/// One turn: read, act, write. What has come meanwhile is looked for before the ring is asked: two calls fewer for it.
fn turn(core: &Rc<Core>, look: &mut Look) -> bool {
    let state = &mut *core.gateway.state.borrow_mut();
    let over_ns = core.now_ns() + TURN_NS;
    let mut heard = 0;
    loop {
        let before = heard;
        core.gateway.many.look(look);
        while core.now_ns() < over_ns
            && let Some(news) = look.next()
        {
            state.hear(core, news);
            heard += 1;
        }
        state.send_left(core);
        while core.now_ns() < over_ns && state.go_on_reading(core) {}
        let more = state.settle(core) || !state.held.is_empty() || core.now_ns() >= over_ns;
        if more || heard == before || heard >= READS_PER_TURN {
            return more;
        }
    }
}

/// What another task has queued goes out; the rest in the gateway's own turns.
fn settle(core: &Rc<Core>) {
    let more = guarded(core, |core| core.gateway.state.borrow_mut().settle(core));
    if more {
        core.gateway.many.nudge();
    }
}

impl State {
    /// One socket's news.
    fn hear(&mut self, core: &Rc<Core>, news: News) {
        let conn = news.key as u32;
        let current = self.slots.get(conn as usize).is_some_and(|slot| slot.key(conn) == news.key);
        if !current {
            return;
        }
        self.serving = Some(conn);
        if news.writable {
            self.resume(core, conn);
        }
        if news.readable || news.over {
            self.read(core, conn, news.over);
        }
        self.serving = None;
    }

    /// Carries out what the hub wants and writes to those who have something queued. True: there is more.
    fn settle(&mut self, core: &Rc<Core>) -> bool {
        self.carry_out(core);
        let mut sends = self.flush_together(core, SENDS_PER_TURN);
        while sends < SENDS_PER_TURN {
            let Some(conn) = self.hub.poll_dirty() else { break };
            self.serving = Some(conn);
            sends += self.flush(core, conn);
            self.serving = None;
            self.ahead.one_was_offered();
        }
        self.pace(core);
        self.ahead.begin_anew(self.hub.dirty_len());
        self.hub.has_dirty() || self.hub.has_deliveries()
    }

    /// Sees to it that batches that are held back leave in time.
    fn pace(&mut self, core: &Rc<Core>) {
        let Some(due_ms) = self.hub.next_tick_ms() else { return };
        if core.gateway.paced.replace(true) {
            return;
        }
        let wait = Duration::from_millis(due_ms.saturating_sub(core.now_ms()).max(1));
        let core = core.clone();
        let counting = core.clone();
        rt::spawn(move || counting.count_panic(), async move {
            rt::sleep(wait).await;
            core.gateway.paced.set(false);
            core.gateway.state.borrow_mut().hub.tick(core.now_ms());
            settle(&core);
        });
    }
}

/// A message from another worker's hub.
pub fn receive(core: &Rc<Core>, post: Post) {
    core.gateway.state.borrow_mut().hub.receive(post, core.now_ms());
}

/// What the publish API asks.
pub fn order(core: &Rc<Core>, ask: Ask, reply: Reply) {
    core.gateway.state.borrow_mut().order(core, ask, reply);
}

/// A newer session took the place of one of this core's.
pub fn replaced(core: &Rc<Core>, session: Session) {
    core.gateway.state.borrow_mut().replace(core, session);
}

/// Begins to drain; see [`clock`].
pub fn drain(core: &Rc<Core>) {
    core.gateway.state.borrow_mut().drain(core);
}

/// Stops telling connections to go.
pub fn resume(core: &Rc<Core>) {
    core.gateway.state.borrow_mut().drain = None;
}

/// Ends everybody at once; how many that were.
pub fn cut_all(core: &Rc<Core>) -> u64 {
    core.gateway.state.borrow_mut().cut_all(core)
}

/// After a batch of mail: what it brought about is carried out.
pub fn after_mail(core: &Rc<Core>) {
    settle(core);
}

/// Each tick: deadlines.
pub fn tick(core: &Rc<Core>) {
    guarded(core, |core| {
        core.gateway.state.borrow_mut().tick(core);
        false
    });
    settle(core);
}
