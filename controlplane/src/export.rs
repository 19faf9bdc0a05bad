//! Snapshot -> Prometheus: every family of the catalogue, from the first scrape on, in both text formats.
//!
//! Families whose source the catalogue names are written as it says. The control plane's own are a match by name in
//! [`Exporter::write_own`]; a test holds that none is forgotten.

pub mod carried;
pub mod page;
pub mod process;

use crate::alerts::{Counts, Delivery, Tally};
use crate::certificates::{CertificateFacts, SHOWN_BY};
use crate::guard::Failure;
use crate::history::HistoryFacts;
use crate::http_facts::HttpFacts;
use crate::observe::{Snapshot, UserRow, WorkerRow, skew};
pub use page::Format;
use page::{Exemplar, Page, Samples};
use process::Process;
use ringway_dataplane::ClientFacts;
use ringway_shared::config::Severity;
use ringway_shared::connection::ConnectionId;
use ringway_shared::datagram::Drop;
use ringway_shared::exemplar::Exemplars;
use ringway_shared::metrics::{ByReason, Cells, FAMILIES, Family, Source};
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Protocol};
use ringway_shared::upstream::{UpstreamResult, UpstreamState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    /// The configured users.
    pub users: Vec<UserRow>,
    /// The configured upstream proxies.
    pub upstreams: Vec<UpstreamState>,
    pub clients: ClientFacts,
    pub http: &'a HttpFacts,
    pub log_lines_dropped: u64,
    pub quota_save_failures: u64,
    /// `None`: it is off.
    pub history: Option<HistoryFacts>,
    /// Fetches of keys for JSON Web Tokens that succeeded, and that failed.
    pub key_fetches: [u64; 2],
    pub certificates: CertificateFacts,
    pub alerts: AlertFacts,
    /// How often a configuration has been applied.
    pub config_generation: u64,
    pub reloads: ReloadFacts,
}

/// What became of the reloads of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ReloadFacts {
    /// Whether the last one succeeded, or changed nothing. True before the first: the start counts as one.
    pub last_successful: bool,
    /// When a configuration was last read without a fault.
    pub last_success: SystemTime,
    pub succeeded: u64,
    pub failed: u64,
    pub unchanged: u64,
}

impl ReloadFacts {
    /// What is known before the first reload: a configuration was read at the start.
    #[must_use]
    pub fn at_start() -> ReloadFacts {
        let last_success = SystemTime::now();
        ReloadFacts { last_successful: true, last_success, succeeded: 0, failed: 0, unchanged: 0 }
    }
}

/// What is told of alerts in metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlertFacts {
    pub counts: Counts,
    pub silences: u64,
    pub deliveries: Tally,
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
        for family in FAMILIES.iter().copied() {
            self.write(family, facts, &mut page.family(family.into()));
        }
        process::write(&self.process.read(), &mut page);
        let text = page.finish();
        self.length = text.len();
        text
    }

    fn write(&self, family: &Family, facts: &Facts<'_>, samples: &mut Samples<'_>) {
        let cells = facts.cells;
        match family.source {
            Source::Sum(value) => samples.put(&[], sum(cells, value)),
            Source::Worker(value) => {
                for (worker, cells) in cells.iter().enumerate() {
                    samples.put(&[&worker.to_string()], value(cells));
                }
            }
            Source::Reason(of) => by_reason(cells, of, samples),
            Source::Rows(rows, value) => {
                for (row, labels) in rows().iter().enumerate() {
                    samples.put(labels, sum(cells, |cells| value(cells, row)));
                }
            }
            Source::Merged(of) => {
                let exemplar = |bucket| newest_exemplar(family.exemplars?, facts, bucket);
                samples.distribution(family.buckets, cells.iter().map(|cells| of(cells)), exemplar);
            }
            Source::Control => self.write_own(family, facts, samples),
        }
    }

    /// The families that the control plane knows by itself.
    fn write_own(&self, family: &Family, facts: &Facts<'_>, samples: &mut Samples<'_>) {
        let host = &facts.snapshot.host;
        match family.name {
            name if name.starts_with("worker_") => write_worker(family, facts.snapshot, samples),
            name if name.starts_with("history_") => write_history(family, facts, samples),
            name if name.starts_with("listener_") => write_listener(family, facts.snapshot, samples),
            name if name.starts_with("config_") => write_configuration(family, facts, samples),
            name if name.starts_with("alert") => write_alerts(family, &facts.alerts, samples),
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
                samples.distribution(family.buckets, std::iter::once(facts.http.durations()), |_| None);
            }
            "control_auth_failures" => {
                Failure::ALL.into_iter().for_each(|it| samples.put(&[it.label()], facts.http.refused(it)));
            }
            "http_requests_in_flight" => samples.put(&[], facts.http.in_flight()),
            "log_lines_dropped" => samples.put(&[], facts.log_lines_dropped),
            "build_info" => samples.put(&[self.build.version, self.build.commit], 1),
            "tls_certificate_expiry_timestamp_seconds" => {
                for (service, expiry) in SHOWN_BY.iter().zip(facts.certificates.expiries) {
                    expiry.into_iter().for_each(|end| samples.put(&[service.label()], end.as_secs()));
                }
            }
            "tls_certificate_reload_failures" => samples.put(&[], facts.certificates.failures),
            _ => write_service(family, facts, samples),
        }
    }
}

