//! Where a listening socket comes from: bound here, or inherited from whoever listened before.

use super::Door;
use ringway_shared::config::Config;
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::sockopt::{socket_acceptconn, socket_protocol, socket_type};
use rustix::net::{SocketType, ipproto};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes the kernel holds unsent for one WebSocket client.
const NOTSENT_BYTES: u32 = 128 * 1024;
/// As `net.ipv4.tcp_notsent_lowat` says.
const NOTSENT_BY_THE_SYSTEM: u32 = 0;

/// An address that is to be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub door: Door,
    pub address: SocketAddr,
    pub backlog: u32,
}

/// All of them, in the order of the documents.
#[must_use]
pub fn wanted(config: &Config) -> Vec<Wanted> {
    let (socks5, websocket) = (&config.socks5, &config.websocket);
    let doors = [
        (Door::Socks5, &socks5.listen, socks5.limits.backlog),
        (Door::Socks5Tls, &socks5.tls.listen, socks5.limits.backlog),
        (Door::WebSocket, &websocket.listen, websocket.backlog),
        (Door::WebSocketTls, &websocket.tls.listen, websocket.backlog),
    ];
    let of_door = |(door, addresses, backlog): (Door, &Vec<SocketAddr>, u32)| {
        let wanted = |address: &SocketAddr| Wanted { door, address: *address, backlog };
        addresses.iter().map(wanted).collect::<Vec<_>>()
    };
    doors.into_iter().flat_map(of_door).collect()
}

/// A reason why an address cannot be listened on, for the operator: it names the remedy.
pub fn explain(wanted: &Wanted, error: &io::Error) -> String {
    let remedy = match Errno::from_io_error(error) {
        Some(Errno::ADDRINUSE) => {
            "another process listens there: stop it (`ss -ltnp` names it) or choose another port"
        }
        Some(Errno::ADDRNOTAVAIL) => "no interface of this host has that address",
        Some(Errno::ACCESS) => "ports below 1024 need CAP_NET_BIND_SERVICE",
        Some(Errno::MFILE | Errno::NFILE) => "no descriptor is left: raise `ulimit -n` (LimitNOFILE=)",
        _ => "check the address",
    };
    format!("{} {}: {error}: {remedy}", wanted.door.key(), wanted.address)
}

/// Asks whether anybody else listens there: SO_REUSEPORT would let a second ringway share the port unnoticed.
pub fn ask_alone(address: SocketAddr) -> io::Result<()> {
    bind(address, false).map(drop)
}

/// A socket that shares its address with others of this user's, bound but not listening yet: nobody is accepted.
pub fn bind_shared(door: Door, address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = OwnedFd::from(bind(address, true)?);
    dress(&socket, door)?;
    Ok(socket)
}

fn bind(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What the sockets that are accepted inherit.
pub fn dress(listener: &OwnedFd, door: Door) -> io::Result<()> {
    let listener = SockRef::from(listener);
    // One system call less for each connection.
    listener.set_tcp_nodelay(true)?;
    // What a slow WebSocket reader does not take waits in its queue, where it is counted, not in the kernel.
    let unsent = if door.is_gateway() { NOTSENT_BYTES } else { NOTSENT_BY_THE_SYSTEM };
    listener.set_tcp_notsent_lowat(unsent)
}

/// Begins to listen, or changes how many may wait.
pub fn listen(socket: &OwnedFd, backlog: u32) -> io::Result<()> {
    Ok(rustix::net::listen(socket, i32::try_from(backlog).unwrap_or(i32::MAX))?)
}

/// The address a bound socket has, its port resolved.
#[must_use]
pub fn local_address(socket: &impl AsFd) -> Option<SocketAddr> {
    rustix::net::getsockname(socket).ok().and_then(|any| SocketAddr::try_from(any).ok())
}

/// A listening socket that this process was given.
pub struct Inherited {
    pub address: SocketAddr,
    pub socket: OwnedFd,
}

impl Inherited {
    /// Looks at what was given; an error says why it is of no use.
    pub fn new(socket: OwnedFd) -> Result<Inherited, String> {
        let of_no_use = |why: &str| format!("an inherited descriptor is left alone: {why}");
        let failed = |error: Errno| of_no_use(&format!("{error}: it is no socket"));
        let is_tcp = socket_type(&socket).map_err(failed)? == SocketType::STREAM
            && socket_protocol(&socket).map_err(failed)? == Some(ipproto::TCP);
        let address = local_address(&socket).filter(|_| is_tcp);
        let address = address.ok_or_else(|| of_no_use("it is no TCP socket"))?;
        if !socket_acceptconn(&socket).map_err(failed)? {
            return Err(of_no_use(&format!("the socket of {address} does not listen")));
        }
        ioctl_fionbio(&socket, true).map_err(failed)?;
        fcntl_setfd(&socket, FdFlags::CLOEXEC).map_err(failed)?;
        Ok(Inherited { address, socket })
    }
}
