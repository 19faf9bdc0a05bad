//! The server's side of a proxy handshake, in the protocol that the client's first byte tells.
//!
//! A [`Handshake`] runs from the first byte to the last answer. It asks its owner two questions, as events:
//! is this password right ([`Event::Authenticate`], answered by `verdict`), and what became of this request
//! ([`Event::Request`], answered by `answer`). Whatever the client sends behind its request is payload and is
//! kept, up to the room there is, for `take_payload`.
//!
//! What the protocols share is here: bytes not yet understood, whose turn it is, the answers due. How each
//! message and each answer is laid out is in a module for each protocol.

pub use super::credentials::Credentials;
use super::credentials::wipe;
pub use super::http_connect::HEAD_BYTES_MAX;
use super::reader::{Message, Reader};
pub use super::request::Request;
use super::{http_connect, socks4, socks5};
use ringway_shared::config::{Commands, Protocols};
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Protocol};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Bytes a SOCKS handshake may hold unread.
pub const INPUT_MAX: usize = 1024;
const _: () = assert!(
    INPUT_MAX > socks5::LENGTH_MAX && INPUT_MAX > socks4::LENGTH_MAX,
    "a message that is not whole must leave room for its rest"
);
const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize, "`seen` counts them");
// 10,000 silent clients are cheap.
const _: () = assert!(size_of::<Handshake>() < 96);

/// What stands for a bound address where there is none to tell.
pub const UNBOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What this listener demands of a client, and what it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    pub auth: Auth,
    pub protocols: Protocols,
    pub commands: Commands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    None,
    /// A name and a password: RFC 1929, or HTTP's Basic (RFC 7617). SOCKS4 has no such thing and is refused.
    Password,
}

/// What `poll` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Call `verdict` with the answer.
    Authenticate(Credentials),
    /// Call `answer` with the answer; for a BIND that listens, once more when its peer is known.
    Request(Request),
    /// Send what `take_output` gives, then close. Nothing comes after this.
    Failed(Reason),
}

/// The owner's answer to [`Event::Authenticate`]; `Err(AuthFailed)` if the password is wrong.
pub type Verdict = Result<(), Reason>;

/// The owner's answer to [`Event::Request`]. `Ok`: the address of the socket that serves it; of a BIND's second
/// answer, the peer's.
pub type Outcome = Result<SocketAddr, Reason>;

/// Whose turn it is; the owner's deadlines follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaiting {
    /// The client's first byte; in SOCKS5 its whole method selection message.
    Greeting,
    /// The client's name and password.
    Authentication,
    /// The client's request.
    Request,
    /// The owner's call of `verdict`.
    Verdict,
    /// The owner's call of `answer`.
    Answer,
    /// The owner's second call of `answer`: a BIND waits for its peer.
    Peer,
    /// Nobody: answered or failed.
    Nothing,
}

/// One client's handshake, as the server sees it.
///
/// From the network: [`receive`](Self::receive), at most [`room`](Self::room) bytes. To the owner:
/// [`poll`](Self::poll) until it is `None`. To the network: [`take_output`](Self::take_output), after
/// every poll, verdict or answer. From the owner: [`verdict`](Self::verdict) and [`answer`](Self::answer);
/// called out of turn they do nothing.
///
/// Any chunking of the same bytes gives the same events and the same output. A silent client costs no heap.
pub struct Handshake {
    /// Bytes not yet understood, then payload.
    input: Vec<u8>,
    output: Vec<u8>,
    /// A request that waits for the verdict on the credentials it came with (HTTP).
    request: Option<Box<Request>>,
    demands: Demands,
    protocol: Option<Protocol>,
    state: State,
    /// Why it failed, until `poll` has told it.
    failure: Option<Reason>,
    replied: Option<u16>,
    /// How much of the input a reader has seen and found too little.
    seen: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No byte has told the protocol.
    Undecided,
    Greeting,
    Authentication,
    Verdict,
    Request,
    Answer(Command),
    /// A BIND has its first answer.
    Peer,
    /// Answered with success: what the client sends is payload.
    Open,
    /// Failed or refused: what the client sends is dropped.
    Over,
}

