//! Giving the neighbours their turn under the epoll driver.
//!
//! A wait on the ring always goes through the ring. monoio's epoll driver, though, returns at once when a
//! descriptor is ready already: a few busy sockets would keep a core to themselves, and while the run queue is
//! never empty no timer fires either. So under epoll a task lines up here after each wait, and is called
//! by an eventfd that only the driver's own wait can report.

use monoio::net::UnixStream;
use rustix::event::{EventfdFlags, eventfd};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Poll, Waker};

thread_local! {
    static NEEDED: Cell<bool> = const { Cell::new(false) };
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    static BELL: RefCell<Option<OwnedFd>> = const { RefCell::new(None) };
}

/// Whether this core's tasks must take turns here.
pub(super) fn needed() -> bool {
    NEEDED.get()
}

/// Lines up until the driver has looked for news.
pub(super) async fn take() {
    let mut lined_up = false;
    poll_fn(|context| {
        if std::mem::replace(&mut lined_up, true) {
            return Poll::Ready(());
        }
        let first = WAITING.with_borrow_mut(|waiting| {
            waiting.push(context.waker().clone());
            waiting.len() == 1
        });
        if first {
            BELL.with_borrow(|bell| bell.as_ref().map(|bell| rustix::io::write(bell, &1u64.to_ne_bytes())));
        }
        Poll::Pending
    })
    .await;
}

/// Calls those who have lined up, for ever: spawned once on a core that runs on epoll. Errors: no descriptor is
/// left for the bell; nobody takes turns then.
pub(super) async fn call() -> io::Result<()> {
    let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
    let watched = UnixStream::from_std(std::os::unix::net::UnixStream::from(bell.try_clone()?))?;
    BELL.set(Some(bell.try_clone()?));
    NEEDED.set(true);
    loop {
        watched.readable(false).await?;
        let _ = rustix::io::read(&bell, &mut [0u8; 8]);
        WAITING.take().into_iter().for_each(Waker::wake);
    }
}
