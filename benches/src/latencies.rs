//! Durations gathered into an HDR histogram, and the percentiles read from it; and the tail of a usual stretch of them, which a host that
//! stops for some milliseconds does not decide (docs/decisions/0032).

use crate::report::Report;
use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest duration told apart; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(100);

/// How many durations are a stretch unless said otherwise: of so many, five are above the p99.
pub const STRETCH: usize = 500;

/// Percentiles by the name they carry in a report. `max` stands beside them always.
pub const BRIEF: &[(&str, f64)] = &[("p50", 0.5), ("p99", 0.99)];
pub const FULL: &[(&str, f64)] = &[("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)];

/// Durations, kept in nanoseconds to three digits, and the p99 of each stretch of so many one after the other, exactly.
pub struct Latencies {
    whole: Histogram<u64>,
    stretch: usize,
    /// Of the stretch that is not full yet.
    current: Vec<u64>,
    tails: Vec<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::in_stretches_of(STRETCH)
    }
}

impl Latencies {
    /// With stretches of so many, at least [`STRETCH`].
    #[must_use]
    pub fn in_stretches_of(many: usize) -> Self {
        let whole = Histogram::new_with_max(LONGEST.as_nanos() as u64, 3);
        let stretch = many.max(STRETCH);
        Latencies {
            whole: whole.expect("the range and the digits are constants that fit"),
            stretch,
            current: Vec::with_capacity(stretch),
            tails: Vec::new(),
        }
    }

    pub fn record(&mut self, duration: Duration) {
        let ns = duration.as_nanos() as u64;
        self.whole.saturating_record(ns);
        self.current.push(ns);
        if self.current.len() == self.stretch {
            self.tails.push(p99(&mut self.current));
            self.current.clear();
        }
    }

    /// Adds what another has recorded, but for its stretch that is not full. Both have one range, so nothing is refused.
    pub fn add(&mut self, other: &Latencies) {
        let _ = self.whole.add(&other.whole);
        self.tails.extend(&other.tails);
    }

    /// All there is; what comes next begins anew, in stretches as before.
    pub fn take(&mut self) -> Latencies {
        let stretch = self.stretch;
        std::mem::replace(self, Latencies::in_stretches_of(stretch))
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.whole.len()
    }

    /// The duration that this share (0 to 1) of all stayed at or below, in microseconds.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        self.whole.value_at_quantile(quantile) as f64 / 1e3
    }

    /// The median of the stretches' p99s, in microseconds, of the last one too if it is half full; the p99 of all while there is none.
    #[must_use]
    pub fn usual_p99_us(&self) -> f64 {
        let mut tails = self.tails.clone();
        if self.current.len() * 2 >= self.stretch {
            tails.push(p99(&mut self.current.clone()));
        }
        tails.sort_unstable();
        match (tails.get(tails.len() / 2), tails.get(tails.len().saturating_sub(1) / 2)) {
            (Some(upper), Some(lower)) => f64::midpoint(*lower as f64, *upper as f64) / 1e3,
            _ => self.quantile_us(0.99),
        }
    }

    #[must_use]
    pub fn max_us(&self) -> f64 {
        self.whole.max() as f64 / 1e3
    }

    /// Adds `<name>_p50_us` and so on, `<name>_usual_p99_us` and `<name>_max_us` to the report.
    pub fn describe(&self, name: &str, percentiles: &[(&str, f64)], report: &mut Report) {
        for (percentile, quantile) in percentiles {
            report.measure(&format!("{name}_{percentile}_us"), self.quantile_us(*quantile));
        }
        report.measure(&format!("{name}_usual_p99_us"), self.usual_p99_us());
        report.measure(&format!("{name}_max_us"), self.max_us());
    }
}

/// The value that 1% of these are above. Leaves them in another order.
fn p99(values: &mut [u64]) -> u64 {
    let place = values.len() - 1 - values.len() / 100;
    *values.select_nth_unstable(place).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        for us in 1..=1000 {
            latencies.record(Duration::from_micros(us));
        }
        assert_eq!(latencies.count(), 1000);
        assert!((latencies.quantile_us(0.5) - 500.0).abs() < 1.0);
        assert!((latencies.quantile_us(0.99) - 990.0).abs() < 1.0);
        assert!((latencies.max_us() - 1000.0).abs() < 1.0);
    }

    #[test]
    fn a_duration_beyond_the_range_is_clamped_not_lost() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_secs(1000));
        assert_eq!(latencies.count(), 1);
        assert!(latencies.max_us() >= 99e6);
    }

    #[test]
    fn a_stop_of_the_host_is_in_the_p99_and_not_in_the_usual_one() {
        let mut latencies = Latencies::default();
        for number in 0..10 * STRETCH as u64 {
            // Every hundredth takes 200 us, as the server would have it; of 70 in one stretch the host takes 50 ms.
            let slow = number % 100 == 0;
            let stopped = (700..770).contains(&number);
            let us = if stopped {
                50_000
            } else if slow {
                200
            } else {
                100
            };
            latencies.record(Duration::from_micros(us));
        }
        assert!(latencies.quantile_us(0.99) > 40_000.0);
        assert!(
            (latencies.usual_p99_us() - 100.0).abs() < 1e-6,
            "1% are above it: {}",
            latencies.usual_p99_us()
        );
        for number in 0..30 * STRETCH as u64 {
            latencies.record(Duration::from_micros(if number % 50 == 0 { 300 } else { 100 }));
        }
        assert!(
            (latencies.usual_p99_us() - 300.0).abs() < 1e-6,
            "a server that is often slow has it in each stretch"
        );
    }

    #[test]
    fn stretches_are_as_long_as_asked_and_what_is_taken_begins_anew() {
        let mut latencies = Latencies::in_stretches_of(1_000);
        let fill = |latencies: &mut Latencies, count: u64| {
            (1..=count).for_each(|us| latencies.record(Duration::from_micros(us)));
        };
        fill(&mut latencies, 999);
        assert!((latencies.usual_p99_us() - 990.0).abs() < 1.0, "half of one is as good as one");
        latencies.record(Duration::from_secs(1));
        assert!((latencies.usual_p99_us() - 990.0).abs() < 1e-6);
        let taken = latencies.take();
        assert_eq!((taken.count(), latencies.count()), (1_000, 0));
        fill(&mut latencies, 400);
        assert!(latencies.tails.is_empty(), "a stretch is still 1,000");
        assert!((latencies.usual_p99_us() - 396.0).abs() < 1.0, "there is none: the p99 of all");
        latencies.add(&taken);
        assert!((latencies.usual_p99_us() - 990.0).abs() < 1e-6);
        fill(&mut latencies, 100);
        assert!((latencies.usual_p99_us() - f64::midpoint(395.0, 990.0)).abs() < 1e-6);
    }
}
