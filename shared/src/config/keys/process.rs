//! Keys of the process: its workers, its control port, its log.

use super::Reload::{Listener, Live, Restart};
use super::{DAY, HOUR, Key, MILLISECOND_100, key};
use crate::config::draft::WORKERS_MAX;
use crate::config::kind::Kind;
use crate::config::{DriverChoice, LogFormat, LogLevel};
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a path (PATH_MAX).
const PATH_BYTES_MAX: usize = 4096;

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

pub const REST: &[Key] = &[
    key(
        "control.listen",
        r#"["127.0.0.1:9003"]"#,
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.config.control.listen = list },
        "Where the control port listens. `[]` switches it off.",
    ),
    key(
        "control.open",
        "false",
        Listener,
        Kind::Bool(|d, yes| d.control_open = yes),
        "Allows a control listener beyond loopback: the control port asks nobody who they are yet.",
    ),
    key(
        "control.test_endpoints",
        "false",
        Live,
        Kind::Bool(|d, yes| d.config.control.test_endpoints = yes),
        "Serves the routes for smoke tests and fault drills.",
    ),
    key(
        "control.connections_max",
        "64",
        Live,
        Kind::Integer(1..=1 << 16, |d, n| d.config.control.connections_max = n as usize),
        "Control connections at once.",
    ),
    key(
        "control.api_keys",
        "[]",
        Live,
        Kind::ApiKeys(|d, keys| d.api_keys = keys),
        "Keys of the publish API, each 8 to 256 bytes, or `{sha256}` and the 64 hexadecimal digits of one's SHA-256. A request has to show one of these, or of `control.api_keys_file`, as `X-API-Key`. Without any the API is open to programs that reach the control port. They are shown to nobody; on the command line others on this host can read them.",
    ),
    key(
        "control.api_keys_file",
        r#""""#,
        Live,
        Kind::OptionalText {
            bytes_max: PATH_BYTES_MAX,
            allowed: (|c| !c.is_control(), "printable characters"),
            put: |d, path| d.api_keys_file = path.map(PathBuf::from),
        },
        "A file with more of them, one a line; lines that begin with `#` are left out. A relative path starts where that of `socks5.users_file` does.",
    ),
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
];
