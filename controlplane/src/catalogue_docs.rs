//! docs/metrics.md, printed from the catalogue; the tests print tuning/prometheus/recording.yml too.

use crate::export::page::{Head, kind_word};
use crate::export::process::{Process, families};
use ringway_shared::metrics::{FAMILIES, Kind};
use std::fmt::Write;

/// A group's title and how its families' names begin. The first that fits counts.
const GROUPS: &[(&str, &[&str])] = &[
    ("The host", &["socks5_system_"]),
    ("SOCKS5", &["socks5_"]),
    ("WebSocket", &["websocket_"]),
    ("Listeners", &["listener_"]),
    ("TLS", &["tls_"]),
    ("Workers", &["worker_"]),
    ("The history", &["history_"]),
    ("The control port and the log", &["http_", "control_", "log_"]),
    ("Alerts", &["alert"]),
    ("Build and configuration", &["build_", "config_"]),
    ("The process", &["process_"]),
];

const INTRODUCTION: &str = "# Metrics

<!-- Printed from the catalogue in shared/src/metrics.rs. `RINGWAY_BLESS=1 cargo test -p ringway-controlplane` writes it anew. -->

`GET /metrics` on the control port answers in Prometheus text, or in OpenMetrics where `Accept` prefers it. Names are given as
scraped. A histogram `x` has the samples `x_bucket{le}`, `x_sum` and `x_count`. Every family is there from the first scrape on,
each reason and each worker with a zero; families labelled `user` or `upstream`, and `http_requests_total`, gain a sample for
each configured user (that of quotas: for each with a quota) or proxy, and for each kind of answer given; those labelled `address` for each listener, and for
listeners that reloads have taken away (up to 64, and those with connections). No label is taken from what a client sends: the series are bounded.

`direction` is `sent` or `received`, as clients see it: `sent` goes from clients to targets. For the host it is out of and into
its interfaces. On the gateway `received` is from clients, `sent` to them. For `reason`, and for `result` where it is not `success`, see shared/src/reason.rs;
`failed` counts connections that ended by what these files call a failure: a refusal, or a fault of the protocol, the target or ringway; who leaves,
is idle or is ended by the operator has not failed. For those of dropped datagrams shared/src/datagram.rs, for the gateway's shared/src/closing.rs and shared/src/gateway.rs. Counters start at zero with
the process, the host's at its boot.

A page is written at most four times a second for each format: scrapes in between get the same one. `Cache-Control: no-cache` asks for a
new one, which may wait for 20 ms; all who do meanwhile get the same. In OpenMetrics the buckets of `socks5_connect_duration_seconds` and `websocket_push_latency_seconds` have exemplars: a value of the last
seconds and the connection it was measured on ([operations](operations.md)). Queries that name counters without `_total` find them by the
rules in tuning/prometheus/recording.yml.
";

/// The whole document.
#[must_use]
pub fn metrics_markdown() -> String {
    let process = Process::new().read();
    let ours = FAMILIES.iter().copied().map(|family| (Head::from(family), family.buckets));
    let theirs = families(&process).into_iter().map(|(head, _)| (head, &[][..]));
    let mut text = INTRODUCTION.to_owned();
    let mut group = "";
    for (head, buckets) in ours.chain(theirs) {
        let title = group_of(head.name);
        if title != group {
            group = title;
            text.extend([
                "\n## ",
                title,
                "\n\n| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n",
            ]);
        }
        write_row(&mut text, &head, buckets);
    }
    text
}

fn write_row(text: &mut String, head: &Head<'_>, buckets: &[f64]) {
    let Head { name, help, kind, unit, labels } = *head;
    let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
    let (suffix, labels) = (head.suffix(), labels.join(", "));
    // Writing to a String cannot fail.
    let _ = write!(text, "| `{name}{suffix}` | {} | {unit} | {labels} | {help}", kind_word(kind));
    if kind == Kind::Histogram {
        let bounds: Vec<_> = buckets.iter().map(f64::to_string).collect();
        let _ = write!(text, " Buckets: {}.", bounds.join(", "));
    }
    text.push_str(" |\n");
}

fn group_of(name: &str) -> &'static str {
    let fits = |(_, starts): &&(_, &[&str])| starts.iter().any(|start| name.starts_with(start));
    GROUPS.iter().find(fits).map_or("Others", |(title, _)| title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

    const RULES_HEAD: &str = "# Printed from the catalogue in shared/src/metrics.rs. `RINGWAY_BLESS=1 cargo test -p ringway-controlplane` writes it anew.
#
# ringway's counters under their names without `_total`, with all their labels: for queries and dashboards that were written for
# those names. They hold what the scraped series hold, as of each evaluation. New queries need none of this.
# Check it with `promtool check rules recording.yml`.
groups:
  - name: ringway_counters_without_total
    rules:
";

    /// Recording rules that give each counter its name without `_total` as well.
    fn recording_rules() -> String {
        let counters = FAMILIES.iter().filter(|family| family.kind == Kind::Counter);
        let rules = counters.map(|family| {
            format!("      - record: {name}\n        expr: {name}_total\n", name = family.name)
        });
        RULES_HEAD.to_owned() + &rules.collect::<String>()
    }

    const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tuning/prometheus/recording.yml");

    fn assert_fresh(path: &str, text: &str) {
        if std::env::var_os("RINGWAY_BLESS").is_some() {
            std::fs::write(path, text).unwrap();
        }
        let held = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(text, held, "{path} is stale: run with RINGWAY_BLESS=1");
    }

    #[test]
    fn the_documents_are_fresh() {
        assert_fresh(DOCUMENT, &metrics_markdown());
        assert_fresh(RULES, &recording_rules());
    }

    /// Those that people have queries for under either name.
    const PROMISED_COUNTERS: &[&str] = &[
        "socks5_proxy_connections",
        "socks5_traffic_bytes_sent",
        "socks5_traffic_bytes_received",
        "socks5_user_traffic",
        "socks5_handshakes",
        "socks5_connections_closed",
        "socks5_system_network_bytes",
        "websocket_connections_opened",
        "websocket_messages_sent",
        "websocket_messages_received",
        "websocket_messages",
        "websocket_errors",
        "websocket_closes",
        "websocket_dropped",
        "http_requests",
        "worker_busy_seconds",
        "config_reloads",
    ];

    #[test]
    fn every_promised_counter_has_its_rule_and_no_rule_hides_another_metric() {
        let rules = recording_rules();
        for name in PROMISED_COUNTERS {
            assert!(rules.contains(&format!("- record: {name}\n        expr: {name}_total\n")), "{name}");
        }
        let scraped = |family: &&&ringway_shared::metrics::Family| family.kind != Kind::Counter;
        for family in FAMILIES.iter().filter(scraped) {
            assert!(!rules.contains(&format!("record: {}\n", family.name)), "{}", family.name);
        }
    }

    #[test]
    fn every_family_stands_in_one_group_and_every_group_stands_once() {
        let text = metrics_markdown();
        let titles: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let once: HashSet<_> = titles.iter().collect();
        assert_eq!(titles.len(), GROUPS.len(), "{titles:?}");
        assert_eq!(once.len(), GROUPS.len(), "{titles:?}");
        assert!(!titles.contains(&"Others"));
    }
}
