//! What connections that have ended came to, by user and by target, over the last minutes: the part of `GET /api/v1/top` that nobody can be asked for any more.
//!
//! Fed from the records that the access log is written from; without a log there are none. Memory is bounded: [`PLACES`] keys for each of two dimensions and
//! two windows.

use ringway_shared::inspect::{By, Sketch};
use ringway_shared::session::Ended;
use std::time::{Duration, Instant};

/// Keys that one sketch holds.
pub const PLACES: usize = 1_000;
/// A window's length: what is shown is the one under way and the one before it.
const WINDOW: Duration = Duration::from_secs(300);

/// Sums of ended connections' bytes.
pub struct Ends {
    current: Window,
    before: Option<Window>,
}

struct Window {
    since: Instant,
    by_user: Sketch,
    by_target: Sketch,
}

impl Window {
    fn new(since: Instant) -> Window {
        Window { since, by_user: Sketch::new(PLACES), by_target: Sketch::new(PLACES) }
    }
}

impl Ends {
    #[must_use]
    pub fn new(now: Instant) -> Ends {
        Ends { current: Window::new(now), before: None }
    }

    /// Adds ended connections.
    pub fn note<'a>(&mut self, ends: impl IntoIterator<Item = &'a Ended>, now: Instant) {
        self.turn(now);
        for ended in ends {
            match ended {
                Ended::Socks5(end) => {
                    let bytes = end.sent_bytes + end.received_bytes;
                    self.current.by_user.add(end.user.as_deref().unwrap_or_default(), bytes);
                    if let Some(target) = end.target.as_ref().filter(|_| bytes > 0) {
                        self.current.by_target.add(&target.to_string(), bytes);
                    }
                }
                Ended::WebSocket(end) => {
                    let bytes = end.sent_bytes + end.received_bytes;
                    self.current.by_user.add(end.user.as_deref().unwrap_or_default(), bytes);
                }
            }
        }
    }

    /// The sums, and the time they are of.
    pub fn sums(&mut self, by: By, now: Instant) -> (Sketch, Duration) {
        self.turn(now);
        let of = |window: &Window| match by {
            By::Target => window.by_target.clone(),
            _ => window.by_user.clone(),
        };
        let mut sums = of(&self.current);
        let mut since = self.current.since;
        if let Some(before) = &self.before {
            sums.merge(&of(before));
            since = before.since;
        }
        (sums, now.saturating_duration_since(since))
    }

    /// Begins a new window when the current one is over.
    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.current.since);
        if age >= WINDOW {
            let over = std::mem::replace(&mut self.current, Window::new(now));
            self.before = (age < 2 * WINDOW).then_some(over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::reason::Reason;
    use ringway_shared::session::{Host, Phases, SessionEnd, Target};

    fn ended(user: &str, host: &str, bytes: u64) -> Ended {
        Ended::Socks5(Box::new(SessionEnd {
            worker: 0,
            accepted_at_ms: 0,
            client: "127.0.0.1:1".parse().unwrap(),
            tls: false,
            protocol: None,
            command: None,
            user: Some(user.into()),
            claimed: None,
            banned: false,
            target: Some(Target { host: Host::Name(host.into()), port: 443 }),
            address: None,
            upstream: None,
            reply: None,
            errno: None,
            reason: Reason::Finished,
            rule: None,
            hint: None,
            sent_bytes: bytes,
            received_bytes: 1,
            phases: Phases::default(),
            duration: Duration::ZERO,
        }))
    }

    #[test]
    fn what_ended_is_known_for_one_window_more_and_then_forgotten() {
        let begin = Instant::now();
        let mut ends = Ends::new(begin);
        ends.note([&ended("alice", "a.example", 9), &ended("bob", "b.example", 4)], begin);
        ends.note([&ended("alice", "b.example", 1)], begin + WINDOW);
        let at = begin + WINDOW + WINDOW / 2;
        let (users, over) = ends.sums(By::User, at);
        assert_eq!(users.leaders().collect::<Vec<_>>(), [("alice", 12), ("bob", 5)]);
        assert_eq!(over, at - begin);
        let (targets, _) = ends.sums(By::Target, at);
        assert_eq!(targets.of("b.example:443"), Some(7));
        let (users, over) = ends.sums(By::User, begin + 2 * WINDOW);
        assert_eq!((users.of("alice"), users.of("bob"), over), (Some(2), None, WINDOW));
        assert!(ends.sums(By::User, begin + 5 * WINDOW).0.is_empty());
    }
}
