//! BIND (RFC 1928 section 4): a listener for one connection from the peer that the client expects.

use crate::core::Core;
use crate::io::dial::{Dialled, Failure, egress};
use crate::io::route::{self, Route};
use crate::io::sessions::{Phase, Session};
use crate::policy::preference;
use crate::policy::targets::Permit;
use crate::rt::Ready;
use futures_util::future::{Either, select};
use ringway_shared::config::Via;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Host, Target};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;

/// Peers other than the expected one that are reset before the wait is given up.
const STRANGERS_MAX: usize = 64;
/// Peers that may stand in the line: the expected one behind some strangers.
const BACKLOG: i32 = 8;

/// A socket that listens for the expected peer.
pub struct Listening {
    listener: Rc<Ready>,
    /// Where the peer must go: what the first reply tells.
    address: SocketAddr,
    /// The addresses the peer may have. Empty: any that may be a target.
    ///
    /// RFC 1928 section 6 lets the server evaluate the request by DST.ADDR and DST.PORT. The port is left out of it:
    /// clients name the one they are connected to (FTP's 21), and the peer comes from another (20).
    expected: Vec<Permit>,
}

impl Listening {
    /// Listens for `target`, with its ACL and classes asked as for a connection to it.
    pub async fn open(core: &Core, session: &Session, target: &Target) -> Result<Listening, Reason> {
        route::may_ask(core, session, Command::Bind)?;
        let expected = expected_peers(core, session, target).await?;
        let ip = local_ip(session, &expected).map_err(reason_of)?;
        let (socket, bound) = listen(session, ip)?;
        let listener = Rc::new(Ready::new(socket).map_err(reason_of)?);
        core.set_target(session, Some(listener.clone()));
        if !core.has_room_for_socket() {
            core.set_target(session, None);
            return Err(Reason::NoResources);
        }
        let advertised = &session.service.config.socks5.bind.advertise;
        let told = advertised.iter().find(|told| told.is_ipv6() == ip.is_ipv6()).unwrap_or(&ip);
        Ok(Listening { listener, address: SocketAddr::new(*told, bound.port()), expected })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the expected peer; `told` is its address. The listener is closed when this returns.
    pub async fn accept(self, core: &Core, session: &Session) -> Result<Dialled, Reason> {
        core.sessions.enter(session, Phase::AwaitPeer);
        let accepted = self.await_peer(core, session).await;
        // Before the client is told: a close goes through the ring, and comes later.
        self.listener.abort();
        if accepted.is_err() {
            core.set_target(session, None);
        }
        accepted
    }

    async fn await_peer(&self, core: &Core, session: &Session) -> Result<Dialled, Reason> {
        let mut watch = Watch { session, given_up: false };
        let mut strangers = 0;
        loop {
            watch.until_readable(&self.listener).await?;
            if let Some(reason) = session.cut_reason() {
                return Err(reason);
            }
            while let Some((socket, peer)) = accept_one(&self.listener)? {
                let socket = Rc::new(Ready::new(socket).map_err(reason_of)?);
                if self.expects(core, session, peer) {
                    session.facts.borrow_mut().address = Some(peer);
                    core.set_target(session, Some(socket.clone()));
                    core.sessions.enter(session, Phase::Relay);
                    return Ok(Dialled { target: socket, told: peer, sent: 0, early: Vec::new() });
                }
                socket.abort();
                strangers += 1;
                if strangers == STRANGERS_MAX {
                    return Err(Reason::BindPeerRefused);
                }
            }
        }
    }

    fn expects(&self, core: &Core, session: &Session, peer: SocketAddr) -> bool {
        if self.expected.is_empty() {
            let host = Host::Address(peer.ip());
            // A peer that rules send through upstream proxies does not come round them.
            return route::judge(core, session, Command::Bind, &host, peer)
                .is_ok_and(|judgement| judgement.via == Via::Direct);
        }
        self.expected.iter().any(|permit| permit.address().ip() == peer.ip())
    }
}

/// Watches the client while its peer is awaited: one that leaves wants no peer any more.
struct Watch<'a> {
    session: &'a Session,
    /// It has said something already, which is the relay's to read. Its end is seen behind that; the scan still
    /// sees a reset.
    given_up: bool,
}

