//! What arrived of what was sent: lost, twice, late. Exact however long a fault lasts, and free while there is none.

use crate::report::Report;
use std::collections::BTreeMap;

/// The numbers that one receiver has seen.
#[derive(Default)]
pub struct Sequence {
    next: u32,
    /// Ranges passed over, first number -> one past the last.
    missing: BTreeMap<u32, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A number above all before, whether or not some were passed over.
    InOrder,
    /// It had been passed over.
    Late,
    Again,
}

impl Sequence {
    #[must_use]
    pub fn starting_at(next: u32) -> Sequence {
        Sequence { next, missing: BTreeMap::new() }
    }

    pub fn arrive(&mut self, number: u32) -> Arrival {
        if number >= self.next {
            if number > self.next {
                self.missing.insert(self.next, number);
            }
            self.next = number + 1;
            return Arrival::InOrder;
        }
        let range = self.missing.range(..=number).next_back().map(|(from, to)| (*from, *to));
        let Some((from, to)) = range.filter(|(_, to)| number < *to) else { return Arrival::Again };
        self.missing.remove(&from);
        if from < number {
            self.missing.insert(from, number);
        }
        if number + 1 < to {
            self.missing.insert(number + 1, to);
        }
        Arrival::Late
    }

    /// How many of the numbers below `end` have not come.
    #[must_use]
    pub fn lost(&self, end: u32) -> u64 {
        let passed_over: u64 = self.missing.iter().map(|(from, to)| u64::from(to - from)).sum();
        passed_over + u64::from(end.saturating_sub(self.next))
    }
}

/// Arrivals of all receivers together.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// Each message once.
    pub delivered: u64,
    pub duplicates: u64,
    pub reordered: u64,
    pub corrupt: u64,
    pub lost: u64,
}

impl Arrivals {
    /// Counts one. True: it is one that had not come before.
    pub fn count(&mut self, arrival: Arrival) -> bool {
        match arrival {
            Arrival::InOrder => self.delivered += 1,
            Arrival::Late => {
                self.delivered += 1;
                self.reordered += 1;
            }
            Arrival::Again => self.duplicates += 1,
        }
        arrival != Arrival::Again
    }

    pub fn describe(&self, report: &mut Report) {
        report.count("lost", self.lost);
        report.count("duplicates", self.duplicates);
        report.count("reordered", self.reordered);
        report.count("corrupt", self.corrupt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Arrival::{Again, InOrder, Late};

    #[test]
    fn each_number_is_lost_late_or_again_exactly_once() {
        let mut sequence = Sequence::default();
        let arrivals = [0, 1, 1, 5, 3, 3, 2, 4, 9, 7].map(|number| sequence.arrive(number));
        assert_eq!(arrivals, [InOrder, InOrder, Again, InOrder, Late, Again, Late, Late, InOrder, Late]);
        assert_eq!(sequence.lost(10), 2, "6 and 8");
        assert_eq!(sequence.lost(12), 4, "10 and 11 as well");
    }

    #[test]
    fn who_joins_later_misses_nothing_of_before() {
        let mut sequence = Sequence::starting_at(100);
        assert_eq!(sequence.lost(100), 0);
        assert_eq!(sequence.arrive(100), InOrder);
        assert_eq!(sequence.lost(101), 0);
    }
}
