//! One WebSocket: messages in without a copy, frames out without waiting.

use crate::failure::Failure;
use crate::poller::EventFlags;
use crate::socket::{self, Moved};
use crate::ws::frame::{self, Header};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a connection is watched for.
pub const INTEREST: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);
/// Room for what one read brings, besides what is left of the read before.
const READ_BYTES: usize = 256 * 1024;
/// A longer message is a failure.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Where all connections' bytes are read to, one after the other.
pub struct Scratch(Vec<u8>);

impl Default for Scratch {
    fn default() -> Self {
        Scratch(vec![0; READ_BYTES])
    }
}

pub struct Connection {
    socket: OwnedFd,
    /// An incomplete frame.
    tail: Vec<u8>,
    /// The payload so far of a message that comes in several frames.
    fragments: Option<Vec<u8>>,
    /// What the kernel had no room for.
    unsent: Vec<u8>,
}

impl Connection {
    /// A connection whose upgrade is done, but for what came after the answer's head.
    #[must_use]
    pub fn new(socket: OwnedFd, tail: Vec<u8>) -> Connection {
        Connection { socket, tail, fragments: None, unsent: Vec::new() }
    }

    /// Reads until the kernel has no more and hands out each message. Pings are answered. Errors: the server closed, by a
    /// frame or without, or broke the protocol.
    pub fn receive(&mut self, scratch: &mut Scratch, mut each: impl FnMut(&[u8])) -> Result<(), Failure> {
        loop {
            let held = self.tail.len();
            if scratch.0.len() < held + READ_BYTES {
                scratch.0.resize(held + READ_BYTES, 0);
            }
            scratch.0[..held].copy_from_slice(&self.tail);
            let room = scratch.0.len() - held;
            let received = match socket::read(&self.socket, &mut scratch.0[held..])? {
                Moved::Bytes(received) => received,
                Moved::NotNow if held == 0 || self.tail_waits() => return Ok(()),
                Moved::NotNow => 0,
                Moved::End => return Err(Failure::EarlyEof { received: 0, expected: 1 }),
            };
            let used = self.take_frames(&scratch.0[..held + received], &mut each)?;
            self.tail.clear();
            self.tail.extend_from_slice(&scratch.0[used..held + received]);
            // epoll(7): a read that brought less than asked for has emptied the socket.
            if received < room {
                return Ok(());
            }
        }
    }

    /// What an event of the poller asks for: sends on, receives, and sees the end of the stream if there is one.
    pub fn attend(
        &mut self,
        events: EventFlags,
        scratch: &mut Scratch,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        self.flush()?;
        self.receive(scratch, &mut each)?;
        if events.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            self.receive(scratch, each)?;
        }
        Ok(())
    }

    /// Whether the tail holds no whole frame; after the upgrade it may.
    fn tail_waits(&self) -> bool {
        !matches!(Header::parse(&self.tail), Ok(Some(header)) if header.end() <= self.tail.len())
    }

    /// Handles the whole frames in `bytes`; gives how many bytes they are.
    fn take_frames(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) -> Result<usize, Failure> {
        let mut at = 0;
        while let Some(header) = Header::parse(&bytes[at..])? {
            if header.mask.is_some() {
                return Err(Failure::Protocol("a server's frame is masked"));
            }
            if header.payload_len > MESSAGE_BYTES_MAX {
                return Err(Failure::Protocol("a message is larger than any that was sent"));
            }
            let Some(payload) = bytes.get(at + header.payload_at..at + header.end()) else { break };
            at += header.end();
            match header.opcode {
                frame::TEXT | frame::BINARY if header.fin => each(payload),
                frame::TEXT | frame::BINARY | frame::CONTINUATION => self.assemble(&header, payload, each)?,
                frame::PING => self.pong(payload)?,
                frame::PONG => {}
                frame::CLOSE => return Err(Failure::Closed(frame::close_code(payload))),
                _ => return Err(Failure::Protocol("an unknown opcode")),
            }
        }
        Ok(at)
    }

    fn assemble(
        &mut self,
        header: &Header,
        payload: &[u8],
        each: &mut impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let is_first = header.opcode != frame::CONTINUATION;
        if is_first == self.fragments.is_some() {
            return Err(Failure::Protocol("fragments of two messages are mixed"));
        }
        let so_far = self.fragments.get_or_insert_default();
        if so_far.len() + payload.len() > MESSAGE_BYTES_MAX {
            return Err(Failure::Protocol("a message is larger than any that was sent"));
        }
        so_far.extend_from_slice(payload);
        if header.fin
            && let Some(message) = self.fragments.take()
        {
            each(&message);
        }
        Ok(())
    }

    fn pong(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let mut pong = Vec::new();
        frame::push_masked(frame::PONG, payload, &mut pong);
        self.send(&pong)
    }

    /// Sends what the kernel takes now; the rest waits for [`Connection::flush`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut sent = 0;
        if self.unsent.is_empty() {
            sent = moved(socket::write(&self.socket, bytes)?);
        }
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends on what waits.
    pub fn flush(&mut self) -> Result<(), Failure> {
        while !self.unsent.is_empty() {
            match moved(socket::write(&self.socket, &self.unsent)?) {
                0 => break,
                sent => drop(self.unsent.drain(..sent)),
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.unsent.len()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn moved(moved: Moved) -> usize {
    match moved {
        Moved::Bytes(bytes) => bytes,
        Moved::NotNow | Moved::End => 0,
    }
}
