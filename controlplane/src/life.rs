//! The story of a running process: load, start, serve, wait, drain with a deadline.

use crate::access::Access;
use crate::audit::Journal;
use crate::certificates::{self, CertificateFacts, Certificates};
use crate::cli::say;
use crate::exit::Exit;
use crate::jwks;
use crate::logins;
use crate::logs::{self, Sink};
use crate::observe::{Observer, Subject, heartbeat_age};
use crate::port::{self, Tallies};
use crate::quotas::Quotas;
use crate::running::Running;
use crate::server::{self, Ports};
use crate::settings::{self, SettingsArguments};
use crate::signals::{Asked, Signals};
use ringway_dataplane::{ClientFacts, Plan, WorkerState, Workers};
use ringway_shared::command::Command;
use ringway_shared::config::Config;
use ringway_shared::metrics::{Cells, Driver};
use ringway_shared::session::Ended;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::MissedTickBehavior;

/// How often workers are looked after and session records taken.
const ROUND: Duration = Duration::from_millis(100);
/// How often everything is observed even if nobody asks, so that rates are those of the last second.
const OBSERVED_EVERY: Duration = Duration::from_secs(1);
/// Session records written in one round, if the log has room; the rest wait in their queue for the next.
const RECORDS_PER_ROUND: usize = 4_096;
/// After the drain's deadline: how long cut connections have to end.
const CUT_PATIENCE: Duration = Duration::from_secs(5);
/// How long control requests in flight may take to be answered at the end.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// How long the last log lines may take.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// Runs ringway until it has been stopped.
#[must_use]
pub fn run(arguments: &SettingsArguments) -> Exit {
    let loaded = match settings::load(arguments) {
        Ok(loaded) => loaded,
        Err(faults) => {
            say(&mut std::io::stderr().lock(), &faults);
            return Exit::BadConfiguration;
        }
    };
    let mut sink = logs::begin(&loaded.config.log);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, live(loaded, &mut sink)),
        Err(error) => Err(format!("the control plane cannot start: {error}; raise `ulimit -n`")),
    };
    let exit = outcome.unwrap_or_else(|fault| {
        tracing::error!("cannot start: {fault}");
        Exit::CannotStart
    });
    sink.flush(FLUSH_PATIENCE);
    exit
}

async fn live(loaded: ringway_shared::config::Loaded, sink: &mut Sink) -> Result<Exit, String> {
    let running = Rc::new(Running::new(loaded));
    let config = running.config();
    let mut signals = caught_signals()?;
    let quotas = RefCell::new(Quotas::open(&config)?);
    let access = RefCell::new(Access::open(&config.log, sink.queue())?);
    let journal = Rc::new(Journal::open(&config.log, &sink.queue())?);
    let prepared_ports = server::Prepared::open(&config.control, &mut Vec::new())?;
    let cells: Vec<_> = (0..config.workers.count).map(|_| Arc::new(Cells::default())).collect();
    let epoch = Instant::now();
    let plan = plan(&config, &cells, epoch, &prepared_ports.addresses().tcp());
    let workers = Rc::new(ringway_dataplane::start(plan).map_err(|error| error.0)?);
    for notice in workers.notices().iter().chain(&certificates::notices(&config)) {
        tracing::warn!("{notice}");
    }
    let certificates = RefCell::new(Certificates::of(&config));
    let certificate_facts = Rc::new(Cell::new(CertificateFacts::default()));
    let observer = Observer::new(Subject { cells: cells.clone(), epoch });
    let clients = Rc::new(Cell::new(ClientFacts::default()));
    let tallies = Tallies {
        log_lines_dropped: sink.dropped(),
        quota_save_failures: quotas.borrow().save_failures(),
        clients: clients.clone(),
        key_fetches: Rc::default(),
        certificates: certificate_facts.clone(),
    };
    let new_keys = jwks::keep(key_ring_of(&workers), tallies.key_fetches.clone());
    let state = Rc::new(port::state(running.clone(), &workers, observer, tallies, journal));
    let ports = Ports::serve(state.clone(), prepared_ports);
    let life = Life {
        running,
        cells,
        epoch,
        workers,
        state,
        access,
        quotas,
        clients,
        certificates,
        certificate_facts,
        ports,
    };
    life.keep_quotas();
    life.keep_certificates();
    life.announce();
    let exit = tokio::select! {
        exit = life.watch(&mut signals) => exit,
        () = sink.run() => Exit::Done,
        () = new_keys => Exit::Done,
    };
    let _ = tokio::time::timeout(ANSWER_PATIENCE, life.ports.stop()).await;
    // What ended last has its line too; the log's queue does not hold them all at once.
    while sink.flush(FLUSH_PATIENCE) && life.write_records() > 0 {}
    life.keep_quotas();
    Ok(exit)
}

fn plan(config: &Arc<Config>, cells: &[Arc<Cells>], epoch: Instant, control: &[SocketAddr]) -> Plan {
    Plan {
        config: config.clone(),
        cells: cells.to_vec(),
        epoch,
        control_addresses: control.to_vec(),
        descriptors_max: raise_descriptor_limit(),
        inherited: Vec::new(),
        listeners_are_shared: false,
    }
}

