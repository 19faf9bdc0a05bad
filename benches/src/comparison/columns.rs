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
    higher("rate", "connections_per_second", "connections per second"),
    lower("rate", "total_p99_us", "connection, p99 us"),
    lower("rate", "server_cpu_us_per_connection", "CPU us per connection"),
    lower("pingpong", "latency_p50_us", "ping-pong at 20k/s, p50 us"),
    lower("pingpong", "latency_p99_us", "ping-pong at 20k/s, p99 us"),
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
    lower("udp_echo", "server_cpu_us_per_datagram", "datagrams, 10k/s of 200 B there and back: CPU us each"),
    lower("udp_echo", "loss_percent", "datagrams, 10k/s of 200 B there and back: % lost"),
    lower("udp_echo", "latency_p50_us", "datagrams, 10k/s of 200 B there and back: p50 us"),
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
