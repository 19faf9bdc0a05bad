//! Exemplars: for each published bucket of a histogram, one measured value and the connection it was measured on.
//!
//! One core writes, any thread reads without its help. A slot has a version that is odd while the slot is written: a reader who meets
//! an odd or a changed one has seen a torn slot, and looks again.

use crate::connection::Connection;
use std::sync::atomic::{AtomicU64, Ordering::*, fence};

/// Upper bounds of the buckets in microseconds, as those of the connect and push histograms are published.
pub const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];
/// A bucket keeps its exemplar for so long: it need not be the latest, and a store is dearer than a look.
const KEPT_MS: u64 = 1_000;
/// Looks at a slot that is just being written; then it is left out.
const LOOKS_MAX: usize = 8;

/// A value that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    pub value_us: u64,
    /// Milliseconds since the process's epoch.
    pub at_ms: u64,
    pub connection: Connection,
}

/// A slot for each bucket, the one beyond the last bound too.
#[derive(Default)]
pub struct Exemplars([Slot; BOUNDS_US.len() + 1]);

#[derive(Default)]
struct Slot {
    /// 0: empty. Odd: being written.
    version: AtomicU64,
    value_us: AtomicU64,
    at_ms: AtomicU64,
    connection: AtomicU64,
}

impl Exemplars {
    /// Keeps the value as its bucket's exemplar, unless that has a young one. Only the owning core may call this.
    pub fn offer(&self, value_us: u64, now_ms: u64, connection: Connection) {
        let slot = &self.0[bucket_of(value_us)];
        let version = slot.version.load(Relaxed);
        if version != 0 && now_ms.wrapping_sub(slot.at_ms.load(Relaxed)) < KEPT_MS {
            return;
        }
        slot.version.store(version | 1, Relaxed);
        // What follows may not be seen before the odd version is.
        fence(Release);
        slot.value_us.store(value_us, Relaxed);
        slot.at_ms.store(now_ms, Relaxed);
        slot.connection.store(Connection::pack(Some(connection)), Relaxed);
        slot.version.store((version | 1).wrapping_add(1), Release);
    }

    /// The exemplar of a bucket, counted from the lowest, if it has one.
    #[must_use]
    pub fn of_bucket(&self, bucket: usize) -> Option<Exemplar> {
        let slot = self.0.get(bucket)?;
        (0..LOOKS_MAX).find_map(|_| slot.read())
    }
}

impl Slot {
    /// `None`: empty, or torn.
    fn read(&self) -> Option<Exemplar> {
        let version = self.version.load(Acquire);
        let (value_us, at_ms) = (self.value_us.load(Relaxed), self.at_ms.load(Relaxed));
        let connection = self.connection.load(Relaxed);
        fence(Acquire);
        let whole = version != 0 && version.is_multiple_of(2) && self.version.load(Relaxed) == version;
        let connection = Connection::unpack(connection).filter(|_| whole)?;
        Some(Exemplar { value_us, at_ms, connection })
    }
}

/// For the values of each length in bits: the buckets below them, and the one bound that lies among them.
const BY_LENGTH: [(u8, u64); 65] = by_length();

const fn by_length() -> [(u8, u64); 65] {
    let mut table = [(0, u64::MAX); 65];
    let (mut length, mut below) = (0, 0);
    while length < table.len() {
        table[length].0 = below as u8;
        if below < BOUNDS_US.len() && bits(BOUNDS_US[below]) == length {
            table[length].1 = BOUNDS_US[below];
            below += 1;
        }
        length += 1;
    }
    // A second bound of the same length would have been passed over.
    assert!(below == BOUNDS_US.len());
    table
}

const fn bits(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

/// By one look at a table: a walk over the bounds would cost more than the record itself.
fn bucket_of(value_us: u64) -> usize {
    let (below, bound) = BY_LENGTH[bits(value_us)];
    usize::from(below) + usize::from(bound < value_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Connection = Connection { service: crate::connection::Service::Socks5, serial: 1 };
    const OTHER: Connection = Connection { service: crate::connection::Service::WebSocket, serial: 2 };

    #[test]
    fn a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        for value in BOUNDS_US.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]).chain([0, u64::MAX]) {
            assert_eq!(bucket_of(value), BOUNDS_US.iter().filter(|bound| **bound < value).count(), "{value}");
        }
    }

    #[test]
    fn a_bucket_keeps_its_exemplar_for_a_second() {
        let exemplars = Exemplars::default();
        assert_eq!(exemplars.of_bucket(0), None);
        exemplars.offer(7, 5_000, ONE);
        exemplars.offer(8, 5_999, OTHER);
        assert_eq!(exemplars.of_bucket(0), Some(Exemplar { value_us: 7, at_ms: 5_000, connection: ONE }));
        exemplars.offer(9, 6_000, OTHER);
        assert_eq!(exemplars.of_bucket(0), Some(Exemplar { value_us: 9, at_ms: 6_000, connection: OTHER }));
        assert_eq!(exemplars.of_bucket(1), None);
        assert_eq!(exemplars.of_bucket(17), None);
    }
}
