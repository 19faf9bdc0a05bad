//! Facts go up: reads every worker's cells, without the workers' help, into one [`Snapshot`].

pub mod interval_log;
pub mod rates;
pub mod recent;
pub mod rows;

use crate::system::{Host, HostFacts, ThreadTimes, thread_times};
pub use rates::Rates;
use rates::{Speed, Totals};
use recent::Memory;
pub use recent::Recent;
use ringway_dataplane::WorkerState;
use ringway_shared::closing::Closing;
use ringway_shared::gateway::Frame;
use ringway_shared::histogram::{Histogram, VALUE_MAX};
use ringway_shared::listener::Entrance;
use ringway_shared::metrics::{Cells, Driver};
use ringway_shared::reason::Reason;
pub use rows::{ListenerRow, UserRow, WorkerRow};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Significant figures kept when histograms are merged: two are 128 steps an octave, as the workers' own.
const FOLDED_FIGURES: u8 = 2;

/// What does not change while the process runs.
pub struct Subject {
    /// One for each worker.
    pub cells: Vec<Arc<Cells>>,
    /// Heartbeats count from here.
    pub epoch: Instant,
}

/// The wall clock has been set when it is so far from where it should be. Less is the time between two looks at two clocks.
const CLOCK_SET: Duration = Duration::from_millis(100);

/// Everything known at one moment.
pub struct Snapshot {
    pub at: Instant,
    /// Since the epoch of the process, which its workers count from.
    pub uptime: Duration,
    /// The same moment on the wall clock, since 1970.
    pub unix: Duration,
    pub workers: Vec<WorkerRow>,
    pub opened: u64,
    pub active: u64,
    pub closed: Vec<(Reason, u64)>,
    /// Those of them that ended by a failure, see [`Reason::is_failure`].
    pub failed: u64,
    /// Connections to the gateway that did, see [`Closing::is_failure`]; those of the control port among them.
    pub websocket_failed: u64,
    /// By service and address. The control port's are not among them.
    pub listeners: Vec<ListenerRow>,
    pub inbox_messages: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Over the last second.
    pub rates: Rates,
    /// Microseconds, all cores merged.
    pub connect: Merged,
    pub dns: Merged,
    pub session: Merged,
    pub loop_lag: Merged,
    /// From a publication's arrival to the kernel, each delivery.
    pub websocket_push: Merged,
    /// The same five of the last ten seconds.
    pub recent: Recent,
    pub udp: Udp,
    pub logins_failed: u64,
    pub clients_banned: u64,
    pub host: HostFacts,
}

/// A histogram over all cores, in microseconds.
pub type Merged = hdrhistogram::Histogram<u64>;

/// UDP associations and their datagrams, all cores together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Udp {
    pub active: u64,
    pub opened: u64,
    pub sent_datagrams: u64,
    pub received_datagrams: u64,
}

/// Takes snapshots and remembers what rates need.
pub struct Observer {
    subject: Subject,
    host: Host,
    /// What each worker's thread had had when it was last seen: an ended one keeps that.
    times: Vec<ThreadTimes>,
    /// Tells where clients come in.
    entrances: Box<Entrances>,
    speed: Speed,
    memory: Memory,
    /// The process's epoch on the wall clock, since 1970.
    epoch_unix: Duration,
}

/// Every address there is something to tell of.
pub type Entrances = dyn Fn() -> Vec<Arc<Entrance>>;

impl Snapshot {
    /// When on the wall clock a moment was that a worker has noted, both counted from their epochs.
    #[must_use]
    pub fn unix_of(&self, since_epoch: Duration) -> Duration {
        (self.unix + since_epoch).saturating_sub(self.uptime)
    }
}

