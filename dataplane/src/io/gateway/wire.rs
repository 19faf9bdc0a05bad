//! The bytes of one connection, plain or by TLS: direct, non-blocking calls.

use super::slot::{Slot, Stage};
use crate::core::Core;
use crate::rt::many::{Interest, Many};
use ringway_shared::closing::Closing;
use ringway_shared::tls::{TlsResult, TlsService};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use std::io::IoSlice;
use std::net::SocketAddr;

/// What became of one read.
pub(super) enum Heard {
    Bytes(usize),
    Nothing,
    Over(Closing),
}

/// The socket has failed: nothing can be written to it any more.
pub(super) struct Failed;

/// How much a socket took, by what its send said.
pub(super) fn taken(sent: rustix::io::Result<usize>) -> Result<usize, Failed> {
    match sent {
        Ok(count) => Ok(count),
        Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Ok(0),
        Err(_) => Err(Failed),
    }
}

impl Slot {
    /// Receives what is there. With `into` of 64 KiB nothing that TLS has decrypted stays behind.
    pub(super) fn receive(&mut self, core: &Core, into: &mut [u8]) -> Heard {
        let received = match &mut self.tls {
            None => rustix::net::recv(&self.socket, into, RecvFlags::DONTWAIT).map(|(count, _)| count),
            Some(tls) => tls.receive(&self.socket, &mut core.tls_scratch.borrow_mut(), into),
        };
        if self.tls.as_ref().is_some_and(|tls| tls.is_established()) && !self.secured {
            self.secured = true;
            core.cells.tls_handshakes.of(TlsService::WebSocket, TlsResult::Succeeded).add(1);
        }
        match received {
            // Who is told that this is no TLS goes away before we have seen to it.
            Ok(0) if self.tls.as_ref().is_some_and(|tls| tls.fault().is_some() && !self.secured) => {
                Heard::Over(Closing::TlsFailed)
            }
            Ok(0) => Heard::Over(Closing::ClientGone),
            Ok(count) => Heard::Bytes(count),
            Err(Errno::AGAIN | Errno::INTR) => Heard::Nothing,
            Err(_) if self.tls.as_ref().is_some_and(|tls| !tls.is_established()) => {
                Heard::Over(Closing::TlsFailed)
            }
            Err(_) => Heard::Over(Closing::ClientReset),
        }
    }

    /// Whether TLS has something to say though the socket may stay silent.
    pub(super) fn has_news(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_news())
    }

    /// Counts a TLS handshake that did not succeed.
    pub(super) fn count_tls_failure(&self, core: &Core, closing: Closing) {
        let Some(tls) = self.tls.as_ref().filter(|_| !self.secured) else { return };
        let result = match (tls.fault(), closing) {
            (Some(fault), _) => TlsResult::from(fault),
            (None, Closing::HandshakeTimeout) => TlsResult::TimedOut,
            (None, _) => TlsResult::ClientGone,
        };
        core.cells.tls_handshakes.of(TlsService::WebSocket, result).add(1);
    }

    /// Sends what fits; how much that was. Less than all of it: the socket is full.
    pub(super) fn send(&mut self, core: &Core, bytes: &[u8]) -> Result<usize, Failed> {
        let sent = match &mut self.tls {
            None => rustix::net::send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Some(tls) => tls.send(&self.socket, &mut core.tls_scratch.borrow_mut(), bytes),
        };
        taken(sent)
    }

    /// The same without TLS, of bytes that lie in two places.
    pub(super) fn send_both(&self, first: &[u8], second: &[u8]) -> Result<usize, Failed> {
        let parts = [IoSlice::new(first), IoSlice::new(second)];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        taken(rustix::net::sendmsg(&self.socket, &parts, &mut SendAncillaryBuffer::default(), flags))
    }

    /// Gives the socket what TLS has encrypted already. True: nothing of that is left.
    pub(super) fn send_encrypted(&mut self) -> Result<bool, Failed> {
        match &mut self.tls {
            Some(tls) if tls.wants_write() => tls.flush(&self.socket).map_err(|_| Failed),
            _ => Ok(true),
        }
    }

    /// Says that nothing more comes; what the client still sends can be read.
    pub(super) fn end_output(&mut self) {
        if let Some(tls) = &mut self.tls {
            let _ = tls.close_notify(&self.socket);
        }
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
    }

    /// Resets the connection: what was cut short does not look complete.
    pub(super) fn reset(&self) {
        let _ = rustix::net::connect_unspec(&self.socket);
    }

    /// Whether it reached a loopback address: then it is on this host.
    pub(super) fn is_near(&self) -> bool {
        let local = rustix::net::getsockname(&self.socket).ok();
        let local = local.and_then(|address| SocketAddr::try_from(address).ok());
        local.is_some_and(|address| address.ip().to_canonical().is_loopback())
    }

    /// Whether encrypted bytes wait for room in the socket.
    pub(super) fn holds_encrypted(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Tells the set what is awaited of the socket, if that has changed.
    pub(super) fn watch_for(&mut self, many: &Many, conn: u32) {
        let wanted =
            Interest { readable: !self.paused || self.stage != Stage::Open, writable: self.awaits_room };
        if wanted != self.watched {
            self.watched = wanted;
            many.change(&self.socket, self.key(conn), wanted);
        }
    }
}