impl Watch<'_> {
    async fn until_readable(&mut self, listener: &Ready) -> Result<(), Reason> {
        while !self.given_up {
            match select(pin!(listener.readable()), pin!(self.session.client.readable())).await {
                Either::Left(_) => return Ok(()),
                Either::Right(_) if self.session.cut_reason().is_some() => return Ok(()),
                Either::Right(_) => self.look_at_client()?,
            }
        }
        // Whatever woke it, the next accept(2) says.
        let _ = listener.readable().await;
        Ok(())
    }

    fn look_at_client(&mut self) -> Result<(), Reason> {
        match self.session.client.peek() {
            Ok(0) => Err(Reason::ClientGone),
            Ok(_) => {
                self.given_up = true;
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(_) => Err(Reason::ClientGone),
        }
    }
}

/// The addresses that may come, in the order of preference; empty for a request that names none.
async fn expected_peers(core: &Core, session: &Session, target: &Target) -> Result<Vec<Permit>, Reason> {
    if matches!(target.host, Host::Address(ip) if ip.to_canonical().is_unspecified()) {
        return Ok(Vec::new());
    }
    match route::route(core, session, Command::Bind, target).await? {
        Route::Direct(permits) => {
            let prefer = session.service.config.socks5.egress.prefer;
            let arranged = preference::arrange(&permits, prefer, None);
            if arranged.is_empty() {
                session.facts.borrow_mut().notes().hint = Some(preference::hint(prefer).into());
                return Err(Reason::NetworkUnreachable);
            }
            Ok(arranged)
        }
        Route::Upstream { .. } | Route::UpstreamByName { .. } => {
            let hint = "a rule sends it through upstream proxies, which serve CONNECT alone";
            session.facts.borrow_mut().notes().hint = Some(hint.into());
            Err(Reason::DeniedAcl)
        }
    }
}

/// The address to listen on: the one this host has towards the peer, else the one the client has reached.
fn local_ip(session: &Session, expected: &[Permit]) -> io::Result<IpAddr> {
    let mut failure = None;
    for permit in expected {
        match egress::local_address_towards(permit.address(), session) {
            Ok(ip) => return Ok(ip),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(address_of(&session.client)?.ip().to_canonical()),
    }
}

/// A socket listening on `ip`, at a port of the configured range.
fn listen(session: &Session, ip: IpAddr) -> Result<(OwnedFd, SocketAddr), Reason> {
    let Some(ports) = &session.service.config.socks5.bind.ports else {
        return listen_at(SocketAddr::new(ip, 0)).map_err(reason_of);
    };
    // Begun at a place of the client's own, so that not all of them try the same taken ports first.
    let count = ports.len();
    let start = usize::from(session.peer().port()) % count.max(1);
    for port in ports.clone().cycle().skip(start).take(count) {
        match listen_at(SocketAddr::new(ip, port)) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) => {}
            outcome => return outcome.map_err(reason_of),
        }
    }
    session.facts.borrow_mut().notes().hint = Some("every port of socks5.bind.ports is taken".into());
    Err(Reason::NoResources)
}

fn listen_at(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    use rustix::net::{bind, listen, socket_with, sockopt};
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // A port whose last connection rests in TIME_WAIT is free.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // The accepted socket inherits it.
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    let bound = address_of(&socket)?;
    Ok((socket, bound))
}

/// The next peer in the line; `None`: nobody is there.
fn accept_one(listener: &Ready) -> Result<Option<(OwnedFd, SocketAddr)>, Reason> {
    loop {
        match rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, peer)) => {
                if let Some(peer) = peer.and_then(|any| SocketAddr::try_from(any).ok()) {
                    return Ok(Some((socket, peer)));
                }
            }
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS)) => {
                return Err(reason_of(errno.into()));
            }
            // Shut down by a cut.
            Err(Errno::INVAL) => return Ok(None),
            // ECONNABORTED and the network errors of accept(2) belong to that one connection.
            Err(_) => {}
        }
    }
}

fn address_of(socket: &impl std::os::fd::AsFd) -> io::Result<SocketAddr> {
    let address = rustix::net::getsockname(socket)?;
    SocketAddr::try_from(address).map_err(|_| Errno::AFNOSUPPORT.into())
}

fn reason_of(error: io::Error) -> Reason {
    Failure::from(error).reason
}
