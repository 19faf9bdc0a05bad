//! Groups 1 to 5 and 7 of the Autobahn test suite.

use crate::play::{BINARY, CLOSE, FIN, PING, PONG, Seen, TEXT, frame};
use crate::rows::{begin, binary, close, conform, finish, go_on, ping, pong, refused, row, saw, text};
use ringway_dataplane::proto::websocket::Violation;

#[test]
fn group_1_messages_of_all_lengths() {
    conform([0, 1, 125, 126, 127, 128, 65_535, 65_536].into_iter().flat_map(|length| {
        let payload = "*".repeat(length);
        [
            row(&format!("1.1 a text of {length}"), &[&text(&payload)], &[saw(&*payload)]),
            row(
                &format!("1.2 a binary message of {length}"),
                &[&binary(payload.as_bytes())],
                &[Seen::Binary(payload.clone().into())],
            ),
        ]
    }));
}

#[test]
fn group_2_pings_and_pongs() {
    let longest = [0xfe; 125];
    let ten: Vec<u8> = (0..10).flat_map(|number| ping(&[number])).collect();
    conform([
        row("2.1 an empty ping", &[&ping(b"")], &[Seen::Ping(vec![])]),
        row("2.2 a ping with a text", &[&ping(b"Hello, world!")], &[Seen::Ping(b"Hello, world!".into())]),
        row("2.3 a ping with binary", &[&ping(b"\0\xff\xfe\xfd")], &[Seen::Ping(b"\0\xff\xfe\xfd".into())]),
        row("2.4 a ping of 125", &[&ping(&longest)], &[Seen::Ping(longest.into())]),
        refused("2.5 a ping of 126", &[&ping(&[0xfe; 126])], Violation::ControlTooLong),
        row("2.7 an unsolicited empty pong", &[&pong(b"")], &[Seen::Pong(vec![])]),
        row("2.8 an unsolicited pong", &[&pong(b"unsolicited")], &[Seen::Pong(b"unsolicited".into())]),
        row(
            "2.9 an unsolicited pong before a ping",
            &[&pong(b"unsolicited"), &ping(b"ping")],
            &[Seen::Pong(b"unsolicited".into()), Seen::Ping(b"ping".into())],
        ),
        row("2.10 ten pings", &[&ten], &(0..10).map(|number| Seen::Ping(vec![number])).collect::<Vec<_>>()),
    ]);
}

#[test]
fn group_3_reserved_bits() {
    for bits in 1..8u8 {
        let bits = bits << 4;
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let sent = frame(FIN | bits | opcode, b"");
            conform([refused(
                &format!("3 the bits {bits:x} on opcode {opcode}"),
                &[&sent],
                Violation::ReservedBits,
            )]);
        }
        let sent = [begin(b"a"), frame(FIN | bits, b"b")].concat();
        conform([refused(
            &format!("3 the bits {bits:x} on a continuation"),
            &[&sent],
            Violation::ReservedBits,
        )]);
    }
}

#[test]
fn group_4_reserved_opcodes() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in [&b""[..], b"a payload"] {
            let says = format!("4 opcode {opcode} with {} bytes", payload.len());
            conform([refused(&says, &[&frame(FIN | opcode, payload)], Violation::ReservedOpcode)]);
        }
    }
}

#[test]
fn group_5_fragments() {
    let a_and_b = [saw("fragment1fragment2")];
    let (first, second) = (begin(b"fragment1"), finish(b"fragment2"));
    let pinged = |payload: &[u8]| Seen::Ping(payload.into());
    conform([
        refused(
            "5.1 a ping in two fragments",
            &[&frame(PING, b"a"), &finish(b"b")],
            Violation::FragmentedControl,
        ),
        refused(
            "5.2 a pong in two fragments",
            &[&frame(PONG, b"a"), &finish(b"b")],
            Violation::FragmentedControl,
        ),
        refused(
            "5.2 a close in two fragments",
            &[&frame(CLOSE, b""), &finish(b"")],
            Violation::FragmentedControl,
        ),
        row("5.3 a text in two fragments", &[&first, &second], &a_and_b),
        row("5.6 a ping within", &[&first, &ping(b"!"), &second], &[pinged(b"!"), saw("fragment1fragment2")]),
        row(
            "5.6 a pong of 125 within",
            &[&first, &pong(&[7; 125]), &second],
            &[Seen::Pong(vec![7; 125]), saw("fragment1fragment2")],
        ),
    ]);
}

