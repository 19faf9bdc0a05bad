//! What Autobahn does not ask: masks, lengths, limits, and what is held.

use crate::play::{BINARY, CONTINUATION, FIN, Seen, frame, header, oracle};
use crate::rows::{begin, binary, conform, finish, go_on, hold, refused, row, saw};
use ringway_dataplane::proto::websocket::{Rules, Violation};

#[test]
fn frames_are_masked_and_their_lengths_minimal() {
    conform([
        refused("an unmasked text", &[b"\x81\x01a"], Violation::Unmasked),
        refused("an unmasked close", &[b"\x88\x00"], Violation::Unmasked),
        refused("125 in 16 bits", &[b"\x82\xfe\x00\x7d\0\0\0\0", &[0; 125]], Violation::BadLength),
        refused(
            "65535 in 64 bits",
            &[b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", &[0; 65_535]],
            Violation::BadLength,
        ),
        refused("the highest bit of 64", &[b"\x82\xff\x80\0\0\0\0\x01\0\0\0\0\0\0"], Violation::BadLength),
        refused(
            "a ping whose length of 5 has 16 bits",
            &[b"\x89\xfe\0\x05\0\0\0\0hello"],
            Violation::ControlTooLong,
        ),
        row("a mask of zeros", &[b"\x81\x81\0\0\0\0a"], &[saw("a")]),
    ]);
}

#[test]
fn what_is_too_big_is_refused_by_its_header() {
    let rules = Rules { frame_bytes_max: 1000, message_bytes_max: 1500 };
    let (a, b) = ([b'a'; 1000], [b'b'; 500]);
    let whole = [&a[..], &b].concat();
    for (says, sent, expected) in [
        row("the largest frame", &[&binary(&a)], &[Seen::Binary(a.to_vec())]),
        row("one larger", &[&header(FIN | BINARY, 1001)], &[Seen::Refused(Violation::FrameTooBig)]),
        row(
            "2^63 - 1",
            &[&header(FIN | BINARY, i64::MAX as usize)],
            &[Seen::Refused(Violation::FrameTooBig)],
        ),
        row("the largest message", &[&frame(BINARY, &a), &finish(&b)], &[Seen::Binary(whole)]),
        row(
            "one larger, in fragments",
            &[&frame(BINARY, &a), &header(FIN | CONTINUATION, 501)],
            &[Seen::Refused(Violation::MessageTooBig)],
        ),
        row(
            "a full message's empty end",
            &[&begin(&a), &go_on(&b), &finish(b"")],
            &[saw("a".repeat(1000) + &"b".repeat(500))],
        ),
    ] {
        hold(says.as_str(), &sent, &rules, None, &expected);
        // tungstenite says the same as far as the bytes go.
        oracle::assert_agreement(&sent, &rules, &expected);
    }
}
