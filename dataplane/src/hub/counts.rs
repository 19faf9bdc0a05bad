//! What a hub counts: plain numbers that the caller copies to its cells.

/// Why a publication did not reach a connection that was to get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The connection was too slow for a namespace that disconnects such.
    SlowDisconnected,
    DropOldest,
    DropNewest,
    /// A newer publication of its topic took its place.
    Conflated,
    /// It was queued when the connection ended.
    ConnectionClosed,
    /// The worker holds as many queued bytes as it may.
    WorkerCap,
}

impl Dropped {
    pub const ALL: [Dropped; 6] = [
        Dropped::SlowDisconnected,
        Dropped::DropOldest,
        Dropped::DropNewest,
        Dropped::Conflated,
        Dropped::ConnectionClosed,
        Dropped::WorkerCap,
    ];

    /// The metric's label (`websocket_dropped{reason}`).
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Dropped::SlowDisconnected => "slow_disconnected",
            Dropped::DropOldest => "drop_oldest",
            Dropped::DropNewest => "drop_newest",
            Dropped::Conflated => "conflated",
            Dropped::ConnectionClosed => "connection_closed",
            Dropped::WorkerCap => "worker_cap",
        }
    }
}

/// Totals since the start, but for those that say "now".
///
/// Always, to the last one: `recipients == sent + dropped (all reasons) + queued`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Publications that this worker, as their home, accepted.
    pub accepted: u64,
    /// Publications and questions refused because a queue between workers was full.
    pub refused_overloaded: u64,
    /// Publications answered by their idempotency key alone.
    pub repeated: u64,
    /// Connections that accepted publications were meant for, on this worker.
    pub recipients: u64,
    /// Frames encoded for them: once for each publication and format.
    pub encoded: u64,
    /// Publications handed to sockets wholly.
    pub sent: u64,
    /// Other frames handed to sockets wholly: answers and control frames.
    pub sent_own: u64,
    /// Bytes handed to sockets.
    pub sent_bytes: u64,
    /// By [`Dropped`].
    pub dropped: [u64; Dropped::ALL.len()],
    /// Publications in connections' queues now.
    pub queued: u64,
    /// Bytes in connections' queues now, a shared frame counted in each.
    pub queued_bytes: u64,
    /// Publications forgotten because this worker's history was at its limit of bytes.
    pub history_evicted: u64,
    /// Connections now.
    pub connections: u64,
    /// Subscriptions of this worker's connections now.
    pub subscriptions: u64,
}

impl Counts {
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().sum()
    }

    pub(super) fn drop_queued(&mut self, publications: u64, reason: Dropped) {
        self.queued -= publications;
        self.dropped[reason as usize] += publications;
    }
}
