//! From frame to frame through what one read brought.

use super::header::{self, Frame, Kind, Setting};
use super::message::{Head, Whole};
use super::{Event, Incoming, Rules, Violation, close, mask};
use crate::proto::deflate::{InflateFault, Inflater};
use std::ops::Range;

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

impl<'a> Reading<'a> {
    #[inline]
    pub(super) fn of(
        incoming: &'a mut Incoming,
        bytes: &'a mut [u8],
        rules: &'a Rules,
        inflater: &'a mut Inflater,
    ) -> Reading<'a> {
        let at = if incoming.over { bytes.len() } else { 0 };
        Reading { incoming, bytes, at, rules, inflater, payload: Payload::NONE }
    }
}

impl Reading<'_> {
    /// What has not been looked at: to stop between two events, give it to the next [`Incoming::receive`](super::Incoming::receive).
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

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
        if self.at == self.bytes.len() {
            return Ok(None);
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
            if let Some((kind, compressed)) = self.hold(frame, here)? {
                self.forget_if_empty();
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
        let Incoming { pending, deflate, .. } = &mut *self.incoming;
        let pending = pending.get_or_insert_default();
        if let Some(frame) = pending.frame.take() {
            return Ok(Some(frame));
        }
        // What a header may have is copied, to be joined with what came of it before.
        let known = pending.head.bytes().len();
        pending.head.extend(&self.bytes[self.at..]);
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
        Kind::Text => Event::Text(simdutf8::basic::from_utf8(payload).map_err(|_| Violation::InvalidText)?),
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
