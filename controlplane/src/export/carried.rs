//! Counters over a hot restart: what the process before had counted is added to what this one counts.
//!
//! It works on pages as they are published: their text names each series and says which families are counters and
//! histograms, so no metric can be forgotten here. Gauges are never carried: they tell what is now.

use crate::handover::Count;
use std::collections::HashMap;

/// Series carried; more are left out.
const SERIES_MAX: usize = 1 << 20;
/// Families that tell of the host or of this very process, whoever counts before.
const NOT_CARRIED: &[&str] = &["socks5_system_network_bytes", "process_"];
/// What the samples of counters and histograms have after their family's name.
const SUFFIXES: &[&str] = &["_total", "_bucket", "_sum", "_count"];

/// A series as published, labels included, and its value.
pub type Row = (String, Count);

impl Count {
    fn parse(text: &str) -> Option<Count> {
        let whole = text.parse().map(Count::Whole);
        whole.or_else(|_| text.parse().map(Count::Real)).ok()
    }

    fn plus(self, other: Count) -> Count {
        match (self, other) {
            (Count::Whole(one), Count::Whole(other)) => Count::Whole(one.saturating_add(other)),
            _ => Count::Real(rounded(self.real() + other.real())),
        }
    }

    /// How much more it is than `before`; never less than nothing.
    fn since(self, before: Count) -> Count {
        match (self, before) {
            (Count::Whole(now), Count::Whole(before)) => Count::Whole(now.saturating_sub(before)),
            _ => Count::Real(rounded((self.real() - before.real()).max(0.0))),
        }
    }

    fn is_zero(self) -> bool {
        self.real() == 0.0
    }

    fn real(self) -> f64 {
        match self {
            Count::Whole(value) => value as f64,
            Count::Real(value) => value,
        }
    }
}

/// To the nanosecond. Sums of seconds that are added up in another order would differ in their last digit, and a counter that
/// goes back by it counts as one that began anew.
fn rounded(sum: f64) -> f64 {
    (sum * 1e9).round() / 1e9
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Count::Whole(value) => value.fmt(f),
            Count::Real(value) => value.fmt(f),
        }
    }
}

/// What processes before this one have counted.
#[derive(Default)]
pub struct Carried {
    counts: HashMap<String, Count>,
    /// The series of each family, as they came.
    families: HashMap<String, Vec<String>>,
}

impl Carried {
    /// Adds rows, new ones and increments of known ones alike.
    pub fn add(&mut self, rows: Vec<Row>) {
        for (series, count) in rows {
            if let Some(known) = self.counts.get_mut(&series) {
                *known = known.plus(count);
            } else if let (Some(family), true) = (family_of(&series), self.counts.len() < SERIES_MAX) {
                self.families.entry(family.to_owned()).or_default().push(series.clone());
                self.counts.insert(series, count);
            }
        }
    }

    /// The page with all of it added.
    #[must_use]
    pub fn on(&self, page: String) -> String {
        if self.counts.is_empty() {
            return page;
        }
        let mut written = String::with_capacity(page.len() + page.len() / 8);
        for block in blocks(&page) {
            let carried = block.counted().and_then(|family| self.families.get(family));
            match carried {
                Some(series) if same_buckets(&block, series) => self.write(&block, series, &mut written),
                _ => written.push_str(block.text),
            }
        }
        written
    }

    /// One family with what is carried of it, series that this process has not counted in yet included.
    fn write(&self, block: &Block<'_>, carried: &[String], page: &mut String) {
        let mut here = HashMap::new();
        for line in block.text.split_inclusive('\n') {
            let sample = Sample::read(line);
            let sum = sample.as_ref().and_then(|sample| {
                here.insert(sample.series, ());
                Some(Count::parse(sample.value)?.plus(*self.counts.get(sample.series)?))
            });
            match (sample, sum) {
                (Some(sample), Some(sum)) => {
                    page.extend([sample.series, " ", &sum.to_string(), sample.rest]);
                }
                _ if line == END => {}
                _ => page.push_str(line),
            }
        }
        for series in carried.iter().filter(|series| !here.contains_key(series.as_str())) {
            page.extend([series, " ", &self.counts[series].to_string(), "\n"]);
        }
        if block.text.ends_with(END) {
            page.push_str(END);
        }
    }
}

