//! One request, from the client's first byte to the answer that says its connection stands.

use crate::core::Core;
use crate::io::bind::Listening;
use crate::io::conversation::{answer, converse, farewell, handshake, note_reply};
use crate::io::dial::{self, Dialled, Order};
use crate::io::relay::Opening;
use crate::io::route::{self, Route};
use crate::io::sessions::Session;
use crate::io::udp::Association;
use crate::proto::handshake::{Handshake, Request};
use crate::rt::Ready;
use ringway_shared::account::Account;
use ringway_shared::flight::What;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Target};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// What the client is served with.
pub enum Served {
    /// A connection that stands.
    Tunnel { target: Rc<Ready>, opening: Option<Box<Opening>> },
    /// Boxed, so that a tunnel does not carry its room.
    Association(Box<Association>),
}

/// From the first byte to the success reply. A failure has been answered, as far as an answer is due.
pub async fn establish(core: &Rc<Core>, session: &Rc<Session>) -> Result<Served, Reason> {
    let mut handshake = handshake(session);
    let outcome = match converse(core, session, &mut handshake).await {
        Ok(request) => {
            note_request(core, session, &handshake, &request);
            let fulfilled = fulfil(core, session, &mut handshake, &request).await;
            if let Err(reason) = &fulfilled {
                // Nobody is left to hear it if this fails too.
                let _ = answer(session, &mut handshake, Err(*reason)).await;
            }
            fulfilled
        }
        Err(reason) => Err(reason),
    };
    note_reply(session, &handshake);
    if let Err(reason) = &outcome {
        farewell(core, session, *reason).await;
    }
    outcome
}

fn note_request(core: &Core, session: &Session, handshake: &Handshake, request: &Request) {
    let mut facts = session.facts.borrow_mut();
    let now = Instant::now();
    facts.phases.handshake = Some(now.saturating_duration_since(session.accepted));
    facts.command = Some(request.command);
    facts.target = Some(request.target.clone());
    if let Some(protocol) = handshake.protocol() {
        core.cells.requests.of(protocol, request.command).add(1);
        let command = request.command;
        core.note_of(session.connection(), now, What::Requested { protocol, command });
    }
}

/// Does what the request asks and says so, up to the success reply.
async fn fulfil(
    core: &Rc<Core>,
    session: &Rc<Session>,
    handshake: &mut Handshake,
    request: &Request,
) -> Result<Served, Reason> {
    enter_account(core, session)?;
    let payload = handshake.take_payload();
    let dialled = match request.command {
        Command::Connect => connect(core, session, &request.target, &payload).await?,
        Command::Bind => {
            let listening = Listening::open(core, session, &request.target).await?;
            answer(session, handshake, Ok(listening.address())).await?;
            listening.accept(core, session).await?
        }
        Command::UdpAssociate => {
            let association = Association::open(core, session, &request.target)?;
            answer(session, handshake, Ok(association.advertised)).await?;
            return Ok(Served::Association(Box::new(association)));
        }
    };
    let Dialled { target, told, sent, early } = dialled;
    match answer(session, handshake, Ok(told)).await {
        Ok(()) => Ok(Served::Tunnel { target, opening: Opening::of(payload, sent, early) }),
        Err(reason) => {
            target.abort();
            Err(reason)
        }
    }
}

async fn connect(core: &Core, session: &Session, target: &Target, payload: &[u8]) -> Result<Dialled, Reason> {
    let route = route::route(core, session, Command::Connect, target).await?;
    let (permits, via) = match &route {
        Route::Direct(permits) => (&permits[..], None),
        Route::Upstream { group, permits } => (&permits[..], Some(&**group)),
        Route::UpstreamByName { group } => (&[][..], Some(&**group)),
    };
    dial::dial(core, session, Order { target, permits, via, payload }).await
}

/// Counts the connection among its user's, if the user may have one more and has quota left.
fn enter_account(core: &Core, session: &Session) -> Result<(), Reason> {
    let Some(Account { user, usage }) = session.account() else { return Ok(()) };
    if user.quota.is_some_and(|quota| usage.quota_used.load(Relaxed) >= quota.bytes) {
        return Err(Reason::QuotaExhausted);
    }
    let most = user.connections.or(core.service().config.socks5.limits.connections_per_user);
    if !usage.enter(most.map_or(u64::MAX, u64::from)) {
        return Err(Reason::LimitUserConnections);
    }
    session.in_account.set(true);
    Ok(())
}
