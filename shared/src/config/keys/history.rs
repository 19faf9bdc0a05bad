//! Keys of the history.

use super::Reload::{Live, Restart};
use super::{DAY, HOUR, Key, PATH_BYTES_MAX, key};
use crate::config::kind::Kind;

/// For each time that is kept: the file is not for ever.
const DAYS_MAX: u32 = 3660;
/// Users with rows of their own.
const USERS_MAX: u64 = 10_000;

pub const KEYS: &[Key] = &[
    key(
        "history.enabled",
        "true",
        Restart,
        Kind::Bool(|d, yes| d.config.history.enabled = yes),
        "Keeps traffic, connections and failures of each minute, in total, by user and by listener, for `GET /api/v1/history`.",
    ),
    key(
        "history.file",
        r#""""#,
        Restart,
        Kind::OptionalText {
            bytes_max: PATH_BYTES_MAX,
            allowed: (|c| !c.is_control(), "printable characters"),
            put: |d, path| d.config.history.file = path.map(Into::into),
        },
        "The SQLite file that it is kept in, so that it survives a restart. Without one it is kept in memory, for 24 h at most. A relative path starts where that of `socks5.users_file` does.",
    ),
    key(
        "history.keep_minutes",
        "48h",
        Live,
        Kind::Duration(HOUR..=DAY.saturating_mul(DAYS_MAX), |d, t| d.config.history.keep.minutes = t),
        "How long single minutes are kept.",
    ),
    key(
        "history.keep_hours",
        "90d",
        Live,
        Kind::Duration(HOUR..=DAY.saturating_mul(DAYS_MAX), |d, t| d.config.history.keep.hours = t),
        "How long hours are kept; at least as long as minutes.",
    ),
    key(
        "history.keep_days",
        "730d",
        Live,
        Kind::Duration(DAY..=DAY.saturating_mul(DAYS_MAX), |d, t| d.config.history.keep.days = t),
        "How long days (UTC) are kept; at least as long as hours.",
    ),
    key(
        "history.users_max",
        "256",
        Live,
        Kind::Integer(0..=USERS_MAX, |d, n| d.config.history.users_max = n as usize),
        "Users with rows of their own in an hour: those with the most traffic, and who comes after them while there is room. The others are summed up as `(others)`.",
    ),
];