/// What has been told of this process's counters.
#[derive(Default)]
pub struct Told(HashMap<String, Count>);

impl Told {
    /// The counters on a page, each by how much it has grown since it was last told. Those that have not are left out.
    pub fn news(&mut self, page: &str) -> Vec<Row> {
        let mut news = Vec::new();
        for block in blocks(page).filter(|block| block.counted().is_some()) {
            for sample in block.text.lines().filter_map(Sample::read) {
                let Some(now) = Count::parse(sample.value) else { continue };
                let before = self.0.get(sample.series).copied();
                let grown = before.map_or(now, |before| now.since(before));
                // Even one at nothing: whether buckets are the same shows by all of them.
                if before.is_none() || !grown.is_zero() {
                    self.0.insert(sample.series.to_owned(), now);
                    news.push((sample.series.to_owned(), grown));
                }
            }
        }
        news
    }
}

/// How a page in OpenMetrics ends.
const END: &str = "# EOF\n";

/// A family on a page: its head and its samples.
struct Block<'a> {
    text: &'a str,
}

/// The families of a page, in its order.
fn blocks(page: &str) -> impl Iterator<Item = Block<'_>> {
    let mut rest = page;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.match_indices("\n# HELP ").next().map_or(rest.len(), |(at, _)| at + 1);
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Block { text })
    })
}

impl<'a> Block<'a> {
    /// The family's name if it counts, and is carried.
    fn counted(&self) -> Option<&'a str> {
        let declared = self.text.lines().find_map(|line| line.strip_prefix("# TYPE "))?;
        let (name, kind) = declared.split_once(' ')?;
        let name = name.strip_suffix("_total").unwrap_or(name);
        let is_carried = NOT_CARRIED.iter().all(|other| !name.starts_with(other));
        (is_carried && matches!(kind, "counter" | "histogram")).then_some(name)
    }
}

/// One line of a page: `series value`, and what may follow (an exemplar), newline included.
struct Sample<'a> {
    series: &'a str,
    value: &'a str,
    rest: &'a str,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Sample<'a>> {
        if line.starts_with('#') {
            return None;
        }
        let (series, after) = line.split_at(series_end(line)?);
        let after = after.strip_prefix(' ')?;
        let (value, rest) = after.split_at(after.find([' ', '\n']).unwrap_or(after.len()));
        // When a series began is no count.
        let name = series.split('{').next().unwrap_or(series);
        (!name.ends_with("_created")).then_some(Sample { series, value, rest })
    }
}

