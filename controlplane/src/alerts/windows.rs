//! Totals of the last minute, and what is usual over a longer time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Seconds that are kept: those of a minute and its beginning.
const KEPT_MAX: usize = 64;

/// Counted since the start of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub ended: u64,
    pub failed: u64,
    pub traffic_bytes: u64,
    pub cpu_us: u64,
    pub websocket_dropped: u64,
}

/// The totals of the last seconds, the oldest first.
#[derive(Default)]
pub struct Window(VecDeque<(Instant, Totals)>);

impl Window {
    pub fn push(&mut self, at: Instant, totals: Totals) {
        if self.0.len() == KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back((at, totals));
    }

    /// Per second over the last `time`; `None`: less than that is known. What the process before this one has counted is not, so after
    /// a hot restart a shorter time would tell of a calm that nobody has seen.
    #[must_use]
    pub fn rate(&self, time: Duration, of: impl Fn(&Totals) -> u64) -> Option<f64> {
        let (now, latest) = self.0.back()?;
        let passed = |at: &Instant| now.saturating_duration_since(*at);
        let (at, before) = self.0.iter().rev().find(|(at, _)| passed(at) >= time)?;
        Some(of(latest).saturating_sub(of(before)) as f64 / passed(at).as_secs_f64())
    }
}

/// Over so long what lasts becomes usual; before so long nothing is.
const USUAL_AFTER: Duration = Duration::from_secs(600);
/// Less than this counts as this: nothing can be told from the changes of an idle host.
const FLOOR: f64 = 64.0 * 1024.0;

/// What is usual of a rate, in bytes per second: its mean, which older values weigh exponentially less in.
#[derive(Default)]
pub struct Baseline {
    began: Option<Instant>,
    last: Option<Instant>,
    level: f64,
}

impl Baseline {
    /// By how many percent a rate differs from what was usual before it; then it counts towards what is. `None`: that is
    /// not known yet.
    pub fn take(&mut self, rate: f64, now: Instant) -> Option<f64> {
        let began = *self.began.get_or_insert(now);
        let known = now.saturating_duration_since(began);
        let passed = now.saturating_duration_since(self.last.replace(now).unwrap_or(now));
        let usual = self.level.max(FLOOR);
        let change = 100.0 * (rate.max(FLOOR) - usual) / usual;
        // At first the plain mean of what there was.
        let weight = match known.min(USUAL_AFTER).as_secs_f64() {
            0.0 => 1.0,
            time => (passed.as_secs_f64() / time).min(1.0),
        };
        self.level += weight * (rate - self.level);
        (known >= USUAL_AFTER).then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(total: u64) -> Totals {
        Totals { traffic_bytes: total, ..Totals::default() }
    }

    #[test]
    fn rates_are_over_the_time_that_is_asked_for() {
        let start = Instant::now();
        let mut window = Window::default();
        let rate = |window: &Window| window.rate(Duration::from_secs(10), |t| t.traffic_bytes);
        assert_eq!(rate(&window), None);
        for second in 0..200_u64 {
            window.push(start + Duration::from_secs(second), bytes(if second < 100 { 0 } else { 30 }));
            match second {
                0..10 => assert_eq!(rate(&window), None, "{second}"),
                100..110 => assert_eq!(rate(&window), Some(3.0), "{second}"),
                110.. => assert_eq!(rate(&window), Some(0.0), "{second}"),
                _ => {}
            }
        }
    }

    #[test]
    fn a_total_that_shrinks_has_not_grown() {
        let start = Instant::now();
        let mut window = Window::default();
        window.push(start, bytes(7));
        window.push(start + Duration::from_secs(1), bytes(3));
        assert_eq!(window.rate(Duration::from_secs(1), |t| t.traffic_bytes), Some(0.0));
    }
}
