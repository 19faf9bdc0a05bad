//! The process's exit codes: the one place that gives them meaning.

use std::process::ExitCode;

/// How the process ended, for whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Stopped as asked, or the question was answered.
    Done,
    /// A worker died or was wedged: the others were drained, and a new process should be started.
    WorkerLost,
    /// `ringway acl test`: the connection would be refused.
    Denied,
    /// `ringway ctl`: the answer is no, or ringway is not well.
    Refused,
    /// `ringway doctor`: something is amiss on this host.
    Unwell,
    /// The command line or the configuration is wrong, or says too little to answer.
    BadConfiguration,
    /// The surroundings do not allow a start: a port is taken, io_uring is refused and epoll was not allowed.
    CannotStart,
    /// `ringway ctl`: nobody answers.
    Unreachable,
    /// A second SIGINT or SIGTERM cut the drain short.
    CutShort,
}

impl Exit {
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            // Who runs ringway and who asks it a question are never the same.
            Exit::WorkerLost | Exit::Denied | Exit::Refused | Exit::Unwell => 1,
            Exit::BadConfiguration => 2,
            Exit::CannotStart | Exit::Unreachable => 3,
            Exit::CutShort => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        exit.code().into()
    }
}
