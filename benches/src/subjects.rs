//! What the workers do most, as pure operations without a socket: the subjects of `micro/`, which times them, and of
//! `bin/instructions`, which has them counted.

use ringway_dataplane::hub::{
    Format, Hub, Limits, Namespaces, Publication, Publish, Publisher, Settings, Ticket,
};
use ringway_dataplane::proto::deflate::{Deflater, Inflater};
use ringway_dataplane::proto::handshake::{Auth, Demands, Event, Handshake, UNBOUND};
use ringway_dataplane::proto::pubsub_json;
use ringway_dataplane::proto::udp::{Datagram, Header};
use ringway_dataplane::proto::upgrade::Upgrade;
use ringway_dataplane::proto::websocket::{self, Data, Incoming, Rules};
use ringway_shared::config::{Commands, Protocols};
use ringway_shared::histogram::Histogram;
use ringway_shared::metrics::Cells;
use ringway_shared::session::Protocol;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

/// Frames that the gateway hands to one write(2) at most.
const FRAMES_PER_WRITE: usize = 64;
const SUBSCRIBERS: u32 = 1_000;
const WINDOW_BITS: u8 = 15;
const LEVEL: u32 = 1;

/// As most clients ask (RFC 1928, the SOCKS4 memo, RFC 9110 section 9.3.6): what is sent before an answer, and after it.
const SOCKS5: [&[u8]; 2] = [&[5, 1, 0], &[5, 1, 0, 1, 192, 0, 2, 1, 0, 80]];
const SOCKS5_NAME: [&[u8]; 2] = [&[5, 1, 0], b"\x05\x01\x00\x03\x0bexample.com\x00\x50"];
const SOCKS4: [&[u8]; 2] = [b"\x04\x01\x00\x50\xc0\x00\x02\x01alice\0", b""];
const HTTP_CONNECT: [&[u8]; 2] = [
    b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nUser-Agent: curl/8.5.0\r\nProxy-Connection: Keep-Alive\r\n\r\n",
    b"",
];
/// As a browser asks.
const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: http://example.com\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-GB,en;q=0.9\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
const DATAGRAM: &[u8] = b"\0\0\0\x01\xc0\0\x02\x01\0\x50data";

/// An operation by its name. Calling what `make` gives does it so many times as `operations` says.
pub struct Subject {
    pub name: &'static str,
    pub operations: u64,
    pub make: fn() -> Box<dyn FnMut()>,
}

const fn once(name: &'static str, make: fn() -> Box<dyn FnMut()>) -> Subject {
    Subject { name, operations: 1, make }
}

