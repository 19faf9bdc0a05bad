//! What the publish API asks of the workers, and what they answer.
//!
//! Publish, presence and history go to the topic's home; channels, info and what is asked about a user go to every worker,
//! which answers for, and sees to, the connections it holds.

use crate::feed::Feed;
use std::sync::Arc;

/// A question or order to one worker.
#[derive(Clone, Debug)]
pub enum Ask {
    Publish {
        topic: Arc<str>,
        /// JSON, passed on byte for byte.
        data: Arc<str>,
        /// Whether the topic's history is left as it is.
        skip_history: bool,
        /// A publication with the same key in the last minutes is not published again: its answer is given once more.
        idempotency_key: Option<Box<str>>,
    },
    /// Publications of the live feed, by the control plane itself: nobody else publishes there. The home of its topics is asked; nothing of them is
    /// kept. Each is JSON, passed on byte for byte. What comes together leaves together. Answered as the last one alone would be.
    Feed(Vec<(Feed, Arc<str>)>),
    Presence {
        topic: Arc<str>,
    },
    PresenceStats {
        topic: Arc<str>,
    },
    History {
        topic: Arc<str>,
        /// Only what came after this place.
        since: Option<Place>,
        /// `None`: all that is kept; 0: only where the topic stands.
        limit: Option<u32>,
        /// Newest first.
        reverse: bool,
    },
    HistoryRemove {
        topic: Arc<str>,
    },
    /// Topics with subscribers.
    Channels {
        /// Only those that a pattern such as `news.*` matches.
        pattern: Option<Arc<str>>,
    },
    Info,
    Subscribe {
        who: Who,
        topic: Arc<str>,
    },
    Unsubscribe {
        who: Who,
        /// `None`: all.
        topic: Option<Arc<str>>,
    },
    Disconnect {
        who: Who,
        /// Clients that stay.
        spared: Vec<Box<str>>,
        code: u16,
        reason: Box<str>,
    },
}

/// Whose connections are meant.
#[derive(Clone, Debug)]
pub struct Who {
    pub user: Arc<str>,
    /// Only this one of the user's connections.
    pub client: Option<Box<str>>,
}

/// A place in a topic's stream of publications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub offset: u64,
    pub epoch: Arc<str>,
}

/// What a worker answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Published(Place),
    Presence(Vec<Present>),
    PresenceStats {
        clients: u32,
        users: u32,
    },
    History {
        publications: Vec<Kept>,
        place: Place,
    },
    HistoryRemoved,
    /// Topics and how many of this worker's connections are subscribed.
    Channels(Vec<(Arc<str>, u32)>),
    Info(Info),
    /// How many connections were found and seen to.
    Done {
        connections: u32,
    },
    Refused(Refusal),
}

/// One connection that is subscribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    pub client: Arc<str>,
    pub user: Arc<str>,
    /// JSON from the connection's token.
    pub info: Option<Arc<str>>,
}

/// A publication kept as history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub offset: u64,
    pub data: Arc<str>,
}

/// What one worker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    pub clients: u32,
    /// Topics it is home to.
    pub topics: u32,
    pub subscriptions: u32,
}

/// Why an order was not carried out. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A queue between workers is full: try again.
    Overloaded,
    /// `websocket.max_topics_per_worker`.
    TooManyTopics,
    /// The topic's namespace keeps no presence, or no history.
    NotAvailable,
    /// The connection has as many subscriptions as it may.
    SubscriptionLimit,
    /// No topic can be called so.
    BadTopic,
    /// The place asked about belongs to an epoch that is over.
    OtherEpoch,
    /// The topic is one of the feed's: nobody publishes there, and nobody subscribes others to it.
    Reserved,
}

/// Where an answer goes; called once, on the worker's thread: it must not block.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

/// How deep data may be nested: with the message around it a parser that stops at 128 still takes it.
pub const DATA_NESTING_MAX: usize = 120;

/// Whether a JSON text is nested deeper than `most`. The parser passes over what it does not take apart without counting, and without recursion.
#[must_use]
pub fn is_nested_deeper(json: &str, most: usize) -> bool {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest > most
}
