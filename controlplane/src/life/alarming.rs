//! What alerts are told of each second.

use super::Life;
use crate::alerts::facts::Facts;
use crate::alerts::{Alerts, Own};
use crate::certificates::SHOWN_BY;
use crate::observe::Snapshot;
use crate::server;
use crate::system;
use ringway_shared::metrics::Cells;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const DAY: f64 = 24.0 * 3600.0;

impl Life {
    /// Holds this second against the rules. Whoever has handed over watches no more: the next process does.
    pub(super) fn watch_alerts(&self) {
        if self.handed_over.get() {
            return;
        }
        let (config, alerts) = (self.running.config(), self.follow_alerts());
        let snapshot = self.state.snapshot();
        let facts = self.facts(&snapshot, config.workers.stalled_after);
        alerts.watch(facts);
    }

    /// Alerts, under the configuration in force.
    fn follow_alerts(&self) -> &Rc<Alerts> {
        let (config, alerts) = (self.running.config(), &self.state.alerts);
        alerts.follow(&config.alerts, self.running.generation(), || self.own_names());
        alerts
    }

    /// Goes on with the alerts of the process before.
    pub(super) fn inherit_alerts(&self, rows: Vec<String>) {
        if !rows.is_empty() {
            self.follow_alerts().inherit(&rows);
        }
    }

    /// The host's name and the control port.
    fn own_names(&self) -> Own {
        let addresses = self.ports.addresses();
        let open = addresses.http.first().map(|address| ("http", address.port()));
        let port = open.or(addresses.https.first().map(|address| ("https", address.port())));
        let host = system::host_name();
        match port {
            Some((scheme, port)) => {
                let instance = format!("{host}:{port}");
                Own { url: format!("{scheme}://{instance}"), instance }
            }
            None => Own { url: format!("http://{host}"), instance: host },
        }
    }

    fn facts(&self, snapshot: &Snapshot, stalled_after: Duration) -> Facts {
        let sum = |of: &dyn Fn(&Cells) -> u64| self.cells.iter().map(|cells| of(cells)).sum::<u64>();
        let sick = |row| ["stalled", "died"].contains(&server::condition(row, stalled_after));
        let rows = snapshot.workers.iter();
        Facts {
            // Who opens the dashboard to see an alert does not end it.
            connections: sum(&Cells::guestless_sockets),
            connections_share: f64::max(
                share(sum(&|cells| cells.clients_now.get()), self.workers.connections_max()),
                share(
                    sum(&|cells| cells.websocket.client_sockets()),
                    self.workers.websocket_connections_max(),
                ),
            ),
            ended: Some((ended(snapshot, &self.cells), snapshot.failed + snapshot.websocket_failed)),
            traffic_bytes: snapshot.sent_bytes.saturating_add(snapshot.received_bytes),
            worker_busy: rows.clone().map(|row| row.busy_share).fold(0.0, f64::max),
            stalled_workers: rows.enumerate().filter(|(_, row)| sick(row)).map(|(index, _)| index).collect(),
            quotas: self.quota_shares(),
            upstreams_down: {
                let upstreams = self.workers.upstreams().into_iter();
                upstreams.filter(|upstream| !upstream.up).map(|upstream| upstream.name).collect()
            },
            reload_failed: !self.running.reloads.get().last_successful,
            certificates_days: {
                let expiries = SHOWN_BY.iter().zip(self.certificate_facts.get().expiries);
                let days = |end: Duration| (end.as_secs_f64() - snapshot.unix.as_secs_f64()) / DAY;
                expiries.filter_map(|(service, end)| Some((service.label(), days(end?)))).collect()
            },
            loop_lag_p99: {
                let lag = &snapshot.recent.loop_lag;
                (!lag.is_empty()).then(|| Duration::from_micros(lag.value_at_quantile(0.99)))
            },
            websocket_dropped: sum(&|cells| cells.websocket.dropped.iter().map(|cell| cell.get()).sum()),
            ..Facts::default()
        }
    }

    fn quota_shares(&self) -> Vec<(Arc<str>, f64)> {
        let accounts = self.workers.accounts().into_iter();
        let used = accounts.filter_map(|account| {
            let quota = account.user.quota?;
            Some((account.user.name.clone(), share(account.usage.quota_used.load(Relaxed), quota.bytes)))
        });
        used.collect()
    }
}

/// Connections that have ended, of both services.
fn ended(snapshot: &Snapshot, cells: &[Arc<Cells>]) -> u64 {
    let websocket = cells.iter().flat_map(|cells| &cells.websocket.closed).map(|cell| cell.get());
    snapshot.closed.iter().map(|(_, count)| *count).chain(websocket).sum()
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
