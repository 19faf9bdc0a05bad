//! Why a request of the publish API was not carried out, in Centrifugo's numbers.

use ringway_shared::push::Refusal;
use serde_json::{Value as Json, json};
use std::borrow::Cow;

/// `{"code":…,"message":…,"hint":…}`: the number is what programs go by, the texts are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: u16,
    pub message: Cow<'static, str>,
    pub hint: Cow<'static, str>,
}

/// A fault of ours.
pub const INTERNAL: u16 = 100;
pub const PERMISSION_DENIED: u16 = 103;
pub const METHOD_NOT_FOUND: u16 = 104;
pub const LIMIT_EXCEEDED: u16 = 106;
pub const BAD_REQUEST: u16 = 107;
pub const NOT_AVAILABLE: u16 = 108;
pub const TOO_MANY_REQUESTS: u16 = 111;
pub const UNRECOVERABLE_POSITION: u16 = 112;

impl Fault {
    pub fn new(
        code: u16,
        message: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Fault {
        Fault { code, message: message.into(), hint: hint.into() }
    }

    /// Something is wrong with what was sent.
    pub fn bad(message: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(BAD_REQUEST, message, "docs/push-api.md lists the fields")
    }

    /// What was asked for is more than is given at once.
    pub fn too_much(message: impl Into<Cow<'static, str>>, hint: &'static str) -> Fault {
        Fault::new(LIMIT_EXCEEDED, message, hint)
    }

    /// `{"error":{…}}`
    pub fn body(&self) -> Json {
        json!({"error": {"code": self.code, "message": self.message, "hint": self.hint}})
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        let (code, message, hint) = match refusal {
            Refusal::Overloaded => {
                (TOO_MANY_REQUESTS, "a queue between workers is full", "send it again a little later")
            }
            Refusal::TooManyTopics => (
                LIMIT_EXCEEDED,
                "the topic's home has as many topics as it may",
                "raise websocket.max_topics_per_worker, or use fewer topics",
            ),
            Refusal::NotAvailable => (
                NOT_AVAILABLE,
                "not available: the topic's namespace does not keep it",
                "give it `presence` or `history` in websocket.namespaces; websocket.listen must not be empty",
            ),
            Refusal::SubscriptionLimit => (
                LIMIT_EXCEEDED,
                "a connection has as many subscriptions as it may",
                "raise websocket.max_subscriptions_per_client",
            ),
            Refusal::BadTopic => (BAD_REQUEST, "no channel can be called so", super::fields::TOPIC_GRAMMAR),
            Refusal::Reserved => (
                PERMISSION_DENIED,
                "permission denied: the channel is one of the live feed's",
                "ringway alone publishes there; clients subscribe to it themselves (docs/websocket.md)",
            ),
            Refusal::OtherEpoch => (
                UNRECOVERABLE_POSITION,
                "unrecoverable position: since.epoch is not the channel's epoch",
                "ask without `since`, and go on from the epoch and offset in the answer",
            ),
        };
        Fault::new(code, message, hint)
    }
}
