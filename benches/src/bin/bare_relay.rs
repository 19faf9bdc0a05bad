//! The least a relay of streams that copies can do, to measure others by: epoll, one buffer, what a read brought in one write. Whoever
//! connects is led to one target; there is no handshake, no limit and no timeout. Its arguments: its port, and the target's.

use ringway_benches::failure::Failure;
use ringway_benches::poller::{EventFlags, Poller, Ready};
use ringway_benches::socket::{self, Moved, Origin, raise_fd_limit};
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

const READ_BYTES: usize = 64 * 1024;
const ACCEPTS: usize = 64;
const LISTENER: usize = usize::MAX >> 1;
const A_WHILE: Duration = Duration::from_secs(60);
const INTEREST: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);
const OVER: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

fn main() -> ExitCode {
    let mut ports = std::env::args().skip(1).map(|port| port.parse());
    let (Some(Ok(port)), Some(Ok(target))) = (ports.next(), ports.next()) else {
        eprintln!("usage: bare_relay PORT TARGET_PORT");
        return ExitCode::from(2);
    };
    raise_fd_limit();
    match Relay::start(port, target).and_then(|mut relay| relay.run()) {
        Ok(never) => match never {},
        Err(failure) => {
            eprintln!("bare_relay: {failure}");
            ExitCode::from(1)
        }
    }
}

struct Relay {
    listener: TcpListener,
    target: SocketAddr,
    poller: Poller,
    /// A pair's two sockets are known to the poller as twice its place here, and one more.
    pairs: Vec<Option<[Side; 2]>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

struct Side {
    socket: OwnedFd,
    /// What it did not take yet. Meanwhile nothing more is read for it.
    unsent: Vec<u8>,
    has_ended: bool,
}

impl Relay {
    fn start(port: u16, target: u16) -> Result<Relay, Failure> {
        let listener = socket::listen_on(port)?;
        listener.set_nonblocking(true)?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, EventFlags::IN)?;
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
        let (pairs, free, buffer) = (Vec::new(), Vec::new(), vec![0; READ_BYTES]);
        Ok(Relay { listener, target, poller, pairs, free, buffer })
    }

    fn run(&mut self) -> Result<std::convert::Infallible, Failure> {
        let mut ready = Ready::new();
        loop {
            self.poller.wait(A_WHILE, &mut ready)?;
            for (index, events) in &ready {
                if *index == LISTENER {
                    self.accept();
                } else if self.serve(index / 2, index % 2, *events).is_err() {
                    self.end(index / 2);
                }
            }
        }
    }

    /// Takes those that wait, and starts their connections to the target.
    fn accept(&mut self) {
        for _ in 0..ACCEPTS {
            let Ok(client) = accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) else {
                return;
            };
            let Ok(target) = socket::start_connect_from(Origin::default(), self.target) else { continue };
            let place = self.free.pop().unwrap_or_else(|| {
                self.pairs.push(None);
                self.pairs.len() - 1
            });
            let watched = [&client, &target].into_iter().zip([2 * place, 2 * place + 1]);
            if watched
                .map(|(socket, index)| self.poller.add(socket, index, INTEREST))
                .all(|added| added.is_ok())
            {
                let side = |socket| Side { socket, unsent: Vec::new(), has_ended: false };
                self.pairs[place] = Some([side(client), side(target)]);
            } else {
                self.free.push(place);
            }
        }
    }

    fn end(&mut self, place: usize) {
        if self.pairs[place].take().is_some() {
            self.free.push(place);
        }
    }

    fn serve(&mut self, place: usize, side: usize, events: EventFlags) -> Result<(), Failure> {
        let Some(pair) = &mut self.pairs[place] else { return Ok(()) };
        let [one, other] = pair;
        let (this, that) = if side == 0 { (one, other) } else { (other, one) };
        if events.contains(EventFlags::OUT) && !this.unsent.is_empty() {
            let unsent = std::mem::take(&mut this.unsent);
            this.write(&unsent)?;
            carry(that, this, &mut self.buffer, true)?;
        }
        if events.intersects(EventFlags::IN | OVER) {
            carry(this, that, &mut self.buffer, events.intersects(OVER))?;
        }
        if this.has_ended && that.has_ended && this.unsent.is_empty() && that.unsent.is_empty() {
            self.end(place);
        }
        Ok(())
    }
}

impl Side {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = match socket::write(&self.socket, bytes)? {
            Moved::Bytes(sent) => sent,
            Moved::NotNow | Moved::End => 0,
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }
}

/// Moves what `from` has to `to`, until there is no more or no room. A read that brought less than was asked for emptied the socket
/// (epoll(7)), but for the end of the stream: look again if that may have come with the same event.
fn carry(from: &mut Side, to: &mut Side, buffer: &mut [u8], to_the_end: bool) -> Result<(), Failure> {
    while to.unsent.is_empty() && !from.has_ended {
        match socket::read(&from.socket, buffer)? {
            Moved::NotNow => break,
            Moved::End => {
                from.has_ended = true;
                shutdown(&to.socket, Shutdown::Write).map_err(std::io::Error::from)?;
            }
            Moved::Bytes(bytes) => {
                to.write(&buffer[..bytes])?;
                if bytes < buffer.len() && !to_the_end {
                    break;
                }
            }
        }
    }
    Ok(())
}
