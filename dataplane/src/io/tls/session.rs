//! One TLS connection, from its first byte to its last, over a socket that somebody else owns and waits on.

use super::faults::fault_of;
use ringway_shared::tls::TlsFault;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus, WriteTraffic};
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes a scratch must have: the largest record (RFC 8446 section 5.2: 5 + 16,384 + 256; RFC 5246 allows 2,048
/// instead of 256) behind what is held of the one before.
pub const SCRATCH_BYTES_MIN: usize = 64 * 1024;
/// Ciphertext held while its record, or the handshake message that goes over several, is not complete.
const INCOMING_BYTES_MAX: usize = 24 * 1024;
/// A read asks for at least so many bytes, however few the caller has room for.
const READ_BYTES_MIN: usize = 4 * 1024;
/// Plaintext encrypted at once: three records, which fit the scratch.
const SEND_BYTES_MAX: usize = 3 * 16 * 1024;
/// Ciphertext that waits for the socket: one send's, and what the protocol itself has to say.
const OUTGOING_BYTES_MAX: usize = SCRATCH_BYTES_MIN + 64 * 1024;

const _: () = assert!(INCOMING_BYTES_MAX + READ_BYTES_MIN < SCRATCH_BYTES_MIN);
const _: () = assert!(INCOMING_BYTES_MAX > 5 + 16 * 1024 + 2 * 1024);
const _: () = assert!(SEND_BYTES_MAX + 3 * 256 + 1024 < SCRATCH_BYTES_MIN);

/// One TLS connection of a server. Owns no socket, waits for nothing, and holds no buffer while nothing is under
/// way; `scratch` is the worker's, at least [`SCRATCH_BYTES_MIN`] long, and means nothing between two calls.
///
/// What to call, in a loop that waits on the socket (level-triggered):
///
/// 1. When the socket is readable: [`Tls::receive`], which leads the handshake as well and answers it at once. Bytes
///    come as from recv(2): `Ok(0)` is the end the client has declared (close_notify), `EAGAIN` means wait. One call
///    reads the socket once. While [`Tls::has_news`] call it again before waiting: the socket may stay silent.
/// 2. To send: [`Tls::send`], from [`Tls::is_established`] on. It takes as much as the socket does, and one piece more,
///    which it keeps; `Ok(0)` means wait. What it has taken need not be given again.
/// 3. While [`Tls::wants_write`], whichever call brought it about: wait until the socket is writable, then
///    [`Tls::flush`].
/// 4. At the end of what is sent: [`Tls::close_notify`], then 3, then shutdown(2). To cut a connection, drop it and
///    reset the socket: without close_notify it does not look complete.
///
/// An error other than `EAGAIN` is final. Of the socket it is the socket's own; `EPROTO` and `ECONNRESET` may be TLS's,
/// and [`Tls::fault`] tells. The alert that explains a fault has been given to the socket by then, if it took it.
pub struct Tls(Box<Session>);

struct Session {
    connection: UnbufferedServerConnection,
    /// What has been read and cannot be made sense of yet: the beginning of a record or of a handshake message.
    incoming: Vec<u8>,
    /// What has been decrypted and did not fit the caller's buffer.
    plaintext: Vec<u8>,
    /// So much of it has been taken.
    plaintext_taken: usize,
    /// What the socket has not taken yet.
    outgoing: Vec<u8>,
    is_established: bool,
    /// The client has said that nothing comes after.
    client_closed: bool,
    /// We have said so.
    closed: bool,
    fault: Option<TlsFault>,
    /// The caller has been told of the end, or of the fault.
    end_told: bool,
}

/// Where decrypted bytes go: the caller's buffer first.
struct Sink<'a> {
    into: &'a mut [u8],
    filled: usize,
}

/// What one step of the protocol leaves to do.
enum Next {
    Again,
    /// Nothing without more input.
    Blocked,
}

impl Tls {
    pub(super) fn new(connection: UnbufferedServerConnection) -> Tls {
        Tls(Box::new(Session {
            connection,
            incoming: Vec::new(),
            plaintext: Vec::new(),
            plaintext_taken: 0,
            outgoing: Vec::new(),
            is_established: false,
            client_closed: false,
            closed: false,
            fault: None,
            end_told: false,
        }))
    }

