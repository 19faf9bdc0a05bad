//! The server's side of SOCKS5: RFC 1928, with the passwords of RFC 1929.
//!
//! A [`Handshake`] runs from the first byte to the reply. It asks its owner two questions, as events:
//! is this password right ([`Event::Authenticate`], answered by `verdict`), and what became of this
//! request ([`Event::Request`], answered by `reply`). Whatever the client sends after its request is
//! payload and is kept, up to [`INPUT_MAX`], for `take_payload`.

use self::message::Message;
pub use self::message::{Credentials, Request};
pub use self::output::{OUTPUT_MAX, Output};
pub use self::reply::{Reply, UNBOUND};
use super::reader::Reader;
use ringway_shared::reason::Reason;
pub use ringway_shared::session::Command;
use std::net::SocketAddr;

mod message;
mod output;
mod reply;

/// Bytes the handshake may hold unread; the largest message is 513 bytes (RFC 1929).
pub const INPUT_MAX: usize = 1024;
const _: () =
    assert!(INPUT_MAX > message::LENGTH_MAX, "a message that is not whole must leave room for its rest");
// 10,000 silent clients are cheap.
const _: () = assert!(size_of::<Handshake>() < 96);

const VERSION: u8 = 5;
const AUTHENTICATION_VERSION: u8 = 1;
const NO_ACCEPTABLE_METHODS: u8 = 0xff;

/// What this listener demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    None,
    /// A name and a password, RFC 1929.
    Password,
}

/// What `poll` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Call `verdict` with the answer.
    Authenticate(Credentials),
    /// Call `reply` with the answer.
    Request(Request),
    /// Send what `take_output` gives, then close. Nothing comes after this.
    Failed(Reason),
}

/// Whose turn it is; the owner's deadlines follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaiting {
    /// The client's method selection message.
    Greeting,
    /// The client's name and password.
    Authentication,
    /// The client's request.
    Request,
    /// The owner's call of `verdict`.
    Verdict,
    /// The owner's call of `reply`.
    Reply,
    /// Nobody: answered or failed.
    Nothing,
}

/// One client's handshake, as the server sees it.
///
/// From the network: [`receive`](Self::receive), at most [`room`](Self::room) bytes. To the owner:
/// [`poll`](Self::poll) until it is `None`. To the network: [`take_output`](Self::take_output), after
/// every poll, verdict or reply. From the owner: [`verdict`](Self::verdict) and [`reply`](Self::reply);
/// called out of turn they do nothing.
///
/// Any chunking of the same bytes gives the same events and the same output. A silent client costs no heap.
pub struct Handshake {
    /// Bytes not yet understood, then payload; never more than [`INPUT_MAX`].
    input: Vec<u8>,
    output: Output,
    auth: Auth,
    state: State,
    /// Why it failed, until `poll` has told it.
    failure: Option<Reason>,
    replied: Option<Reply>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Authentication,
    Verdict,
    Request,
    Reply,
    /// Replied with success: what the client sends is payload.
    Open,
    /// Failed or refused: what the client sends is dropped.
    Over,
}

impl Handshake {
    #[must_use]
    pub fn new(auth: Auth) -> Self {
        Handshake {
            input: Vec::new(),
            output: Output::default(),
            auth,
            state: State::Greeting,
            failure: None,
            replied: None,
        }
    }

