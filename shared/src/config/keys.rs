//! THE TABLE: every key once. Defaults, checks, `config default|schema|effective` and docs/configuration.md
//! come from here. Its rows stand in `process`, `service`, `traffic`, `websocket`, `admission`, `tls`, `control`, `history` and `alerts`.

mod admission;
mod alerts;
mod control;
mod history;
mod process;
mod service;
mod tls;
mod traffic;
mod websocket;

use super::kind::Kind;
use std::time::Duration;

/// Bytes of a path (PATH_MAX).
const PATH_BYTES_MAX: usize = 4096;

const MILLISECOND: Duration = Duration::from_millis(1);
const MILLISECOND_100: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a changed key needs, once reload has landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Takes effect at once, for those who are connected too. A limit on how many there may be cuts nobody.
    Live,
    /// Holds for connections that come after. WebSocket connections come when they ask for their upgrade.
    NewConnections,
    /// Opens or closes listeners; the others stay open.
    Listener,
    /// Is read at the start alone.
    Restart,
}

impl Reload {
    /// The name used in documents and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["live", "new_connections", "listener", "restart"][self as usize]
    }
}

/// One key.
pub struct Key {
    /// Dotted, e.g. `socks5.timeouts.idle`.
    pub path: &'static str,
    pub kind: Kind,
    /// As YAML text.
    pub default: &'static str,
    pub reload: Reload,
    /// One or two sentences, with units and limits where the kind does not tell them.
    pub doc: &'static str,
}

impl Key {
    /// The dotted path without its last word.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// The last word of the path.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }
}

const fn key(
    path: &'static str,
    default: &'static str,
    reload: Reload,
    kind: Kind,
    doc: &'static str,
) -> Key {
    Key { path, kind, default, reload, doc }
}

/// What each section is about, in the order of the documents.
pub const SECTIONS: &[(&str, &str)] = &[
    ("workers", "The threads that serve connections."),
    ("socks5", "The SOCKS5 service."),
    ("socks5.limits", "How much the SOCKS5 service takes on."),
    ("socks5.logins", "What failed logins cost the client they come from."),
    ("socks5.timeouts", "A deadline for each phase of a SOCKS5 connection."),
    ("socks5.dns", "How target names become addresses."),
    ("socks5.relay", "How bytes are moved."),
    ("socks5.udp", "UDP associations."),
    ("socks5.bind", "Connections that targets open to clients (BIND)."),
    ("socks5.egress", "How connections leave this host."),
    ("socks5.upstream", "Going on through other proxies."),
    ("socks5.proxy_protocol", "Telling and being told the address of the client behind a proxy."),
    ("socks5.tls", "SOCKS5 over TLS: listeners of their own, beside the plain ones."),
    ("websocket", "The WebSocket gateway."),
    ("websocket.ramp_up", "How a fresh process takes up its load."),
    ("websocket.jwt", "Which JSON Web Tokens are believed, with `websocket.auth: jwt`."),
    ("websocket.tls", "`wss://`: listeners of their own, beside the plain ones."),
    ("control", "The control port: metrics, health, statistics, commands; and who may do what there."),
    ("control.feed", "The live feed: what ringway publishes about itself."),
    ("control.tls", "The control port over TLS: listeners of their own, beside the plain ones."),
    ("alerts", "What is watched, and who is told ([alerts](alerts.md))."),
    ("history", "What is kept of traffic over time ([history](history.md))."),
    ("log", "What is written to stderr, and where the lines of other logs go."),
];

/// Keys that were called otherwise once, and what they are called now.
const RENAMED: &[(&str, &str)] = &[("control.open", "control.insecure")];

/// Plain environment names that stand for a key.
pub const PLAIN_NAMES: &[(&str, &str)] = &[
    ("LOG_LEVEL", "log.level"),
    ("MAX_CONNECTIONS", "websocket.max_connections"),
    ("MAX_SUBSCRIPTIONS_PER_CLIENT", "websocket.max_subscriptions_per_client"),
];

/// The key with this path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().copied().find(|key| key.path == path)
}

/// Whether keys stand below this path.
#[must_use]
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// What a key is called now that was called so once.
#[must_use]
pub fn new_name(path: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == path).map(|(_, new)| *new)
}

/// Every key, in the order of the documents.
pub static KEYS: &[&Key] = &ALL;

static ALL: [&Key; COUNT] = all();
const PARTS: [&[Key]; 11] = [
    process::WORKERS,
    service::KEYS,
    traffic::KEYS,
    tls::SOCKS5,
    websocket::KEYS,
    admission::KEYS,
    tls::WEBSOCKET,
    control::KEYS,
    alerts::KEYS,
    history::KEYS,
    process::LOG,
];
const COUNT: usize = count();

const fn count() -> usize {
    let (mut part, mut count) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
}

/// The parts as one.
const fn all() -> [&'static Key; COUNT] {
    let mut all = [&PARTS[0][0]; COUNT];
    let (mut part, mut row, mut index) = (0, 0, 0);
    while index < COUNT {
        if row == PARTS[part].len() {
            (part, row) = (part + 1, 0);
        }
        all[index] = &PARTS[part][row];
        (row, index) = (row + 1, index + 1);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_once_in_a_known_section_and_is_explained() {
        for key in KEYS {
            assert!(SECTIONS.iter().any(|(path, _)| *path == key.section()), "{}", key.path);
            assert!(key.doc.ends_with('.'), "{}: the doc is made of sentences", key.path);
            assert_eq!(KEYS.iter().filter(|other| other.path == key.path).count(), 1, "{}", key.path);
            assert!(!is_section(key.path), "{}", key.path);
        }
        assert!(PLAIN_NAMES.iter().all(|(_, path)| find(path).is_some()));
        assert!(RENAMED.iter().all(|(old, new)| find(old).is_none() && find(new).is_some()));
    }
}
