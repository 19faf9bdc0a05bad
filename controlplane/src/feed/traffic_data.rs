//! `traffic_data`: connections, traffic, latencies. All of it stands in `/stats` too, by the same names where it can: what a page shows
//! is what a script reads.

use serde_json::{Map, Value as Json, json};

/// Histograms, as `/stats` has them.
const LATENCIES: &[&str] = &["connect", "dns", "session", "loop_lag", "websocket_push"];

/// What is told, of the figures that `/stats` shows.
pub fn told(figures: &Json) -> Json {
    let (connections, websocket, queue) =
        (&figures["connections"], &figures["websocket"], &figures["message_queue"]);
    let latency = LATENCIES.iter().map(|name| ((*name).to_owned(), figures["quantiles"][name].clone()));
    json!({
        "uptime_seconds": figures["uptime_seconds"],
        "connections": {
            "active": connections["active_connections"],
            "total": connections["total"],
            "per_second": connections["per_second"],
            "failed": connections["failed"],
            "failed_per_second": connections["failed_per_second"],
        },
        "traffic": figures["traffic"],
        "websocket": {
            "active": websocket["active_connections"],
            "total": websocket["total"],
            "online_users": websocket["online_users"],
            "subscriptions": websocket["subscriptions"],
            "topics": websocket["topics"],
            "received_messages": websocket["received_messages"],
            "sent_messages": websocket["sent_messages"],
            "publications": websocket["publications"],
            "deliveries": websocket["deliveries"],
            "dropped": sum(&websocket["dropped"]),
            "queued_messages": queue["queued_messages"],
            "queued_bytes": queue["queued_bytes"],
            "received_messages_per_second": websocket["received_messages_per_second"],
            "deliveries_per_second": websocket["deliveries_per_second"],
        },
        "udp": figures["udp"],
        "latency": Json::Object(latency.collect()),
        "closed": not_zero(&connections["closed"]),
    })
}

fn counts(of: &Json) -> impl Iterator<Item = (&String, u64)> {
    of.as_object().into_iter().flatten().filter_map(|(label, count)| Some((label, count.as_u64()?)))
}

fn sum(of: &Json) -> u64 {
    counts(of).map(|(_, count)| count).sum()
}

/// Those that have come at all: there are many reasons, and few of them come.
fn not_zero(of: &Json) -> Json {
    let come = counts(of).filter(|(_, count)| *count > 0);
    Json::Object(come.map(|(label, count)| (label.clone(), json!(count))).collect::<Map<_, _>>())
}
