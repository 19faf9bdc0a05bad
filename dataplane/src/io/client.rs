//! The client's side of a connection: its socket, and TLS over it where its listener says so.
//!
//! Whoever speaks with a client speaks through this, and need not know which of the two it is. Waiting is done on the
//! socket either way; what TLS holds back (decrypted bytes nobody took yet, records the socket has not taken) is asked
//! for by name.

use crate::io::tls::Tls;
use crate::rt::Ready;
use ringway_shared::tls::TlsFault;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

/// A client's connection.
pub struct Client {
    socket: Ready,
    /// Boxed: most connections have none, and each idle one pays for the room.
    secured: Option<Box<Secured>>,
}

struct Secured {
    tls: RefCell<Tls>,
    /// The core's second scratch: ciphertext. The first one holds what is read or sent meanwhile.
    scratch: Rc<RefCell<Box<[u8]>>>,
}

impl Client {
    #[must_use]
    pub fn plain(socket: Ready) -> Client {
        Client { socket, secured: None }
    }

    #[must_use]
    pub fn secured(socket: Ready, tls: Tls, scratch: Rc<RefCell<Box<[u8]>>>) -> Client {
        Client { socket, secured: Some(Box::new(Secured { tls: RefCell::new(tls), scratch })) }
    }

    /// What is waited on, shut down and aborted. Bytes go past TLS there.
    #[must_use]
    pub fn socket(&self) -> &Ready {
        &self.socket
    }

    #[must_use]
    pub fn is_secured(&self) -> bool {
        self.secured.is_some()
    }

    /// Why TLS ended the connection, if it did.
    #[must_use]
    pub fn fault(&self) -> Option<TlsFault> {
        self.secured.as_ref().and_then(|secured| secured.tls.borrow().fault())
    }

    /// Whether there are bytes, or their end, that no wait for the socket would tell of.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.secured.as_ref().is_some_and(|secured| secured.tls.borrow().has_news())
    }

    /// Waits until a read would not block.
    pub async fn readable(&self) -> io::Result<()> {
        if self.has_news() { Ok(()) } else { self.socket.readable().await }
    }

    /// Receives what is there: `Ok(0)` is the end of the stream; never waits (EAGAIN).
    pub fn receive(&self, into: &mut [u8]) -> rustix::io::Result<usize> {
        match &self.secured {
            None => self.socket.receive(into),
            Some(secured) => secured.receive(&self.socket, into),
        }
    }

    /// Tells of the next byte without taking it: `Ok(0)` is the end of the stream.
    pub fn peek(&self) -> rustix::io::Result<usize> {
        match &self.secured {
            None => recv(&self.socket, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT)
                .map(|(count, _)| count),
            Some(secured) => secured.tls.borrow_mut().peek(&self.socket, &mut secured.scratch.borrow_mut()),
        }
    }

    /// Sends what fits, `Ok(0)` if nothing does. What TLS has taken and the socket has not is [`Client::flush`]'s.
    pub fn send(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match &self.secured {
            None => self.socket.send(bytes),
            Some(secured) => {
                let mut scratch = secured.scratch.borrow_mut();
                secured.tls.borrow_mut().send(&self.socket, &mut scratch, bytes)
            }
        }
    }

    /// Gives the socket what TLS holds for it. True: nothing is left.
    pub fn flush(&self) -> rustix::io::Result<bool> {
        self.secured.as_ref().map_or(Ok(true), |secured| secured.tls.borrow_mut().flush(&self.socket))
    }

    /// Sends all of it, waiting for room.
    pub async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        if !self.is_secured() {
            return self.socket.send_all(bytes).await;
        }
        loop {
            let sent = self.send(bytes)?;
            bytes = &bytes[sent..];
            if self.flush()? && bytes.is_empty() {
                return Ok(());
            }
            self.socket.writable().await?;
        }
    }

    /// Says in TLS that nothing more is sent, waiting for room; the socket is left open. Nothing without TLS.
    pub async fn close_notify(&self) -> io::Result<()> {
        let Some(secured) = &self.secured else { return Ok(()) };
        secured.tls.borrow_mut().close_notify(&self.socket)?;
        while !self.flush()? {
            self.socket.writable().await?;
        }
        Ok(())
    }

    /// One step of the TLS handshake. True: it is done, or there is none. Errors: it has failed, and
    /// [`Client::fault`] may tell why.
    pub fn shake_hands(&self) -> rustix::io::Result<bool> {
        let Some(secured) = &self.secured else { return Ok(true) };
        match self.peek() {
            Ok(0) => Err(Errno::CONNRESET),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(secured.tls.borrow().is_established()),
            Err(error) => Err(error),
        }
    }
}

impl Secured {
    fn receive(&self, socket: &Ready, into: &mut [u8]) -> rustix::io::Result<usize> {
        self.tls.borrow_mut().receive(socket, &mut self.scratch.borrow_mut(), into)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
