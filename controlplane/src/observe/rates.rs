//! How fast counters grow: over a window of a second that slides as often as somebody looks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Rates are taken over at least this long, however often somebody looks.
const WINDOW: Duration = Duration::from_secs(1);
/// So much less will do: who looks every second does not do so to the millisecond.
const SLACK: Duration = Duration::from_millis(50);
/// Marks are at least so far apart: what slides no further is not seen.
const STEP: Duration = Duration::from_millis(200);
/// Marks kept: those within a window, the one at its begin and the newest.
const MARKS_MAX: usize = (WINDOW.as_millis() / STEP.as_millis()) as usize + 2;

/// Per second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub sent_bytes: f64,
    pub received_bytes: f64,
    /// Accepted by the SOCKS5 service.
    pub connections: f64,
    /// Those of them that ended by a failure.
    pub failed: f64,
    /// Data messages from clients of the gateway.
    pub received_messages: f64,
    /// Publications handed to the kernel, each subscriber's.
    pub deliveries: f64,
}

/// Counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub opened: u64,
    pub failed: u64,
    pub received_messages: u64,
    pub deliveries: u64,
}

struct Mark {
    at: Instant,
    totals: Totals,
    /// What each worker's thread had had of a CPU.
    busy: Vec<Duration>,
}

/// Remembers what counters were, as far back as rates need it.
#[derive(Default)]
pub struct Speed {
    marks: VecDeque<Mark>,
    rates: Rates,
    busy_shares: Vec<f64>,
}

impl Speed {
    /// Takes note of the counters now.
    pub fn note(&mut self, at: Instant, totals: Totals, busy: impl Iterator<Item = Duration>) {
        let now = Mark { at, totals, busy: busy.collect() };
        let age = |mark: &Mark| at.saturating_duration_since(mark.at);
        let spans = |mark: &Mark| age(mark) >= WINDOW - SLACK;
        while self.marks.get(1).is_some_and(spans) {
            self.marks.pop_front();
        }
        if let Some(before) = self.marks.front().filter(|mark| spans(mark)) {
            (self.rates, self.busy_shares) = (rates(before, &now), shares(before, &now));
        }
        if self.marks.back().is_none_or(|newest| age(newest) >= STEP) && self.marks.len() < MARKS_MAX {
            self.marks.push_back(now);
        }
    }

    /// Over the last second. Nothing at all before there was one.
    #[must_use]
    pub fn rates(&self) -> Rates {
        self.rates
    }

    /// The share of one CPU that a worker used over the same time.
    #[must_use]
    pub fn busy_share(&self, worker: usize) -> f64 {
        self.busy_shares.get(worker).copied().unwrap_or(0.0)
    }
}

fn rates(before: &Mark, now: &Mark) -> Rates {
    let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
    let rate = |of: fn(&Totals) -> u64| of(&now.totals).saturating_sub(of(&before.totals)) as f64 / seconds;
    Rates {
        sent_bytes: rate(|totals| totals.sent_bytes),
        received_bytes: rate(|totals| totals.received_bytes),
        connections: rate(|totals| totals.opened),
        failed: rate(|totals| totals.failed),
        received_messages: rate(|totals| totals.received_messages),
        deliveries: rate(|totals| totals.deliveries),
    }
}

fn shares(before: &Mark, now: &Mark) -> Vec<f64> {
    let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
    let used = now.busy.iter().zip(&before.busy).map(|(now, before)| now.saturating_sub(*before));
    used.map(|used| used.as_secs_f64() / seconds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looked at every so many milliseconds, while 1,000 bytes a second were sent for two seconds and none after them: the rate
    /// at each look.
    fn looked_at_every(step_ms: u64) -> Vec<f64> {
        let (begin, mut speed, mut seen) = (Instant::now(), Speed::default(), Vec::new());
        for ms in (0..=4_000).step_by(step_ms as usize) {
            let totals = Totals { sent_bytes: ms.min(2_000), ..Totals::default() };
            let busy = Duration::from_millis(ms / 4);
            speed.note(begin + Duration::from_millis(ms), totals, std::iter::once(busy));
            assert!(speed.marks.len() <= MARKS_MAX);
            seen.push(speed.rates().sent_bytes);
        }
        assert!((speed.busy_share(0) - 0.25).abs() < 1e-9);
        assert!(speed.busy_share(1).abs() < 1e-9, "a worker that is none");
        seen
    }

    #[test]
    fn a_look_each_quarter_of_a_second_slides_the_window_by_as_much() {
        let seen = looked_at_every(250);
        assert_eq!(seen[..4], [0.0; 4], "before there was a second");
        assert_eq!(seen[4..=8], [1000.0; 5]);
        assert_eq!(seen[9..=12], [750.0, 500.0, 250.0, 0.0]);
    }

    #[test]
    fn a_look_each_second_tells_of_that_second() {
        assert_eq!(looked_at_every(1_000), [0.0, 1000.0, 1000.0, 0.0, 0.0]);
    }

    #[test]
    fn however_often_it_is_looked_at_few_marks_are_kept_and_the_rate_stays() {
        let seen = looked_at_every(10);
        assert!(seen[120..=200].iter().all(|rate| (rate - 1000.0).abs() < 1e-6), "{seen:?}");
        assert!(seen[330..].iter().all(|rate| *rate == 0.0));
    }

    #[test]
    fn who_looks_a_little_early_gets_the_second_all_the_same() {
        let (begin, mut speed) = (Instant::now(), Speed::default());
        for (ms, sent_bytes) in [(0, 0), (1_000, 1_000), (1_999, 3_000)] {
            let totals = Totals { sent_bytes, ..Totals::default() };
            speed.note(begin + Duration::from_millis(ms), totals, std::iter::empty());
        }
        assert!((speed.rates().sent_bytes - 2_002.0).abs() < 1.0, "{:?}", speed.rates());
    }
}
