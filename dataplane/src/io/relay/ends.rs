//! The two ends of a direction: the target's is its socket, the client's may be TLS over its own.

use super::Direction;
use crate::policy::allowance::Way;
use ringway_shared::reason::Reason;
use rustix::net::{RecvFlags, recv};

impl Direction<'_> {
    /// Whether the sender has said something, or that it is done, that no wait for its socket would tell of.
    pub(super) fn sender_has_news(self) -> bool {
        self.way == Way::Up && self.relay.session.client.has_news()
    }

    pub(super) fn receive(self, into: &mut [u8]) -> rustix::io::Result<usize> {
        match self.way {
            Way::Up => self.relay.session.client.receive(into),
            Way::Down => self.relay.target.receive(into),
        }
    }

    /// Tells of the sender's next byte without taking it: `Ok(0)` is the end of its stream.
    pub(super) fn peek(self) -> rustix::io::Result<usize> {
        match self.way {
            Way::Up => self.relay.session.client.peek(),
            Way::Down => recv(self.relay.target, &mut [0; 1][..], RecvFlags::DONTWAIT | RecvFlags::PEEK)
                .map(|(count, _)| count),
        }
    }

    pub(super) fn send(self, bytes: &[u8]) -> Result<usize, Reason> {
        let sent = match self.way {
            Way::Up => self.relay.target.send(bytes),
            Way::Down => self.relay.session.client.send(bytes),
        };
        sent.map_err(|_| self.receiver_broke())
    }

    /// Whether the receiver's socket has all that was sent: TLS keeps what did not fit.
    pub(super) fn flush_receiver(self) -> Result<bool, Reason> {
        match self.way {
            Way::Up => Ok(true),
            Way::Down => self.relay.session.client.flush().map_err(|_| self.receiver_broke()),
        }
    }

    pub(super) fn receiver_is_secured(self) -> bool {
        self.way == Way::Down && self.relay.session.client.is_secured()
    }

    /// Says the end of the stream in TLS, without which it would look cut off.
    pub(super) async fn say_the_end(self) -> Result<(), Reason> {
        self.relay.session.client.close_notify().await.map_err(|_| self.receiver_broke())
    }
}
