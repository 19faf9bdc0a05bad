//! Facts go up: reads every worker's cells, without the workers' help, into one [`Snapshot`].

pub mod interval_log;

use crate::system::{Host, HostFacts, ThreadTimes, thread_times};
use ringway_dataplane::WorkerState;
use ringway_shared::account::Account;
use ringway_shared::histogram::{Histogram, VALUE_MAX};
use ringway_shared::metrics::{Cells, Driver};
use ringway_shared::reason::Reason;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
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
    /// Of clients, over both services.
    pub connections: u64,
    pub heartbeat_age: Duration,
    pub driver: Driver,
    /// What its thread has had of a CPU.
    pub times: ThreadTimes,
    /// The share of one CPU that it used over the last whole second.
    pub busy_share: f64,
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
    /// What each worker's thread had had when it was last seen: an ended one keeps that.
    times: Vec<ThreadTimes>,
    /// What they had had when the window of the rates began.
    times_before: Vec<ThreadTimes>,
    busy_shares: Vec<f64>,
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
        Observer {
            busy_shares: vec![0.0; times.len()],
            times_before: times.clone(),
            times,
            subject,
            host: Host::default(),
            previous: None,
            rates: Rates::default(),
        }
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
        for (times, cells) in self.times.iter_mut().zip(&self.subject.cells) {
            let seen = thread_times(cells.thread_id.get());
            if seen.busy >= times.busy {
                *times = seen;
            }
        }
        self.take_rates(totals);
        let cells = &self.subject.cells;
        Snapshot {
            at,
            uptime: at.saturating_duration_since(self.subject.epoch),
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
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
            self.times_before.clone_from(&self.times);
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
        let used = self.times.iter().zip(&self.times_before);
        let shares = used.map(|(now, before)| now.busy.saturating_sub(before.busy).as_secs_f64() / seconds);
        self.busy_shares = shares.collect();
        self.times_before.clone_from(&self.times);
        self.previous = Some(now);
    }

    fn worker_rows(&self, now: Instant, state: impl Fn(usize) -> WorkerState) -> Vec<WorkerRow> {
        let rows = self.subject.cells.iter().enumerate().map(|(index, cells)| WorkerRow {
            connections: cells.client_sockets(),
            heartbeat_age: heartbeat_age(cells, self.subject.epoch, now),
            driver: Driver::from_cell(cells.driver.get()),
            times: self.times[index],
            busy_share: self.busy_shares[index],
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
}
