//! THE TABLE of what can be watched: reading, documents and the engine's units come from here.

/// What a rule may watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    Connections,
    ConnectionsShare,
    FailedPerSecond,
    FailedShare,
    TrafficChange,
    CpuPercent,
    WorkerBusyShare,
    MemoryBytes,
    MemoryShare,
    DescriptorsShare,
    StalledWorkers,
    QuotaShare,
    UpstreamsDown,
    ConfigReloadFailed,
    CertificatesExpireDays,
    LoopLagMs,
    WebsocketDroppedPerSecond,
}

/// What a measure's values are, and how a threshold is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Percent,
    PerSecond,
    Bytes,
    Milliseconds,
    Days,
}

impl Unit {
    /// The name used in answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["count", "percent", "per_second", "bytes", "milliseconds", "days"][self as usize]
    }

    /// A threshold as it is written.
    #[must_use]
    pub fn example(self) -> &'static str {
        ["100", "90%", "5/s", "2GiB", "50ms", "14d"][self as usize]
    }

    /// A value for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        let plain = |most: i32| {
            let scale = 10_f64.powi(most);
            format!("{}", (value * scale).round() / scale)
        };
        match self {
            Unit::Count => plain(2),
            Unit::Percent => plain(1) + "%",
            Unit::PerSecond => plain(2) + "/s",
            Unit::Milliseconds => plain(1) + " ms",
            Unit::Days => plain(1) + " days",
            Unit::Bytes => shown_bytes(value),
        }
    }
}

fn shown_bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{} {}", (value * 10.0).round() / 10.0, units[unit])
}

/// A measure, its name, its unit, and what it is.
type Row = (Measure, &'static str, Unit, &'static str);

/// In the order of [`Measure`]'s variants.
pub const MEASURES: [Row; 17] = [
    (
        Measure::Connections,
        "connections",
        Unit::Count,
        "Client connections open now, of both services. Readers of the live feed by the control port are none.",
    ),
    (
        Measure::ConnectionsShare,
        "connections_share",
        Unit::Percent,
        "The same, by the most there may be of the service that is nearest to its limit.",
    ),
    (
        Measure::FailedPerSecond,
        "failed_per_second",
        Unit::PerSecond,
        "Connections that ended by a failure, over the last minute. Not known in the first minute of a process.",
    ),
    (
        Measure::FailedShare,
        "failed_share",
        Unit::Percent,
        "The share of failures among the connections that ended in the last minute; 0 while fewer than 20 did. Not known in the first minute \
         of a process.",
    ),
    (
        Measure::TrafficChange,
        "traffic_change",
        Unit::Percent,
        "SOCKS5 bytes per second over the last 10 s, both directions, against their own level of the last 10 minutes: `-80%` is a fifth of it, \
         `300%` four times. Not known in the first 10 minutes of a process; 0 while both are below 64 KiB/s.",
    ),
    (
        Measure::CpuPercent,
        "cpu_percent",
        Unit::Percent,
        "CPU time of this process over the last 10 s; one CPU is 100%.",
    ),
    (
        Measure::WorkerBusyShare,
        "worker_busy_share",
        Unit::Percent,
        "CPU time of the busiest worker over the last second; it has one CPU at most.",
    ),
    (Measure::MemoryBytes, "memory_bytes", Unit::Bytes, "Resident memory of this process."),
    (
        Measure::MemoryShare,
        "memory_share",
        Unit::Percent,
        "The same, by what it may have: its control group's limit, or the host's memory.",
    ),
    (
        Measure::DescriptorsShare,
        "descriptors_share",
        Unit::Percent,
        "Open file descriptors, by the limit of the process.",
    ),
    (
        Measure::StalledWorkers,
        "stalled_workers",
        Unit::Count,
        "Workers whose heartbeat is older than `workers.stalled_after`, or that died.",
    ),
    (
        Measure::QuotaShare,
        "quota_share",
        Unit::Percent,
        "What each user has used of its quota: an alert for each, with the label `user`, for the 100 nearest to its end.",
    ),
    (Measure::UpstreamsDown, "upstreams_down", Unit::Count, "Upstream proxies that get no connections."),
    (
        Measure::ConfigReloadFailed,
        "config_reload_failed",
        Unit::Count,
        "1 if the last reload of the configuration was refused, else 0.",
    ),
    (
        Measure::CertificatesExpireDays,
        "certificates_expire_days",
        Unit::Days,
        "Until the first certificate ends: an alert for each service that shows some, with the label `service`.",
    ),
    (
        Measure::LoopLagMs,
        "loop_lag_ms",
        Unit::Milliseconds,
        "The 99th percentile of how late the workers' ticks came, over the last seconds.",
    ),
    (
        Measure::WebsocketDroppedPerSecond,
        "websocket_dropped_per_second",
        Unit::PerSecond,
        "Publications that were not delivered to a slow WebSocket connection, over the last minute. Not known in the first minute of a \
         process.",
    ),
];

/// The words for them.
pub const WORDS: [(&str, Measure); MEASURES.len()] = words();

const fn words() -> [(&'static str, Measure); MEASURES.len()] {
    let mut words = [("", Measure::Connections); MEASURES.len()];
    let mut index = 0;
    while index < MEASURES.len() {
        words[index] = (MEASURES[index].1, MEASURES[index].0);
        index += 1;
    }
    words
}

impl Measure {
    fn row(self) -> &'static Row {
        &MEASURES[self as usize]
    }

    /// The name used in the configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        self.row().1
    }

    #[must_use]
    pub fn unit(self) -> Unit {
        self.row().2
    }

    /// The label that tells its alerts from each other; `None`: there is one alert at most.
    #[must_use]
    pub fn subject(self) -> Option<&'static str> {
        match self {
            Measure::QuotaShare => Some("user"),
            Measure::CertificatesExpireDays => Some("service"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_variants() {
        for (index, (measure, name, _, doc)) in MEASURES.iter().enumerate() {
            assert_eq!(*measure as usize, index, "{name}");
            assert!(doc.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn values_are_shown_with_their_units() {
        for (unit, value, shown) in [
            (Unit::Count, 3.0, "3"),
            (Unit::Percent, 91.26, "91.3%"),
            (Unit::PerSecond, 0.333_3, "0.33/s"),
            (Unit::Bytes, 1_610_612_736.0, "1.5 GiB"),
            (Unit::Bytes, 12.0, "12 B"),
            (Unit::Milliseconds, 50.04, "50 ms"),
            (Unit::Days, 13.5, "13.5 days"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }
}
