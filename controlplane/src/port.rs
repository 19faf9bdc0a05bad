//! What the control port is given: the workers, the metrics and the facts it answers with.

use crate::alerts::Alerts;
use crate::audit::Journal;
use crate::certificates::{self, CertificateFacts};
use crate::export::carried::Carried;
use crate::export::{self, BuildFacts, Exporter, Format};
use crate::guard;
use crate::history::History;
use crate::http_facts::HttpFacts;
use crate::jwks::Fetches;
use crate::logs::Recent;
use crate::observe::{Observer, Snapshot, UserRow};
use crate::running::Running;
use crate::server::{Desk, Facts, Meter, Staff, State};
use crate::system;
use ringway_dataplane::{ClientFacts, Workers};
use ringway_shared::config::Config;
use ringway_shared::metrics::Cells;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const BUILD: BuildFacts = BuildFacts { version: env!("CARGO_PKG_VERSION"), commit: env!("RINGWAY_COMMIT") };

/// What others in the control plane count.
pub struct Tallies {
    pub log_lines_dropped: Arc<AtomicU64>,
    pub log_recent: Recent,
    pub quota_save_failures: Rc<Cell<u64>>,
    pub clients: Rc<Cell<ClientFacts>>,
    pub key_fetches: Rc<Fetches>,
    pub certificates: Rc<Cell<CertificateFacts>>,
    pub alerts: Rc<Alerts>,
    /// What the processes before this one have counted.
    pub carried: Rc<RefCell<Carried>>,
    /// None if it is off.
    pub history: Option<Rc<History>>,
}

/// What the operator should know of a configuration.
pub fn notices(config: &Config) -> Vec<String> {
    certificates::notices(config).into_iter().chain(guard::notices(&config.control)).collect()
}

/// The control port's state for this process.
pub fn state(
    running: Rc<Running>,
    workers: &Rc<Workers>,
    observer: Observer,
    tallies: Tallies,
    journal: Rc<Journal>,
) -> State {
    let config = running.config();
    let facts = Facts {
        version: BUILD.version,
        notices: workers.notices().to_vec(),
        recent: tallies.log_recent.clone(),
    };
    let (asking, telling) = (workers.clone(), workers.clone());
    let (pushing, homing, inspecting) = (workers.clone(), workers.clone(), workers.clone());
    let (welcoming, board) = (workers.clone(), workers.board().clone());
    let clients = tallies.clients.clone();
    let staff = Staff {
        count: config.workers.count,
        state: Box::new(move |worker| asking.state(worker)),
        tell: Box::new(move |worker, command| telling.tell(worker, command)),
        push: Box::new(move |worker, ask, reply| pushing.push(worker, ask, reply).is_ok()),
        inspect: Box::new(move |worker, ask, reply| inspecting.inspect(worker, ask, reply).is_ok()),
        welcome: Box::new(move |worker, arrival| welcoming.welcome(worker, arrival)),
        latest: Box::new(move |feed| board.latest(feed)),
        home_of: Box::new(move |topic| homing.home_of(topic)),
        online_users: Box::new(move || clients.get().online_users),
    };
    let desk = Desk::new(node_name(workers));
    let (alerts, history) = (tallies.alerts.clone(), tallies.history.clone());
    let meter = meter(tallies, workers.clone(), running.clone());
    let mut state = State::new(facts, running, staff, meter, desk, observer, journal);
    state.alerts = alerts;
    history.into_iter().for_each(|history| state.remember(history));
    state
}

/// `host_port`, as Centrifugo names its nodes.
fn node_name(workers: &Workers) -> String {
    let port = workers.websocket_addresses().first().map_or(0, |address| address.port());
    format!("{}_{port}", system::host_name())
}

fn meter(tallies: Tallies, workers: Rc<Workers>, running: Rc<Running>) -> Meter {
    let http = Rc::new(HttpFacts::default());
    let (beginning, ending, refusing) = (http.clone(), http.clone(), http.clone());
    let exporter = RefCell::new(Exporter::new(BUILD));
    let render = move |snapshot: &Snapshot, cells: &[Arc<Cells>], config_generation: u64, format: Format| {
        let facts = export::Facts {
            snapshot,
            cells,
            users: workers.accounts().iter().map(UserRow::of).collect(),
            upstreams: workers.upstreams(),
            clients: tallies.clients.get(),
            key_fetches: [tallies.key_fetches.succeeded.get(), tallies.key_fetches.failed.get()],
            http: &http,
            log_lines_dropped: tallies.log_lines_dropped.load(Relaxed),
            certificates: tallies.certificates.get(),
            alerts: tallies.alerts.facts(),
            quota_save_failures: tallies.quota_save_failures.get(),
            history: tallies.history.as_ref().map(|history| history.facts()),
            config_generation,
            reloads: running.reloads.get(),
        };
        let page = exporter.borrow_mut().render(&facts, format);
        tallies.carried.borrow().on(page)
    };
    Meter {
        render: Box::new(render),
        begin: Box::new(move || beginning.begin()),
        end: Box::new(move |method, path, status, took| ending.end(method, path, status, took)),
        refuse: Box::new(move |failure| refusing.refuse(failure)),
    }
}
