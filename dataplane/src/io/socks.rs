//! The life of one client connection, from its place in the table to its record.

use crate::core::Core;
use crate::io::client::Client;
use crate::io::conversation::farewell;
use crate::io::proxy_header;
use crate::io::relay;
use crate::io::request::{self, Served};
use crate::io::sessions::Session;
use crate::io::tls;
use crate::rt;
use ringway_shared::config::AccessLog;
use ringway_shared::flight::What;
use ringway_shared::listener::ListenerCells;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Ended, SessionEnd};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Enters an accepted connection and spawns its task.
pub fn begin(core: &Rc<Core>, client: Client, peer: SocketAddr, listener: Arc<ListenerCells>) {
    core.cells.opened.add(1);
    listener.opened.add(1);
    let serial = core.serial(core.cells.opened.get());
    let (key, session) = core.sessions.insert(client, peer, core.service(), listener, serial);
    let tls = session.client.is_secured();
    core.note_of(session.connection(), session.accepted, What::Accepted { tls });
    core.cells.clients_now.add(1);
    let mut seat = Seat { core: core.clone(), session, key, reason: Reason::Panicked };
    if let Err(reason) = received(core, &seat.session) {
        seat.session.client.socket().abort();
        seat.ends_for(reason);
        return;
    }
    let counting = core.clone();
    rt::spawn(move || counting.count_panic(), async move {
        let reason = serve(&seat.core, &seat.session).await;
        seat.ends_for(reason);
    });
}

/// Whether the connection may stay. Who must first say whom it stands for is admitted when it has.
fn received(core: &Core, session: &Session) -> Result<(), Reason> {
    if core.resting.get() {
        return Err(Reason::Draining);
    }
    if !core.has_room_for_client() {
        return Err(Reason::LimitConnections);
    }
    if proxy_header::is_due(session) { Ok(()) } else { admit(core, session) }
}

/// Counts the connection among its client's, if that may have one more now.
fn admit(core: &Core, session: &Session) -> Result<(), Reason> {
    let service = core.service();
    let limits = &service.config.socks5.limits;
    let admission = core.wiring.clients.admit(session.peer().ip(), limits, core.now_ns())?;
    session.admission.set(Some(admission));
    Ok(())
}

/// A connection's place in the table. Its drop is the one end of every connection, a panic's too.
struct Seat {
    core: Rc<Core>,
    session: Rc<Session>,
    key: usize,
    reason: Reason,
}

impl Seat {
    fn ends_for(&mut self, reason: Reason) {
        self.reason = reason;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Seat { core, session, key, reason } = self;
        core.sessions.remove(*key);
        core.set_target(session, None);
        let cells = &core.cells;
        cells.clients_now.sub(1);
        let failed = u64::from(reason.is_failure());
        cells.closed.of(*reason).add(1);
        session.listener.failed.add(failed);
        session.listener.closed.add(1);
        if let Some(admission) = session.admission.take() {
            core.wiring.clients.leave(session.peer().ip(), admission, core.now_ns());
        }
        let now = Instant::now();
        cells.session.record(now.saturating_duration_since(session.accepted).as_micros() as u64);
        core.note_of(session.connection(), now, What::Closed(*reason));
        if let Some(account) = session.account() {
            let of_user = &account.usage.cells[core.wiring.index];
            of_user.failed.add(failed);
            of_user.closed.add(1);
            if session.in_account.get() {
                account.usage.leave();
            }
        }
        // A failed login is told of even without an access log, and even if its client did not wait for the answer.
        let wanted =
            core.service().config.log.access != AccessLog::Off || session.facts.borrow().login_failed();
        if wanted && !core.wiring.recorder.put(Ended::Socks5(Box::new(record(core, session, *reason)))) {
            cells.session_records_dropped.add(1);
        }
        if core.draining.get() && core.sessions.is_empty() {
            core.ring_bell();
        }
    }
}

fn record(core: &Core, session: &Session, reason: Reason) -> SessionEnd {
    let mut facts = std::mem::take(&mut *session.facts.borrow_mut());
    let notes = facts.take_notes();
    let duration = session.accepted.elapsed();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SessionEnd {
        worker: core.wiring.index as u16,
        accepted_at_ms: now.saturating_sub(duration).as_millis() as u64,
        client: session.peer(),
        tls: session.client.is_secured(),
        protocol: facts.protocol,
        command: facts.command,
        user: facts.account.map(|account| account.user.name.clone()),
        claimed: notes.claimed,
        banned: notes.banned,
        target: facts.target,
        address: facts.address,
        upstream: notes.upstream,
        reply: facts.reply,
        errno: notes.errno,
        reason,
        rule: notes.rule,
        hint: notes.hint,
        sent_bytes: session.sent_bytes.get(),
        received_bytes: session.received_bytes.get(),
        phases: facts.phases,
        duration,
    }
}

async fn serve(core: &Rc<Core>, session: &Rc<Session>) -> Reason {
    // Boxed, so that an idle relay does not carry the room of a handshake it has long had.
    match Box::pin(introduce(core, session)).await {
        Ok(served) => {
            core.cells.handshakes_succeeded.add(1);
            match served {
                Served::Tunnel { target, opening } => relay::relay(core, session, &target, opening).await,
                // Boxed for the same reason.
                Served::Association(association) => Box::pin(association.run()).await,
            }
        }
        Err(reason) => {
            core.cells.handshakes_failed.of(reason).add(1);
            reason
        }
    }
}

/// From the first byte, be it of a PROXY protocol header or of TLS, to the success reply.
async fn introduce(core: &Rc<Core>, session: &Rc<Session>) -> Result<Served, Reason> {
    if proxy_header::is_due(session) {
        proxy_header::take(core, session).await?;
        admit(core, session)?;
    }
    if session.client.is_secured()
        && let Err(reason) = tls::shake_hands(core, session).await
    {
        farewell(core, session, reason).await;
        return Err(reason);
    }
    request::establish(core, session).await
}
