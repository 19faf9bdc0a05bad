//! A configured user and what it has used: shared by all workers, and kept across reloads by its name.
//!
//! The counters of traffic are cells, one writer each. What must be one number over all cores (connections, the
//! rate's schedule, the quota) is atomic, and is touched for users with such a limit only.

use crate::config::User;
use crate::metrics::UserCells;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A user as the users file has it now, and its usage.
#[derive(Clone)]
pub struct Account {
    pub user: Arc<User>,
    pub usage: Arc<Usage>,
}

/// What one user has used. Outlives the users file that named the user.
pub struct Usage {
    /// One for each worker.
    pub cells: Box<[UserCells]>,
    /// Connections open now, over all workers.
    pub connections: AtomicU64,
    /// When the next byte is due, in nanoseconds since the process's epoch, from client to target.
    pub up_due_ns: AtomicU64,
    /// The same from target to client.
    pub down_due_ns: AtomicU64,
    /// Bytes used of the quota, both directions together.
    pub quota_used: AtomicU64,
}

impl Usage {
    #[must_use]
    pub fn for_workers(workers: usize) -> Self {
        Usage {
            cells: (0..workers).map(|_| UserCells::default()).collect(),
            connections: AtomicU64::new(0),
            up_due_ns: AtomicU64::new(0),
            down_due_ns: AtomicU64::new(0),
            quota_used: AtomicU64::new(0),
        }
    }

    /// Counts a connection if fewer than `max` are open. False: the limit is reached and nothing was counted.
    #[must_use]
    pub fn enter(&self, max: u64) -> bool {
        self.connections.fetch_update(Relaxed, Relaxed, |now| (now < max).then_some(now + 1)).is_ok()
    }

    /// Uncounts what [`Usage::enter`] counted.
    pub fn leave(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Sum of a cell over all workers.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&UserCells) -> u64) -> u64 {
        self.cells.iter().map(of).sum()
    }
}
