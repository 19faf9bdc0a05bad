//! One WebSocket connection: what is kept of it while it does nothing, which is most of the time.

use crate::core::Core;
use crate::hub;
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
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

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

pub const JSON_PATH: &str = "/ws";
pub const ECHO_PATH: &str = "/echo";

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
    /// From its first message on, where rates are limited.
    pub rate: Option<Box<MessageRate>>,
    pub incoming: Incoming,
    /// Its own window, where the client may keep one (RFC 7692 section 7.1.1.2).
    pub inflater: Option<Box<Inflater>>,
    /// Something of its last read is left, among `State::held`: more work than one turn does.
    pub is_held: bool,
    pub opening: Option<Box<Opening>>,
    pub tls: Option<Tls>,
    /// Its TLS handshake is done, and counted.
    pub secured: bool,
    pub about: Box<About>,
}

/// What is needed at its begin and end, and seldom in between.
pub struct About {
    pub peer: Peer,
    /// What it is served under, whatever is reloaded meanwhile.
    pub service: Rc<Service>,
    /// What this core counts of the listener it came in by.
    pub listener: Arc<ListenerCells>,
    /// When it was accepted, in nanoseconds since the process's epoch.
    pub accepted_ns: u64,
    /// How long its upgrade took; `None`: it has not had one.
    upgrade_us: Option<NonZeroU32>,
    pub admission: Option<clients::Admission>,
    /// Its name for presence and the publish API, a UUID.
    client: [u64; 2],
    /// permessage-deflate is in use, with this window for what goes out, in bits.
    pub deflate: Option<u8>,
    /// Requests in a row that were none.
    pub bad_requests: u8,
    pub subscriptions: u32,
    pub received_messages: u64,
    pub received_bytes: u64,
    pub sent_messages: u64,
    pub sent_bytes: u64,
    pub way: Way,
    /// It is subscribed to the feed, or was.
    pub reads_feed: bool,
    /// What only some have.
    known: Option<Box<Known>>,
    end: Option<Box<End>>,
}

/// What a connection with one subscription takes while nothing passes: this record, its box, and what the hub has of it. No other heap
/// is held for it (docs/decisions/0026).
pub const IDLE_BYTES: usize = size_of::<Slot>() + size_of::<About>() + hub::CONNECTION_BYTES;
const _: () = assert!(IDLE_BYTES <= 296);
// A size class of the allocator: for one byte more it takes 32.
const _: () = assert!(size_of::<About>() <= 128);
const _: () = assert!(size_of::<Slot>() <= 96);

/// What is known of a client that had to say who it is, or that came by the control port.
#[derive(Default)]
pub struct Known {
    /// Empty: it did not have to say.
    pub user: Arc<str>,
    /// Its place among its user's connections.
    pub seat: Option<Presence>,
    pub info: Option<Arc<str>>,
    /// When its token expires, in seconds of the Unix epoch.
    pub expires_at: Option<u64>,
    /// The control port's leave, for who came in there.
    pub grant: Option<Arc<Grant>>,
    /// The `Host` it came by, where the configuration had to allow that name.
    pub named_host: Option<Box<str>>,
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
    /// What it asked for, if it did not get it.
    pub path: Option<Box<str>>,
}

/// An address in 24 bytes, where the library's takes 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    V4(Ipv4Addr, u16),
    /// With its scope. A flow label is none of our business.
    V6(Ipv6Addr, u16, u32),
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        match address {
            SocketAddr::V4(v4) => Peer::V4(*v4.ip(), v4.port()),
            SocketAddr::V6(v6) => Peer::V6(*v6.ip(), v6.port(), v6.scope_id()),
        }
    }
}

impl Peer {
    #[must_use]
    pub fn address(self) -> SocketAddr {
        match self {
            Peer::V4(ip, port) => SocketAddrV4::new(ip, port).into(),
            Peer::V6(ip, port, scope) => SocketAddrV6::new(ip, port, 0, scope).into(),
        }
    }
}

