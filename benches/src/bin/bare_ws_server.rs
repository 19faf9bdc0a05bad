//! The least a WebSocket server can do, to measure others by: epoll, one buffer, all frames that a read brought answered
//! in one write. `/echo` sends back what comes; on any other path each message goes to everybody there. It knows one
//! handshake key (that of ws_load), whole frames and nothing of RFC 6455 besides. Listens on its only argument, a port.

use ringway_benches::failure::Failure;
use ringway_benches::poller::{EventFlags, Poller, Ready};
use ringway_benches::socket::{self, Moved, raise_fd_limit};
use ringway_benches::ws::frame::{self, Header};
use ringway_benches::ws::upgrade::ACCEPT;
use rustix::net::{SocketFlags, accept_with};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

const READ_BYTES: usize = 64 * 1024;
/// A connection that leaves more unread is dropped.
const UNSENT_BYTES_MAX: usize = 16 << 20;
const ACCEPTS: usize = 64;
const LISTENER: usize = usize::MAX >> 1;
const A_WHILE: Duration = Duration::from_secs(60);
const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::OUT).union(EventFlags::ET);

fn main() -> ExitCode {
    let Some(Ok(port)) = std::env::args().nth(1).map(|port| port.parse()) else {
        eprintln!("usage: bare_ws_server PORT");
        return ExitCode::from(2);
    };
    raise_fd_limit();
    match Server::start(port).and_then(|mut server| server.run()) {
        Ok(never) => match never {},
        Err(failure) => {
            eprintln!("bare_ws_server: {failure}");
            ExitCode::from(1)
        }
    }
}

struct Server {
    listener: TcpListener,
    poller: Poller,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// The indices of those that are sent every message.
    crowd: Vec<usize>,
    buffer: Vec<u8>,
    /// The answers to one read.
    out: Vec<u8>,
}

struct Connection {
    socket: OwnedFd,
    kind: Kind,
    /// An incomplete head or frame.
    tail: Vec<u8>,
    unsent: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    New,
    Echo,
    Broadcast,
}

impl Server {
    fn start(port: u16) -> Result<Server, Failure> {
        let listener = socket::listen_on(port)?;
        listener.set_nonblocking(true)?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, EventFlags::IN)?;
        let (connections, free, crowd) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Server {
            listener,
            poller,
            connections,
            free,
            crowd,
            buffer: vec![0; READ_BYTES],
            out: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<std::convert::Infallible, Failure> {
        let mut ready = Ready::new();
        loop {
            self.poller.wait(A_WHILE, &mut ready)?;
            for (index, _) in &ready {
                if *index == LISTENER {
                    self.accept();
                } else if self.serve(*index).is_err() {
                    self.end(*index);
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
            if self.poller.add(&socket, index, INTEREST).is_ok() {
                let (tail, unsent) = (Vec::new(), Vec::new());
                self.connections[index] = Some(Connection { socket, kind: Kind::New, tail, unsent });
            } else {
                self.free.push(index);
            }
        }
    }

    fn end(&mut self, index: usize) {
        self.connections[index] = None;
        self.free.push(index);
        self.crowd.retain(|of| *of != index);
    }

    fn serve(&mut self, index: usize) -> Result<(), Failure> {
        if let Some(connection) = &mut self.connections[index] {
            connection.send(&[])?;
        }
        while self.read(index)? {}
        Ok(())
    }

    /// One read and its answers. True: there may be more to read.
    fn read(&mut self, index: usize) -> Result<bool, Failure> {
        let Some(connection) = &mut self.connections[index] else { return Ok(false) };
        let held = connection.tail.len();
        self.buffer.resize(READ_BYTES.max(2 * held), 0);
        self.buffer[..held].copy_from_slice(&connection.tail);
        let room = self.buffer.len() - held;
        let received = match socket::read(&connection.socket, &mut self.buffer[held..])? {
            Moved::Bytes(received) => received,
            Moved::NotNow => return Ok(false),
            Moved::End => return Err(Failure::EarlyEof { received: 0, expected: 1 }),
        };
        let bytes = &mut self.buffer[..held + received];
        self.out.clear();
        let is_new = connection.kind == Kind::New;
        let used = match connection.kind {
            Kind::New => greet(bytes, &mut self.out).map_or(0, |(used, kind)| {
                connection.kind = kind;
                used
            }),
            Kind::Echo | Kind::Broadcast => take_frames(bytes, &mut self.out)?,
        };
        connection.tail.clear();
        connection.tail.extend_from_slice(&bytes[used..]);
        let is_of_crowd = connection.kind == Kind::Broadcast;
        if is_of_crowd && !is_new {
            self.broadcast();
        } else {
            connection.send(&self.out)?;
            if is_of_crowd {
                self.crowd.push(index);
            }
        }
        Ok(received == room)
    }

    fn broadcast(&mut self) {
        let mut ended = Vec::new();
        for index in &self.crowd {
            if let Some(connection) = &mut self.connections[*index]
                && connection.send(&self.out).is_err()
            {
                ended.push(*index);
            }
        }
        ended.into_iter().for_each(|index| self.end(index));
    }
}

impl Connection {
    fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.unsent.is_empty() {
            if !bytes.is_empty() {
                let sent = moved(socket::write(&self.socket, bytes)?);
                self.unsent.extend_from_slice(&bytes[sent..]);
            }
            return Ok(());
        }
        self.unsent.extend_from_slice(bytes);
        let sent = moved(socket::write(&self.socket, &self.unsent)?);
        self.unsent.drain(..sent);
        if self.unsent.len() > UNSENT_BYTES_MAX { Err(Failure::TimedOut) } else { Ok(()) }
    }
}

fn moved(moved: Moved) -> usize {
    if let Moved::Bytes(bytes) = moved { bytes } else { 0 }
}

/// The answer to a whole request head: what it took, and what the connection is from now on.
fn greet(bytes: &[u8], out: &mut Vec<u8>) -> Option<(usize, Kind)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    out.extend_from_slice(format!("Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n").as_bytes());
    let kind = if bytes.starts_with(b"GET /echo") { Kind::Echo } else { Kind::Broadcast };
    Some((end + 4, kind))
}

/// Unmasks the whole frames in `bytes` and puts them, as a server's, into `out`. Gives how many bytes they were.
fn take_frames(bytes: &mut [u8], out: &mut Vec<u8>) -> Result<usize, Failure> {
    let mut at = 0;
    while let Some(header) = Header::parse(&bytes[at..])? {
        let Some(payload) = bytes.get_mut(at + header.payload_at..at + header.end()) else { break };
        at += header.end();
        let mask = header.mask.ok_or(Failure::Protocol("a client's frame is not masked"))?;
        unmask(payload, mask);
        match header.opcode {
            frame::TEXT | frame::BINARY => frame::push_unmasked(header.opcode, payload, out),
            frame::PING => frame::push_unmasked(frame::PONG, payload, out),
            frame::CLOSE => return Err(Failure::Closed(frame::close_code(payload))),
            _ => {}
        }
    }
    Ok(at)
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (eights, rest) = payload.as_chunks_mut::<8>();
    for eight in eights {
        *eight = (u64::from_ne_bytes(*eight) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}
