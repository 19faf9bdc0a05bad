//! How fast a user may go: one schedule for each direction, shared by all cores.
//!
//! GCRA over one number: `due_ns` says when the bytes taken so far will have been paid for. Whoever takes bytes
//! moves it on by their price, so all takers stand in one queue and each byte has one place in it: the rate is
//! exact however many connections there are. `now_ns` and `due_ns` count from the process's epoch.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// How long a limited connection waits between two of its reads. What a timer is late comes on top.
const ROUND_NS: u64 = 20_000_000;
/// Among so many connections a round is shared. More make it longer, not their reads smaller: one user is read
/// 3,200 times a second at most, so that a slow user with many connections costs no core.
const SHARES_MAX: u64 = 64;
/// Below this no read is worth its system calls.
const SLICE_BYTES_MIN: u64 = 32;
/// No shorter pause is worth a timer. Where few of a user's connections are busy it lets credit gather for a good read.
const PAUSE_NS_MIN: u64 = 5_000_000;

/// How far streams may run ahead of their schedule. Makes up for timers that fire late.
pub const STREAM_BURST_NS: u64 = 20_000_000;
/// The same for datagrams, which are dropped where streams would wait: so they get in while streams are waiting.
pub const DATAGRAM_BURST_NS: u64 = 60_000_000;
const _: () = assert!(DATAGRAM_BURST_NS > STREAM_BURST_NS + ROUND_NS);
// What gathers during a pause, and while its timer is late, is not lost.
const _: () = assert!(STREAM_BURST_NS >= 3 * PAUSE_NS_MIN);

/// The most to read now from one of a user's `connections`: what has not been taken in time, and in any case so much
/// that each of them gets its turn once a round.
#[must_use]
pub fn portion(due_ns: &AtomicU64, bytes_per_s: u64, burst_ns: u64, connections: u64, now_ns: u64) -> usize {
    let credit_ns = burst_ns.saturating_sub(due_ns.load(Relaxed).saturating_sub(now_ns));
    slice(bytes_per_s, connections).max(bytes_in(credit_ns, bytes_per_s))
}

/// Notes `bytes` just read, and tells how long to wait before the next read; 0: not at all.
#[must_use]
pub fn reserve(due_ns: &AtomicU64, bytes_per_s: u64, burst_ns: u64, bytes: usize, now_ns: u64) -> u64 {
    let price_ns = price_ns(bytes, bytes_per_s);
    let later = |due: u64| due.max(now_ns) + price_ns;
    let due = match due_ns.fetch_update(Relaxed, Relaxed, |due| Some(later(due))) {
        Ok(before) | Err(before) => later(before),
    };
    match due.saturating_sub(now_ns).saturating_sub(burst_ns) {
        0 => 0,
        wait_ns => wait_ns.max(PAUSE_NS_MIN),
    }
}

/// Takes `bytes` if no more than `burst_ns` is owed, for what cannot wait: a datagram, a connection. False: take
/// nothing. A datagram passes whole or not at all, however large: what is too much of it is owed afterwards.
#[must_use]
pub fn try_take(due_ns: &AtomicU64, bytes_per_s: u64, burst_ns: u64, bytes: usize, now_ns: u64) -> bool {
    let price_ns = price_ns(bytes, bytes_per_s);
    due_ns.fetch_update(Relaxed, Relaxed, |due| taken(due, price_ns, burst_ns, now_ns)).is_ok()
}

/// The schedule after one more is taken; `None`: too much is owed for that.
#[must_use]
pub fn taken(due_ns: u64, price_ns: u64, burst_ns: u64, now_ns: u64) -> Option<u64> {
    (due_ns.saturating_sub(now_ns) <= burst_ns).then(|| due_ns.max(now_ns) + price_ns)
}

/// A connection's share of a round.
fn slice(bytes_per_s: u64, connections: u64) -> usize {
    let least = SLICE_BYTES_MIN as usize;
    (bytes_in(ROUND_NS, bytes_per_s) / connections.clamp(1, SHARES_MAX) as usize).max(least)
}

fn bytes_in(time_ns: u64, bytes_per_s: u64) -> usize {
    usize::try_from(u128::from(time_ns) * u128::from(bytes_per_s) / 1_000_000_000).unwrap_or(usize::MAX)
}