impl Handshake {
    #[must_use]
    pub fn new(demands: Demands) -> Self {
        Handshake {
            input: Vec::new(),
            output: Vec::new(),
            request: None,
            demands,
            protocol: None,
            state: State::Undecided,
            failure: None,
            replied: None,
            seen: 0,
        }
    }

    /// How many bytes `receive` will take now. Never 0 while the client's turn lasts.
    #[must_use]
    pub fn room(&self) -> usize {
        let max = match self.protocol {
            _ if self.state == State::Over => 0,
            Some(Protocol::HttpConnect) => HEAD_BYTES_MAX,
            _ => INPUT_MAX,
        };
        max.saturating_sub(self.input.len())
    }

    /// Takes what came from the client: at most `room()` bytes, more is a bug of the caller.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.state == State::Over {
            return;
        }
        debug_assert!(bytes.len() <= self.room(), "{} bytes received, room for {}", bytes.len(), self.room());
        if bytes.len() > self.room() {
            return self.fail(Reason::Malformed);
        }
        self.input.extend_from_slice(bytes);
    }

    /// What there is to tell, one thing at a time.
    pub fn poll(&mut self) -> Option<Event> {
        if self.state == State::Undecided {
            self.decide();
        }
        if self.state == State::Greeting {
            self.greet();
        }
        let event = match self.state {
            State::Authentication => self.authenticate(),
            State::Request => self.request(),
            _ => None,
        };
        event.or_else(|| self.failure.take().map(Event::Failed))
    }

    /// What there is to send. Taken once.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The answer to [`Event::Authenticate`]. `Err` is told by `poll`, as every failure before a request is.
    pub fn verdict(&mut self, verdict: Verdict) {
        if self.state != State::Verdict {
            return;
        }
        match verdict {
            Ok(()) => {
                if self.protocol == Some(Protocol::Socks5) {
                    self.output.extend(socks5::status(true));
                }
                self.state = State::Request;
            }
            Err(reason) => self.fail(reason),
        }
    }

    /// The answer to [`Event::Request`].
    pub fn answer(&mut self, outcome: Outcome) {
        let next = match self.state {
            State::Answer(Command::Bind) => State::Peer,
            State::Answer(_) | State::Peer => State::Open,
            _ => return,
        };
        self.say(outcome);
        match outcome {
            Ok(_) => self.state = next,
            Err(_) => self.end(),
        }
    }

    /// Whose turn it is.
    #[must_use]
    pub fn awaiting(&self) -> Awaiting {
        match self.state {
            State::Undecided | State::Greeting => Awaiting::Greeting,
            State::Authentication => Awaiting::Authentication,
            State::Verdict => Awaiting::Verdict,
            State::Request => Awaiting::Request,
            State::Answer(_) => Awaiting::Answer,
            State::Peer => Awaiting::Peer,
            State::Open | State::Over => Awaiting::Nothing,
        }
    }

    /// The bytes that followed the request: the first payload. Each byte comes out once.
    pub fn take_payload(&mut self) -> Vec<u8> {
        match self.state {
            State::Answer(_) | State::Peer | State::Open => std::mem::take(&mut self.input),
            _ => Vec::new(),
        }
    }

    /// The last answer to a request, if one was given, by `answer` or on our own account: SOCKS5's REP,
    /// SOCKS4's CD, an HTTP status.
    #[must_use]
    pub fn replied(&self) -> Option<u16> {
        self.replied
    }

    /// What the client speaks, once its first byte has told one of the protocols that are served.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// The first byte: a version of SOCKS, or the start of an HTTP method (RFC 9110 section 9.1: case-sensitive, so a
    /// small letter begins a method as well) or of the empty line that may stand before it. It stays unread.
    fn decide(&mut self) {
        let Some(first) = self.input.first() else { return };
        let told = match first {
            5 => Some(Protocol::Socks5),
            4 => Some(Protocol::Socks4),
            b'A'..=b'Z' | b'a'..=b'z' | b'\r' => Some(Protocol::HttpConnect),
            _ => None,
        };
        self.protocol = told.filter(|protocol| self.demands.protocols.contains(*protocol));
        match self.protocol {
            Some(Protocol::Socks5) => self.state = State::Greeting,
            Some(Protocol::Socks4 | Protocol::HttpConnect) => self.state = State::Request,
            None => self.fail(Reason::BadVersion),
        }
    }

    /// SOCKS5 alone has a greeting.
    fn greet(&mut self) {
        let (method, next) = match self.demands.auth {
            Auth::None => (socks5::NO_AUTHENTICATION, State::Request),
            Auth::Password => (socks5::NAME_AND_PASSWORD, State::Authentication),
        };
        match self.read(|input| socks5::greeting(input, method)) {
            None => {}
            Some(Ok(())) => {
                self.output.extend(socks5::selection(method));
                self.state = next;
            }
            Some(Err(reason)) => self.fail(reason),
        }
    }

    /// SOCKS5 alone has a message for it.
    fn authenticate(&mut self) -> Option<Event> {
        match self.read(socks5::credentials)? {
            Ok(credentials) => {
                self.state = State::Verdict;
                return Some(Event::Authenticate(credentials));
            }
            Err(reason) => self.fail(reason),
        }
        None
    }

    fn request(&mut self) -> Option<Event> {
        if let Some(request) = self.request.take() {
            return Some(self.ask(*request));
        }
        let demands = self.demands;
        let read = match self.protocol? {
            Protocol::Socks5 => self.read(|input| socks5::request(input, demands.commands)).map(alone),
            Protocol::Socks4 => self.read(|input| socks4::request(input, &demands)).map(alone),
            Protocol::HttpConnect => self.read(|input| http_connect::request(input, &demands)),
        };
        match read? {
            Ok((request, None)) => return Some(self.ask(request)),
            Ok((request, Some(credentials))) => {
                self.request = Some(Box::new(request));
                self.state = State::Verdict;
                return Some(Event::Authenticate(credentials));
            }
            Err(reason) => self.fail(reason),
        }
        None
    }

    fn ask(&mut self, request: Request) -> Event {
        self.state = State::Answer(request.command);
        Event::Request(request)
    }

    /// Runs one message's reader over the input and consumes the message if it is whole.
    fn read<T>(&mut self, message: impl FnOnce(&mut Reader) -> Message<T>) -> Message<T> {
        let mut reader = Reader::again(&self.input, usize::from(self.seen));
        let Some(read) = message(&mut reader) else {
            self.seen = self.input.len() as u16;
            return None;
        };
        let consumed = self.input.len() - reader.left();
        self.seen = 0;
        wipe(&mut self.input[..consumed]);
        self.input.drain(..consumed);
        if self.input.is_empty() {
            // Between messages a client may be silent for long: keep no heap for it.
            self.input = Vec::new();
        }
        Some(read)
    }

    fn say(&mut self, outcome: Outcome) {
        self.replied = self.protocol.map(|protocol| match protocol {
            Protocol::Socks5 => socks5::answer(outcome, &mut self.output),
            Protocol::Socks4 => socks4::answer(outcome, &mut self.output),
            Protocol::HttpConnect => http_connect::answer(outcome, &mut self.output),
        });
    }

    /// Fails with the answer that is due to a client in this state.
    fn fail(&mut self, reason: Reason) {
        match (self.protocol, self.state) {
            // RFC 1928 section 3: X'FF' is answered and the client must close. So do we.
            (Some(Protocol::Socks5), State::Greeting) => {
                self.output.extend(socks5::selection(socks5::NO_ACCEPTABLE_METHODS));
            }
            // RFC 1929 section 2: a status other than 00 is followed by closing the connection.
            (Some(Protocol::Socks5), State::Authentication | State::Verdict) => {
                self.output.extend(socks5::status(false));
            }
            // Who speaks none of the protocols would not understand an answer in one: `say` has none.
            _ => self.say(Err(reason)),
        }
        self.failure = Some(reason);
        self.end();
    }

    fn end(&mut self) {
        wipe(&mut self.input);
        self.input = Vec::new();
        self.request = None;
        self.state = State::Over;
    }
}

/// A request that came without credentials, as both SOCKS have it.
fn alone(read: Result<Request, Reason>) -> Result<(Request, Option<Credentials>), Reason> {
    read.map(|request| (request, None))
}

/// Without the input: it may hold a password.
impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("protocol", &self.protocol)
            .field("state", &self.state)
            .field("input_bytes", &self.input.len())
            .finish()
    }
}
