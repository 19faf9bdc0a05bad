//! The sockets of an association.

use crate::core::Core;
use crate::io::dial::egress;
use crate::io::listener::binding::local_address;
use crate::io::sessions::Session;
use crate::rt::Ready;
use nix::sys::socket::{setsockopt, sockopt as nix_sockopt};
use ringway_shared::datagram::Drop as Dropped;
use ringway_shared::metrics::Cells;
use ringway_shared::reason::Reason;
use rustix::io::Errno;
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Wanted bytes of the kernel's buffers; it grants what `net.core.rmem_max` and `wmem_max` let it. The default
/// holds some ninety full packets: 2 ms of a fast QUIC stream.
pub const KERNEL_BUFFER_BYTES: usize = 1024 * 1024;

/// A UDP socket of an association, counted while it is open.
pub(super) struct Socket {
    pub(super) ready: Ready,
    /// Whether the kernel still cuts one send into several datagrams here (UDP_SEGMENT).
    pub(super) segments: Cell<bool>,
    /// The most datagrams that the kernel has lined up in a slot lately (UDP_GRO).
    pub(super) lined_up: Cell<usize>,
    cells: Arc<Cells>,
}

impl Socket {
    fn new(core: &Core, descriptor: OwnedFd) -> Result<Socket, Reason> {
        core.cells.targets_now.add(1);
        let ready = Ready::new(descriptor).map_err(|_| Reason::NoResources);
        let ready = ready.inspect_err(|_| core.cells.targets_now.sub(1))?;
        let socket =
            Socket { ready, segments: Cell::new(true), lined_up: Cell::new(1), cells: core.cells.clone() };
        if core.has_room_for_socket() { Ok(socket) } else { Err(Reason::NoResources) }
    }

    pub(super) fn count_dropped(&self, why: Dropped, datagrams: u64) {
        self.cells.udp_dropped.of(why).add(datagrams);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.cells.targets_now.sub(1);
    }
}

/// How long a control connection is silent before the client is asked whether it is there, how often it is asked
/// again, and how often in vain before it counts as gone: two minutes in all.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_PROBES: u32 = 3;

/// Has the kernel find out that a client has vanished: nothing need ever be said on a control connection, and
/// whoever knows the association's port outside could keep it from being idle.
pub(super) fn keep_asking(control: impl AsFd + Copy) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(control, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(control, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(control, KEEPALIVE_PROBES)?;
    sockopt::set_socket_keepalive(control, true)
}

/// The socket a client sends to, on the address it reached us by, and what that is.
pub(super) fn for_client(core: &Core, session: &Session) -> Result<(Socket, SocketAddr), Reason> {
    let reached = local_address(&session.client).ok_or(Reason::ClientGone)?;
    let descriptor = descriptor(reached.is_ipv6()).map_err(|_| Reason::NoResources)?;
    let bound = match &session.service.config.socks5.udp.ports {
        None => bind(&descriptor, &with_port(reached, 0)),
        Some(ports) => bind_in(&descriptor, reached, ports),
    };
    bound.map_err(|_| Reason::NoResources)?;
    let bound = local_address(&descriptor).ok_or(Reason::NoResources)?;
    Ok((Socket::new(core, descriptor)?, bound))
}

/// The socket towards peers of a family. It has the port of the association's other one where that is free:
/// then the client has one port outside, whatever family its peers are of.
pub(super) fn for_peers(
    core: &Core,
    session: &Session,
    ipv6: bool,
    other: Option<&Socket>,
) -> Result<Socket, Reason> {
    let descriptor = descriptor(ipv6).map_err(|_| Reason::NoResources)?;
    egress::prepare(&descriptor, ipv6, session).map_err(|_| Reason::NoResources)?;
    if local_address(&descriptor).is_none_or(|bound| bound.port() == 0) {
        let any: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let wanted = other.and_then(|other| local_address(&other.ready)).map_or(0, |other| other.port());
        bind(&descriptor, &SocketAddr::new(any, wanted))
            .or_else(|_| bind(&descriptor, &SocketAddr::new(any, 0)))
            .map_err(|_| Reason::NoResources)?;
    }
    Socket::new(core, descriptor)
}

fn descriptor(ipv6: bool) -> rustix::io::Result<OwnedFd> {
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let descriptor = socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    if ipv6 {
        sockopt::set_ipv6_v6only(&descriptor, true)?;
    } else {
        // Datagrams may be larger than a packet of the path: let each router cut them that must.
        sockopt::set_ip_mtu_discover(&descriptor, Ipv4PathMtuDiscovery::DONT)?;
    }
    sockopt::set_socket_recv_buffer_size(&descriptor, KERNEL_BUFFER_BYTES)?;
    sockopt::set_socket_send_buffer_size(&descriptor, KERNEL_BUFFER_BYTES)?;
    // A kernel before 5.0 has no UDP_GRO: it gives each datagram on its own.
    let _ = setsockopt(&descriptor, nix_sockopt::UdpGroSegment, &true);
    Ok(descriptor)
}

/// Binds to a free port of the range: from one by chance on, so that the next one is not to be guessed.
fn bind_in(descriptor: &OwnedFd, reached: SocketAddr, ports: &RangeInclusive<u16>) -> rustix::io::Result<()> {
    let (first, count) = (u32::from(*ports.start()), ports.len() as u32);
    let mut chance = [0; 4];
    rustix::rand::getrandom(&mut chance, rustix::rand::GetRandomFlags::empty())?;
    let start = u32::from_ne_bytes(chance) % count.max(1);
    for offset in 0..count {
        let port = first + (start + offset) % count;
        match bind(descriptor, &with_port(reached, port as u16)) {
            Err(Errno::ADDRINUSE) => {}
            outcome => return outcome,
        }
    }
    Err(Errno::ADDRINUSE)
}

/// The scope of a link-local address stays.
fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
