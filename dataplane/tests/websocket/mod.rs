//! A WebSocket client of a few lines, over any stream, and connections as the control port gives them to a worker.

#![allow(clippy::unwrap_used, dead_code)] // each test file uses its part of this

use super::proxy::{PATIENCE, Proxy};
use ringway_dataplane::Arrival;
use ringway_shared::feed::{Feed, Grant};
use ringway_shared::push::{Answer, Ask};
use serde_json::{Value as Json, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;

/// An upgrade request, with more lines of the test's.
pub fn head(more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:9003\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

pub struct Client<S>(pub S);

impl Client<TcpStream> {
    /// At the gateway's own listener.
    pub fn at_gateway(proxy: &Proxy, more: &str) -> Client<TcpStream> {
        let mut stream = TcpStream::connect(proxy.workers.websocket_addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(head(more).as_bytes()).unwrap();
        Client(stream)
    }
}

impl<S: Read + Write> Client<S> {
    /// The answer to its upgrade.
    pub fn answer(&mut self) -> String {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    pub fn upgraded(mut self) -> Self {
        let answer = self.answer();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        self
    }

    pub fn refused(mut self, status: u16) {
        let answer = self.answer();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }

    pub fn say(&mut self, message: &Json) {
        self.0.write_all(&frame(1, message.to_string().as_bytes())).unwrap();
    }

    /// The next frame: its opcode and its payload.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        assert_eq!(head[0] & 0x70, 0, "compressed");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                u16::from_be_bytes(length).into()
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        (head[0] & 0xf, payload)
    }

    pub fn hear(&mut self) -> Json {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 1, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    pub fn ask(&mut self, message: &Json) -> Json {
        self.say(message);
        self.hear()
    }

    pub fn subscribe(&mut self, topic: &str) -> Json {
        self.ask(&subscribe(topic))
    }

    /// Asks for what is not permitted.
    pub fn denied(&mut self, message: &Json) -> String {
        let answer = self.ask(message);
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(103)), "{answer}");
        answer["message"].as_str().unwrap().to_owned()
    }

    /// The code that it is closed with.
    pub fn closed(&mut self) -> u16 {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 8, "{payload:?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// Answers the close frame, and sees the end.
    pub fn part(mut self) {
        self.0.write_all(&frame(8, &1000u16.to_be_bytes())).unwrap();
        let end = self.0.read(&mut [0]);
        assert!(matches!(&end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
}

/// A masked frame, as a client sends it.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    let mut frame = vec![0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

pub fn subscribe(topic: &str) -> Json {
    json!({"type": "subscribe", "topic": topic})
}

pub fn publication(topic: &str, data: &Json) -> Json {
    json!({"type": "publish", "topic": topic, "data": data})
}

pub fn grant() -> Arc<Grant> {
    Arc::new(Grant::new("ops".into()))
}

pub fn arrival(socket: impl Into<OwnedFd>, head: impl Into<Vec<u8>>, grant: &Arc<Grant>) -> Arrival {
    let peer: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    Arrival { socket: socket.into(), peer, head: head.into(), grant: grant.clone() }
}

/// A connection as the control port accepts it: the client's end, and the one to be given away.
pub fn tcp() -> (Client<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    (Client(client), accepted)
}

/// One that the control port carries on itself.
pub fn unix() -> (Client<UnixStream>, UnixStream) {
    let (client, given) = UnixStream::pair().unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    given.set_nonblocking(true).unwrap();
    (Client(client), given)
}

/// A connection that worker 0 has been given.
pub fn guest(proxy: &Proxy, grant: &Arc<Grant>) -> Client<UnixStream> {
    let (client, given) = unix();
    assert!(proxy.workers.welcome(0, arrival(given, head(""), grant)).is_ok());
    client
}

pub fn push(proxy: &Proxy, worker: usize, ask: Ask) -> Answer {
    let (to, answer) = channel();
    proxy.workers.push(worker, ask, Box::new(move |answer| to.send(answer).unwrap())).unwrap();
    answer.recv_timeout(PATIENCE).unwrap()
}

/// Publishes as the control plane does.
pub fn publish(proxy: &Proxy, feed: Feed, data: &Json) {
    let data: Arc<str> = data.to_string().into();
    proxy.workers.board().put(feed, data.clone());
    let home = proxy.workers.home_of(feed.topic());
    let answer = push(proxy, home, Ask::Feed(vec![(feed, data)]));
    assert!(matches!(answer, Answer::Published(_)), "{answer:?}");
}
