//! Writing: each connection that has something queued is written to once a turn, everything it has in one call.

use super::slot::{Slot, Stage};
use super::wire::Failed;
use super::{State, clock};
use crate::core::Core;
use crate::hub::Hub;
use ringway_shared::closing::Closing;
use ringway_shared::gateway::Frame;
use std::ops::Range;
use std::rc::Rc;

/// Frames are copied together up to so many bytes; a longer one is sent from where it lies.
pub(super) const GATHER_BYTES: usize = 64 * 1024;
/// From this length on answers are sent while they are in the cache: those of 16 KiB cost 7% more if they were left until all were read.
const LEFT_BYTES: usize = 2 * 1024;
/// From this length on a frame is not worth copying.
const OWN_CALL_BYTES: usize = 16 * 1024;

impl State {
    /// Leaves the frames written for the connection that is being read to [`State::send_left`], if they are short and nothing has to be sent before
    /// them. At most once for a connection between two of those.
    pub(super) fn leave_answers(&mut self, core: &Rc<Core>, conn: u32) {
        let may_wait = self.slots.get(conn as usize).is_some_and(|slot| slot.tls.is_none())
            && self.hub.queued(conn).0 == 0
            && !self.has_letter(conn)
            && (1..LEFT_BYTES).contains(&self.answers.own().len());
        if !may_wait || !self.leave(core, conn) {
            self.send_answers(core, conn);
        }
    }

    /// Adds the end of a frame whose header is written already. If it is long and nothing has to be sent before it, it is sent from where it
    /// lies together with what is written: a copy of 16 KiB is a tenth of what an echo costs.
    pub(super) fn answer_from(&mut self, core: &Rc<Core>, conn: u32, payload: &[u8]) {
        let written = self.answers.own().len();
        let may_pass = payload.len() >= LEFT_BYTES && self.hub.queued(conn).0 == 0 && !self.has_letter(conn);
        let slot = self.slots.get_mut(conn as usize).filter(|slot| may_pass && slot.tls.is_none());
        let Some(slot) = slot else {
            return self.answers.out().extend_from_slice(payload);
        };
        match slot.send_both(self.answers.own(), payload) {
            Ok(count) if count == written + payload.len() => {
                slot.count_sent(core, count as u64);
                self.answers.clear();
            }
            sent => {
                self.answers.out().extend_from_slice(payload);
                self.took_answers(core, conn, sent);
            }
        }
    }

    /// Sends the frames written for the connection that is being read: at once if nothing is queued before them. A client that
    /// does not read its answers is not read either.
    pub(super) fn send_answers(&mut self, core: &Rc<Core>, conn: u32) {
        if self.answers.own().is_empty() {
            return;
        }
        let has_letter = self.has_letter(conn);
        let Some(slot) = self.slots.get_mut(conn as usize) else { return self.answers.clear() };
        if has_letter {
            if slot.awaits_room {
                slot.paused = true;
                slot.watch_for(&core.gateway.many, conn);
            }
            return self.queue_answers(conn);
        }
        let nothing_before = self.hub.queued(conn).0 == 0 && !slot.holds_encrypted();
        let sent = if nothing_before { slot.send(core, self.answers.own()) } else { Ok(0) };
        self.took_answers(core, conn, sent);
        self.await_encrypted(core, conn);
    }

    /// Enters into all books there are what became of the frames written for the connection that is being read.
    fn took_answers(&mut self, core: &Rc<Core>, conn: u32, sent: Result<usize, Failed>) {
        let answers = self.answers.set_aside();
        self.answered(core, conn, sent, answers.clone());
        self.answers.forget_last(answers);
    }

    /// Whether a letter to it is not posted yet.
    fn has_letter(&self, conn: u32) -> bool {
        self.letter.conn == conn && !self.letter.frames.is_empty()
    }

