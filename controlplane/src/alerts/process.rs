//! What the kernel tells of this process.

use super::facts::Facts;
use crate::doctor;
use crate::system;
use std::time::{Duration, Instant};

/// Limits change rarely, and take some files to read.
const LIMIT_READ_EVERY: Duration = Duration::from_secs(60);

/// Reads it, once a second.
#[derive(Default)]
pub struct Process {
    /// The memory that it may have, and when that was read.
    memory_max: Option<(Instant, Option<u64>)>,
}

impl Process {
    /// The facts with those of the process. Reads some small files of /proc.
    #[must_use]
    pub fn add(&mut self, facts: Facts, now: Instant) -> Facts {
        let resident = system::resident_bytes();
        Facts {
            cpu: system::cpu_time(),
            memory_bytes: (resident > 0).then_some(resident),
            memory_max_bytes: self.memory_max(now),
            descriptors: system::descriptors_max().map(|most| (system::open_descriptors(), most)),
            ..facts
        }
    }

    fn memory_max(&mut self, now: Instant) -> Option<u64> {
        let young = |read: &Instant| now.saturating_duration_since(*read) < LIMIT_READ_EVERY;
        if let Some((_, bytes)) = self.memory_max.as_ref().filter(|(read, _)| young(read)) {
            return *bytes;
        }
        let bytes = doctor::memory_max_bytes();
        self.memory_max = Some((now, bytes));
        bytes
    }
}
