//! The conversation with a client before its bytes are relayed: reading what it asks, saying what became of it,
//! and parting in order from one that is refused.

use crate::core::Core;
use crate::io::login;
use crate::io::sessions::{Phase, Session};
use crate::proto::handshake::{Auth, Awaiting, Demands, Event, Handshake, Outcome, Request};
use ringway_shared::reason::Reason;
use rustix::io::Errno;
use std::mem;

/// Bytes of a refused client's input that are read and dropped, so that its reply is not lost to a reset.
const FAREWELL_BYTES_MAX: usize = 64 * 1024;

/// A handshake with this client, as its service demands.
pub fn handshake(session: &Session) -> Handshake {
    let socks5 = &session.service.config.socks5;
    let auth = if session.service.login.is_some() { Auth::Password } else { Auth::None };
    Handshake::new(Demands { auth, protocols: socks5.protocols, commands: socks5.commands })
}

/// Feeds the handshake from the socket until it yields a request.
pub async fn converse(core: &Core, session: &Session, handshake: &mut Handshake) -> Result<Request, Reason> {
    loop {
        while let Some(event) = handshake.poll() {
            match event {
                Event::Request(request) => {
                    say(session, handshake).await?;
                    return Ok(request);
                }
                Event::Authenticate(credentials) => {
                    say(session, handshake).await?;
                    let verdict = login::authenticate(core, session, &credentials).await;
                    handshake.verdict(verdict);
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

/// Says what became of the request. Errors: the client is gone, or the connection was cut.
pub async fn answer(session: &Session, handshake: &mut Handshake, outcome: Outcome) -> Result<(), Reason> {
    handshake.answer(outcome);
    say(session, handshake).await
}

/// Keeps for the record what the client spoke and was told.
pub fn note_reply(session: &Session, handshake: &Handshake) {
    let mut facts = session.facts.borrow_mut();
    facts.protocol = handshake.protocol();
    facts.reply = handshake.replied();
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
    // A greeting follows on the heels of its connection: under load it is there, and the ring need not be asked.
    let mut at_once = session.phase() == Phase::Greeting;
    loop {
        let ready = if mem::take(&mut at_once) { Ok(()) } else { session.client.readable().await };
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

/// Ends a refused connection in order: closing with input unread would reset it and lose the reply.
pub async fn farewell(core: &Core, session: &Session, reason: Reason) {
    if reason == Reason::ClientGone {
        return;
    }
    // The cut that led here, if one did, has been acted upon. A client it shut down reads as ended below.
    core.sessions.forgive(session);
    let client = &session.client;
    core.sessions.enter(session, Phase::Farewell);
    // A client that takes no more is not told, and closes all the same.
    let _ = client.close_notify().await;
    client.socket().shutdown_write();
    let mut dropped = 0;
    while dropped < FAREWELL_BYTES_MAX {
        if client.socket().readable().await.is_err() || session.cut_reason().is_some() {
            return;
        }
        match client.socket().receive(&mut core.scratch.borrow_mut()) {
            Ok(0) => return,
            Ok(count) => dropped += count,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