fn price_ns(bytes: usize, bytes_per_s: u64) -> u64 {
    let rate = bytes_per_s.max(1);
    // To the nearest: small slices at high rates would else add up to another rate.
    (bytes as u64).saturating_mul(1_000_000_000).saturating_add(rate / 2) / rate
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    const SECOND_NS: u64 = 1_000_000_000;

    /// What callers with always something to read got in ten virtual seconds.
    struct Run {
        bytes: u64,
        longest_gap_ns: u64,
    }

    /// Each caller reads its portion, as one of `open` connections, waits as told and up to `late_ns` longer, and
    /// reads again.
    fn run(callers: u64, open: u64, rate: u64, read_max: usize, late_ns: u64) -> Run {
        let due_ns = AtomicU64::new(0);
        let mut wakes: BinaryHeap<_> = (0..callers).map(|caller| Reverse((0, caller))).collect();
        let mut last = vec![0; callers as usize];
        let mut seen = Run { bytes: 0, longest_gap_ns: 0 };
        while let Some(Reverse((now_ns, caller))) = wakes.pop() {
            if now_ns > 10 * SECOND_NS {
                break;
            }
            let bytes = portion(&due_ns, rate, STREAM_BURST_NS, open, now_ns).min(read_max);
            seen.bytes += bytes as u64;
            seen.longest_gap_ns = seen.longest_gap_ns.max(now_ns - last[caller as usize]);
            last[caller as usize] = now_ns;
            let wait_ns = reserve(&due_ns, rate, STREAM_BURST_NS, bytes, now_ns);
            // A read itself takes a microsecond; a timer is late by anything up to `late_ns`.
            let late_ns = if wait_ns > 0 { (now_ns / 7 + caller * 131) % (late_ns + 1) } else { 0 };
            wakes.push(Reverse((now_ns + wait_ns + late_ns + 1_000, caller)));
        }
        seen
    }

    #[test]
    fn the_rate_is_kept_within_one_percent_and_nobody_waits_30_ms() {
        for (callers, open) in [(1, 1), (1, 64), (1, 1_000), (7, 64), (64, 64)] {
            for rate in [100_000, 1_000_000, 10_000_000, 100_000_000] {
                for (read_max, late_ns) in [(64 * 1024, 0), (64 * 1024, 2_000_000), (1 << 20, 8_000_000)] {
                    let run = run(callers, open, rate, read_max, late_ns);
                    let told = format!("{callers} of {open}, {rate} B/s, {late_ns} ns late: {}", run.bytes);
                    assert!(run.bytes.abs_diff(10 * rate) <= rate / 10, "{told}");
                    assert!(run.longest_gap_ns < 30_000_000, "{told}: a gap of {} ns", run.longest_gap_ns);
                }
            }
        }
    }

    /// An idle connection takes nothing from a busy one: it reads as rarely, and as much at once, as if it were alone.
    #[test]
    fn a_busy_connection_among_idle_ones_reads_in_good_portions() {
        let due_ns = AtomicU64::new(0);
        let (rate, mut now_ns, mut reads) = (1_000_000, 0, 0);
        while now_ns < SECOND_NS {
            let bytes = portion(&due_ns, rate, STREAM_BURST_NS, 1_000, now_ns);
            now_ns += reserve(&due_ns, rate, STREAM_BURST_NS, bytes, now_ns);
            reads += 1;
        }
        assert!(reads < 450, "{reads} reads a second");
    }

    #[test]
    fn an_idle_user_gathers_no_more_than_the_burst() {
        let due_ns = AtomicU64::new(0);
        let later = 3_600 * SECOND_NS;
        assert_eq!(reserve(&due_ns, 1_000, STREAM_BURST_NS, 1_000, later), SECOND_NS - STREAM_BURST_NS);
    }

    #[test]
    fn datagrams_are_policed_to_the_rate_and_large_ones_pass_too() {
        for bytes in [100, 1_200, 65_507] {
            let due_ns = AtomicU64::new(0);
            let rate = 1_000_000;
            let offered = (0..10_000u64).map(|ms| ms * 1_000_000);
            let passed =
                offered.filter(|now_ns| try_take(&due_ns, rate, DATAGRAM_BURST_NS, bytes, *now_ns)).count();
            let most = 10 * rate as usize + 60_000 + bytes;
            let offered_bytes = 10_000 * bytes;
            assert!(passed * bytes <= most, "{bytes}: {passed}");
            assert!(passed * bytes >= offered_bytes.min(10 * rate as usize), "{bytes}: {passed}");
        }
    }

    #[test]
    fn datagrams_get_in_beside_streams_that_wait() {
        let due_ns = AtomicU64::new(0);
        let rate = 1_000_000;
        while reserve(&due_ns, rate, STREAM_BURST_NS, slice(rate, 1), 0) < ROUND_NS {}
        assert!(try_take(&due_ns, rate, DATAGRAM_BURST_NS, 1_200, 0));
    }

    #[test]
    fn slices_share_a_round_and_do_not_get_tiny() {
        assert_eq!(slice(100_000_000, 1), 2_000_000);
        assert_eq!(slice(100_000_000, 64), 31_250);
        assert_eq!(slice(1_000_000, 64), 312);
        assert_eq!(slice(1_000_000, 10_000), 312);
        assert_eq!(slice(100_000, 64), 32);
        assert_eq!(slice(1, 0), 32);
    }

    proptest! {
        #[test]
        fn no_numbers_break_it(rate: u64, bytes: u32, connections: u64, due in 0..u64::MAX / 4, now in 0..u64::MAX / 4) {
            let due_ns = AtomicU64::new(due);
            prop_assert!(slice(rate, connections) >= SLICE_BYTES_MIN as usize);
            let _ = reserve(&due_ns, rate, STREAM_BURST_NS, bytes as usize, now);
            prop_assert!(due_ns.into_inner() >= now);
        }
    }
}