impl Observer {
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        let times = vec![ThreadTimes::default(); subject.cells.len()];
        let (speed, memory) = (Speed::default(), Memory::default());
        Observer {
            times,
            subject,
            host: Host::default(),
            entrances: Box::new(Vec::new),
            speed,
            memory,
            epoch_unix: Duration::ZERO,
        }
    }

    /// Tells of these listeners too.
    #[must_use]
    pub fn with_entrances(mut self, entrances: Box<Entrances>) -> Self {
        self.entrances = entrances;
        self
    }

    #[must_use]
    pub fn cells(&self) -> &[Arc<Cells>] {
        &self.subject.cells
    }

    /// This moment, and what it is on the wall clock: counted from one epoch as long as the clock is not set, so that what a worker has noted
    /// has the same time whenever it is told (Prometheus drops exemplars that go back).
    fn now(&mut self) -> (Instant, Duration) {
        let at = Instant::now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let uptime = at.saturating_duration_since(self.subject.epoch);
        let seen = wall.saturating_sub(uptime);
        if self.epoch_unix.abs_diff(seen) > CLOCK_SET {
            self.epoch_unix = seen;
        }
        (at, self.epoch_unix + uptime)
    }

    /// Reads everything now. `state` tells how worker `i` is doing.
    pub fn look(&mut self, state: impl Fn(usize) -> WorkerState) -> Snapshot {
        let (at, unix) = self.now();
        for (times, cells) in self.times.iter_mut().zip(&self.subject.cells) {
            let seen = thread_times(cells.thread_id.get());
            if seen.busy >= times.busy {
                *times = seen;
            }
        }
        let cells = &self.subject.cells;
        let closed = closed_by_reason(cells);
        let totals = totals(cells, &closed);
        self.speed.note(at, totals, self.times.iter().map(|times| times.busy));
        let (connect, dns) = (merge(cells, |c| &c.connect), merge(cells, |c| &c.dns));
        let (session, loop_lag) = (merge(cells, |c| &c.session), merge(cells, |c| &c.loop_lag));
        let websocket_push = merge(cells, |c| &c.websocket.push_latency);
        let recent = self.memory.recent(at, [&connect, &dns, &session, &loop_lag, &websocket_push]);
        Snapshot {
            at,
            uptime: at.saturating_duration_since(self.subject.epoch),
            unix,
            workers: self.worker_rows(at, state),
            opened: totals.opened,
            closed,
            failed: totals.failed,
            websocket_failed: websocket_failed(cells),
            listeners: (self.entrances)().iter().map(|entrance| ListenerRow::of(entrance)).collect(),
            inbox_messages: sum(cells, |c| c.inbox_messages.get()),
            active: sum(cells, Cells::active),
            sent_bytes: totals.sent_bytes,
            received_bytes: totals.received_bytes,
            rates: self.speed.rates(),
            connect,
            dns,
            session,
            loop_lag,
            websocket_push,
            recent,
            udp: Udp {
                active: sum(cells, Cells::udp_active),
                opened: sum(cells, |c| c.udp_opened.get()),
                sent_datagrams: sum(cells, |c| c.udp_sent.get()),
                received_datagrams: sum(cells, |c| c.udp_received.get()),
            },
            logins_failed: sum(cells, |c| c.logins_failed.get()),
            clients_banned: sum(cells, |c| c.clients_banned.get()),
            host: self.host.facts(at),
        }
    }

    fn worker_rows(&self, now: Instant, state: impl Fn(usize) -> WorkerState) -> Vec<WorkerRow> {
        let rows = self.subject.cells.iter().enumerate().map(|(index, cells)| WorkerRow {
            connections: cells.client_sockets(),
            heartbeat_age: heartbeat_age(cells, self.subject.epoch, now),
            driver: Driver::from_cell(cells.driver.get()),
            times: self.times[index],
            busy_share: self.speed.busy_share(index),
            state: state(index),
        });
        rows.collect()
    }
}

/// How unevenly workers are loaded: the largest load by the mean of all. Even, if the mean is no more than `idle`.
#[must_use]
pub fn skew(loads: impl Iterator<Item = f64> + Clone, idle: f64) -> f64 {
    let (count, sum) = loads.clone().fold((0.0, 0.0), |(count, sum), load| (count + 1.0, sum + load));
    let mean = sum / f64::max(count, 1.0);
    if mean > idle { loads.fold(0.0, f64::max) / mean } else { 1.0 }
}

/// How long ago a worker said that it lives.
#[must_use]
pub fn heartbeat_age(cells: &Cells, epoch: Instant, now: Instant) -> Duration {
    let beat = epoch + Duration::from_millis(cells.heartbeat_ms.get());
    now.saturating_duration_since(beat)
}

