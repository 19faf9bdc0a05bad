//! The life of one SOCKS5 connection: handshake, name lookup, policy, dial, reply, relay, record.
//!
//! Moves bytes between the socket and the protocol, and asks policy; decides nothing itself.

use crate::core::Core;
use crate::io::dial::{self, Dialled};
use crate::io::login;
use crate::io::questions::{LookupError, Reply as Answer};
use crate::io::relay;
use crate::io::sessions::{Phase, Session};
use crate::policy::targets::{Facts, Permit, Verdict};
use crate::proto::socks5::{Auth, Awaiting, Command, Event, Handshake, Reply, Request, UNBOUND};
use crate::rt::{self, Ready};
use ringway_shared::reason::Reason;
use ringway_shared::session::{Host, SessionEnd, Target};
use rustix::io::Errno;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Bytes of a refused client's input that are read and dropped, so that its reply is not lost to a reset.
const FAREWELL_BYTES_MAX: usize = 64 * 1024;

/// Enters an accepted connection and spawns its task.
pub fn begin(core: &Rc<Core>, client: Ready, peer: SocketAddr) {
    let (key, session) = core.sessions.insert(client, peer);
    core.cells.opened.add(1);
    core.cells.clients_now.add(1);
    let mut seat = Seat { core: core.clone(), session, key, reason: Reason::Panicked };
    if !core.has_room_for_client() {
        seat.session.client.abort();
        seat.ends_for(Reason::LimitConnections);
        return;
    }
    let counting = core.clone();
    rt::spawn(move || counting.cells.tasks_panicked.add(1), async move {
        let reason = serve(&seat.core, &seat.session).await;
        seat.ends_for(reason);
    });
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
        cells.closed.of(*reason).add(1);
        cells.session.record(session.accepted.elapsed().as_micros() as u64);
        let user = session.facts.borrow().user;
        if let Some(user) = user.and_then(|index| cells.users.get(index)) {
            user.closed.add(1);
        }
        if core.wiring.config.log.access && !core.wiring.recorder.put(record(core, session, *reason)) {
            cells.session_records_dropped.add(1);
        }
        if core.draining.get() && core.sessions.is_empty() {
            core.ring_bell();
        }
    }
}

fn record(core: &Core, session: &Session, reason: Reason) -> SessionEnd {
    let facts = std::mem::take(&mut *session.facts.borrow_mut());
    let duration = session.accepted.elapsed();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SessionEnd {
        worker: core.wiring.index as u16,
        accepted_at_ms: now.saturating_sub(duration).as_millis() as u64,
        client: session.peer,
        user: facts
            .user
            .and_then(|index| core.login.as_ref().map(|login| login.directory.name(index).clone())),
        target: facts.target,
        address: facts.address,
        reply: facts.reply,
        reason,
        hint: facts.hint,
        sent_bytes: session.sent_bytes.get(),
        received_bytes: session.received_bytes.get(),
        connect: facts.connect,
        duration,
    }
}

async fn serve(core: &Core, session: &Session) -> Reason {
    // Boxed, so that an idle relay does not carry the room of a handshake it has long had.
    match Box::pin(establish(core, session)).await {
        Ok((dialled, payload)) => {
            core.cells.handshakes_succeeded.add(1);
            relay::relay(core, session, &dialled.target, payload).await
        }
        Err(reason) => {
            core.cells.handshakes_failed.of(reason).add(1);
            reason
        }
    }
}

/// From the first byte to the success reply. A failure has been answered, as far as an answer is due.
async fn establish(core: &Core, session: &Session) -> Result<(Dialled, Vec<u8>), Reason> {
    let demanded = if core.login.is_some() { Auth::Password } else { Auth::None };
    let mut handshake = Handshake::new(demanded);
    let request = match converse(core, session, &mut handshake).await {
        Ok(request) => request,
        Err(reason) => {
            note_reply(session, &handshake);
            farewell(core, session, reason).await;
            return Err(reason);
        }
    };
    let outcome = fulfil(core, session, &request).await;
    let (reply, bound) = match &outcome {
        Ok(dialled) => (Reply::Succeeded, dialled.bound),
        Err(reason) => (Reply::of(*reason).unwrap_or(Reply::GeneralFailure), UNBOUND),
    };
    handshake.reply(reply, bound);
    note_reply(session, &handshake);
    let payload = handshake.take_payload();
    let sent = session.client.send_all(&handshake.take_output()).await;
    match outcome {
        Ok(dialled) if sent.is_ok() => Ok((dialled, payload)),
        Ok(dialled) => {
            dialled.target.abort();
            Err(session.cut_reason().unwrap_or(Reason::ClientGone))
        }
        Err(reason) => {
            farewell(core, session, reason).await;
            Err(reason)
        }
    }
}

fn note_reply(session: &Session, handshake: &Handshake) {
    session.facts.borrow_mut().reply = handshake.replied().map(|reply| reply as u8);
}

