//! Connects to targets: only to addresses that policy has permitted, within one budget.
//!
//! Here: the story, and the straight way to a single address. `race` is the way to several, `attempt` one connect,
//! `egress` how its socket leaves this host, `winners` which address of a name answered last time. `upstream` goes
//! through a proxy of the operator's, `health` asks these whether they serve, and `announcement` tells a target
//! whom a connection is for.

mod announcement;
mod attempt;
pub mod egress;
pub mod health;
mod race;
mod upstream;
pub mod winners;

use crate::core::Core;
use crate::io::sessions::{Phase, Session};
use crate::policy::preference;
use crate::policy::targets::Permit;
use crate::rt::Ready;
pub(super) use attempt::Failure;
use attempt::{Attempt, Stands};
use ringway_shared::flight::What;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Host, Target};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a client wants to reach, and what may be dialled for it.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    pub target: &'a Target,
    /// At least one, unless an upstream proxy looks the name up.
    pub permits: &'a [Permit],
    /// Through an upstream proxy of this group.
    pub via: Option<&'a str>,
    /// The client's first bytes, where some came with its request.
    pub payload: &'a [u8],
}

/// An established connection to a target.
pub struct Dialled {
    pub target: Rc<Ready>,
    /// What the client is told of it, BND.ADDR and BND.PORT (RFC 1928 section 6): our own address on it, or
    /// what an upstream says of its own.
    pub told: SocketAddr,
    /// So many bytes of the payload have gone already, along with the SYN.
    pub sent: usize,
    /// What the target sent behind an upstream proxy's answer.
    pub early: Vec<u8>,
}

impl From<Stands> for Dialled {
    fn from(Stands { socket, bound, sent }: Stands) -> Self {
        Dialled { target: socket, told: bound, sent, early: Vec::new() }
    }
}

/// Connects to the order's target.
pub async fn dial(core: &Core, session: &Session, order: Order<'_>) -> Result<Dialled, Reason> {
    let begun = Instant::now();
    let connection = session.connection();
    core.note_of(connection, begun, What::DialBegun);
    let limit = session.service.config.socks5.timeouts.connect;
    let outcome = match order.via {
        None => directly(core, session, order, limit).await.map(Dialled::from),
        // Boxed: its room is not for those who go straight.
        Some(group) => Box::pin(upstream::through(core, session, order, group, limit)).await,
    };
    let taken = begun.elapsed();
    let (taken_us, now) = (taken.as_micros() as u64, begun + taken);
    core.cells.connect.record(taken_us);
    core.cells.connect_exemplars.offer(taken_us, core.ns_at(now) / 1_000_000, connection);
    session.facts.borrow_mut().phases.connect = Some(taken);
    match outcome {
        Ok(dialled) => {
            core.note_of(connection, now, What::DialEstablished);
            core.sessions.enter(session, Phase::Relay);
            Ok(dialled)
        }
        Err(failure) => {
            let reason = give_up(core, session, failure);
            core.note_of(connection, now, What::DialFailed(reason));
            Err(reason)
        }
    }
}

/// Closes what was tried last and tells the reason of it all.
fn give_up(core: &Core, session: &Session, failure: Failure) -> Reason {
    core.set_target(session, None);
    if let Some(errno) = failure.errno {
        session.facts.borrow_mut().notes().errno = Some(errno.raw_os_error());
    }
    if is_over(session) { session.cut_reason().unwrap_or(failure.reason) } else { failure.reason }
}

async fn directly(
    core: &Core,
    session: &Session,
    order: Order<'_>,
    limit: Duration,
) -> Result<Stands, Failure> {
    let stands = connect(core, session, order, limit).await?;
    announcement::make(session, order.target, stands).await
}

/// Whether the session was cut for more than the time of one attempt.
fn is_over(session: &Session) -> bool {
    let of_one_attempt = [None, Some(Reason::ConnectTimeout), Some(Reason::NameLookupTimeout)];
    !of_one_attempt.contains(&session.cut_reason())
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
            straight(core, session, *only, order).await
        }
        // Boxed: its room is not for those who need one address only.
        _ => Box::pin(several(core, session, order, limit)).await,
    }
}

/// What may go along with the SYN: the payload, unless an announcement goes before it or a quota must be asked for
/// each byte first.
fn first_bytes<'a>(session: &Session, permit: Permit, order: Order<'a>) -> &'a [u8] {
    let wanted = session.service.config.socks5.egress.fast_open && !order.payload.is_empty();
    let may = wanted
        && !announcement::is_due(session, order.target, permit.address())
        && session.account().is_none_or(|account| account.user.quota.is_none());
    if may { order.payload } else { &[] }
}

async fn straight(
    core: &Core,
    session: &Session,
    permit: Permit,
    order: Order<'_>,
) -> Result<Stands, Failure> {
    let attempt = Attempt::of(session, permit, first_bytes(session, permit, order))?;
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
    let name = match &order.target.host {
        Host::Name(name) => Some(name),
        Host::Address(_) => None,
    };
    let winner = name.and_then(|name| core.winners.borrow().of(name, begun));
    let permits = in_order(session, order, winner)?;
    if let [only] = permits[..] {
        return straight(core, session, only, order).await;
    }
    let (stands, address) = race::race(core, session, &permits, begun + limit).await?;
    core.set_target(session, Some(stands.socket.clone()));
    let mut facts = session.facts.borrow_mut();
    facts.address = Some(address);
    facts.forget_hint();
    if let Some(name) = name {
        core.winners.borrow_mut().keep(name, address.ip(), Instant::now());
    }
    Ok(stands)
}

/// The permitted addresses in the order to try them, at least one.
fn in_order(session: &Session, order: Order<'_>, winner: Option<IpAddr>) -> Result<Vec<Permit>, Failure> {
    let prefer = session.service.config.socks5.egress.prefer;
    let permits = preference::arrange(order.permits, prefer, winner);
    if !permits.is_empty() {
        return Ok(permits);
    }
    session.facts.borrow_mut().notes().hint = Some(preference::hint(prefer).into());
    Err(match order.target.host {
        // To the client it is as if the name had no other address.
        Host::Name(_) => Reason::NameNotFound.into(),
        Host::Address(_) => Reason::NetworkUnreachable.into(),
    })
}
