//! All deadlines: no connection has a timer, a scan finds those that are overdue.

use super::State;
use super::feed::Lost;
use super::slot::{Slot, Stage};
use crate::core::Core;
use crate::io::sessions::TICK;
use crate::proto::websocket;
use crate::service::Service;
use ringway_shared::closing::Closing;
use ringway_shared::gateway::Frame;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A table is scanned once in so many ticks.
const SCAN_TICKS: usize = 10;
/// Slots scanned at each tick in any case.
const SCAN_MIN: usize = 1024;

/// The tick at which `wait` is over: at least one tick from now, and never 0, which means never.
pub(super) fn after(now_tick: u32, wait: Duration) -> u32 {
    now_tick.saturating_add(ticks(wait)).max(1)
}

fn ticks(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX).max(1)
}

/// The tick of a moment.
pub fn tick_of(now_ns: u64) -> u32 {
    u32::try_from(now_ns / TICK.as_nanos() as u64).unwrap_or(u32::MAX)
}

/// A drain under way: connections are told to go, one after the other.
pub(super) struct Drain {
    from_tick: u32,
    over_ticks: u32,
}

impl Drain {
    /// When a connection is told. Spread evenly by its number, with a jitter of its own: no two drains in the same order.
    fn due_tick(&self, conn: u32, generation: u32) -> u32 {
        let mixed = (u64::from(conn) << 32 | u64::from(generation)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.from_tick.saturating_add(((mixed * u64::from(self.over_ticks)) >> 32) as u32)
    }
}

/// What a scan found due.
enum Due {
    Abort(Closing),
    Close(Closing),
    Lost(Lost),
    Ping,
}

impl State {
    /// Each tick: a part of the table is scanned, the whole in a second.
    pub(super) fn tick(&mut self, core: &Rc<Core>) {
        self.hub.tick(core.now_ms());
        self.replace_again(core);
        self.count(core);
        let service = core.service();
        let capacity = self.slots.capacity();
        let share = capacity.div_ceil(SCAN_TICKS).max(SCAN_MIN).min(capacity);
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        for _ in 0..share {
            if self.scan_from >= capacity {
                self.scan_from = 0;
            }
            let conn = self.scan_from as u32;
            self.scan_from += 1;
            if let Some(due) = self.due(core, &service, conn, unix_s) {
                self.serving = Some(conn);
                self.act_on_due(core, conn, due);
                self.serving = None;
            }
        }
        self.send_left(core);
    }

    fn due(&self, core: &Core, service: &Service, conn: u32, unix_s: u64) -> Option<Due> {
        let timeouts = &service.config.websocket.timeouts;
        let slot = self.slots.get(conn as usize)?;
        let now = core.now_tick();
        let is_due = slot.due_tick != 0 && now >= slot.due_tick;
        match slot.stage {
            Stage::Opening => is_due.then_some(Due::Abort(Closing::HandshakeTimeout)),
            Stage::Closing | Stage::Lingering => is_due.then_some(Due::Abort(Closing::CloseTimeout)),
            Stage::Open => {
                if let Some(lost) = self.has_lost_leave(service, conn) {
                    return Some(Due::Lost(lost));
                }
                if self.has_to_go(core, slot, conn) {
                    return Some(Due::Close(Closing::Drained));
                }
                if slot
                    .about
                    .known()
                    .and_then(|known| known.expires_at)
                    .is_some_and(|expires| unix_s >= expires)
                {
                    return Some(Due::Close(Closing::TokenExpired));
                }
                let passed =
                    |since: u32, wait: Duration| !wait.is_zero() && now.saturating_sub(since) >= ticks(wait);
                if slot.pinged_tick != 0 && !slot.paused && passed(slot.pinged_tick, timeouts.pong) {
                    return Some(Due::Close(Closing::HeartbeatTimeout));
                }
                if passed(slot.active_tick, timeouts.idle) {
                    return Some(Due::Close(Closing::IdleTimeout));
                }
                // Who does not read now, or is behind, could not answer in time.
                let may_be_asked = slot.pinged_tick == 0 && !slot.paused && !slot.awaits_room;
                (may_be_asked && passed(slot.heard_tick, timeouts.heartbeat)).then_some(Due::Ping)
            }
        }
    }

    /// Whether it is a connection's turn to be told of a drain. Who reads the feed by the control port looks on while the workers rest, and goes at once
    /// when they end: nobody waits for those few.
    fn has_to_go(&self, core: &Core, slot: &Slot, conn: u32) -> bool {
        let Some(drain) = &self.drain else { return false };
        match slot.about.is_guest() {
            true => core.draining.get(),
            false => core.now_tick() >= drain.due_tick(conn, slot.generation),
        }
    }

    fn act_on_due(&mut self, core: &Rc<Core>, conn: u32, due: Due) {
        match due {
            Due::Abort(closing) => self.abort(core, conn, closing),
            Due::Close(closing) => self.close(core, conn, closing, closing.text()),
            Due::Lost(lost) => self.act_on_lost_leave(core, conn, lost),
            Due::Ping => {
                let Some(slot) = self.slots.get_mut(conn as usize) else { return };
                slot.pinged_tick = core.now_tick().max(1);
                websocket::ping(&[], self.answers.out());
                core.cells.websocket.sent[Frame::Ping as usize].add(1);
                self.leave_answers(core, conn);
            }
        }
    }

    /// Begins to drain: open connections are told to go over the drain window, upgrades are refused.
    pub(super) fn drain(&mut self, core: &Rc<Core>) {
        if self.drain.is_none() {
            let window = core.service().config.websocket.timeouts.drain;
            let over_ticks = if window.is_zero() { 0 } else { ticks(window) };
            self.drain = Some(Drain { from_tick: core.now_tick(), over_ticks });
        }
    }

    /// Ends everybody at once; how many that were.
    pub(super) fn cut_all(&mut self, core: &Rc<Core>) -> u64 {
        let open: Vec<u32> = self.slots.iter().map(|(conn, _)| conn as u32).collect();
        for conn in &open {
            self.abort(core, *conn, Closing::Drained);
        }
        open.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_spread_over_its_window() {
        let drain = Drain { from_tick: 100, over_ticks: 50 };
        let mut told = [0u32; 51];
        for conn in 0..50_000 {
            told[(drain.due_tick(conn, 7) - 100) as usize] += 1;
        }
        assert!(told[..50].iter().all(|count| (800..1_200).contains(count)), "{told:?}");
    }
}
