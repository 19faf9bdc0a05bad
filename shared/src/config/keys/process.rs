//! Keys of the process: its workers and its logs.

use super::Reload::{Live, Restart};
use super::{DAY, HOUR, Key, MILLISECOND_100, key};
use crate::config::draft::WORKERS_MAX;
use crate::config::kind::Kind;
use crate::config::{DriverChoice, LogFormat, LogLevel};
use std::time::Duration;

pub const WORKERS: &[Key] = &[
    key(
        "workers.count",
        "auto",
        Restart,
        Kind::IntegerOr("auto", 1..=WORKERS_MAX as u64, |d, n| d.workers_count = n.map(|n| n as usize)),
        "Worker threads. `auto`: as many as `workers.cpus` names, else as the CPUs this process may use.",
    ),
    key(
        "workers.cpus",
        "[]",
        Restart,
        Kind::Cpus(0..=u16::MAX as u64, |d, cpus| d.config.workers.cpus = cpus),
        "Pins worker i to the i-th CPU of the list, e.g. `[0, 2]`. Empty: not pinned.",
    ),
    key(
        "workers.driver",
        "auto",
        Restart,
        Kind::Word(&[
            ("auto", |d| d.config.workers.driver = DriverChoice::Auto),
            ("io_uring", |d| d.config.workers.driver = DriverChoice::IoUring),
            ("epoll", |d| d.config.workers.driver = DriverChoice::Epoll),
        ]),
        "How workers wait for the kernel. `auto`: io_uring, or epoll where the kernel refuses it.",
    ),
    key(
        "workers.stalled_after",
        "2s",
        Live,
        Kind::Duration(MILLISECOND_100..=HOUR, |d, t| d.config.workers.stalled_after = t),
        "A worker that has not shown life for so long is called stalled on `/livez`.",
    ),
    key(
        "workers.wedged_after",
        "30s",
        Live,
        Kind::Duration(Duration::ZERO..=DAY, |d, t| d.config.workers.wedged_after = t),
        "A worker that has not shown life for so long makes the process drain and exit. `0s`: never.",
    ),
    key(
        "workers.ready_within",
        "60s",
        Live,
        Kind::Duration(MILLISECOND_100..=HOUR, |d, t| d.config.workers.ready_within = t),
        "How long a new process may take at a hot restart until it could serve. One that takes longer is killed, and the old one goes on.",
    ),
];

pub const LOG: &[Key] = &[
    key(
        "log.level",
        "info",
        Live,
        Kind::Word(&[
            ("error", |d| d.config.log.level = LogLevel::Error),
            ("warn", |d| d.config.log.level = LogLevel::Warn),
            ("info", |d| d.config.log.level = LogLevel::Info),
            ("debug", |d| d.config.log.level = LogLevel::Debug),
            ("trace", |d| d.config.log.level = LogLevel::Trace),
        ]),
        "The least important lines still written.",
    ),
    key(
        "log.format",
        "text",
        Restart,
        Kind::Word(&[
            ("text", |d| d.config.log.format = LogFormat::Text),
            ("json", |d| d.config.log.format = LogFormat::Json),
        ]),
        "Lines for people, or one JSON object a line.",
    ),
    key(
        "log.access",
        "stderr",
        Live,
        Kind::AccessLog(|d, log| d.config.log.access = log),
        "Where one line goes for each connection at its end: who, to where, bytes each way, durations, reason. A file is appended to and opened anew at SIGUSR1; a relative path starts where that of `socks5.users_file` does. `true` and `false` mean `stderr` and `off`.",
    ),
    key(
        "log.access_format",
        "as_log",
        Live,
        Kind::Word(&[
            ("as_log", |d| d.access_format = None),
            ("text", |d| d.access_format = Some(LogFormat::Text)),
            ("json", |d| d.access_format = Some(LogFormat::Json)),
        ]),
        "The format of those lines. `as_log`: as `log.format` says.",
    ),
    key(
        "log.audit",
        "stderr",
        Live,
        Kind::AccessLog(|d, log| d.config.log.audit = log),
        "Where one line goes for each request on the control port that changes something, refused ones too: who, from where, what, with what result. Requests of the publish API are left out. As `log.access` otherwise.",
    ),
    key(
        "log.control",
        "off",
        Live,
        Kind::AccessLog(|d, log| d.config.log.control = log),
        "Where one line goes for each request on the control port. As `log.access` otherwise.",
    ),
];
