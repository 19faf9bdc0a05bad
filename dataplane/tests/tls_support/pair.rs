//! Both ends of a TLS connection over real sockets, without a worker.

use super::{Authority, settings};
use ringway_dataplane::io::tls::{ALPN_HTTP, Acceptor, SCRATCH_BYTES_MIN, Tls};
use ringway_shared::config::TlsVersion;
use rustix::io::Errno;
use rustls::{ClientConnection, SupportedProtocolVersion};
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Both ends of a connection, each moved on by hand.
pub struct Pair {
    pub client: ClientConnection,
    pub wire: TcpStream,
    pub server: Tls,
    pub socket: TcpStream,
    pub scratch: Vec<u8>,
}

pub fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    for socket in [&near, &far] {
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
    }
    (near, far)
}

pub fn acceptor(authority: &Authority, min_version: TlsVersion) -> Acceptor {
    let pem = authority.sign(&["example.org"]);
    Acceptor::new(&settings(&[&pem], min_version), ALPN_HTTP, None).unwrap().unwrap()
}

impl Pair {
    pub fn of(acceptor: &Acceptor, client: ClientConnection) -> Pair {
        let (wire, socket) = sockets();
        let scratch = vec![0; SCRATCH_BYTES_MIN];
        Pair { client, wire, server: acceptor.accept().unwrap(), socket, scratch }
    }

    pub fn new(versions: &[&'static SupportedProtocolVersion]) -> Pair {
        let authority = Authority::new();
        let mut pair =
            Pair::of(&acceptor(&authority, TlsVersion::Tls12), authority.client(versions, "example.org"));
        pair.shake_hands();
        pair
    }

    /// The client writes and reads what it can.
    pub fn move_client(&mut self) -> std::io::Result<usize> {
        while self.client.wants_write() && self.client.write_tls(&mut self.wire).is_ok_and(|sent| sent > 0) {}
        match self.client.read_tls(&mut self.wire) {
            Ok(count) => {
                self.client.process_new_packets().map_err(std::io::Error::other)?;
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    pub fn receive(&mut self, room: usize) -> rustix::io::Result<Vec<u8>> {
        let mut into = vec![0; room];
        let count = self.server.receive(&self.socket, &mut self.scratch, &mut into)?;
        into.truncate(count);
        Ok(into)
    }

    pub fn send(&mut self, bytes: &[u8]) -> rustix::io::Result<usize> {
        self.server.send(&self.socket, &mut self.scratch, bytes)
    }

    pub fn shake_hands(&mut self) {
        until(|| {
            self.move_client().unwrap();
            assert_eq!(self.receive(1024), Err(Errno::AGAIN));
            (self.server.is_established() && !self.client.is_handshaking()).then_some(())
        });
    }

    /// Until the server's next bytes, end or fault.
    pub fn next(&mut self) -> rustix::io::Result<Vec<u8>> {
        until(|| {
            let _ = self.move_client();
            Some(self.receive(64 * 1024)).filter(|next| *next != Err(Errno::AGAIN))
        })
    }

    /// What the client has got so far; true: and the clean end after it.
    pub fn client_reads(&mut self, into: &mut Vec<u8>) -> bool {
        let mut piece = [0; 4096];
        loop {
            match self.client.reader().read(&mut piece) {
                Ok(0) => return true,
                Ok(count) => into.extend_from_slice(&piece[..count]),
                Err(_) => return false,
            }
        }
    }
}

pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it did not come about");
        std::thread::yield_now();
    }
}

/// Bytes that no shift or swap leaves as they are.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
