//! The least a relay of streams that copies can do, to measure others by: epoll, one buffer, what a read brought in one write. Whoever
//! connects is led to one target, or, of a second argument `socks5`, where it asks to be: by IPv4 address, without a login. There is no limit, no
//! timeout and no account, so it is what SOCKS5 costs at least. Its arguments: its port, and the target's port or `socks5`.

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
const GONE: EventFlags = EventFlags::HUP.union(EventFlags::ERR);
const SAID: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);
/// Without a word about where it comes from.
const SUCCEEDED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const OVER: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let way = |word: String| match &*word {
        "socks5" => Some(Way::Asked),
        port => port.parse().ok().map(|port| Way::To(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))),
    };
    let (Some(Ok(port)), Some(way)) = (words.next().map(|port| port.parse()), words.next().and_then(way))
    else {
        eprintln!("usage: bare_relay PORT TARGET_PORT|socks5");
        return ExitCode::from(2);
    };
    raise_fd_limit();
    match Relay::start(port, way).and_then(|mut relay| relay.run()) {
        Ok(never) => match never {},
        Err(failure) => {
            eprintln!("bare_relay: {failure}");
            ExitCode::from(1)
        }
    }
}

/// Where clients are led.
#[derive(Clone, Copy)]
enum Way {
    To(SocketAddr),
    Asked,
}

struct Relay {
    listener: TcpListener,
    way: Way,
    poller: Poller,
    /// A pair's two sockets are known to the poller as twice its place here, and one more: the client's, and the target's.
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

enum Pair {
    /// Its next message is the greeting, or the request (RFC 1928, sections 3 and 4).
    Asking {
        client: OwnedFd,
        greeted: bool,
    },
    /// Answered once the target's connection stands; `early`: the client has said something meanwhile.
    Dialling {
        client: OwnedFd,
        target: OwnedFd,
        early: bool,
    },
    Relayed([Side; 2]),
}

struct Side {
    socket: OwnedFd,
    /// What it did not take yet. Meanwhile nothing more is read for it.
    unsent: Vec<u8>,
    has_ended: bool,
}

impl Relay {
    fn start(port: u16, way: Way) -> Result<Relay, Failure> {
        let listener = socket::listen_on(port)?;
        listener.set_nonblocking(true)?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, EventFlags::IN)?;
        let (pairs, free, buffer) = (Vec::new(), Vec::new(), vec![0; READ_BYTES]);
        Ok(Relay { listener, way, poller, pairs, free, buffer })
    }

    fn run(&mut self) -> Result<std::convert::Infallible, Failure> {
        let mut ready = Ready::new();
        loop {
            self.poller.wait(A_WHILE, &mut ready)?;
            for (index, events) in &ready {
                if *index == LISTENER {
                    self.accept();
                } else if self.serve(index / 2, index % 2, *events).is_err() {
                    // Who fails has been there until now.
                    self.pairs[index / 2] = None;
                    self.free.push(index / 2);
                }
            }
        }
    }

    /// Takes those that wait, and starts their connections to the target if it is known.
    fn accept(&mut self) {
        for _ in 0..ACCEPTS {
            let Ok(client) = accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) else {
                return;
            };
            let place = self.free.pop().unwrap_or_else(|| {
                self.pairs.push(None);
                self.pairs.len() - 1
            });
            if self.poller.add(&client, 2 * place, INTEREST).is_ok()
                && let Ok(pair) = self.begin(client, place)
            {
                self.pairs[place] = Some(pair);
            } else {
                self.free.push(place);
            }
        }
    }

    fn begin(&self, client: OwnedFd, place: usize) -> Result<Pair, Failure> {
        let Way::To(address) = self.way else { return Ok(Pair::Asking { client, greeted: false }) };
        let target = self.dial(address, place)?;
        Ok(Pair::Relayed([client, target].map(Side::new)))
    }

    fn dial(&self, address: SocketAddr, place: usize) -> Result<OwnedFd, Failure> {
        let target = socket::start_connect_from(Origin::default(), address)?;
        self.poller.add(&target, 2 * place + 1, INTEREST)?;
        Ok(target)
    }

    fn end(&mut self, place: usize) {
        if self.pairs[place].take().is_some() {
            self.free.push(place);
        }
    }

    fn serve(&mut self, place: usize, side: usize, events: EventFlags) -> Result<(), Failure> {
        match self.pairs[place].take() {
            None => Ok(()),
            Some(Pair::Asking { client, greeted }) => self.hear(place, client, greeted, events),
            // A connection that failed, or a client that has gone.
            Some(Pair::Dialling { .. }) if events.intersects(GONE) => {
                self.free.push(place);
                Ok(())
            }
            Some(Pair::Dialling { client, target, early })
                if side == 0 || !events.contains(EventFlags::OUT) =>
            {
                let early = early || events.intersects(SAID);
                self.pairs[place] = Some(Pair::Dialling { client, target, early });
                Ok(())
            }
            Some(Pair::Dialling { client, target, early }) => {
                socket::write_small(&client, &SUCCEEDED)?;
                self.pairs[place] = Some(Pair::Relayed([client, target].map(Side::new)));
                if early {
                    self.relay(place, 0, SAID)?;
                }
                self.relay(place, 1, events)
            }
            Some(relayed) => {
                self.pairs[place] = Some(relayed);
                self.relay(place, side, events)
            }
        }
    }

    /// One message a read: a client that says more before it is answered is not this program's.
    fn hear(
        &mut self,
        place: usize,
        client: OwnedFd,
        greeted: bool,
        events: EventFlags,
    ) -> Result<(), Failure> {
        if !events.intersects(EventFlags::IN | OVER) {
            self.pairs[place] = Some(Pair::Asking { client, greeted });
            return Ok(());
        }
        let heard = match socket::read(&client, &mut self.buffer)? {
            Moved::Bytes(bytes) => &self.buffer[..bytes],
            Moved::End => &[],
            // An event of whoever had this place before.
            Moved::NotNow => {
                self.pairs[place] = Some(Pair::Asking { client, greeted });
                return Ok(());
            }
        };
        let pair = match *heard {
            [5, methods, ref rest @ ..]
                if !greeted && rest.len() == usize::from(methods) && rest.contains(&0) =>
            {
                socket::write_small(&client, &[5, 0])?;
                Some(Pair::Asking { client, greeted: true })
            }
            [5, 1, 0, 1, a, b, c, d, high, low] if greeted => {
                let address = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
                let target = self.dial(address, place)?;
                Some(Pair::Dialling { client, target, early: false })
            }
            _ => None,
        };
        if pair.is_none() {
            self.free.push(place);
        }
        self.pairs[place] = pair;
        Ok(())
    }

    fn relay(&mut self, place: usize, side: usize, events: EventFlags) -> Result<(), Failure> {
        let Some(Pair::Relayed([one, other])) = &mut self.pairs[place] else { return Ok(()) };
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
    fn new(socket: OwnedFd) -> Side {
        Side { socket, unsent: Vec::new(), has_ended: false }
    }

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