    /// Whether the handshake is done.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.0.is_established
    }

    /// Why it ended, if that was TLS's doing.
    #[must_use]
    pub fn fault(&self) -> Option<TlsFault> {
        self.0.fault
    }

    /// Whether [`Tls::receive`] has something to say though the socket may stay silent: decrypted bytes, or the end or
    /// fault that came with them.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.0.has_plaintext() || (self.0.is_over() && !self.0.end_told)
    }

    /// Whether ciphertext waits for the socket.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.0.outgoing.is_empty()
    }

    /// Bytes held in buffers: none while the connection is idle.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.0.incoming.capacity() + self.0.plaintext.capacity() + self.0.outgoing.capacity()
    }

    /// Reads what the client has sent, as recv(2) would: see [`Tls`].
    pub fn receive(
        &mut self,
        socket: impl AsFd,
        scratch: &mut [u8],
        into: &mut [u8],
    ) -> rustix::io::Result<usize> {
        let session = &mut *self.0;
        let mut sink = Sink { into, filled: 0 };
        if session.has_plaintext() {
            return Ok(session.take_plaintext(&mut sink));
        }
        if session.is_over() {
            return session.ended();
        }
        let kept = session.incoming.len();
        let room = scratch.len() - kept;
        let most = kept + room.min(sink.into.len().max(READ_BYTES_MIN));
        scratch[..kept].copy_from_slice(&session.incoming);
        let count = match recv(&socket, &mut scratch[kept..most], RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                session.fault = Some(TlsFault::Truncated);
                return session.ended();
            }
            Ok((count, _)) => count,
            Err(Errno::INTR) => return Err(Errno::AGAIN),
            Err(error) => return Err(error),
        };
        session.take_in(&mut scratch[..kept + count], &mut sink);
        // A socket that takes nothing any more says so when it is read.
        let _ = session.flush(socket.as_fd());
        if sink.filled > 0 { Ok(sink.filled) } else { session.ended() }
    }

    /// Tells of the next byte without handing it over: `Ok(0)` is the end of the stream. Leads the handshake as
    /// [`Tls::receive`] does.
    pub fn peek(&mut self, socket: impl AsFd, scratch: &mut [u8]) -> rustix::io::Result<usize> {
        if self.0.has_plaintext() {
            return Ok(1);
        }
        let outcome = self.receive(socket, scratch, &mut []);
        if self.0.has_plaintext() { Ok(1) } else { outcome }
    }

    /// Encrypts and sends from the front of `bytes`; how many of them were taken. `Ok(0)`: the socket has no room, or
    /// the handshake is not done.
    pub fn send(&mut self, socket: impl AsFd, scratch: &mut [u8], bytes: &[u8]) -> rustix::io::Result<usize> {
        let session = &mut *self.0;
        if session.closed || session.fault.is_some() {
            return if session.closed { Err(Errno::PIPE) } else { session.ended() };
        }
        let mut taken = 0;
        while taken < bytes.len() && session.is_established && session.flush(socket.as_fd())? {
            let chunk = &bytes[taken..bytes.len().min(taken + SEND_BYTES_MAX)];
            let count = session.encrypt(chunk, scratch)?;
            taken += chunk.len();
            let sent = give(socket.as_fd(), &scratch[..count])?;
            session.outgoing.extend_from_slice(&scratch[sent..count]);
        }
        Ok(taken)
    }

    /// Gives the socket what it has not taken yet. True: all of it.
    pub fn flush(&mut self, socket: impl AsFd) -> rustix::io::Result<bool> {
        self.0.flush(socket.as_fd())
    }

    /// Says that nothing more is sent (RFC 8446 section 6.1); receiving goes on. [`Tls::wants_write`] tells whether the
    /// socket still has to take it.
    pub fn close_notify(&mut self, socket: impl AsFd) -> rustix::io::Result<()> {
        let session = &mut *self.0;
        let may_speak = session.is_established && session.fault.is_none();
        if may_speak && !std::mem::replace(&mut session.closed, true) {
            session.queue_close_notify();
        }
        session.flush(socket.as_fd()).map(|_| ())
    }
}

impl Session {
    fn has_plaintext(&self) -> bool {
        self.plaintext_taken < self.plaintext.len()
    }

    /// Whether nothing more will be received.
    fn is_over(&self) -> bool {
        self.client_closed || self.fault.is_some()
    }

    /// What a call that has nothing to hand over says.
    fn ended(&mut self) -> rustix::io::Result<usize> {
        self.end_told = self.is_over() && !self.has_plaintext();
        match self.fault {
            // Not an end of the stream: it may be an attacker's (RFC 8446 section 6.1).
            Some(TlsFault::Truncated) => Err(Errno::CONNRESET),
            Some(_) => Err(Errno::PROTO),
            None if self.client_closed => Ok(0),
            None => Err(Errno::AGAIN),
        }
    }

    fn take_plaintext(&mut self, sink: &mut Sink<'_>) -> usize {
        let waiting = &self.plaintext[self.plaintext_taken..];
        self.plaintext_taken += sink.put(waiting);
        if self.plaintext_taken == self.plaintext.len() {
            (self.plaintext, self.plaintext_taken) = (Vec::new(), 0);
        }
        sink.filled
    }

