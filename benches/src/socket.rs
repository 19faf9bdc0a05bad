//! The sockets of the loads: made non-blocking in as few system calls as can be, and moved through without waiting.

use crate::failure::Failure;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, listen, recv, send,
    socket_with, sockopt,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Connections a listener of ours lets wait; above it the kernel's own limit counts.
const BACKLOG: i32 = 4096;

/// Starts a connection without waiting for it; it is writable when it stands, and says at the first send if it does not.
pub fn start_connect(to: SocketAddr) -> Result<OwnedFd, Failure> {
    let socket = stream_socket(to).map_err(|errno| Failure::own("making a socket")(errno.into()))?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(Failure::Unreachable { address: to, error: errno.into() }),
    }
}

/// How a WebSocket's connection begins.
#[derive(Clone, Copy, Default)]
pub struct Origin {
    /// The address it comes from, if not the kernel's choice.
    pub source: Option<Ipv4Addr>,
    /// The size of the kernel's receive buffer, if not its choice; it doubles what is asked (socket(7)).
    pub receive_buffer: Option<usize>,
}

/// As [`start_connect`], with TCP_NODELAY and an origin.
pub fn start_connect_from(origin: Origin, to: SocketAddr) -> Result<OwnedFd, Failure> {
    let open = || -> rustix::io::Result<OwnedFd> {
        let socket = stream_socket(to)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if let Some(source) = origin.source {
            bind(&socket, &SocketAddr::from((source, 0)))?;
        }
        if let Some(bytes) = origin.receive_buffer {
            sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
        }
        Ok(socket)
    };
    let socket = open().map_err(|errno| Failure::own("making a socket")(errno.into()))?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(Failure::Unreachable { address: to, error: errno.into() }),
    }
}

/// Has the kernel acknowledge what comes when it is read, until something is sent again (tcp(7), TCP_QUICKACK).
///
/// Left to itself a socket that has answered within 40 ms of hearing something, as one does that subscribes, delays its
/// acknowledgements, and the second segment is acknowledged where it arrives: over loopback, on the sender's core. One that
/// only listens acknowledges as it reads, on its own.
pub fn acknowledge_promptly(socket: impl AsFd) -> Result<(), Failure> {
    sockopt::set_tcp_quickack(socket, true)
        .map_err(|errno| Failure::own("setting TCP_QUICKACK")(errno.into()))
}

/// Waits until `socket` is ready for one of `events`, at most for `patience`.
pub fn await_ready(socket: impl AsFd, events: PollFlags, patience: Duration) -> Result<(), Failure> {
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    let mut polled = [PollFd::new(&socket, events)];
    match poll(&mut polled, Some(&timeout)) {
        Ok(0) => Err(Failure::TimedOut),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A listener on loopback; port 0 takes a free one. It blocks: who polls it says so. What it accepts has TCP_NODELAY by
/// inheritance.
pub fn listen_on(port: u16) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let open = || -> rustix::io::Result<OwnedFd> {
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    open().map(TcpListener::from).map_err(|errno| Failure::own("opening its target's listener")(errno.into()))
}

fn stream_socket(to: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
}

/// What a read or write that does not wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    Bytes(usize),
    /// Nothing to read, or no room to write, for now.
    NotNow,
    /// Only when reading: the other side has ended its stream.
    End,
}

pub fn read(socket: impl AsFd, into: &mut [u8]) -> Result<Moved, Failure> {
    outcome(recv(socket, into, RecvFlags::DONTWAIT).map(|(_, received)| received))
}

/// Takes up to `into.len()` bytes off the socket and lets the kernel drop them uncopied (tcp(7), MSG_TRUNC).
pub fn discard(socket: impl AsFd, into: &mut [u8]) -> Result<Moved, Failure> {
    outcome(recv(socket, into, RecvFlags::DONTWAIT | RecvFlags::TRUNC).map(|(_, received)| received))
}

pub fn write(socket: impl AsFd, bytes: &[u8]) -> Result<Moved, Failure> {
    outcome(send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
}

/// Writes a message far smaller than any socket buffer; one that does not fit is a failure.
pub fn write_small(socket: impl AsFd, bytes: &[u8]) -> Result<(), Failure> {
    match write(socket, bytes)? {
        Moved::Bytes(sent) if sent == bytes.len() => Ok(()),
        _ => Err(Failure::Io(io::Error::other("a fresh socket had no room for a few bytes"))),
    }
}

fn outcome(result: rustix::io::Result<usize>) -> Result<Moved, Failure> {
    match result {
        Ok(0) => Ok(Moved::End),
        Ok(bytes) => Ok(Moved::Bytes(bytes)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::NotNow),
        Err(errno) => Err(errno.into()),
    }
}

/// Lifts the soft limit of open files to the hard one; gives the limit that holds now.
pub fn raise_fd_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let holds = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    holds.unwrap_or(u64::MAX)
}
