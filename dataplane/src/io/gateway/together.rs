//! Writing to many connections by one system call: what a fan-out leaves behind. A send(2) each costs a third more (docs/decisions/0031).

use super::State;
use super::slot::Slot;
use super::wire;
use super::writing::{GATHER_BYTES, OWN_CALL_BYTES};
use crate::core::Core;
use crate::hub::Hub;
use crate::rt::sends::Sends;
use ringway_shared::closing::Closing;
use slab::Slab;
use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

/// Fewer are written to one by one: the ring's own cost is that of about two sends.
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
    offered: usize,
    /// Where in `State::outgoing` it lies; the connection's first frame, from where that lies, if nowhere.
    copied: Option<Range<usize>>,
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
                    let write = gather(&self.hub, conn, &mut self.outgoing);
                    self.together.batch.push(write);
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
        sends.send_all(batch.iter().map(|write| write.bytes(slots, hub, outgoing)), outcomes);
        let done = batch.drain(..).zip(outcomes.drain(..)).map(|(Write { conn, offered, .. }, outcome)| {
            Written { conn, generation: slots[conn as usize].generation, offered, outcome }
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

impl Write {
    fn bytes<'a>(
        &self,
        slots: &'a Slab<Slot>,
        hub: &'a Hub,
        outgoing: &'a [u8],
    ) -> (BorrowedFd<'a>, &'a [u8]) {
        let socket = slots[self.conn as usize].socket.as_fd();
        let bytes = match &self.copied {
            Some(range) => &outgoing[range.clone()],
            None => hub.frames(self.conn).next().unwrap_or_default(),
        };
        (socket, bytes)
    }
}

/// As much of what the connection has queued as one call is worth.
fn gather(hub: &Hub, conn: u32, outgoing: &mut Vec<u8>) -> Write {
    let (first, queued) = (hub.frames(conn).next().unwrap_or_default(), hub.queued(conn).0);
    if queued == 1 || first.len() >= OWN_CALL_BYTES {
        return Write { conn, offered: first.len(), copied: None };
    }
    let begin = outgoing.len();
    for frame in hub.frames(conn) {
        if outgoing.len() - begin + frame.len() > GATHER_BYTES {
            break;
        }
        outgoing.extend_from_slice(frame);
    }
    Write { conn, offered: outgoing.len() - begin, copied: Some(begin..outgoing.len()) }
}
