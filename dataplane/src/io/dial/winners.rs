//! Which of a name's addresses answered last time: it goes first next time (RFC 8305 section 4 allows for it).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a winner is believed in, counted from its win.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// Names one core remembers; the oldest goes first.
const NAMES_MAX: usize = 1_024;

/// The winners of one core.
#[derive(Default)]
pub struct Winners {
    by_name: HashMap<Box<str>, Winner>,
    /// The names of `by_name`, oldest first: each in both or in neither.
    order: VecDeque<Box<str>>,
}

struct Winner {
    ip: IpAddr,
    until: Instant,
}

impl Winners {
    #[must_use]
    pub fn of(&self, name: &str, now: Instant) -> Option<IpAddr> {
        let winner = self.by_name.get(&*key(name))?;
        (now < winner.until).then_some(winner.ip)
    }

    /// Remembers that of the addresses of `name` this one answered. One that is remembered already keeps its
    /// place in the line: it is asked anew after its time, so that a better address gets its chance.
    pub fn keep(&mut self, name: &str, ip: IpAddr, now: Instant) {
        while self.order.front().is_some_and(|oldest| self.by_name[oldest].until <= now) {
            self.forget_oldest();
        }
        let name = key(name);
        if let Some(winner) = self.by_name.get_mut(&name) {
            winner.ip = ip;
            return;
        }
        if self.order.len() == NAMES_MAX {
            self.forget_oldest();
        }
        self.by_name.insert(name.clone(), Winner { ip, until: now + REMEMBERED_FOR });
        self.order.push_back(name);
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.by_name.remove(&oldest);
        }
    }
}

/// Names that differ in case or by the root's dot are one name (RFC 4343).
fn key(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_latest_winner_is_remembered_for_its_time_and_no_longer() {
        let now = Instant::now();
        let mut winners = Winners::default();
        winners.keep("Example.org", ip(1), now);
        assert_eq!(winners.of("example.ORG.", now), Some(ip(1)));
        winners.keep("example.org", ip(2), now + REMEMBERED_FOR / 2);
        assert_eq!(winners.of("example.org", now + REMEMBERED_FOR / 2), Some(ip(2)));
        assert_eq!(winners.of("example.org", now + REMEMBERED_FOR), None);
        assert_eq!(winners.of("example.net", now), None);
    }

    #[test]
    fn the_memory_is_bounded_and_loses_the_oldest() {
        let now = Instant::now();
        let mut winners = Winners::default();
        for number in 0..=NAMES_MAX {
            winners.keep(&format!("n{number}.test"), ip(1), now);
        }
        assert_eq!(winners.by_name.len(), NAMES_MAX);
        assert_eq!(winners.order.len(), NAMES_MAX);
        assert_eq!(winners.of("n0.test", now), None);
        assert_eq!(winners.of("n1.test", now), Some(ip(1)));
        winners.keep("late.test", ip(2), now + REMEMBERED_FOR);
        assert_eq!(winners.by_name.len(), 1);
    }
}
