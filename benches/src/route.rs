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
        let Some(mut handshake) = self.handshake(target) else { return Ok(socket) };
        let mut input = [0; WANTS_MAX];
        let mut received = 0;
        loop {
            socket.write_all(&handshake.take_output())?;
            let wants = handshake.wants();
            match socket.read(&mut input[..wants])? {
                0 => return Err(Failure::EarlyEof { received, expected: received + wants as u64 }),
                bytes if handshake.receive(&input[..bytes])? => return Ok(socket),
                bytes => received += bytes as u64,
            }
        }
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
