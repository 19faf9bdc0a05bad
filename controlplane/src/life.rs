//! The story of a running process: load, start, take over, serve, wait, drain with a deadline.
//!
//! Below it: `beginning` (serving), `ending` (the drain), `succession` (taking over and handing over), `alarming` (what alerts are told of each second), `past` (what was, for the history), `steering` (another configuration), `listening` (all sockets).

mod alarming;
mod beginning;
mod ending;
mod listening;
mod past;
mod steering;
mod succession;

use crate::access::Access;
use crate::audit::Journal;
use crate::certificates::{CertificateFacts, Certificates};
use crate::cli::say;
use crate::exit::Exit;
use crate::export::carried::Carried;
use crate::feed::Publisher;
use crate::handover::child::Recipe;
use crate::handover::inheritance;
use crate::history::History;
use crate::jwks;
use crate::logins;
use crate::logs::{self, Levels, Sink};
use crate::observe::{Observer, Subject};
use crate::port::{self, Tallies};
use crate::quotas::Quotas;
use crate::reload::{Household, Reloader};
use crate::running::Running;
use crate::server::{self, Ports};
use crate::settings::{Settings, SettingsArguments, Texts};
use crate::signals::{Asked, Signals};
use crate::system::raise_descriptor_limit;
use crate::systemd::{self, Manager};
use crate::vigil::Vigil;
use ending::By;
use ringway_dataplane::{ClientFacts, Plan, Workers};
use ringway_shared::config::{Config, Loaded};
use ringway_shared::metrics::{Cells, Driver};
use ringway_shared::session::Ended;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use succession::Succession;
use tokio::time::MissedTickBehavior;

/// How often workers are looked after and session records taken.
const ROUND: Duration = Duration::from_millis(100);
/// Rounds further apart than this: the process did not run.
const ABSENCE: Duration = Duration::from_secs(1);
/// How often everything is observed even if nobody asks, so that rates are those of the last second.
const OBSERVED_EVERY: Duration = Duration::from_secs(1);
/// Session records written in one round, if the log has room; the rest wait in their queue for the next.
const RECORDS_PER_ROUND: usize = 4_096;
/// How long control requests in flight may take to be answered at the end.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// How long the last log lines may take.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// Runs ringway until it has been stopped.
#[must_use]
pub fn run(arguments: &SettingsArguments) -> Exit {
    // Before there are threads.
    let activated = systemd::listeners();
    let settings = Settings::of(arguments);
    let read = settings.read().and_then(|texts| Ok((settings.load(&texts, &[], &[])?, texts)));
    let (loaded, texts) = match read {
        Ok(read) => read,
        Err(faults) => {
            say(&mut std::io::stderr().lock(), &faults.to_string());
            return Exit::BadConfiguration;
        }
    };
    let (mut sink, levels) = logs::begin(&loaded.config.log);
    let start = Start { settings, loaded, texts, levels };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let life = async { live(start, activated?, &mut sink).await };
            tokio::task::LocalSet::new().block_on(&runtime, life)
        }
        Err(error) => Err(format!("the control plane cannot start: {error}; raise `ulimit -n`")),
    };
    let exit = outcome.unwrap_or_else(|fault| {
        tracing::error!("cannot start: {fault}");
        Exit::CannotStart
    });
    sink.flush(FLUSH_PATIENCE);
    exit
}

/// What a life begins with.
struct Start {
    settings: Settings,
    loaded: Loaded,
    texts: Texts,
    levels: Levels,
}