#[test]
fn group_5_fragments_out_of_place_and_among_others() {
    let (first, second) = (begin(b"fragment1"), finish(b"fragment2"));
    let pinged = |payload: &[u8]| Seen::Ping(payload.into());
    conform([
        refused(
            "5.9 a continuation of nothing",
            &[&finish(b"nothing"), &text("x")],
            Violation::NothingToContinue,
        ),
        refused("5.12 the same, not final", &[&go_on(b"nothing"), &text("x")], Violation::NothingToContinue),
        row(
            "5.15 a continuation behind a message in two fragments",
            &[&first, &second, &go_on(b"x"), &text("x")],
            &[saw("fragment1fragment2"), Seen::Refused(Violation::NothingToContinue)],
        ),
        refused("5.18 a text within a text", &[&first, &text("fragment2")], Violation::MessageUnfinished),
        refused(
            "5.18 a binary message within a text",
            &[&first, &binary(b"x")],
            Violation::MessageUnfinished,
        ),
        refused(
            "5.18 a fragment of another within a text",
            &[&first, &begin(b"x")],
            Violation::MessageUnfinished,
        ),
        row(
            "5.19 five fragments and two pings",
            &[
                &begin(b"1"),
                &go_on(b"2"),
                &ping(b"a"),
                &go_on(b"3"),
                &go_on(b"4"),
                &ping(b"b"),
                &finish(b"5"),
            ],
            &[pinged(b"a"), pinged(b"b"), saw("12345")],
        ),
        row(
            "5.20 a close within a text: nothing is read behind it",
            &[&first, &close(b"\x03\xe8"), &second, &text("x")],
            &[Seen::Close(Some(1000), String::new())],
        ),
        row(
            "a binary message in fragments, some of them empty, and a text behind",
            &[&frame(BINARY, b""), &go_on(b"\xff"), &go_on(b""), &finish(b"\xfe"), &text("x")],
            &[Seen::Binary(vec![0xff, 0xfe]), saw("x")],
        ),
        row("a message of empty fragments", &[&begin(b""), &go_on(b""), &finish(b"")], &[saw("")]),
    ]);
}

#[test]
fn group_7_closing() {
    let normal = Seen::Close(Some(1000), String::new());
    let reason = "*".repeat(123);
    conform([
        row("7.1.1 a text, then a close", &[&text("x"), &close(b"\x03\xe8")], &[saw("x"), normal.clone()]),
        row("7.1.2 two closes", &[&close(b"\x03\xe8"), &close(b"\x03\xe8")], std::slice::from_ref(&normal)),
        row("7.1.3 a ping behind a close", &[&close(b"\x03\xe8"), &ping(b"")], std::slice::from_ref(&normal)),
        row("7.1.4 a text behind a close", &[&close(b"\x03\xe8"), &text("x")], std::slice::from_ref(&normal)),
        row("7.1.5 a close within a message", &[&begin(b"a"), &close(b"\x03\xe8"), &finish(b"b")], &[normal]),
        row("7.3.1 a close without payload", &[&close(b"")], &[Seen::Close(None, String::new())]),
        refused("7.3.2 a close with one byte", &[&close(b"a")], Violation::ClosePayload),
        row(
            "7.3.4 a close with a reason",
            &[&close(b"\x03\xe8bye")],
            &[Seen::Close(Some(1000), "bye".into())],
        ),
        row(
            "7.3.5 a close with the longest reason",
            &[&close(&[b"\x03\xe8", reason.as_bytes()].concat())],
            &[Seen::Close(Some(1000), reason.clone())],
        ),
        refused(
            "7.3.6 a close with a longer one",
            &[&close(&[b"\x03\xe8", reason.as_bytes(), b"*"].concat())],
            Violation::ControlTooLong,
        ),
        refused(
            "7.5.1 a reason that is not UTF-8",
            &[&close(b"\x03\xe8\xed\xa0\x80")],
            Violation::InvalidReason,
        ),
        refused(
            "a code that must not be sent comes before its reason",
            &[&close(b"\x03\xed\xff")],
            Violation::CloseCode,
        ),
    ]);
    let with = |code: u16| close(&code.to_be_bytes());
    let valid =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    conform(valid.map(|code| {
        row(&format!("7.7 code {code}"), &[&with(code)], &[Seen::Close(Some(code), String::new())])
    }));
    let invalid = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    conform(invalid.map(|code| refused(&format!("7.9 code {code}"), &[&with(code)], Violation::CloseCode)));
}
