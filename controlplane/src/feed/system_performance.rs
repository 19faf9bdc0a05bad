//! `system_performance`: the process, and each worker.

use super::Publisher;
use crate::observe::{self, skew};
use crate::system;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};

/// Busy shares of which no worker is said to have more than its part: an idle process is even.
const IDLE: f64 = 0.01;

/// What rates need to be remembered.
#[derive(Default)]
pub struct Process {
    /// When, and what all threads had had of CPUs.
    before: Option<(Instant, Duration)>,
    /// All of the host; it does not change.
    memory_bytes: Option<u64>,
}

impl Process {
    /// Of one CPU, since this was last asked.
    fn cpu_percent(&mut self) -> f64 {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let used = Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0));
        let now = Instant::now();
        let percent = self.before.map_or(0.0, |(at, before)| {
            let seconds = now.saturating_duration_since(at).as_secs_f64();
            100.0 * used.saturating_sub(before).as_secs_f64() / f64::max(seconds, 0.001)
        });
        self.before = Some((now, used));
        tenths(percent)
    }
}

impl Publisher {
    /// What is told, `figures` being what `/stats` shows.
    pub(super) fn system_performance(&self, figures: &Json) -> Json {
        let snapshot = self.state.snapshot();
        let mut process = self.process.borrow_mut();
        let total = *process.memory_bytes.get_or_insert_with(system::memory_bytes);
        let connections = snapshot.workers.iter().map(|row| row.connections as f64);
        let busy = snapshot.workers.iter().map(|row| row.busy_share);
        json!({
            "cpu_percent": process.cpu_percent(),
            "cpus": system::cpus(),
            "memory": {"resident_bytes": figures["memory"]["resident_bytes"], "total_bytes": total},
            "descriptors": {
                "open": system::open_descriptors(),
                "max": getrlimit(Resource::Nofile).current,
            },
            "network": {
                "sent_bytes_per_second": figures["traffic"]["sent_bytes_per_second"],
                "received_bytes_per_second": figures["traffic"]["received_bytes_per_second"],
            },
            "threads": system::threads(),
            "workers": self.worker_rows(figures),
            "skew": {"connections": skew(connections, 0.0), "busy": skew(busy, IDLE)},
        })
    }

    fn worker_rows(&self, figures: &Json) -> Vec<Json> {
        let rows = figures["workers"].as_array().into_iter().flatten().enumerate();
        let lag = |worker: usize| {
            self.state.with_cells(|cells| {
                let own = cells.get(worker).map(std::slice::from_ref).unwrap_or_default();
                observe::merge(own, |cells| &cells.loop_lag).value_at_quantile(0.99) as f64 / 1000.0
            })
        };
        rows.map(|(worker, row)| {
            let mut row = row.clone();
            if let Some(members) = row.as_object_mut() {
                // A total: a rate is what is drawn.
                members.remove("busy_seconds");
                members.insert("loop_lag_p99_ms".to_owned(), json!(lag(worker)));
            }
            row
        })
        .collect()
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
