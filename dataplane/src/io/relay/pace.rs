//! When a direction changes between copying and splicing.

use crate::core::SCRATCH_BYTES;

/// Full reads in a row after which a direction splices.
const FULL_READS_TO_SPLICE: u8 = 8;
/// Short splices in a row after which it copies again, and what is short.
const SHORT_SPLICES_TO_COPY: u8 = 16;
pub const SHORT_SPLICE_BYTES: usize = 16 * 1024;

/// Whether a direction moves bulk, judged by its latest reads.
#[derive(Default)]
pub struct Pace {
    pub bulk: bool,
    /// Reads in a row that speak for a change.
    run: u8,
}

impl Pace {
    /// Notes a copying read. True: from now on the direction splices.
    pub fn copied(&mut self, count: usize) -> bool {
        if self.bulk {
            // No pipe was to be had; it stays bulk and asks again.
            return false;
        }
        self.run = if count == SCRATCH_BYTES { self.run + 1 } else { 0 };
        self.change(FULL_READS_TO_SPLICE)
    }

    /// Notes a splicing read. True: from now on the direction copies.
    pub fn spliced(&mut self, count: usize) -> bool {
        self.run = if count < SHORT_SPLICE_BYTES { self.run + 1 } else { 0 };
        self.change(SHORT_SPLICES_TO_COPY)
    }

    fn change(&mut self, after: u8) -> bool {
        let change = self.run >= after;
        if change {
            *self = Pace { bulk: !self.bulk, run: 0 };
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_reads_in_a_row_make_a_direction_bulk_and_short_splices_end_it() {
        let mut pace = Pace::default();
        for _ in 1..FULL_READS_TO_SPLICE {
            assert!(!pace.copied(SCRATCH_BYTES));
        }
        assert!(pace.copied(SCRATCH_BYTES) && pace.bulk);
        for _ in 1..SHORT_SPLICES_TO_COPY {
            assert!(!pace.spliced(100));
        }
        assert!(pace.spliced(100) && !pace.bulk);
    }

    #[test]
    fn one_read_of_the_other_kind_begins_the_count_anew() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            for _ in 1..FULL_READS_TO_SPLICE {
                pace.copied(SCRATCH_BYTES);
            }
            pace.copied(SCRATCH_BYTES - 1);
        }
        assert!(!pace.bulk);
    }
}