    /// Enters into all books there are what became of answers that were put aside.
    pub(super) fn answered(
        &mut self,
        core: &Rc<Core>,
        conn: u32,
        sent: Result<usize, Failed>,
        answers: Range<usize>,
    ) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        match sent {
            Ok(count) => {
                slot.count_sent(core, count as u64);
                let rest = &self.answers.aside(&answers)[count..];
                if !rest.is_empty() {
                    self.hub.push_own(conn, rest.into());
                    slot.paused = true;
                    slot.watch_for(&core.gateway.many, conn);
                }
            }
            Err(Failed) => self.abort(core, conn, Closing::WriteFailed),
        }
    }

    /// Encrypted bytes that the socket had no room for leave when it has.
    pub(super) fn await_encrypted(&mut self, core: &Rc<Core>, conn: u32) {
        if let Some(slot) = self.slots.get_mut(conn as usize)
            && slot.holds_encrypted()
        {
            self.hub.blocked(conn);
            slot.awaits_room = true;
            slot.watch_for(&core.gateway.many, conn);
        }
    }

    /// Puts the answers written so far into the connection's letter, for something is about to be said that must come after them.
    pub(super) fn queue_answers(&mut self, conn: u32) {
        if !self.answers.own().is_empty() {
            let answers = std::mem::take(&mut self.answers);
            self.letter_to(conn).extend_from_slice(answers.own());
            self.answers = answers;
            self.answers.clear();
            self.post_long_letter();
        }
    }

    /// Writes what a connection has queued until it is empty or the socket is full; how many calls that took.
    pub(super) fn flush(&mut self, core: &Rc<Core>, conn: u32) -> usize {
        let mut calls = 0;
        loop {
            let State { slots, hub, outgoing, .. } = self;
            let Some(slot) = slots.get_mut(conn as usize) else { return calls };
            calls += 1;
            outgoing.clear();
            let offer = Offer::of(hub, conn, outgoing);
            let Ok(count) = slot.send(core, offer.bytes(hub, conn, outgoing)) else {
                self.abort(core, conn, Closing::WriteFailed);
                return calls;
            };
            if !self.written(core, conn, count, offer.length, core.now_ns()) {
                return calls;
            }
        }
    }

    /// Enters into all books there are that the socket has taken so much of what it was offered, at `now_ns`. True: there is more for it.
    pub(super) fn written(
        &mut self,
        core: &Rc<Core>,
        conn: u32,
        count: usize,
        offered: usize,
        now_ns: u64,
    ) -> bool {
        let State { slots, hub, .. } = self;
        let Some(slot) = slots.get_mut(conn as usize) else { return false };
        let cells = &core.cells.websocket;
        let mut slowest_us = None;
        let outcome = hub.sent(conn, count, |at_ns| {
            let latency_us = now_ns.saturating_sub(at_ns) / 1_000;
            cells.push_latency.record(latency_us);
            slowest_us = slowest_us.max(Some(latency_us));
        });
        if let Some(slowest_us) = slowest_us {
            // One for each write, not for each message in it.
            cells.push_exemplars.offer(slowest_us, now_ns / 1_000_000, slot.connection(core));
        }
        slot.count_sent(core, count as u64);
        if outcome.publications > 0 {
            slot.active_tick = clock::tick_of(now_ns);
            slot.about.sent_messages += u64::from(outcome.publications);
            cells.sent[Frame::Text as usize].add(u64::from(outcome.publications));
        }
        if count < offered || slot.holds_encrypted() {
            hub.blocked(conn);
            slot.awaits_room = true;
            slot.watch_for(&core.gateway.many, conn);
            return false;
        }
        if !outcome.rest {
            slot.paused = false;
            slot.watch_for(&core.gateway.many, conn);
            self.has_said_all(core, conn);
        }
        outcome.rest
    }

    /// There is room in the socket again.
    pub(super) fn resume(&mut self, core: &Rc<Core>, conn: u32) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        match slot.send_encrypted() {
            Err(Failed) => return self.abort(core, conn, Closing::WriteFailed),
            Ok(false) => return,
            Ok(true) => {}
        }
        slot.awaits_room = false;
        slot.watch_for(&core.gateway.many, conn);
        self.hub.writable(conn);
        if self.hub.queued(conn).0 == 0 {
            slot.paused = false;
            slot.watch_for(&core.gateway.many, conn);
            self.has_said_all(core, conn);
        }
    }

    /// After the last frame: the client is to see it before the socket closes.
    pub(super) fn has_said_all(&mut self, core: &Rc<Core>, conn: u32) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        let over = slot.handshake.is_done() || slot.incoming.is_over();
        if slot.stage == Stage::Closing && over && !slot.holds_encrypted() {
            slot.linger(core);
        }
    }
}

impl Slot {
    /// Enters bytes that the socket has taken into all books there are.
    fn count_sent(&mut self, core: &Core, bytes: u64) {
        core.cells.websocket.sent_bytes.add(bytes);
        self.about.listener.sent_bytes.add(bytes);
        self.about.sent_bytes += bytes;
    }

    /// Nothing more is said. What still comes is thrown away until the client has closed as well: to close with bytes unread would
    /// reset the connection, and the client might never see what it was told.
    pub(super) fn linger(&mut self, core: &Core) {
        self.end_output();
        self.stage = Stage::Lingering;
        self.due_tick = clock::after(core.now_tick(), core.service().config.websocket.timeouts.close);
    }
}

/// As much of what a connection has queued as one write is worth.
pub(super) struct Offer {
    /// In bytes.
    pub length: usize,
    /// Where among what is gathered it lies; it is the connection's first frame, where that lies, if nowhere.
    gathered: Option<Range<usize>>,
}

impl Offer {
    /// Frames are copied behind what `gathered` has, unless there is but one or the first is long.
    pub fn of(hub: &Hub, conn: u32, gathered: &mut Vec<u8>) -> Offer {
        let (first, queued) = (hub.frames(conn).next().unwrap_or_default(), hub.queued(conn).0);
        if queued == 1 || first.len() >= OWN_CALL_BYTES {
            return Offer { length: first.len(), gathered: None };
        }
        let begin = gathered.len();
        for frame in hub.frames(conn) {
            if gathered.len() - begin + frame.len() > GATHER_BYTES {
                break;
            }
            gathered.extend_from_slice(frame);
        }
        Offer { length: gathered.len() - begin, gathered: Some(begin..gathered.len()) }
    }

    /// `gathered` as [`Offer::of`] left it, or with more behind it.
    pub fn bytes<'a>(&self, hub: &'a Hub, conn: u32, gathered: &'a [u8]) -> &'a [u8] {
        match &self.gathered {
            Some(range) => &gathered[range.clone()],
            None => hub.frames(conn).next().unwrap_or_default(),
        }
    }
}
