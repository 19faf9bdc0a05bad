//! THE CATALOGUE: every metric once, and the cells the workers count in.
//!
//! A worker counts by a relaxed store into its own [`Cells`]; it never locks and knows no registry.
//! The control plane reads all cells without the workers' help and publishes what [`FAMILIES`] lists.

use crate::datagram::Drop;
use crate::histogram::Histogram;
use crate::reason::Reason;
use crate::session::{Command, Protocol};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number with one writer: the worker that owns it.
#[derive(Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds `by`. Only the owning worker may call this: it is a load and a store, not an atomic add.
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// Takes `by` away. Only the owning worker may call this.
    pub fn sub(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(by), Relaxed);
    }

    /// Replaces the value. Only the owning worker may call this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value, as any thread may read it.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A [`Cell`] for each [`Reason`].
pub struct ByReason([Cell; Reason::COUNT]);

impl Default for ByReason {
    fn default() -> Self {
        ByReason(std::array::from_fn(|_| Cell::default()))
    }
}

impl ByReason {
    #[must_use]
    pub fn of(&self, reason: Reason) -> &Cell {
        &self.0[reason as usize]
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(Cell::get).sum()
    }
}

/// A [`Cell`] for each [`Drop`].
pub struct ByDrop([Cell; Drop::COUNT]);

impl Default for ByDrop {
    fn default() -> Self {
        ByDrop(std::array::from_fn(|_| Cell::default()))
    }
}

impl ByDrop {
    #[must_use]
    pub fn of(&self, drop: Drop) -> &Cell {
        &self.0[drop as usize]
    }
}

/// A [`Cell`] for each protocol and command.
#[derive(Default)]
pub struct Requests([[Cell; Command::ALL.len()]; Protocol::ALL.len()]);

impl Requests {
    #[must_use]
    pub fn of(&self, protocol: Protocol, command: Command) -> &Cell {
        &self.0[protocol as usize][command as usize - 1]
    }
}

/// What one configured user did on one core.
#[derive(Default)]
#[repr(align(128))]
pub struct UserCells {
    pub opened: Cell,
    pub closed: Cell,
    pub sent_bytes: Cell,
    pub received_bytes: Cell,
}

/// How a worker waits for the kernel. Stored in [`Cells::driver`] as its discriminant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Driver {
    Unknown = 0,
    /// io_uring with SINGLE_ISSUER, DEFER_TASKRUN and COOP_TASKRUN.
    IoUringDeferred = 1,
    /// io_uring with COOP_TASKRUN alone (kernels before 6.1).
    IoUringCooperative = 2,
    /// io_uring without flags.
    IoUringPlain = 3,
    Epoll = 4,
}

impl Driver {
    const ALL: [Driver; 5] = [
        Driver::Unknown,
        Driver::IoUringDeferred,
        Driver::IoUringCooperative,
        Driver::IoUringPlain,
        Driver::Epoll,
    ];

    #[must_use]
    pub fn label(self) -> &'static str {
        ["unknown", "io_uring_deferred", "io_uring_cooperative", "io_uring", "epoll"][self as usize]
    }

    /// The driver stored in a cell.
    #[must_use]
    pub fn from_cell(value: u64) -> Driver {
        Self::ALL.get(value as usize).copied().unwrap_or(Driver::Unknown)
    }
}

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
    /// Microseconds from a name's question to its answer.
    pub dns: Histogram,
    /// Microseconds from accept to end.
    pub session: Histogram,

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
    /// Pipes now lent to splicing directions.
    pub pipes_in_use: Cell,
    /// Times a direction wanted to splice and the pool had no pipe.
    pub pipe_pool_misses: Cell,
    /// Changes of a direction from copying to splicing.
    pub splice_starts: Cell,
    /// Session records dropped because the control plane did not take them in time.
    pub session_records_dropped: Cell,
}

impl Cells {
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

/// Prometheus metric types, as far as ringway uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Where a family's samples come from.
#[derive(Clone, Copy)]
pub enum Source {
    /// The sum over all cores.
    Sum(fn(&Cells) -> u64),
    /// One sample for each core, labelled `worker`.
    Worker(fn(&Cells) -> u64),
    /// The sum over all cores for each reason, labelled `reason` or as the family says.
    Reason(fn(&Cells) -> &ByReason),
    /// All cores' values merged; recorded in microseconds, published in seconds.
    Merged(fn(&Cells) -> &Histogram),
    /// The control plane computes it itself.
    Control,
}

/// One metric family. `name` is the OpenMetrics family name: a counter's samples gain `_total`.
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    /// The OpenMetrics unit, which is then also the name's suffix; empty where there is none.
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    /// Upper bounds of the published buckets, in seconds; empty for scalars.
    pub buckets: &'static [f64],
    pub source: Source,
}

const CONNECT_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const SESSION_BUCKETS: &[f64] =
    &[0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0];
const LAG_BUCKETS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

