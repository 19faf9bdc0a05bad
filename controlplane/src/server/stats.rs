//! `GET /stats`: the numbers a person or a small script asks for, as JSON.

use super::answer::Answer;
use super::asked::Asked;
use super::health::condition;
use super::state::State;
use crate::observe::{Merged, Snapshot};
use serde_json::{Value as Json, json};

type Of = fn(&Snapshot) -> &Merged;

/// Histograms by the name they have here.
const QUANTILES: &[(&str, Of)] = &[
    ("connect", |snapshot| &snapshot.connect),
    ("dns", |snapshot| &snapshot.dns),
    ("session", |snapshot| &snapshot.session),
    ("loop_lag", |snapshot| &snapshot.loop_lag),
];

/// `GET /stats`
pub fn stats(state: &State, _: &Asked) -> Answer {
    let now = state.snapshot();
    let quantiles = QUANTILES.iter().map(|(name, of)| ((*name).to_owned(), quantiles(of(&now))));
    let body = json!({
        "uptime_seconds": now.uptime.as_secs(),
        "connections": {
            "active_connections": now.active,
            "total": now.opened,
            "per_second": now.rates.connections,
            "closed": closed(&now),
        },
        "traffic": {
            "sent_bytes": now.sent_bytes,
            "received_bytes": now.received_bytes,
            "sent_bytes_per_second": now.rates.sent_bytes,
            "received_bytes_per_second": now.rates.received_bytes,
        },
        "udp": {
            "active_associations": now.udp.active,
            "associations": now.udp.opened,
            "sent_datagrams": now.udp.sent_datagrams,
            "received_datagrams": now.udp.received_datagrams,
        },
        "logins": {"failed": now.logins_failed, "clients_banned": now.clients_banned},
        "message_queue": {"inbox_messages": now.inbox_messages},
        "memory": {"resident_bytes": crate::system::resident_bytes()},
        "quantiles": Json::Object(quantiles.collect()),
        "workers": workers(state, &now),
    });
    Answer::json(200, &body)
}

/// Every reason, those that never came among them, so that scripts find each key.
fn closed(now: &Snapshot) -> Json {
    let by_reason = now.closed.iter();
    Json::Object(by_reason.map(|(reason, count)| (reason.label().to_owned(), json!(count))).collect())
}

fn quantiles(merged: &Merged) -> Json {
    let ms = |microseconds: u64| microseconds as f64 / 1000.0;
    json!({
        "count": merged.len(),
        "p50_ms": ms(merged.value_at_quantile(0.50)),
        "p90_ms": ms(merged.value_at_quantile(0.90)),
        "p99_ms": ms(merged.value_at_quantile(0.99)),
        "max_ms": ms(merged.max()),
    })
}

fn workers(state: &State, now: &Snapshot) -> Vec<Json> {
    let rows = now.workers.iter().enumerate().map(|(index, row)| {
        json!({
            "worker": index,
            "connections": row.connections,
            "heartbeat_age_ms": row.heartbeat_age.as_millis() as u64,
            "driver": row.driver.label(),
            "busy_seconds": row.busy.as_secs_f64(),
            "state": condition(row, state.facts.stalled_after),
        })
    });
    rows.collect()
}