/// Feeds the handshake from the socket until it yields a request.
async fn converse(core: &Core, session: &Session, handshake: &mut Handshake) -> Result<Request, Reason> {
    loop {
        while let Some(event) = handshake.poll() {
            match event {
                Event::Request(request) => {
                    say(session, handshake).await?;
                    return Ok(request);
                }
                Event::Authenticate(credentials) => {
                    say(session, handshake).await?;
                    let accepted = login::authenticate(core, session, &credentials).await?;
                    handshake.verdict(accepted);
                }
                Event::Failed(reason) => {
                    say(session, handshake).await?;
                    return Err(reason);
                }
            }
        }
        say(session, handshake).await?;
        follow_phase(core, session, handshake.awaiting());
        read_into(core, session, handshake).await?;
    }
}

/// A phase begins when its turn does, not with each of its bytes: nobody can stretch it.
fn follow_phase(core: &Core, session: &Session, awaiting: Awaiting) {
    let phase = match awaiting {
        Awaiting::Authentication => Phase::Authentication,
        Awaiting::Request => Phase::Request,
        _ => Phase::Greeting,
    };
    if session.phase() != phase {
        core.sessions.enter(session, phase);
    }
}

async fn say(session: &Session, handshake: &mut Handshake) -> Result<(), Reason> {
    let output = handshake.take_output();
    let sent = session.client.send_all(&output).await;
    sent.map_err(|_| session.cut_reason().unwrap_or(Reason::ClientGone))
}

async fn read_into(core: &Core, session: &Session, handshake: &mut Handshake) -> Result<(), Reason> {
    loop {
        let ready = session.client.readable().await;
        if let Some(reason) = session.cut_reason() {
            return Err(reason);
        }
        let mut scratch = core.scratch.borrow_mut();
        match session.client.receive(&mut scratch[..handshake.room()]) {
            Err(Errno::AGAIN | Errno::INTR) if ready.is_ok() => {}
            Ok(0) | Err(_) => return Err(Reason::ClientGone),
            Ok(count) => {
                handshake.receive(&scratch[..count]);
                return Ok(());
            }
        }
    }
}

/// Does what the request asks, up to an established connection.
async fn fulfil(core: &Core, session: &Session, request: &Request) -> Result<Dialled, Reason> {
    session.facts.borrow_mut().target = Some(request.target.clone());
    if request.command != Command::Connect {
        return Err(Reason::CommandNotSupported);
    }
    let addresses = addresses_of(core, session, &request.target).await?;
    let permits = permitted(core, session, &addresses, request.target.port)?;
    dial::dial(core, session, &permits).await
}

async fn addresses_of(core: &Core, session: &Session, target: &Target) -> Result<Vec<IpAddr>, Reason> {
    let name = match &target.host {
        Host::Address(ip) => return Ok(vec![ip.to_canonical()]),
        Host::Name(name) => name,
    };
    let begun = Instant::now();
    let question = core.questions.open();
    session.set_question(Some(question.ticket()));
    core.sessions.enter(session, Phase::NameLookup);
    core.wiring.resolver.ask(name, core.return_address(&question)).map_err(|_| Reason::ResolverBusy)?;
    let answer = question.await;
    session.set_question(None);
    core.cells.dns.record(begun.elapsed().as_micros() as u64);
    match answer {
        Some(Answer::Resolved(Ok(addresses))) => Ok(addresses),
        Some(Answer::Resolved(Err(LookupError::NotFound))) => Err(Reason::NameNotFound),
        Some(Answer::Resolved(Err(LookupError::Failed))) => Err(Reason::NameLookupFailed),
        Some(Answer::Resolved(Err(LookupError::Timeout))) => Err(Reason::NameLookupTimeout),
        _ => Err(session.cut_reason().unwrap_or(Reason::NameLookupTimeout)),
    }
}

/// Judges every address; what is refused is never dialled. All refused: the request is.
fn permitted(core: &Core, session: &Session, addresses: &[IpAddr], port: u16) -> Result<Vec<Permit>, Reason> {
    let mut permits = Vec::with_capacity(addresses.len());
    let mut refusal = None;
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        match core.wiring.targets.judge(Facts { address, own: core.wiring.own.contains(address) }) {
            Verdict::Allow(permit) => permits.push(permit),
            Verdict::Deny(denial) => {
                let mut facts = session.facts.borrow_mut();
                facts.address = Some(address);
                facts.hint = Some(denial.hint);
                refusal = Some(denial.reason);
            }
        }
    }
    match refusal {
        Some(reason) if permits.is_empty() => Err(reason),
        _ => Ok(permits),
    }
}

/// Ends a refused connection in order: closing with input unread would reset it and lose the reply.
async fn farewell(core: &Core, session: &Session, reason: Reason) {
    if reason == Reason::ClientGone {
        return;
    }
    // The cut that led here, if one did, has been acted upon. A client it shut down reads as ended below.
    core.sessions.forgive(session);
    session.client.shutdown_write();
    core.sessions.enter(session, Phase::Farewell);
    let mut dropped = 0;
    while dropped < FAREWELL_BYTES_MAX {
        if session.client.readable().await.is_err() || session.cut_reason().is_some() {
            return;
        }
        match session.client.receive(&mut core.scratch.borrow_mut()) {
            Ok(0) => return,
            Ok(count) => dropped += count,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
