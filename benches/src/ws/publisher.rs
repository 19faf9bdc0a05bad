//! The one that publishes: over a WebSocket, or by an HTTP POST each on one connection kept alive.

use crate::failure::{Failure, Failures};
use crate::poller::{EventFlags, Poller};
use crate::socket::{self, Moved};
use crate::ws::connection::{Connection, INTEREST, Scratch};
use crate::ws::dialect::Answer;
use crate::ws::stamp::{Stamp, Template, blank};
use crate::ws::url::{Scheme, Url};
use crate::ws::{Setting, crowd, frame};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

pub struct Publisher {
    way: Way,
    template: Template,
    /// A burst, stamped.
    burst: Vec<u8>,
}

enum Way {
    WebSocket(Connection),
    Post { socket: OwnedFd, unsent: Vec<u8>, answers: Vec<u8> },
}

impl Publisher {
    /// One that publishes messages of `size` bytes, watched by `poller` under `index`.
    pub fn connect(
        setting: &Setting,
        topic: &str,
        size: usize,
        poller: &Poller,
        index: usize,
    ) -> Result<Publisher, Failure> {
        let url = setting.publish_url.as_ref().unwrap_or(&setting.url);
        let (before, after) = setting.dialect.publication(topic);
        let publication = [before.as_bytes(), &blank(size), after.as_bytes()].concat();
        let mut bytes = Vec::new();
        let (way, template) = match url.scheme {
            Scheme::Ws => {
                let connection = crowd::open_one(setting, url)?;
                poller.add(&connection, index, INTEREST)?;
                let at = frame::push_masked(frame::TEXT, &publication, &mut bytes) + before.len();
                let mut mask = frame::MASK;
                mask.rotate_left(before.len() % 4);
                (Way::WebSocket(connection), Template::new(bytes, at, mask))
            }
            Scheme::Http => {
                let socket = dial(url)?;
                poller.add(&socket, index, INTEREST)?;
                bytes = post_head(setting, url, publication.len());
                let at = bytes.len() + before.len();
                bytes.extend_from_slice(&publication);
                let way = Way::Post { socket, unsent: Vec::new(), answers: Vec::new() };
                (way, Template::new(bytes, at, [0; 4]))
            }
        };
        Ok(Publisher { way, template, burst: Vec::new() })
    }

    /// Publishes `count` messages in one write, numbered from `first` on.
    pub fn publish(&mut self, first: u32, count: u32, time: Duration) -> Result<(), Failure> {
        self.burst.clear();
        for number in first..first + count {
            self.burst.extend_from_slice(self.template.stamp(Stamp { number, time }));
        }
        match &mut self.way {
            Way::WebSocket(connection) => connection.send(&self.burst),
            Way::Post { socket, unsent, .. } => {
                unsent.extend_from_slice(&self.burst);
                send_on(socket, unsent)
            }
        }
    }

    /// Takes the server's answers; those that are errors are counted in `failures`.
    pub fn attend(
        &mut self,
        setting: &Setting,
        events: EventFlags,
        scratch: &mut Scratch,
        failures: &mut Failures,
    ) -> Result<(), Failure> {
        match &mut self.way {
            Way::WebSocket(connection) => connection.attend(events, scratch, |message| {
                if setting.dialect.answer(message) == Answer::Error {
                    failures.count(&crowd::rejected(message));
                }
            }),
            Way::Post { socket, unsent, answers } => {
                send_on(socket, unsent)?;
                take_answers(socket, answers, failures)
            }
        }
    }
}

fn dial(url: &Url) -> Result<OwnedFd, Failure> {
    let socket = TcpStream::connect_timeout(&url.address, PATIENCE)
        .map_err(|error| Failure::Unreachable { address: url.address, error })?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn post_head(setting: &Setting, url: &Url, length: usize) -> Vec<u8> {
    let mut head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n",
        url.path, url.host
    );
    for header in &setting.headers {
        head += header;
        head += "\r\n";
    }
    (head + "\r\n").into_bytes()
}

fn send_on(socket: &OwnedFd, unsent: &mut Vec<u8>) -> Result<(), Failure> {
    while !unsent.is_empty() {
        let Moved::Bytes(sent) = socket::write(socket, unsent)? else { break };
        unsent.drain(..sent);
    }
    Ok(())
}

/// Reads what has come; a status line other than 2xx is a failure. Bodies are not told from heads: they are short texts.
fn take_answers(socket: &OwnedFd, answers: &mut Vec<u8>, failures: &mut Failures) -> Result<(), Failure> {
    let mut input = [0; 16 * 1024];
    loop {
        match socket::read(socket, &mut input)? {
            Moved::Bytes(received) => answers.extend_from_slice(&input[..received]),
            Moved::NotNow => break,
            Moved::End => return Err(Failure::EarlyEof { received: 0, expected: 1 }),
        }
    }
    while let Some(end) = answers.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = answers.drain(..=end).collect();
        if let Some(at) = line.windows(9).position(|nine| nine == b"HTTP/1.1 ")
            && line.get(at + 9) != Some(&b'2')
        {
            failures.count(&crowd::rejected(&line[at..]));
        }
    }
    Ok(())
}
