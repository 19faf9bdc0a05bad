//! What tungstenite's own server, `WebSocketContext`, says of the same bytes.

use super::Seen;
use ringway_dataplane::proto::websocket::{Rules, Violation};
use std::io::{Read, Result, Write};
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

/// The judgement: what was seen, and how it ended.
#[derive(Debug)]
pub struct Verdict {
    pub seen: Vec<Seen>,
    pub end: End,
}

#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The bytes ended; a frame or a message may be incomplete.
    Open,
    /// A close frame came.
    Closed,
    /// A violation.
    Refused,
}

/// How it tells a bad status code: as a close of its own making.
const BAD_CODE: &str = "Protocol violation";

/// What tungstenite's client sees of frames of ours.
pub fn client_sees(bytes: &[u8]) -> Vec<Seen> {
    read(bytes, Role::Client, WebSocketConfig::default()).seen
}

pub fn judge(bytes: &[u8], rules: &Rules) -> Verdict {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_frame_size(Some(rules.frame_bytes_max))
        .max_message_size(Some(rules.message_bytes_max));
    read(bytes, Role::Server, config)
}

fn read(bytes: &[u8], role: Role, config: WebSocketConfig) -> Verdict {
    let mut context = WebSocketContext::new(role, Some(config));
    let mut stream = Sent(bytes);
    let mut seen = Vec::new();
    loop {
        let message = match context.read(&mut stream) {
            Ok(message) => message,
            // Its word for the end of the bytes.
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return Verdict { seen, end: End::Open };
            }
            Err(Error::Io(error)) => panic!("there is no IO here: {error}"),
            Err(_) => return Verdict { seen, end: End::Refused },
        };
        match message {
            Message::Text(text) => seen.push(Seen::Text(text.as_str().into())),
            Message::Binary(bytes) => seen.push(Seen::Binary(bytes.into())),
            Message::Ping(bytes) => seen.push(Seen::Ping(bytes.into())),
            Message::Pong(bytes) => seen.push(Seen::Pong(bytes.into())),
            Message::Close(Some(frame))
                if frame.code == CloseCode::Protocol && frame.reason.as_str() == BAD_CODE =>
            {
                return Verdict { seen, end: End::Refused };
            }
            Message::Close(frame) => {
                let (code, reason) = frame.map_or((None, String::new()), |frame| {
                    (Some(u16::from(frame.code)), frame.reason.as_str().into())
                });
                seen.push(Seen::Close(code, reason));
                return Verdict { seen, end: End::Closed };
            }
            Message::Frame(_) => unreachable!("it is never read"),
        }
    }
}

/// Asserts that we saw what tungstenite saw, or know why not.
pub fn assert_agreement(bytes: &[u8], rules: &Rules, ours: &[Seen]) {
    let theirs = judge(bytes, rules);
    let (events, violation) = match ours.split_last() {
        Some((Seen::Refused(violation), events)) => (events, Some(*violation)),
        _ => (ours, None),
    };
    let known = match (violation, ours.last()) {
        // It lets lengths pass that are not minimal, those of control frames among them, and goes on.
        (Some(Violation::BadLength | Violation::ControlTooLong), _) => theirs.seen.starts_with(events),
        // It has no opinion of a frame before its end has come, nor of a text before its message has ended.
        (Some(_), _) if theirs.end == End::Open => theirs.seen == events,
        // It takes 1014 for a bad code, which IANA has registered; and a client may say what it says of a bad code.
        (None, Some(Seen::Close(code, reason))) if *code == Some(1014) || reason == BAD_CODE => {
            theirs.end == End::Refused && theirs.seen == ours[..ours.len() - 1]
        }
        _ => false,
    };
    if known {
        return;
    }
    let end = match (violation, ours.last()) {
        (Some(_), _) => End::Refused,
        (None, Some(Seen::Close(..))) => End::Closed,
        (None, _) => End::Open,
    };
    assert!(theirs.seen == events && theirs.end == end, "ours {ours:?}, theirs {theirs:?}");
}

/// A client that has sent all it will, and reads nothing.
struct Sent<'a>(&'a [u8]);

impl Read for Sent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Sent<'_> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
