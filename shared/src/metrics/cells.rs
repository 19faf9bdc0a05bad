//! What each worker counts: written by that worker alone, read by the control plane without its help.

use super::{ByDrop, ByReason, Cell, Requests, TlsHandshakes};
use crate::closing::{CLOSE_CODES, Closing};
use crate::exemplar::Exemplars;
use crate::feed::Feed;
use crate::flight::Flight;
use crate::gateway::{Dropped, Frame, Refused};
use crate::histogram::Histogram;

/// Everything one worker counts. One per core, padded, written by that worker only.
#[derive(Default)]
#[repr(align(128))]
pub struct Cells {
    /// Connections accepted by, or handed over to, this worker.
    pub opened: Cell,
    /// Client sockets open now, for the other workers to see at one glance.
    pub clients_now: Cell,
    /// Sockets towards targets open now.
    pub targets_now: Cell,
    /// Connections ended, by reason. Read this before `opened`: then active is never negative.
    pub closed: ByReason,
    /// Handshakes that ended in a success reply.
    pub handshakes_succeeded: Cell,
    /// Handshakes that ended otherwise.
    pub handshakes_failed: ByReason,
    /// Whole requests, served or not.
    pub requests: Requests,
    /// Logins that were refused.
    pub logins_failed: Cell,
    /// Clients banned for failed logins.
    pub clients_banned: Cell,
    /// Payload bytes from clients to targets.
    pub sent_bytes: Cell,
    /// Payload bytes from targets to clients.
    pub received_bytes: Cell,
    /// UDP associations begun, and ended. Read `udp_closed` first.
    pub udp_opened: Cell,
    pub udp_closed: Cell,
    /// Datagrams relayed from clients to peers.
    pub udp_sent: Cell,
    /// Datagrams relayed from peers to clients.
    pub udp_received: Cell,
    /// Datagrams dropped.
    pub udp_dropped: ByDrop,
    /// Microseconds from the first connect(2) to an established connection or to giving up.
    pub connect: Histogram,
    pub connect_exemplars: Exemplars,
    /// Microseconds from a name's question to its answer.
    pub dns: Histogram,
    /// Microseconds from accept to end.
    pub session: Histogram,

    /// The generation of the configuration the worker serves under, 1 at the start.
    pub generation: Cell,
    /// Milliseconds since the process's epoch, stored by the worker at each tick.
    pub heartbeat_ms: Cell,
    /// The kernel's id of the worker's thread; 0 until it runs.
    pub thread_id: Cell,
    /// See [`Driver::from_cell`].
    pub driver: Cell,
    /// Microseconds by which a tick came late.
    pub loop_lag: Histogram,
    /// Waits handed to the ring (or to epoll).
    pub submissions: Cell,
    /// Waits that came back.
    pub completions: Cell,
    /// Tasks that panicked and were ended alone.
    pub tasks_panicked: Cell,
    /// Sockets given to a less loaded worker.
    pub handed_over: Cell,
    /// accept4(2) errors that made the listener back off (EMFILE, ENFILE, ENOMEM, ENOBUFS).
    pub accept_backoffs: Cell,
    /// Messages read from the inbox.
    pub inbox_messages: Cell,
    /// Events of smoke tests, which did not happen.
    pub test_events: Cell,
    /// Pipes now lent to splicing directions.
    pub pipes_in_use: Cell,
    /// Times a direction wanted to splice and the pool had no pipe.
    pub pipe_pool_misses: Cell,
    /// Changes of a direction from copying to splicing.
    pub splice_starts: Cell,
    /// Session records dropped because the control plane did not take them in time.
    pub session_records_dropped: Cell,

    /// TLS handshakes that have ended.
    pub tls_handshakes: TlsHandshakes,

    pub websocket: WebSocketCells,

    /// What this worker did last.
    pub flight: Flight,
}

impl Cells {
    /// Sockets of clients open now, of both services.
    #[must_use]
    pub fn client_sockets(&self) -> u64 {
        self.clients_now.get() + self.websocket.sockets_now.get()
    }

