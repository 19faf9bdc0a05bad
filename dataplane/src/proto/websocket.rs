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

impl Data {
    fn opcode(self) -> OpCode {
        match self {
            Data::Text => OpCode::Data(Opcode::Text),
            Data::Binary => OpCode::Data(Opcode::Binary),
        }
    }
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
        Reading { incoming: self, bytes, at: 0, rules, inflater, payload: Payload::NONE }
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
    /// What the last event borrowed; freed by the next poll.
    payload: Payload,
}

/// The payload of a whole message or control frame, unmasked.
enum Payload {
    /// It lies in the read bytes.
    Here(Range<usize>),
    Bytes(Vec<u8>),
    /// Checked as it came.
    Text(String),
}

impl Payload {
    const NONE: Payload = Payload::Here(0..0);

    fn bytes<'a>(&'a self, read: &'a [u8]) -> &'a [u8] {
        match self {
            Payload::Here(range) => &read[range.clone()],
            Payload::Bytes(bytes) => bytes,
            Payload::Text(text) => text.as_bytes(),
        }
    }
}

impl Reading<'_> {
    /// The next event. `None`: all bytes are used; what is incomplete is kept for the next read.
    ///
    /// # Errors
    /// The first breach of the protocol; as after a close frame there is nothing behind it.
    pub fn poll(&mut self) -> Result<Option<Event<'_>>, Violation> {
        let kind = match self.next() {
            Ok(Some(kind)) => kind,
            Ok(None) => return Ok(None),
            Err(violation) => {
                self.incoming.end();
                return Err(violation);
            }
        };
        let event = match &self.payload {
            Payload::Text(text) => Ok(Event::Text(text)),
            payload => event(kind, payload.bytes(self.bytes)),
        };
        if event.is_err() || kind == OpCode::Control(Control::Close) {
            self.incoming.end();
        }
        event.map(Some)
    }

    /// Goes on to the end of the next message or control frame: what it is, with its payload in `self.payload`.
    fn next(&mut self) -> Result<Option<OpCode>, Violation> {
        self.payload = Payload::NONE;
        if self.incoming.over {
            return Ok(None);
        }
        while let Some(frame) = self.frame()? {
            let here = self.unmask(&frame);
            let ended = here.len() == frame.left_bytes;
            let whole = if ended && !frame.begun && self.stands_alone(&frame) {
                self.payload = Payload::Here(here);
                Some((frame.opcode, frame.compressed))
            } else {
                self.hold(frame, here)?
            };
            self.forget_if_empty();
            if let Some((kind, compressed)) = whole {
                if compressed {
                    self.inflate()?;
                }
                return Ok(Some(kind));
            }
            if !ended {
                return Ok(None);
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
    fn unmask(&mut self, frame: &Frame) -> Range<usize> {
        let here = self.at..self.at + frame.left_bytes.min(self.bytes.len() - self.at);
        mask::apply(&mut self.bytes[here.clone()], frame.mask);
        self.at = here.end;
        here
    }

    /// Whether the frame is an event by itself.
    fn stands_alone(&self, frame: &Frame) -> bool {
        let pending = self.incoming.pending.as_ref();
        frame.is_control() || frame.last && pending.is_none_or(|pending| pending.message_bytes().is_none())
    }

    /// Keeps a part of the frame's payload. What is whole by it: its kind, and whether it is compressed.
    fn hold(&mut self, frame: Frame, here: Range<usize>) -> Result<Option<(OpCode, bool)>, Violation> {
        let pending = self.incoming.pending.get_or_insert_default();
        let held = pending.hold(frame, &self.bytes[here], self.rules.message_bytes_max)?;
        let Some(whole) = held else { return Ok(None) };
        let (kind, compressed, payload) = match whole {
            Whole::Control(bytes) => (frame.opcode, false, Payload::Bytes(bytes)),
            Whole::Text(text) => (Data::Text.opcode(), false, Payload::Text(text)),
            Whole::Binary(bytes) => (Data::Binary.opcode(), false, Payload::Bytes(bytes)),
            Whole::Compressed(data, bytes) => (data.opcode(), true, Payload::Bytes(bytes)),
        };
        self.payload = payload;
        Ok(Some((kind, compressed)))
    }

    fn inflate(&mut self) -> Result<(), Violation> {
        let compressed = self.payload.bytes(self.bytes);
        let mut plain = Vec::new();
        let inflated = self.inflater.inflate(compressed, true, &mut plain, self.rules.message_bytes_max);
        self.payload = Payload::Bytes(plain);
        inflated.map_err(|fault| match fault {
            InflateFault::TooBig => Violation::InflatedTooBig,
            InflateFault::Bad => Violation::BadDeflate,
        })
    }

    fn forget_if_empty(&mut self) {
        if self.incoming.pending.as_ref().is_some_and(|pending| pending.is_empty()) {
            self.incoming.pending = None;
        }
    }
}

fn event(kind: OpCode, payload: &[u8]) -> Result<Event<'_>, Violation> {
    Ok(match kind {
        OpCode::Data(Opcode::Text) => {
            Event::Text(str::from_utf8(payload).map_err(|_| Violation::InvalidText)?)
        }
        OpCode::Data(_) => Event::Binary(payload),
        OpCode::Control(Control::Ping) => Event::Ping(payload),
        OpCode::Control(Control::Close) => {
            let (code, reason) = close::read(payload)?;
            Event::Close { code, reason }
        }
        OpCode::Control(_) => Event::Pong(payload),
    })
}
