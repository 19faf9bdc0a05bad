//! The families of the WebSocket gateway.

use super::Kind::{Counter, Gauge, Histogram as Distribution};
use super::Source::{self, Control, Merged, Sum};
use super::{CONNECT_BUCKETS, Family, SESSION_BUCKETS, family};
use crate::closing::{CODE_LABELS, Closing};
use crate::feed::Feed;
use crate::gateway::{Dropped, Frame, Refused};

/// Bytes.
const SIZE_BUCKETS: &[f64] =
    &[16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 16777216.0];

fn each(labels: impl IntoIterator<Item = &'static str>) -> Vec<Vec<&'static str>> {
    labels.into_iter().map(|label| vec![label]).collect()
}

/// Closings that are errors.
fn errors() -> impl Iterator<Item = Closing> {
    Closing::ALL.iter().copied().filter(|closing| closing.is_error())
}

fn frames_each_way() -> Vec<Vec<&'static str>> {
    let received = Frame::ALL.iter().map(|frame| vec![frame.label(), "received"]);
    received.chain(Frame::ALL.iter().map(|frame| vec![frame.label(), "sent"])).collect()
}

pub const FAMILIES: &[Family] = &[
    family("websocket_connections", Gauge, Sum(|c| c.websocket.active()), "WebSocket connections open now."),
    family("websocket_feed_connections", Gauge, Sum(|c| c.websocket.by_control_port.get()), "WebSocket connections open now that came by the control port, to read the live feed; among `websocket_connections`."),
    family("websocket_connections_opened", Counter, Sum(|c| c.websocket.upgraded.get()), "WebSocket connections opened: upgrades accepted."),
    family("websocket_sockets_accepted", Counter, Sum(|c| c.websocket.opened.get()), "Connections accepted on the gateway's listeners, upgraded or not."),
    family("websocket_upgrades_refused", Counter, Source::Rows(|| each(Refused::ALL.iter().map(|it| it.label())), |c, row| c.websocket.refused[row].get()), "Upgrade requests refused, by reason.").labels(&["reason"]),
    family("websocket_gateway_online_users", Gauge, Control, "Users with at least one connection now; anonymous ones are not counted."),
    family("websocket_token_key_fetches", Counter, Control, "Fetches of `websocket.jwt.jwks_url`, by result.").labels(&["result"]),
    family("websocket_messages_received", Counter, Sum(|c| c.websocket.received[0].get() + c.websocket.received[1].get()), "Messages from clients, texts and binaries."),
    family("websocket_messages_sent", Counter, Sum(|c| c.websocket.sent[0].get() + c.websocket.sent[1].get()), "Messages handed to the kernel for clients, texts and binaries."),
    family(
        "websocket_messages",
        Counter,
        Source::Rows(frames_each_way, |c, row| {
            let ways = [&c.websocket.received, &c.websocket.sent];
            ways[row / Frame::COUNT][row % Frame::COUNT].get()
        }),
        "Messages and control frames, by type and direction.",
    )
    .labels(&["type", "direction"]),
    family(
        "websocket_traffic_bytes",
        Counter,
        Source::Rows(|| each(["received", "sent"]), |c, row| [&c.websocket.received_bytes, &c.websocket.sent_bytes][row].get()),
        "Bytes by direction: received, payload of messages, inflated; sent, frames as they go out.",
    )
    .unit("bytes")
    .labels(&["direction"]),
    family("websocket_message_size_bytes", Distribution, Merged(|c| &c.websocket.message_size), "Size of messages from clients, inflated.").unit("bytes").buckets(SIZE_BUCKETS),
    family("websocket_requests_refused", Counter, Sum(|c| c.websocket.requests_refused.get()), "Clients' requests that were answered with an error."),
    family(
        "websocket_errors",
        Counter,
        Source::Rows(|| each(errors().map(Closing::label)), |c, row| errors().nth(row).map_or(0, |closing| c.websocket.closed[closing as usize].get())),
        "Connections that ended by an error, by kind.",
    )
    .labels(&["kind"]),
    family(
        "websocket_connections_closed",
        Counter,
        Source::Rows(|| each(Closing::ALL.iter().map(|it| it.label())), |c, row| c.websocket.closed[row].get()),
        "Connections ended, upgraded or not, by reason.",
    )
    .labels(&["reason"]),
    family(
        "websocket_closes",
        Counter,
        Source::Rows(|| each(CODE_LABELS), |c, row| c.websocket.closes[row].get()),
        "WebSocket connections ended, by close code: the client's if it closed, else ours; 1006 without a close frame.",
    )
    .labels(&["code"]),
    family("websocket_subscriptions", Gauge, Sum(|c| c.websocket.subscriptions.get()), "Subscriptions there are now."),
    family(
        "websocket_feed_subscriptions",
        Gauge,
        Source::Rows(|| each(Feed::ALL.map(Feed::topic)), |c, row| c.websocket.feed_subscriptions[row].get()),
        "Subscriptions to the live feed there are now, by topic.",
    )
    .labels(&["topic"]),
    family("websocket_topics", Gauge, Sum(|c| c.websocket.topics.get()), "Topics with subscribers, history or presence now."),
    family("websocket_publications", Counter, Sum(|c| c.websocket.publications.get()), "Publications accepted."),
    family("websocket_publications_refused", Counter, Sum(|c| c.websocket.publications_refused.get()), "Publications refused because a worker's backlog was full."),
    family("websocket_deliveries_due", Counter, Sum(|c| c.websocket.due.get()), "Deliveries due: each accepted publication once for each subscriber. Equals delivered, dropped and queued together."),
    family("websocket_deliveries", Counter, Sum(|c| c.websocket.delivered.get()), "Deliveries handed to the kernel whole."),
    family(
        "websocket_dropped",
        Counter,
        Source::Rows(|| each(Dropped::ALL.iter().map(|it| it.label())), |c, row| c.websocket.dropped[row].get()),
        "Deliveries dropped, by reason.",
    )
    .labels(&["reason"]),
    family("websocket_queued_messages", Gauge, Sum(|c| c.websocket.queued_messages.get()), "Messages waiting for connections now."),
    family("websocket_queued_bytes", Gauge, Sum(|c| c.websocket.queued_bytes.get()), "Bytes waiting for connections now, a shared publication counted for each.").unit("bytes"),
    family("websocket_history_bytes", Gauge, Sum(|c| c.websocket.history_bytes.get()), "Bytes of publications kept as history now.").unit("bytes"),
    family("websocket_push_latency_seconds", Distribution, Merged(|c| &c.websocket.push_latency), "Time from a publication's arrival to its last byte given to the kernel, for each delivery.").unit("seconds").buckets(CONNECT_BUCKETS).exemplars(|c| &c.websocket.push_exemplars),
    family("websocket_connection_duration_seconds", Distribution, Merged(|c| &c.websocket.duration), "Time from upgrade to end.").unit("seconds").buckets(SESSION_BUCKETS),
];
