//! The client's side of a proxy handshake: we ask an upstream proxy for a connection to a target.
//!
//! A [`Client`] speaks one protocol, SOCKS5 or HTTP CONNECT, from its first byte (there to be taken at once) to the
//! upstream's answer. What follows the answer is the target's payload and is kept for `take_payload`.

mod http_connect;
mod socks5;

use super::handshake::{HEAD_BYTES_MAX, INPUT_MAX, Outcome};
use super::reader::{Message, Reader};
use ringway_shared::config::{UpstreamLogin, UpstreamProtocol};
use ringway_shared::reason::Reason;
use ringway_shared::session::Target;
use std::net::SocketAddr;

const _: () =
    assert!(INPUT_MAX > socks5::REPLY_BYTES_MAX, "a reply that is not whole must leave room for its rest");

/// A handshake with an upstream proxy, as its client sees it.
///
/// From the network: [`receive`](Self::receive), at most [`room`](Self::room) bytes. To the owner:
/// [`poll`](Self::poll). To the network: [`take_output`](Self::take_output), first of all and after every poll.
///
/// Any chunking of the same bytes gives the same outcome, output and payload.
pub struct Client {
    /// Bytes not yet understood, then payload.
    input: Vec<u8>,
    output: Vec<u8>,
    /// SOCKS5: what to say if the upstream asks for a name and a password.
    authentication: Option<Vec<u8>>,
    /// SOCKS5: what to say when it asks no more.
    request: Vec<u8>,
    state: State,
    /// Why it failed, until `poll` has told it.
    failure: Option<Reason>,
    /// How much of the input a reader has seen and found too little.
    seen: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// SOCKS5: the upstream selects a method.
    Selection,
    /// SOCKS5: it judges the password.
    Status,
    /// SOCKS5: it replies to the request.
    Reply,
    /// HTTP: it sends a response's head.
    Head,
    /// The connection stands: what comes is payload.
    Open,
    Over,
}

impl Client {
    /// The login is shown if the upstream asks for one (SOCKS5), or with the request (HTTP, whose upstreams
    /// would otherwise close first). A target or a login that the protocol cannot say fails at the first poll.
    #[must_use]
    pub fn new(protocol: UpstreamProtocol, login: Option<&UpstreamLogin>, target: &Target) -> Self {
        let begun = match protocol {
            UpstreamProtocol::Socks5 => Client::begin_socks5(login, target),
            UpstreamProtocol::HttpConnect => http_connect::request(login, target)
                .map(|request| Client { output: request, ..Client::in_state(State::Head) }),
        };
        begun.unwrap_or_else(|reason| Client { failure: Some(reason), ..Client::in_state(State::Over) })
    }

    fn begin_socks5(login: Option<&UpstreamLogin>, target: &Target) -> Result<Client, Reason> {
        Ok(Client {
            output: socks5::greeting(login.is_some()),
            authentication: login.map(socks5::authentication).transpose()?,
            request: socks5::request(target)?,
            ..Client::in_state(State::Selection)
        })
    }

    fn in_state(state: State) -> Client {
        Client {
            input: Vec::new(),
            output: Vec::new(),
            authentication: None,
            request: Vec::new(),
            state,
            failure: None,
            seen: 0,
        }
    }

    /// How many bytes `receive` will take now. Never 0 while the upstream's turn lasts.
    #[must_use]
    pub fn room(&self) -> usize {
        let max = match self.state {
            State::Over => 0,
            State::Head => HEAD_BYTES_MAX,
            _ => INPUT_MAX,
        };
        max.saturating_sub(self.input.len())
    }

    /// Takes what came from the upstream: at most `room()` bytes, more is a bug of the caller.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.state == State::Over {
            return;
        }
        debug_assert!(bytes.len() <= self.room(), "{} bytes received, room for {}", bytes.len(), self.room());
        if bytes.len() > self.room() {
            return self.fail(Reason::UpstreamRefused);
        }
        self.input.extend_from_slice(bytes);
    }

    /// How it ended, once. `Ok`: the address the upstream says it is bound to, `UNBOUND` if it says none.
    pub fn poll(&mut self) -> Option<Outcome> {
        if self.state == State::Selection {
            self.select();
        }
        if self.state == State::Status {
            self.admit();
        }
        let answer = match self.state {
            State::Reply => self.read(socks5::reply),
            State::Head => self.hear(),
            _ => None,
        };
        match answer {
            Some(Ok(bound)) => {
                self.state = State::Open;
                return Some(Ok(bound));
            }
            Some(Err(reason)) => self.fail(reason),
            None => {}
        }
        self.failure.take().map(Err)
    }

    /// Whether the request itself has been said, or is in the output: from then on the target may be the cause of
    /// what goes wrong.
    #[must_use]
    pub fn has_asked(&self) -> bool {
        matches!(self.state, State::Reply | State::Head | State::Open)
    }

    /// What there is to send. Taken once.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The bytes that followed the upstream's answer: the target's first payload. Each byte comes out once.
    pub fn take_payload(&mut self) -> Vec<u8> {
        if self.state == State::Open { std::mem::take(&mut self.input) } else { Vec::new() }
    }

    fn select(&mut self) {
        match (self.read(socks5::selection), self.authentication.take()) {
            (Some(Ok(socks5::NO_AUTHENTICATION)), _) => self.ask(),
            (Some(Ok(socks5::NAME_AND_PASSWORD)), Some(authentication)) => {
                self.output.extend(authentication);
                self.state = State::Status;
            }
            // NO ACCEPTABLE METHODS, or a method that was not offered.
            (Some(_), _) => self.fail(Reason::UpstreamRefused),
            (None, authentication) => self.authentication = authentication,
        }
    }

    fn admit(&mut self) {
        match self.read(socks5::status) {
            Some(Ok(())) => self.ask(),
            Some(Err(reason)) => self.fail(reason),
            None => {}
        }
    }

    fn ask(&mut self) {
        self.output.append(&mut self.request);
        self.state = State::Reply;
    }

    /// Reads over interim responses.
    fn hear(&mut self) -> Message<SocketAddr> {
        loop {
            match self.read(http_connect::response)? {
                Ok(Some(bound)) => return Some(Ok(bound)),
                Ok(None) => {}
                Err(reason) => return Some(Err(reason)),
            }
        }
    }

    /// Runs one message's reader over the input and consumes the message if it is whole.
    fn read<T>(&mut self, message: impl FnOnce(&mut Reader) -> Message<T>) -> Message<T> {
        let mut reader = Reader::again(&self.input, self.seen);
        let Some(read) = message(&mut reader) else {
            self.seen = self.input.len();
            return None;
        };
        self.seen = 0;
        let consumed = self.input.len() - reader.left();
        self.input.drain(..consumed);
        Some(read)
    }

    fn fail(&mut self, reason: Reason) {
        self.failure = Some(reason);
        self.input = Vec::new();
        self.state = State::Over;
    }
}

/// Without the messages: they may hold a password.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("state", &self.state).field("input_bytes", &self.input.len()).finish()
    }
}
