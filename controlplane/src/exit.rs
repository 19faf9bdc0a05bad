//! The process's exit codes: the one place that gives them meaning.

use std::process::ExitCode;

/// How the process ended, for whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Stopped as asked, or the question was answered.
    Done = 0,
    /// A worker died or was wedged: the others were drained, and a new process should be started.
    WorkerLost = 1,
    /// The command line or the configuration is wrong.
    BadConfiguration = 2,
    /// The surroundings do not allow a start: a port is taken, io_uring is refused and epoll was not allowed.
    CannotStart = 3,
    /// A second SIGINT or SIGTERM cut the drain short.
    CutShort = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
