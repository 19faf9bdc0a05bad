//! THE CATALOGUE: every metric once, and the cells the workers count in.
//!
//! This page holds what a metric is; `cells` what the workers count, `socks5`, `websocket`, `listener`, `tls` and `process` the table.
//! A worker counts by a relaxed store into its own [`Cells`]; it never locks and knows no registry.
//! The control plane reads all cells without the workers' help and publishes what [`FAMILIES`] lists.

use crate::datagram::Drop;
use crate::exemplar::Exemplars;
use crate::histogram::Histogram;
use crate::reason::Reason;
use crate::session::{Command, Protocol};
use crate::tls::{TlsResult, TlsService};

mod cells;
mod listener;
mod process;
mod socks5;
mod tls;
mod websocket;

pub use cells::{Cells, WebSocketCells};

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

/// A [`Cell`] for each service that speaks TLS, and each result of a handshake.
#[derive(Default)]
pub struct TlsHandshakes([[Cell; TlsResult::ALL.len()]; TlsService::ALL.len()]);

impl TlsHandshakes {
    #[must_use]
    pub fn of(&self, service: TlsService, result: TlsResult) -> &Cell {
        &self.0[service as usize][result as usize]
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
    /// Those of the closed that ended by a failure, see [`Reason::is_failure`].
    pub failed: Cell,
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
    /// The sum over all cores for each row of labels.
    Rows(fn() -> Vec<Vec<&'static str>>, fn(&Cells, usize) -> u64),
    /// All cores' values merged. A family in seconds is recorded in microseconds, one in bytes in bytes.
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
    /// Upper bounds of the published buckets, in the unit; empty for scalars.
    pub buckets: &'static [f64],
    /// Where its buckets' exemplars are, if it has some. Its buckets are then those of [`crate::exemplar`].
    pub exemplars: Option<fn(&Cells) -> &Exemplars>,
    pub source: Source,
}

const CONNECT_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const SESSION_BUCKETS: &[f64] =
    &[0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0];
const LAG_BUCKETS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

const fn family(name: &'static str, kind: Kind, source: Source, help: &'static str) -> Family {
    Family { name, help, kind, unit: "", labels: &[], buckets: &[], exemplars: None, source }
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
    const fn exemplars(mut self, exemplars: fn(&Cells) -> &Exemplars) -> Family {
        self.exemplars = Some(exemplars);
        self
    }
}

/// Every metric ringway publishes, in the order of docs/metrics.md. The `process_*` families of the
/// `metrics-process` crate stand beside it.
pub static FAMILIES: &[&Family] = &ALL;

static ALL: [&Family; COUNT] = all();
const PARTS: [&[Family]; 5] =
    [socks5::FAMILIES, websocket::FAMILIES, listener::FAMILIES, tls::FAMILIES, process::FAMILIES];
const COUNT: usize = PARTS[0].len() + PARTS[1].len() + PARTS[2].len() + PARTS[3].len() + PARTS[4].len();

/// The parts as one.
const fn all() -> [&'static Family; COUNT] {
    let mut all = [&PARTS[0][0]; COUNT];
    let (mut part, mut row, mut index) = (0, 0, 0);
    while index < COUNT {
        if row == PARTS[part].len() {
            (part, row) = (part + 1, 0);
        }
        all[index] = &PARTS[part][row];
        (row, index) = (row + 1, index + 1);
    }
    all
}

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
    fn families_with_exemplars_have_the_buckets_of_exemplars() {
        let seconds = crate::exemplar::BOUNDS_US.map(|bound| bound as f64 / 1e6);
        let with_exemplars: Vec<_> = FAMILIES.iter().filter(|family| family.exemplars.is_some()).collect();
        assert!(with_exemplars.iter().all(|family| family.buckets == seconds));
        assert_eq!(with_exemplars.len(), 2);
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
