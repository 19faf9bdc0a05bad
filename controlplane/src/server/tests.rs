//! The control port over real loopback sockets, with workers that are but cells.

mod dashboard;
mod limits;
mod pages;
mod ports;
mod push;

use super::{Desk, Facts, Meter, Ports, Prepared, Staff, State};
use crate::audit::Journal;
use crate::export::Format;
use crate::history::History;
use crate::logs::{Recent, Sink};
use crate::observe::{Observer, Subject};
use crate::running::Running;
use crate::settings::Texts;
use ringway_dataplane::WorkerState;
use ringway_shared::config::{Config, HostFacts, Sources, load};
use ringway_shared::connection::Connection;
use ringway_shared::flight::What;
use ringway_shared::gateway::{Dropped, Frame};
use ringway_shared::metrics::Cells;
use ringway_shared::push::{Answer, Ask};
use ringway_shared::reason::Reason;
use serde_json::Value as Json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Nothing here may take longer; it is waited for, never slept away.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two workers as a test wants them.
#[derive(Clone)]
struct Fake {
    draining: bool,
    test_endpoints: bool,
    connections_max: usize,
    /// Worker 1's.
    state: WorkerState,
    /// Worker 1's last heartbeat, ten seconds after the epoch being now.
    heartbeat_ms: u64,
    inboxes_full: bool,
    /// More of the configuration, as `--set` has it.
    sets: &'static [&'static str],
    /// What worker `i` does with a question.
    hub: fn(usize, Ask) -> Told,
}

/// What a worker does with a question.
enum Told {
    Answers(Answer),
    /// Keeps it, and never answers.
    Keeps,
    /// Ends with it.
    Loses,
    /// Its inbox is full.
    Refuses,
}

impl Default for Fake {
    fn default() -> Self {
        Fake {
            draining: false,
            test_endpoints: false,
            connections_max: 64,
            state: WorkerState::Running,
            heartbeat_ms: IN_AN_HOUR,
            inboxes_full: false,
            sets: &[],
            hub: |_, _| Told::Loses,
        }
    }
}

/// A heartbeat that stays young.
const IN_AN_HOUR: u64 = 3_600_000;

type Ended = (&'static str, &'static str, u16);

/// A control port on a thread of its own.
struct Port {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    begun: Receiver<()>,
    ended: Receiver<Ended>,
    told: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Port {
    fn open(fake: Fake) -> Port {
        let (stop, mut stopped) = watch::channel(false);
        let (tell_address, address) = channel();
        let (tell_begun, begun) = channel();
        let (tell_ended, ended) = channel();
        let (tell_told, told) = channel();
        let life = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async {
                let state = Rc::new(state(fake, tell_begun, tell_ended, tell_told));
                let prepared = Prepared::open(&state.running.config().control, &mut Vec::new()).unwrap();
                tell_address.send(prepared.addresses().http[0]).unwrap();
                let ports = Ports::of(state, prepared);
                ports.open();
                let _ = stopped.wait_for(|stop| *stop).await;
                ports.stop().await;
            });
        };
        let thread = Some(std::thread::spawn(life));
        let address = address.recv_timeout(PATIENCE).unwrap();
        Port { address, stop, begun, ended, told, thread }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends `raw` on a connection of its own and reads all that comes.
    fn say(&self, raw: &str) -> Reply {
        let mut stream = self.connect();
        stream.write_all(raw.as_bytes()).unwrap();
        Reply::read(&mut stream)
    }

    fn ask(&self, method: &str, target: &str, headers: &str) -> Reply {
        self.say(&format!(
            "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{headers}\r\n"
        ))
    }

    fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, "")
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the control thread panicked");
    }
}

/// An answer as it came over the wire.
struct Reply {
    status: u16,
    head: String,
    body: String,
    /// Of the body as it came, which may be no text.
    body_bytes: usize,
}

