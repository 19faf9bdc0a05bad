//! epoll, as the loads use it: sockets known by an index.

use crate::failure::Failure;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub use rustix::event::epoll::EventFlags;

/// Events taken in one wait.
const EVENTS: usize = 256;

/// What happened, and to the socket of which index.
pub type Ready = Vec<(usize, EventFlags)>;

pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub fn new() -> Result<Poller, Failure> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|errno| Failure::own("making an epoll instance")(errno.into()))?;
        Ok(Poller { epoll })
    }

    /// Watches `socket` until it is closed.
    pub fn add(&self, socket: impl AsFd, index: usize, events: EventFlags) -> Result<(), Failure> {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, socket, data, events)
            .map_err(|errno| Failure::own("watching a socket")(errno.into()))
    }

    /// Watches for other events from now on.
    pub fn modify(&self, socket: impl AsFd, index: usize, events: EventFlags) -> Result<(), Failure> {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::modify(&self.epoll, socket, data, events)
            .map_err(|errno| Failure::own("watching a socket")(errno.into()))
    }

    /// Waits for the next events, at most `timeout` (to the nanosecond), and leaves them in `ready`.
    pub fn wait(&self, timeout: Duration, ready: &mut Ready) -> Result<(), Failure> {
        let timeout =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let nothing = epoll::Event { flags: EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = [nothing; EVENTS];
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(&timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(errno) => return Err(Failure::own("waiting for events")(errno.into())),
        };
        ready.clear();
        ready.extend(events[..count].iter().map(|event| (event.data.u64() as usize, event.flags)));
        Ok(())
    }
}
