//! Many connections, opened a batch at a time: each step of a batch is asked of all before it is awaited of any.

use crate::failure::{Failure, Failures};
use crate::socket::{self, Moved, Origin, raise_fd_limit};
use crate::ws::connection::{Connection, Scratch};
use crate::ws::dialect::Answer;
use crate::ws::url::Url;
use crate::ws::{Setting, frame, upgrade};
use rustix::event::PollFlags;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Fewer than any server's accept queue.
const BATCH: usize = 100;
/// For each step of a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Descriptors of ours besides the connections.
const SPARE_FDS: u64 = 64;

/// What to open.
#[derive(Clone, Copy, Default)]
pub struct Wish<'a> {
    pub connections: usize,
    /// Subscribe each to this, in the setting's dialect.
    pub topic: Option<&'a str>,
    pub receive_buffer: Option<usize>,
}

/// Opens all, or as many as can be: who failed is counted in `failures`.
pub fn open(setting: &Setting, wish: Wish<'_>, failures: &mut Failures) -> Result<Vec<Connection>, Failure> {
    let limit = raise_fd_limit();
    if wish.connections as u64 + SPARE_FDS > limit {
        let text =
            format!("{} connections need as many open files; the hard limit is {limit}", wish.connections);
        return Err(Failure::own("opening connections")(io::Error::other(text)));
    }
    let mut connections = Vec::with_capacity(wish.connections);
    while connections.len() < wish.connections {
        let first = connections.len();
        let count = BATCH.min(wish.connections - first);
        let mut failed = 0;
        for opened in open_batch(setting, wish, first..first + count) {
            match opened {
                Ok(connection) => {
                    if !setting.kernel_acks {
                        socket::acknowledge_promptly(&connection)?;
                    }
                    connections.push(connection);
                }
                Err(failure) => {
                    failures.count(&failure);
                    failed += 1;
                }
            }
        }
        if failed > 0 {
            break;
        }
    }
    Ok(connections)
}

/// One connection, upgraded.
pub fn open_one(setting: &Setting, url: &Url) -> Result<Connection, Failure> {
    let socket = socket::start_connect_from(Origin::default(), url.address)?;
    ask(&socket, url, &upgrade::request(setting, url))?;
    answered(socket)
}

fn open_batch(
    setting: &Setting,
    wish: Wish<'_>,
    numbers: std::ops::Range<usize>,
) -> Vec<Result<Connection, Failure>> {
    let url = &setting.url;
    let request = upgrade::request(setting, url);
    let dial = |number: usize| {
        let origin = Origin { source: source(setting, number), receive_buffer: wish.receive_buffer };
        socket::start_connect_from(origin, url.address)
    };
    let dialled: Vec<_> = numbers.map(dial).collect();
    let ask = |socket: Result<OwnedFd, Failure>| {
        socket.and_then(|socket| ask(&socket, url, &request).map(|()| socket))
    };
    let asked: Vec<_> = dialled.into_iter().map(ask).collect();
    let subscribe = |socket: Result<OwnedFd, Failure>| {
        let mut connection = answered(socket?)?;
        if let Some(request) = wish.topic.and_then(|topic| setting.dialect.subscribe(topic)) {
            let mut bytes = Vec::new();
            frame::push_masked(frame::TEXT, request.as_bytes(), &mut bytes);
            connection.send(&bytes)?;
        }
        Ok(connection)
    };
    let mut upgraded: Vec<_> = asked.into_iter().map(subscribe).collect();
    if wish.topic.is_some_and(|topic| setting.dialect.subscribe(topic).is_some()) {
        let mut scratch = Scratch::default();
        for slot in &mut upgraded {
            if let Ok(connection) = slot
                && let Err(failure) = await_subscribed(connection, setting, &mut scratch)
            {
                *slot = Err(failure);
            }
        }
    }
    upgraded
}

/// The address that a connection comes from: the first is the kernel's choice.
#[must_use]
pub fn source(setting: &Setting, number: usize) -> Option<Ipv4Addr> {
    match number % usize::from(setting.sources.max(1)) {
        0 => None,
        other => Some(Ipv4Addr::new(127, 0, 0, 1 + other as u8)),
    }
}

fn ask(socket: &OwnedFd, url: &Url, request: &[u8]) -> Result<(), Failure> {
    socket::await_ready(socket, PollFlags::OUT, PATIENCE)?;
    socket::write_small(socket, request).map_err(|failure| match failure {
        Failure::Io(error) => Failure::Unreachable { address: url.address, error },
        other => other,
    })
}

fn answered(socket: OwnedFd) -> Result<Connection, Failure> {
    let mut input = [0; upgrade::HEAD_BYTES_MAX + 1];
    let mut held = 0;
    loop {
        socket::await_ready(&socket, PollFlags::IN, PATIENCE)?;
        match socket::read(&socket, &mut input[held..])? {
            Moved::Bytes(received) => held += received,
            Moved::NotNow => continue,
            Moved::End => return Err(Failure::EarlyEof { received: held as u64, expected: held as u64 + 1 }),
        }
        if let Some(head) = upgrade::receive(&input[..held])? {
            return Ok(Connection::new(socket, input[head..held].to_vec()));
        }
    }
}

fn await_subscribed(
    connection: &mut Connection,
    setting: &Setting,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut result = None;
    while result.is_none() {
        let patience = deadline.saturating_duration_since(Instant::now());
        socket::await_ready(&*connection, PollFlags::IN, patience)?;
        connection.receive(scratch, |message| match setting.dialect.answer(message) {
            Answer::Subscribed => result = Some(Ok(())),
            Answer::Error => result = Some(Err(rejected(message))),
            Answer::Other => {}
        })?;
    }
    result.unwrap_or(Ok(()))
}

/// The server's own words as a failure.
#[must_use]
pub fn rejected(message: &[u8]) -> Failure {
    Failure::Rejected(String::from_utf8_lossy(&message[..message.len().min(200)]).into_owned())
}