    /// Makes what sense there is of what has been read, and keeps the rest.
    fn take_in(&mut self, read: &mut [u8], sink: &mut Sink<'_>) {
        let mut at = 0;
        while let Next::Again = self.step(read, &mut at, sink) {}
        self.incoming.clear();
        self.incoming.extend_from_slice(&read[at..]);
        self.incoming.shrink_to(self.incoming.len().next_multiple_of(READ_BYTES_MIN));
        if self.incoming.len() > INCOMING_BYTES_MAX {
            self.fault.get_or_insert(TlsFault::Flood);
        }
        if self.fault.is_some() {
            self.incoming = Vec::new();
        }
    }

    /// One step of the protocol over `read[at..]`; `at` moves past what has been used up.
    fn step(&mut self, read: &mut [u8], at: &mut usize, sink: &mut Sink<'_>) -> Next {
        let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(&mut read[*at..]);
        let next = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let Ok(record) = record else { break };
                    let put = sink.put(record.payload);
                    self.plaintext.extend_from_slice(&record.payload[put..]);
                    discard += record.discard;
                }
                Next::Again
            }
            Ok(ConnectionState::EncodeTlsData(data)) => {
                encode(data, &mut self.outgoing);
                let last_words_said = self.fault.is_some() && !self.connection.wants_write();
                if last_words_said { Next::Blocked } else { self.heed_limit() }
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // It is in `outgoing`, which goes before everything else.
                data.done();
                Next::Again
            }
            Ok(ConnectionState::PeerClosed) => {
                self.client_closed = true;
                Next::Again
            }
            Ok(ConnectionState::WriteTraffic(_)) => {
                self.is_established = true;
                Next::Blocked
            }
            // Early data is not offered: `max_early_data_size` is 0.
            Ok(_) => Next::Blocked,
            Err(error) => {
                self.fault.get_or_insert(fault_of(&error, self.is_established));
                // There is the alert that explains it, and no further step may be taken once it is out.
                if self.connection.wants_write() { Next::Again } else { Next::Blocked }
            }
        };
        *at += discard;
        next
    }

    fn heed_limit(&mut self) -> Next {
        if self.outgoing.len() <= OUTGOING_BYTES_MAX {
            return Next::Again;
        }
        self.fault.get_or_insert(TlsFault::Flood);
        Next::Blocked
    }

    /// Encrypts `chunk` into the scratch; how many bytes that makes.
    fn encrypt(&mut self, chunk: &[u8], scratch: &mut [u8]) -> rustix::io::Result<usize> {
        let encrypted = self.with_writer(|writer| writer.encrypt(chunk, scratch));
        match encrypted {
            Some(Ok(count)) => Ok(count),
            Some(Err(_)) => {
                self.fault.get_or_insert(TlsFault::Exhausted);
                Err(Errno::PROTO)
            }
            None => self.ended(),
        }
    }

    fn queue_close_notify(&mut self) {
        // An alert record of either version, with a key update before it at the most.
        let mut alert = [0; 256];
        let written = self.with_writer(|writer| writer.queue_close_notify(&mut alert));
        if let Some(Ok(count)) = written {
            self.outgoing.extend_from_slice(&alert[..count]);
        }
    }

    /// Runs `write` once the protocol has said what it had to say before. `None`: it cannot write any more.
    fn with_writer<T>(
        &mut self,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> T,
    ) -> Option<T> {
        loop {
            // The same bytes as at the last step: handshake messages may be half put together in them.
            let state = self.connection.process_tls_records(&mut self.incoming).state;
            match state {
                Ok(ConnectionState::WriteTraffic(mut writer)) => return Some(write(&mut writer)),
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.outgoing);
                    if let Next::Blocked = self.heed_limit() {
                        return None;
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.client_closed = true,
                Ok(_) => return None,
                Err(error) => {
                    self.fault.get_or_insert(fault_of(&error, self.is_established));
                    return None;
                }
            }
        }
    }

    fn flush(&mut self, socket: BorrowedFd<'_>) -> rustix::io::Result<bool> {
        if self.outgoing.is_empty() {
            return Ok(true);
        }
        let sent = give(socket, &self.outgoing)?;
        self.outgoing.drain(..sent);
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
        Ok(self.outgoing.is_empty())
    }
}

impl Sink<'_> {
    /// How many of `bytes` have found room.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let room = &mut self.into[self.filled..];
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.filled += count;
        count
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) {
    let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) else { return };
    let start = outgoing.len();
    outgoing.resize(start + needed.required_size, 0);
    let encoded = data.encode(&mut outgoing[start..]).unwrap_or(0);
    outgoing.truncate(start + encoded);
}

/// Sends what the socket takes now.
fn give(socket: BorrowedFd<'_>, bytes: &[u8]) -> rustix::io::Result<usize> {
    match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        sent => sent,
    }
}