    /// How many bytes `receive` will take now. Never 0 while the client's turn lasts.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.state == State::Over { 0 } else { INPUT_MAX.saturating_sub(self.input.len()) }
    }

    /// Takes what came from the client: at most `room()` bytes, more is a bug of the caller.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.state == State::Over {
            return;
        }
        debug_assert!(bytes.len() <= self.room(), "{} bytes received, room for {}", bytes.len(), self.room());
        if bytes.len() > self.room() {
            return self.fail(Reason::Malformed, &[]);
        }
        self.input.extend_from_slice(bytes);
    }

    /// What there is to tell, one thing at a time.
    pub fn poll(&mut self) -> Option<Event> {
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
    pub fn take_output(&mut self) -> Output {
        std::mem::take(&mut self.output)
    }

    /// The answer to [`Event::Authenticate`].
    pub fn verdict(&mut self, accepted: bool) {
        if self.state != State::Verdict {
            return;
        }
        if accepted {
            self.output.push(&[AUTHENTICATION_VERSION, 0]);
            self.state = State::Request;
        } else {
            // RFC 1929 section 2: a status other than 00 is followed by closing the connection.
            self.fail(Reason::AuthFailed, &[AUTHENTICATION_VERSION, 1]);
        }
    }

    /// The answer to [`Event::Request`]. `bound` is the outgoing socket's own address, [`UNBOUND`] if there is none.
    pub fn reply(&mut self, reply: Reply, bound: SocketAddr) {
        if self.state != State::Reply {
            return;
        }
        self.say(reply, bound);
        if reply == Reply::Succeeded {
            self.state = State::Open;
        } else {
            self.end();
        }
    }

    /// Whose turn it is.
    #[must_use]
    pub fn awaiting(&self) -> Awaiting {
        match self.state {
            State::Greeting => Awaiting::Greeting,
            State::Authentication => Awaiting::Authentication,
            State::Verdict => Awaiting::Verdict,
            State::Request => Awaiting::Request,
            State::Reply => Awaiting::Reply,
            State::Open | State::Over => Awaiting::Nothing,
        }
    }

    /// The bytes that followed the request: the first payload. Each byte comes out once.
    pub fn take_payload(&mut self) -> Vec<u8> {
        match self.state {
            State::Reply | State::Open => std::mem::take(&mut self.input),
            _ => Vec::new(),
        }
    }

    /// The reply that was given, if one was: to a request, by `reply` or on our own account.
    #[must_use]
    pub fn replied(&self) -> Option<Reply> {
        self.replied
    }

    fn greet(&mut self) {
        let (method, next) = match self.auth {
            Auth::None => (0, State::Request),
            Auth::Password => (2, State::Authentication),
        };
        match self.read(|input| message::greeting(input, method)) {
            None => {}
            Some(Ok(())) => {
                self.output.push(&[VERSION, method]);
                self.state = next;
            }
            // RFC 1928 section 3: X'FF' is answered and the client must close. So do we.
            Some(Err(Reason::NoAcceptableMethod)) => {
                self.fail(Reason::NoAcceptableMethod, &[VERSION, NO_ACCEPTABLE_METHODS]);
            }
            // Who does not speak SOCKS5 would not understand an answer in it.
            Some(Err(reason)) => self.fail(reason, &[]),
        }
    }

    fn authenticate(&mut self) -> Option<Event> {
        match self.read(message::credentials)? {
            Ok(credentials) => {
                self.state = State::Verdict;
                return Some(Event::Authenticate(credentials));
            }
            Err(reason) => self.fail(reason, &[AUTHENTICATION_VERSION, 1]),
        }
        None
    }

    fn request(&mut self) -> Option<Event> {
        match self.read(message::request)? {
            Ok(request) => {
                self.state = State::Reply;
                return Some(Event::Request(request));
            }
            Err(reason) => {
                self.say(Reply::of(reason).unwrap_or(Reply::GeneralFailure), UNBOUND);
                self.fail(reason, &[]);
            }
        }
        None
    }

    /// Runs one message's reader over the input and consumes the message if it is whole.
    fn read<T>(&mut self, message: impl FnOnce(&mut Reader) -> Message<T>) -> Message<T> {
        let mut reader = Reader::over(&self.input);
        let read = message(&mut reader)?;
        let consumed = self.input.len() - reader.left();
        message::wipe(&mut self.input[..consumed]);
        self.input.drain(..consumed);
        if self.input.is_empty() {
            // Between messages a client may be silent for long: keep no heap for it.
            self.input = Vec::new();
        }
        Some(read)
    }

    fn say(&mut self, reply: Reply, bound: SocketAddr) {
        self.replied = Some(reply);
        reply.write(bound, &mut self.output);
    }

    fn fail(&mut self, reason: Reason, answer: &[u8]) {
        self.output.push(answer);
        self.failure = Some(reason);
        self.end();
    }

    fn end(&mut self) {
        message::wipe(&mut self.input);
        self.input = Vec::new();
        self.state = State::Over;
    }
}

/// Without the input: it may hold a password.
impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("state", &self.state)
            .field("input_bytes", &self.input.len())
            .finish()
    }
}
