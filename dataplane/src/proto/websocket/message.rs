//! What is kept of a connection between two reads: an incomplete frame, an unfinished message. Nothing else is.

use super::Violation;
use super::header::{BYTES_MAX, CONTROL_BYTES_MAX, Frame, Kind};
use super::text::Text;

/// Lives from the first byte of what is incomplete to its last.
#[derive(Debug, Default)]
pub struct Pending {
    pub head: Head,
    /// The frame whose payload is arriving.
    pub frame: Option<Frame>,
    /// The payload so far of a control frame.
    control: Vec<u8>,
    message: Option<Message>,
}

/// The start of a header.
#[derive(Clone, Debug, Default)]
pub struct Head {
    bytes: [u8; BYTES_MAX],
    length: u8,
}

/// Something that was held and is complete.
#[derive(Debug)]
pub enum Whole {
    Control(Vec<u8>),
    Text(String),
    Binary(Vec<u8>),
    Compressed(Kind, Vec<u8>),
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.head.length == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// The bytes held of the message under way.
    pub fn message_bytes(&self) -> Option<usize> {
        self.message.as_ref().map(Message::len)
    }

    pub fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Message::held_bytes);
        size_of::<Pending>() + self.control.capacity() + message
    }

    /// Takes unmasked payload of `frame`, whose header allowed for it.
    pub fn hold(
        &mut self,
        mut frame: Frame,
        payload: &[u8],
        message_bytes_max: usize,
    ) -> Result<Option<Whole>, Violation> {
        let left_bytes = frame.left_bytes - payload.len();
        if frame.kind.is_control() {
            if self.control.is_empty() {
                self.control.reserve_exact(frame.left_bytes.min(CONTROL_BYTES_MAX));
            }
            self.control.extend_from_slice(payload);
        } else {
            let message = self.message.get_or_insert_with(|| Message::of(&frame));
            let end = message.len() + frame.left_bytes;
            message.push(payload, if frame.last { end } else { message_bytes_max })?;
        }
        if left_bytes > 0 {
            frame.mask = super::mask::after(frame.mask, payload.len());
            frame.left_bytes = left_bytes;
            self.frame = Some(frame);
            return Ok(None);
        }
        if frame.kind.is_control() {
            return Ok(Some(Whole::Control(std::mem::take(&mut self.control))));
        }
        if frame.last { self.message.take().map(Message::finish).transpose() } else { Ok(None) }
    }
}

impl Head {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// As much of `bytes` as a header may still have.
    pub fn extend(&mut self, bytes: &[u8]) {
        let room = &mut self.bytes[usize::from(self.length)..];
        let taken = room.len().min(bytes.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.length += taken as u8;
    }
}

#[derive(Debug)]
enum Message {
    Text(Text),
    Binary(Vec<u8>),
    /// What it says is known once it is whole: an inflater may serve other connections in between.
    Compressed(Kind, Vec<u8>),
}

impl Message {
    /// The one that `frame` begins.
    fn of(frame: &Frame) -> Message {
        match frame.kind {
            kind if frame.compressed => Message::Compressed(kind, Vec::new()),
            Kind::Text => Message::Text(Text::default()),
            _ => Message::Binary(Vec::new()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Compressed(_, bytes) => bytes.len(),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Message::Text(text) => text.held_bytes(),
            Message::Binary(bytes) | Message::Compressed(_, bytes) => bytes.capacity(),
        }
    }

    fn push(&mut self, payload: &[u8], bytes_max: usize) -> Result<(), Violation> {
        match self {
            Message::Text(text) => text.push(payload, bytes_max)?,
            Message::Binary(bytes) | Message::Compressed(_, bytes) => {
                bytes.reserve_exact(room(bytes.len(), bytes.capacity(), payload.len(), bytes_max));
                bytes.extend_from_slice(payload);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Whole, Violation> {
        Ok(match self {
            Message::Text(text) => Whole::Text(text.finish()?),
            Message::Binary(bytes) => Whole::Binary(bytes),
            Message::Compressed(kind, bytes) => Whole::Compressed(kind, bytes),
        })
    }
}

/// How many bytes to reserve for `more`: the room doubles with what has come, a declared length only bounds it.
pub fn room(length: usize, capacity: usize, more: usize, bytes_max: usize) -> usize {
    if capacity - length >= more {
        return more;
    }
    let doubled = (capacity * 2).min(bytes_max);
    doubled.saturating_sub(length).max(more)
}
