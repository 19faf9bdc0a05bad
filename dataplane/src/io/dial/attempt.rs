//! One attempt to connect to one address, and why it failed.

use crate::core::Core;
use crate::io::dial::egress;
use crate::io::sessions::Session;
use crate::policy::targets::Permit;
use crate::rt::Ready;
use ringway_shared::reason::Reason;
use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// MSG_FASTOPEN of sendmsg(2), which rustix does not name.
const FAST_OPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

/// A socket on its way to a permitted address.
pub(super) struct Attempt {
    pub socket: Rc<Ready>,
    pub permit: Permit,
    /// connect(2) has succeeded at once.
    stands: bool,
    /// Bytes that went along with the SYN (RFC 7413).
    pub sent: usize,
}

/// An established connection, and our own address on it.
pub(super) struct Stands {
    pub socket: Rc<Ready>,
    pub bound: SocketAddr,
    pub sent: usize,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug)]
pub(in crate::io) struct Failure {
    pub reason: Reason,
    pub errno: Option<Errno>,
}

impl Attempt {
    /// Starts to connect for a client. `first` is what may go along with the SYN: empty, or TCP Fast Open is tried.
    pub fn of(session: &Session, permit: Permit, first: &[u8]) -> Result<Attempt, Failure> {
        let address = permit.address();
        session.facts.borrow_mut().address = Some(address);
        Attempt::begin(permit, first, |socket| egress::prepare(socket, address.is_ipv6(), session))
    }

    /// Starts to connect by a socket prepared as the caller has it.
    pub fn begin(
        permit: Permit,
        first: &[u8],
        prepare: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> Result<Attempt, Failure> {
        let socket = socket_to(permit.address())?;
        prepare(&socket)?;
        let (stands, sent) = connect(&socket, permit.address(), first)?;
        Ok(Attempt { socket: Rc::new(Ready::new(socket)?), permit, stands, sent })
    }

    /// Waits until the attempt has come to its end, or is cut.
    pub async fn settle(&self) -> Result<(), Failure> {
        if !self.stands {
            self.socket.writable().await?;
        }
        Ok(())
    }

    /// What came of it. Ask when it has settled.
    pub fn outcome(self) -> Result<Stands, Failure> {
        if let Some(error) = SockRef::from(&*self.socket).take_error().ok().flatten() {
            return Err(error.into());
        }
        let bound = rustix::net::getsockname(&*self.socket).map_err(io::Error::from)?;
        let bound = SocketAddr::try_from(bound).map_err(|_| Failure::from(Reason::ConnectFailed))?;
        if bound == self.permit.address() {
            // TCP's simultaneous open: a closed port in the ephemeral range has met itself.
            return Err(Reason::ConnectRefused.into());
        }
        Ok(Stands { socket: self.socket, bound, sent: self.sent })
    }
}

fn socket_to(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// Starts a connect. Whether it stands already, and how much of `first` the kernel has taken.
fn connect(socket: &Socket, address: SocketAddr, first: &[u8]) -> io::Result<(bool, usize)> {
    if !first.is_empty() {
        match rustix::net::sendto(socket, first, FAST_OPEN | SendFlags::NOSIGNAL, &address) {
            // The kernel owns these bytes now: it sends them again itself if the target did not take them.
            Ok(sent) => return Ok((false, sent)),
            // No cookie of this target yet; the SYN under way asks for one.
            Err(Errno::INPROGRESS) => return Ok((false, 0)),
            // net.ipv4.tcp_fastopen does not let clients do it.
            Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    match socket.connect(&address.into()) {
        Ok(()) => Ok((true, 0)),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => Ok((false, 0)),
        Err(error) => Err(error),
    }
}

/// A count among the sockets towards targets, for as long as it lives.
pub(super) struct Counted<'a>(&'a Core);

impl<'a> Counted<'a> {
    /// Errors: the descriptor budget has no room for it.
    pub fn one(core: &'a Core) -> Result<Self, Failure> {
        core.cells.targets_now.add(1);
        let counted = Counted(core);
        if core.has_room_for_socket() { Ok(counted) } else { Err(Reason::NoResources.into()) }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.cells.targets_now.sub(1);
    }
}

impl Failure {
    /// Whether the cause is ours (no descriptor, no port, no address to leave by) and says nothing of the other side.
    pub fn is_ours(self) -> bool {
        let reasons = [Reason::NoResources, Reason::ResolverBusy];
        reasons.contains(&self.reason) || self.errno == Some(Errno::AFNOSUPPORT)
    }

    /// Of two failures the one that tells more: what a host answered before what none did; a missing route (often
    /// that of the other address family) hides nothing.
    pub fn or_more_telling(self, other: Failure) -> Failure {
        if telling(other.reason) >= telling(self.reason) { other } else { self }
    }
}

fn telling(reason: Reason) -> u8 {
    match reason {
        Reason::ConnectRefused => 6,
        Reason::HostUnreachable => 5,
        Reason::ConnectForbidden => 4,
        Reason::ConnectTimeout => 3,
        Reason::NoResources => 1,
        Reason::NetworkUnreachable => 0,
        _ => 2,
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Failure { reason, errno: None }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let errno = Errno::from_io_error(&error);
        Failure { reason: reason_of(errno), errno }
    }
}

/// The reason behind an error of socket(2), bind(2) or connect(2).
fn reason_of(errno: Option<Errno>) -> Reason {
    match errno {
        Some(Errno::CONNREFUSED) => Reason::ConnectRefused,
        Some(Errno::NETUNREACH | Errno::NETDOWN | Errno::AFNOSUPPORT) => Reason::NetworkUnreachable,
        Some(Errno::HOSTUNREACH | Errno::HOSTDOWN) => Reason::HostUnreachable,
        Some(Errno::TIMEDOUT) => Reason::ConnectTimeout,
        Some(Errno::ACCESS | Errno::PERM) => Reason::ConnectForbidden,
        // EADDRNOTAVAIL: every ephemeral port towards this target is taken; EADDRINUSE: every one of the source
        // address.
        Some(
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::ADDRNOTAVAIL
            | Errno::ADDRINUSE,
        ) => Reason::NoResources,
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
            let failure = Failure::from(io::Error::from(errno));
            assert_eq!((failure.reason, failure.errno), (reason, Some(errno)), "{errno}");
        }
    }

    #[test]
    fn a_missing_route_hides_no_other_failure() {
        for reason in [
            Reason::ConnectRefused,
            Reason::HostUnreachable,
            Reason::ConnectTimeout,
            Reason::ConnectForbidden,
            Reason::ConnectFailed,
            Reason::NoResources,
        ] {
            let (route, other) = (Failure::from(Reason::NetworkUnreachable), Failure::from(reason));
            assert_eq!(route.or_more_telling(other).reason, reason);
            assert_eq!(other.or_more_telling(route).reason, reason);
        }
    }
}