/// Below so much of a CPU for each worker, how unevenly it is shared says nothing.
const IDLE_SHARE: f64 = 0.01;

/// Those of them that tell of the workers.
fn write_worker(family: &Family, snapshot: &Snapshot, samples: &mut Samples<'_>) {
    let rows = &snapshot.workers;
    let mut each = |value: fn(&WorkerRow) -> f64| {
        for (worker, row) in rows.iter().enumerate() {
            samples.put(&[&worker.to_string()], value(row));
        }
    };
    match family.name {
        "worker_busy_seconds" => each(|row| row.times.busy.as_secs_f64()),
        "worker_runnable_wait_seconds" => each(|row| row.times.waited.as_secs_f64()),
        "worker_timeslices" => each(|row| row.times.slices as f64),
        "worker_heartbeat_age_seconds" => each(|row| row.heartbeat_age.as_secs_f64()),
        "worker_driver" => {
            for (worker, row) in rows.iter().enumerate() {
                samples.put(&[&worker.to_string(), row.driver.label()], 1);
            }
        }
        "worker_connections_skew_ratio" => {
            samples.put(&[], skew(rows.iter().map(|row| row.connections as f64), 0.0));
        }
        "worker_busy_skew_ratio" => {
            samples.put(&[], skew(rows.iter().map(|row| row.busy_share), IDLE_SHARE));
        }
        unknown => debug_assert!(false, "{unknown} is in the catalogue and has no value here"),
    }
}

/// Those of them that tell of the listeners.
fn write_listener(family: &Family, snapshot: &Snapshot, samples: &mut Samples<'_>) {
    for row in &snapshot.listeners {
        let (service, address) = (row.service, &*row.address.to_string());
        match family.name {
            "listener_connections_active" => samples.put(&[service, address], row.active),
            "listener_connections" => samples.put(&[service, address], row.opened),
            "listener_connections_failed" => samples.put(&[service, address], row.failed),
            "listener_traffic_bytes" => {
                samples.put(&[service, address, SENT], row.sent_bytes);
                samples.put(&[service, address, RECEIVED], row.received_bytes);
            }
            unknown => debug_assert!(false, "{unknown} is in the catalogue and has no value here"),
        }
    }
}

/// Those of them that tell of the configuration.
fn write_configuration(family: &Family, facts: &Facts<'_>, samples: &mut Samples<'_>) {
    let reloads = &facts.reloads;
    match family.name {
        "config_generation" => samples.put(&[], facts.config_generation),
        "config_last_reload_successful" => samples.put(&[], u8::from(reloads.last_successful)),
        "config_last_reload_success_timestamp_seconds" => {
            let unix = reloads.last_success.duration_since(UNIX_EPOCH).unwrap_or_default();
            samples.put(&[], unix.as_secs_f64());
        }
        "config_reloads" => {
            samples.put(&["succeeded"], reloads.succeeded);
            samples.put(&["failed"], reloads.failed);
            samples.put(&["unchanged"], reloads.unchanged);
        }
        unknown => debug_assert!(false, "{unknown} is in the catalogue and has no value here"),
    }
}

/// Those of them that tell of alerts.
fn write_alerts(family: &Family, alerts: &AlertFacts, samples: &mut Samples<'_>) {
    let mut each = |counts: [u64; Severity::ALL.len()]| {
        Severity::ALL
            .iter()
            .zip(counts)
            .for_each(|(severity, count)| samples.put(&[severity.label()], count));
    };
    match family.name {
        "alerts_firing" => each(alerts.counts.firing),
        "alerts_pending" => each(alerts.counts.pending),
        "alert_silences" => samples.put(&[], alerts.silences),
        "alert_webhook_deliveries" => {
            let results = Delivery::ALL.iter().zip(alerts.deliveries);
            results.for_each(|(result, count)| samples.put(&[result.label()], count));
        }
        unknown => debug_assert!(false, "{unknown} is in the catalogue and has no value here"),
    }
}

/// Those of them that tell of the history; none while it is off.
fn write_history(family: &Family, facts: &Facts<'_>, samples: &mut Samples<'_>) {
    let Some(history) = facts.history else { return };
    match family.name {
        "history_last_write_successful" => samples.put(&[], u8::from(history.last_write_successful)),
        "history_write_failures" => samples.put(&[], history.write_failures),
        "history_records_lost" => samples.put(&[], history.minutes_lost),
        "history_file_size_bytes" => samples.put(&[], history.file_bytes),
        unknown => debug_assert!(false, "{unknown} is in the catalogue and has no value here"),
    }
}

