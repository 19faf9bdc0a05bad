//! A WebSocket client by the byte: what it sends, and what is seen of it in any chunking. Shared by the tests
//! `websocket_*` and the fuzzer; `oracle` has tungstenite judge the same bytes.

// Each of them uses its part; a test's helper may panic.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used)]

pub mod oracle;
pub mod script;

use ringway_dataplane::proto::deflate::{Inflater, Negotiated};
use ringway_dataplane::proto::websocket::{Event, Incoming, Rules, Violation};
use std::cell::RefCell;

pub const RULES: Rules = Rules { frame_bytes_max: 1 << 17, message_bytes_max: 1 << 17 };

pub const DEFLATE: Option<Negotiated> =
    Some(Negotiated { client_no_context_takeover: true, server_window_bits: 15, client_window_bits: 15 });

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// An [`Event`] that is kept, or the end.
#[derive(Clone, PartialEq, Eq)]
pub enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Refused(Violation),
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Seen::Text(text) => write!(f, "text of {}: {text:.40?}", text.len()),
            Seen::Binary(bytes) => {
                write!(f, "binary of {}: {:x?}", bytes.len(), &bytes[..bytes.len().min(40)])
            }
            Seen::Ping(bytes) => write!(f, "ping {bytes:x?}"),
            Seen::Pong(bytes) => write!(f, "pong {bytes:x?}"),
            Seen::Close(code, reason) => write!(f, "close {code:?} {reason:?}"),
            Seen::Refused(violation) => write!(f, "refused: {violation:?}"),
        }
    }
}

impl From<Event<'_>> for Seen {
    fn from(event: Event) -> Seen {
        match event {
            Event::Text(text) => Seen::Text(text.into()),
            Event::Binary(bytes) => Seen::Binary(bytes.into()),
            Event::Ping(bytes) => Seen::Ping(bytes.into()),
            Event::Pong(bytes) => Seen::Pong(bytes.into()),
            Event::Close { code, reason } => Seen::Close(code, reason.into()),
        }
    }
}

/// A client's frame: `first` is FIN, the reserved bits and the opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [header(first, payload.len()), masked.collect()].concat()
}

/// The header alone, of a frame that says it has so many bytes of payload.
pub fn header(first: u8, payload_bytes: usize) -> Vec<u8> {
    let length = match payload_bytes {
        0..126 => vec![0x80 | payload_bytes as u8],
        126..65_536 => [&[0x80 | 126][..], &(payload_bytes as u16).to_be_bytes()].concat(),
        _ => [&[0x80 | 127][..], &(payload_bytes as u64).to_be_bytes()].concat(),
    };
    [&[first][..], &length, &MASK].concat()
}

/// What is seen of reads of these sizes, and behind them of the rest.
pub fn play(
    bytes: &[u8],
    rules: &Rules,
    deflate: Option<Negotiated>,
    chunks: &mut dyn Iterator<Item = usize>,
) -> Vec<Seen> {
    // One for all, as a worker has it: what a message leaves behind would show in the next.
    thread_local!(static INFLATER: RefCell<Inflater> = RefCell::new(Inflater::new(false)));
    INFLATER.with_borrow_mut(|inflater| play_with(inflater, bytes, rules, deflate, chunks))
}

fn play_with(
    inflater: &mut Inflater,
    bytes: &[u8],
    rules: &Rules,
    deflate: Option<Negotiated>,
    chunks: &mut dyn Iterator<Item = usize>,
) -> Vec<Seen> {
    let mut incoming = Incoming::new(deflate);
    let mut seen = Vec::new();
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    while !rest.is_empty() {
        let size = chunks.next().unwrap_or(rest.len()).min(rest.len());
        let (chunk, after) = std::mem::take(&mut rest).split_at_mut(size);
        rest = after;
        let ended = incoming.is_over();
        let now = read(&mut incoming, chunk, rules, inflater);
        assert!(!ended || now.is_empty(), "after its end: {now:?}");
        assert_lawful(&incoming, rules, ended, &now);
        seen.extend(now);
    }
    seen
}

/// What is seen in one read.
pub fn read(incoming: &mut Incoming, bytes: &mut [u8], rules: &Rules, inflater: &mut Inflater) -> Vec<Seen> {
    let mut reading = incoming.receive(bytes, rules, inflater);
    let mut seen = Vec::new();
    loop {
        match reading.poll() {
            Ok(Some(event)) => seen.push(event.into()),
            Ok(None) => return seen,
            Err(violation) => seen.push(Seen::Refused(violation)),
        }
    }
}

/// The same in one read, in single bytes and in these chunks.
pub fn in_any_chunking(
    bytes: &[u8],
    rules: &Rules,
    deflate: Option<Negotiated>,
    chunks: impl Iterator<Item = usize>,
) -> Vec<Seen> {
    let mut chunks = chunks;
    let whole = play(bytes, rules, deflate, &mut std::iter::empty());
    assert_eq!(play(bytes, rules, deflate, &mut chunks), whole, "in chunks");
    assert_eq!(play(bytes, rules, deflate, &mut std::iter::repeat(1)), whole, "in single bytes");
    whole
}

/// What holds after each read, by what was seen in it.
fn assert_lawful(incoming: &Incoming, rules: &Rules, ended_before: bool, seen: &[Seen]) {
    /// The state beside a message's bytes, a control frame's payload among it.
    const STATE_BYTES: usize = 400;
    assert!(incoming.held_bytes() <= rules.message_bytes_max + STATE_BYTES, "{} held", incoming.held_bytes());
    assert_eq!(incoming.held_bytes() > 0, incoming.is_within_message());
    let is_end = |seen: &Seen| matches!(seen, Seen::Close(..) | Seen::Refused(_));
    let ends = seen.iter().position(is_end);
    assert!(ends.is_none_or(|at| at + 1 == seen.len()), "nothing is seen behind the end: {seen:?}");
    assert_eq!(incoming.is_over(), ended_before || ends.is_some(), "{seen:?}");
    assert!(!incoming.is_over() || incoming.held_bytes() == 0, "an ended connection holds nothing");
}
