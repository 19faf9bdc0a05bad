//! What Autobahn does not ask: masks, lengths, limits, and what is held.

use crate::play::{self, BINARY, CONTINUATION, FIN, RULES, Seen, TEXT, frame, header, oracle};
use crate::rows::{begin, binary, conform, finish, go_on, hold, refused, row, saw};
use ringway_dataplane::proto::deflate::Inflater;
use ringway_dataplane::proto::websocket::{Event, Incoming, Rules, Violation};

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

/// What is held besides payload.
const STATE_BYTES: usize = 200;

/// Reads what must not be whole yet.
fn hold_back(incoming: &mut Incoming, inflater: &mut Inflater, bytes: &[u8], rules: &Rules) {
    assert_eq!(play::read(incoming, &mut bytes.to_vec(), rules, inflater), []);
}

#[test]
fn what_is_held_grows_with_what_came_and_not_with_what_was_declared() {
    let mut inflater = Inflater::new(false);
    for opcode in [TEXT, BINARY] {
        let mut incoming = Incoming::new(None);
        assert_eq!(incoming.held_bytes(), 0);
        hold_back(&mut incoming, &mut inflater, &header(FIN | opcode, RULES.frame_bytes_max), &RULES);
        assert!((1..STATE_BYTES).contains(&incoming.held_bytes()), "{}", incoming.held_bytes());
        // Masked from the mask's first byte on, as each piece is: its length is a multiple of the mask's.
        let piece = &frame(opcode, &[b'a'; 1024])[8..];
        for pieces in 1..RULES.frame_bytes_max / piece.len() {
            hold_back(&mut incoming, &mut inflater, piece, &RULES);
            let came = pieces * piece.len();
            assert!(incoming.held_bytes() <= 2 * came + STATE_BYTES, "{came} came");
            assert!(incoming.held_bytes() <= RULES.frame_bytes_max + STATE_BYTES, "{came} came");
        }
        let whole = play::read(&mut incoming, &mut piece.to_vec(), &RULES, &mut inflater);
        let expected = "a".repeat(RULES.frame_bytes_max);
        assert_eq!(whole, [if opcode == TEXT { saw(expected) } else { Seen::Binary(expected.into()) }]);
        assert_eq!(incoming.held_bytes(), 0, "nothing is held between messages");
    }
}

#[test]
fn a_frame_that_lies_in_the_buffer_is_lent_from_there() {
    let mut incoming = Incoming::new(None);
    let mut inflater = Inflater::new(false);
    let mut bytes = [frame(FIN | TEXT, b"text"), frame(FIN | BINARY, b"binary")].concat();
    let buffer = bytes.as_ptr_range();
    let mut reading = incoming.receive(&mut bytes, &RULES, &mut inflater);
    let Ok(Some(Event::Text(text))) = reading.poll() else { panic!("no text") };
    assert!(buffer.contains(&text.as_ptr()));
    let Ok(Some(Event::Binary(bytes))) = reading.poll() else { panic!("no binary message") };
    assert!(buffer.contains(&bytes.as_ptr()));
    assert_eq!(reading.poll(), Ok(None));
    assert_eq!(incoming.held_bytes(), 0);
}

/// A cap by number would refuse what careful clients send: the cap is the message's size.
#[test]
fn four_mebibytes_come_in_fragments_of_64_bytes() {
    const WHOLE: usize = 4 << 20;
    let rules = Rules { frame_bytes_max: 64, message_bytes_max: WHOLE };
    let fragments = WHOLE / 64;
    let sent = [begin(&[b'a'; 64]), go_on(&[b'a'; 64]).repeat(fragments - 2), finish(&[b'a'; 64])].concat();
    let seen = play::play(&sent, &rules, None, &mut std::iter::repeat(50));
    assert!(seen == [saw("a".repeat(WHOLE))]);
}
