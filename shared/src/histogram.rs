//! An HDR-geometry histogram written by one core and read by any.
//!
//! A record is two relaxed stores in the worker's own cache lines. The control plane folds the
//! counts into `hdrhistogram`, which knows quantiles and merging.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bits of precision: 128 steps per octave, a relative error of at most 1/128.
const PRECISION_BITS: u32 = 7;
const STEPS: usize = 1 << PRECISION_BITS;
/// Octaves above the first two; the largest value told apart is about 2^37.
const OCTAVES: usize = 29;
const SLOTS: usize = (OCTAVES + 2) * STEPS;
/// Values above this are recorded as this.
pub const VALUE_MAX: u64 = (1 << (PRECISION_BITS as usize + 1 + OCTAVES)) - 1;

/// Counts of values in microseconds. Single writer; readers see each count late, never torn.
pub struct Histogram {
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one value. Only the owning core may call this.
    pub fn record(&self, value: u64) {
        let value = value.min(VALUE_MAX);
        bump(&self.counts[slot_of(value)], 1);
        bump(&self.sum, value);
    }

    /// The sum of all recorded values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// What was recorded: each slot's middle and how many values fell into the slot, ascending, without empty slots.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64)> {
        let slots = self.counts.iter().map(|count| count.load(Relaxed)).enumerate();
        slots.filter(|(_, count)| *count > 0).map(|(slot, count)| (middle_of(slot), count))
    }

    /// Adds every count to `into`, at the middle of its slot. Values that `into` cannot hold are clamped to its top.
    pub fn fold_into(&self, into: &mut hdrhistogram::Histogram<u64>) {
        for (value, count) in self.recorded() {
            into.saturating_record_n(value, count);
        }
    }
}

fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
}

fn slot_of(value: u64) -> usize {
    let octave = (u64::BITS - (value | 1).leading_zeros()).saturating_sub(PRECISION_BITS + 1);
    octave as usize * STEPS + (value >> octave) as usize
}

fn middle_of(slot: usize) -> u64 {
    let octave = (slot / STEPS).saturating_sub(1);
    let low = ((slot - octave * STEPS) as u64) << octave;
    low + ((1u64 << octave) >> 1)
}

const _: () = assert!(VALUE_MAX < 1 << 38 && SLOTS * 8 < 32 * 1024);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lands_within_the_promised_error() {
        let mut value = 0u64;
        while value < VALUE_MAX {
            let middle = middle_of(slot_of(value));
            assert!(middle.abs_diff(value) as f64 <= value as f64 / 128.0, "{value} became {middle}");
            value = value + 1 + value / 57;
        }
        assert_eq!(slot_of(VALUE_MAX), SLOTS - 1);
    }

    #[test]
    fn folding_keeps_counts_sums_and_quantiles() {
        let ours = Histogram::default();
        for value in 1..=10_000 {
            ours.record(value);
        }
        let mut folded = hdrhistogram::Histogram::<u64>::new_with_max(VALUE_MAX, 3).unwrap();
        ours.fold_into(&mut folded);
        assert_eq!(folded.len(), 10_000);
        assert_eq!(ours.sum(), 50_005_000);
        assert!(folded.value_at_quantile(0.99).abs_diff(9_900) < 100);
    }

    #[test]
    fn a_value_beyond_the_range_is_clamped_not_lost() {
        let ours = Histogram::default();
        ours.record(u64::MAX);
        assert_eq!(ours.sum(), VALUE_MAX);
    }
}
