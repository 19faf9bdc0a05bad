//! A client of UDP associations, and sockets to be its peers.

#![allow(clippy::unwrap_used, dead_code)] // each test file uses its part of this

use super::proxy::{PATIENCE, Proxy, answer, request};
use ringway_shared::datagram::Drop as Dropped;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};

/// A client with its association: the control connection, and the socket it sends datagrams from.
pub struct Client {
    pub control: TcpStream,
    pub socket: UdpSocket,
    pub relay: SocketAddr,
}

impl Client {
    pub fn associate(proxy: &Proxy) -> Client {
        Self::on(proxy.client(None), "0.0.0.0", 0)
    }

    pub fn on(mut control: TcpStream, host: &str, port: u16) -> Client {
        control.write_all(&request(3, host, port)).unwrap();
        let answer = answer(control);
        assert_eq!(answer.reply, 0);
        Client { control: answer.stream, socket: socket("127.0.0.1"), relay: answer.bound }
    }

    pub fn say(&self, target: SocketAddr, payload: &[u8]) {
        self.say_raw(&[&header(0, target), payload].concat());
    }

    pub fn say_raw(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.relay).unwrap();
    }

    /// The next datagram: whose it is and what is in it.
    pub fn hear(&self) -> (SocketAddr, Vec<u8>) {
        let (datagram, from) = receive(&self.socket);
        assert_eq!(from, self.relay);
        assert_eq!(datagram[..3], [0, 0, 0]);
        let (ip, rest): (IpAddr, _) = match datagram[3] {
            1 => (<[u8; 4]>::try_from(&datagram[4..8]).unwrap().into(), &datagram[8..]),
            4 => (<[u8; 16]>::try_from(&datagram[4..20]).unwrap().into(), &datagram[20..]),
            other => panic!("address type {other}"),
        };
        (SocketAddr::new(ip, u16::from_be_bytes([rest[0], rest[1]])), rest[2..].to_vec())
    }

    /// Sends through the association and has it come back: all that was sent before has been seen to.
    pub fn round_trip(&self, peer: &UdpSocket) {
        self.say(peer.local_addr().unwrap(), b"round");
        let (datagram, from) = receive(peer);
        assert_eq!(datagram, b"round");
        peer.send_to(b"trip", from).unwrap();
        assert_eq!(self.hear(), (peer.local_addr().unwrap(), b"trip".to_vec()));
    }
}

/// Datagrams dropped for this reason so far.
pub fn dropped(proxy: &Proxy, why: Dropped) -> u64 {
    proxy.cells.iter().map(|cells| cells.udp_dropped.of(why).get()).sum()
}

pub fn socket(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut datagram = vec![0; 65_536];
    let (count, from) = socket.recv_from(&mut datagram).unwrap();
    datagram.truncate(count);
    (datagram, from)
}

pub fn header(frag: u8, target: SocketAddr) -> Vec<u8> {
    let address = match target.ip() {
        IpAddr::V4(ip) => [&[1], &ip.octets()[..]].concat(),
        IpAddr::V6(ip) => [&[4], &ip.octets()[..]].concat(),
    };
    [&[0, 0, frag], &address[..], &target.port().to_be_bytes()].concat()
}

pub fn named(name: &str, port: u16) -> Vec<u8> {
    [&[0, 0, 0, 3, name.len() as u8], name.as_bytes(), &port.to_be_bytes()].concat()
}
