//! What is counted: each operation in lockstep with a worker that sleeps before and after every step.

use super::plane::{PATIENCE, Plane};
use ringway_benches::handshake::Handshake;
use ringway_benches::ws::frame::{self, Header};
use ringway_benches::ws::upgrade;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

/// Done once whenever it is called.
pub type Act = Box<dyn FnMut(&Plane)>;

pub struct Operation {
    pub name: &'static str,
    /// Makes ready what it needs.
    pub prepare: fn(&Plane) -> Act,
}

const fn operation(name: &'static str, prepare: fn(&Plane) -> Act) -> Operation {
    Operation { name, prepare }
}

pub const OPERATIONS: &[Operation] = &[
    operation("nothing", |_| Box::new(|_| {})),
    operation("relayed message of 64 B", |plane| relayed(plane, 64, 0)),
    operation("relayed message of 32 KiB", |plane| relayed(plane, 32 * 1024, 0)),
    operation(SPLICED, |plane| relayed(plane, 32 * 1024, 16 << 20)),
    operation("SOCKS5 connection", connection),
    operation("datagram of 200 B to a target", datagram_out),
    operation("datagram of 200 B to the client", datagram_back),
    operation("WebSocket connection", upgraded_and_left),
    operation("echoed frame of 125 B", |plane| echoed(plane, 125)),
    operation("echoed frame of 16 KiB", |plane| echoed(plane, 16 * 1024)),
    operation("subscription, made and ended", subscription),
    operation("publication to nobody", |plane| publication(plane, 0)),
    operation("publication to 50 subscribers", |plane| publication(plane, 50)),
];

pub const SPLICED: &str = "bulk round of 32 KiB, spliced";

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// Asks the proxy for something, step by step. What it has bound, and the connection.
fn ask(plane: &Plane, mut handshake: Handshake) -> (SocketAddr, TcpStream) {
    let mut stream = connect(plane.socks5);
    plane.settle();
    let mut buffer = [0; 64];
    loop {
        stream.write_all(&handshake.take_output()).unwrap();
        let mut wants = handshake.wants();
        let mut done = false;
        while wants > 0 && !done {
            let count = stream.read(&mut buffer[..wants]).unwrap();
            done = handshake.receive(&buffer[..count]).unwrap();
            wants -= count;
        }
        plane.settle();
        if done {
            return (handshake.bound().unwrap(), stream);
        }
    }
}

/// A client's connection and its target's, relayed.
fn pair(plane: &Plane, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let (_, client) = ask(plane, Handshake::new(listener.local_addr().unwrap(), None));
    let (target, _) = listener.accept().unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    (client, target)
}

/// `before` bytes go first, as fast as they can: so many make it splice.
fn relayed(plane: &Plane, bytes: usize, before: usize) -> Act {
    let (mut client, mut target) = pair(plane, &listen());
    let mut sender = client.try_clone().unwrap();
    let flood = thread::spawn(move || sender.write_all(&vec![1; before]).unwrap());
    let mut buffer = vec![0; before.max(bytes)];
    target.read_exact(&mut buffer[..before]).unwrap();
    flood.join().unwrap();
    plane.settle();
    let message = vec![2; bytes];
    Box::new(move |_| {
        client.write_all(&message).unwrap();
        target.read_exact(&mut buffer[..message.len()]).unwrap();
    })
}

fn connection(_: &Plane) -> Act {
    let listener = listen();
    Box::new(move |plane| {
        let (mut client, mut target) = pair(plane, &listener);
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(target.read(&mut [0]).unwrap(), 0);
        plane.settle();
        drop(target);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    })
}

/// An association with its control connection, the client's socket, the relay's address and a target.
fn association(plane: &Plane) -> (TcpStream, UdpSocket, SocketAddr, UdpSocket) {
    let socket = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let (relay, control) = ask(plane, Handshake::associate(None));
    (control, socket(), relay, socket())
}

fn datagram(target: &UdpSocket) -> Vec<u8> {
    let port = target.local_addr().unwrap().port().to_be_bytes();
    [&[0, 0, 0, 1, 127, 0, 0, 1][..], &port, &[3; 200]].concat()
}

fn datagram_out(plane: &Plane) -> Act {
    let (control, client, relay, target) = association(plane);
    let datagram = datagram(&target);
    Box::new(move |_| {
        let _stands = &control;
        client.send_to(&datagram, relay).unwrap();
        assert_eq!(target.recv(&mut [0; 512]).unwrap(), 200);
    })
}

fn datagram_back(plane: &Plane) -> Act {
    let (control, client, relay, target) = association(plane);
    client.send_to(&datagram(&target), relay).unwrap();
    let (_, from) = target.recv_from(&mut [0; 512]).unwrap();
    Box::new(move |_| {
        let _stands = &control;
        target.send_to(&[4; 200], from).unwrap();
        assert_eq!(client.recv(&mut [0; 512]).unwrap(), 210);
    })
}

/// Upgraded, and the worker asleep again.
fn websocket(plane: &Plane, path: &str) -> TcpStream {
    let mut stream = connect(plane.websocket);
    plane.settle();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
        upgrade::KEY
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while upgrade::receive(&answer).unwrap().is_none() {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    plane.settle();
    stream
}

fn upgraded_and_left(_: &Plane) -> Act {
    Box::new(|plane| drop(websocket(plane, "/ws")))
}

fn say(stream: &mut TcpStream, message: &[u8]) {
    let mut bytes = Vec::new();
    frame::push_masked(frame::TEXT, message, &mut bytes);
    stream.write_all(&bytes).unwrap();
}

/// Reads one whole message.
fn hear(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let lacks = match Header::parse(&bytes).unwrap() {
            Some(header) if header.end() == bytes.len() => return bytes.split_off(header.payload_at),
            Some(header) => header.end() - bytes.len(),
            None => 1,
        };
        let had = bytes.len();
        bytes.resize(had + lacks, 0);
        stream.read_exact(&mut bytes[had..]).unwrap();
    }
}

fn echoed(plane: &Plane, bytes: usize) -> Act {
    let mut client = websocket(plane, "/echo");
    let message = vec![b'a'; bytes];
    Box::new(move |_| {
        say(&mut client, &message);
        assert_eq!(hear(&mut client).len(), message.len());
    })
}

fn subscribe(plane: &Plane, client: &mut TcpStream) {
    say(client, br#"{"type":"subscribe","topic":"news"}"#);
    hear(client);
    plane.settle();
}

fn subscription(plane: &Plane) -> Act {
    let (mut client, mut other) = (websocket(plane, "/ws"), websocket(plane, "/ws"));
    subscribe(plane, &mut other);
    Box::new(move |plane| {
        let _stays_subscribed = &other;
        subscribe(plane, &mut client);
        say(&mut client, br#"{"type":"unsubscribe","topic":"news"}"#);
        hear(&mut client);
    })
}

fn publication(plane: &Plane, subscribers: usize) -> Act {
    let mut publisher = websocket(plane, "/ws");
    let mut subscribers: Vec<_> = (0..subscribers).map(|_| websocket(plane, "/ws")).collect();
    subscribers.iter_mut().for_each(|client| subscribe(plane, client));
    let message = format!(r#"{{"type":"publish","topic":"news","data":"{}"}}"#, "0".repeat(200));
    Box::new(move |_| {
        say(&mut publisher, message.as_bytes());
        hear(&mut publisher);
        subscribers.iter_mut().for_each(|client| assert!(hear(client).len() > 200));
    })
}