    /// The same without those that read the live feed by the control port: who only looks on is no client.
    #[must_use]
    pub fn guestless_sockets(&self) -> u64 {
        self.clients_now.get() + self.websocket.client_sockets()
    }

    /// Connections open now. Never negative: `closed` is read first.
    #[must_use]
    pub fn active(&self) -> u64 {
        let closed = self.closed.total();
        self.opened.get().saturating_sub(closed)
    }

    /// UDP associations open now. Never negative, for the same reason.
    #[must_use]
    pub fn udp_active(&self) -> u64 {
        let closed = self.udp_closed.get();
        self.udp_opened.get().saturating_sub(closed)
    }
}

/// What one worker counts of its WebSocket connections.
#[derive(Default)]
pub struct WebSocketCells {
    /// Sockets accepted by, or handed over to, this worker, before any upgrade.
    pub opened: Cell,
    /// Connections that ended, upgraded or not. Read before `opened`.
    pub closed: [Cell; Closing::COUNT],
    /// Client sockets open now, upgraded or not, for the other workers to see at one glance.
    pub sockets_now: Cell,
    /// Upgrades accepted, and upgraded connections ended. Read `upgraded_closed` before `upgraded`.
    pub upgraded: Cell,
    pub upgraded_closed: Cell,
    /// Of the upgraded connections open now those that came by the control port.
    pub by_control_port: Cell,
    /// Upgrades refused, by [`Refused`].
    pub refused: [Cell; Refused::COUNT],
    /// Upgraded connections ended, by the place of their code in [`crate::closing::CODES`].
    pub closes: [Cell; CLOSE_CODES],
    /// Frames of whole messages and control frames from clients, and to them, by [`Frame`].
    pub received: [Cell; Frame::COUNT],
    pub sent: [Cell; Frame::COUNT],
    /// Payload bytes of data messages from clients (inflated), and to them (before compression).
    pub received_bytes: Cell,
    pub sent_bytes: Cell,
    /// Requests that were answered with an error.
    pub requests_refused: Cell,
    /// Subscriptions there are now.
    pub subscriptions: Cell,
    /// Of them those to the feed, by its topics.
    pub feed_subscriptions: [Cell; Feed::COUNT],
    /// Topics this worker is home to now.
    pub topics: Cell,
    /// Publications accepted by the topics' homes.
    pub publications: Cell,
    /// Publications refused because a worker's backlog was full.
    pub publications_refused: Cell,
    /// Deliveries due: each accepted publication once for each subscriber.
    pub due: Cell,
    /// Deliveries handed to the kernel whole.
    pub delivered: Cell,
    /// Deliveries dropped, by [`Dropped`].
    pub dropped: [Cell; Dropped::COUNT],
    /// Messages and bytes waiting for slow connections now.
    pub queued_messages: Cell,
    pub queued_bytes: Cell,
    /// Publications kept as history now, in bytes.
    pub history_bytes: Cell,
    /// Payload bytes of data messages from clients.
    pub message_size: Histogram,
    /// Microseconds from a publication's arrival to its last byte given to the kernel.
    pub push_latency: Histogram,
    pub push_exemplars: Exemplars,
    /// Microseconds from upgrade to end.
    pub duration: Histogram,
}

impl WebSocketCells {
    /// Upgraded connections open now. Never negative: `upgraded_closed` is read first.
    #[must_use]
    pub fn active(&self) -> u64 {
        let closed = self.upgraded_closed.get();
        self.upgraded.get().saturating_sub(closed)
    }

    /// Sockets open now, upgraded or not, but for those that came by the control port.
    #[must_use]
    pub fn client_sockets(&self) -> u64 {
        self.sockets_now.get().saturating_sub(self.by_control_port.get())
    }

    /// Of them those that came to the gateway's own listeners: clients, and nobody who only looks on.
    #[must_use]
    pub fn clients(&self) -> u64 {
        self.active().saturating_sub(self.by_control_port.get())
    }
}