impl Reply {
    /// Reads until the other side closes (or resets).
    fn read(stream: &mut TcpStream) -> Reply {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..length]);
        }
        Self::parse(&bytes)
    }

    /// Reads one answer of a connection that stays open.
    fn read_one(stream: &mut TcpStream) -> Reply {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let length = stream.read(&mut chunk).unwrap();
            assert!(length > 0, "closed too early: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&chunk[..length]);
            let reply = Self::parse(&bytes);
            if reply.header("content-length") == Some(&reply.body.len().to_string()) {
                return reply;
            }
        }
    }

    fn parse(bytes: &[u8]) -> Reply {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let head_bytes = bytes.windows(4).position(|end| end == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let body_bytes = bytes.len() - head_bytes;
        Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned(), body_bytes }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// A configuration of these overrides.
pub(super) fn config(sets: &[&str]) -> Arc<Config> {
    let nobody = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let sets = sets.iter().map(|set| (*set).to_owned()).collect();
    let host = HostFacts { cpus_allowed: vec![0, 1] };
    let sources = Sources {
        file: None,
        env: Vec::new(),
        sets,
        overrides: Vec::new(),
        held: Vec::new(),
        host,
        read_file: &nobody,
    };
    Arc::new(load(&sources).unwrap().config)
}

fn state(fake: Fake, begun: Sender<()>, ended: Sender<Ended>, told: Sender<String>) -> State {
    let nobody = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let mut sets = vec![
        "control.listen=[127.0.0.1:0]".to_owned(),
        format!("control.test_endpoints={}", fake.test_endpoints),
        format!("control.connections_max={}", fake.connections_max),
    ];
    sets.extend(fake.sets.iter().map(|set| (*set).to_owned()));
    let sources = Sources {
        file: None,
        env: Vec::new(),
        sets,
        overrides: Vec::new(),
        held: Vec::new(),
        host: HostFacts { cpus_allowed: vec![0, 1] },
        read_file: &nobody,
    };
    let running = Rc::new(Running::new(load(&sources).unwrap(), Texts::default()));
    let journal = Rc::new(Journal::open(&running.config().log, &Sink::new().queue()).unwrap());
    let facts = Facts {
        version: "1.2.3",
        notices: vec!["epoll, because io_uring is refused".to_owned()],
        recent: Recent::default(),
    };
    let subject = Subject {
        cells: vec![Arc::new(cells(IN_AN_HOUR)), Arc::new(cells(fake.heartbeat_ms))],
        epoch: Instant::now() - Duration::from_secs(10),
    };
    let second = fake.state.clone();
    let staff = Staff {
        count: 2,
        state: Box::new(move |index| [&WorkerState::Running, &second][index].clone()),
        tell: Box::new(move |worker, command| {
            told.send(format!("{worker}: {command:?}")).unwrap();
            !fake.inboxes_full
        }),
        push: Box::new(move |worker, ask, reply| {
            match (fake.hub)(worker, ask) {
                Told::Answers(answer) => drop(std::thread::spawn(move || reply(answer))),
                Told::Keeps => std::mem::forget(reply),
                Told::Loses => {}
                Told::Refuses => return false,
            }
            true
        }),
        inspect: Box::new(|_, _, _| false),
        welcome: Box::new(|_, arrival| Err(arrival)),
        latest: Box::new(|_| None),
        home_of: Box::new(|topic| topic.len() % 2),
        online_users: Box::new(|| 3),
    };
    let desk = Desk::new("host_8765".to_owned());
    let state = State::new(facts, running, staff, meter(begun, ended), desk, Observer::new(subject), journal);
    state.draining.set(fake.draining);
    let history = History::begin(&state.running.config().history, Vec::new).unwrap();
    state.remember(Rc::new(history));
    state
}

/// One connection open, one finished after two milliseconds.
fn cells(heartbeat_ms: u64) -> Cells {
    let cells = Cells::default();
    cells.heartbeat_ms.set(heartbeat_ms);
    cells.opened.add(2);
    cells.clients_now.add(1);
    cells.closed.of(Reason::Finished).add(1);
    cells.sent_bytes.add(100);
    cells.inbox_messages.add(3);
    cells.session.record(2_000);
    cells.flight.note(1_000, None, What::Began);
    cells.flight.note(2_000, Some(Connection::socks5(7)), What::Closed(Reason::Finished));
    let websocket = &cells.websocket;
    websocket.sockets_now.add(2);
    websocket.upgraded.add(3);
    websocket.upgraded_closed.add(1);
    websocket.received[Frame::Text as usize].add(2);
    websocket.received[Frame::Binary as usize].add(1);
    websocket.received[Frame::Ping as usize].add(1);
    websocket.dropped[Dropped::DropOldest as usize].add(1);
    websocket.queued_messages.add(7);
    cells
}

fn meter(begun: Sender<()>, ended: Sender<Ended>) -> Meter {
    let written = std::cell::Cell::new(0);
    Meter {
        render: Box::new(move |snapshot, cells, _, format| {
            written.set(written.get() + 1);
            let end = if format == Format::OpenMetrics { "# EOF\n" } else { "" };
            let (opened, workers, written) = (snapshot.opened, cells.len(), written.get());
            format!("opened_total {opened}\nworkers {workers}\nwritten {written}\n{end}")
        }),
        // The test may have gone before the last connection has.
        begin: Box::new(move || {
            let _ = begun.send(());
        }),
        end: Box::new(move |method, path, status, _| {
            let _ = ended.send((method, path, status));
        }),
        refuse: Box::new(|_| {}),
    }
}
