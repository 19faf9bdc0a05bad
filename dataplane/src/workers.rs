//! The one handle the control plane holds: start the workers, speak to them, see them end.

use ringway_shared::command::Command;
use ringway_shared::config::Config;
use ringway_shared::metrics::Cells;
use ringway_shared::session::SessionEnd;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Why the data plane could not start. The text says what to do.
#[derive(Debug)]
pub struct StartError(pub String);

/// How a worker's thread is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerState {
    Running,
    /// It ended because it was told to; `cut` connections were reset at the deadline.
    Ended {
        cut: u64,
    },
    /// It ended on its own: a fault of ours. The process must drain the others and exit.
    Died {
        cause: String,
    },
}

/// All workers of this process, and the resolver and verifiers that serve them.
pub struct Workers {}

/// Binds every listener, then starts resolver, verifiers and workers. `cells[i]` is worker i's;
/// heartbeats count from `epoch`. Returns when every worker serves.
pub fn start(_config: &Arc<Config>, _cells: &[Arc<Cells>], _epoch: Instant) -> Result<Workers, StartError> {
    Err(StartError("being built".into()))
}

impl Workers {
    /// The SOCKS5 addresses, ports resolved.
    #[must_use]
    pub fn socks5_addresses(&self) -> &[SocketAddr] {
        &[]
    }

    /// What the operator should know about the start, e.g. why epoll is used instead of io_uring.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &[]
    }

    /// Tells one worker. False: its inbox is full or its thread has ended. Never blocks.
    #[must_use]
    pub fn tell(&self, _worker: usize, _command: Command) -> bool {
        false
    }

    /// Takes up to `max` records of ended connections. Never blocks.
    pub fn take_session_ends(&self, _into: &mut Vec<SessionEnd>, _max: usize) {}

    /// How worker `worker` is doing. Never blocks.
    #[must_use]
    pub fn state(&self, _worker: usize) -> WorkerState {
        WorkerState::Running
    }
}
