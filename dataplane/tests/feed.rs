//! The live feed as workers see it: connections that the control port lets in, what stands on the board, and what its topics are closed to.
#![allow(clippy::unwrap_used, dead_code)]

mod proxy;

use proxy::{PATIENCE, Proxy};
use ringway_dataplane::Arrival;
use ringway_shared::feed::{Feed, Grant};
use ringway_shared::push::{Answer, Ask, Refusal, Who};
use serde_json::{Value as Json, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;

const HEAD: &str = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:9003\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A WebSocket client at the other end of any stream.
struct Client<S>(S);

impl<S: Read + Write> Client<S> {
    /// The answer to its upgrade, line by line.
    fn answer(&mut self) -> String {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    fn upgraded(mut self) -> Self {
        let answer = self.answer();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        self
    }

    fn say(&mut self, message: &Json) {
        self.0.write_all(&frame(message)).unwrap();
    }

    /// The next frame: its opcode and its payload.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
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

    fn hear(&mut self) -> Json {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 1, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    fn ask(&mut self, message: &Json) -> Json {
        self.say(message);
        self.hear()
    }

    /// The code that it is closed with.
    fn closed(&mut self) -> u16 {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 8, "{payload:?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

fn frame(message: &Json) -> Vec<u8> {
    let text = message.to_string();
    assert!(text.len() < 126);
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

fn subscribe(topic: &str) -> Json {
    json!({"type": "subscribe", "topic": topic})
}

fn grant() -> Arc<Grant> {
    Arc::new(Grant::new("ops".into()))
}

fn arrival(socket: impl Into<OwnedFd>, head: impl Into<Vec<u8>>, grant: &Arc<Grant>) -> Arrival {
    let peer: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    Arrival { socket: socket.into(), peer, head: head.into(), grant: grant.clone() }
}

/// A connection as the control port accepts it: the client's end, and the one to be given away.
fn tcp() -> (Client<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    (Client(client), accepted)
}

fn unix() -> (Client<UnixStream>, UnixStream) {
    let (client, given) = UnixStream::pair().unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    given.set_nonblocking(true).unwrap();
    (Client(client), given)
}

fn push(proxy: &Proxy, worker: usize, ask: Ask) -> Answer {
    let (to, answer) = channel();
    proxy.workers.push(worker, ask, Box::new(move |answer| to.send(answer).unwrap())).unwrap();
    answer.recv_timeout(PATIENCE).unwrap()
}

fn publish(proxy: &Proxy, feed: Feed, data: &str) {
    proxy.workers.board().put(feed, data.into());
    let home = proxy.workers.home_of(feed.topic());
    let answer = push(proxy, home, Ask::Feed { feed, data: data.into() });
    assert!(matches!(answer, Answer::Published(_)), "{answer:?}");
}

fn reads_the_feed<S: Read + Write>(proxy: &Proxy, mut client: Client<S>) {
    let topic = "traffic_data";
    proxy.workers.board().put(Feed::TrafficData, r#"{"seq":7}"#.into());
    assert_eq!(client.ask(&subscribe(topic)), json!({"type": "subscribed", "topic": topic}));
    assert_eq!(client.hear(), json!({"type": "message", "topic": topic, "data": {"seq": 7}}));
    publish(proxy, Feed::TrafficData, r#"{"seq":8}"#);
    assert_eq!(client.hear(), json!({"type": "message", "topic": topic, "data": {"seq": 8}}));
}

#[test]
fn who_is_let_in_over_tcp_reads_the_feed() {
    let proxy = Proxy::try_start(2, |_| {}).unwrap();
    for worker in 0..2 {
        let (client, given) = tcp();
        assert!(proxy.workers.welcome(worker, arrival(given, HEAD, &grant())).is_ok());
        reads_the_feed(&proxy, client.upgraded());
    }
}

#[test]
fn who_is_let_in_over_a_unix_pair_reads_the_feed() {
    let proxy = Proxy::try_start(2, |_| {}).unwrap();
    let (client, given) = unix();
    assert!(proxy.workers.welcome(1, arrival(given, HEAD, &grant())).is_ok());
    reads_the_feed(&proxy, client.upgraded());
}

#[test]
fn what_was_read_behind_the_head_is_heard() {
    let proxy = Proxy::start(|_| {});
    proxy.workers.board().put(Feed::Alerts, "[]".into());
    let whole = [HEAD.as_bytes(), &frame(&subscribe("alerts"))].concat();
    // The rest of a head, or of a frame, comes by the socket.
    for read_before in [0, 10, HEAD.len() - 1, HEAD.len(), HEAD.len() + 3, whole.len()] {
        let (mut client, given) = unix();
        let (read, later) = whole.split_at(read_before);
        assert!(proxy.workers.welcome(0, arrival(given, read, &grant())).is_ok());
        client.0.write_all(later).unwrap();
        let mut client = client.upgraded();
        assert_eq!(client.hear()["type"], "subscribed", "{read_before}");
        assert_eq!(client.hear()["data"], json!([]), "{read_before}");
    }
}

#[test]
fn the_publish_api_neither_publishes_nor_subscribes_there() {
    let proxy = Proxy::start(|_| {});
    for feed in Feed::ALL {
        let topic: Arc<str> = feed.topic().into();
        let (skip_history, idempotency_key) = (false, None);
        let publish = Ask::Publish { topic: topic.clone(), data: "1".into(), skip_history, idempotency_key };
        let subscribe = Ask::Subscribe { who: Who { user: "alice".into(), client: None }, topic };
        for ask in [publish, subscribe] {
            let answer = push(&proxy, 0, ask);
            assert!(matches!(answer, Answer::Refused(Refusal::Reserved)), "{answer:?}");
        }
    }
}
