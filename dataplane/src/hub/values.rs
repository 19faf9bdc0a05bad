//! The plain values that go into a hub and come out of it.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// The caller's number for something it waits for; the hub only gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// One message to a topic, shared by all workers and connections that get it.
#[derive(Debug)]
pub struct Publication {
    pub topic: Arc<str>,
    /// The JSON text as it came.
    pub data: Box<str>,
    /// The place in the topic's order, from 1. 0: the home keeps nothing of this topic (only patterns match it), so
    /// there is no place to recover from.
    pub position: Position,
    /// When it arrived, in nanoseconds of the caller's clock: what push latency counts from.
    pub at_ns: u64,
    /// Who published it; nobody if it came from the server's side.
    pub from: Option<Arc<Client>>,
    /// It is not kept as history.
    pub skip_history: bool,
}

/// A place in a topic's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub epoch: Epoch,
    pub offset: u64,
}

/// Names one life of a topic: when it was forgotten meanwhile, offsets begin anew under another epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch(pub u32);

/// Who is behind a connection, as far as others may know.
#[derive(Debug, PartialEq, Eq)]
pub struct Client {
    /// Unique among all connections of all workers.
    pub id: Box<str>,
    /// Empty for someone anonymous.
    pub user: Box<str>,
    /// A JSON text about it.
    pub info: Option<Box<str>>,
}

/// How a connection wants its publications. Each format is encoded at most once for each publication and worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Format {
    pub protocol: Protocol,
    /// permessage-deflate was negotiated, with this window (9..=15 bits) for what the server sends.
    pub deflate: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    #[default]
    Json,
}

/// What the caller makes of a publication: the bytes of a whole WebSocket frame.
pub type Encode<'a> = dyn FnMut(&Publication, Format) -> Rc<[u8]> + 'a;

/// A message to be published.
#[derive(Debug)]
pub struct Publish<'a> {
    pub topic: &'a str,
    /// A JSON text; how long it may be is the caller's to judge.
    pub data: Box<str>,
    pub by: Publisher,
    pub from: Option<Arc<Client>>,
    pub at_ns: u64,
    /// A second publication with this key within [`super::IDEMPOTENCY_TTL_MS`] is answered as the first was, and
    /// not published. At most [`super::IDEMPOTENCY_KEY_BYTES_MAX`].
    pub key: Option<Box<str>>,
    /// The topic's history stays as it is.
    pub skip_history: bool,
}

/// On whose behalf a message is published: the namespace says who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publisher {
    Server,
    Connection(u32),
}

/// What may be asked of all hubs together, at any one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    Presence {
        topic: Arc<str>,
    },
    PresenceStats {
        topic: Arc<str>,
    },
    History(HistoryQuestion),
    /// Forgets what is kept; the epoch and offsets go on.
    HistoryRemove {
        topic: Arc<str>,
    },
    /// Topics with subscribers by name, all or those that begin with what stands before the `*` of a pattern (or a
    /// single one), at most [`super::CHANNELS_MAX`] from each worker.
    Channels {
        pattern: Option<Box<str>>,
    },
    Info,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuestion {
    pub topic: Arc<str>,
    /// Those after it (before it when reversed). Of another epoch, or beyond what there is: [`Refusal::OtherEpoch`]. The blank
    /// epoch fits any.
    pub since: Option<Position>,
    /// 0 asks for the position alone.
    pub limit: usize,
    /// The newest first.
    pub reverse: bool,
}

/// An answer. What is asked of a topic that nobody knows is answered with nothing, not refused.
#[derive(Clone, Debug)]
pub enum Reply {
    Published(Position),
    Presence(Vec<Arc<Client>>),
    PresenceStats {
        clients: usize,
        users: usize,
    },
    History {
        publications: Vec<Arc<Publication>>,
        position: Position,
    },
    HistoryRemoved,
    /// Sorted by name.
    Channels(Vec<(Arc<str>, u64)>),
    /// Sorted by worker.
    Info(Vec<NodeInfo>),
    Refused(Refusal),
}

/// How much one hub holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    pub worker: usize,
    pub connections: usize,
    pub subscriptions: usize,
    /// Topics and patterns with subscribers on this worker.
    pub names: usize,
    /// Topics whose home this worker is.
    pub topics: usize,
    /// Clients present in those topics.
    pub present: usize,
    pub history_publications: usize,
    pub history_bytes: usize,
    pub queued_publications: u64,
    pub queued_bytes: u64,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    BadName,
    /// The connection has left, or never joined.
    NotConnected,
    AlreadySubscribed,
    /// The namespace does not let this one publish.
    MayNotPublish,
    /// A queue between workers is full. Trying again in a while is right.
    Overloaded,
    /// The home has no room for another topic or pattern.
    TooManyTopics,
    /// The namespace keeps no history, or no presence.
    NotKept,
    OtherEpoch,
    KeyTooLong,
}

impl Refusal {
    /// For whoever asked.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Refusal::BadName => {
                "a topic has 1 to 255 bytes without spaces and control characters; `*` stands at the end, alone or after a `.`, and only to subscribe"
            }
            Refusal::NotConnected => "the connection has ended",
            Refusal::AlreadySubscribed => "already subscribed",
            Refusal::MayNotPublish => "publishing to this topic is not permitted",
            Refusal::Overloaded => "overloaded: try again later",
            Refusal::TooManyTopics => "too many topics",
            Refusal::NotKept => "not available for this topic: its namespace does not keep it",
            Refusal::OtherEpoch => "the position is of another epoch: start anew",
            Refusal::KeyTooLong => "the idempotency key is longer than 128 bytes",
        }
    }
}

/// What a hub wants the world to know or do.
#[derive(Debug)]
pub enum Effect {
    /// From here on every publication accepted reaches the connection. `position` is where its topic stands (offset 0
    /// for patterns and for what nothing is kept of).
    Subscribed {
        conn: u32,
        name: Arc<str>,
        ticket: Ticket,
        position: Position,
    },
    /// It is not subscribed after all.
    SubscribeRefused {
        conn: u32,
        name: Arc<str>,
        ticket: Ticket,
        refusal: Refusal,
    },
    Answer {
        ticket: Ticket,
        reply: Reply,
    },
    /// The connection's queue was at its limit. Its publications are dropped already and it gets no more; close it.
    TooSlow {
        conn: u32,
    },
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::str::FromStr for Epoch {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Epoch, Self::Err> {
        u32::from_str_radix(text, 16).map(Epoch)
    }
}

impl Format {
    /// So many formats there may be at once.
    pub(super) const COUNT: usize = 8;

    /// Its number below [`Format::COUNT`].
    pub(super) fn index(self) -> u8 {
        let Protocol::Json = self.protocol;
        self.deflate.map_or(0, |bits| bits.clamp(9, 15) - 8)
    }

    /// The same without compression.
    pub(super) fn plain(self) -> Format {
        Format { deflate: None, ..self }
    }

    pub(super) fn of_index(index: u8) -> Format {
        Format { protocol: Protocol::Json, deflate: (index > 0).then_some(index + 8) }
    }
}
