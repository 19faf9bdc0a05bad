//! Connects to targets: only to addresses that policy has permitted, within one budget.
//!
//! Here: the story, and the straight way to a single address. `race` is the way to several, `attempt` one connect,
//! `egress` how its socket leaves this host, `winners` which address of a name answered last time.

mod attempt;
pub mod egress;
mod race;
pub mod winners;

use crate::core::Core;
use crate::io::sessions::{Phase, Session};
use crate::policy::preference;
use crate::policy::targets::Permit;
use crate::rt::Ready;
pub(super) use attempt::Failure;
use attempt::{Attempt, Stands};
use ringway_shared::reason::Reason;
use ringway_shared::session::{Host, Target};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a client wants to reach, and what may be dialled for it.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    pub target: &'a Target,
    /// At least one.
    pub permits: &'a [Permit],
    /// The client's first bytes, where some came with its request.
    pub payload: &'a [u8],
}

/// An established connection to a target.
pub struct Dialled {
    pub target: Rc<Ready>,
    /// What the client is told of it, BND.ADDR and BND.PORT (RFC 1928 section 6): our own address on it.
    pub told: SocketAddr,
    /// So many bytes of the payload have gone already, along with the SYN.
    pub sent: usize,
    /// What the target sent behind an upstream proxy's answer.
    pub early: Vec<u8>,
}

/// Connects to the order's target.
pub async fn dial(core: &Core, session: &Session, order: Order<'_>) -> Result<Dialled, Reason> {
    let begun = Instant::now();
    let outcome = connect(core, session, order, session.service.config.socks5.timeouts.connect).await;
    let taken = begun.elapsed();
    core.cells.connect.record(taken.as_micros() as u64);
    session.facts.borrow_mut().phases.connect = Some(taken);
    match outcome {
        Ok(Stands { socket, bound, sent }) => {
            core.sessions.enter(session, Phase::Relay);
            Ok(Dialled { target: socket, told: bound, sent, early: Vec::new() })
        }
        Err(failure) => Err(give_up(core, session, failure)),
    }
}

/// Closes what was tried last and tells the reason of it all.
fn give_up(core: &Core, session: &Session, failure: Failure) -> Reason {
    core.set_target(session, None);
    if let Some(errno) = failure.errno {
        session.facts.borrow_mut().notes().errno = Some(errno.raw_os_error());
    }
    let cut = session.cut_reason().filter(|reason| *reason != Reason::ConnectTimeout);
    cut.unwrap_or(failure.reason)
}

/// Connects to one of the permitted addresses, which becomes the session's target.
async fn connect(
    core: &Core,
    session: &Session,
    order: Order<'_>,
    limit: Duration,
) -> Result<Stands, Failure> {
    core.sessions.enter_for(session, Phase::Connect, limit);
    let prefer = session.service.config.socks5.egress.prefer;
    match order.permits {
        [only] if preference::serves(prefer, only.address().ip()) => {
            straight(core, session, *only, first_bytes(session, order)).await
        }
        // Boxed: its room is not for those who need one address only.
        _ => Box::pin(several(core, session, order, limit)).await,
    }
}

/// What may go along with the SYN. To several addresses nothing: each of them might get it.
fn first_bytes<'a>(session: &Session, order: Order<'a>) -> &'a [u8] {
    if session.service.config.socks5.egress.fast_open { order.payload } else { &[] }
}

async fn straight(core: &Core, session: &Session, permit: Permit, first: &[u8]) -> Result<Stands, Failure> {
    let attempt = Attempt::begin(session, permit, first)?;
    core.set_target(session, Some(attempt.socket.clone()));
    if !core.has_room_for_socket() {
        return Err(Reason::NoResources.into());
    }
    let settled = attempt.settle().await;
    if let Some(reason) = session.cut_reason() {
        return Err(reason.into());
    }
    settled?;
    attempt.outcome()
}

async fn several(
    core: &Core,
    session: &Session,
    order: Order<'_>,
    limit: Duration,
) -> Result<Stands, Failure> {
    let begun = Instant::now();
    let prefer = session.service.config.socks5.egress.prefer;
    let name = match &order.target.host {
        Host::Name(name) => Some(name),
        Host::Address(_) => None,
    };
    let winner = name.and_then(|name| core.winners.borrow().of(name, begun));
    let permits = preference::arrange(order.permits, prefer, winner);
    match permits[..] {
        [] => {
            session.facts.borrow_mut().notes().hint = Some(preference::hint(prefer).into());
            // To the client it is as if the name had no other address.
            Err(name.map_or(Reason::NetworkUnreachable, |_| Reason::NameNotFound).into())
        }
        [only] => straight(core, session, only, first_bytes(session, order)).await,
        _ => {
            let (stands, address) = race::race(core, session, &permits, begun + limit).await?;
            core.set_target(session, Some(stands.socket.clone()));
            session.facts.borrow_mut().address = Some(address);
            if let Some(name) = name {
                core.winners.borrow_mut().keep(name, address.ip(), Instant::now());
            }
            Ok(stands)
        }
    }
}
