//! Facts go up: reads every worker's cells, without the workers' help, into one [`Snapshot`].

use crate::system::{Host, HostFacts, thread_cpu};
use ringway_dataplane::WorkerState;
use ringway_shared::account::Account;
use ringway_shared::histogram::{Histogram, VALUE_MAX};
use ringway_shared::metrics::{Cells, Driver};
use ringway_shared::reason::Reason;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Significant figures kept when histograms are merged: two are 128 steps an octave, as the workers' own.
const FOLDED_FIGURES: u8 = 2;

/// What does not change while the process runs.
pub struct Subject {
    /// One for each worker.
    pub cells: Vec<Arc<Cells>>,
    /// Heartbeats count from here.
    pub epoch: Instant,
}

/// Everything known at one moment.
pub struct Snapshot {
    pub at: Instant,
    pub uptime: Duration,
    pub workers: Vec<WorkerRow>,
    pub opened: u64,
    pub active: u64,
    pub closed: Vec<(Reason, u64)>,
    pub inbox_messages: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Over the last whole second.
    pub rates: Rates,
    /// Microseconds, all cores merged.
    pub connect: Merged,
    pub dns: Merged,
    pub session: Merged,
    pub loop_lag: Merged,
    /// From a publication's arrival to the kernel, each delivery.
    pub websocket_push: Merged,
    pub udp: Udp,
    pub logins_failed: u64,
    pub clients_banned: u64,
    pub host: HostFacts,
}

/// One worker, as seen from outside.
pub struct WorkerRow {
    pub connections: u64,
    pub heartbeat_age: Duration,
    pub driver: Driver,
    /// CPU time its thread has used.
    pub busy: Duration,
    pub state: WorkerState,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub sent_bytes: f64,
    pub received_bytes: f64,
    pub connections: f64,
}

/// A histogram over all cores, in microseconds.
pub type Merged = hdrhistogram::Histogram<u64>;

/// One configured user over all cores.
#[derive(Clone)]
pub struct UserRow {
    pub name: Arc<str>,
    pub active: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Bytes left of its quota, if it has one.
    pub quota_left: Option<u64>,
}

impl UserRow {
    /// Read now, without the workers' help.
    #[must_use]
    pub fn of(account: &Account) -> UserRow {
        let usage = &account.usage;
        // As with all connections: `closed` first, so that active is never negative.
        let closed = usage.sum(|cells| cells.closed.get());
        UserRow {
            name: account.user.name.clone(),
            active: usage.sum(|cells| cells.opened.get()).saturating_sub(closed),
            sent_bytes: usage.sum(|cells| cells.sent_bytes.get()),
            received_bytes: usage.sum(|cells| cells.received_bytes.get()),
            quota_left: account
                .user
                .quota
                .map(|quota| quota.bytes.saturating_sub(usage.quota_used.load(Relaxed))),
        }
    }
}

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
    /// CPU time of each worker's thread when it was last seen: an ended one keeps what it had used.
    busy: Vec<Duration>,
    previous: Option<Totals>,
    rates: Rates,
}

/// Rates are taken over at least this long, however often snapshots are.
const RATE_WINDOW: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Totals {
    at: Instant,
    sent_bytes: u64,
    received_bytes: u64,
    opened: u64,
}

impl Observer {
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        let busy = vec![Duration::ZERO; subject.cells.len()];
        Observer { subject, host: Host::default(), busy, previous: None, rates: Rates::default() }
    }

    #[must_use]
    pub fn cells(&self) -> &[Arc<Cells>] {
        &self.subject.cells
    }

    /// Reads everything now. `state` tells how worker `i` is doing.
    pub fn look(&mut self, state: impl Fn(usize) -> WorkerState) -> Snapshot {
        let at = Instant::now();
        let cells = &self.subject.cells;
        let totals = Totals {
            at,
            sent_bytes: sum(cells, |c| c.sent_bytes.get()),
            received_bytes: sum(cells, |c| c.received_bytes.get()),
            opened: sum(cells, |c| c.opened.get()),
        };
        self.take_rates(totals);
        for (busy, cells) in self.busy.iter_mut().zip(&self.subject.cells) {
            *busy = thread_cpu(cells.thread_id.get()).max(*busy);
        }
        let cells = &self.subject.cells;
        Snapshot {
            at,
            uptime: at.saturating_duration_since(self.subject.epoch),
            workers: self.worker_rows(at, state),
            opened: totals.opened,
            closed: closed_by_reason(cells),
            inbox_messages: sum(cells, |c| c.inbox_messages.get()),
            active: sum(cells, Cells::active),
            sent_bytes: totals.sent_bytes,
            received_bytes: totals.received_bytes,
            rates: self.rates,
            connect: merge(cells, |c| &c.connect),
            dns: merge(cells, |c| &c.dns),
            session: merge(cells, |c| &c.session),
            loop_lag: merge(cells, |c| &c.loop_lag),
            websocket_push: merge(cells, |c| &c.websocket.push_latency),
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

    fn take_rates(&mut self, now: Totals) {
        let Some(before) = self.previous else {
            self.previous = Some(now);
            return;
        };
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        if seconds < RATE_WINDOW.as_secs_f64() {
            return;
        }
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        self.rates = Rates {
            sent_bytes: rate(now.sent_bytes, before.sent_bytes),
            received_bytes: rate(now.received_bytes, before.received_bytes),
            connections: rate(now.opened, before.opened),
        };
        self.previous = Some(now);
    }

    fn worker_rows(&self, now: Instant, state: impl Fn(usize) -> WorkerState) -> Vec<WorkerRow> {
        let rows = self.subject.cells.iter().enumerate().map(|(index, cells)| WorkerRow {
            connections: cells.active(),
            heartbeat_age: heartbeat_age(cells, self.subject.epoch, now),
            driver: Driver::from_cell(cells.driver.get()),
            busy: self.busy[index],
            state: state(index),
        });
        rows.collect()
    }
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

fn merge(cells: &[Arc<Cells>], of: fn(&Cells) -> &Histogram) -> Merged {
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

/// How many connections have ended for each reason, all cores together.
fn closed_by_reason(cells: &[Arc<Cells>]) -> Vec<(Reason, u64)> {
    let total = |reason| cells.iter().map(|cells| cells.closed.of(reason).get()).sum();
    Reason::ALL.iter().map(|reason| (*reason, total(*reason))).collect()
}
