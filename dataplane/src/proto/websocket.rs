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
use header::{Frame, Kind, Setting};
use message::{Head, Pending, Whole};
pub use outgoing::{
    REASON_BYTES_MAX, close_answer, close_frame, frame, frame_header, header_len, ping, pong,
};
use std::ops::Range;
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
        let at = if self.over { bytes.len() } else { 0 };
        Reading { incoming: self, bytes, at, rules, inflater, payload: Payload::NONE }
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

    #[inline]
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
    #[inline]
    pub fn poll(&mut self) -> Result<Option<Event<'_>>, Violation> {
        let kind = match self.next() {
            Ok(Some(kind)) => kind,
            Ok(None) => return Ok(None),
            Err(violation) => {
                self.incoming.end();
                self.at = self.bytes.len();
                return Err(violation);
            }
        };
        let event = match &self.payload {
            Payload::Text(text) => Ok(Event::Text(text)),
            payload => event(kind, payload.bytes(self.bytes)),
        };
        if event.is_err() || kind == Kind::Close {
            self.incoming.end();
            self.at = self.bytes.len();
        }
        event.map(Some)
    }

    /// Goes on to the end of the next message or control frame: what it is, with its payload in `self.payload`.
    #[inline]
    fn next(&mut self) -> Result<Option<Kind>, Violation> {
        if !matches!(self.payload, Payload::Here(_)) {
            self.payload = Payload::NONE;
        }
        // Nearly all frames are whole messages that came in one read: nothing of them is kept.
        if self.incoming.pending.is_none()
            && let Some(frame) = header::read(&self.bytes[self.at..], &self.setting(None))?
            && (frame.last || frame.kind.is_control())
        {
            let start = self.at + usize::from(frame.header_bytes);
            if frame.left_bytes <= self.bytes.len() - start {
                self.at = start;
                let here = self.unmask(&frame);
                self.payload = Payload::Here(here);
                if frame.compressed {
                    self.inflate()?;
                }
                return Ok(Some(frame.kind));
            }
        }
        self.next_in_parts()
    }

    /// The same for what comes in several frames or reads.
    #[inline(never)]
    fn next_in_parts(&mut self) -> Result<Option<Kind>, Violation> {
        while let Some(frame) = self.frame()? {
            let here = self.unmask(&frame);
            let ended = here.len() == frame.left_bytes;
            let whole = if ended && !frame.begun && self.stands_alone(&frame) {
                self.payload = Payload::Here(here);
                Some((frame.kind, frame.compressed))
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

    #[inline]
    fn setting(&self, message_bytes: Option<usize>) -> Setting<'_> {
        Setting { rules: self.rules, deflate: self.incoming.deflate, message_bytes }
    }

    /// The frame whose payload comes next. `None`: its header is not whole.
    fn frame(&mut self) -> Result<Option<Frame>, Violation> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() && self.incoming.pending.is_none() {
            return Ok(None);
        }
        let Incoming { pending, deflate, .. } = &mut *self.incoming;
        let pending = pending.get_or_insert_default();
        if let Some(frame) = pending.frame.take() {
            return Ok(Some(frame));
        }
        // What a header may have is copied, to be joined with what came of it before.
        let known = pending.head.bytes().len();
        pending.head.extend(rest);
        let message_bytes = pending.message_bytes();
        let setting = Setting { rules: self.rules, deflate: *deflate, message_bytes };
        let frame = header::read(pending.head.bytes(), &setting)?;
        match &frame {
            Some(frame) => {
                pending.head = Head::default();
                self.at += usize::from(frame.header_bytes) - known;
            }
            None => self.at = self.bytes.len(),
        }
        Ok(frame)
    }

    /// Unmasks what is here of the frame's payload.
    #[inline]
    fn unmask(&mut self, frame: &Frame) -> Range<usize> {
        let here = self.at..self.at + frame.left_bytes.min(self.bytes.len() - self.at);
        mask::apply(&mut self.bytes[here.clone()], frame.mask);
        self.at = here.end;
        here
    }

    /// Whether the frame is an event by itself.
    fn stands_alone(&self, frame: &Frame) -> bool {
        let pending = self.incoming.pending.as_ref();
        frame.kind.is_control()
            || frame.last && pending.is_none_or(|pending| pending.message_bytes().is_none())
    }

    /// Keeps a part of the frame's payload. What is whole by it: its kind, and whether it is compressed.
    fn hold(&mut self, frame: Frame, here: Range<usize>) -> Result<Option<(Kind, bool)>, Violation> {
        let pending = self.incoming.pending.get_or_insert_default();
        let held = pending.hold(frame, &self.bytes[here], self.rules.message_bytes_max)?;
        let Some(whole) = held else { return Ok(None) };
        let (kind, compressed, payload) = match whole {
            Whole::Control(bytes) => (frame.kind, false, Payload::Bytes(bytes)),
            Whole::Text(text) => (Kind::Text, false, Payload::Text(text)),
            Whole::Binary(bytes) => (Kind::Binary, false, Payload::Bytes(bytes)),
            Whole::Compressed(kind, bytes) => (kind, true, Payload::Bytes(bytes)),
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

#[inline]
fn event(kind: Kind, payload: &[u8]) -> Result<Event<'_>, Violation> {
    Ok(match kind {
        Kind::Text => Event::Text(str::from_utf8(payload).map_err(|_| Violation::InvalidText)?),
        // A continuation is none by itself: what it ends has the kind of what began it.
        Kind::Binary | Kind::Continuation => Event::Binary(payload),
        Kind::Ping => Event::Ping(payload),
        Kind::Pong => Event::Pong(payload),
        Kind::Close => {
            let (code, reason) = close::read(payload)?;
            Event::Close { code, reason }
        }
    })
}
