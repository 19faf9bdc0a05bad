//! Group 6 of the Autobahn test suite: texts, valid and not.

use crate::play::{self, RULES, Seen};
use crate::rows::{begin, binary, conform, finish, go_on, refused, row, saw, text, text_of};
use ringway_dataplane::proto::deflate::Inflater;
use ringway_dataplane::proto::websocket::{Incoming, Violation};

const KOSME: &str = "Hello-µ@ßöäüàá-UTF-8!!";

#[test]
fn group_6_1_to_6_3_texts_in_fragments() {
    let bytes = KOSME.as_bytes();
    let single: Vec<u8> = bytes.iter().flat_map(|byte| go_on(&[*byte])).collect();
    conform([
        row("6.1 an empty text", &[&text("")], &[saw("")]),
        row(
            "6.1 a text between empty fragments",
            &[&begin(b""), &go_on(b"middle"), &finish(b"")],
            &[saw("middle")],
        ),
        row("6.2 a text of many languages", &[&text(KOSME)], &[saw(KOSME)]),
        row("6.2 cut within a character", &[&begin(&bytes[..7]), &finish(&bytes[7..])], &[saw(KOSME)]),
        row("6.2 in fragments of one byte", &[&begin(b""), &single, &finish(b"")], &[saw(KOSME)]),
        refused("6.3 an invalid text", &[&text_of(b"\xce\xba\xed\xa0\x80edited")], Violation::InvalidText),
    ]);
}

/// After how many bytes of `sent` it is refused.
fn refused_after(sent: &[u8]) -> Option<usize> {
    let mut incoming = Incoming::new(None);
    let mut inflater = Inflater::new(false);
    let mut bytes = sent.to_vec();
    let refused = bytes.chunks_mut(1).position(|byte| {
        let seen = play::read(&mut incoming, byte, &RULES, &mut inflater);
        seen == [Seen::Refused(Violation::InvalidText)]
    });
    refused.map(|index| index + 1)
}

/// Strict: not "non-strict", which would wait for the frame's or the message's end.
#[test]
fn group_6_4_invalid_text_is_refused_at_the_byte_that_makes_it_so() {
    const HEADER: usize = 6;
    let valid = "κόσμε".as_bytes();
    let too_high = b"\xf4\x90\x80\x80";
    // 6.4.1: the second fragment is it; 6.4.2: its second byte is it.
    let fragments = [begin(valid), go_on(too_high), finish(b"edited")].concat();
    assert_eq!(refused_after(&fragments), Some(HEADER + valid.len() + HEADER + 2));
    // 6.4.3 and 6.4.4: within one frame, long before its end.
    let whole = [valid, too_high, b"edited"].concat();
    assert_eq!(refused_after(&text_of(&whole)), Some(HEADER + valid.len() + 2));
    // The character is cut by fragments: its second byte makes it invalid.
    let cut = [begin(&[valid, b"\xf4"].concat()), go_on(b"\x90")].concat();
    assert_eq!(refused_after(&cut), Some(HEADER + valid.len() + 1 + HEADER + 1));
    // A start of a character is no error before the message has ended, and then is one.
    let ended = [begin(b"\xf0\x9f"), go_on(b"\x98"), finish(b"")].concat();
    assert_eq!(refused_after(&ended[..ended.len() - 1]), None);
    assert_eq!(refused_after(&ended), Some(ended.len()));
}

#[test]
fn groups_6_5_to_6_23_what_is_utf8_and_what_is_not() {
    let valid: &[&str] = &[
        "\0",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{fffe}",
        "\u{1fffe}",
        "\u{10fffe}",
        "\u{fdd0}",
        "𝄞",
    ];
    conform(valid.iter().map(|character| {
        row(&format!("6 {character:?} is a character"), &[&text(character)], &[saw(*character)])
    }));
    let invalid: &[(&str, &[u8])] = &[
        ("6.6 a character cut short", b"\xce\xba\xe1\xbd"),
        ("6.8 five bytes", b"\xf8\x88\x80\x80\x80"),
        ("6.8 six bytes", b"\xfc\x84\x80\x80\x80\x80"),
        ("6.10 above U+10FFFF", b"\xf4\x90\x80\x80"),
        ("6.11 the last of three bytes missing", b"\xe0\xa0"),
        ("6.12 a continuation byte alone", b"\x80"),
        ("6.12 the highest continuation byte alone", b"\xbf"),
        ("6.13 a start and a space", b"\xc0 \xdf \xef \xf7 "),
        ("6.14 starts without an end", b"\xe0\x80\xf0\x80\x80"),
        ("6.16 FE", b"\xfe"),
        ("6.16 FF", b"\xff"),
        ("6.17 an overlong slash in two bytes", b"\xc0\xaf"),
        ("6.17 an overlong slash in three bytes", b"\xe0\x80\xaf"),
        ("6.17 an overlong slash in four bytes", b"\xf0\x80\x80\xaf"),
        ("6.18 the highest overlong of two bytes", b"\xc1\xbf"),
        ("6.18 the highest overlong of three bytes", b"\xe0\x9f\xbf"),
        ("6.18 the highest overlong of four bytes", b"\xf0\x8f\xbf\xbf"),
        ("6.19 an overlong NUL", b"\xc0\x80"),
        ("6.20 the first surrogate", b"\xed\xa0\x80"),
        ("6.20 the last surrogate", b"\xed\xbf\xbf"),
        ("6.21 a pair of surrogates", b"\xed\xa0\x80\xed\xb0\x80"),
    ];
    conform(invalid.iter().flat_map(|(says, bytes)| {
        let (start, end) = bytes.split_at(bytes.len() / 2);
        [
            refused(says, &[&text_of(bytes)], Violation::InvalidText),
            refused(says, &[&begin(start), &finish(end)], Violation::InvalidText),
            row(&format!("{says}, but binary"), &[&binary(bytes)], &[Seen::Binary(bytes.to_vec())]),
        ]
    }));
}
