//! A comparison as a page: medians, ratios, bars.

use super::bars::Against;
use super::{BARS, Better, Comparison, METRICS, Metric, judge};
use std::fmt::Write;

#[must_use]
pub fn markdown(comparison: &Comparison, title: &str, notes: &[String]) -> String {
    let mut page = format!("# {title}\n\n");
    for note in notes {
        let _ = writeln!(page, "- {note}");
    }
    page += "\n## Medians\n\n";
    page += &medians(comparison);
    if comparison.peers.contains(&comparison.subject) && comparison.peers.len() > 1 {
        let _ = write!(page, "\n## Ratios: {} over each peer\n\n", comparison.subject);
        page += &ratios(comparison);
        page += "\n## Bars\n\n";
        page += &bars(comparison);
    }
    page
}

fn medians(comparison: &Comparison) -> String {
    let mut table = head("figure", comparison.peers.iter().map(String::as_str));
    for metric in measured(comparison) {
        let cells = comparison.peers.iter().map(|peer| with_spread(comparison, peer, metric));
        table += &row(metric.title, cells);
    }
    let failures = comparison.peers.iter().map(|peer| digits(comparison.failures(peer)));
    table + &row("connections that failed, all rounds", failures)
}

/// The metrics that at least one peer has.
fn measured(comparison: &Comparison) -> impl Iterator<Item = &'static Metric> {
    METRICS
        .iter()
        .filter(|metric| comparison.peers.iter().any(|peer| comparison.median(peer, metric).is_some()))
}

/// The median, and in brackets the lowest and highest round where they differ.
fn with_spread(comparison: &Comparison, peer: &str, metric: &Metric) -> String {
    let values = comparison.values(peer, metric);
    let Some(median) = comparison.median(peer, metric) else { return "-".into() };
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low == high {
        return digits(median);
    }
    format!("{} ({}-{})", digits(median), digits(low), digits(high))
}

fn ratios(comparison: &Comparison) -> String {
    let peers: Vec<&str> =
        comparison.peers.iter().map(String::as_str).filter(|peer| *peer != comparison.subject).collect();
    let mut table = head("figure (better if)", peers.iter().copied());
    for metric in measured(comparison) {
        let better = if metric.better == Better::Higher { "above 1" } else { "below 1" };
        let cells = peers.iter().map(|peer| comparison.ratio(peer, metric).map_or("-".into(), digits));
        table += &row(&format!("{} ({better})", metric.title), cells);
    }
    table
}

fn bars(comparison: &Comparison) -> String {
    let mut table = head("figure", ["bar", "set by", "found", "cleared"].into_iter());
    // A run is of the relay or of the gateway; the bars of the other say nothing.
    let of_gateway = measured(comparison).any(|metric| metric.figure.starts_with("ws_"));
    for bar in BARS.iter().filter(|bar| bar.is_of_gateway() == of_gateway) {
        let metric = super::metric(bar.metric.0, bar.metric.1);
        let sign = if metric.better == Better::Higher { ">=" } else { "<=" };
        let unit = match bar.against {
            Against::Absolute => "",
            Against::Haproxy => " x haproxy",
            Against::Bare => " x bare",
            Against::BestSocks5 => " x best SOCKS5 server",
            Against::BestPeer => " x best peer",
        };
        let limit = format!("{sign} {}{unit}", digits(bar.limit));
        let cells = match judge(comparison, bar) {
            Some(verdict) => {
                let cleared = if verdict.cleared { "yes" } else { "NO" };
                [limit, verdict.against, digits(verdict.value), cleared.into()]
            }
            None => [limit, "-".into(), "not measured".into(), "-".into()],
        };
        table += &row(metric.title, cells.into_iter());
    }
    table
}

fn head<'a>(first: &str, others: impl Iterator<Item = &'a str>) -> String {
    let others: Vec<&str> = others.collect();
    format!("| {first} | {} |\n| --- |{}\n", others.join(" | "), " ---: |".repeat(others.len()))
}

fn row(first: &str, cells: impl Iterator<Item = String>) -> String {
    format!("| {first} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// Three significant digits, and no exponent.
fn digits(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middling if middling < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_medians_ratios_and_bars() {
        let line = |peer: &str, kib: f64| {
            format!(r#"{{"pss_kib_per_connection":{kib},"peer":"{peer}","figure":"idle","round":"1"}}"#)
        };
        let lines = format!("{}\n{}", line("microsocks", 20.0), line("ringway", 2.5));
        let page = markdown(&Comparison::read(&lines, "ringway").unwrap(), "Today", &["a note".into()]);
        for part in [
            "# Today\n\n- a note\n",
            "| figure | ringway | microsocks |\n| --- | ---: | ---: |\n",
            "| user memory per idle connection, KiB | 2.50 | 20.0 |\n",
            "| user memory per idle connection, KiB (below 1) | 0.12 |\n",
            "| user memory per idle connection, KiB | <= 3.00 | - | 2.50 | yes |\n",
            "| >= 1.15 x best SOCKS5 server | - | not measured | - |\n",
        ] {
            assert!(page.contains(part), "{part} is not in:\n{page}");
        }
    }
}