/// What instructions are counted of (docs/costs.md).
pub const SUBJECTS: &[Subject] = &[
    once("SOCKS5 handshake", || Box::new(|| handshake(black_box(SOCKS5)))),
    once("SOCKS5 handshake with a name", || Box::new(|| handshake(black_box(SOCKS5_NAME)))),
    once("SOCKS4 handshake", || Box::new(|| handshake(black_box(SOCKS4)))),
    once("HTTP CONNECT handshake", || Box::new(|| handshake(black_box(HTTP_CONNECT)))),
    once("UDP header read and written", || Box::new(udp_header)),
    once("upgrade request of a browser", || Box::new(upgrade)),
    once("frame of 125 B in", || frames_in(1, 125)),
    Subject { name: "frame of 125 B in, of 64 together", operations: 64, make: || frames_in(64, 125) },
    once("frame of 16 KiB in", || frames_in(1, 16 * 1024)),
    once("frame of 125 B out", || frame_out(125)),
    once("frame of 16 KiB out", || frame_out(16 * 1024)),
    once("message of 1 KiB deflated", deflated),
    once("subscribe read", || Box::new(|| parsed(r#"{"type":"subscribe","topic":"news.sport"}"#))),
    once("publish read", || {
        Box::new(|| parsed(r#"{"type":"publish","topic":"news.sport","data":{"home":1,"away":2}}"#))
    }),
    Subject { name: "delivery, of 1,000 together", operations: SUBSCRIBERS as u64, make: deliveries },
    once("histogram record", || {
        let (histogram, mut value) = (Histogram::default(), 0);
        Box::new(move || {
            value += 37;
            histogram.record(black_box(value));
        })
    }),
    once("cell add", || {
        let cells = Box::<Cells>::default();
        Box::new(move || cells.sent_bytes.add(black_box(64)))
    }),
];

/// A whole handshake: greeting, where there is one, then request, then the reply.
///
/// # Panics
/// It did not come to a request.
pub fn handshake([greeting, request]: [&[u8]; 2]) {
    let protocols = Protocol::ALL.into_iter().fold(Protocols::default(), Protocols::with);
    let mut handshake = Handshake::new(Demands { auth: Auth::None, protocols, commands: Commands::all() });
    handshake.receive(greeting);
    let mut event = handshake.poll();
    if !request.is_empty() {
        assert!(event.is_none());
        black_box(handshake.take_output());
        handshake.receive(request);
        event = handshake.poll();
    }
    assert!(matches!(event, Some(Event::Request(_))));
    handshake.answer(Ok(UNBOUND));
    black_box(handshake.take_output());
}

fn udp_header() {
    let datagram = Datagram::read(black_box(DATAGRAM));
    assert!(datagram.is_some());
    black_box(datagram);
    black_box(Header::of(black_box(([192, 0, 2, 1], 80).into())).bytes());
}

fn upgrade() {
    let request = Upgrade::default().receive(black_box(UPGRADE));
    assert!(matches!(request, Some(Ok(_))));
    black_box(request);
}

fn parsed(text: &str) {
    let request = pubsub_json::parse(black_box(text));
    assert!(request.is_ok());
    black_box(request.is_ok());
}

/// What a client sends: so many masked text frames, each of so many bytes.
#[must_use]
pub fn client_frames(count: usize, length: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    crate::ws::frame::push_masked(crate::ws::frame::TEXT, &vec![b'a'; length], &mut frame);
    frame.repeat(count)
}

/// Reads frames over and over, in a buffer that is filled as recv(2) would.
pub fn frames_in(count: usize, length: usize) -> Box<dyn FnMut()> {
    let bytes = client_frames(count, length);
    let rules = Rules { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };
    let (mut inflater, mut incoming) = (Inflater::new(false), Incoming::new(None));
    let mut buffer = bytes.clone();
    Box::new(move || {
        buffer.copy_from_slice(black_box(&bytes));
        let mut reading = incoming.receive(&mut buffer, &rules, &mut inflater);
        while let Ok(Some(websocket::Event::Text(text))) = reading.poll() {
            black_box(text);
        }
    })
}

/// Writes a server's frame behind others.
pub fn frame_out(length: usize) -> Box<dyn FnMut()> {
    let payload = vec![b'a'; length];
    let mut out = Vec::with_capacity(1 << 20);
    Box::new(move || {
        out.clear();
        websocket::frame(Data::Text, false, black_box(&payload), &mut out);
        black_box(&out);
    })
}

fn deflated() -> Box<dyn FnMut()> {
    let plain = br#"{"type":"message","topic":"news.sport","data":{"home":1,"away":2}}"#.repeat(16);
    let (mut deflater, mut out) = (Deflater::new(WINDOW_BITS, LEVEL), Vec::with_capacity(1 << 16));
    Box::new(move || {
        out.clear();
        deflater.deflate(black_box(&plain[..1024]), &mut out);
        black_box(&out);
    })
}

fn deliveries() -> Box<dyn FnMut()> {
    let mut hub = with_subscribers(SUBSCRIBERS, "news");
    Box::new(move || {
        publish(&mut hub, "news");
        fan_out(&mut hub);
        flush(&mut hub);
    })
}

#[must_use]
pub fn hub(worker: usize, workers: usize) -> Hub {
    let namespaces = Arc::new(Namespaces::new(&[], Vec::new(), 1_024));
    Hub::new(Settings { worker, workers, seed: 1, limits: Limits::default(), namespaces })
}

#[must_use]
pub fn with_subscribers(subscribers: u32, topic: &str) -> Hub {
    let mut hub = hub(0, 1);
    for conn in 0..subscribers {
        hub.join(conn, Format::default());
        black_box(hub.subscribe(conn, topic, Ticket(0)).is_ok());
        while hub.poll_effect().is_some() {}
    }
    hub
}

pub fn publish(hub: &mut Hub, topic: &str) {
    let (by, data) = (Publisher::Server, "0".repeat(200).into());
    let publish = Publish { topic, data, by, from: None, at_ns: 0, key: None, skip_history: false };
    black_box(hub.publish(publish, None, 0).is_ok());
}

pub fn fan_out(hub: &mut Hub) {
    let mut encode = |publication: &Publication, _: Format| Rc::from(publication.data.as_bytes());
    while hub.fan_out(0, usize::MAX, &mut encode) {}
}

/// All that the flush pass does but the write.
pub fn flush(hub: &mut Hub) {
    while let Some(conn) = hub.poll_dirty() {
        let bytes = hub.frames(conn).take(FRAMES_PER_WRITE).map(|frame| black_box(frame).len()).sum();
        black_box(hub.sent(conn, bytes, |at_ns| {
            black_box(at_ns);
        }));
    }
}
