//! All that may be said to a worker from outside it.

use std::time::Duration;

/// Something that happens on purpose, to see that ringway stands it, or tells it (`control.test_endpoints`).
#[derive(Clone, Copy, Debug)]
pub enum Drill {
    /// Spawn this many tasks that panic.
    Panic { tasks: u32 },
    /// Hold the worker's thread for so long: every connection on it stalls.
    Stall(Duration),
    /// Count so many events that did not happen.
    Count { events: u32 },
    /// End the worker's thread by a panic outside any task.
    Die,
}

/// What the control plane tells a worker. Workers obey in order.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Close the listeners and the idle handshakes, let transfers finish, then end the thread.
    Drain,
    /// As `Drain`, but the listening sockets are left at once to a successor that has them too: they stay open, and
    /// who waits in their queues is the successor's. Handshakes go on: who has been accepted is served.
    Retire,
    /// Take no new clients and send WebSocket clients elsewhere; what is relayed goes on, listeners and thread stay.
    Rest,
    /// Serve again as before `Rest`.
    Resume,
    /// Reset what is still open and end the thread (after `Drain` or `Retire`, when its deadline passed).
    Cut,
    /// Inject a fault.
    Drill(Drill),
}