fn caught_signals() -> Result<Signals, String> {
    Signals::catch().map_err(|error| format!("cannot watch signals: {error}; raise `ulimit -n`"))
}

/// Where the keys of JSON Web Tokens in use now are found.
fn key_ring_of(workers: &Rc<Workers>) -> jwks::Look {
    let workers = workers.clone();
    Rc::new(move || workers.key_ring())
}

/// Raises the soft limit of descriptors to the hard one; returns what it is then.
fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { raised.current } else { limit.current };
    current.unwrap_or(u64::MAX)
}

/// A running process, as its main thread sees it.
struct Life {
    running: Rc<Running>,
    cells: Vec<Arc<Cells>>,
    epoch: Instant,
    workers: Rc<Workers>,
    state: Rc<server::State>,
    access: RefCell<Access>,
    quotas: RefCell<Quotas>,
    certificates: RefCell<Certificates>,
    certificate_facts: Rc<Cell<CertificateFacts>>,
    ports: Ports,
    clients: Rc<Cell<ClientFacts>>,
}

/// A drain under way.
struct Ending {
    exit: Exit,
    /// What the workers were told last, and who could not be told yet: those are told again each round.
    command: Command,
    untold: Vec<usize>,
    /// When the workers are told to cut what is left; then, when their end is no longer waited for.
    deadline: Instant,
}

impl Ending {
    fn is_cut(&self) -> bool {
        matches!(self.command, Command::Cut)
    }
}

impl Life {
    /// The one line that says that all listeners are up, and where.
    fn announce(&self) {
        let control = self.ports.addresses();
        let driver =
            self.cells.first().map_or(Driver::Unknown, |cells| Driver::from_cell(cells.driver.get()));
        let secured = [
            ("socks5_tls", self.workers.socks5_tls_addresses()),
            ("websocket_tls", self.workers.websocket_tls_addresses()),
            ("control_tls", control.https.clone()),
        ]
        .map(|(name, addresses)| match &addresses[..] {
            [] => String::new(),
            _ => format!(" {name}={}", listed(&addresses)),
        });
        tracing::info!(
            "ready socks5={} websocket={} control={} workers={} driver={} connections_max={}{}{}",
            listed(&self.workers.socks5_addresses()),
            listed(&self.workers.websocket_addresses()),
            listed(&control.http),
            self.cells.len(),
            driver.label(),
            self.workers.connections_max(),
            secured.concat(),
            control.unix.map_or_else(String::new, |path| format!(" control_unix={}", path.display())),
        );
    }