fn sum(cells: &[Arc<Cells>], value: fn(&Cells) -> u64) -> u64 {
    cells.iter().map(|cells| value(cells)).sum()
}

/// One histogram over these cores.
#[must_use]
pub fn merge(cells: &[Arc<Cells>], of: fn(&Cells) -> &Histogram) -> Merged {
    let mut folded = empty();
    for cells in cells {
        of(cells).fold_into(&mut folded);
    }
    folded
}

fn empty() -> Merged {
    // Cannot fail for these bounds; a resizing one holds whatever comes.
    Merged::new_with_bounds(1, VALUE_MAX, FOLDED_FIGURES).unwrap_or_else(|_| folded_without_bounds())
}

#[allow(clippy::expect_used, reason = "hdrhistogram refuses more than five figures only")]
fn folded_without_bounds() -> Merged {
    Merged::new(FOLDED_FIGURES).expect("three figures are allowed")
}

fn totals(cells: &[Arc<Cells>], closed: &[(Reason, u64)]) -> Totals {
    let failed = closed.iter().filter(|(reason, _)| reason.is_failure());
    let messages = |cells: &Cells| {
        let received = &cells.websocket.received;
        received[Frame::Text as usize].get() + received[Frame::Binary as usize].get()
    };
    Totals {
        sent_bytes: sum(cells, |c| c.sent_bytes.get()),
        received_bytes: sum(cells, |c| c.received_bytes.get()),
        opened: sum(cells, |c| c.opened.get()),
        failed: failed.map(|(_, count)| count).sum(),
        received_messages: sum(cells, messages),
        deliveries: sum(cells, |c| c.websocket.delivered.get()),
    }
}

fn websocket_failed(cells: &[Arc<Cells>]) -> u64 {
    let failures = Closing::ALL.iter().filter(|closing| closing.is_failure());
    let of = |closing: &Closing| -> u64 {
        cells.iter().map(|cells| cells.websocket.closed[*closing as usize].get()).sum()
    };
    failures.map(of).sum()
}

/// How many connections have ended for each reason, all cores together.
fn closed_by_reason(cells: &[Arc<Cells>]) -> Vec<(Reason, u64)> {
    let total = |reason| cells.iter().map(|cells| cells.closed.of(reason).get()).sum();
    Reason::ALL.iter().map(|reason| (*reason, total(*reason))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_one_when_even_or_idle_and_the_number_of_workers_when_one_has_all() {
        for (loads, idle, expected) in [
            (&[5.0, 5.0][..], 0.0, 1.0),
            (&[9.0, 0.0, 0.0], 0.0, 3.0),
            (&[6.0, 2.0], 0.0, 1.5),
            (&[0.0, 0.0], 0.0, 1.0),
            (&[0.009, 0.001], 0.01, 1.0),
            (&[], 0.0, 1.0),
        ] {
            assert_eq!(skew(loads.iter().copied(), idle), expected, "{loads:?}");
        }
    }

    /// Tells how long a look takes with every bucket full, the bar being 1 ms with two workers: `cargo test --release -p
    /// ringway-controlplane every_bucket -- --nocapture`. That is no matter of passing: machines that are busy take longer.
    #[test]
    fn a_look_adds_up_what_all_workers_have_with_every_bucket_full() {
        let cells: Vec<_> = (0..2).map(|_| Arc::new(Cells::default())).collect();
        for cells in &cells {
            for value in (0..60_000).map(|step| step * step) {
                let measured = [&cells.connect, &cells.dns, &cells.session, &cells.loop_lag];
                measured.into_iter().for_each(|of| of.record(value));
                cells.websocket.push_latency.record(value);
            }
        }
        let mut observer = Observer::new(Subject { cells, epoch: Instant::now() });
        let mut timed = || {
            let start = Instant::now();
            let snapshot = observer.look(|_| WorkerState::Running);
            assert_eq!((snapshot.connect.len(), snapshot.recent.connect.len()), (120_000, 0));
            start.elapsed()
        };
        let mut looks: Vec<_> = (0..9).map(|_| timed()).collect();
        looks.sort_unstable();
        println!("a look in {:?}", looks[4]);
    }
}
