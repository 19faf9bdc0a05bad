//! A comparison as a page: medians, ratios, bars.

use super::bars::{Against, rival, suite};
use super::{BARS, Bar, Better, Comparison, METRICS, Metric, Ratio, judge};
use std::fmt::Write;

#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let mut page = format!("# {}\n\n", comparison.title);
    for note in &comparison.notes {
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
    let mut metrics = measured(comparison).peekable();
    while let Some(metric) = metrics.next() {
        let cells = comparison.peers.iter().map(|peer| with_spread(comparison, peer, metric));
        table += &row(metric.title, cells);
        if metrics.peek().is_none_or(|next| next.figure != metric.figure) {
            table += &beside(comparison, metric.figure);
        }
    }
    let failures = comparison.peers.iter().map(|peer| digits(comparison.failures(peer)));
    table + &row("connections that failed, all rounds", failures)
}

/// What the figures of one load cost in memory, and whether the load was the limit. Nothing, if no report tells.
fn beside(comparison: &Comparison, figure: &str) -> String {
    let cell = |peer: &String| {
        let mib = comparison.beside(peer, figure, "server_peak_kib").map(|kib| digits(kib / 1024.0));
        let cores = comparison.beside(peer, figure, "generator_cores_used").map(digits);
        match (mib, cores) {
            (None, None) => "-".into(),
            (mib, cores) => format!("{}; {}", mib.unwrap_or("-".into()), cores.unwrap_or("-".into())),
        }
    };
    let cells: Vec<String> = comparison.peers.iter().map(cell).collect();
    if cells.iter().all(|cell| cell == "-") {
        return String::new();
    }
    row("- server's peak MiB; load's cores", cells.into_iter())
}

/// The metrics that at least one peer has.
pub(super) fn measured(comparison: &Comparison) -> impl Iterator<Item = &'static Metric> {
    METRICS
        .iter()
        .filter(|metric| comparison.peers.iter().any(|peer| comparison.median(peer, metric).is_some()))
}

/// The median, and in brackets the lowest and highest round where they differ; "at least" where the load was the limit.
fn with_spread(comparison: &Comparison, peer: &str, metric: &Metric) -> String {
    let Some(median) = comparison.median(peer, metric) else { return "-".into() };
    let (low, high) = comparison.spread(peer, metric);
    let sign = if comparison.is_lower_bound(peer, metric) { "≥ " } else { "" };
    if low == high {
        return format!("{sign}{}", digits(median));
    }
    format!("{sign}{} ({}-{})", digits(median), digits(low), digits(high))
}

fn ratios(comparison: &Comparison) -> String {
    let peers: Vec<&str> =
        comparison.peers.iter().map(String::as_str).filter(|peer| *peer != comparison.subject).collect();
    let mut table = head("figure (better if)", ["best of them"].into_iter().chain(peers.iter().copied()));
    for metric in measured(comparison) {
        let better = if metric.better == Better::Higher { "above 1" } else { "below 1" };
        let best = rival(comparison, Against::BestPeer, metric);
        let best = best.map_or("-".into(), |peer| format!("{peer} {}", ratio(comparison, peer, metric)));
        let cells = peers.iter().map(|peer| ratio(comparison, peer, metric));
        table += &row(&format!("{} ({better})", metric.title), [best].into_iter().chain(cells));
    }
    table
}

/// A ratio of rates is a bound if one of the two is: "~" if both are, and nothing is known.
fn ratio(comparison: &Comparison, peer: &str, metric: &Metric) -> String {
    let Some(ratio) = comparison.ratio(peer, metric) else { return "-".into() };
    let bounds = [&*comparison.subject, peer].map(|peer| comparison.is_lower_bound(peer, metric));
    let sign = match bounds {
        [false, false] => "",
        [true, false] => "≥ ",
        [false, true] => "≤ ",
        [true, true] => "~ ",
    };
    format!("{sign}{}", with_bracket(ratio))
}

fn with_bracket(ratio: Ratio) -> String {
    let value = digits(ratio.value);
    ratio.bracket.map_or(value.clone(), |(low, high)| format!("{value} ({}-{})", digits(low), digits(high)))
}

