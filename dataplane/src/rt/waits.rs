//! How many waits this core has handed to its runtime and got back, and which were withdrawn.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::os::fd::RawFd;

thread_local! {
    /// Descriptors still owned here of which a wait was withdrawn: the ring may have it yet.
    static WITHDRAWN: RefCell<HashSet<RawFd>> = RefCell::default();
    static SUBMITTED: Cell<u64> = const { Cell::new(0) };
    static COMPLETED: Cell<u64> = const { Cell::new(0) };
}

/// A wait under way for this descriptor. It is withdrawn when dropped.
pub(super) struct Wait(RawFd);

impl Wait {
    pub(super) fn begin(descriptor: RawFd) -> Wait {
        SUBMITTED.set(SUBMITTED.get() + 1);
        Wait(descriptor)
    }

    /// It came back by itself.
    pub(super) fn end(self) {
        COMPLETED.set(COMPLETED.get() + 1);
        std::mem::forget(self);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        COMPLETED.set(COMPLETED.get() + 1);
        // A thread that ends takes its ring along.
        let _ = WITHDRAWN.try_with(|withdrawn| withdrawn.borrow_mut().insert(self.0));
    }
}

/// Whether a wait for this descriptor was withdrawn; its number is forgotten, for it is given up.
pub(super) fn forget_withdrawn(descriptor: RawFd) -> bool {
    WITHDRAWN.try_with(|withdrawn| withdrawn.borrow_mut().remove(&descriptor)).unwrap_or(true)
}

/// Waits handed over and waits that came back, since this thread began.
pub fn count() -> (u64, u64) {
    (SUBMITTED.get(), COMPLETED.get())
}
