//! The answers to an upgrade request: RFC 6455 sections 4.2.2 and 4.4.

use super::KEY_BYTES;
use crate::proto::http_connect::phrase;
use ringway_shared::gateway::Refused;
use ringway_shared::reason::Reason;
use std::fmt::Write;
use tungstenite::handshake::derive_accept_key;

/// Why a request is no upgrade that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of the answer: 400, 405, 426, 431 or 505.
    pub status: u16,
    /// What it is counted as.
    pub refused: Refused,
    /// What to change, for the person behind the client.
    pub hint: &'static str,
    /// RFC 9110 section 9.3.2: nobody who asked for a head is sent a body.
    pub without_body: bool,
}

impl Refusal {
    pub(super) const METHOD: Refusal =
        refusal(405, Refused::Method, "only GET can be upgraded to WebSocket; this port has nothing else");
    pub(super) const NOT_WEBSOCKET: Refusal = refusal(
        426,
        Refused::UpgradeRequired,
        "this port speaks WebSocket: open ws://…/ws with a WebSocket client, e.g. `wscat -c ws://HOST:PORT/ws`",
    );
    pub(super) const VERSION: Refusal =
        refusal(426, Refused::UpgradeRequired, "Sec-WebSocket-Version must be 13 (RFC 6455)");
    pub(super) const HOST: Refusal = Refusal::bad("Host must name the host that is asked");
    pub(super) const TLS: Refusal =
        Refusal::bad("this port speaks no TLS: use ws://, or the port that is set up for wss://");

    pub(super) const fn bad(hint: &'static str) -> Refusal {
        refusal(400, Refused::BadRequest, hint)
    }

    /// What the shared reader of heads says.
    pub(super) fn of(reason: Reason) -> Refusal {
        match reason {
            Reason::HeaderTooLarge => refusal(
                431,
                Refused::HeaderTooLarge,
                "a request may have 64 fields, and 8 KiB with its request line; cookies may be what is too large",
            ),
            Reason::BadVersion => refusal(505, Refused::BadRequest, "WebSocket here begins with HTTP/1.1"),
            _ => Refusal::bad("no well-formed HTTP/1.1 request with one Host field (RFC 9112)"),
        }
    }

    /// Appends the answer; the connection is to be closed behind it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let headers: &[(&str, &str)] = match self.status {
            // RFC 9110 sections 15.5.6 and 15.5.22; RFC 6455 section 4.4.
            405 => &[("Allow", "GET")],
            426 => &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")],
            _ => &[],
        };
        let start = out.len();
        refuse(self.status, headers, self.hint, out);
        if self.without_body {
            let end = out[start..].windows(4).position(|window| window == b"\r\n\r\n");
            out.truncate(end.map_or(out.len(), |end| start + end + 4));
        }
    }
}

const fn refusal(status: u16, refused: Refused, hint: &'static str) -> Refusal {
    Refusal { status, refused, hint, without_body: false }
}

/// Appends the answer that makes the connection a WebSocket one.
///
/// `subprotocol`: one of the request's, if any is spoken. `extensions`: what `deflate::negotiate` answers, if anything.
pub fn accept(key: &[u8; KEY_BYTES], subprotocol: Option<&str>, extensions: Option<&str>, out: &mut Vec<u8>) {
    out.extend(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    let accept = derive_accept_key(key);
    field("Sec-WebSocket-Accept", &accept, out);
    for (name, value) in [("Sec-WebSocket-Protocol", subprotocol), ("Sec-WebSocket-Extensions", extensions)] {
        if let Some(value) = value {
            field(name, value, out);
        }
    }
    out.extend(b"\r\n");
}

/// Appends an answer that ends the handshake, and the connection: `{"error":{"code":…,"message":…,"hint":…}}` as
/// the control port's, with what the status is called and with `hint` (any text). `headers` go out as they are:
/// they may hold no line end.
pub fn refuse(status: u16, headers: &[(&str, &str)], hint: &str, out: &mut Vec<u8>) {
    let phrase = phrase(status);
    let hint = serde_json::Value::from(hint);
    let body = format!("{{\"error\":{{\"code\":{status},\"message\":\"{phrase}\",\"hint\":{hint}}}}}\n");
    let mut head = format!("HTTP/1.1 {status} {phrase}\r\n");
    // Writing to a String cannot fail.
    let _ = write!(head, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    head.push_str("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n");
    out.extend(head.as_bytes());
    for (name, value) in headers {
        field(name, value, out);
    }
    out.extend(b"\r\n");
    out.extend(body.as_bytes());
}

fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend(part.as_bytes());
    }
}
