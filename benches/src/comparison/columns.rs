//! What is compared: figure by figure of scripts/bench.sh, key by key of its report.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

pub struct Metric {
    /// The load, as scripts/bench.sh labels it.
    pub figure: &'static str,
    /// The key in its report.
    pub key: &'static str,
    pub title: &'static str,
    pub better: Better,
}

impl Metric {
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.figure, self.key)
    }
}

/// All metrics, in the order of the table.
pub const METRICS: &[Metric] = &[
    higher("bulk_1", "gb_per_second", "bulk, 1 stream: GB/s"),
    lower("bulk_1", "server_cpu_ms_per_gb", "bulk, 1 stream: CPU ms per GB"),
    higher("bulk_64", "gb_per_second", "bulk, 64 streams: GB/s"),
    lower("bulk_64", "server_cpu_ms_per_gb", "bulk, 64 streams: CPU ms per GB"),
    higher("both_64", "gb_per_second", "both ways, 64 streams: GB/s"),
    lower("both_64", "server_cpu_ms_per_gb", "both ways, 64 streams: CPU ms per GB"),
    higher("rate", "connections_per_second", "connections per second, 64 at once"),
    lower("rate", "total_p99_us", "connection, 64 at once: p99 us"),
    lower("rate", "total_usual_p99_us", "connection, 64 at once: usual p99 us"),
    lower("rate", "server_cpu_us_per_connection", "CPU us per connection, 64 at once"),
    higher("rate_256", "connections_per_second", "connections per second, 256 at once"),
    lower("rate_256", "total_p99_us", "connection, 256 at once: p99 us"),
    lower("rate_256", "total_usual_p99_us", "connection, 256 at once: usual p99 us"),
    lower("rate_256", "server_cpu_us_per_connection", "CPU us per connection, 256 at once"),
    lower("pingpong", "latency_p50_us", "ping-pong at 20k/s, p50 us"),
    lower("pingpong", "latency_usual_p99_us", "ping-pong at 20k/s, usual p99 us"),
    lower("pingpong", "server_cpu_us_per_round_trip", "CPU us per round trip"),
    lower("wwr", "wwr_p50_us", "write-write-read, p50 us"),
    lower("idle", "pss_kib_per_connection", "user memory per idle connection, KiB"),
    lower("idle", "fds_per_connection", "descriptors per idle connection"),
    lower("udp_up", "server_cpu_us_per_datagram", "datagrams, 50k/s up: CPU us each"),
    lower("udp_up", "loss_percent", "datagrams, 50k/s up: % lost"),
    lower("udp_up", "latency_p50_us", "datagrams, 50k/s up: p50 us"),
    lower("udp_down", "server_cpu_us_per_datagram", "datagrams, 50k/s down: CPU us each"),
    lower("udp_down", "loss_percent", "datagrams, 50k/s down: % lost"),
    lower("udp_down", "latency_p50_us", "datagrams, 50k/s down: p50 us"),
    lower("udp_both", "server_cpu_us_per_datagram", "datagrams, 50k/s each way: CPU us each"),
    lower("udp_both", "loss_percent", "datagrams, 50k/s each way: % lost"),
    lower("udp_both", "latency_p50_us", "datagrams, 50k/s each way: p50 us"),
    lower(
        "udp_trains",
        "server_cpu_us_per_datagram",
        "datagrams, 50k/s each way in trains of 10, GRO: CPU us each",
    ),
    lower("udp_trains", "loss_percent", "datagrams, 50k/s each way in trains of 10, GRO: % lost"),
    lower("udp_trains", "latency_p50_us", "datagrams, 50k/s each way in trains of 10, GRO: p50 us"),
    lower(
        "udp_trains_busy",
        "server_cpu_us_per_datagram",
        "datagrams, 200k/s each way in trains of 10, GRO: CPU us each",
    ),
    lower("udp_trains_busy", "loss_percent", "datagrams, 200k/s each way in trains of 10, GRO: % lost"),
    lower("udp_echo", "server_cpu_us_per_datagram", "datagrams, 10k/s of 200 B there and back: CPU us each"),
    lower("udp_echo", "loss_percent", "datagrams, 10k/s of 200 B there and back: % lost"),
    lower("udp_echo", "latency_p50_us", "datagrams, 10k/s of 200 B there and back: p50 us"),
    higher("ws_echo", "messages_per_second", "echo 125 B, 64 connections: per second"),
    lower("ws_echo", "server_cpu_us_per_message", "echo 125 B: CPU us each"),
    lower("ws_echo", "latency_usual_p99_us", "echo 125 B, 64 connections: usual p99 us"),
    higher("ws_pipelined", "messages_per_second", "echo 125 B, 32 under way on each of 64: per second"),
    lower("ws_pipelined", "server_cpu_us_per_message", "echo 125 B, 32 under way: CPU us each"),
    higher("ws_echo_16k", "messages_per_second", "echo 16 KiB, 64 connections: per second"),
    lower("ws_echo_16k", "server_cpu_us_per_message", "echo 16 KiB: CPU us each"),
    lower("ws_echo_rate", "latency_p50_us", "echo at 20k/s, open loop: p50 us"),
    lower("ws_echo_rate", "latency_usual_p99_us", "echo at 20k/s, open loop: usual p99 us"),
    lower("ws_echo_rate", "server_cpu_us_per_message", "echo at 20k/s: CPU us each"),
    higher("ws_fanout_1000", "deliveries_per_second", "fan-out of 200 B to 1,000: deliveries per second"),
    lower("ws_fanout_1000", "server_cpu_us_per_delivery", "fan-out to 1,000: CPU us per delivery"),
    lower("ws_fanout_1000", "latency_usual_p99_us", "fan-out to 1,000: usual p99 us"),
    higher("ws_fanout_5000", "deliveries_per_second", "fan-out of 200 B to 5,000: deliveries per second"),
    lower("ws_fanout_5000", "server_cpu_us_per_delivery", "fan-out to 5,000: CPU us per delivery"),
    higher("ws_burst_10", "deliveries_per_second", "bursts of 10 to 1,000: deliveries per second"),
    lower("ws_burst_10", "server_cpu_us_per_delivery", "bursts of 10 to 1,000: CPU us per delivery"),
    lower("ws_fanout_rate", "latency_p50_us", "100 publications/s to 1,000, open loop: p50 us"),
    lower("ws_fanout_rate", "latency_usual_p99_us", "100 publications/s to 1,000, open loop: usual p99 us"),
    higher("ws_storm", "upgrades_per_second", "upgrades per second"),
    lower("ws_storm", "server_cpu_us_per_upgrade", "CPU us per upgrade"),
    lower("ws_storm", "total_usual_p99_us", "upgrade, usual p99 us"),
    lower("ws_idle", "pss_kib_per_connection", "user memory per idle subscribed connection, KiB"),
    lower("ws_slow", "latency_p99_ratio", "p99 beside 200 that never read, over p99 without them"),
    lower(
        "ws_slow",
        "latency_usual_p99_ratio",
        "usual p99 beside 200 that never read, over the one without them",
    ),
    lower("ws_beside", "latency_p99_us", "relay ping-pong during a fan-out to 10,000: p99 us"),
    lower("ws_slow", "server_pss_kib_with", "memory beside 200 that never read, KiB"),
];

/// The metric of this figure and key. Panics if the table lacks it: who asks names a constant.
#[must_use]
pub fn metric(figure: &str, key: &str) -> &'static Metric {
    let found = METRICS.iter().find(|metric| metric.figure == figure && metric.key == key);
    found.expect("the bars name metrics of the table")
}

const fn higher(figure: &'static str, key: &'static str, title: &'static str) -> Metric {
    Metric { figure, key, title, better: Better::Higher }
}

const fn lower(figure: &'static str, key: &'static str, title: &'static str) -> Metric {
    Metric { figure, key, title, better: Better::Lower }
}
