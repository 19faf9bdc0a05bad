//! The readiness of many sockets behind one wait on the ring (docs/decisions/0010).
//!
//! The sockets stand in an epoll set, level-triggered; the ring waits on the set's own descriptor. An idle socket costs this process nothing: no task,
//! no submission, no buffer.

use super::Ready;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Sockets told of at once.
const NEWS_MAX: usize = 128;

/// The key of the bell: no socket has it.
const BELL: u64 = u64::MAX;

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const NOTHING: Event = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };

/// A set of watched sockets.
pub struct Many {
    set: OwnedFd,
    /// A second descriptor of the set, for the runtime to wait on.
    wait: Ready,
    /// Always ready: a wait on it lets the ring have its turn.
    always: Ready,
    /// Ends a wait for news that no socket has.
    bell: OwnedFd,
}

/// What is asked of a socket. Its failure and its end are told in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    pub readable: bool,
    pub writable: bool,
}

/// One socket's readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// As given to [`Many::watch`].
    pub key: u64,
    pub readable: bool,
    pub writable: bool,
    /// Reset, failed, or closed in both directions: nothing more will come, even if nobody asked to read.
    pub over: bool,
}

/// What a look at the set found, to be taken one by one.
pub struct Look {
    events: [Event; NEWS_MAX],
    found: usize,
    taken: usize,
}

impl Default for Look {
    fn default() -> Self {
        Look { events: [NOTHING; NEWS_MAX], found: 0, taken: 0 }
    }
}

impl Many {
    /// Errors: no descriptor is left.
    pub fn new() -> io::Result<Many> {
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        let wait = Ready::new(set.try_clone()?)?;
        let always = Ready::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)?;
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        epoll::add(&set, &bell, EventData::new_u64(BELL), EventFlags::IN)?;
        Ok(Many { set, wait, always, bell })
    }

    /// Begins to watch a socket for data. It is forgotten when it is closed. Errors: memory ran out, or the user's watches
    /// (`fs.epoll.max_user_watches`).
    pub fn watch(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        Ok(epoll::add(&self.set, socket, EventData::new_u64(key), EventFlags::IN)?)
    }

    /// Watches a socket for something else from now on.
    pub fn change(&self, socket: impl AsFd, key: u64, interest: Interest) {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, interest.readable);
        flags.set(EventFlags::OUT, interest.writable);
        // A socket in the set can always be changed.
        let _ = epoll::modify(&self.set, socket, EventData::new_u64(key), flags);
    }

    /// Waits until a socket has news.
    pub async fn news(&self) -> io::Result<()> {
        self.wait.readable().await
    }

    /// Ends the wait for news as if a socket had some.
    pub fn nudge(&self) {
        // EAGAIN: it has been rung often enough.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Lets the ring, and all other tasks, have their turn.
    pub async fn give_way(&self) {
        // An eventfd below its top is always writable.
        let _ = self.always.writable().await;
    }

    /// Looks which sockets have news now, at most 128 of them and none twice, unless some of the last look have not been taken yet.
    pub fn look(&self, look: &mut Look) {
        if look.taken < look.found {
            return;
        }
        // EINTR: the next look finds them.
        look.found = epoll::wait(&self.set, &mut look.events[..], Some(&NOW)).unwrap_or(0);
        look.taken = 0;
        if look.events[..look.found].iter().any(|event| { event.data }.u64() == BELL) {
            let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
        }
    }
}

impl Iterator for Look {
    type Item = News;

    fn next(&mut self) -> Option<News> {
        while let Some(event) = self.events[..self.found].get(self.taken) {
            self.taken += 1;
            let Event { flags, data } = *event;
            let key = data.u64();
            if key != BELL {
                let readable = flags.contains(EventFlags::IN);
                let writable = flags.contains(EventFlags::OUT);
                let over = flags.intersects(EventFlags::ERR | EventFlags::HUP);
                return Some(News { key, readable, writable, over });
            }
        }
        None
    }
}
