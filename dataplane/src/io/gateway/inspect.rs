//! Finding, showing and ending the WebSocket connections of one core at the operator's wish, and adding up its topics.

use super::State;
use super::orders::client_text;
use super::slot::{Slot, Stage};
use crate::core::Core;
use crate::io::inspect::{ADDED_MAX, Slice};
use crate::io::sessions::TICK;
use ringway_shared::closing::Closing;
use ringway_shared::connection::{ConnectionId, Service};
use ringway_shared::inspect::{By, Of, OfService, Place, Row, Seen, Sketch, TOPICS_SHOWN_MAX};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Looks through the table from `from` on; where to go on, if there is more.
pub fn find(core: &Core, from: u32, slice: &mut Slice<'_>) -> Option<u32> {
    let state = core.gateway.state.borrow();
    for conn in from..state.slots.capacity() as u32 {
        if !slice.goes_on() {
            return Some(conn);
        }
        if let Some(slot) = state.slots.get(conn as usize)
            && state.fits(core, conn, slot, slice)
        {
            slice.found(Service::WebSocket, conn);
        }
    }
    None
}

/// A connection as it is listed.
pub fn row(core: &Core, conn: u32) -> Option<Row> {
    let state = core.gateway.state.borrow();
    state.slots.get(conn as usize).map(|slot| state.row(core, conn, slot))
}

/// Some of what it is subscribed to.
pub fn topics(core: &Core, conn: u32) -> Vec<Arc<str>> {
    core.gateway.state.borrow().hub.subscriptions(conn).take(TOPICS_SHOWN_MAX).cloned().collect()
}

/// Ends a connection: it is told why by a close frame. False: it was on its way out already.
pub fn kill(core: &Rc<Core>, conn: u32, reason: &str) -> bool {
    let state = &mut *core.gateway.state.borrow_mut();
    let Some(slot) = state.slots.get_mut(conn as usize) else { return false };
    if matches!(slot.stage, Stage::Closing | Stage::Lingering) {
        return false;
    }
    slot.about.end().hint = Some(format!("ended by the operator: {reason}").into());
    state.close(core, conn, Closing::Killed, reason);
    true
}

/// What a connection counts for, by its user.
pub fn weigh(core: &Core, conn: u32, by: By, add: impl FnOnce(&str, u64)) {
    let state = core.gateway.state.borrow();
    // Who came by the control port is no user of the gateway's.
    let counts = |slot: &&Slot| slot.stage == Stage::Open && !slot.about.is_guest();
    let open = state.slots.get(conn as usize).filter(counts);
    if let (By::User, Some(slot)) = (by, open) {
        add(slot.about.user(), slot.about.sent_bytes + slot.about.received_bytes);
    }
}

/// Adds up a slice of the topics: by those who are subscribed here, or by what was published to those this worker is home to.
pub fn add_up_topics(core: &Core, of: Of, from: Place, sketch: &mut Sketch) -> Option<Place> {
    let state = core.gateway.state.borrow();
    let add = &mut |topic: &str, amount| sketch.add(topic, amount);
    let next = match of {
        Of::Publications => state.hub.each_publication_count(from.index as usize, ADDED_MAX, add),
        _ => state.hub.each_subscriber_count(from.index as usize, ADDED_MAX, add),
    };
    next.map(|index| Place { index: index as u32, ..from })
}

impl State {
    fn fits(&self, core: &Core, conn: u32, slot: &Slot, slice: &Slice<'_>) -> bool {
        let about = &slot.about;
        let topic = slice.filter.topic.as_deref();
        slice.filter.fits(&Seen {
            connection: slot.connection(core),
            user: Some(about.user()),
            target: None,
            address: None,
            client: about.peer.address().ip(),
            phase: slot.phase(),
            age: since(about.accepted_ns, core.ns_at(slice.now)),
            idle: slot.idle(core),
            bytes: about.sent_bytes + about.received_bytes,
        }) && topic.is_none_or(|topic| self.hub.is_subscribed(conn, topic))
    }

    fn row(&self, core: &Core, conn: u32, slot: &Slot) -> Row {
        let about = &slot.about;
        let (queued_messages, queued_bytes) = self.hub.queued(conn);
        Row {
            id: ConnectionId { worker: core.wiring.index, connection: slot.connection(core) },
            client: about.peer.address(),
            user: about.named_user().cloned(),
            tls: slot.tls.is_some(),
            phase: slot.phase(),
            age: since(about.accepted_ns, core.now_ns()),
            idle: slot.idle(core),
            sent_bytes: about.sent_bytes,
            received_bytes: about.received_bytes,
            of: OfService::WebSocket {
                path: slot.path_text(),
                client_id: about.upgraded_ns().map(|_| client_text(about.client()).into()),
                compressed: about.deflate.is_some(),
                subscriptions: about.subscriptions,
                queued_messages,
                queued_bytes,
                sent_messages: about.sent_messages,
                received_messages: about.received_messages,
            },
        }
    }
}

impl Slot {
    /// The name it is listed with; among [`ringway_shared::inspect::PHASES`].
    fn phase(&self) -> &'static str {
        match self.stage {
            Stage::Opening if self.tls.is_some() && !self.secured => "tls_handshake",
            Stage::Opening => "upgrade",
            Stage::Open => "open",
            Stage::Closing | Stage::Lingering => "closing",
        }
    }

    fn idle(&self, core: &Core) -> Duration {
        TICK * core.now_tick().saturating_sub(self.active_tick)
    }
}

/// How long it is since then, both in nanoseconds since the process's epoch.
fn since(then_ns: u64, now_ns: u64) -> Duration {
    Duration::from_nanos(now_ns.saturating_sub(then_ns))
}
