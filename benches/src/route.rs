//! How a target is reached: through a SOCKS5 proxy, through a plain TCP forwarder, or directly.

use crate::failure::Failure;
use crate::handshake::{Credentials, Handshake, WANTS_MAX};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a connection, or a step of its handshake, may take when it is dialled one at a time.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub enum Route {
    Direct,
    /// A forwarder that leads to our target's fixed port, without any handshake.
    Forwarder(SocketAddr),
    Socks5 {
        proxy: SocketAddr,
        credentials: Option<Credentials>,
    },
}

impl Route {
    /// Whom to connect to for reaching `target`.
    #[must_use]
    pub fn first_hop(&self, target: SocketAddr) -> SocketAddr {
        match self {
            Route::Direct => target,
            Route::Forwarder(forwarder) => *forwarder,
            Route::Socks5 { proxy, .. } => *proxy,
        }
    }

    /// What must be said before the payload, if anything.
    #[must_use]
    pub fn handshake(&self, target: SocketAddr) -> Option<Handshake> {
        match self {
            Route::Socks5 { credentials, .. } => Some(Handshake::new(target, credentials.clone())),
            Route::Direct | Route::Forwarder(_) => None,
        }
    }

    /// Dials the first hop alone, without saying anything. The socket blocks, for a limited time, and has TCP_NODELAY.
    pub fn dial_first_hop(&self, target: SocketAddr) -> Result<TcpStream, Failure> {
        let address = self.first_hop(target);
        let socket = TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|error| Failure::Unreachable { address, error })?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    /// Dials all the way to `target`.
    pub fn dial(&self, target: SocketAddr) -> Result<TcpStream, Failure> {
        let mut socket = self.dial_first_hop(target)?;
        if let Some(mut handshake) = self.handshake(target) {
            shake(&mut socket, &mut handshake)?;
        }
        Ok(socket)
    }

    /// The way of datagrams to `target`.
    pub fn associate(&self, target: SocketAddr) -> Result<Association, Failure> {
        let Route::Socks5 { credentials, .. } = self else {
            let headed = matches!(self, Route::Forwarder(_));
            return Ok(Association { relay: self.first_hop(target), headed, _control: None });
        };
        let mut control = self.dial_first_hop(target)?;
        let mut handshake = Handshake::associate(credentials.clone());
        shake(&mut control, &mut handshake)?;
        let bound = handshake.bound().ok_or(Failure::Malformed("it told no address to send datagrams to"))?;
        // "The address is that of the connection": so some servers tell none.
        let ip = if bound.ip().is_unspecified() { self.first_hop(target).ip() } else { bound.ip() };
        Ok(Association { relay: SocketAddr::new(ip, bound.port()), headed: true, _control: Some(control) })
    }

    /// The route in words, for the report.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Route::Direct => "direct".into(),
            Route::Forwarder(forwarder) => format!("forwarder {forwarder}"),
            Route::Socks5 { proxy, credentials: None } => format!("socks5 {proxy}"),
            Route::Socks5 { proxy, credentials: Some(_) } => format!("socks5 {proxy} with login"),
        }
    }
}

/// Where datagrams go for a target to get them. A SOCKS5 server's lives as long as this.
pub struct Association {
    pub relay: SocketAddr,
    /// Whether each datagram has the header of RFC 1928 section 7: of a forwarder's too, which then is a relay of
    /// datagrams that does nothing but take it off and put it on.
    pub headed: bool,
    _control: Option<TcpStream>,
}

fn shake(socket: &mut TcpStream, handshake: &mut Handshake) -> Result<(), Failure> {
    let mut input = [0; WANTS_MAX];
    let mut received = 0;
    loop {
        socket.write_all(&handshake.take_output())?;
        let wants = handshake.wants();
        match socket.read(&mut input[..wants])? {
            0 => return Err(Failure::EarlyEof { received, expected: received + wants as u64 }),
            bytes if handshake.receive(&input[..bytes])? => return Ok(()),
            bytes => received += bytes as u64,
        }
    }
}