/// The values of the label `direction`.
const SENT: &str = "sent";
const RECEIVED: &str = "received";

/// Those of them that tell of the services.
fn write_service(family: &Family, facts: &Facts<'_>, samples: &mut Samples<'_>) {
    let Facts { users, upstreams, .. } = facts;
    match family.name {
        "socks5_handshakes" => {
            samples.put(&["success"], sum(facts.cells, |cells| cells.handshakes_succeeded.get()));
            by_reason(facts.cells, |cells| &cells.handshakes_failed, samples);
        }
        "socks5_traffic_speed_bytes_per_second" => {
            samples.put(&[SENT], facts.snapshot.rates.sent_bytes);
            samples.put(&[RECEIVED], facts.snapshot.rates.received_bytes);
        }
        "socks5_user_connections_active" => {
            users.iter().for_each(|user| samples.put(&[&user.name], user.active));
        }
        "socks5_user_connections_failed" => {
            users.iter().for_each(|user| samples.put(&[&user.name], user.failed));
        }
        "socks5_user_traffic" => {
            for user in users {
                samples.put(&[&user.name, SENT], user.sent_bytes);
                samples.put(&[&user.name, RECEIVED], user.received_bytes);
            }
        }
        "socks5_user_quota_bytes_left" => {
            let left = users.iter().filter_map(|user| Some((&user.name, user.quota_left?)));
            left.for_each(|(name, left)| samples.put(&[name], left));
        }
        "socks5_quota_save_failures" => samples.put(&[], facts.quota_save_failures),
        "socks5_clients_banned_active" => samples.put(&[], facts.clients.banned),
        "socks5_clients_untracked" => samples.put(&[], facts.clients.untracked),
        "websocket_gateway_online_users" => samples.put(&[], facts.clients.online_users),
        "websocket_token_key_fetches" => {
            let results = ["succeeded", "failed"].into_iter().zip(facts.key_fetches);
            results.for_each(|(result, count)| samples.put(&[result], count));
        }
        "socks5_requests" => requests(facts.cells, samples),
        "socks5_udp_datagrams" => {
            samples.put(&[SENT], sum(facts.cells, |cells| cells.udp_sent.get()));
            samples.put(&[RECEIVED], sum(facts.cells, |cells| cells.udp_received.get()));
        }
        "socks5_udp_datagrams_dropped" => {
            for drop in Drop::ALL {
                let dropped = sum(facts.cells, |cells| cells.udp_dropped.of(*drop).get());
                samples.put(&[drop.label()], dropped);
            }
        }
        "socks5_upstream_up" => {
            upstreams.iter().for_each(|it| samples.put(&[&it.name], u64::from(it.up)));
        }
        "socks5_upstream_connections" => {
            for UpstreamState { name, usage, .. } in upstreams {
                for result in UpstreamResult::ALL {
                    samples.put(&[name, result.label()], usage.counted(result));
                }
            }
        }
        unknown => debug_assert!(false, "{unknown} is in the catalogue and has no value here"),
    }
}

/// The newest of all workers' exemplars of a bucket.
fn newest_exemplar(of: fn(&Cells) -> &Exemplars, facts: &Facts<'_>, bucket: usize) -> Option<Exemplar> {
    let held = |(worker, cells): (usize, &Arc<Cells>)| Some((worker, of(cells).of_bucket(bucket)?));
    let all = facts.cells.iter().enumerate().filter_map(held);
    let (worker, exemplar) = all.max_by_key(|(_, exemplar)| exemplar.at_ms)?;
    Some(Exemplar {
        connection: ConnectionId { worker, connection: exemplar.connection },
        value_us: exemplar.value_us,
        at: facts.snapshot.unix_of(Duration::from_millis(exemplar.at_ms)),
    })
}

fn sum(cells: &[Arc<Cells>], value: impl Fn(&Cells) -> u64) -> u64 {
    cells.iter().map(|cells| value(cells)).sum()
}

fn by_reason(cells: &[Arc<Cells>], of: fn(&Cells) -> &ByReason, samples: &mut Samples<'_>) {
    for reason in Reason::ALL {
        samples.put(&[reason.label()], sum(cells, |cells| of(cells).of(*reason).get()));
    }
}

/// Each protocol with each command, but those it has no way to ask for.
fn requests(cells: &[Arc<Cells>], samples: &mut Samples<'_>) {
    for protocol in Protocol::ALL {
        for command in Command::ALL.into_iter().filter(|command| protocol.knows(*command)) {
            let asked = sum(cells, |cells| cells.requests.of(protocol, command).get());
            samples.put(&[protocol.label(), command.label()], asked);
        }
    }
}

#[cfg(test)]
mod tests;
