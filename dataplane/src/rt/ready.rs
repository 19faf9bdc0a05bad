//! A descriptor the ring waits on, and one of the data plane's two unsafe lines (docs/decisions/0001).

use super::turns;
use super::waits::{self, Wait};
use monoio::net::UnixStream;
use rustix::net::{SendFlags, Shutdown};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// An owned descriptor (socket or eventfd) whose readiness this core's runtime can await.
///
/// The ring only waits; bytes move by non-blocking calls on [`AsFd`]. The descriptor must be
/// O_NONBLOCK. It closes on drop. Waits end when the descriptor becomes ready, fails, or is aborted.
pub struct Ready {
    // A UnixStream is monoio's cheapest public owner of any descriptor, 8 bytes; nothing here is of that family. None: only while dropped.
    owner: Option<UnixStream>,
}

impl Ready {
    /// Takes a descriptor into this core's runtime. Errors: epoll refused it (epoll driver only).
    pub fn new(descriptor: impl Into<OwnedFd>) -> io::Result<Ready> {
        let owner = UnixStream::from_std(std::os::unix::net::UnixStream::from(descriptor.into()))?;
        Ok(Ready { owner: Some(owner) })
    }

    /// Waits until a read would not block: data, end of stream or an error.
    pub async fn readable(&self) -> io::Result<()> {
        let wait = Wait::begin(self.owner().as_raw_fd());
        // `false`: the epoll driver must ask poll(2), or our own reads make it spin.
        let result = self.owner().readable(false).await;
        wait.end();
        if turns::needed() {
            turns::take().await;
        }
        result
    }

    /// Waits until a write would not block, or would fail.
    pub async fn writable(&self) -> io::Result<()> {
        let wait = Wait::begin(self.owner().as_raw_fd());
        let result = self.owner().writable(false).await;
        wait.end();
        if turns::needed() {
            turns::take().await;
        }
        result
    }

    fn owner(&self) -> &UnixStream {
        let Some(owner) = &self.owner else { unreachable!("it is there until the drop") };
        owner
    }

    /// Receives what is there: `Ok(0)` is the end of the stream; never waits (EAGAIN).
    pub fn receive(&self, into: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::net::recv(self, into, rustix::net::RecvFlags::DONTWAIT).map(|(count, _)| count)
    }

    /// Sends what fits, `Ok(0)` if nothing does. A closed peer is EPIPE, never a signal.
    pub fn send(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match rustix::net::send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::AGAIN) => Ok(0),
            sent => sent,
        }
    }

    /// Sends all of it, waiting for room.
    pub async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self.send(bytes)?;
            bytes = &bytes[sent..];
            if !bytes.is_empty() {
                self.writable().await?;
            }
        }
        Ok(())
    }

    /// Says end of stream to the peer; reading goes on.
    pub fn shutdown_write(&self) {
        // ENOTCONN: the peer has reset it meanwhile; the next read says so.
        let _ = rustix::net::shutdown(self, Shutdown::Write);
    }

    /// Ends both directions in order and wakes whoever waits on it.
    pub fn shutdown(&self) {
        let _ = rustix::net::shutdown(self, Shutdown::Both);
    }

    /// Resets the connection, so that a cut transfer never looks complete, and wakes whoever waits on it.
    pub fn abort(&self) {
        // connect(AF_UNSPEC) disconnects: an established connection sends RST, a pending connect ends.
        let _ = rustix::net::connect_unspec(self);
    }
}

impl Drop for Ready {
    /// Closes by close(2) where it may: monoio closes by the ring, and at once cancels that close, which finds nothing to cancel after it has
    /// looked through a part of all waits there are (docs/decisions/0033).
    fn drop(&mut self) {
        // While the ring may still have a wait the stream has two owners: monoio closes it when that has come back.
        if let Some(owner) = self.owner.take()
            && !waits::forget_withdrawn(owner.as_raw_fd())
        {
            let _ = nix::unistd::close(owner);
        }
    }
}

impl AsFd for Ready {
    #[allow(unsafe_code)]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `owner` owns the descriptor and closes it only when dropped; the borrow's lifetime
        // is bound to `&self`, so the owner outlives it. Only the drop of `self` takes the descriptor
        // out of `owner`, and the field is private.
        unsafe { BorrowedFd::borrow_raw(self.owner().as_raw_fd()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Runtime, sleep};
    use super::*;
    use futures_util::FutureExt;
    use ringway_shared::config::DriverChoice;
    use std::io::Read;
    use std::os::unix::net::UnixStream as Peer;
    use std::time::Duration;

    fn each_driver(test: impl AsyncFn(Ready, Peer)) {
        for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
            Runtime::build(choice).unwrap().run(async {
                let (ours, peer) = Peer::pair().unwrap();
                ours.set_nonblocking(true).unwrap();
                peer.set_nonblocking(true).unwrap();
                test(Ready::new(ours).unwrap(), peer).await;
            });
        }
    }

    #[test]
    fn a_descriptor_that_nothing_waits_for_is_closed_at_once() {
        each_driver(async |ours, mut peer| {
            ours.writable().await.unwrap();
            drop(ours);
            assert_eq!(
                peer.read(&mut [0; 1]).unwrap(),
                0,
                "it is the drop that closes, not a later turn of the ring"
            );
        });
    }

    #[test]
    fn one_whose_wait_was_withdrawn_is_closed_once_the_ring_has_let_go_of_it() {
        each_driver(async |ours, mut peer| {
            let number = ours.as_fd().as_raw_fd();
            // Begun, and given up.
            assert!(ours.readable().now_or_never().is_none());
            drop(ours);
            assert!(!waits::forget_withdrawn(number), "its number is another's from now on");
            for _ in 0..1_000 {
                if peer.read(&mut [0; 1]).is_ok_and(|count| count == 0) {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
            panic!("it is still open");
        });
    }
}
