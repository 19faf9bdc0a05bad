//! One WebSocket connection: what is kept of it while it does nothing, which is most of the time.

use crate::core::Core;
use crate::io::gateway::opening::Opening;
use crate::io::tls::Tls;
use crate::policy::admission::MessageRate;
use crate::policy::clients;
use crate::policy::feed::{Readers, Way};
use crate::policy::online::Presence;
use crate::proto::deflate::Inflater;
use crate::proto::websocket::{CloseHandshake, Incoming};
use crate::rt::many::Interest;
use crate::service::Service;
use ringway_shared::closing::Closing;
use ringway_shared::connection::Connection;
use ringway_shared::feed::Grant;
use ringway_shared::gateway::Refused;
use ringway_shared::listener::ListenerCells;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its upgrade request is not whole yet.
    Opening,
    Open,
    /// Our close frame is queued or sent; the client's has not come.
    Closing,
    /// All has been said: what still comes is read and thrown away until the client has seen it.
    Lingering,
}

/// What a connection came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// `/ws`: the plain JSON protocol.
    Json,
    /// `/echo`.
    Echo,
}

/// One connection.
pub struct Slot {
    pub socket: OwnedFd,
    /// Tells this connection from an earlier one in the same place.
    pub generation: u32,
    pub stage: Stage,
    pub path: Path,
    /// The socket was full: it is told of when it has room.
    pub awaits_room: bool,
    /// Nothing is read from a client that does not read its answers: that is its back-pressure.
    pub paused: bool,
    /// What the set has been told.
    pub watched: Interest,
    pub handshake: CloseHandshake,
    /// The tick of the last byte from the client.
    pub heard_tick: u32,
    /// The tick of the last message in either direction.
    pub active_tick: u32,
    /// The tick of the ping that has not been answered by anything; 0: none.
    pub pinged_tick: u32,
    /// When this stage is over at the latest; 0: it has no end.
    pub due_tick: u32,
    pub rate: MessageRate,
    pub incoming: Incoming,
    /// Its own window, where the client may keep one (RFC 7692 section 7.1.1.2).
    pub inflater: Option<Box<Inflater>>,
    /// What is left of the last read: more work than one turn does.
    pub held: Option<Box<[u8]>>,
    pub opening: Option<Box<Opening>>,
    pub tls: Option<Tls>,
    /// Its TLS handshake is done, and counted.
    pub secured: bool,
    pub about: Box<About>,
}

/// What is needed at its begin and end, and seldom in between.
pub struct About {
    pub peer: SocketAddr,
    /// What it is served under, whatever is reloaded meanwhile.
    pub service: Rc<Service>,
    /// What this core counts of the listener it came in by.
    pub listener: Arc<ListenerCells>,
    pub accepted: Instant,
    pub upgraded: Option<Instant>,
    pub admission: Option<clients::Admission>,
    /// Its place among its user's connections.
    pub seat: Option<Presence>,
    /// Empty: it did not have to say.
    pub user: Arc<str>,
    pub info: Option<Arc<str>>,
    /// Its name for presence and the publish API, a UUID.
    pub client: u128,
    /// When its token expires, in seconds of the Unix epoch.
    pub expires_at: Option<u64>,
    /// permessage-deflate is in use, with this window for what goes out, in bits.
    pub deflate: Option<u8>,
    /// Requests in a row that were none.
    pub bad_requests: u32,
    pub subscriptions: u32,
    /// Tickets of subscriptions that the hub has not recorded yet.
    pub asked: Vec<u64>,
    pub received_messages: u64,
    pub received_bytes: u64,
    pub sent_messages: u64,
    pub sent_bytes: u64,
    pub end: End,
    /// The control port's leave, for who came in there.
    pub grant: Option<Arc<Grant>>,
    pub way: Way,
    /// The `Host` it came by, where the configuration had to allow that name.
    pub named_host: Option<Box<str>>,
    /// It is subscribed to the feed, or was.
    pub reads_feed: bool,
}

impl About {
    /// Of a connection that has only just been accepted.
    pub fn new(
        peer: SocketAddr,
        service: Rc<Service>,
        accepted: Instant,
        listener: Arc<ListenerCells>,
        grant: Option<Arc<Grant>>,
    ) -> About {
        About {
            peer,
            service,
            listener,
            accepted,
            upgraded: None,
            admission: None,
            seat: None,
            user: Arc::default(),
            info: None,
            client: 0,
            expires_at: None,
            deflate: None,
            bad_requests: 0,
            subscriptions: 0,
            asked: Vec::new(),
            received_messages: 0,
            received_bytes: 0,
            sent_messages: 0,
            sent_bytes: 0,
            end: End::default(),
            way: match grant {
                Some(_) => Way::ControlPort,
                // Its request will tell.
                None => Way::Gateway { near: false, foreign: true },
            },
            grant,
            named_host: None,
            reads_feed: false,
        }
    }

    /// How it came, as it is judged now: names that were allowed then may not be any more.
    pub fn way_now(&self, readers: &Readers) -> Way {
        match (&self.named_host, self.way) {
            (Some(host), Way::Gateway { near, .. }) if !readers.is_own(host) => {
                Way::Gateway { near, foreign: true }
            }
            (_, way) => way,
        }
    }
}

/// How it ended, as far as that is clear already.
#[derive(Default)]
pub struct End {
    pub closing: Option<Closing>,
    /// The code in the close frame that came or, if none did, that went.
    pub code: Option<u16>,
    pub code_sent: Option<u16>,
    pub code_received: Option<u16>,
    pub refused: Option<(Refused, u16)>,
    /// What the operator or the client can do about it.
    pub hint: Option<Box<str>>,
    pub path: Option<Box<str>>,
    /// The page it says it is of.
    pub origin: Option<Box<str>>,
}

impl Slot {
    /// What it is called. Its generation has the low half of the count it was accepted at; the newest one's has the rest.
    #[must_use]
    pub fn connection(&self, core: &Core) -> Connection {
        let newest = core.cells.websocket.opened.get();
        let since = (newest as u32).wrapping_sub(self.generation);
        Connection::websocket(core.serial(newest.saturating_sub(since.into())))
    }

    /// What the epoll set calls it.
    #[must_use]
    pub fn key(&self, conn: u32) -> u64 {
        u64::from(self.generation) << 32 | u64::from(conn)
    }
}
