//! A connection as JSON. Its names are those of the access log.

use ringway_shared::inspect::{Details, OfService, Row};
use serde_json::{Value as Json, json};
use std::time::Duration;

pub fn row(row: &Row) -> Json {
    let mut shown = json!({
        "id": row.id.to_string(),
        "worker": row.id.worker,
        "service": row.id.connection.service.label(),
        "client": row.client.to_string(),
        "user": row.user.as_deref(),
        "tls": row.tls,
        "phase": row.phase,
        "age_seconds": seconds(row.age),
        "idle_seconds": seconds(row.idle),
        "sent_bytes": row.sent_bytes,
        "received_bytes": row.received_bytes,
    });
    let more = match &row.of {
        OfService::Socks5 { protocol, command, target, address, upstream } => json!({
            "protocol": protocol.map(|protocol| protocol.label()),
            "command": command.map(|command| command.label()),
            "target": target.as_ref().map(ToString::to_string),
            "address": address.map(|address| address.to_string()),
            "upstream": upstream.as_deref(),
        }),
        OfService::WebSocket {
            path,
            client_id,
            compressed,
            subscriptions,
            queued_messages,
            queued_bytes,
            sent_messages,
            received_messages,
        } => json!({
            "path": path,
            "client_id": client_id,
            "compressed": compressed,
            "subscriptions": subscriptions,
            "queued_messages": queued_messages,
            "queued_bytes": queued_bytes,
            "sent_messages": sent_messages,
            "received_messages": received_messages,
        }),
    };
    merge(&mut shown, more);
    shown
}

pub fn details(details: &Details) -> Json {
    let mut shown = row(&details.row);
    if let OfService::WebSocket { .. } = details.row.of {
        merge(&mut shown, json!({"topics": details.topics.iter().map(|topic| &**topic).collect::<Vec<_>>()}));
    }
    shown
}

fn merge(into: &mut Json, more: Json) {
    if let (Some(into), Json::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// To the millisecond.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}
