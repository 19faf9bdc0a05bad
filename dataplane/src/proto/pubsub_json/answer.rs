//! Answers and pushes, written straight into what is to be sent. Each is one JSON object.

use serde_json::value::RawValue;

/// The answer to the bare text `ping`.
pub const BARE_PONG: &str = "pong";

/// What went wrong with a request. The numbers are those of Centrifugo's client protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ErrorCode {
    /// A fault of ours.
    Internal = 100,
    /// No such topic.
    UnknownChannel = 102,
    PermissionDenied = 103,
    /// No such `type`.
    MethodNotFound = 104,
    AlreadySubscribed = 105,
    /// `websocket.max_subscriptions_per_client`, or the server's topics.
    LimitExceeded = 106,
    /// Not a request, or one with a wrong part.
    BadRequest = 107,
    /// The topic's namespace does not keep what is asked for.
    NotAvailable = 108,
    /// More than can be done now: trying again in a while is right.
    TooManyRequests = 111,
}

impl ErrorCode {
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// What it says where nothing more is known.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            ErrorCode::Internal => "internal server error",
            ErrorCode::UnknownChannel => "unknown topic",
            ErrorCode::PermissionDenied => "permission denied",
            ErrorCode::MethodNotFound => "unknown type",
            ErrorCode::AlreadySubscribed => "already subscribed",
            ErrorCode::LimitExceeded => "limit exceeded",
            ErrorCode::BadRequest => "bad request",
            ErrorCode::NotAvailable => "not available",
            ErrorCode::TooManyRequests => "too many requests",
        }
    }
}

/// `{"type":"subscribed","topic":…}`
pub fn subscribed(topic: &str, id: Option<&RawValue>, out: &mut Vec<u8>) {
    about(b"{\"type\":\"subscribed\",\"topic\":", topic, id, out);
}

/// `{"type":"unsubscribed","topic":…}`
pub fn unsubscribed(topic: &str, id: Option<&RawValue>, out: &mut Vec<u8>) {
    about(b"{\"type\":\"unsubscribed\",\"topic\":", topic, id, out);
}

/// `{"type":"published","topic":…}`
pub fn published(topic: &str, id: Option<&RawValue>, out: &mut Vec<u8>) {
    about(b"{\"type\":\"published\",\"topic\":", topic, id, out);
}

/// `{"type":"pong"}`
pub fn pong(id: Option<&RawValue>, out: &mut Vec<u8>) {
    out.extend(b"{\"type\":\"pong\"");
    end(id, out);
}

/// `{"type":"error","code":…,"message":…}`
pub fn error(code: ErrorCode, message: &str, id: Option<&RawValue>, out: &mut Vec<u8>) {
    out.extend(b"{\"type\":\"error\",\"code\":");
    out.extend(code.number().to_string().as_bytes());
    out.extend(b",\"message\":");
    string(message, out);
    end(id, out);
}

/// `{"type":"message","topic":…,"data":…}`, and `"offset"` where the topic's history gives it one. `data` is JSON.
pub fn message(topic: &str, data: &str, offset: Option<u64>, out: &mut Vec<u8>) {
    out.extend(b"{\"type\":\"message\",\"topic\":");
    string(topic, out);
    out.extend(b",\"data\":");
    out.extend(data.as_bytes());
    if let Some(offset) = offset {
        out.extend(b",\"offset\":");
        out.extend(offset.to_string().as_bytes());
    }
    out.extend(b"}");
}

fn about(start: &[u8], topic: &str, id: Option<&RawValue>, out: &mut Vec<u8>) {
    out.extend(start);
    string(topic, out);
    end(id, out);
}

fn end(id: Option<&RawValue>, out: &mut Vec<u8>) {
    if let Some(id) = id {
        out.extend(b",\"id\":");
        out.extend(id.get().as_bytes());
    }
    out.extend(b"}");
}

fn string(text: &str, out: &mut Vec<u8>) {
    // A Vec takes all that is written to it, and a str can always be written.
    let _ = serde_json::to_writer(out, text);
}
