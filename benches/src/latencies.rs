//! Durations gathered into an HDR histogram, and the percentiles read from it.

use crate::report::Report;
use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest duration told apart; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(100);

/// Percentiles by the name they carry in a report. `max` stands beside them always.
pub const BRIEF: &[(&str, f64)] = &[("p50", 0.5), ("p99", 0.99)];
pub const FULL: &[(&str, f64)] = &[("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)];

/// Durations, kept in nanoseconds to three digits.
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(LONGEST.as_nanos() as u64, 3);
        Latencies(histogram.expect("the range and the digits are constants that fit"))
    }
}

impl Latencies {
    pub fn record(&mut self, duration: Duration) {
        self.0.saturating_record(duration.as_nanos() as u64);
    }

    /// Adds what another has recorded. Both have one range, so nothing is refused.
    pub fn add(&mut self, other: &Latencies) {
        let _ = self.0.add(&other.0);
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that this share (0 to 1) of all stayed at or below, in microseconds.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    #[must_use]
    pub fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// Adds `<name>_p50_us` and so on to the report.
    pub fn describe(&self, name: &str, percentiles: &[(&str, f64)], report: &mut Report) {
        for (percentile, quantile) in percentiles {
            report.measure(&format!("{name}_{percentile}_us"), self.quantile_us(*quantile));
        }
        report.measure(&format!("{name}_max_us"), self.max_us());
    }
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
}
