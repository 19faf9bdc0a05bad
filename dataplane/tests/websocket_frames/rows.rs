//! Rows of a table: what a client sends, and what must be seen of it.

use crate::play::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RULES, Seen, TEXT, frame, oracle, play};
use ringway_dataplane::proto::deflate::Negotiated;
use ringway_dataplane::proto::websocket::{Rules, Violation};

/// What is sent, under which name, and what must be seen.
pub type Row = (String, Vec<u8>, Vec<Seen>);

pub fn conform(rows: impl IntoIterator<Item = Row>) {
    for (says, sent, expected) in rows {
        hold(&says, &sent, &RULES, None, &expected);
        oracle::assert_agreement(&sent, &RULES, &expected);
    }
}

pub fn hold(says: &str, sent: &[u8], rules: &Rules, deflate: Option<Negotiated>, expected: &[Seen]) {
    assert_eq!(play(sent, rules, deflate, &mut std::iter::empty()), expected, "{says}: at once");
    for size in [1, 2, 3, 7] {
        let seen = play(sent, rules, deflate, &mut std::iter::repeat(size));
        assert_eq!(seen, expected, "{says}: in pieces of {size}");
    }
}

pub fn row(says: &str, sent: &[&[u8]], expected: &[Seen]) -> Row {
    (says.into(), sent.concat(), expected.to_vec())
}

/// Sent between two texts: what is behind it must not be seen.
pub fn refused(says: &str, sent: &[&[u8]], violation: Violation) -> Row {
    let sent = [text("before"), sent.concat(), text("behind")].concat();
    (says.into(), sent, vec![Seen::Text("before".into()), Seen::Refused(violation)])
}

pub fn text(text: &str) -> Vec<u8> {
    frame(FIN | TEXT, text.as_bytes())
}

pub fn text_of(bytes: &[u8]) -> Vec<u8> {
    frame(FIN | TEXT, bytes)
}

pub fn binary(bytes: &[u8]) -> Vec<u8> {
    frame(FIN | BINARY, bytes)
}

pub fn ping(payload: &[u8]) -> Vec<u8> {
    frame(FIN | PING, payload)
}

pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(FIN | PONG, payload)
}

pub fn close(payload: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, payload)
}

/// The first fragment of a text.
pub fn begin(text: &[u8]) -> Vec<u8> {
    frame(TEXT, text)
}

/// A fragment between.
pub fn go_on(payload: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, payload)
}

/// The last fragment.
pub fn finish(payload: &[u8]) -> Vec<u8> {
    frame(FIN | CONTINUATION, payload)
}

pub fn saw(text: impl Into<String>) -> Seen {
    Seen::Text(text.into())
}
