//! The bars: what the subject must reach, as a ratio to a peer of the same run or as an absolute figure.

use super::ratio::bracket;
use super::{Better, Comparison, Metric, Ratio, metric};
use serde_json::{Value, json};

/// Whom a bar is set by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// HAProxy in TCP mode, which has no handshake to do.
    Haproxy,
    /// hev-socks5-server, the strongest relay of datagrams measured; it takes part by `--server`.
    Hev,
    /// The least a relay, a relay of datagrams or a WebSocket server can do.
    Bare,
    /// Whichever SOCKS5 server the subject compares worst with at this metric.
    BestSocks5,
    /// Whichever peer that is.
    BestPeer,
    /// Nobody: the limit is absolute.
    Absolute,
}

/// The ratio, or the median where the bar is absolute, must be at least `limit` where higher is better, at most where lower is.
pub struct Bar {
    /// Figure and key of a metric.
    pub metric: (&'static str, &'static str),
    pub against: Against,
    pub limit: f64,
}

use Against::{Absolute, Bare, BestPeer, BestSocks5, Haproxy, Hev};

/// The relay's and the gateway's rows of the design's bars.
pub const BARS: &[Bar] = &[
    bar("bulk_1", "server_cpu_ms_per_gb", Haproxy, 1.0),
    bar("bulk_1", "server_cpu_ms_per_gb", BestSocks5, 0.75),
    bar("bulk_1", "gb_per_second", Haproxy, 1.0),
    bar("bulk_1", "gb_per_second", BestSocks5, 1.0),
    bar("bulk_64", "server_cpu_ms_per_gb", Haproxy, 1.0),
    bar("bulk_64", "server_cpu_ms_per_gb", BestSocks5, 0.75),
    bar("bulk_64", "gb_per_second", Haproxy, 1.0),
    bar("bulk_64", "gb_per_second", BestSocks5, 1.0),
    bar("rate", "connections_per_second", BestSocks5, 1.15),
    bar("rate", "total_p99_us", BestSocks5, 1.0 / 1.15),
    bar("rate", "total_usual_p99_us", BestSocks5, 1.0 / 1.15),
    bar("rate", "server_cpu_us_per_connection", Haproxy, 1.1),
    bar("rate_256", "connections_per_second", BestSocks5, 1.15),
    bar("rate_256", "total_p99_us", BestSocks5, 1.0 / 1.15),
    bar("rate_256", "total_usual_p99_us", BestSocks5, 1.0 / 1.15),
    bar("rate_256", "server_cpu_us_per_connection", Haproxy, 1.1),
    bar("pingpong", "server_cpu_us_per_round_trip", BestPeer, 1.0),
    bar("pingpong", "server_cpu_us_per_round_trip", Bare, 1.1),
    bar("wwr", "wwr_p50_us", Absolute, 1500.0),
    bar("wwr", "wwr_p50_us", BestPeer, 1.0),
    bar("idle", "pss_kib_per_connection", Absolute, 3.0),
    bar("idle", "pss_kib_per_connection", BestPeer, 1.0),
    bar("idle", "fds_per_connection", Absolute, 2.0),
    bar("udp_up", "server_cpu_us_per_datagram", Bare, 1.1),
    bar("udp_up", "loss_percent", Absolute, 0.1),
    bar("udp_down", "server_cpu_us_per_datagram", Bare, 1.1),
    bar("udp_down", "loss_percent", Absolute, 0.1),
    bar("udp_both", "server_cpu_us_per_datagram", Bare, 1.1),
    bar("udp_both", "loss_percent", Absolute, 0.1),
    bar("udp_trains", "server_cpu_us_per_datagram", Absolute, 1.5),
    bar("udp_trains_busy", "server_cpu_us_per_datagram", Absolute, 1.5),
    bar("udp_echo", "server_cpu_us_per_datagram", Hev, 0.8),
    bar("udp_echo", "server_cpu_us_per_datagram", BestSocks5, 1.0),
    bar("ws_echo", "messages_per_second", BestPeer, 1.0),
    bar("ws_echo", "server_cpu_us_per_message", BestPeer, 1.0),
    bar("ws_pipelined", "messages_per_second", BestPeer, 1.0),
    bar("ws_pipelined", "server_cpu_us_per_message", BestPeer, 1.0),
    bar("ws_echo_16k", "messages_per_second", BestPeer, 1.0),
    bar("ws_echo_16k", "server_cpu_us_per_message", BestPeer, 1.0),
    bar("ws_fanout_1000", "deliveries_per_second", BestPeer, 1.0),
    bar("ws_fanout_1000", "server_cpu_us_per_delivery", BestPeer, 1.0),
    bar("ws_fanout_5000", "deliveries_per_second", BestPeer, 1.0),
    bar("ws_fanout_5000", "server_cpu_us_per_delivery", BestPeer, 1.0),
    bar("ws_burst_10", "deliveries_per_second", BestPeer, 1.0),
    bar("ws_burst_10", "server_cpu_us_per_delivery", BestPeer, 1.0),
    bar("ws_storm", "upgrades_per_second", BestPeer, 1.0),
    bar("ws_storm", "server_cpu_us_per_upgrade", BestPeer, 1.0),
    bar("ws_idle", "pss_kib_per_connection", Absolute, 0.6),
    bar("ws_slow", "latency_p99_ratio", Absolute, 1.1),
    bar("ws_slow", "latency_usual_p99_ratio", Absolute, 1.1),
    bar("ws_beside", "latency_p99_us", Absolute, 5000.0),
];