async fn live(start: Start, activated: Vec<OwnedFd>, sink: &mut Sink) -> Result<Exit, String> {
    let Start { settings, loaded, texts, levels } = start;
    let running = Rc::new(Running::new(loaded, texts));
    let config = running.config();
    let mut signals = caught_signals()?;
    let recipe = Recipe::own(std::env::args_os().skip(1).collect())
        .map_err(|error| format!("cannot find the program's own file: {error}"))?;
    let mut inheritance = inheritance::receive().await?;
    let mut inherited = inheritance.as_mut().map_or(activated, |one| std::mem::take(&mut one.listeners));
    let mut succession = Succession::new(recipe, inheritance);
    let quotas = Rc::new(RefCell::new(Quotas::open(&config)?));
    let access = Rc::new(RefCell::new(Access::open(&config.log, sink.queue())?));
    let journal = Rc::new(Journal::open(&config.log, &sink.queue())?);
    let prepared = server::Prepared::open(&config.control, &mut inherited)?;
    let cells: Vec<_> = (0..config.workers.count).map(|_| Arc::new(Cells::default())).collect();
    let epoch = Instant::now();
    let plan = plan(&config, &cells, epoch, &prepared.addresses().tcp(), inherited);
    let workers = Rc::new(ringway_dataplane::start(plan).map_err(|error| error.0)?);
    port::notices(&config).iter().chain(workers.notices()).for_each(|notice| tracing::warn!("{notice}"));
    let certificates = Rc::new(RefCell::new(Certificates::of(&config)));
    let certificate_facts = Rc::new(Cell::new(CertificateFacts::default()));
    let observer = observer_of(&workers, &cells, epoch);
    let clients = Rc::new(Cell::new(ClientFacts::default()));
    let history = past::begin(&config, &workers)?;
    let tallies = tallies(sink, &quotas.borrow(), &clients, &certificate_facts, &history);
    let carried = tallies.carried.clone();
    let new_keys = jwks::keep(key_ring_of(&workers), tallies.key_fetches.clone());
    let state = Rc::new(port::state(running.clone(), &workers, observer, tallies, journal.clone()));
    let ports = Rc::new(Ports::of(state.clone(), prepared));
    let household = Household {
        access: access.clone(),
        journal,
        quotas: quotas.clone(),
        certificates: certificates.clone(),
        certificate_facts: certificate_facts.clone(),
        ports: ports.clone(),
        log: sink.queue(),
    };
    let reloader = Rc::new(Reloader::new(settings, running.clone(), workers.clone(), household, levels));
    state.employ(reloader.clone());
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
        carried,
        reloader,
        manager: Rc::new(RefCell::new(Manager::of_environment())),
        handed_over: Cell::default(),
        vigil: Vigil::new(ABSENCE, epoch),
    };
    life.begin(&mut succession).await?;
    life.announce();
    let exit = tokio::select! {
        exit = life.watch(&mut signals, &mut succession) => exit,
        () = sink.run() => Exit::Done,
        () = new_keys => Exit::Done,
        () = life.reloader.keep_time(&life.state) => Exit::Done,
        () = life.publish() => Exit::Done,
    };
    life.leave(&mut succession, &mut signals, sink).await;
    Ok(exit)
}

fn tallies(
    sink: &Sink,
    quotas: &Quotas,
    clients: &Rc<Cell<ClientFacts>>,
    certificates: &Rc<Cell<CertificateFacts>>,
    history: &Option<Rc<History>>,
) -> Tallies {
    Tallies {
        log_lines_dropped: sink.dropped(),
        log_recent: sink.recent(),
        quota_save_failures: quotas.save_failures(),
        clients: clients.clone(),
        key_fetches: Rc::default(),
        certificates: certificates.clone(),
        alerts: Rc::default(),
        carried: Rc::default(),
        history: history.clone(),
    }
}

fn plan(
    config: &Arc<Config>,
    cells: &[Arc<Cells>],
    epoch: Instant,
    control: &[SocketAddr],
    inherited: Vec<OwnedFd>,
) -> Plan {
    Plan {
        config: config.clone(),
        cells: cells.to_vec(),
        epoch,
        control_addresses: control.to_vec(),
        descriptors_max: raise_descriptor_limit(),
        // Until it is this one's turn, no end of it may end them.
        listeners_are_shared: !inherited.is_empty(),
        inherited,
    }
}

fn caught_signals() -> Result<Signals, String> {
    Signals::catch().map_err(|error| format!("cannot watch signals: {error}; raise `ulimit -n`"))
}

fn observer_of(workers: &Rc<Workers>, cells: &[Arc<Cells>], epoch: Instant) -> Observer {
    let workers = workers.clone();
    let subject = Subject { cells: cells.to_vec(), epoch };
    Observer::new(subject).with_entrances(Box::new(move || workers.entrances()))
}