/// Where the value's space stands: label values may hold spaces and brackets.
fn series_end(line: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    line.bytes().position(|byte| {
        let ends = byte == b' ' && !quoted;
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn family_of(series: &str) -> Option<&str> {
    let name = series.split('{').next().unwrap_or(series);
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))
}

/// Whether a histogram has the bounds here that it has there: another build may have others, and then its buckets
/// cannot be added.
fn same_buckets(block: &Block<'_>, carried: &[String]) -> bool {
    fn bound(series: &str) -> Option<&str> {
        let (_, after) = series.split_once("le=\"")?;
        after.split('"').next()
    }
    let sorted = |mut bounds: Vec<String>| {
        bounds.sort();
        bounds.dedup();
        bounds
    };
    let here = block.text.lines().filter_map(Sample::read);
    let here = here.filter_map(|sample| bound(sample.series).map(str::to_owned)).collect();
    let there = carried.iter().filter_map(|series| bound(series).map(str::to_owned)).collect();
    sorted(here) == sorted(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# HELP a Connections.\n# TYPE a_total counter\na_total{why=\"x y}\\\"\"} 7\na_total{why=\"z\"} 1\n\
        # HELP b Now.\n# TYPE b gauge\nb 5\n\
        # HELP c_seconds Time.\n# TYPE c_seconds histogram\nc_seconds_bucket{le=\"1.0\"} 2\nc_seconds_bucket{le=\"+Inf\"} 3\n\
        c_seconds_sum 4.5\nc_seconds_count 3\n\
        # HELP socks5_system_network_bytes Host.\n# TYPE socks5_system_network_bytes_total counter\n\
        socks5_system_network_bytes_total{direction=\"sent\"} 9\n";
    const AFTER: &str = "# HELP a Connections.\n# TYPE a counter\na_total{why=\"new\"} 1\na_total{why=\"x y}\\\"\"} 2\n\
        # HELP b Now.\n# TYPE b gauge\nb 1\n\
        # HELP c_seconds Time.\n# TYPE c_seconds histogram\n\
        c_seconds_bucket{le=\"1.0\"} 1 # {trace_id=\"t\"} 0.5 1.0\nc_seconds_bucket{le=\"+Inf\"} 1\n\
        c_seconds_sum 0.25\nc_seconds_count 1\n\
        # HELP socks5_system_network_bytes Host.\n# TYPE socks5_system_network_bytes counter\n\
        socks5_system_network_bytes_total{direction=\"sent\"} 11\n# EOF\n";

    fn carried(page: &str) -> Carried {
        let mut carried = Carried::default();
        carried.add(Told::default().news(page));
        carried
    }

    #[test]
    fn counters_and_histograms_go_on_and_gauges_do_not() {
        let page = carried(BEFORE).on(AFTER.into());
        for line in [
            "a_total{why=\"new\"} 1",
            "a_total{why=\"x y}\\\"\"} 9",
            "a_total{why=\"z\"} 1",
            "b 1",
            "c_seconds_bucket{le=\"1.0\"} 3 # {trace_id=\"t\"} 0.5 1.0",
            "c_seconds_bucket{le=\"+Inf\"} 4",
            "c_seconds_sum 4.75",
            "c_seconds_count 4",
            "socks5_system_network_bytes_total{direction=\"sent\"} 11",
        ] {
            assert!(page.lines().any(|written| written == line), "{line} in\n{page}");
        }
        assert!(page.ends_with(END) && page.matches(END).count() == 1);
        assert_eq!(page.lines().count(), AFTER.lines().count() + 1);
    }

    #[test]
    fn a_family_at_the_end_keeps_the_page_s_end_last() {
        let before = "# HELP a A.\n# TYPE a_total counter\na_total{x=\"1\"} 7\n";
        let after = "# HELP a A.\n# TYPE a counter\n# EOF\n";
        assert_eq!(
            carried(before).on(after.into()),
            "# HELP a A.\n# TYPE a counter\na_total{x=\"1\"} 7\n# EOF\n"
        );
    }

    #[test]
    fn only_what_has_grown_is_told_again() {
        let mut told = Told::default();
        assert_eq!(told.news(BEFORE).len(), 6);
        assert_eq!(told.news(BEFORE), Vec::new());
        let grown = BEFORE.replace("} 7\n", "} 12\n");
        let news = told.news(&grown);
        assert_eq!(news, [("a_total{why=\"x y}\\\"\"}".to_owned(), Count::Whole(5))]);
        let mut carried = carried(BEFORE);
        carried.add(news);
        assert!(carried.on(AFTER.into()).contains("a_total{why=\"x y}\\\"\"} 14\n"));
    }

    #[test]
    fn sums_of_seconds_do_not_go_back_in_their_last_digit() {
        let page = |sum: f64| {
            format!(
                "# HELP c_seconds Time.\n# TYPE c_seconds histogram\nc_seconds_bucket{{le=\"+Inf\"}} 1\n\
                 c_seconds_sum {sum}\nc_seconds_count 1\n"
            )
        };
        let seconds = |microseconds: u32| f64::from(microseconds) / 1e6;
        let (mut old, mut told, mut new) = (Carried::default(), Told::default(), Carried::default());
        old.add(Told::default().news(&page(seconds(100_003))));
        for step in 1..2_000_u32 {
            // The old process has inherited some, counts on, and tells; the new one counts a little too.
            new.add(told.news(&old.on(page(seconds(step * 217)))));
            let sum = seconds(100_003 + step * 217 + 7);
            let shown = new.on(page(seconds(7)));
            assert!(shown.contains(&format!("c_seconds_sum {sum}\n")), "{sum} in {shown}");
        }
    }

    #[test]
    fn a_histogram_with_other_bounds_begins_anew() {
        let other = BEFORE.replace("le=\"1.0\"", "le=\"2.0\"");
        let page = carried(&other).on(AFTER.into());
        assert!(page.contains("c_seconds_count 1\n") && page.contains("a_total{why=\"z\"} 1\n"), "{page}");
    }

    #[test]
    fn with_nothing_carried_a_page_is_left_as_it_is() {
        assert_eq!(Carried::default().on(AFTER.into()), AFTER);
    }
}
