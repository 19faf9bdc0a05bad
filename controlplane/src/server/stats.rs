//! `GET /stats`: the numbers a person or a small script asks for, as JSON.

use super::answer::Answer;
use super::asked::Asked;
use super::health::condition;
use super::route::{Route, json, ok};
use super::state::State;
use crate::guard::Scope;
use crate::observe::{ListenerRow, Merged, Snapshot};
use ringway_shared::closing::Closing;
use ringway_shared::gateway::{Dropped, Frame};
use ringway_shared::metrics::{Cell, Cells, WebSocketCells};
use serde_json::{Value as Json, json};
use std::sync::Arc;

type Of = fn(&Snapshot) -> (&Merged, &Merged);

/// Histograms by the name they have here: all there ever was, and of late.
const QUANTILES: &[(&str, Of)] = &[
    ("connect", |snapshot| (&snapshot.connect, &snapshot.recent.connect)),
    ("dns", |snapshot| (&snapshot.dns, &snapshot.recent.dns)),
    ("session", |snapshot| (&snapshot.session, &snapshot.recent.session)),
    ("loop_lag", |snapshot| (&snapshot.loop_lag, &snapshot.recent.loop_lag)),
    ("websocket_push", |snapshot| (&snapshot.websocket_push, &snapshot.recent.websocket_push)),
];

pub const ROUTES: &[Route] = &[Route::get(
    "/stats",
    Scope::Read,
    stats,
    "Connections, traffic, quantiles and workers, as JSON.",
    &[ok("The numbers.", json("Stats"))],
)];

/// `GET /stats`
pub fn stats(state: &State, _: &Asked) -> Answer {
    Answer::json(200, &figures(state))
}

/// Everything that is shown there.
pub fn figures(state: &State) -> Json {
    let now = state.snapshot();
    let quantiles = QUANTILES.iter().map(|(name, of)| ((*name).to_owned(), with_recent(of(&now), &now)));
    json!({
        "uptime_seconds": now.uptime.as_secs(),
        "connections": {
            "active_connections": now.active,
            "total": now.opened,
            "per_second": now.rates.connections,
            "failed": now.failed,
            "failed_per_second": now.rates.failed,
            "closed": closed(&now),
        },
        "traffic": {
            "sent_bytes": now.sent_bytes,
            "received_bytes": now.received_bytes,
            "sent_bytes_per_second": now.rates.sent_bytes,
            "received_bytes_per_second": now.rates.received_bytes,
        },
        "listeners": now.listeners.iter().map(listener).collect::<Vec<_>>(),
        "udp": {
            "active_associations": now.udp.active,
            "associations": now.udp.opened,
            "sent_datagrams": now.udp.sent_datagrams,
            "received_datagrams": now.udp.received_datagrams,
        },
        "logins": {"failed": now.logins_failed, "clients_banned": now.clients_banned},
        "websocket": state.with_cells(|cells| websocket(cells, &now, (state.staff.online_users)())),
        "message_queue": state.with_cells(|cells| message_queue(cells, now.inbox_messages)),
        "memory": {"resident_bytes": crate::system::resident_bytes()},
        "quantiles": Json::Object(quantiles.collect()),
        "workers": workers(state, &now),
    })
}

/// Every reason, those that never came among them, so that scripts find each key.
fn closed(now: &Snapshot) -> Json {
    by_label(now.closed.iter().map(|(reason, count)| (reason.label(), *count)))
}

/// One address that clients come in by.
fn listener(row: &ListenerRow) -> Json {
    json!({
        "service": row.service,
        "address": row.address.to_string(),
        "active_connections": row.active,
        "total": row.opened,
        "failed": row.failed,
        "sent_bytes": row.sent_bytes,
        "received_bytes": row.received_bytes,
    })
}

/// The gateway: its connections, what is published and what becomes of it.
fn websocket(cells: &[Arc<Cells>], now: &Snapshot, online_users: u64) -> Json {
    let sum = |of: fn(&WebSocketCells) -> u64| cells.iter().map(|cells| of(&cells.websocket)).sum::<u64>();
    let closed =
        |closing: Closing| cells.iter().map(|cells| cells.websocket.closed[closing as usize].get()).sum();
    let dropped =
        |dropped: Dropped| cells.iter().map(|cells| cells.websocket.dropped[dropped as usize].get()).sum();
    let messages = |frames: &[Cell; Frame::COUNT]| {
        frames[Frame::Text as usize].get() + frames[Frame::Binary as usize].get()
    };
    json!({
        "active_connections": sum(WebSocketCells::active),
        "total": sum(|cells| cells.upgraded.get()),
        "failed": now.websocket_failed,
        "online_users": online_users,
        "subscriptions": sum(|cells| cells.subscriptions.get()),
        "topics": sum(|cells| cells.topics.get()),
        "received_messages": cells.iter().map(|cells| messages(&cells.websocket.received)).sum::<u64>(),
        "sent_messages": cells.iter().map(|cells| messages(&cells.websocket.sent)).sum::<u64>(),
        "received_messages_per_second": now.rates.received_messages,
        "received_bytes": sum(|cells| cells.received_bytes.get()),
        "sent_bytes": sum(|cells| cells.sent_bytes.get()),
        "publications": sum(|cells| cells.publications.get()),
        "deliveries": sum(|cells| cells.delivered.get()),
        "deliveries_per_second": now.rates.deliveries,
        "dropped": by_label(Dropped::ALL.iter().map(|it| (it.label(), dropped(*it)))),
        "upgrades_refused": sum(|cells| cells.refused.iter().map(Cell::get).sum()),
        "closed": by_label(Closing::ALL.iter().map(|it| (it.label(), closed(*it)))),
    })
}

/// What is on its way: to the workers (all that ever was), and to connections that are behind.
fn message_queue(cells: &[Arc<Cells>], inbox_messages: u64) -> Json {
    let sum = |of: fn(&WebSocketCells) -> u64| cells.iter().map(|cells| of(&cells.websocket)).sum::<u64>();
    json!({
        "inbox_messages": inbox_messages,
        "queued_messages": sum(|cells| cells.queued_messages.get()),
        "queued_bytes": sum(|cells| cells.queued_bytes.get()),
    })
}

/// Every label, those that never came among them.
fn by_label(counts: impl Iterator<Item = (&'static str, u64)>) -> Json {
    Json::Object(counts.map(|(label, count)| (label.to_owned(), json!(count))).collect())
}

fn with_recent((all, recent): (&Merged, &Merged), now: &Snapshot) -> Json {
    let (mut all, mut recent) = (quantiles(all), quantiles(recent));
    recent["seconds"] = json!(now.recent.seconds);
    all["recent"] = recent;
    all
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
            "generation": state.with_cells(|cells| cells.get(index).map_or(0, |cells| cells.generation.get())),
            "connections": row.connections,
            "heartbeat_age_ms": row.heartbeat_age.as_millis() as u64,
            "driver": row.driver.label(),
            "busy_seconds": row.times.busy.as_secs_f64(),
            "busy_share": row.busy_share,
            "state": condition(row, state.running.config().workers.stalled_after),
        })
    });
    rows.collect()
}