const fn family(name: &'static str, kind: Kind, source: Source, help: &'static str) -> Family {
    Family { name, help, kind, unit: "", labels: &[], buckets: &[], source }
}

impl Family {
    const fn unit(mut self, unit: &'static str) -> Family {
        self.unit = unit;
        self
    }
    const fn labels(mut self, labels: &'static [&'static str]) -> Family {
        self.labels = labels;
        self
    }
    const fn buckets(mut self, buckets: &'static [f64]) -> Family {
        self.buckets = buckets;
        self
    }
}

use Kind::{Counter, Gauge, Histogram as Distribution};
use Source::{Control, Merged, Sum, Worker};

/// Every metric ringway publishes, in the order of docs/metrics.md. The `process_*` families of the
/// `metrics-process` crate stand beside it.
pub const FAMILIES: &[Family] = &[
    // SOCKS5
    family(
        "socks5_proxy_connections_active",
        Gauge,
        Sum(Cells::active),
        "SOCKS5 client connections open now.",
    ),
    family(
        "socks5_proxy_connections",
        Counter,
        Sum(|c| c.opened.get()),
        "SOCKS5 client connections accepted.",
    ),
    family(
        "socks5_connections_closed",
        Counter,
        Source::Reason(|c| &c.closed),
        "SOCKS5 client connections ended, by reason.",
    )
    .labels(&["reason"]),
    family(
        "socks5_handshakes",
        Counter,
        Control,
        "SOCKS5 handshakes by result: success, or the reason that ended them.",
    )
    .labels(&["result"]),
    family("socks5_requests", Counter, Control, "Whole requests, served or not, by protocol and command.")
        .labels(&["protocol", "command"]),
    family("socks5_logins_failed", Counter, Sum(|c| c.logins_failed.get()), "Logins that were refused."),
    family(
        "socks5_clients_banned",
        Counter,
        Sum(|c| c.clients_banned.get()),
        "Bans of clients for failed logins.",
    ),
    family("socks5_clients_banned_active", Gauge, Control, "Clients that are banned now."),
    family(
        "socks5_clients_untracked",
        Counter,
        Control,
        "Clients that could not be counted because their table was full of others.",
    ),
    family(
        "socks5_traffic_bytes_sent",
        Counter,
        Sum(|c| c.sent_bytes.get()),
        "Payload bytes relayed from clients to targets.",
    ),
    family(
        "socks5_traffic_bytes_received",
        Counter,
        Sum(|c| c.received_bytes.get()),
        "Payload bytes relayed from targets to clients.",
    ),
    family(
        "socks5_traffic_speed_bytes_per_second",
        Gauge,
        Control,
        "Payload bytes relayed per second, over the last second.",
    )
    .labels(&["direction"]),
    family("socks5_user_connections_active", Gauge, Control, "Connections open now, by configured user.")
        .labels(&["user"]),
    family(
        "socks5_user_traffic",
        Counter,
        Control,
        "Payload bytes relayed, by configured user and direction.",
    )
    .labels(&["user", "direction"]),
    family(
        "socks5_user_quota_bytes_left",
        Gauge,
        Control,
        "Payload bytes a user may still move in this period, by user with a quota.",
    )
    .labels(&["user"]),
    family(
        "socks5_quota_save_failures",
        Counter,
        Control,
        "Times the quota file could not be read or saved.",
    ),
    family("socks5_upstream_up", Gauge, Control, "1 for an upstream proxy that gets connections, 0 for one that is down.")
        .labels(&["upstream"]),
    family(
        "socks5_upstream_connections",
        Counter,
        Control,
        "Connections asked of upstream proxies, by what came of it: connected, target_failed, refused, unreachable.",
    )
    .labels(&["upstream", "result"]),
    family("socks5_udp_associations_active", Gauge, Sum(Cells::udp_active), "UDP associations open now."),
    family("socks5_udp_associations", Counter, Sum(|c| c.udp_opened.get()), "UDP associations begun."),
    family("socks5_udp_datagrams", Counter, Control, "UDP datagrams relayed, by direction.")
        .labels(&["direction"]),
    family("socks5_udp_datagrams_dropped", Counter, Control, "UDP datagrams dropped, by reason.")
        .labels(&["reason"]),
    family(
        "socks5_connect_duration_seconds",
        Distribution,
        Merged(|c| &c.connect),
        "Time from the first connect(2) to an established connection or to giving up.",
    )
    .unit("seconds")
    .buckets(CONNECT_BUCKETS),
    family(
        "socks5_dns_duration_seconds",
        Distribution,
        Merged(|c| &c.dns),
        "Time from a name's question to its answer, cached answers included.",
    )
    .unit("seconds")
    .buckets(CONNECT_BUCKETS),
    family(
        "socks5_session_duration_seconds",
        Distribution,
        Merged(|c| &c.session),
        "Time from accept to the end of the connection.",
    )
    .unit("seconds")
    .buckets(SESSION_BUCKETS),
    family(
        "socks5_session_records_dropped",
        Counter,
        Sum(|c| c.session_records_dropped.get()),
        "Access records dropped because their queue was full.",
    ),
    // Workers
    family("worker_connections", Gauge, Worker(Cells::active), "Connections this worker serves now.")
        .labels(&["worker"]),
    family("worker_busy_seconds", Counter, Control, "CPU time this worker's thread has used.")
        .unit("seconds")
        .labels(&["worker"]),
    family(
        "worker_loop_lag_seconds",
        Distribution,
        Merged(|c| &c.loop_lag),
        "How late a worker's tick came: the time its loop was held by other work.",
    )
    .unit("seconds")
    .buckets(LAG_BUCKETS),
    family("worker_heartbeat_age_seconds", Gauge, Control, "Time since this worker last said it lives.")
        .unit("seconds")
        .labels(&["worker"]),
    family("worker_driver", Gauge, Control, "1 for the driver this worker waits with.")
        .labels(&["worker", "driver"]),
    family(
        "worker_io_submissions",
        Counter,
        Worker(|c| c.submissions.get()),
        "Waits handed to the ring (or to epoll).",
    )
    .labels(&["worker"]),
    family("worker_io_completions", Counter, Worker(|c| c.completions.get()), "Waits that came back.")
        .labels(&["worker"]),
    family(
        "worker_tasks_panicked",
        Counter,
        Worker(|c| c.tasks_panicked.get()),
        "Tasks that panicked alone.",
    )
    .labels(&["worker"]),
    family(
        "worker_connections_handed_over",
        Counter,
        Worker(|c| c.handed_over.get()),
        "Accepted sockets given to a less loaded worker.",
    )
    .labels(&["worker"]),
    family(
        "worker_accept_backoffs",
        Counter,
        Worker(|c| c.accept_backoffs.get()),
        "Pauses of a listener because descriptors or memory ran out.",
    )
    .labels(&["worker"]),
    family(
        "worker_inbox_messages",
        Counter,
        Worker(|c| c.inbox_messages.get()),
        "Messages read from the inbox.",
    )
    .labels(&["worker"]),
    family(
        "worker_pipes_in_use",
        Gauge,
        Worker(|c| c.pipes_in_use.get()),
        "Pipes lent to splicing directions.",
    )
    .labels(&["worker"]),
    family(
        "worker_pipe_pool_misses",
        Counter,
        Worker(|c| c.pipe_pool_misses.get()),
        "Directions that stayed with copying because no pipe was to be had.",
    )
    .labels(&["worker"]),
    family(
        "worker_splice_starts",
        Counter,
        Worker(|c| c.splice_starts.get()),
        "Changes of a direction from copying to splicing.",
    )
    .labels(&["worker"]),
    // The host
    family(
        "socks5_system_cpu_usage_percent",
        Gauge,
        Control,
        "CPU use of the whole host over the last second.",
    ),
    family("socks5_system_memory_usage_bytes", Gauge, Control, "Memory in use on the host.").unit("bytes"),
    family("socks5_system_network_bytes", Counter, Control, "Bytes over the host's interfaces but loopback.")
        .unit("bytes")
        .labels(&["direction"]),
    // The control port
    family("http_requests", Counter, Control, "Requests answered on the control port.")
        .labels(&["method", "path", "status"]),
    family("http_request_duration_seconds", Distribution, Control, "Time to answer a control request.")
        .unit("seconds")
        .buckets(CONNECT_BUCKETS),
    family("http_requests_in_flight", Gauge, Control, "Control requests being answered now."),
    family("log_lines_dropped", Counter, Control, "Log lines dropped because the sink did not keep up."),
    // Build and configuration
    family("build_info", Gauge, Control, "1, with the version and the commit it was built from.")
        .labels(&["version", "commit"]),
    family(
        "config_generation",
        Gauge,
        Control,
        "How often a configuration has been applied since the start.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for family in FAMILIES {
            let name = family.name;
            assert!(
                name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit()),
                "{name}"
            );
            assert!(!name.ends_with("_total"), "{name}: the exporter adds _total");
            assert!(name.ends_with(family.unit), "{name} does not end with its unit {}", family.unit);
            assert_eq!(family.kind == Kind::Histogram, !family.buckets.is_empty(), "{name}");
            assert!(family.buckets.is_sorted(), "{name}");
            assert_eq!(FAMILIES.iter().filter(|f| f.name == name).count(), 1, "{name} stands twice");
            assert!(family.help.ends_with('.'), "{name}: help is a sentence");
        }
    }

    #[test]
    fn active_is_never_negative() {
        let cells = Cells::default();
        cells.closed.of(Reason::Finished).add(1);
        assert_eq!(cells.active(), 0);
        cells.opened.add(3);
        assert_eq!(cells.active(), 2);
    }

    #[test]
    fn cells_do_not_share_cache_lines() {
        assert_eq!(std::mem::align_of::<Cells>(), 128);
        assert_eq!(std::mem::size_of::<UserCells>() % 128, 0);
    }
}
