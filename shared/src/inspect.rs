//! What may be asked about the connections there are, and what the workers answer.
//!
//! A worker looks through its tables in slices ([`SCANNED_MAX`] entries), so that no question holds it for long: an answer that is not the last one says
//! where to go on ([`Place`]), and the control plane asks again. Places are positions in tables: a connection keeps its own while it stands, so
//! whoever follows them meets each standing connection exactly once, however many come and go meanwhile.

mod filter;
mod sketch;

pub use filter::{FIELDS, Field, Filter, Seen};
pub use sketch::Sketch;

use crate::connection::{ConnectionId, Service};
use crate::session::{Command, Protocol, Target};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Entries of its tables that a worker looks at for one question.
pub const SCANNED_MAX: usize = 2_048;
/// Rows of one answer: each costs more than a look.
pub const ROWS_MAX: usize = 512;
/// Connections ended for one question.
pub const KILLS_MAX: u64 = 256;
/// Topics that one connection's details name.
pub const TOPICS_SHOWN_MAX: usize = 100;
/// Bytes of the reason of a kill: a close frame holds no more beside its code (RFC 6455 section 5.5).
pub const REASON_BYTES_MAX: usize = 123;

/// A question to one worker.
#[derive(Debug)]
pub enum Ask {
    List {
        filter: Arc<Filter>,
        from: Place,
        rows_max: usize,
    },
    /// Everything about the first connection that fits.
    Show {
        filter: Arc<Filter>,
        from: Place,
    },
    /// Ends those that the filter fits.
    Kill {
        filter: Arc<Filter>,
        from: Place,
        /// Not more than so many.
        most: u64,
        /// They are counted and stay.
        dry_run: bool,
        order: KillOrder,
    },
    /// Adds up what there is by user, target or topic.
    Top {
        by: By,
        of: Of,
        /// A connection's place, or, within the service of topics, a topic's.
        from: Place,
        /// What has been added up so far: it goes from worker to worker.
        sketch: Box<Sketch>,
    },
}

/// How and until when to kill.
#[derive(Clone, Debug)]
pub struct KillOrder {
    /// What the access log says, and a WebSocket client is told.
    pub reason: Arc<str>,
    /// A worker that comes to it later leaves it: nobody waits for it any more, and it has been said that it was not done.
    pub until: Instant,
}

/// Where a worker is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub service: Service,
    pub index: u32,
}

impl Place {
    /// The first of all.
    pub const START: Place = Place { service: Service::Socks5, index: 0 };
}

/// What is added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    User,
    /// The host and port asked for.
    Target,
    Topic,
}

/// What is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of the connections there are, both ways together.
    Bytes,
    Connections,
    /// Of topics.
    Subscribers,
    /// Of topics, since they are known.
    Publications,
}

/// What a worker answers.
#[derive(Debug)]
pub enum Answer {
    /// `next`: `None` at the end of its tables.
    Rows {
        rows: Vec<Row>,
        next: Option<Place>,
    },
    /// Both `None`: there is no such connection, not any more.
    Details {
        details: Option<Box<Details>>,
        next: Option<Place>,
    },
    /// `killed` is 0 in a dry run, and less than `matched` where some were on their way out already.
    Killed {
        matched: u64,
        killed: u64,
        next: Option<Place>,
    },
    Tops {
        sketch: Box<Sketch>,
        next: Option<Place>,
    },
    /// It came to the question too late, and has done nothing.
    TooLate,
}

/// Where an answer goes; called once, on the worker's thread: it must not block.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: ConnectionId,
    /// The client, as the PROXY protocol header says where one was sent.
    pub client: SocketAddr,
    pub user: Option<Arc<str>>,
    pub tls: bool,
    /// One of [`PHASES`].
    pub phase: &'static str,
    pub age: Duration,
    /// Since something last went either way.
    pub idle: Duration,
    /// As in the records of ended connections: from client to target; of WebSocket, to the client.
    pub sent_bytes: u64,
    /// From target to client; of WebSocket, from the client.
    pub received_bytes: u64,
    pub of: OfService,
}

/// What only connections of one service have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfService {
    Socks5 {
        protocol: Option<Protocol>,
        command: Option<Command>,
        target: Option<Target>,
        /// The address dialled.
        address: Option<SocketAddr>,
        /// The upstream proxy it goes through.
        upstream: Option<Arc<str>>,
    },
    WebSocket {
        path: Option<Box<str>>,
        client_id: Option<Box<str>>,
        compressed: bool,
        subscriptions: u32,
        queued_messages: u32,
        queued_bytes: u32,
        sent_messages: u64,
        received_messages: u64,
    },
}

/// A connection, and what is looked up for one alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    pub row: Row,
    /// [`TOPICS_SHOWN_MAX`] of those it is subscribed to.
    pub topics: Vec<Arc<str>>,
}

/// What a connection may be doing, of both services.
pub const PHASES: &[&str] = &[
    "proxy_header",
    "tls_handshake",
    "greeting",
    "authentication",
    "verdict",
    "request",
    "name_lookup",
    "connect",
    "await_peer",
    "relay",
    "half_closed",
    "associated",
    "farewell",
    "upgrade",
    "open",
    "closing",
];