    /// Looks after the workers until all have ended.
    async fn watch(&self, signals: &mut Signals) -> Exit {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut observed = tokio::time::interval(OBSERVED_EVERY);
        observed.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ending = None;
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => ending = Some(self.asked_to_stop(ending)),
                    Asked::Reopen => self.reopen_logs(),
                    Asked::NotYet { signal, work } => tracing::warn!("{signal}: {work} is not in this build yet"),
                },
                _ = observed.tick() => {
                    drop(self.state.snapshot());
                    self.keep_quotas();
                    self.keep_certificates();
                    self.clients.set(self.workers.look_after_clients());
                }
                _ = rounds.tick() => {
                    self.write_records();
                    ending = match ending {
                        None => self.lost_worker().map(|cause| {
                            tracing::error!("{cause}; draining the others, then ending: start ringway anew");
                            self.drain(Exit::WorkerLost)
                        }),
                        Some(drain) => match self.move_on(drain) {
                            Ok(drain) => Some(drain),
                            Err(exit) => return exit,
                        },
                    };
                }
            }
        }
    }

    /// Why the process cannot go on, if it cannot: a worker died, or has given no sign of life for too long.
    fn lost_worker(&self) -> Option<String> {
        (0..self.cells.len()).find_map(|worker| {
            match self.workers.state(worker) {
                WorkerState::Died { cause } => Some(format!("worker {worker} died: {cause}")),
                // Its inbox's bell broke; while draining it has done what it was told.
                WorkerState::Ended { .. } => (!self.state.draining.get())
                    .then(|| format!("worker {worker} ended though nobody told it to")),
                WorkerState::Running => self.wedged_for(worker).map(|silent| {
                    format!("worker {worker} is wedged: no heartbeat for {} ms", silent.as_millis())
                }),
            }
        })
    }

    /// How long a running worker has been silent, if that is longer than `workers.wedged_after`.
    fn wedged_for(&self, worker: usize) -> Option<Duration> {
        let limit = self.running.config().workers.wedged_after;
        let age = heartbeat_age(&self.cells[worker], self.epoch, Instant::now());
        let running = self.workers.state(worker) == WorkerState::Running;
        (running && !limit.is_zero() && age > limit).then_some(age)
    }

    /// The first request to stop drains, the second one cuts, the third one no longer waits.
    fn asked_to_stop(&self, ending: Option<Ending>) -> Ending {
        match ending {
            None => self.drain(Exit::Done),
            Some(drain) if drain.is_cut() => Ending { deadline: Instant::now(), ..drain },
            Some(drain) => {
                tracing::warn!("asked to stop while draining: cutting what is left");
                self.cut(if drain.exit == Exit::Done { Exit::CutShort } else { drain.exit })
            }
        }
    }

    fn drain(&self, exit: Exit) -> Ending {
        let websockets: u64 = self.cells.iter().map(|cells| cells.websocket.active()).sum();
        let patience = patience(&self.running.config(), websockets > 0);
        let active: u64 = self.cells.iter().map(|cells| cells.active()).sum::<u64>() + websockets;
        tracing::info!("draining {active} connections, for at most {} s", patience.as_secs());
        self.state.draining.set(true);
        self.end(exit, Command::Drain, patience)
    }

    fn cut(&self, exit: Exit) -> Ending {
        self.end(exit, Command::Cut, CUT_PATIENCE)
    }

    fn end(&self, exit: Exit, command: Command, patience: Duration) -> Ending {
        let untold = self.tell((0..self.cells.len()).collect(), command);
        if !untold.is_empty() {
            tracing::warn!("workers {untold:?} cannot take {command:?} yet: their inboxes are full");
        }
        Ending { exit, command, untold, deadline: Instant::now() + patience }
    }

    /// Moves a drain on. The error is the end: nothing is left to wait for.
    fn move_on(&self, mut drain: Ending) -> Result<Ending, Exit> {
        if let (Exit::Done, Some(cause)) = (drain.exit, self.lost_worker()) {
            tracing::error!("{cause}, while draining");
            drain.exit = Exit::WorkerLost;
        }
        drain.untold = self.tell(drain.untold, drain.command);
        // A wedged thread cannot be waited for; it ends with the process.
        let awaited: Vec<_> =
            self.running().into_iter().filter(|worker| self.wedged_for(*worker).is_none()).collect();
        if awaited.is_empty() {
            tracing::info!("stopped; {} connections were cut", self.connections_cut());
            return Err(drain.exit);
        }
        if Instant::now() < drain.deadline {
            return Ok(drain);
        }
        if drain.is_cut() {
            tracing::error!("ending without the workers {awaited:?}: they do not end");
            return Err(if drain.exit == Exit::Done { Exit::WorkerLost } else { drain.exit });
        }
        tracing::warn!("the drain's deadline has passed: cutting what is left");
        Ok(self.cut(drain.exit))
    }

    fn running(&self) -> Vec<usize> {
        (0..self.cells.len()).filter(|worker| self.workers.state(*worker) == WorkerState::Running).collect()
    }

    fn connections_cut(&self) -> u64 {
        let cut = |worker| match self.workers.state(worker) {
            WorkerState::Ended { cut } => cut,
            WorkerState::Running | WorkerState::Died { .. } => 0,
        };
        (0..self.cells.len()).map(cut).sum()
    }

    /// Tells these workers; which of them still run and could not be told.
    fn tell(&self, workers: Vec<usize>, command: Command) -> Vec<usize> {
        let refused = |worker: &usize| {
            !self.workers.tell(*worker, command) && self.workers.state(*worker) == WorkerState::Running
        };
        workers.into_iter().filter(refused).collect()
    }

    fn keep_quotas(&self) {
        self.quotas.borrow_mut().keep(&self.workers.accounts(), SystemTime::now());
    }

    /// Shows what has been renewed. Later a reload of the configuration will do so too, by `Certificates::of`.
    fn keep_certificates(&self) {
        let mut certificates = self.certificates.borrow_mut();
        certificates.look(&self.workers, |shown| self.ports.renew_certificates(shown));
        self.certificate_facts.set(certificates.facts());
    }

    /// Logs a round of ended connections; how many they were.
    fn write_records(&self) -> usize {
        let config = self.running.config();
        let mut records = Vec::new();
        let mut access = self.access.borrow_mut();
        self.workers.take_session_ends(&mut records, RECORDS_PER_ROUND.min(access.room()));
        for ended in &records {
            if let Ended::Socks5(end) = ended {
                logins::tell(end, &config.socks5.logins);
            }
            access.write(ended);
        }
        access.flush();
        self.state.journal.flush();
        records.len()
    }

    fn reopen_logs(&self) {
        let (access, journal) = (self.access.borrow_mut().reopen(), self.state.journal.reopen());
        if !access && !journal {
            tracing::info!("no log file to reopen: log.access, log.audit and log.control name none");
        }
    }
}

/// How long a drain may take: as SOCKS5 says, and no less than WebSocket clients, if there are any, need to be told.
fn patience(config: &Config, websockets: bool) -> Duration {
    let timeouts = &config.websocket.timeouts;
    let told = timeouts.drain + timeouts.close + Duration::from_secs(1);
    config.socks5.timeouts.drain.max(if websockets { told } else { Duration::ZERO })
}

fn listed(addresses: &[SocketAddr]) -> String {
    if addresses.is_empty() {
        return "off".into();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
