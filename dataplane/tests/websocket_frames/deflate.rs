//! Compressed messages: RFC 7692.

use crate::play::{self, BINARY, CONTINUATION, DEFLATE, FIN, PING, RSV1, RULES, Seen, TEXT, frame};
use crate::rows::{begin, finish, hold, ping, refused, row, saw, text};
use flate2::{Compress, Compression, FlushCompress};
use ringway_dataplane::proto::deflate::{Deflater, Inflater};
use ringway_dataplane::proto::websocket::{Incoming, Rules, Violation};

/// RFC 7692. "Hello" is its own example (section 7.2.3.1).
#[test]
fn compressed_messages_are_inflated() {
    const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    const NOT_DEFLATE: &[u8] = b"\xff\xff\xff\xff";
    const NOT_TEXT: &[u8] = b"\xfa\x0f\x00";
    let compressed = |opcode, payload: &[u8]| frame(FIN | RSV1 | opcode, payload);
    let hello = compressed(TEXT, HELLO);
    let inside = [frame(RSV1 | TEXT, &HELLO[..3]), ping(b"!"), finish(&HELLO[3..])].concat();
    for (says, sent, expected) in [
        row("a text", &[&hello, &hello], &[saw("Hello"), saw("Hello")]),
        row("a binary message", &[&compressed(BINARY, HELLO)], &[Seen::Binary(b"Hello".into())]),
        row(
            "in fragments, a ping within",
            &[&inside, &hello],
            &[Seen::Ping(b"!".into()), saw("Hello"), saw("Hello")],
        ),
        row(
            "one that is not compressed between",
            &[&hello, &text("x"), &hello],
            &[saw("Hello"), saw("x"), saw("Hello")],
        ),
        refused(
            "RSV1 on a continuation",
            &[&begin(b""), &compressed(CONTINUATION, HELLO)],
            Violation::ReservedBits,
        ),
        refused("RSV1 on a ping", &[&compressed(PING, b"")], Violation::ReservedBits),
        refused("RSV2", &[&frame(FIN | 0x20 | TEXT, b"")], Violation::ReservedBits),
        refused("no deflate", &[&compressed(BINARY, NOT_DEFLATE)], Violation::BadDeflate),
        refused("a text that inflates to FF", &[&compressed(TEXT, NOT_TEXT)], Violation::InvalidText),
    ] {
        hold(&says, &sent, &RULES, DEFLATE, &expected);
    }
    let tight = Rules { frame_bytes_max: 100, message_bytes_max: 7 };
    hold("as sent 7 are allowed", &hello, &tight, DEFLATE, &[saw("Hello")]);
    let tighter = Rules { frame_bytes_max: 100, message_bytes_max: 6 };
    hold("and 6 are not", &hello, &tighter, DEFLATE, &[Seen::Refused(Violation::MessageTooBig)]);
}

#[test]
fn a_bomb_costs_no_more_than_the_message_limit() {
    let rules = Rules { frame_bytes_max: 1 << 16, message_bytes_max: 1 << 16 };
    let mut bomb = Vec::new();
    Deflater::new(15, 9).deflate(&vec![0; 8 << 20], &mut bomb);
    assert!(bomb.len() < 10_000);
    let sent = frame(FIN | RSV1 | BINARY, &bomb);
    hold("a bomb", &sent, &rules, DEFLATE, &[Seen::Refused(Violation::InflatedTooBig)]);
}

#[test]
fn with_a_context_a_message_refers_to_those_before_it() {
    let mut client = Compress::new(Compression::best(), false);
    let mut compressed = || {
        let mut out = Vec::with_capacity(1000);
        client.compress_vec(b"What I tell you three times is true", &mut out, FlushCompress::Sync).unwrap();
        // RFC 7692 section 7.2.1: the end of the flush is not sent.
        assert_eq!(out.split_off(out.len() - 4), b"\0\0\xff\xff");
        out
    };
    let messages = [compressed(), compressed(), compressed()];
    assert!(messages[1].len() < messages[0].len() / 2);
    let mut incoming = Incoming::new(DEFLATE);
    let mut inflater = Inflater::new(true);
    for message in messages {
        let (start, end) = message.split_at(message.len() / 2);
        let mut sent = [frame(RSV1 | TEXT, start), finish(end)].concat();
        let seen = play::read(&mut incoming, &mut sent, &RULES, &mut inflater);
        assert_eq!(seen, [saw("What I tell you three times is true")]);
    }
}
