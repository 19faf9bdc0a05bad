//! Writing to many connections by one system call: what a fan-out leaves behind, and the answers to those that were read in one
//! turn. A send(2) each costs a tenth to a fifth more (docs/decisions/0031).

use super::State;
use super::wire;
use super::writing::{GATHER_BYTES, Offer};
use crate::core::Core;
use crate::rt::sends::{SENDS_MAX, Sends};
use ringway_shared::closing::Closing;
use rustix::net::SendFlags;
use std::collections::VecDeque;
use std::ops::Range;
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
    generation: u32,
    what: What,
}

enum What {
    /// Of what the hub has queued.
    Queued(Offer),
    /// Among the answers that were put aside.
    Answers(Range<usize>),
}

struct Written {
    write: Write,
    outcome: rustix::io::Result<usize>,
}

impl Together {
    pub(super) fn new(by_ring: bool) -> Together {
        Together { sends: by_ring.then(Sends::new).and_then(Result::ok), ..Together::default() }
    }
}

impl State {
    /// Leaves the answers to a connection for [`State::send_left`]. False: they have to be sent alone.
    pub(super) fn leave(&mut self, core: &Rc<Core>, conn: u32) -> bool {
        let Some(slot) = self.slots.get(conn as usize).filter(|_| self.together.sends.is_some()) else {
            return false;
        };
        let is_left = |write: &Write| write.conn == conn && write.generation == slot.generation;
        debug_assert!(!self.together.batch.iter().any(is_left), "bytes would overtake others");
        let what = What::Answers(self.answers.set_aside());
        self.together.batch.push(Write { conn, generation: slot.generation, what });
        if self.together.batch.len() >= SENDS_MAX {
            self.send_left(core);
        }
        true
    }

    /// Sends the answers that were left. Whoever hears connections does so before anything is queued for them, and before the gateway is let go of.
    /// Nothing may be written meanwhile for the one that is being read.
    pub(super) fn send_left(&mut self, core: &Rc<Core>) {
        debug_assert!(self.answers.own().is_empty(), "an end among those that were left would take it along");
        let serving = self.serving.take();
        self.keep_books(core);
        if !self.together.batch.is_empty() {
            let State { slots, together, .. } = self;
            together.batch.retain(|write| {
                slots.get(write.conn as usize).is_some_and(|slot| slot.generation == write.generation)
            });
            self.send_batch();
            self.keep_books(core);
        }
        self.answers.forget_aside();
        self.serving = serving;
    }

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
                    let what = What::Queued(Offer::of(&self.hub, conn, &mut self.outgoing));
                    self.together.batch.push(Write { conn, generation: slot.generation, what });
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
        let State { slots, hub, outgoing, answers, together, .. } = self;
        let Together { sends, batch, outcomes, written } = together;
        let requests = batch.iter().map(|Write { conn, what, .. }| {
            let bytes = match what {
                What::Queued(offer) => offer.bytes(hub, *conn, outgoing),
                What::Answers(range) => answers.aside(range),
            };
            (slots[*conn as usize].socket.as_fd(), bytes)
        });
        match sends {
            Some(sends) if requests.len() >= TOGETHER_MIN => sends.send_all(requests, outcomes),
            _ => outcomes.extend(requests.map(|(socket, bytes)| {
                rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            })),
        }
        written.extend(
            batch.drain(..).zip(outcomes.drain(..)).map(|(write, outcome)| Written { write, outcome }),
        );
    }

    /// Enters what was written into all books there are. Done before anything else happens to those connections, a panic included.
    fn keep_books(&mut self, core: &Rc<Core>) {
        // All of a call are written when it returns: one look at the clock for them.
        let mut written_ns = None;
        while let Some(Written { write: Write { conn, generation, what }, outcome }) =
            self.together.written.pop_front()
        {
            if self.slots.get(conn as usize).is_none_or(|slot| slot.generation != generation) {
                continue;
            }
            self.serving = Some(conn);
            match (what, wire::taken(outcome)) {
                (What::Answers(answers), sent) => self.answered(core, conn, sent, answers),
                (What::Queued(offer), Ok(count)) => {
                    let now_ns = *written_ns.get_or_insert_with(|| core.now_ns());
                    self.written(core, conn, count, offer.length, now_ns);
                    self.ahead.one_was_offered();
                }
                (What::Queued(_), Err(wire::Failed)) => {
                    self.abort(core, conn, Closing::WriteFailed);
                    self.ahead.one_was_offered();
                }
            }
            self.serving = None;
        }
    }
}
