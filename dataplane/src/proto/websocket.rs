//! WebSocket frames and messages: RFC 6455, strict, with RFC 7692's compressed messages. Sans IO.
//!
//! In: [`Incoming`] is what is kept of a connection, [`Incoming::receive`] takes what one read brought,
//! [`Reading::poll`] hands out what is in it. Out: [`frame`] and its like write whole frames. In reading order:
//! `reading` goes from frame to frame; `header` knows a frame's start and `mask` its payload's disguise; `message` is
//! what is held between reads, `text` UTF-8 in parts; `close` the end, `violation` all that can be wrong; `outgoing`.

mod close;
mod header;
mod mask;
mod message;
mod outgoing;
mod reading;
mod text;
mod violation;

use super::deflate::{Inflater, Negotiated};
pub use close::{CloseHandshake, may_be_sent};
use message::Pending;
pub use outgoing::{
    REASON_BYTES_MAX, close_answer, close_frame, frame, frame_header, header_len, ping, pong,
};
pub use reading::Reading;
pub use violation::Violation;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    Text,
    Binary,
}

/// What a listener allows. Borrowed by each [`Incoming::receive`]: nothing of it is kept per connection.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Payload bytes of one data frame, as sent. Control frames have their own limit of 125.
    pub frame_bytes_max: usize,
    /// Payload bytes of one message over all its frames: as sent, and after inflating.
    pub message_bytes_max: usize,
}

/// The incoming side of one connection. It holds heap only while a frame or a message is incomplete.
#[derive(Debug)]
pub struct Incoming {
    pending: Option<Box<Pending>>,
    /// permessage-deflate was negotiated.
    deflate: bool,
    /// A close frame or a violation came: nothing is read any more.
    over: bool,
}

const _: () = assert!(size_of::<Incoming>() <= 24);

/// What a client said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    /// To be answered by a [`pong`] with the same payload, at most 125 bytes.
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// The last event. `None`: it gave no code (which RFC 6455 calls 1005).
    Close {
        code: Option<u16>,
        reason: &'a str,
    },
}

impl Incoming {
    /// For a connection after its upgrade. `None`: compression was not negotiated.
    #[must_use]
    pub fn new(deflate: Option<Negotiated>) -> Incoming {
        Incoming { pending: None, deflate: deflate.is_some(), over: false }
    }

    /// Takes what one read brought; poll the answer until it gives `None`, or what is left of `bytes` is lost.
    /// The bytes are unmasked in place; a message that lies there in one frame is handed out without a copy.
    ///
    /// `inflater`: the connection's own if it may keep its context, else one that many connections share.
    pub fn receive<'a>(
        &'a mut self,
        bytes: &'a mut [u8],
        rules: &'a Rules,
        inflater: &'a mut Inflater,
    ) -> Reading<'a> {
        Reading::of(self, bytes, rules, inflater)
    }

    /// Heap bytes held: 0 between messages; else what came of the message, at most twice (room doubles), and never
    /// more than `message_bytes_max`, besides some 150 bytes of state.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.held_bytes())
    }

    /// Whether a frame or a message has begun and not ended.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether a close frame or a violation has ended the reading.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn end(&mut self) {
        self.pending = None;
        self.over = true;
    }
}