/// Where the keys of JSON Web Tokens in use now are found.
fn key_ring_of(workers: &Rc<Workers>) -> jwks::Look {
    let workers = workers.clone();
    Rc::new(move || workers.key_ring())
}

/// A running process, as its main thread sees it.
struct Life {
    running: Rc<Running>,
    cells: Vec<Arc<Cells>>,
    epoch: Instant,
    workers: Rc<Workers>,
    state: Rc<server::State>,
    access: Rc<RefCell<Access>>,
    quotas: Rc<RefCell<Quotas>>,
    certificates: Rc<RefCell<Certificates>>,
    certificate_facts: Rc<Cell<CertificateFacts>>,
    /// The control port.
    ports: Rc<Ports>,
    clients: Rc<Cell<ClientFacts>>,
    /// What the processes before this one have counted.
    carried: Rc<RefCell<Carried>>,
    reloader: Rc<Reloader>,
    manager: Rc<RefCell<Manager>>,
    /// Another process serves, and keeps the quotas' file.
    handed_over: Cell<bool>,
    vigil: Vigil,
}

impl Life {
    /// Tells of all this, live.
    async fn publish(&self) {
        let certificates = self.certificate_facts.clone();
        let (state, workers, ports) = (self.state.clone(), self.workers.clone(), self.ports.clone());
        Publisher::new(state, workers, ports, certificates).run().await;
    }

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
    async fn watch(&self, signals: &mut Signals, succession: &mut Succession) -> Exit {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut observed = tokio::time::interval(OBSERVED_EVERY);
        observed.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ending = None;
        succession.serve(&self.state.upgrades);
        loop {
            tokio::select! {
                event = succession.next() => ending = self.succeed(succession, event, ending),
                asked = signals.next() => match asked {
                    Asked::Stop => ending = self.stop(succession, By::Signal, ending),
                    // Why not stands in the log.
                    Asked::Upgrade => drop(self.upgrade(succession, ending.as_ref())),
                    Asked::Reload => self.reload(),
                    Asked::Reopen => self.reopen_logs(),
                },
                () = self.reloader.listeners_changed() => self.store_listeners(succession).await,
                _ = observed.tick() => {
                    self.note_history();
                    self.keep_quotas();
                    self.keep_certificates();
                    self.clients.set(self.workers.look_after_clients());
                    self.watch_alerts();
                    succession.mention_life(self.is_well());
                }
                _ = rounds.tick() => {
                    self.vigil.round(Instant::now());
                    self.write_records();
                    self.manager.borrow_mut().watch(self.is_well(), Instant::now());
                    if ending.is_none() && self.state.go_on_resting() {
                        tracing::info!("nobody is left: stopping, as the drain was to end");
                        ending = self.stop(succession, By::Signal, ending);
                    }
                    ending = match ending {
                        None => self.lost_worker().map(|cause| {
                            tracing::error!("{cause}; draining the others, then ending: start ringway anew");
                            self.abandon(succession);
                            succession.ask_for_another();
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

    /// What there is to do once the workers have ended.
    async fn leave(&self, succession: &mut Succession, signals: &mut Signals, sink: &mut Sink) {
        self.pass_on(succession, signals).await;
        succession.finish().await;
        let _ = tokio::time::timeout(ANSWER_PATIENCE, self.ports.stop()).await;
        // What ended last has its line too; the log's queue does not hold them all at once.
        while sink.flush(FLUSH_PATIENCE) && self.write_records() > 0 {}
        self.keep_quotas();
        self.let_history_go().await;
    }

    fn keep_quotas(&self) {
        if self.handed_over.get() {
            return;
        }
        self.quotas.borrow_mut().keep(&self.workers.accounts(), SystemTime::now());
    }

    /// Shows what has been renewed.
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
        self.state.ends.borrow_mut().note(&records, Instant::now());
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

fn listed(addresses: &[SocketAddr]) -> String {
    if addresses.is_empty() {
        return "off".into();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
