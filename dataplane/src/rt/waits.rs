//! How many waits this core has handed to its runtime and got back.

use std::cell::Cell;

thread_local! {
    static SUBMITTED: Cell<u64> = const { Cell::new(0) };
    static COMPLETED: Cell<u64> = const { Cell::new(0) };
}

/// A wait under way. It comes back when dropped, whether it ended or was withdrawn.
pub(super) struct Wait(());

impl Wait {
    pub(super) fn begin() -> Wait {
        SUBMITTED.set(SUBMITTED.get() + 1);
        Wait(())
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        COMPLETED.set(COMPLETED.get() + 1);
    }
}

/// Waits handed over and waits that came back, since this thread began.
pub fn count() -> (u64, u64) {
    (SUBMITTED.get(), COMPLETED.get())
}
