//! A worker's inbox: a bounded channel and an eventfd that wakes the worker.
//!
//! A sender pays an eventfd write only when the worker has not been notified already, so bursts
//! cost a channel send each. The worker drains the eventfd, clears the flag, then reads with a budget.

use crate::hub::Post;
use crate::io::gateway::Arrival;
use crate::io::questions::{Reply, Ticket};
use crate::policy::online;
use crate::preparation::Order;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use ringway_shared::command::Command;
use ringway_shared::listener::Entrance;
use ringway_shared::{inspect, push};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Messages one inbox holds. A full inbox refuses: the sender counts and decides.
pub const CAPACITY: usize = 16_384;

/// What can lie in a worker's inbox.
pub enum Mail {
    Command(Command),
    /// Serve at the listeners there are.
    Open,
    /// To make ready for another configuration. Boxed: most mail is small.
    Prepare(Box<Order>),
    /// A socket accepted by another worker, to be served by this one.
    Adopt {
        entrance: Arc<Entrance>,
        socket: OwnedFd,
        peer: SocketAddr,
    },
    /// A connection that the control port has let in, to be served here.
    Welcome(Box<Arrival>),
    /// A message from another worker's hub.
    Hub(Post),
    /// A newer session of the same user has taken the place of this one.
    Replaced(online::Session),
    /// The answer to a question of one of the worker's tasks.
    Answer(Ticket, Reply),
    /// What the publish API asks, and where its answer goes.
    Push(Box<(push::Ask, push::Reply)>),
    /// What is asked about the connections there are, and where the answer goes.
    Inspect(Box<(inspect::Ask, inspect::Reply)>),
}

/// The writing end. Clones may live on any thread.
#[derive(Clone)]
pub struct Outbox {
    queue: Sender<Mail>,
    bell: Arc<Bell>,
}

/// The reading end, owned by the worker.
pub struct Inbox {
    queue: Receiver<Mail>,
    bell: Arc<Bell>,
}

struct Bell {
    eventfd: OwnedFd,
    rung: AtomicBool,
}

/// A new inbox. Errors: eventfd(2) failed (descriptors or memory ran out).
pub fn inbox() -> io::Result<(Outbox, Inbox)> {
    let eventfd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
    let bell = Arc::new(Bell { eventfd, rung: AtomicBool::new(false) });
    let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
    Ok((Outbox { queue: sender, bell: bell.clone() }, Inbox { queue: receiver, bell }))
}

impl Outbox {
    /// Posts a message and wakes the worker. Gives the message back if the inbox is full or its worker gone.
    pub fn post(&self, mail: Mail) -> Result<(), Mail> {
        self.queue.try_send(mail).map_err(|refused| match refused {
            TrySendError::Full(mail) | TrySendError::Disconnected(mail) => mail,
        })?;
        self.ring();
        Ok(())
    }

    /// Wakes the worker, unless it has been woken already.
    pub fn ring(&self) {
        if !self.bell.rung.swap(true, Ordering::AcqRel) {
            // EAGAIN would mean the counter is at its top: the worker is woken all the same.
            let _ = rustix::io::write(&self.bell.eventfd, &1u64.to_ne_bytes());
        }
    }
}

impl Inbox {
    /// A second descriptor of the eventfd, for the runtime to wait on.
    pub fn bell(&self) -> io::Result<OwnedFd> {
        self.bell.eventfd.try_clone()
    }

    /// Silences the bell. Call before reading: a message posted after this rings it anew.
    pub fn silence(&self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.bell.eventfd, &mut count);
        self.bell.rung.store(false, Ordering::Release);
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    /// The next message, if one is there.
    pub fn take(&self) -> Option<Mail> {
        self.queue.try_recv().ok()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// Where an answer goes: a worker's inbox and the ticket of the task that waits.
pub struct ReturnAddress {
    pub outbox: Outbox,
    pub ticket: Ticket,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_gives_the_message_back() {
        let (outbox, inbox) = inbox().unwrap();
        for _ in 0..CAPACITY {
            assert!(outbox.post(Mail::Command(Command::Drain)).is_ok());
        }
        assert!(outbox.post(Mail::Command(Command::Drain)).is_err());
        inbox.silence();
        assert!(inbox.take().is_some());
        assert!(outbox.post(Mail::Command(Command::Cut)).is_ok());
    }

    #[test]
    fn a_burst_rings_once_and_a_message_after_silence_rings_again() {
        let (outbox, inbox) = inbox().unwrap();
        let rings = || {
            let mut count = [0u8; 8];
            rustix::io::read(&inbox.bell.eventfd, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
        };
        for _ in 0..100 {
            outbox.post(Mail::Command(Command::Drain)).ok().unwrap();
        }
        assert_eq!(rings(), 1);
        inbox.silence();
        outbox.post(Mail::Command(Command::Drain)).ok().unwrap();
        assert_eq!(rings(), 1);
    }
}
