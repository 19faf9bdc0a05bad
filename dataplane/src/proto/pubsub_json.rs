//! The plain JSON protocol of `/ws`: one request or answer in each text message. docs/websocket.md describes it.
//!
//! [`parse`] reads a request; [`subscribed`] and those beside it write what goes back. `data` is never taken apart: it
//! is passed on byte for byte, once it is known to be JSON that is not nested too deep.

mod answer;
mod envelope;

pub use answer::{BARE_PONG, ErrorCode, error, message, pong, published, subscribed, unsubscribed};

use envelope::Envelope;
pub use ringway_shared::push::DATA_NESTING_MAX;
use ringway_shared::push::is_nested_deeper;
use ringway_shared::topic::Topic;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Bytes of a request's `id` as it stands in the JSON.
pub const ID_BYTES_MAX: usize = 256;
/// What is answered [`BARE_PONG`], besides the request of type `ping`.
const BARE_PING: &str = "ping";

/// One request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// A string or a number, to come back with the answer as it stands.
    pub id: Option<&'a RawValue>,
    pub ask: Ask<'a>,
}

/// What is asked for. Topics are well-formed.
#[derive(Clone, Debug)]
pub enum Ask<'a> {
    /// To a topic or a pattern.
    Subscribe {
        topic: Cow<'a, str>,
    },
    /// From a topic or a pattern.
    Unsubscribe {
        topic: Cow<'a, str>,
    },
    /// To a topic, never a pattern.
    Publish {
        topic: Cow<'a, str>,
        data: &'a RawValue,
    },
    Ping,
    /// The text `ping`, which is not JSON; nor is its answer.
    BarePing,
}

/// Why a text is no request: what [`error`] is to say.
#[derive(Clone, Debug)]
pub struct Fault<'a> {
    /// Of the request, where it could be read.
    pub id: Option<&'a RawValue>,
    pub code: ErrorCode,
    pub message: Cow<'static, str>,
}

/// Reads one text message.
///
/// Keys that are not known are passed over, so that clients may say more than this server understands.
///
/// # Errors
/// [`Fault`], which the client is told; the connection can go on.
pub fn parse(text: &str) -> Result<Request<'_>, Fault<'_>> {
    if text.trim_ascii() == BARE_PING {
        return Ok(Request { id: None, ask: Ask::BarePing });
    }
    let envelope = envelope(text, "a request is one JSON object").map_err(|message| bad(None, message))?;
    let id = id(&envelope).map_err(|message| bad(None, message.into()))?;
    let ask = ask(&envelope).map_err(|(code, message)| Fault { id, code, message })?;
    Ok(Request { id, ask })
}

fn bad<'a>(id: Option<&'a RawValue>, message: Cow<'static, str>) -> Fault<'a> {
    Fault { id, code: ErrorCode::BadRequest, message }
}

type Wrong = (ErrorCode, Cow<'static, str>);

fn wrong(message: impl Into<Cow<'static, str>>) -> Wrong {
    (ErrorCode::BadRequest, message.into())
}

fn ask<'a>(envelope: &Envelope<'a>) -> Result<Ask<'a>, Wrong> {
    if let Some(key) = envelope.repeated {
        return Err(wrong(format!("`{key}` stands twice")));
    }
    let kind = envelope.kind.ok_or(wrong("`type` is missing"))?;
    let kind = string(kind).ok_or(wrong("`type` must be a string"))?;
    match &*kind {
        "subscribe" => Ok(Ask::Subscribe { topic: topic(&shape(envelope)?)? }),
        "unsubscribe" => Ok(Ask::Unsubscribe { topic: topic(&shape(envelope)?)? }),
        "publish" => publish(&shape(envelope)?),
        "ping" => Ok(Ask::Ping),
        _ => Err((
            ErrorCode::MethodNotFound,
            "unknown `type`: there are subscribe, unsubscribe, publish and ping".into(),
        )),
    }
}

/// `topic` stands in the request itself, or it and all that belongs to it in its `data`.
fn shape<'a>(outer: &Envelope<'a>) -> Result<Envelope<'a>, Wrong> {
    let Some(data) = outer.data.filter(|_| outer.topic.is_none()) else { return Ok(*outer) };
    let inner = envelope(data.get(), "`topic` is missing").map_err(wrong)?;
    match inner.repeated {
        Some(key) => Err(wrong(format!("`{key}` stands twice in `data`"))),
        None => Ok(inner),
    }
}

fn publish<'a>(request: &Envelope<'a>) -> Result<Ask<'a>, Wrong> {
    let name = topic(request)?;
    if Topic::parse(&name).is_ok_and(Topic::is_pattern) {
        return Err(wrong("publish to a topic: a pattern is for subscribing"));
    }
    let data = request.data.ok_or(wrong("`data` is missing"))?;
    if is_nested_deeper(data.get(), DATA_NESTING_MAX) {
        return Err(wrong(format!("`data` is nested deeper than {DATA_NESTING_MAX}")));
    }
    Ok(Ask::Publish { topic: name, data })
}

fn topic<'a>(request: &Envelope<'a>) -> Result<Cow<'a, str>, Wrong> {
    let raw = request.topic.ok_or(wrong("`topic` is missing"))?;
    let name = string(raw).ok_or(wrong("`topic` must be a string"))?;
    Topic::parse(&name).map_err(|fault| wrong(fault.text()))?;
    Ok(name)
}

fn id<'a>(envelope: &Envelope<'a>) -> Result<Option<&'a RawValue>, &'static str> {
    let Some(id) = envelope.id else { return Ok(None) };
    if !id.get().starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit()) {
        return Err("`id` must be a string or a number");
    }
    if id.get().len() > ID_BYTES_MAX { Err("`id` may have 256 bytes at most") } else { Ok(Some(id)) }
}

/// The parts of an object that matter, or what to say of a text that is no object: a client's own words, which could
/// be long, are not repeated to it.
fn envelope<'a>(text: &'a str, no_object: &'static str) -> Result<Envelope<'a>, Cow<'static, str>> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => no_object.into(),
        _ => format!("not JSON: {error}").into(),
    })
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text>(raw.get()).ok().map(|text| text.0)
}