impl About {
    /// Of a connection that has only just been accepted.
    pub fn new(
        peer: SocketAddr,
        service: Rc<Service>,
        accepted_ns: u64,
        listener: Arc<ListenerCells>,
        grant: Option<Arc<Grant>>,
    ) -> About {
        let mut about = About {
            peer: peer.into(),
            service,
            listener,
            accepted_ns,
            upgrade_us: None,
            admission: None,
            client: [0; 2],
            deflate: None,
            bad_requests: 0,
            subscriptions: 0,
            received_messages: 0,
            received_bytes: 0,
            sent_messages: 0,
            sent_bytes: 0,
            // Its request will tell.
            way: Way::Gateway { near: false, foreign: true },
            reads_feed: false,
            known: None,
            end: None,
        };
        if grant.is_some() {
            about.way = Way::ControlPort;
            about.learn().grant = grant;
        }
        about
    }

    /// What is known of it, if anything is.
    #[must_use]
    pub fn known(&self) -> Option<&Known> {
        self.known.as_deref()
    }

    /// The same, to add to it.
    pub fn learn(&mut self) -> &mut Known {
        self.known.get_or_insert_default()
    }

    /// Empty: it did not have to say.
    #[must_use]
    pub fn user(&self) -> &str {
        self.known().map_or("", |known| &known.user)
    }

    /// Who it said it is.
    #[must_use]
    pub fn named_user(&self) -> Option<&Arc<str>> {
        self.known().map(|known| &known.user).filter(|user| !user.is_empty())
    }

    /// The control port's leave, for who came in there.
    #[must_use]
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        self.known()?.grant.as_ref()
    }

    /// It came in by the control port.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.way == Way::ControlPort
    }

    /// Its place among its user's connections is free.
    pub fn give_up_seat(&mut self) {
        if let Some(known) = &mut self.known {
            known.seat = None;
        }
    }

    #[must_use]
    pub fn client(&self) -> u128 {
        u128::from(self.client[0]) << 64 | u128::from(self.client[1])
    }

    pub fn set_client(&mut self, client: u128) {
        self.client = [(client >> 64) as u64, client as u64];
    }

    /// When it had its upgrade, in nanoseconds since the process's epoch.
    #[must_use]
    pub fn upgraded_ns(&self) -> Option<u64> {
        self.upgrade_us.map(|us| self.accepted_ns + u64::from(us.get()) * 1_000)
    }

    /// Its upgrade is done now. The limit of its handshake keeps that below the hour that there is room for.
    pub fn set_upgraded(&mut self, now_ns: u64) {
        let us = u32::try_from(now_ns.saturating_sub(self.accepted_ns) / 1_000).unwrap_or(u32::MAX);
        self.upgrade_us = Some(NonZeroU32::new(us).unwrap_or(NonZeroU32::MIN));
    }

    /// How it ends, as far as that is clear.
    pub fn end(&mut self) -> &mut End {
        self.end.get_or_insert_default()
    }

    /// The same, to tell of it.
    #[must_use]
    pub fn take_end(&mut self) -> End {
        self.end.take().map_or_else(End::default, |end| *end)
    }

    /// How it came, as it is judged now: names that were allowed then may not be any more.
    pub fn way_now(&self, readers: &Readers) -> Way {
        match (self.known().and_then(|known| known.named_host.as_deref()), self.way) {
            (Some(host), Way::Gateway { near, .. }) if !readers.is_own(host) => {
                Way::Gateway { near, foreign: true }
            }
            (_, way) => way,
        }
    }
}

impl Slot {
    /// What it asked for.
    #[must_use]
    pub fn path_text(&self) -> Option<Box<str>> {
        match (&self.about.end, self.path) {
            (Some(end), _) if end.path.is_some() => end.path.clone(),
            _ if self.about.upgrade_us.is_none() => None,
            (_, Path::Json) => Some(JSON_PATH.into()),
            (_, Path::Echo) => Some(ECHO_PATH.into()),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_reads_back_as_it_came() {
        for address in ["192.0.2.1:65535", "[2001:db8::1]:1", "[fe80::1%7]:443", "[::ffff:192.0.2.1]:80"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(Peer::from(address).address(), address);
        }
    }
}
