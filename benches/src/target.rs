//! What the loads reach: a server on loopback, in this process, on one thread of its own.

use crate::failure::Failure;
use crate::poller::{EventFlags, Poller, Ready};
use crate::socket::{self, Moved};
use rustix::net::{SocketFlags, accept_with};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Reads or writes one connection gets before the others have their turn.
pub const TURNS: usize = 4;
/// Connections taken before those that stand have their turn.
const ACCEPTS: usize = 64;
/// The listener's index; connections have lower ones.
const LISTENER: usize = usize::MAX >> 1;
const A_WHILE: Duration = Duration::from_secs(60);

/// What a target does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Sends back what comes.
    Echo,
    /// Sends without end, swallows without end, or both.
    Flow { send: bool, receive: bool },
}

/// A running target. Its thread lives as long as the process.
pub struct Target {
    pub address: SocketAddr,
    /// Bytes swallowed by `Flow`.
    pub received: Arc<AtomicU64>,
}

impl Target {
    /// Starts a target on `port`, or on a free one if that is 0. `size` is the most moved by one system call.
    pub fn start(port: u16, behaviour: Behaviour, size: usize) -> Result<Target, Failure> {
        let listener = socket::listen_on(port)?;
        let setting_up = Failure::own("starting its target");
        let address = listener.local_addr().map_err(&setting_up)?;
        listener.set_nonblocking(true).map_err(&setting_up)?;
        let received = Arc::new(AtomicU64::new(0));
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, EventFlags::IN)?;
        let connections = Vec::new();
        let mut server = Server {
            listener,
            behaviour,
            poller,
            connections,
            free: Vec::new(),
            buffer: vec![0; size],
            received,
        };
        let received = server.received.clone();
        let run = move || server.run();
        thread::Builder::new().name("target".into()).spawn(run).map_err(&setting_up)?;
        Ok(Target { address, received })
    }
}

struct Server {
    listener: TcpListener,
    behaviour: Behaviour,
    poller: Poller,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
    received: Arc<AtomicU64>,
}

struct Connection {
    socket: OwnedFd,
    /// What an echo could not send yet; while there is some, nothing is read.
    backlog: Vec<u8>,
}

impl Server {
    fn run(&mut self) {
        let mut ready = Ready::new();
        // Without its epoll instance the target can only fall silent; the load then reports time-outs.
        while self.poller.wait(A_WHILE, &mut ready).is_ok() {
            for (index, events) in &ready {
                if *index == LISTENER {
                    self.accept();
                } else if !self.serve(*index, *events).unwrap_or(false) {
                    self.connections[*index] = None;
                    self.free.push(*index);
                }
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS {
            let Ok(socket) = accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) else {
                return;
            };
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            if self.poller.add(&socket, index, self.behaviour.interest()).is_ok() {
                self.connections[index] = Some(Connection { socket, backlog: Vec::new() });
            } else {
                self.free.push(index);
            }
        }
    }

    /// Gives one connection its turn. False: it has ended.
    fn serve(&mut self, index: usize, events: EventFlags) -> Result<bool, Failure> {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return Ok(true);
        };
        match self.behaviour {
            Behaviour::Echo => echo(connection, index, &self.poller, &mut self.buffer),
            Behaviour::Flow { .. } => {
                let turn = flow(&connection.socket, events, &mut self.buffer)?;
                self.received.fetch_add(turn.received, Relaxed);
                Ok(turn.open)
            }
        }
    }
}

impl Behaviour {
    /// The events in which such a connection is interested from its beginning.
    #[must_use]
    pub fn interest(self) -> EventFlags {
        match self {
            Behaviour::Echo | Behaviour::Flow { send: false, receive: true } => EventFlags::IN,
            Behaviour::Flow { send: true, receive: true } => EventFlags::IN | EventFlags::OUT,
            Behaviour::Flow { send: true, receive: false } => EventFlags::OUT,
            Behaviour::Flow { send: false, receive: false } => EventFlags::empty(),
        }
    }
}

fn echo(
    connection: &mut Connection,
    index: usize,
    poller: &Poller,
    buffer: &mut [u8],
) -> Result<bool, Failure> {
    if !connection.backlog.is_empty() {
        if let Moved::Bytes(sent) = socket::write(&connection.socket, &connection.backlog)? {
            connection.backlog.drain(..sent);
        }
        if connection.backlog.is_empty() {
            poller.modify(&connection.socket, index, EventFlags::IN)?;
        }
        return Ok(true);
    }
    let received = match socket::read(&connection.socket, buffer)? {
        Moved::Bytes(received) => received,
        Moved::NotNow => return Ok(true),
        Moved::End => return Ok(false),
    };
    let sent = match socket::write(&connection.socket, &buffer[..received])? {
        Moved::Bytes(sent) => sent,
        Moved::NotNow | Moved::End => 0,
    };
    if sent < received {
        connection.backlog.extend_from_slice(&buffer[sent..received]);
        poller.modify(&connection.socket, index, EventFlags::OUT)?;
    }
    Ok(true)
}

/// What one turn of a flowing connection moved.
pub struct Turn {
    pub received: u64,
    /// False: the other side has ended its stream.
    pub open: bool,
}

/// One turn of a connection that sends, swallows or both, as far as `events` allow.
pub fn flow(socket: &OwnedFd, events: EventFlags, buffer: &mut [u8]) -> Result<Turn, Failure> {
    let mut turn = Turn { received: 0, open: true };
    if events.intersects(EventFlags::OUT) {
        for _ in 0..TURNS {
            if socket::write(socket, buffer)? == Moved::NotNow {
                break;
            }
        }
    }
    if events.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
        for _ in 0..TURNS {
            match socket::discard(socket, buffer)? {
                Moved::Bytes(received) => turn.received += received as u64,
                Moved::NotNow => break,
                Moved::End => {
                    turn.open = false;
                    break;
                }
            }
        }
    }
    Ok(turn)
}
