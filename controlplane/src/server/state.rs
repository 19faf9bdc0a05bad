//! What all requests share. One thread: plain cells, no lock.

use super::feed::Readers;
use super::guard::Guard;
use super::inspecting::INSPECTORS_MAX;
use super::push::Desk;
use crate::alerts::Alerts;
use crate::audit::Journal;
use crate::export::Format;
use crate::guard::Failure;
use crate::handover::desk::Upgrades;
use crate::history::History;
use crate::logs::Recent;
use crate::observe::{Observer, Snapshot};
use crate::reload::Reloader;
use crate::rest::{Rest, Stage};
use crate::running::Running;
use crate::top::Ends;
use ringway_dataplane::{Arrival, WorkerState};
use ringway_shared::command::Command;
use ringway_shared::feed::Feed;
use ringway_shared::inspect;
use ringway_shared::metrics::Cells;
use ringway_shared::push::{Ask, Reply};
use serde_json::Value as Json;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};

/// What is so young is served again instead of being made anew: scrapes may be many, the cells are not.
pub(super) const AGE_MAX: Duration = Duration::from_millis(250);

/// The workers, as far as the control port speaks to them. No call blocks.
pub struct Staff {
    pub count: usize,
    /// How worker `i` is doing.
    pub state: Box<dyn Fn(usize) -> WorkerState>,
    /// Tells worker `i`. False: its inbox is full or it has ended.
    pub tell: Box<dyn Fn(usize, Command) -> bool>,
    /// Asks worker `i` for the publish API. False: its inbox is full or it has ended.
    pub push: Box<Push>,
    /// Asks worker `i` about its connections. False: its inbox is full or it has ended.
    pub inspect: Box<Inspect>,
    /// Gives worker `i` a connection. It comes back if its inbox is full or it has ended.
    pub welcome: Box<Welcome>,
    /// What stands on a topic of the feed.
    pub latest: Box<dyn Fn(Feed) -> Option<Arc<str>>>,
    /// The worker that is a topic's home.
    pub home_of: Box<dyn Fn(&str) -> usize>,
    /// Users with at least one WebSocket connection, as of a second ago.
    pub online_users: Box<dyn Fn() -> u64>,
}

/// Hands a question to a worker.
pub type Push = dyn Fn(usize, Ask, Reply) -> bool;

/// Hands a question about connections to a worker.
pub type Inspect = dyn Fn(usize, inspect::Ask, inspect::Reply) -> bool;

/// Hands a connection to a worker.
pub type Welcome = dyn Fn(usize, Arrival) -> Result<(), Arrival>;

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
    /// It was refused before it was looked at.
    pub refuse: Box<dyn Fn(Failure)>,
}

/// What does not change from request to request.
pub struct Facts {
    pub version: &'static str,
    /// What the operator should know about the start ([`ringway_dataplane::Workers::notices`]).
    pub notices: Vec<String>,
    /// The log's last lines.
    pub recent: Recent,
}

/// What all requests share.
pub struct State {
    pub facts: Facts,
    pub running: Rc<Running>,
    pub staff: Staff,
    pub meter: Meter,
    pub(super) push: Desk,
    pub(super) guard: Guard,
    /// Who reads the feed by the control port.
    pub readers: Readers,
    pub journal: Rc<Journal>,
    /// What is watched.
    pub alerts: Rc<Alerts>,
    pub draining: Cell<bool>,
    /// A successor serves: who comes is welcome, there.
    pub succeeded: Cell<bool>,
    /// Who changes the configuration; none in tests of pages that do not.
    reloader: OnceCell<Rc<Reloader>>,
    /// None if it is off.
    history: OnceCell<Rc<History>>,
    pub(super) seats: Rc<Seats>,
    /// Turns to look through the workers' tables.
    pub(super) inspectors: Semaphore,
    /// Who wants a hot restart.
    pub upgrades: Upgrades,
    /// Whether new clients are taken.
    pub rest: Rest,
    /// Whom earlier drains had sent away when this one began.
    pub(super) turned_away: Cell<[u64; 3]>,
    /// What ended connections came to.
    pub ends: RefCell<Ends>,
    /// Those of the Unix socket.
    pub(super) unix_seats: Rc<Seats>,
    /// Those of connections that are carried on between a client and its worker; `control.feed.clients_max` bounds them.
    pub(super) bridges: Rc<Seats>,
    /// The OpenAPI document of one generation of the configuration.
    pub(super) openapi: RefCell<Option<(u64, String)>>,
    /// Held while a support bundle is packed.
    pub(super) bundling: Arc<Semaphore>,
    /// What the kernel said of memory, and when.
    pub(super) memory: RefCell<Option<(Instant, Json)>>,
    observer: RefCell<Observer>,
    latest: RefCell<Option<Rc<Snapshot>>>,
    /// The last page of metrics in each format.
    pages: [RefCell<Option<Page>>; Format::COUNT],
}

