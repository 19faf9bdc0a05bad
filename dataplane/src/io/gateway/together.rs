//! Writing to many connections by one system call: what a fan-out leaves behind. A send(2) each
//! costs a fifth more (docs/decisions/0031).

use super::State;
use super::wire;
use super::writing::{GATHER_BYTES, Offer};
use crate::core::Core;
use crate::rt::sends::Sends;
use ringway_shared::closing::Closing;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::rc::Rc;

/// Fewer are written to one by one: the ring has a cost of its own. Where the two meet has not been measured.
const TOGETHER_MIN: usize = 4;
/// Bytes that are copied together for one call.
const COPIED_MAX: usize = 4 * GATHER_BYTES;

/// Writes of one call.
#[derive(Default)]
pub(super) struct Together {
    /// None: the kernel refuses the ring, or the configuration wants none.
    sends: Option<Sends>,
    batch: Vec<Write>,
    outcomes: Vec<rustix::io::Result<usize>>,
    /// Written, but not entered into the books yet: more than none only if there was a panic meanwhile.
    written: VecDeque<Written>,
}

struct Write {
    conn: u32,
    offer: Offer,
}

struct Written {
    conn: u32,
    generation: u32,
    offered: usize,
    outcome: rustix::io::Result<usize>,
}

impl Together {
    pub(super) fn new(by_ring: bool) -> Together {
        Together { sends: by_ring.then(Sends::new).and_then(Result::ok), ..Together::default() }
    }
}

impl State {
    /// Writes to at most so many connections that have something queued; how many calls that would have been.
    pub(super) fn flush_together(&mut self, core: &Rc<Core>, most: usize) -> usize {
        if self.together.sends.is_none() || self.hub.dirty_len().min(most) < TOGETHER_MIN {
            return 0;
        }
        self.outgoing.clear();
        let mut alone = Vec::new();
        while self.together.batch.len() + alone.len() < most && self.outgoing.len() < COPIED_MAX {
            let Some(conn) = self.hub.poll_dirty() else { break };
            match self.slots.get(conn as usize) {
                Some(slot) if slot.tls.is_none() => {
                    let offer = Offer::of(&self.hub, conn, &mut self.outgoing);
                    self.together.batch.push(Write { conn, offer });
                }
                Some(_) => alone.push(conn),
                None => {}
            }
        }
        let count = self.together.batch.len() + alone.len();
        self.send_batch();
        self.keep_books(core);
        for conn in alone {
            self.serving = Some(conn);
            self.flush(core, conn);
            self.serving = None;
            self.ahead.one_was_offered();
        }
        count
    }

    fn send_batch(&mut self) {
        let State { slots, hub, outgoing, together, .. } = self;
        let Together { sends, batch, outcomes, written } = together;
        let Some(sends) = sends else { return };
        let requests = batch.iter().map(|Write { conn, offer }| {
            (slots[*conn as usize].socket.as_fd(), offer.bytes(hub, *conn, outgoing))
        });
        sends.send_all(requests, outcomes);
        let done = batch.drain(..).zip(outcomes.drain(..)).map(|(Write { conn, offer }, outcome)| Written {
            conn,
            generation: slots[conn as usize].generation,
            offered: offer.length,
            outcome,
        });
        written.extend(done);
    }

    /// Enters what was written into all books there are. Done before anything else happens to those connections, a panic included.
    pub(super) fn keep_books(&mut self, core: &Rc<Core>) {
        while let Some(Written { conn, generation, offered, outcome }) = self.together.written.pop_front() {
            if self.slots.get(conn as usize).is_none_or(|slot| slot.generation != generation) {
                continue;
            }
            self.serving = Some(conn);
            match wire::taken(outcome) {
                Ok(count) => {
                    self.written(core, conn, count, offered);
                }
                Err(wire::Failed) => self.abort(core, conn, Closing::WriteFailed),
            }
            self.serving = None;
            self.ahead.one_was_offered();
        }
    }
}
