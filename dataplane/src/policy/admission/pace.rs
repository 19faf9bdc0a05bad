//! How fast connections may come, and how fast each may send.

use crate::policy::rate;
use ringway_shared::config::{ConnectionRate, WebSocketLimits};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

pub(super) const SECOND_NS: u64 = 1_000_000_000;
pub(super) const MILLISECOND_NS: u64 = 1_000_000;
/// The most that a refused client is told to wait.
const RETRY_AFTER_MAX_NS: u64 = 60 * SECOND_NS;
/// What one message may be made to owe: a year of nanoseconds, so that no sum overflows.
const PRICE_NS_MAX: u64 = 365 * 24 * 3600 * SECOND_NS;

/// How fast new connections come, over all workers: one schedule, as in [`rate`].
#[derive(Debug, Default)]
pub struct Arrivals {
    /// When the next one is due.
    due_ns: AtomicU64,
    /// When those refused so far would all be let in, one after the other.
    queue_due_ns: AtomicU64,
}

impl Arrivals {
    /// Whether one more may come in now. The error is how many seconds to wait (`Retry-After`, 1 to 60): a place of its
    /// own for each one refused, so that they do not all come back at once.
    ///
    /// The epoch that `now_ns` counts from is the process's start, which a ramp begins at.
    pub fn admit(&self, limit: Option<&ConnectionRate>, now_ns: u64) -> Result<(), u32> {
        let Some(limit) = limit else { return Ok(()) };
        let per_second = rate_at(limit, now_ns);
        let price_ns = SECOND_NS / per_second;
        // While the rate grows, what may come at once grows with it.
        let burst = u64::from(limit.burst) * per_second / u64::from(limit.per_second.max(1));
        let burst_ns = price_ns.saturating_mul(burst.max(1) - 1);
        if rate::try_take(&self.due_ns, per_second, burst_ns, 1, now_ns) {
            return Ok(());
        }
        let queued = |due: u64| (due.max(now_ns) + price_ns).min(now_ns + RETRY_AFTER_MAX_NS);
        let place = match self.queue_due_ns.fetch_update(Relaxed, Relaxed, |due| Some(queued(due))) {
            Ok(before) | Err(before) => queued(before),
        };
        Err((place - now_ns).div_ceil(SECOND_NS).max(1) as u32)
    }
}

/// New connections per second at `now_ns`: during the ramp a straight line from its start to the full rate.
fn rate_at(limit: &ConnectionRate, now_ns: u64) -> u64 {
    let full = u64::from(limit.per_second.max(1));
    let Some(ramp) = limit.ramp_up else { return full };
    let over_ns = u64::try_from(ramp.over.as_nanos()).unwrap_or(u64::MAX);
    if now_ns >= over_ns {
        return full;
    }
    let from = u64::from(ramp.from.max(1)).min(full);
    let grown = u128::from(full - from) * u128::from(now_ns) / u128::from(over_ns);
    from + grown as u64
}

/// What one connection has sent of late: one schedule for its messages and one for their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageRate {
    pub(super) messages_due_ns: u64,
    bytes_due_ns: u64,
}

// One for each connection.
const _: () = assert!(size_of::<MessageRate>() <= 16);

/// Which limit a message is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    Messages,
    Bytes,
}

impl MessageRate {
    /// Notes one message of `bytes`, unless it is beyond a limit. A second's worth may come at once; a larger message
    /// passes whole once no more than that is owed, and the rest of it is owed afterwards.
    pub fn take(&mut self, limits: &WebSocketLimits, bytes: usize, now_ms: u64) -> Result<(), Exceeded> {
        let now_ns = now_ms.saturating_mul(MILLISECOND_NS);
        let after = |due_ns: u64, per_second: u64, units: u64| {
            let per_second = u128::from(per_second.max(1));
            let price_ns = |units: u64| {
                let price = u128::from(units) * u128::from(SECOND_NS) / per_second;
                u64::try_from(price).unwrap_or(PRICE_NS_MAX).min(PRICE_NS_MAX)
            };
            rate::taken(due_ns, price_ns(units), SECOND_NS - price_ns(1), now_ns)
        };
        let mut next = *self;
        if let Some(limit) = limits.messages_per_second {
            next.messages_due_ns = after(self.messages_due_ns, limit.into(), 1).ok_or(Exceeded::Messages)?;
        }
        if let Some(limit) = limits.bytes_per_second {
            next.bytes_due_ns = after(self.bytes_due_ns, limit, bytes as u64).ok_or(Exceeded::Bytes)?;
        }
        *self = next;
        Ok(())
    }
}
