//! What a user's limits make of a direction: reads within the quota, pauses for the rate.

use super::pace::Pace;
use super::{Direction, Filled, Held, Relay};
use crate::core::SCRATCH_BYTES;
use crate::io::sessions::TICK;
use crate::policy::allowance::Allowance;
use crate::rt;
use ringway_shared::reason::Reason;
use rustix::io::Errno;
use std::time::Duration;

/// How a pause has ended.
#[derive(PartialEq, Eq)]
pub(super) enum Pause {
    Over,
    SenderEnded,
}

impl Direction<'_> {
    /// Reads nothing until the user's rate allows it. Ends by the next tick when the session, the other direction
    /// or the sender does: none of them wakes a timer.
    pub(super) async fn pause(self) -> Result<Pause, Reason> {
        let Relay { session, broken, .. } = self.relay;
        session.set_reading(false);
        let ended = loop {
            if let Some(reason) = session.cut_reason().or(broken.get()) {
                break Err(reason);
            }
            let left = Duration::from_nanos(self.pause_ns());
            if left.is_zero() {
                break Ok(Pause::Over);
            }
            // An end costs the user nothing, and who only waits to say it would hold two descriptors.
            if left > TICK && self.sender_has_ended() {
                break Ok(Pause::SenderEnded);
            }
            rt::sleep(left.min(TICK)).await;
            // Waiting for us is not idleness.
            self.touch();
        };
        session.set_reading(true);
        ended
    }

    /// Whether the sender has said all, and all of it has been read.
    fn sender_has_ended(self) -> bool {
        self.peek() == Ok(0)
    }

    pub(super) fn pause_ns(self) -> u64 {
        let Relay { core, allowance, .. } = self.relay;
        allowance.as_ref().map_or(0, |allowance| allowance.pause_ns(self.way, core.now_ns()))
    }

    pub(super) fn read_allowed(
        self,
        allowance: &Allowance,
        held: &mut Held,
        pace: &mut Pace,
    ) -> Result<Filled, Reason> {
        let most = if pace.bulk { self.relay.core.pipes.pipe_bytes() } else { SCRATCH_BYTES };
        let now_ns = self.relay.core.now_ns();
        let granted = allowance.grant(self.way, most, now_ns);
        if granted == 0 {
            return self.end_or_too_much();
        }
        let before = self.total().get();
        let filled = self.read(held, pace, granted);
        let read = self.total().get() - before;
        allowance.settle(self.way, granted, read as usize, now_ns);
        filled
    }

    /// The quota is used up: whether the sender has more to say, which is too much, or ends just here.
    fn end_or_too_much(self) -> Result<Filled, Reason> {
        match self.peek() {
            Ok(0) => Ok(Filled::EndOfStream),
            Ok(_) => Err(Reason::QuotaExhausted),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Filled::Nothing),
            Err(_) => Err(self.sender_broke()),
        }
    }
}
