//! Reading: what one ready socket has is taken apart, acted on, and answered in one write.

use super::slot::{Path, Slot, Stage};
use super::wire::Heard;
use super::{State, talking};
use crate::core::Core;
use crate::proto::websocket::{self, Data, Event, Rules};
use ringway_shared::closing::Closing;
use ringway_shared::flight::What;
use ringway_shared::gateway::Frame;
use std::rc::Rc;
use std::time::Instant;

/// Answers gathered before they are sent, while more frames of the same read wait.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// What one read may bring about in one go, in units of a control frame: well below a millisecond. The rest waits for a later go.
const WORK_PER_READ: usize = 4096;
const BYTES_PER_UNIT: usize = 64;

impl State {
    /// Reads what a ready socket has: once, as the others want their turn too. `over`: it has failed or is closed both ways.
    pub(super) fn read(&mut self, core: &Rc<Core>, conn: u32, over: bool) {
        let mut scratch = core.scratch.borrow_mut();
        // Twice at the most: with the last bytes TLS may have read the end, of which the socket says nothing any more.
        while self.read_once(core, conn, over, &mut scratch) {}
    }

    /// True: there is more that the socket will not tell of.
    fn read_once(&mut self, core: &Rc<Core>, conn: u32, over: bool, scratch: &mut [u8]) -> bool {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return false };
        if slot.is_held && !over {
            return false;
        }
        match slot.receive(core, scratch) {
            Heard::Bytes(count) => {
                slot.heard_tick = core.now_tick();
                slot.pinged_tick = 0;
                match slot.stage {
                    Stage::Opening => self.open(core, conn, &mut scratch[..count]),
                    Stage::Open | Stage::Closing => self.frames(core, conn, &mut scratch[..count]),
                    Stage::Lingering => {}
                }
            }
            Heard::Nothing if over => self.abort(core, conn, Closing::ClientReset),
            Heard::Nothing => {}
            Heard::Over(closing) => self.over(core, conn, closing),
        }
        self.await_encrypted(core, conn);
        self.slots.get(conn as usize).is_some_and(Slot::has_news)
    }

    /// The client's frames.
    pub(super) fn frames(&mut self, core: &Rc<Core>, conn: u32, bytes: &mut [u8]) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        let mut incoming = std::mem::replace(&mut slot.incoming, websocket::Incoming::new(None));
        let mut own = slot.inflater.take();
        let mut shared = self.inflater.take();
        let message_bytes_max = slot.about.service.config.websocket.limits.message_bytes;
        let rules = Rules { frame_bytes_max: message_bytes_max, message_bytes_max };
        let inflater = own.as_deref_mut().or(shared.as_mut());
        let mut rest: Option<Box<[u8]>> = None;
        let outcome = match inflater {
            Some(inflater) => {
                let end = bytes.as_ptr_range().end;
                let mut reading = incoming.receive(bytes, &rules, inflater);
                let mut work = 0;
                loop {
                    if work >= WORK_PER_READ {
                        rest = Some(reading.unread()).filter(|rest| !rest.is_empty()).map(Box::from);
                        break Ok(());
                    }
                    match reading.poll() {
                        Ok(Some(event)) => {
                            work += work_of(&event);
                            let is_last = payload_of(&event).as_ptr_range().end == end;
                            if !self.act(core, conn, event, is_last) {
                                break Ok(());
                            }
                        }
                        Ok(None) => break Ok(()),
                        Err(violation) => break Err(violation),
                    }
                }
            }
            None => Ok(()),
        };
        self.inflater = shared;
        if let Some(slot) = self.slots.get_mut(conn as usize) {
            slot.incoming = incoming;
            slot.inflater = own;
            if let Some(rest) = rest {
                slot.is_held = true;
                self.held.push_back((conn, slot.generation, rest));
            }
        }
        if let Err(violation) = outcome {
            self.close(core, conn, violation.closing(), violation.text());
            if self.hub.queued(conn).0 == 0 {
                // Our close frame had gone out before: there is nothing more to say.
                self.has_said_all(core, conn);
            }
        }
        self.leave_answers(core, conn);
    }

    /// Goes on with a connection that has brought much at once. False: there is none.
    pub(super) fn go_on_reading(&mut self, core: &Rc<Core>) -> bool {
        let Some((conn, generation, mut bytes)) = self.held.pop_front() else { return false };
        let slot = self.slots.get_mut(conn as usize).filter(|slot| slot.generation == generation);
        if let Some(slot) = slot {
            slot.is_held = false;
            self.serving = Some(conn);
            self.frames(core, conn, &mut bytes);
            self.serving = None;
            // It may be heard again before the others are.
            self.send_left(core);
        }
        true
    }

    /// Acts on one event. `is_last`: nothing came behind it. False: nothing after it counts.
    fn act(&mut self, core: &Rc<Core>, conn: u32, event: Event<'_>, is_last: bool) -> bool {
        let cells = &core.cells.websocket;
        let count = |frame: Frame| cells.received[frame as usize].add(1);
        let size = payload_of(&event).len();
        if self.answers.own().len() > ANSWER_BYTES_MAX {
            self.send_answers(core, conn);
        }
        let Some(slot) = self.slots.get_mut(conn as usize) else { return false };
        if slot.handshake.has_sent() && !matches!(event, Event::Close { .. }) {
            // RFC 6455 section 1.4: what comes after our close frame is not acted on any more.
            return true;
        }
        // A close frame is heard in any case: it ends what the limit would.
        if self.limits_rates && !matches!(event, Event::Close { .. }) && !slot.may_send(size, core) {
            self.close(core, conn, Closing::TooManyRequests, Closing::TooManyRequests.text());
            return true;
        }
        match event {
            Event::Text(text) => {
                count(Frame::Text);
                slot.took_message(core, size);
                match slot.path {
                    Path::Echo => self.echo(core, conn, Data::Text, text.as_bytes(), is_last),
                    Path::Json => self.talk(core, conn, text),
                }
            }
            Event::Binary(bytes) => {
                count(Frame::Binary);
                slot.took_message(core, size);
                match slot.path {
                    Path::Echo => self.echo(core, conn, Data::Binary, bytes, is_last),
                    Path::Json => talking::refuse_binary(self, core, conn),
                }
            }
            Event::Ping(payload) => {
                count(Frame::Ping);
                websocket::pong(payload, self.answers.out());
                cells.sent[Frame::Pong as usize].add(1);
            }
            Event::Pong(_) => count(Frame::Pong),
            Event::Close { code, .. } => {
                count(Frame::Close);
                self.closed_by_client(core, conn, code);
                return false;
            }
        }
        true
    }

    fn echo(&mut self, core: &Rc<Core>, conn: u32, data: Data, payload: &[u8], is_last: bool) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        slot.about.sent_messages += 1;
        match slot.about.deflate {
            None if is_last => {
                websocket::frame_header(data, false, payload.len(), self.answers.out());
                self.answer_from(core, conn, payload);
            }
            None => websocket::frame(data, false, payload, self.answers.out()),
            Some(bits) => {
                let service = core.service();
                let compression = &service.config.websocket.compression;
                let bits = Some(bits).filter(|_| payload.len() >= compression.threshold_bytes);
                self.encoder.frame(data, payload, bits, compression.level, self.answers.out());
            }
        }
        let cells = &core.cells.websocket;
        cells.sent[data_frame(data) as usize].add(1);
    }

    /// The connection has ended without a word.
    fn over(&mut self, core: &Rc<Core>, conn: u32, closing: Closing) {
        let Some(slot) = self.slots.get(conn as usize) else { return };
        match slot.stage {
            Stage::Opening if closing == Closing::TlsFailed => self.abort(core, conn, closing),
            Stage::Opening => self.abort(core, conn, Closing::GoneBeforeUpgrade),
            Stage::Lingering => self.remove(core, conn),
            Stage::Open | Stage::Closing => self.abort(core, conn, closing),
        }
    }
}

