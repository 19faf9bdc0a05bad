//! WebSocket frames and messages: RFC 6455, strict, with RFC 7692's compressed messages. Sans IO.
//!
//! In: [`Incoming`] is what is kept of a connection, [`Incoming::receive`] takes what one read brought,
//! [`Reading::poll`] hands out what is in it. Out: [`frame`] and its like write whole frames. `header` knows a frame's
//! start, `message` what is held between reads, `text` UTF-8 in parts, `violation` all that can be wrong.

mod close;
mod header;
mod mask;
mod message;
mod outgoing;
mod text;
mod violation;

use super::deflate::{InflateFault, Inflater, Negotiated};
pub use close::{CloseHandshake, may_be_sent};
use header::{Frame, Setting};
use message::{Pending, Whole};
pub use outgoing::{
    REASON_BYTES_MAX, close_answer, close_frame, frame, frame_header, header_len, ping, pong,
};
use std::ops::Range;
use tungstenite::protocol::frame::coding::{Control, Data as Opcode, OpCode};
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
        Reading { incoming: self, bytes, at: 0, rules, inflater, lent: Lent::Nothing }
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

/// The events in what one read brought.
#[must_use = "poll it until `None`: it keeps what is incomplete"]
pub struct Reading<'a> {
    incoming: &'a mut Incoming,
    bytes: &'a mut [u8],
    /// Up to here `bytes` are done with.
    at: usize,
    rules: &'a Rules,
    inflater: &'a mut Inflater,
    /// What the last event borrowed and is freed by the next poll.
    lent: Lent,
}

#[derive(Debug)]
enum Lent {
    Nothing,
    Bytes(Vec<u8>),
    Text(String),
}

/// A whole message or control frame, unmasked.
struct Found {
    kind: OpCode,
    compressed: bool,
    payload: Payload,
}

enum Payload {
    Here(Range<usize>),
    Lent,
}

