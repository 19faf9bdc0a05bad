//! The end of a connection: by a close frame and its answer, or at once; and its record.

use super::orders::client_text;
use super::slot::{Slot, Stage};
use super::{State, clock};
use crate::core::Core;
use crate::proto::websocket;
use ringway_shared::closing::{Closing, code_index};
use ringway_shared::config::AccessLog;
use ringway_shared::flight::What;
use ringway_shared::gateway::Frame;
use ringway_shared::session::{Ended, WebSocketEnd};
use slab::Slab;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// RFC 6455 section 7.1.5: what it is called if a close frame has no code, and if there was none.
const NO_CODE: u16 = 1005;
const NO_FRAME: u16 = 1006;
/// Slots kept for later when there is no connection: 96 KiB.
const SLOTS_KEPT: usize = 1024;

impl State {
    /// Begins to close an open connection: our close frame goes out behind what is queued, and the client has
    /// `websocket.close_timeout` to answer.
    pub(super) fn close(&mut self, core: &Rc<Core>, conn: u32, closing: Closing, text: &str) {
        self.close_with(core, conn, closing, closing.code(), text);
    }

    /// The same with another code than the usual one.
    pub(super) fn close_with(&mut self, core: &Rc<Core>, conn: u32, closing: Closing, code: u16, text: &str) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        match slot.stage {
            Stage::Opening => return self.abort(core, conn, closing),
            Stage::Closing | Stage::Lingering => return,
            Stage::Open => {}
        }
        let end = slot.about.end();
        end.closing.get_or_insert(closing);
        end.code.get_or_insert(code);
        end.code_sent = Some(code);
        self.begin_to_close(core, conn);
        let mut frame = Vec::new();
        websocket::close_frame(code, text, &mut frame);
        self.say_goodbye(core, conn, &frame);
    }

    /// The client's close frame came: it is answered, unless it is the answer to ours.
    pub(super) fn closed_by_client(&mut self, core: &Rc<Core>, conn: u32, code: Option<u16>) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        slot.about.end().code_received = code;
        if !slot.handshake.receive() {
            if self.hub.queued(conn).0 == 0 {
                self.has_said_all(core, conn);
            }
            return;
        }
        let end = slot.about.end();
        end.closing.get_or_insert(Closing::ClientClosed);
        end.code.get_or_insert(code.unwrap_or(NO_CODE));
        end.code_sent = code;
        self.begin_to_close(core, conn);
        let mut frame = Vec::new();
        websocket::close_answer(code, &mut frame);
        self.say_goodbye(core, conn, &frame);
    }

    fn begin_to_close(&mut self, core: &Rc<Core>, conn: u32) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        let _ = slot.handshake.send();
        // Whoever is on the way out takes nobody's place.
        slot.about.give_up_seat();
        slot.stage = Stage::Closing;
        slot.due_tick = clock::after(core.now_tick(), core.service().config.websocket.timeouts.close);
        // What it has queued may be more than it will ever read; its answer is to be heard all the same.
        slot.watch_for(&core.gateway.many, conn);
    }

    fn say_goodbye(&mut self, core: &Rc<Core>, conn: u32, frame: &[u8]) {
        self.queue_answers(conn);
        self.post_letter();
        self.hub.push_last(conn, frame.into());
        core.cells.websocket.sent[Frame::Close as usize].add(1);
    }

    /// Ends a connection at once: with a reset, so that nothing cut short looks complete.
    pub(super) fn abort(&mut self, core: &Rc<Core>, conn: u32, closing: Closing) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        let end = slot.about.end();
        end.closing.get_or_insert(closing);
        end.code.get_or_insert(NO_FRAME);
        let told = slot.stage == Stage::Lingering;
        if !told && !matches!(closing, Closing::ClientGone | Closing::GoneBeforeUpgrade) {
            slot.reset();
        }
        self.remove(core, conn);
    }

    /// Takes a connection out of the table, counts it and tells of it.
    pub(super) fn remove(&mut self, core: &Rc<Core>, conn: u32) {
        let Some(mut slot) = self.slots.try_remove(conn as usize) else { return };
        if self.slots.is_empty() && self.slots.capacity() > SLOTS_KEPT {
            // A crowd's memory is given back once it is over, as the hub does with its own.
            self.slots = Slab::new();
        }
        for ticket in self.take_asked(conn) {
            self.tickets.remove(&ticket);
        }
        if self.letter.conn == conn {
            self.letter.frames.clear();
        }
        let (dropped, _) = self.hub.queued(conn);
        self.hub.leave(conn);
        self.answers.clear();
        let cells = &core.cells.websocket;
        cells.sockets_now.sub(1);
        let closing = slot.about.end().closing.unwrap_or(Closing::ClientGone);
        cells.closed[closing as usize].add(1);
        slot.about.listener.failed.add(closing.is_failure().into());
        slot.about.listener.closed.add(1);
        slot.count_tls_failure(core, closing);
        if closing == Closing::TlsFailed {
            slot.about.end().hint =
                slot.tls.as_ref().and_then(|tls| tls.fault()).map(|fault| fault.label().into());
        }
        let (now, mut code) = (Instant::now(), 0);
        let (now_ns, upgraded_ns) = (core.ns_at(now), slot.about.upgraded_ns());
        if let Some(upgraded_ns) = upgraded_ns {
            code = slot.about.end().code.unwrap_or(NO_FRAME);
            cells.upgraded_closed.add(1);
            cells.by_control_port.sub(slot.about.is_guest().into());
            cells.duration.record(now_ns.saturating_sub(upgraded_ns) / 1_000);
            cells.closes[code_index(code)].add(1);
        }
        core.note_of(slot.connection(core), now, What::WebSocketClosed { closing, code });
        if let Some(admission) = slot.about.admission {
            core.wiring.gate.clients.leave(slot.about.peer.address().ip(), admission, core.now_ns());
        }
        Self::tell(core, slot, closing, u64::from(dropped));
        if core.draining.get() && cells.active() == 0 {
            core.ring_bell();
        }
    }

    /// The access log's line.
    fn tell(core: &Core, mut slot: Slot, closing: Closing, dropped: u64) {
        if core.service().config.log.access == AccessLog::Off {
            return;
        }
        let path = slot.path_text();
        let ended = slot.about.take_end();
        let about = &slot.about;
        let named = about.upgraded_ns().is_some();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let duration = Duration::from_nanos(core.now_ns().saturating_sub(about.accepted_ns));
        let end = WebSocketEnd {
            worker: core.wiring.index as u16,
            accepted_at_ms: now.saturating_sub(duration).as_millis() as u64,
            client: about.peer.address(),
            tls: slot.tls.is_some(),
            path,
            user: about.named_user().cloned(),
            client_id: named.then(|| client_text(about.client()).into()),
            subprotocol: None,
            compressed: about.deflate.is_some(),
            sent_messages: about.sent_messages,
            received_messages: about.received_messages,
            sent_bytes: about.sent_bytes,
            received_bytes: about.received_bytes,
            dropped,
            closing,
            code_sent: ended.code_sent,
            code_received: ended.code_received,
            refused: ended.refused,
            hint: ended.hint,
            duration,
        };
        if !core.wiring.recorder.put(Ended::WebSocket(Box::new(end))) {
            core.cells.session_records_dropped.add(1);
        }
    }
}
