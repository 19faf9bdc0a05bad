//! What is known of the upstream proxies: written by all workers, read by the control plane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What came of asking an upstream proxy for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum UpstreamResult {
    Connected,
    /// It said that the target refuses, or cannot be reached.
    TargetFailed,
    /// It refused us: login, protocol, or a fault of its own.
    Refused,
    /// It could not be connected to, or said nothing in time.
    Unreachable,
}

impl UpstreamResult {
    pub const ALL: [UpstreamResult; 4] = [
        UpstreamResult::Connected,
        UpstreamResult::TargetFailed,
        UpstreamResult::Refused,
        UpstreamResult::Unreachable,
    ];

    /// The name used in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["connected", "target_failed", "refused", "unreachable"][self as usize]
    }
}

/// What one upstream proxy has come to. Outlives reloads that keep its name.
#[derive(Default)]
pub struct UpstreamUsage {
    results: [AtomicU64; UpstreamResult::ALL.len()],
    /// Failures in a row that were its own.
    pub failures: AtomicU32,
    /// How far its turn is due (smooth weighted round robin).
    pub due: AtomicI64,
    /// A health check of it is under way.
    pub checking: AtomicBool,
}

impl UpstreamUsage {
    pub fn count(&self, result: UpstreamResult) {
        self.results[result as usize].fetch_add(1, Relaxed);
    }

    #[must_use]
    pub fn counted(&self, result: UpstreamResult) -> u64 {
        self.results[result as usize].load(Relaxed)
    }
}

/// One upstream proxy as the control plane sees it.
#[derive(Clone)]
pub struct UpstreamState {
    pub name: Arc<str>,
    /// Whether it gets connections: too many failures in a row take it out until a health check succeeds.
    pub up: bool,
    pub usage: Arc<UpstreamUsage>,
}