impl Reading<'_> {
    /// The next event. `None`: all bytes are used; what is incomplete is kept for the next read.
    ///
    /// # Errors
    /// The first breach of the protocol; as after a close frame there is nothing behind it.
    pub fn poll(&mut self) -> Result<Option<Event<'_>>, Violation> {
        let found = match self.next() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(violation) => {
                self.incoming.end();
                return Err(violation);
            }
        };
        let incoming = &mut *self.incoming;
        let payload = match (&found.payload, &self.lent) {
            (Payload::Here(range), _) => &self.bytes[range.clone()],
            (Payload::Lent, Lent::Bytes(bytes)) => bytes,
            // It was checked as it came.
            (Payload::Lent, Lent::Text(text)) => return Ok(Some(Event::Text(text))),
            (Payload::Lent, Lent::Nothing) => &[],
        };
        let event = match found.kind {
            OpCode::Data(Opcode::Text) => {
                str::from_utf8(payload).map(Event::Text).map_err(|_| Violation::InvalidText)
            }
            OpCode::Data(_) => Ok(Event::Binary(payload)),
            OpCode::Control(Control::Ping) => Ok(Event::Ping(payload)),
            OpCode::Control(Control::Close) => {
                incoming.end();
                close::read(payload).map(|(code, reason)| Event::Close { code, reason })
            }
            OpCode::Control(_) => Ok(Event::Pong(payload)),
        };
        if event.is_err() {
            incoming.end();
        }
        event.map(Some)
    }

    fn next(&mut self) -> Result<Option<Found>, Violation> {
        self.lent = Lent::Nothing;
        if self.incoming.over {
            return Ok(None);
        }
        while let Some(frame) = self.frame()? {
            let payload = self.payload(&frame);
            let whole = payload.len() == frame.left_bytes;
            let found = if whole && !frame.begun && self.stands_alone(&frame) {
                Some(Found {
                    kind: frame.opcode,
                    compressed: frame.compressed,
                    payload: Payload::Here(payload),
                })
            } else {
                self.hold(frame, payload)?
            };
            if found.is_some() || whole {
                self.forget_if_empty();
            }
            match found {
                Some(found) if found.compressed => return self.inflate(found).map(Some),
                Some(found) => return Ok(Some(found)),
                None if whole => (),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The frame whose payload comes next. `None`: its header is not whole.
    fn frame(&mut self) -> Result<Option<Frame>, Violation> {
        let rest = &self.bytes[self.at..];
        let setting =
            |message_bytes| Setting { rules: self.rules, deflate: self.incoming.deflate, message_bytes };
        let Some(pending) = &mut self.incoming.pending else {
            return match header::read(rest, &setting(None))? {
                Some((frame, header_bytes)) => {
                    self.at += header_bytes;
                    Ok(Some(frame))
                }
                None => {
                    if !rest.is_empty() {
                        self.incoming.pending.get_or_insert_default().head.extend(rest);
                        self.at = self.bytes.len();
                    }
                    Ok(None)
                }
            };
        };
        if let Some(frame) = pending.frame.take() {
            return Ok(Some(frame));
        }
        let known = pending.head.bytes().len();
        pending.head.extend(rest);
        match header::read(pending.head.bytes(), &setting(pending.message_bytes()))? {
            Some((frame, header_bytes)) => {
                pending.head = Default::default();
                self.at += header_bytes - known;
                Ok(Some(frame))
            }
            None => {
                self.at = self.bytes.len();
                Ok(None)
            }
        }
    }

    /// Unmasks what is here of the frame's payload.
    fn payload(&mut self, frame: &Frame) -> Range<usize> {
        let here = self.at..self.at + frame.left_bytes.min(self.bytes.len() - self.at);
        mask::apply(&mut self.bytes[here.clone()], frame.mask);
        self.at = here.end;
        here
    }

    /// Whether the frame is a whole event by itself.
    fn stands_alone(&self, frame: &Frame) -> bool {
        let continues =
            || self.incoming.pending.as_ref().is_some_and(|pending| pending.message_bytes().is_some());
        frame.is_control() || frame.last && !continues()
    }

    fn hold(&mut self, frame: Frame, payload: Range<usize>) -> Result<Option<Found>, Violation> {
        let pending = self.incoming.pending.get_or_insert_default();
        let held = pending.hold(frame, &self.bytes[payload], self.rules.message_bytes_max)?;
        let Some(whole) = held else { return Ok(None) };
        let of = |data| match data {
            Data::Text => OpCode::Data(Opcode::Text),
            Data::Binary => OpCode::Data(Opcode::Binary),
        };
        let (kind, compressed, lent) = match whole {
            Whole::Control(bytes) => (frame.opcode, false, Lent::Bytes(bytes)),
            Whole::Text(text) => (of(Data::Text), false, Lent::Text(text)),
            Whole::Binary(bytes) => (of(Data::Binary), false, Lent::Bytes(bytes)),
            Whole::Compressed(data, bytes) => (of(data), true, Lent::Bytes(bytes)),
        };
        self.lent = lent;
        Ok(Some(Found { kind, compressed, payload: Payload::Lent }))
    }

    fn inflate(&mut self, found: Found) -> Result<Found, Violation> {
        let compressed = match (&found.payload, &self.lent) {
            (Payload::Here(range), _) => &self.bytes[range.clone()],
            (Payload::Lent, Lent::Bytes(bytes)) => bytes,
            (Payload::Lent, _) => &[],
        };
        let mut plain = Vec::new();
        let inflated = self.inflater.inflate(compressed, true, &mut plain, self.rules.message_bytes_max);
        inflated.map_err(|fault| match fault {
            InflateFault::TooBig => Violation::InflatedTooBig,
            InflateFault::Bad => Violation::BadDeflate,
        })?;
        self.lent = Lent::Bytes(plain);
        Ok(Found { compressed: false, payload: Payload::Lent, ..found })
    }

    fn forget_if_empty(&mut self) {
        if self.incoming.pending.as_ref().is_some_and(|pending| pending.is_empty()) {
            self.incoming.pending = None;
        }
    }
}
