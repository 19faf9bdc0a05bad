//! How connections come in: from the gateway's own listeners, or from the control port.

use super::slot::{About, Path, Slot, Stage};
use super::{clock, guarded};
use crate::core::Core;
use crate::io::tls::Tls;
use crate::rt::many::Interest;
use ringway_shared::closing::Closing;
use ringway_shared::feed::Grant;
use ringway_shared::flight::What;
use ringway_shared::listener::ListenerCells;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// A connection to the gateway that came in by the control port, which has judged who it is.
pub struct Arrival {
    /// A stream: of TCP, or one end of a Unix pair whose other end the control plane carries on.
    pub socket: OwnedFd,
    /// Whom it comes from; unspecified: a program at the Unix socket.
    pub peer: SocketAddr,
    /// The upgrade request as it would have come, and all bytes that have been read behind it.
    pub head: Vec<u8>,
    /// What it may read.
    pub grant: Arc<Grant>,
}

/// Takes in an accepted connection.
pub fn begin(
    core: &Rc<Core>,
    socket: OwnedFd,
    peer: SocketAddr,
    tls: Option<Tls>,
    listener: Arc<ListenerCells>,
) {
    take_in(core, socket, peer, tls, listener, None);
}

/// Takes in a connection that the control port has let in: what has been read of it is read first.
pub fn welcome(core: &Rc<Core>, arrival: Arrival) {
    let Arrival { socket, peer, mut head, grant } = arrival;
    // It came in by no listener of ours: what it counts there is nobody's.
    let conn = take_in(core, socket, peer, None, Arc::default(), Some(grant));
    guarded(core, |core| {
        let mut state = core.gateway.state.borrow_mut();
        state.serving = Some(conn);
        state.open(core, conn, &mut head);
        state.serving = None;
        state.send_left(core);
        false
    });
    // Some of what came behind the head may be left for a later turn.
    core.gateway.many.nudge();
}

fn take_in(
    core: &Rc<Core>,
    socket: OwnedFd,
    peer: SocketAddr,
    tls: Option<Tls>,
    listener: Arc<ListenerCells>,
    grant: Option<Arc<Grant>>,
) -> u32 {
    let cells = &core.cells.websocket;
    cells.opened.add(1);
    listener.opened.add(1);
    cells.sockets_now.add(1);
    let mut state = core.gateway.state.borrow_mut();
    let service = core.service();
    let handshake_max = service.config.websocket.timeouts.handshake;
    let now_tick = core.now_tick();
    let accepted = Instant::now();
    let about = About::new(peer, service, core.ns_at(accepted), listener, grant);
    let slot = Slot {
        socket,
        generation: cells.opened.get() as u32,
        stage: Stage::Opening,
        path: Path::Json,
        awaits_room: false,
        paused: false,
        watched: Interest { readable: true, writable: false },
        tls,
        secured: false,
        handshake: Default::default(),
        heard_tick: now_tick,
        active_tick: now_tick,
        pinged_tick: 0,
        due_tick: clock::after(now_tick, handshake_max),
        rate: None,
        incoming: crate::proto::websocket::Incoming::new(None),
        inflater: None,
        is_held: false,
        opening: Some(Box::default()),
        about: Box::new(about),
    };
    let conn = state.slots.insert(slot) as u32;
    let slot = &state.slots[conn as usize];
    core.note_of(slot.connection(core), accepted, What::Accepted { tls: slot.tls.is_some() });
    let watched = core.gateway.many.watch(&slot.socket, slot.key(conn)).is_ok();
    if !watched || !core.has_room_for_socket() {
        state.abort(core, conn, Closing::UpgradeRefused);
    }
    conn
}
