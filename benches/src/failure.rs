//! What can go wrong, in words: of one connection, or of a whole run.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why a connection, or the run, failed.
#[derive(Debug)]
pub enum Failure {
    /// The first hop (proxy, forwarder or target) did not take the connection.
    Unreachable {
        address: SocketAddr,
        error: io::Error,
    },
    /// The server answered the greeting with `05 FF`.
    NoAcceptableMethod,
    /// The server's RFC 1929 status was not 0.
    LoginRefused(u8),
    /// The server's reply code was not 0.
    Refused(u8),
    /// The server said something RFC 1928 does not allow here.
    Malformed(&'static str),
    /// The server did something RFC 6455 does not allow here.
    Protocol(&'static str),
    /// The upgrade was answered with this status instead of 101.
    NotUpgraded(u16),
    /// The server closed the WebSocket with this code.
    Closed(u16),
    /// The server answered with an error of its own protocol.
    Rejected(String),
    /// The stream ended before everything had come.
    EarlyEof {
        received: u64,
        expected: u64,
    },
    /// More came than was sent.
    Surplus,
    /// A byte came that was not sent, in this direction; the offset is the first such byte's.
    Corrupt {
        direction: &'static str,
        offset: u64,
    },
    Reset,
    TimedOut,
    Io(io::Error),
    /// This program could not do its own part.
    Own {
        doing: &'static str,
        error: io::Error,
    },
}

impl Failure {
    /// One word or two to count this failure under.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Failure::Unreachable { error, .. } => format!("unreachable_{}", word(error.kind())),
            Failure::NoAcceptableMethod => "no_acceptable_method".into(),
            Failure::LoginRefused(_) => "login_refused".into(),
            Failure::Refused(code) => format!("reply_{code:02x}"),
            Failure::Malformed(_) => "malformed".into(),
            Failure::Protocol(_) => "protocol".into(),
            Failure::NotUpgraded(status) => format!("http_{status}"),
            Failure::Closed(code) => format!("closed_{code}"),
            Failure::Rejected(_) => "rejected".into(),
            Failure::EarlyEof { .. } => "early_eof".into(),
            Failure::Surplus => "surplus".into(),
            Failure::Corrupt { .. } => "corrupt".into(),
            Failure::Reset => "reset".into(),
            Failure::TimedOut => "timed_out".into(),
            Failure::Io(error) => word(error.kind()),
            Failure::Own { .. } => "own_fault".into(),
        }
    }

    /// Of two failures of one connection the one that can have caused the other: wrong bytes end it, not the reverse.
    #[must_use]
    pub fn graver(self, other: Failure) -> Failure {
        let is_cause = |failure: &Failure| matches!(failure, Failure::Corrupt { .. } | Failure::Surplus);
        if is_cause(&other) && !is_cause(&self) { other } else { self }
    }

    /// For `map_err`: this program's own fault while `doing` something.
    pub fn own(doing: &'static str) -> impl Fn(io::Error) -> Failure {
        move |error| Failure::Own { doing, error }
    }
}

fn word(kind: io::ErrorKind) -> String {
    format!("{kind:?}").to_lowercase()
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Failure::Reset,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Failure::TimedOut,
            _ => Failure::Io(error),
        }
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(errno: rustix::io::Errno) -> Failure {
        io::Error::from(errno).into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable { address, error } => write!(to, "{address} is not reachable: {error}"),
            Failure::NoAcceptableMethod => to.write_str(
                "the proxy accepts none of the offered methods (05 FF); are --user and --password right?",
            ),
            Failure::LoginRefused(status) => {
                write!(to, "the proxy refused the login (RFC 1929 status {status:02x})")
            }
            Failure::Refused(code) => {
                write!(to, "the proxy refused the request: reply {code:02x}, {}", reply_name(*code))
            }
            Failure::Malformed(what) => write!(to, "the proxy broke RFC 1928: {what}"),
            Failure::Protocol(what) => write!(to, "the server broke RFC 6455: {what}"),
            Failure::NotUpgraded(status) => write!(to, "the upgrade was answered with status {status}"),
            Failure::Closed(code) => write!(to, "the server closed the WebSocket with code {code}"),
            Failure::Rejected(answer) => write!(to, "the server answered {answer}"),
            Failure::EarlyEof { received, expected } => {
                write!(to, "the stream ended after {received} of {expected} bytes")
            }
            Failure::Surplus => to.write_str("more bytes came than were sent"),
            Failure::Corrupt { direction, offset } => {
                write!(to, "{direction}, the byte at offset {offset} is not the one that was sent")
            }
            Failure::Reset => to.write_str("the connection was reset"),
            Failure::TimedOut => to.write_str("nothing came in time"),
            Failure::Io(error) => write!(to, "{error}"),
            Failure::Own { doing, error } => write!(to, "this program failed at {doing}: {error}"),
        }
    }
}

/// The meaning of a SOCKS5 reply code, as RFC 1928 section 6 words it.
#[must_use]
pub fn reply_name(code: u8) -> &'static str {
    const NAMES: [&str; 9] = [
        "succeeded",
        "general SOCKS server failure",
        "connection not allowed by ruleset",
        "network unreachable",
        "host unreachable",
        "connection refused",
        "TTL expired",
        "command not supported",
        "address type not supported",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("unassigned")
}

/// Failures counted by kind, with one example of each in words.
#[derive(Default)]
pub struct Failures {
    kinds: BTreeMap<String, (u64, String)>,
}

impl Failures {
    pub fn count(&mut self, failure: &Failure) {
        let (count, _) = self.kinds.entry(failure.kind()).or_insert_with(|| (0, failure.to_string()));
        *count += 1;
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds.values().map(|(count, _)| count).sum()
    }

    /// Kind, count and an example, by kind.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        self.kinds.iter().map(|(kind, (count, example))| (kind.as_str(), *count, example.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_named_as_the_rfc_names_it() {
        assert_eq!(reply_name(0), "succeeded");
        assert_eq!(reply_name(5), "connection refused");
        assert_eq!(reply_name(8), "address type not supported");
        assert_eq!(reply_name(9), "unassigned");
        assert_eq!(Failure::Refused(2).kind(), "reply_02");
        assert!(Failure::Refused(2).to_string().contains("not allowed by ruleset"));
    }

    #[test]
    fn failures_are_counted_by_kind_with_an_example() {
        let mut failures = Failures::default();
        failures.count(&Failure::Refused(5));
        failures.count(&Failure::Refused(5));
        failures.count(&Failure::Reset);
        assert_eq!(failures.total(), 3);
        let kinds: Vec<_> = failures.iter().map(|(kind, count, _)| (kind, count)).collect();
        assert_eq!(kinds, [("reply_05", 2), ("reset", 1)]);
    }
}
