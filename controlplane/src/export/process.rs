//! The `process_*` families, as the packages `metrics-process` and `metrics-exporter-prometheus` know them.

use super::page::{Head, Page};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use metrics_process::Collector;
use ringway_shared::metrics::Kind;

/// Reads this process's facts. Its recorder has no listener and no upkeep: it holds a dozen scalars and no samples.
pub struct Process {
    collector: Collector,
    recorder: PrometheusRecorder,
}

impl Process {
    #[must_use]
    pub fn new() -> Process {
        let (collector, recorder) = (Collector::default(), PrometheusBuilder::new().build_recorder());
        metrics::with_local_recorder(&recorder, || collector.describe());
        Process { collector, recorder }
    }

    /// The recorder's text of now: `# HELP`, `# TYPE` and one sample without labels for each family.
    #[must_use]
    pub fn read(&self) -> String {
        metrics::with_local_recorder(&self.recorder, || self.collector.collect());
        self.recorder.handle().render()
    }
}

/// Writes a recorder's text as families of ours: sorted, and in the page's format.
pub fn write(text: &str, page: &mut Page) {
    for (head, value) in families(text) {
        page.family(head).put(&[], value);
    }
}

/// The heads and values in a recorder's text, by name.
#[must_use]
pub fn families(text: &str) -> Vec<(Head<'_>, &str)> {
    let helps = || text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter_map(|line| line.split_once(' '));
    let mut families: Vec<_> = samples
        .map(|(sample, value)| {
            let help = helps().find(|(name, _)| *name == sample).map_or("", |(_, help)| help);
            // The package keeps CPU time in a gauge, since a recorder's counters hold whole numbers only.
            let (name, kind) =
                sample.strip_suffix("_total").map_or((sample, Kind::Gauge), |name| (name, Kind::Counter));
            let units = ["seconds", "bytes"];
            let unit = units.into_iter().find(|unit| name.ends_with(unit)).unwrap_or("");
            (Head { name, help, kind, unit, labels: &[] }, value)
        })
        .collect();
    families.sort_by_key(|(head, _)| head.name);
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_families_are_there() {
        let text = Process::new().read();
        let names: Vec<_> = families(&text).iter().map(|(head, _)| head.name).collect();
        let usual = [
            "process_cpu_seconds",
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_threads",
            "process_virtual_memory_bytes",
            "process_virtual_memory_max_bytes",
        ];
        assert_eq!(names, usual);
        for (head, value) in families(&text) {
            assert!(!head.help.is_empty(), "{}", head.name);
            assert!(value.parse::<f64>().is_ok(), "{} {value}", head.name);
        }
    }
}