fn bars(comparison: &Comparison) -> String {
    let mut table = head("figure", ["bar", "set by", "found", "cleared"].into_iter());
    // The bars of a suite that was not run say nothing.
    let was_run = |bar: &&Bar| measured(comparison).any(|metric| suite(metric.figure) == suite(bar.metric.0));
    for bar in BARS.iter().filter(was_run) {
        let metric = super::metric(bar.metric.0, bar.metric.1);
        let sign = if metric.better == Better::Higher { ">=" } else { "<=" };
        let unit = match bar.against {
            Against::Absolute => "",
            Against::Haproxy => " x haproxy",
            Against::Hev => " x hev",
            Against::Bare => " x bare",
            Against::BestSocks5 => " x best SOCKS5 server",
            Against::BestPeer => " x best peer",
        };
        let limit = format!("{sign} {}{unit}", digits(bar.limit));
        let cells = match judge(comparison, bar) {
            Some(verdict) => {
                let cleared = if verdict.cleared { "yes" } else { "NO" };
                let close = if verdict.is_close() { ", but the rounds leave it open" } else { "" };
                [limit, verdict.against, with_bracket(verdict.found), format!("{cleared}{close}")]
            }
            None => [limit, "-".into(), "not measured".into(), "-".into()],
        };
        table += &row(metric.title, cells.into_iter());
    }
    table
}

pub(super) fn head<'a>(first: &str, others: impl Iterator<Item = &'a str>) -> String {
    let others: Vec<&str> = others.collect();
    format!("| {first} | {} |\n| --- |{}\n", others.join(" | "), " ---: |".repeat(others.len()))
}

pub(super) fn row(first: &str, cells: impl Iterator<Item = String>) -> String {
    format!("| {first} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// Three significant digits or nearly so, and no exponent.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        tiny if tiny > 0.0 && tiny < 0.1 => format!("{value:.3}"),
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
        let lines = format!("{}\n{}", line("microsocks", 25.0), line("ringway", 2.5));
        let mut comparison = Comparison::read(&lines, "ringway").unwrap();
        comparison.title = "Today".into();
        comparison.notes = vec!["a note".into()];
        let page = markdown(&comparison);
        for part in [
            "# Today\n\n- a note\n",
            "| figure | ringway | microsocks |\n| --- | ---: | ---: |\n",
            "| user memory per idle connection, KiB | 2.50 | 25.0 |\n",
            "| user memory per idle connection, KiB (below 1) | microsocks 0.10 | 0.10 |\n",
            "| user memory per idle connection, KiB | <= 3.00 | - | 2.50 | yes |\n",
            "| >= 1.15 x best SOCKS5 server | - | not measured | - |\n",
        ] {
            assert!(page.contains(part), "{part} is not in:\n{page}");
        }
    }
    #[test]
    fn a_load_at_its_limit_bounds_the_rate_and_its_ratio() {
        let line = |peer: &str, gb: f64, cores: f64| {
            format!(
                r#"{{"gb_per_second":{gb},"generator_cores_used":{cores},"server_peak_kib":3072,"peer":"{peer}","figure":"bulk_1"}}"#
            )
        };
        let lines =
            [line("ringway", 9.0, 0.99), line("dante", 3.0, 0.4), line("haproxy", 9.0, 0.98)].join("\n");
        let page = markdown(&Comparison::read(&lines, "ringway").unwrap());
        for part in [
            "| bulk, 1 stream: GB/s | ≥ 9.00 | 3.00 | ≥ 9.00 |\n",
            "| - server's peak MiB; load's cores | 3.00; 0.99 | 3.00; 0.40 | 3.00; 0.98 |\n",
            "| bulk, 1 stream: GB/s (above 1) | haproxy ~ 1.00 | ≥ 3.00 | ~ 1.00 |\n",
        ] {
            assert!(page.contains(part), "{part} is not in:\n{page}");
        }
        assert!(!page.contains("ws_") && !page.contains("datagrams"), "{page}");
    }
}