const fn bar(figure: &'static str, key: &'static str, against: Against, limit: f64) -> Bar {
    Bar { metric: (figure, key), against, limit }
}

/// Limits, and another build of the subject.
const NO_PEERS: [&str; 5] = ["direct", "bare", "bare_socks5", "bare_trains", "before"];

/// Which of the suites of scripts/bench.sh a figure belongs to.
pub(super) fn suite(figure: &str) -> &'static str {
    ["ws", "udp"].into_iter().find(|suite| figure.starts_with(suite)).unwrap_or("relay")
}

/// How the subject stands to one bar.
pub struct Verdict {
    pub bar: &'static Bar,
    pub metric: &'static Metric,
    /// The peer that set the bar, or `-`.
    pub against: String,
    /// The ratio; where the bar is absolute, the median and its bracket.
    pub found: Ratio,
    pub cleared: bool,
}

impl Verdict {
    /// Whether the bar is within what the rounds leave open.
    #[must_use]
    pub fn is_close(&self) -> bool {
        self.found.bracket.is_some_and(|(low, high)| low <= self.bar.limit && self.bar.limit <= high)
    }

    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "metric": self.metric.name(),
            "against": self.against,
            "limit": self.bar.limit,
            "value": self.found.value,
            "cleared": self.cleared,
            "close": self.is_close(),
        })
    }
}

/// None: the run lacks the subject, or a peer that the bar asks for.
#[must_use]
pub fn judge(comparison: &Comparison, bar: &'static Bar) -> Option<Verdict> {
    let metric = metric(bar.metric.0, bar.metric.1);
    let (against, found) = match bar.against {
        Absolute => {
            let mut sorted = comparison.values(&comparison.subject, metric).to_vec();
            sorted.sort_by(f64::total_cmp);
            let value = comparison.median(&comparison.subject, metric)?;
            ("-".to_owned(), Ratio { value, bracket: bracket(&sorted) })
        }
        _ => {
            let peer = rival(comparison, bar.against, metric)?;
            (peer.to_owned(), comparison.ratio(peer, metric)?)
        }
    };
    // What is exactly on the bar clears it, whatever the last bit of a division says.
    let slack = bar.limit * 1e-3;
    let cleared = match metric.better {
        Better::Higher => found.value >= bar.limit - slack,
        Better::Lower => found.value <= bar.limit + slack,
    };
    Some(Verdict { bar, metric, against, found, cleared })
}

/// The best, by this metric, of the peers that the bar speaks of: the one that the subject compares worst with, round by round.
pub(super) fn rival<'a>(comparison: &'a Comparison, against: Against, metric: &Metric) -> Option<&'a str> {
    let is_asked = |peer: &&String| match against {
        Haproxy => *peer == "haproxy",
        Hev => *peer == "hev",
        Bare => *peer == "bare",
        // `before` is ringway itself, in another build.
        BestSocks5 => *peer != "haproxy" && !NO_PEERS.contains(&peer.as_str()),
        BestPeer | Absolute => !NO_PEERS.contains(&peer.as_str()),
    };
    let peers = comparison.peers.iter().filter(|peer| **peer != comparison.subject).filter(is_asked);
    let by_ratio = peers.filter_map(|peer| Some((comparison.ratio(peer, metric)?.value, peer.as_str())));
    let best = match metric.better {
        Better::Higher => by_ratio.min_by(|one, other| one.0.total_cmp(&other.0)),
        Better::Lower => by_ratio.max_by(|one, other| one.0.total_cmp(&other.0)),
    };
    best.map(|(_, peer)| peer)
}