/// Metrics as they are answered, and when they were written.
type Page = (Instant, Rc<str>);

impl State {
    #[must_use]
    pub fn new(
        facts: Facts,
        running: Rc<Running>,
        staff: Staff,
        meter: Meter,
        push: Desk,
        observer: Observer,
        journal: Rc<Journal>,
    ) -> Self {
        State {
            seats: Rc::default(),
            inspectors: Semaphore::new(INSPECTORS_MAX),
            rest: Rest::default(),
            turned_away: Cell::default(),
            ends: RefCell::new(Ends::new(Instant::now())),
            unix_seats: Rc::default(),
            bridges: Rc::default(),
            openapi: RefCell::default(),
            bundling: Arc::new(Semaphore::new(1)),
            memory: RefCell::default(),
            facts,
            running,
            staff,
            meter,
            push,
            guard: Guard::default(),
            readers: Readers::default(),
            journal,
            alerts: Rc::default(),
            upgrades: Upgrades::default(),
            draining: Cell::new(false),
            succeeded: Cell::new(false),
            reloader: OnceCell::new(),
            history: OnceCell::new(),
            observer: RefCell::new(observer),
            latest: RefCell::default(),
            pages: Default::default(),
        }
    }

    /// Lets the configuration be changed by this one.
    pub fn employ(&self, reloader: Rc<Reloader>) {
        let _ = self.reloader.set(reloader);
    }

    /// Lets what was be told by this one.
    pub fn remember(&self, history: Rc<History>) {
        let _ = self.history.set(history);
    }

    #[must_use]
    pub fn history(&self) -> Option<Rc<History>> {
        self.history.get().cloned()
    }

    pub(super) fn reloader(&self) -> Option<Rc<Reloader>> {
        self.reloader.get().cloned()
    }

    /// Everything known, no older than [`AGE_MAX`]. Taking one never yields, so there is one at a time.
    #[must_use]
    pub fn snapshot(&self) -> Rc<Snapshot> {
        self.snapshot_of(AGE_MAX)
    }

    /// Everything known now.
    #[must_use]
    pub fn look(&self) -> Rc<Snapshot> {
        self.snapshot_of(Duration::ZERO)
    }

    /// All metrics, no older than [`AGE_MAX`], or than the moment given. Writing them never yields either.
    #[must_use]
    pub fn metrics(&self, format: Format, since: Option<Instant>) -> Rc<str> {
        let mut page = self.pages[format as usize].borrow_mut();
        let now = Instant::now();
        let age_max = since.map_or(AGE_MAX, |since| now.saturating_duration_since(since));
        let young = |written: &Instant| now.saturating_duration_since(*written) < age_max;
        if let Some((_, text)) = page.as_ref().filter(|(written, _)| young(written)) {
            return text.clone();
        }
        let snapshot = self.snapshot_of(age_max);
        let generation = self.running.generation();
        let text = self.with_cells(|cells| (self.meter.render)(&snapshot, cells, generation, format));
        page.insert((now, text.into())).1.clone()
    }

    /// When those that are kept were written.
    pub(super) fn metrics_written(&self, format: Format) -> Option<Instant> {
        self.pages[format as usize].borrow().as_ref().map(|(written, _)| *written)
    }

    fn snapshot_of(&self, age_max: Duration) -> Rc<Snapshot> {
        let mut latest = self.latest.borrow_mut();
        let now = Instant::now();
        let young = |kept: &&Rc<Snapshot>| now.saturating_duration_since(kept.at) < age_max;
        if let Some(kept) = latest.as_ref().filter(young) {
            return kept.clone();
        }
        let taken = Rc::new(self.observer.borrow_mut().look(&self.staff.state));
        latest.insert(taken).clone()
    }

    /// Whether new clients had better go elsewhere.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get() || self.rest.stage() != Stage::Serving
    }

    /// Moves a drain on. True: the process is to end.
    pub fn go_on_resting(&self) -> bool {
        // Who reads the feed by the control port is nobody that is waited for.
        let left = self.with_cells(|cells| cells.iter().map(|cells| cells.guestless_sockets()).sum());
        self.rest.go_on(Instant::now(), self.staff.count, &self.staff.tell, left)
    }

    /// Runs `read` over the workers' cells.
    pub fn with_cells<T>(&self, read: impl FnOnce(&[Arc<Cells>]) -> T) -> T {
        read(self.observer.borrow().cells())
    }
}

/// The connections that may be open at once, over all listeners.
#[derive(Default)]
pub(super) struct Seats {
    taken: Cell<usize>,
    freed: Notify,
}

/// One connection's place; free again when dropped.
pub(super) struct Seat(Rc<Seats>);

impl Seats {
    /// A place, unless `max` are taken.
    pub fn take(self: &Rc<Self>, max: usize) -> Option<Seat> {
        let taken = self.taken.get();
        (taken < max).then(|| {
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
