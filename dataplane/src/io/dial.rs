//! Connects to targets: only to addresses that policy has permitted, each in turn, within one budget.

use crate::core::Core;
use crate::io::sessions::{Phase, Session};
use crate::policy::targets::Permit;
use crate::rt::Ready;
use ringway_shared::reason::Reason;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// An attempt gets at least this, however many addresses share the budget.
const ATTEMPT_MIN: Duration = Duration::from_millis(500);

/// An established connection to a target.
pub struct Dialled {
    pub target: Rc<Ready>,
    /// Our own address on it: BND.ADDR and BND.PORT (RFC 1928 section 6).
    pub bound: SocketAddr,
}

/// Tries the addresses in order until one connects. The reason is the last failure's, but "network
/// unreachable" never hides what another address said.
pub async fn dial(core: &Core, session: &Session, permits: &[Permit]) -> Result<Dialled, Reason> {
    let begun = Instant::now();
    let budget = session.service.config.socks5.timeouts.connect;
    let mut failure = Reason::ConnectFailed;
    for (index, permit) in permits.iter().enumerate() {
        let left = budget.saturating_sub(begun.elapsed());
        if left.is_zero() {
            failure = Reason::ConnectTimeout;
            break;
        }
        let share = left / (permits.len() - index) as u32;
        core.sessions.enter_for(session, Phase::Connect, share.max(ATTEMPT_MIN).min(left));
        session.facts.borrow_mut().address = Some(permit.address());
        match attempt(core, session, permit).await {
            Ok(dialled) => {
                note_duration(core, session, begun);
                return Ok(dialled);
            }
            Err(Reason::NetworkUnreachable) if index > 0 => {}
            Err(reason) => failure = reason,
        }
        if session.cut_reason().is_some_and(|reason| reason != Reason::ConnectTimeout) {
            break;
        }
        core.sessions.forgive(session);
    }
    core.set_target(session, None);
    note_duration(core, session, begun);
    Err(session.cut_reason().unwrap_or(failure))
}

fn note_duration(core: &Core, session: &Session, begun: Instant) {
    let taken = begun.elapsed();
    core.cells.connect.record(taken.as_micros() as u64);
    session.facts.borrow_mut().phases.connect = Some(taken);
}

async fn attempt(core: &Core, session: &Session, permit: &Permit) -> Result<Dialled, Reason> {
    let (target, connected) = begin(permit).map_err(|error| reason_of(&error))?;
    core.set_target(session, Some(target.clone()));
    if !core.has_room_for_socket() {
        return Err(Reason::NoResources);
    }
    if !connected {
        target.writable().await.map_err(|error| reason_of(&error))?;
    }
    if let Some(reason) = session.cut_reason() {
        return Err(reason);
    }
    if let Some(error) = SockRef::from(&*target).take_error().ok().flatten() {
        return Err(reason_of(&error));
    }
    let bound = rustix::net::getsockname(&*target)
        .ok()
        .and_then(|any| SocketAddr::try_from(any).ok())
        .ok_or(Reason::ConnectFailed)?;
    if bound == permit.address() {
        // TCP's simultaneous open: a closed port in the ephemeral range has met itself.
        return Err(Reason::ConnectRefused);
    }
    core.sessions.enter(session, Phase::Relay);
    Ok(Dialled { target, bound })
}

/// Starts a connect; true: it stands already.
fn begin(permit: &Permit) -> io::Result<(Rc<Ready>, bool)> {
    let address = permit.address();
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    let connected = match socket.connect(&address.into()) {
        Ok(()) => true,
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => false,
        Err(error) => return Err(error),
    };
    Ok((Rc::new(Ready::new(socket)?), connected))
}

/// The reason behind an error of socket(2) or connect(2).
fn reason_of(error: &io::Error) -> Reason {
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => Reason::ConnectRefused,
        Some(Errno::NETUNREACH | Errno::NETDOWN | Errno::AFNOSUPPORT) => Reason::NetworkUnreachable,
        Some(Errno::HOSTUNREACH | Errno::HOSTDOWN) => Reason::HostUnreachable,
        Some(Errno::TIMEDOUT) => Reason::ConnectTimeout,
        Some(Errno::ACCESS | Errno::PERM) => Reason::ConnectForbidden,
        // EADDRNOTAVAIL: every ephemeral port towards this target is taken.
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL) => {
            Reason::NoResources
        }
        _ => Reason::ConnectFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_connect_become_the_reasons_of_rfc_1928() {
        let table = [
            (Errno::CONNREFUSED, Reason::ConnectRefused),
            (Errno::NETUNREACH, Reason::NetworkUnreachable),
            (Errno::HOSTUNREACH, Reason::HostUnreachable),
            (Errno::TIMEDOUT, Reason::ConnectTimeout),
            (Errno::PERM, Reason::ConnectForbidden),
            (Errno::ACCESS, Reason::ConnectForbidden),
            (Errno::MFILE, Reason::NoResources),
            (Errno::INVAL, Reason::ConnectFailed),
        ];
        for (errno, reason) in table {
            assert_eq!(reason_of(&io::Error::from(errno)), reason, "{errno}");
        }
    }
}
