//! Many reports of one bench run -> the median of each figure and peer, ratios to each peer round by round, and the bars.
//!
//! A report takes part by its labels: `peer` (whom it measured), `figure` (which load), `round`.

mod bars;
mod columns;
mod markdown;
mod page;
mod ratio;
mod repeat;
mod rounds;
mod stored;

pub use bars::{BARS, Bar, Verdict, judge};
pub use columns::{Better, METRICS, Metric, metric};
pub use markdown::markdown;
pub use page::put;
pub use ratio::Ratio;
pub use repeat::{TOLERANCE, repeated};

use rounds::Rounds;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The share of its core from which on the load was the limit.
const LOAD_FULL: f64 = 0.97;

/// Everything measured, by peer, figure and key: one value a round.
#[derive(Default)]
pub struct Comparison {
    pub title: String,
    /// How it was measured.
    pub notes: Vec<String>,
    /// Whose ratios are asked for.
    pub subject: String,
    /// In the order in which they were first seen, the subject first if it was there at all.
    pub peers: Vec<String>,
    values: BTreeMap<(String, String, String), Rounds>,
}

impl Comparison {
    fn new(subject: &str) -> Comparison {
        Comparison { subject: subject.into(), ..Comparison::default() }
    }

    /// Reads JSON lines. Errors name the line.
    pub fn read(lines: &str, subject: &str) -> Result<Comparison, String> {
        let mut comparison = Comparison::new(subject);
        for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            comparison.add(line).map_err(|fault| format!("line {}: {fault}", number + 1))?;
        }
        comparison.peers.sort_by_key(|peer| peer != subject);
        Ok(comparison)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let report: Map<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let label = |key: &str| {
            report.get(key).and_then(Value::as_str).ok_or_else(|| format!("there is no label {key}"))
        };
        let (peer, figure) = (label("peer")?, label("figure")?);
        let round = report.get("round").and_then(Value::as_str).and_then(|round| round.parse().ok());
        if !self.peers.iter().any(|known| known == peer) {
            self.peers.push(peer.into());
        }
        for (key, value) in &report {
            if let Some(value) = value.as_f64() {
                self.values.entry((peer.into(), figure.into(), key.clone())).or_default().add(round, value);
            }
        }
        Ok(())
    }

    /// The values of all rounds.
    #[must_use]
    pub fn values(&self, peer: &str, metric: &Metric) -> &[f64] {
        self.rounds_of(peer, metric.figure, metric.key).map_or(&[], Rounds::values)
    }

    fn rounds_of(&self, peer: &str, figure: &str, key: &str) -> Option<&Rounds> {
        self.values.get(&(peer.to_owned(), figure.to_owned(), key.to_owned()))
    }

    /// The median of what is no metric: memory, or the load's share of its core.
    fn beside(&self, peer: &str, figure: &str, key: &str) -> Option<f64> {
        median(self.rounds_of(peer, figure, key)?.values())
    }

    /// Whether the load had nothing left to give: a rate is then the load's, and the server's at least that.
    #[must_use]
    pub fn is_lower_bound(&self, peer: &str, metric: &Metric) -> bool {
        metric.better == Better::Higher
            && self
                .beside(peer, metric.figure, "generator_cores_used")
                .is_some_and(|cores| cores >= LOAD_FULL)
    }

    #[must_use]
    pub fn median(&self, peer: &str, metric: &Metric) -> Option<f64> {
        median(self.values(peer, metric))
    }

    /// The lowest and the highest round.
    #[must_use]
    pub fn spread(&self, peer: &str, metric: &Metric) -> (f64, f64) {
        let values = self.values(peer, metric).iter().copied();
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
    }

    /// The subject over the peer.
    #[must_use]
    pub fn ratio(&self, peer: &str, metric: &Metric) -> Option<Ratio> {
        let rounds = |peer: &str| self.rounds_of(peer, metric.figure, metric.key);
        Ratio::of(rounds(&self.subject)?, rounds(peer)?)
    }

    /// All connections that failed, in all rounds of all figures.
    #[must_use]
    pub fn failures(&self, peer: &str) -> f64 {
        let of_peer = self.values.iter().filter(|((of, _, key), _)| of == peer && key == "failures");
        of_peer.flat_map(|(_, rounds)| rounds.values()).fold(0.0, |sum, value| sum + value)
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(peer: &str, cpu: f64, gb: f64) -> String {
        format!(
            r#"{{"load":"throughput","gb_per_second":{gb},"server_cpu_ms_per_gb":{cpu},"failures":1,"peer":"{peer}","figure":"bulk_1","round":"1"}}"#
        )
    }

    #[test]
    fn medians_and_ratios_are_of_the_subject_over_the_peer() {
        let lines =
            [run("haproxy", 100.0, 8.0), run("haproxy", 120.0, 7.0), run("ringway", 99.0, 9.0)].join("\n");
        let comparison = Comparison::read(&lines, "ringway").unwrap();
        assert_eq!(comparison.peers, ["ringway", "haproxy"]);
        let cpu = metric("bulk_1", "server_cpu_ms_per_gb");
        assert_eq!(comparison.median("haproxy", cpu), Some(110.0));
        // Of the one round that both have.
        assert_eq!(comparison.ratio("haproxy", cpu).unwrap().value, 0.99);
        assert_eq!(comparison.failures("haproxy"), 2.0);
        assert_eq!(comparison.ratio("dante", cpu), None);
    }

    #[test]
    fn a_rate_at_which_the_load_was_full_is_a_lower_bound() {
        let line = |peer: &str, cores: f64| {
            format!(
                r#"{{"gb_per_second":9,"server_cpu_ms_per_gb":1,"generator_cores_used":{cores},"peer":"{peer}","figure":"bulk_1"}}"#
            )
        };
        let comparison = Comparison::read(&[line("a", 0.98), line("b", 0.5)].join("\n"), "a").unwrap();
        let rate = metric("bulk_1", "gb_per_second");
        assert!(comparison.is_lower_bound("a", rate) && !comparison.is_lower_bound("b", rate));
        assert!(!comparison.is_lower_bound("a", metric("bulk_1", "server_cpu_ms_per_gb")));
    }

    #[test]
    fn a_bad_line_is_named() {
        let lines = format!("{}\n{{}}", run("a", 1.0, 1.0));
        assert_eq!(Comparison::read(&lines, "a").err().unwrap(), "line 2: there is no label peer");
    }

    #[test]
    fn bars_are_judged_against_the_peer_they_name() {
        let lines =
            [run("ringway", 99.0, 9.0), run("haproxy", 100.0, 10.0), run("dante", 300.0, 3.0)].join("\n");
        let comparison = Comparison::read(&lines, "ringway").unwrap();
        let verdicts: Vec<_> = BARS.iter().filter_map(|bar| judge(&comparison, bar)).collect();
        let cleared = |against: &str, key: &str| {
            let of = |verdict: &&Verdict| verdict.against == against && verdict.bar.metric.1 == key;
            verdicts.iter().find(of).map(|verdict| verdict.cleared)
        };
        assert_eq!(cleared("haproxy", "server_cpu_ms_per_gb"), Some(true));
        assert_eq!(cleared("haproxy", "gb_per_second"), Some(false));
        assert_eq!(cleared("dante", "server_cpu_ms_per_gb"), Some(true));
    }
}
