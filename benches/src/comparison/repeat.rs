//! Two runs of the same: by how much each ratio of the subject to a peer differs.

use super::markdown::{digits, head, measured, row};
use super::{Comparison, Metric, Ratio};
use std::fmt::Write;

/// What a second run must reproduce.
pub const TOLERANCE: f64 = 0.15;

/// A ratio found twice.
struct Pair {
    metric: &'static Metric,
    peer: String,
    first: Ratio,
    second: Ratio,
}

impl Pair {
    /// 0.2: the greater is 1.2 times the smaller.
    fn difference(&self) -> f64 {
        let (first, second) = (self.first.value, self.second.value);
        first.max(second) / first.min(second) - 1.0
    }

    fn is_beyond(&self) -> bool {
        self.difference() > TOLERANCE
    }
}

/// A row for each metric, a column for each peer that both runs have, and what is beyond the tolerance by name.
#[must_use]
pub fn repeated(first: &Comparison, second: &Comparison) -> String {
    let pairs = pairs(first, second);
    let mut peers: Vec<&str> = pairs.iter().map(|pair| pair.peer.as_str()).collect();
    peers.sort_by_key(|peer| second.peers.iter().position(|known| known == peer));
    peers.dedup();
    let beyond: Vec<&Pair> = pairs.iter().filter(|pair| pair.is_beyond()).collect();

    let percent = TOLERANCE * 100.0;
    let mut text = format!(
        "Ratios of two runs, {} over each peer; those that differ by more than {percent:.0}% are bold: {} of {}. \
         Of those {} have brackets that do not even overlap.\n\n",
        second.subject,
        beyond.len(),
        pairs.len(),
        beyond.iter().filter(|pair| !pair.first.overlaps(&pair.second)).count(),
    );
    text += &head("figure", peers.iter().copied());
    for metric in
        measured(second).filter(|metric| pairs.iter().any(|pair| pair.metric.name() == metric.name()))
    {
        let of =
            |peer: &&str| pairs.iter().find(|pair| pair.metric.name() == metric.name() && pair.peer == *peer);
        text += &row(metric.title, peers.iter().map(|peer| of(peer).map_or("-".into(), cell)));
    }
    for pair in beyond {
        let percent = pair.difference() * 100.0;
        let _ = write!(text, "\n- {}, {}: {percent:.0}%", pair.metric.title, pair.peer);
    }
    text.trim_end().to_owned() + "\n"
}

/// Of all metrics and peers that both runs have.
fn pairs(first: &Comparison, second: &Comparison) -> Vec<Pair> {
    let others = second.peers.iter().filter(|peer| **peer != second.subject);
    let of = |metric, peer: &String| {
        let (first, second) = (first.ratio(peer, metric)?, second.ratio(peer, metric)?);
        // What is 0 in either run has no ratio worth the name.
        (first.value > 0.0 && second.value > 0.0).then(|| Pair { metric, peer: peer.clone(), first, second })
    };
    others.flat_map(|peer| measured(second).filter_map(move |metric| of(metric, peer))).collect()
}

fn cell(pair: &Pair) -> String {
    let text = format!("{} / {}", digits(pair.first.value), digits(pair.second.value));
    if pair.is_beyond() { format!("**{text}**") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(own: f64, dante: f64, haproxy: f64) -> Comparison {
        let line = |peer: &str, us: f64| {
            format!(r#"{{"server_cpu_us_per_connection":{us},"peer":"{peer}","figure":"rate"}}"#)
        };
        let round = [line("ringway", own), line("dante", dante), line("haproxy", haproxy)].join("\n");
        Comparison::read(&[&*round, &*round].join("\n"), "ringway").unwrap()
    }

    #[test]
    fn ratios_beyond_the_tolerance_are_bold_and_named() {
        let text = repeated(&run(60.0, 120.0, 60.0), &run(66.0, 120.0, 80.0));
        for part in [
            "are bold: 1 of 2. Of those 1 have brackets that do not even overlap.\n",
            "| figure | dante | haproxy |\n",
            "| CPU us per connection, 64 at once | 0.50 / 0.55 | **1.00 / 0.82** |\n",
            "\n- CPU us per connection, 64 at once, haproxy: 21%\n",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    }

    #[test]
    fn what_one_run_lacks_is_not_compared() {
        let other = Comparison::read(r#"{"wwr_p50_us":9,"peer":"dante","figure":"wwr"}"#, "ringway").unwrap();
        assert!(repeated(&run(1.0, 1.0, 1.0), &other).contains("0 of 0"));
    }
}
