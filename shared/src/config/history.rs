//! `history`: what is kept of traffic over time.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct History {
    pub enabled: bool,
    /// `None`: kept in memory alone.
    pub file: Option<PathBuf>,
    pub keep: Keep,
    /// Users that have rows of their own in an hour; the others are summed up.
    pub users_max: usize,
}

/// For how long; none shorter than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    pub minutes: Duration,
    pub hours: Duration,
    pub days: Duration,
}

impl Keep {
    /// The longest that is kept without a file.
    pub const IN_MEMORY_MAX: Duration = Duration::from_secs(86_400);

    /// As it is kept without a file.
    #[must_use]
    pub fn in_memory(self) -> Keep {
        let at_most = |kept: Duration| kept.min(Keep::IN_MEMORY_MAX);
        Keep { minutes: at_most(self.minutes), hours: at_most(self.hours), days: at_most(self.days) }
    }
}
