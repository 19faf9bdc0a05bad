//! The publish API: `POST /api/…`, as Centrifugo's server libraries speak it (docs/push-api.md).
//!
//! In reading order: `bodies` (how it is read), `fields` (what was sent), `methods` (what is asked of the workers for it,
//! and answered), `batch` (many in one), `asking` (the wait for the workers), `fault` (what may go wrong).

mod asking;
mod batch;
mod bodies;
mod fault;
mod fields;
mod methods;

pub(super) use asking::Asking;
pub(super) use fault::{BAD_REQUEST, Fault};
pub use methods::Method;

use super::answer::{Answer, JSON};
use super::route::{Route, Said, ServedBy, json, ok};
use super::routes;
use super::state::State;
use crate::guard::Scope;
use bodies::Bodies;
use fields::Fields;
use hyper::body::Incoming;
use serde_json::Value as Json;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a request's body: one publication of 1 MiB and the names of 10,000 channels find room.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// From a request's header to its body's end. It leaves the workers [`asking::SILENCE_MAX`] to answer.
const READING_MAX: Duration = Duration::from_secs(7);
/// From a request's header to its answer. It leaves the answer some of [`routes::REQUEST_MAX`].
const ASKING_MAX: Duration = Duration::from_secs(9);

const _: () = assert!(
    READING_MAX.as_millis() + asking::SILENCE_MAX.as_millis() <= ASKING_MAX.as_millis()
        && ASKING_MAX.as_millis() < routes::REQUEST_MAX.as_millis()
);

/// A form that requests come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{fields…}` -> `{"result":{…}}` or `{"error":{…}}`
    One(Method),
    /// `{"commands":[{"publish":{…}}, …]}` -> `{"replies":[{"publish":{…}}, {"error":{…}}, …]}`
    Batch,
    /// `{"method":"publish","params":{…}}`, one or several -> as [`Form::One`], each on a line of its own.
    Commands,
}

/// They all want a key, or else scope `operate`.
pub const ROUTES: &[Route] = &[
    form(
        "/api/publish",
        Form::One(Method::Publish),
        "Publishes to a channel.",
        "PublishRequest",
        &[ok(DONE, json("PublishReply"))],
    ),
    form(
        "/api/broadcast",
        Form::One(Method::Broadcast),
        "Publishes the same to many channels.",
        "BroadcastRequest",
        &[ok(DONE, json("BroadcastReply"))],
    ),
    form(
        "/api/subscribe",
        Form::One(Method::Subscribe),
        "Subscribes a user's connections to a channel.",
        "SubscribeRequest",
        &[ok(DONE, json("SubscribeReply"))],
    ),
    form(
        "/api/unsubscribe",
        Form::One(Method::Unsubscribe),
        "Takes them off it.",
        "UnsubscribeRequest",
        &[ok(DONE, json("UnsubscribeReply"))],
    ),
    form(
        "/api/disconnect",
        Form::One(Method::Disconnect),
        "Closes a user's connections.",
        "DisconnectRequest",
        &[ok(DONE, json("DisconnectReply"))],
    ),
    form(
        "/api/presence",
        Form::One(Method::Presence),
        "Who is subscribed to a channel.",
        "PresenceRequest",
        &[ok(DONE, json("PresenceReply"))],
    ),
    form(
        "/api/presence_stats",
        Form::One(Method::PresenceStats),
        "How many they are.",
        "PresenceStatsRequest",
        &[ok(DONE, json("PresenceStatsReply"))],
    ),
    form(
        "/api/history",
        Form::One(Method::History),
        "What was published to a channel, as far as it is kept.",
        "HistoryRequest",
        &[ok(DONE, json("HistoryReply"))],
    ),
    form(
        "/api/history_remove",
        Form::One(Method::HistoryRemove),
        "Forgets that.",
        "HistoryRemoveRequest",
        &[ok(DONE, json("HistoryRemoveReply"))],
    ),
    form(
        "/api/channels",
        Form::One(Method::Channels),
        "The channels with subscribers.",
        "ChannelsRequest",
        &[ok(DONE, json("ChannelsReply"))],
    ),
    form(
        "/api/info",
        Form::One(Method::Info),
        "This process and how much it holds.",
        "InfoRequest",
        &[ok(DONE, json("InfoReply"))],
    ),
    form(
        "/api/batch",
        Form::Batch,
        "Several of these in one request.",
        "BatchRequest",
        &[ok(DONE, json("BatchReply"))],
    ),
    form(
        "/api",
        Form::Commands,
        "The same in Centrifugo's older form.",
        "CommandRequest",
        &[ok(DONE, json("CommandReply"))],
    ),
];

const DONE: &str = "Done, or `error` says why not.";

const fn form(
    path: &'static str,
    form: Form,
    summary: &'static str,
    request: &'static str,
    answers: &'static [Said],
) -> Route {
    Route::post(path, Scope::Operate, ServedBy::Push(form), summary, answers).taking(json(request))
}

/// What the publish API keeps from request to request.
pub struct Desk {
    bodies: Bodies,
    /// Tells this process from another one, and from itself after a restart.
    uid: String,
    /// What people know it by.
    node: String,
}

impl Desk {
    #[must_use]
    pub fn new(node: String) -> Desk {
        // A hasher's seed is the standard library's source of random numbers.
        let uid = format!("{:016x}", RandomState::new().build_hasher().finish());
        Desk { bodies: Bodies::new(), uid, node }
    }
}

/// Answers one request.
pub async fn answer(state: &State, form: Form, body: Incoming) -> Answer {
    let began = Instant::now();
    let body = match state.push.bodies.read(body, began + READING_MAX).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let Ok(text) = std::str::from_utf8(&body.bytes) else {
        return not_json("the body is not UTF-8", "send JSON");
    };
    let mut asking = Asking::new(&state.staff, began + ASKING_MAX);
    match form {
        Form::One(method) => match Fields::of(text) {
            Ok(fields) => whole(reply(&method.run(state, &mut asking, &fields).await)),
            Err(fault) => not_json(&fault.message, "send a JSON object; docs/push-api.md lists the fields"),
        },
        Form::Batch => match Fields::of(text) {
            Ok(fields) => whole(
                batch::run(state, &mut asking, &fields).await.unwrap_or_else(|fault| reply(&Err(fault))),
            ),
            Err(fault) => not_json(&fault.message, "send {\"commands\":[{\"publish\":{…}}, …]}"),
        },
        Form::Commands => match batch::commands(text) {
            Ok(commands) => whole(batch::run_commands(state, &mut asking, &commands).await),
            Err(fault) => {
                not_json(&fault.message, "send {\"method\":\"publish\",\"params\":{…}}, one or several")
            }
        },
    }
}

/// `{"result":{…}}` or `{"error":{…}}`
fn reply(outcome: &Result<String, Fault>) -> String {
    match outcome {
        Ok(result) => format!(r#"{{"result":{result}}}"#),
        Err(fault) => fault.body().to_string(),
    }
}

/// Faults too are answered 200, as Centrifugo does: its libraries read them from the body.
fn whole(text: String) -> Answer {
    Answer::text(200, JSON, text)
}

fn not_json(message: &str, hint: &str) -> Answer {
    let fault = Fault::new(fault::BAD_REQUEST, message.to_owned(), hint.to_owned());
    let body: Json = fault.body();
    Answer::json(400, &body)
}
