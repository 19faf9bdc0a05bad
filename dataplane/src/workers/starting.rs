//! From a plan to workers that serve.

use super::entrances::Entrances;
use super::listening::{self, Listening, no_descriptor};
use super::{Plan, StartError, WorkerState, Workers};
use crate::board::Board;
use crate::core::Wiring;
use crate::io::inbox::{self, Inbox, Mail, Outbox};
use crate::io::listener::binding::{self, Inherited};
use crate::io::{records, resolve};
use crate::needs::{PIPES_SHARE, sockets_carried};
use crate::policy::admission::{self, Gate};
use crate::policy::clients::Clients;
use crate::service::Stock;
use crate::worker::{self, Post, Serving};
use crossbeam_channel::{Receiver, Sender, bounded};
use ringway_shared::config::Config;
use ringway_shared::metrics::Cells;
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// Binds every listener, then starts resolver, verifiers and workers. Returns when every worker could serve: it does from
/// [`Workers::open`] on.
pub fn start(plan: Plan) -> Result<Workers, StartError> {
    let config = &plan.config;
    let count = config.workers.count;
    let (mut inherited, mut notices) = look_at(plan.inherited);
    let mut entrances = Entrances::for_workers(count);
    let listening = bind(config, &mut entrances, &mut inherited)?;
    let (recorder, records) = records::records();
    let (outboxes, inboxes) = inboxes(count)?;
    let for_pipes = plan.descriptors_max / PIPES_SHARE;
    let for_sockets = sockets_carried(plan.descriptors_max);
    let mut stock = Stock::new(count, for_sockets);
    let service = stock.prepare(config, None)?;
    stock.commit(&service, None);
    let pipes_carried = for_pipes / 2 / count as u64;
    let (resolver, _ends_with_its_askers) =
        resolve::start(&config.socks5.dns, config.socks5.timeouts.name_lookup)?;
    let clients = Arc::<Clients>::default();
    let gate = Arc::<Gate>::default();
    let cells: Arc<[Arc<Cells>]> = plan.cells.into();
    let board = Arc::<Board>::default();
    let listeners_are_shared = Arc::new(AtomicBool::new(plan.listeners_are_shared));
    let wiring = Wiring {
        index: 0,
        cells: cells.clone(),
        outboxes: outboxes.clone(),
        own: listening::own(listening.iter().map(|one| one.address).chain(plan.control_addresses)),
        clients: clients.clone(),
        gate: gate.clone(),
        epoch: plan.epoch,
        resolver: resolver.clone(),
        recorder,
        service: service.clone(),
        sockets_max: for_sockets,
        pipes_max: pipes_carried as usize,
        listeners_are_shared: listeners_are_shared.clone(),
        board: board.clone(),
    };
    let mut workers = Workers {
        states: inboxes.iter().map(|_| Arc::default()).collect(),
        outboxes,
        cells,
        records,
        resolver,
        notices: Vec::new(),
        clients,
        gate,
        epoch: plan.epoch,
        stock: RefCell::new(stock),
        service: RefCell::new(service),
        next_listener: Cell::new(listening.len() as u64),
        listening: RefCell::new(listening),
        entrances: RefCell::new(entrances),
        closing: RefCell::default(),
        listeners_are_shared,
        latest: RefCell::default(),
        board,
        ending: Cell::new(false),
    };
    notices.extend(spawn_all(&workers, &wiring, inboxes)?);
    notices.extend(admission::notices(&config.websocket));
    workers.notices = notices;
    Ok(workers)
}

/// What was handed over, and why some of it is of no use.
fn look_at(descriptors: Vec<OwnedFd>) -> (Vec<Inherited>, Vec<String>) {
    let (mut inherited, mut notices) = (Vec::new(), Vec::new());
    for descriptor in descriptors {
        match Inherited::new(descriptor) {
            Ok(socket) => inherited.push(socket),
            Err(notice) => notices.push(notice),
        }
    }
    (inherited, notices)
}

/// Has a socket wherever the configuration wants one. None listens yet but the inherited ones: whoever came to a new one
/// would be reset if the start failed, though the process before serves at that address still.
fn bind(
    config: &Config,
    entrances: &mut Entrances,
    inherited: &mut Vec<Inherited>,
) -> Result<Vec<Listening>, StartError> {
    // Whoever handed over listens still where an address is to be widened or narrowed.
    let others: Vec<_> = inherited.iter().map(|one| one.address).collect();
    let mut all: Vec<Listening> = Vec::new();
    for wanted in binding::wanted(config) {
        let id = all.len() as u64;
        let listening = Listening::bind(id, wanted, entrances, &others, inherited)?;
        all.push(listening);
    }
    entrances.note(listening::entrances(&all));
    Ok(all)
}

impl Workers {
    /// Listens, and lets the workers serve. Once, and right after whatever else may fail.
    ///
    /// # Errors
    /// Somebody else has begun to listen there meanwhile.
    pub fn open(&self) -> Result<(), StartError> {
        self.listening.borrow().iter().try_for_each(Listening::listen)?;
        let told = |outbox: &Outbox| outbox.post(Mail::Open).is_ok();
        if self.outboxes.iter().all(told) {
            Ok(())
        } else {
            Err(StartError("a worker died while starting; its panic is in the log".into()))
        }
    }
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

fn spawn_all(workers: &Workers, wiring: &Wiring, inboxes: Vec<Inbox>) -> Result<Vec<String>, StartError> {
    let count = inboxes.len();
    let (serving_sender, serving) = bounded(count);
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let listeners = workers.sockets_of(index).map_err(|error| no_descriptor(&error))?;
        let post = Post { wiring: Wiring { index, ..wiring.clone() }, inbox, listeners };
        spawn(post, workers.states[index].clone(), serving_sender.clone())?;
    }
    drop(serving_sender);
    await_serving(&serving, count)
}
