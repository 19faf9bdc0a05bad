//! How much a user may move in all: one number, shared by all cores.
//!
//! Bytes are reserved before they are read, and what did not come is given back: the number never passes the
//! limit, however many connections draw on it at once.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Reserves up to `wanted` bytes, never more than half of what is left: most of it may come back in a moment, and who
/// asks meanwhile must not take it for used. 0: the quota is used up.
#[must_use]
pub fn reserve(used: &AtomicU64, limit: u64, wanted: usize) -> usize {
    let granted = |used: u64| limit.saturating_sub(used).div_ceil(2).min(wanted as u64);
    let draw = |used: u64| (granted(used) > 0).then(|| used + granted(used));
    // At most `wanted`, so it fits.
    used.fetch_update(Relaxed, Relaxed, draw).map_or(0, |before| granted(before) as usize)
}

/// Takes `bytes` if they are left, for what is moved whole or not at all: a datagram.
#[must_use]
pub fn try_take(used: &AtomicU64, limit: u64, bytes: usize) -> bool {
    let draw = |used: u64| used.checked_add(bytes as u64).filter(|sum| *sum <= limit);
    used.fetch_update(Relaxed, Relaxed, draw).is_ok()
}

/// Gives back what was reserved and did not come.
pub fn give_back(used: &AtomicU64, bytes: usize) {
    if bytes > 0 {
        // A new month may have begun meanwhile, at zero.
        let _ = used.fetch_update(Relaxed, Relaxed, |used| Some(used.saturating_sub(bytes as u64)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_granted_and_then_nothing() {
        let used = AtomicU64::new(90);
        assert_eq!([64; 5].map(|wanted| reserve(&used, 100, wanted)), [5, 3, 1, 1, 0]);
        give_back(&used, 4);
        assert_eq!([1; 5].map(|wanted| reserve(&used, 100, wanted)), [1, 1, 1, 1, 0]);
        assert_eq!(used.into_inner(), 100);
    }

    #[test]
    fn who_asks_while_another_holds_a_reservation_finds_some_left() {
        let used = AtomicU64::new(0);
        let (held, meanwhile) = (reserve(&used, 1000, 4096), reserve(&used, 1000, 4096));
        assert_eq!((held, meanwhile), (500, 250));
    }

    #[test]
    fn a_limit_lowered_below_what_is_used_grants_nothing() {
        let used = AtomicU64::new(200);
        assert_eq!(reserve(&used, 100, 1), 0);
        assert!(!try_take(&used, 100, 0));
        assert_eq!(used.into_inner(), 200);
    }

    #[test]
    fn a_datagram_is_taken_whole_or_not_at_all() {
        let used = AtomicU64::new(0);
        assert!(!try_take(&used, 100, 101) && try_take(&used, 100, 100) && !try_take(&used, 100, 1));
        assert!(try_take(&used, 100, 0), "an empty one costs nothing");
        assert_eq!(used.into_inner(), 100);
    }

    #[test]
    fn a_month_that_begins_between_is_not_made_to_owe() {
        let used = AtomicU64::new(0);
        give_back(&used, 64);
        assert_eq!(used.into_inner(), 0);
    }
}
