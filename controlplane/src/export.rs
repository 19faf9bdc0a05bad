//! Snapshot -> Prometheus: every family of the catalogue, from the first scrape on, in both text formats.
//!
//! Families whose source the catalogue names are written by one loop. The control plane's own are a match by name in
//! [`control`]; a test holds that none is forgotten.

pub mod page;
pub mod process;

use crate::http_facts::HttpFacts;
use crate::observe::Snapshot;
pub use page::Format;
use page::{Page, Samples};
use process::Process;
use ringway_shared::metrics::{Cells, FAMILIES, Family, Source};
use ringway_shared::reason::Reason;
use std::sync::Arc;

/// What this binary was built from.
#[derive(Clone, Copy, Debug)]
pub struct BuildFacts {
    pub version: &'static str,
    pub commit: &'static str,
}

/// Everything a scrape tells but `process_*`.
pub struct Facts<'a> {
    pub snapshot: &'a Snapshot,
    /// One for each worker.
    pub cells: &'a [Arc<Cells>],
    pub http: &'a HttpFacts,
    pub log_lines_dropped: u64,
    /// How often a configuration has been applied.
    pub config_generation: u64,
}

/// Writes scrapes.
pub struct Exporter {
    build: BuildFacts,
    process: Process,
    /// The last page's length: the next one needs about as much.
    length: usize,
}

impl Exporter {
    #[must_use]
    pub fn new(build: BuildFacts) -> Exporter {
        Exporter { build, process: Process::new(), length: 0 }
    }

    /// The answer to a scrape.
    #[must_use]
    pub fn render(&mut self, facts: &Facts<'_>, format: Format) -> String {
        let mut page = Page::new(format, self.length + self.length / 8);
        write_catalogue(self.build, facts, &mut page);
        process::write(&self.process.read(), &mut page);
        let text = page.finish();
        self.length = text.len();
        text
    }
}

fn write_catalogue(build: BuildFacts, facts: &Facts<'_>, page: &mut Page) {
    for family in FAMILIES {
        let mut samples = page.family(family.into());
        match family.source {
            Source::Sum(value) => samples.put(&[], sum(facts.cells, value)),
            Source::Worker(value) => {
                for (worker, cells) in facts.cells.iter().enumerate() {
                    samples.put(&[&worker.to_string()], value(cells));
                }
            }
            Source::Reason(of) => {
                for reason in Reason::ALL {
                    samples.put(&[reason.label()], sum(facts.cells, |cells| of(cells).of(*reason).get()));
                }
            }
            Source::Merged(of) => {
                samples.distribution(family.buckets, facts.cells.iter().map(|cells| of(cells)));
            }
            Source::Control if family.name == "build_info" => samples.put(&[build.version, build.commit], 1),
            Source::Control => control(family, facts, &mut samples),
        }
    }
}

fn sum(cells: &[Arc<Cells>], value: impl Fn(&Cells) -> u64) -> u64 {
    cells.iter().map(|cells| value(cells)).sum()
}

/// What the control plane knows by itself.
fn control(family: &Family, facts: &Facts<'_>, samples: &mut Samples<'_>) {
    let snapshot = facts.snapshot;
    let host = &snapshot.host;
    match family.name {
        "socks5_handshakes" => handshakes(facts.cells, samples),
        "socks5_traffic_speed_bytes_per_second" => {
            samples.put(&[SENT], snapshot.rates.sent_bytes);
            samples.put(&[RECEIVED], snapshot.rates.received_bytes);
        }
        "socks5_user_connections_active" => {
            for user in &snapshot.users {
                samples.put(&[&user.name], user.active);
            }
        }
        "socks5_user_traffic" => {
            for user in &snapshot.users {
                samples.put(&[&user.name, SENT], user.sent_bytes);
                samples.put(&[&user.name, RECEIVED], user.received_bytes);
            }
        }
        "worker_busy_seconds" | "worker_heartbeat_age_seconds" | "worker_driver" => {
            workers(family.name, snapshot, samples);
        }
        "socks5_system_cpu_usage_percent" => samples.put(&[], host.cpu_percent),
        "socks5_system_memory_usage_bytes" => samples.put(&[], host.memory_used_bytes),
        "socks5_system_network_bytes" => {
            samples.put(&[SENT], host.network_sent_bytes);
            samples.put(&[RECEIVED], host.network_received_bytes);
        }
        "http_requests" => {
            for (answer, count) in facts.http.answered() {
                samples.put(&[answer.method, answer.path, &answer.status.to_string()], count);
            }
        }
        "http_request_duration_seconds" => {
            samples.distribution(family.buckets, std::iter::once(facts.http.durations()));
        }
        "http_requests_in_flight" => samples.put(&[], facts.http.in_flight()),
        "log_lines_dropped" => samples.put(&[], facts.log_lines_dropped),
        "config_generation" => samples.put(&[], facts.config_generation),
        unknown => debug_assert!(false, "{unknown} is in the catalogue and has no value here"),
    }
}

/// The values of the label `direction`, as clients see it.
const SENT: &str = "sent";
const RECEIVED: &str = "received";

fn handshakes(cells: &[Arc<Cells>], samples: &mut Samples<'_>) {
    samples.put(&["success"], sum(cells, |cells| cells.handshakes_succeeded.get()));
    for reason in Reason::ALL {
        samples.put(&[reason.label()], sum(cells, |cells| cells.handshakes_failed.of(*reason).get()));
    }
}

fn workers(name: &str, snapshot: &Snapshot, samples: &mut Samples<'_>) {
    for (worker, row) in snapshot.workers.iter().enumerate() {
        let worker = worker.to_string();
        match name {
            "worker_busy_seconds" => samples.put(&[&worker], row.busy.as_secs_f64()),
            "worker_heartbeat_age_seconds" => samples.put(&[&worker], row.heartbeat_age.as_secs_f64()),
            _ => samples.put(&[&worker, row.driver.label()], 1),
        }
    }
}

#[cfg(test)]
mod tests;