/// Its payload; without the status of a close frame.
fn payload_of<'a>(event: &Event<'a>) -> &'a [u8] {
    match event {
        Event::Text(text) => text.as_bytes(),
        Event::Binary(bytes) | Event::Ping(bytes) | Event::Pong(bytes) => bytes,
        Event::Close { .. } => &[],
    }
}

/// What an event costs, in units of a control frame: a request goes to the hub, and bytes may have been inflated.
fn work_of(event: &Event<'_>) -> usize {
    match event {
        Event::Text(text) => 8 + text.len() / BYTES_PER_UNIT,
        Event::Binary(bytes) => 8 + bytes.len() / BYTES_PER_UNIT,
        Event::Ping(_) | Event::Pong(_) | Event::Close { .. } => 1,
    }
}

/// What a message counts as.
pub(super) fn data_frame(data: Data) -> Frame {
    match data {
        Data::Text => Frame::Text,
        Data::Binary => Frame::Binary,
    }
}

impl Slot {
    /// Whether a client may send one more message or control frame of so many bytes. Those rates are for the gateway's own clients.
    fn may_send(&mut self, bytes: usize, core: &Core) -> bool {
        if self.about.is_guest() {
            return true;
        }
        let service = core.service();
        self.rate.get_or_insert_default().take(&service.config.websocket.limits, bytes, core.now_ms()).is_ok()
    }

    fn took_message(&mut self, core: &Core, bytes: usize) {
        let cells = &core.cells.websocket;
        cells.received_bytes.add(bytes as u64);
        self.about.listener.received_bytes.add(bytes as u64);
        cells.message_size.record(bytes as u64);
        // Both have just been heard.
        self.active_tick = self.heard_tick;
        self.about.received_messages += 1;
        self.about.received_bytes += bytes as u64;
    }

    /// Notes the moment of the upgrade.
    pub(super) fn opened(&mut self, core: &Core) {
        let now = Instant::now();
        self.stage = Stage::Open;
        self.about.set_upgraded(core.ns_at(now));
        core.note_of(self.connection(core), now, What::Upgraded);
    }
}
