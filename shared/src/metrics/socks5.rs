//! The families of the SOCKS5 service.

use super::Kind::{Counter, Gauge, Histogram as Distribution};
use super::Source::{self, Control, Merged, Sum};
use super::{CONNECT_BUCKETS, Cells, Family, SESSION_BUCKETS, family};

pub const FAMILIES: &[Family] = &[
    family(
        "socks5_proxy_connections_active",
        Gauge,
        Sum(Cells::active),
        "SOCKS5 client connections open now.",
    ),
    family(
        "socks5_proxy_connections",
        Counter,
        Sum(|c| c.opened.get()),
        "SOCKS5 client connections accepted.",
    ),
    family(
        "socks5_connections_closed",
        Counter,
        Source::Reason(|c| &c.closed),
        "SOCKS5 client connections ended, by reason.",
    )
    .labels(&["reason"]),
    family(
        "socks5_handshakes",
        Counter,
        Control,
        "SOCKS5 handshakes by result: success, or the reason that ended them.",
    )
    .labels(&["result"]),
    family("socks5_requests", Counter, Control, "Whole requests, served or not, by protocol and command.")
        .labels(&["protocol", "command"]),
    family("socks5_logins_failed", Counter, Sum(|c| c.logins_failed.get()), "Logins that were refused."),
    family(
        "socks5_clients_banned",
        Counter,
        Sum(|c| c.clients_banned.get()),
        "Bans of clients for failed logins.",
    ),
    family("socks5_clients_banned_active", Gauge, Control, "Clients that are banned now."),
    family(
        "socks5_clients_untracked",
        Counter,
        Control,
        "Clients that could not be counted because their table was full of others.",
    ),
    family(
        "socks5_traffic_bytes_sent",
        Counter,
        Sum(|c| c.sent_bytes.get()),
        "Payload bytes relayed from clients to targets.",
    ),
    family(
        "socks5_traffic_bytes_received",
        Counter,
        Sum(|c| c.received_bytes.get()),
        "Payload bytes relayed from targets to clients.",
    ),
    family(
        "socks5_traffic_speed_bytes_per_second",
        Gauge,
        Control,
        "Payload bytes relayed per second, over the last second.",
    )
    .labels(&["direction"]),
    family("socks5_user_connections_active", Gauge, Control, "Connections open now, by configured user.")
        .labels(&["user"]),
    family(
        "socks5_user_connections_failed",
        Counter,
        Control,
        "Connections that ended by a failure, by configured user.",
    )
    .labels(&["user"]),
    family(
        "socks5_user_traffic",
        Counter,
        Control,
        "Payload bytes relayed, by configured user and direction.",
    )
    .labels(&["user", "direction"]),
    family(
        "socks5_user_quota_bytes_left",
        Gauge,
        Control,
        "Payload bytes a user may still move in this period, by user with a quota.",
    )
    .labels(&["user"]),
    family(
        "socks5_quota_save_failures",
        Counter,
        Control,
        "Times the quota file could not be read or saved.",
    ),
    family("socks5_upstream_up", Gauge, Control, "1 for an upstream proxy that gets connections, 0 for one that is down.")
        .labels(&["upstream"]),
    family(
        "socks5_upstream_connections",
        Counter,
        Control,
        "Connections asked of upstream proxies, by what came of it: connected, target_failed, refused, unreachable.",
    )
    .labels(&["upstream", "result"]),
    family("socks5_udp_associations_active", Gauge, Sum(Cells::udp_active), "UDP associations open now."),
    family("socks5_udp_associations", Counter, Sum(|c| c.udp_opened.get()), "UDP associations begun."),
    family("socks5_udp_datagrams", Counter, Control, "UDP datagrams relayed, by direction.")
        .labels(&["direction"]),
    family("socks5_udp_datagrams_dropped", Counter, Control, "UDP datagrams dropped, by reason.")
        .labels(&["reason"]),
    family(
        "socks5_connect_duration_seconds",
        Distribution,
        Merged(|c| &c.connect),
        "Time from the first connect(2) to an established connection or to giving up.",
    )
    .unit("seconds")
    .buckets(CONNECT_BUCKETS)
    .exemplars(|c| &c.connect_exemplars),
    family(
        "socks5_dns_duration_seconds",
        Distribution,
        Merged(|c| &c.dns),
        "Time from a name's question to its answer, cached answers included.",
    )
    .unit("seconds")
    .buckets(CONNECT_BUCKETS),
    family(
        "socks5_session_duration_seconds",
        Distribution,
        Merged(|c| &c.session),
        "Time from accept to the end of the connection.",
    )
    .unit("seconds")
    .buckets(SESSION_BUCKETS),
    family(
        "socks5_session_records_dropped",
        Counter,
        Sum(|c| c.session_records_dropped.get()),
        "Access records dropped because their queue was full.",
    ),
];
