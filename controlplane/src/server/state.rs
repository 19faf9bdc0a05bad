//! What all requests share. One thread: plain cells, no lock.

use super::push::Desk;
use crate::export::Format;
use crate::observe::{Observer, Snapshot};
use ringway_dataplane::WorkerState;
use ringway_shared::command::Command;
use ringway_shared::metrics::Cells;
use ringway_shared::push::{Ask, Reply};
use serde_json::Value as Json;
use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A snapshot this young is served again instead of taking another: scrapes may be many, the cells are not.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_millis(250);

/// The workers, as far as the control port speaks to them. No call blocks.
pub struct Staff {
    pub count: usize,
    /// How worker `i` is doing.
    pub state: Box<dyn Fn(usize) -> WorkerState>,
    /// Tells worker `i`. False: its inbox is full or it has ended.
    pub tell: Box<dyn Fn(usize, Command) -> bool>,
    /// Asks worker `i` for the publish API. False: its inbox is full or it has ended.
    pub push: Box<Push>,
    /// The worker that is a topic's home.
    pub home_of: Box<dyn Fn(&str) -> usize>,
    /// Users with at least one WebSocket connection, as of a second ago.
    pub online_users: Box<dyn Fn() -> u64>,
}

/// Hands a question to a worker.
pub type Push = dyn Fn(usize, Ask, Reply) -> bool;

/// Prints all metrics; the number is the configuration's generation.
pub type Render = dyn Fn(&Snapshot, &[Arc<Cells>], u64, Format) -> String;

/// Counts one request: method, path (a route's, or `other`), status, time taken.
pub type Counted = dyn Fn(&'static str, &'static str, u16, Duration);

/// The metrics, as far as the control port knows them: how they are printed, and its own requests counted.
pub struct Meter {
    pub render: Box<Render>,
    /// A request's header has been read.
    pub begin: Box<dyn Fn()>,
    /// It is answered, or its client is gone.
    pub end: Box<Counted>,
}

/// What does not change from request to request.
pub struct Facts {
    pub version: &'static str,
    /// What the operator should know about the start ([`ringway_dataplane::Workers::notices`]).
    pub notices: Vec<String>,
    /// `workers.stalled_after`.
    pub stalled_after: Duration,
    /// `control.test_endpoints`.
    pub test_endpoints: bool,
    /// `control.connections_max`.
    pub connections_max: usize,
    /// The configuration as `GET /config` shows it, secrets redacted.
    pub effective: Json,
}

/// What all requests share.
pub struct State {
    pub facts: Facts,
    pub staff: Staff,
    pub meter: Meter,
    pub(super) push: Desk,
    pub draining: Cell<bool>,
    /// How often a configuration has been applied.
    pub generation: Cell<u64>,
    pub(super) config: Tagged,
    pub(super) seats: Rc<Seats>,
    observer: RefCell<Observer>,
    latest: RefCell<Option<Rc<Snapshot>>>,
}

/// A text and the ETag that changes with it.
pub(super) struct Tagged {
    pub text: String,
    pub tag: String,
}

impl State {
    #[must_use]
    pub fn new(facts: Facts, staff: Staff, meter: Meter, push: Desk, observer: Observer) -> Self {
        State {
            config: Tagged::new(format!("{:#}\n", facts.effective)),
            seats: Rc::new(Seats::new(facts.connections_max)),
            facts,
            staff,
            meter,
            push,
            draining: Cell::new(false),
            generation: Cell::new(1),
            observer: RefCell::new(observer),
            latest: RefCell::default(),
        }
    }

    /// Everything known, no older than [`SNAPSHOT_AGE_MAX`]. Taking one never yields, so there is one at a time.
    #[must_use]
    pub fn snapshot(&self) -> Rc<Snapshot> {
        let mut latest = self.latest.borrow_mut();
        let now = Instant::now();
        let young = |kept: &&Rc<Snapshot>| now.saturating_duration_since(kept.at) < SNAPSHOT_AGE_MAX;
        if let Some(kept) = latest.as_ref().filter(young) {
            return kept.clone();
        }
        let taken = Rc::new(self.observer.borrow_mut().look(&self.staff.state));
        latest.insert(taken).clone()
    }

    /// Runs `read` over the workers' cells.
    pub(super) fn with_cells<T>(&self, read: impl FnOnce(&[Arc<Cells>]) -> T) -> T {
        read(self.observer.borrow().cells())
    }
}

impl Tagged {
    fn new(text: String) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Tagged { tag: format!("\"{:016x}\"", hasher.finish()), text }
    }
}

/// The connections that may be open at once, over all listeners.
pub(super) struct Seats {
    max: usize,
    taken: Cell<usize>,
    freed: Notify,
}

/// One connection's place; free again when dropped.
pub(super) struct Seat(Rc<Seats>);

impl Seats {
    fn new(max: usize) -> Self {
        Seats { max, taken: Cell::new(0), freed: Notify::new() }
    }

    pub fn take(self: &Rc<Self>) -> Option<Seat> {
        let taken = self.taken.get();
        (taken < self.max).then(|| {
            self.taken.set(taken + 1);
            Seat(self.clone())
        })
    }

    /// Returns once nobody sits.
    pub async fn all_free(&self) {
        while self.taken.get() > 0 {
            self.freed.notified().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
        self.0.freed.notify_waiters();
    }
}
