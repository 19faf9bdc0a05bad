//! The two text formats. A page is families; a family is a head and samples.
//!
//! Prometheus text 0.0.4 and OpenMetrics 1.0 differ in a counter's head (`x_total` there, `x` here), in `# UNIT` and in
//! `# EOF`. Samples are the same in both, `le` included, so that a scraper sees the same series whichever it asks for.

use ringway_shared::connection::ConnectionId;
use ringway_shared::histogram::Histogram;
use ringway_shared::metrics::{Family, Kind};
use std::fmt::{Display, Write};
use std::time::Duration;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    pub const COUNT: usize = 2;

    /// The format a scraper likes best, from its `Accept` header. Prometheus text if it does not say.
    #[must_use]
    pub fn accepted(accept: &str) -> Format {
        let weight = |kind: &str| {
            let ranges = accept.split(',').filter(|range| range.trim_start().starts_with(kind));
            ranges.map(quality).fold(0.0, f64::max)
        };
        let open_metrics = weight("application/openmetrics-text");
        if open_metrics > 0.0 && open_metrics >= weight("text/plain") {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The `q` of one media range (RFC 9110, section 12.4.2).
fn quality(range: &str) -> f64 {
    let stated = range.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
    stated.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0))
}

/// What is said of a family before its samples. `name` is the OpenMetrics family name.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub name: &'a str,
    pub help: &'a str,
    pub kind: Kind,
    pub unit: &'a str,
    pub labels: &'a [&'a str],
}

impl From<&Family> for Head<'_> {
    fn from(family: &Family) -> Self {
        let Family { name, help, kind, unit, labels, .. } = *family;
        Head { name, help, kind, unit, labels }
    }
}

impl Head<'_> {
    /// What the samples' names have after the family's.
    #[must_use]
    pub fn suffix(&self) -> &'static str {
        if self.kind == Kind::Counter { "_total" } else { "" }
    }
}

/// The word of the formats for a kind.
#[must_use]
pub fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

/// A text under way.
pub struct Page {
    text: String,
    format: Format,
}

impl Page {
    #[must_use]
    pub fn new(format: Format, capacity: usize) -> Page {
        Page { text: String::with_capacity(capacity), format }
    }

    /// Writes a family's head; its samples go to what is returned.
    pub fn family<'a>(&'a mut self, head: Head<'a>) -> Samples<'a> {
        let suffix = if self.format == Format::Prometheus { head.suffix() } else { "" };
        let mut say = |keyword: &str, what: &str| {
            self.text.extend(["# ", keyword, " ", head.name, suffix, " ", what, "\n"]);
        };
        say("HELP", head.help);
        say("TYPE", kind_word(head.kind));
        if self.format == Format::OpenMetrics && !head.unit.is_empty() {
            say("UNIT", head.unit);
        }
        Samples { text: &mut self.text, head, format: self.format }
    }

    /// The whole text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// The samples of one family.
pub struct Samples<'a> {
    text: &'a mut String,
    head: Head<'a>,
    format: Format,
}

/// One value of a bucket, and where it was measured.
#[derive(Clone, Copy, Debug)]
pub struct Exemplar {
    pub connection: ConnectionId,
    pub value_us: u64,
    /// Since 1970.
    pub at: Duration,
}

impl Samples<'_> {
    /// One sample, with a value for each of the family's labels.
    pub fn put(&mut self, labels: &[&str], value: impl Display) {
        debug_assert_eq!(labels.len(), self.head.labels.len(), "{}", self.head.name);
        self.text.extend([self.head.name, self.head.suffix()]);
        let mut before = '{';
        for (name, value) in self.head.labels.iter().zip(labels) {
            self.text.push(before);
            self.text.extend([name, "=\""]);
            escape_into(self.text, value);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        self.value(value);
    }

    /// The values in `histograms`, all together, in buckets up to each of `bounds`. Seconds are recorded as microseconds, bytes as
    /// bytes.
    /// `exemplar` is asked for those of buckets that have values, where the format has room for them.
    pub fn distribution<'h>(
        &mut self,
        bounds: &[f64],
        histograms: impl Iterator<Item = &'h Histogram>,
        exemplar: impl Fn(usize) -> Option<Exemplar>,
    ) {
        let scale = if self.head.unit == "bytes" { 1.0 } else { MICROSECONDS };
        let (counts, sum) = counts_within(bounds, scale, histograms);
        let mut total = 0;
        for (index, count) in counts.iter().enumerate() {
            total += count;
            self.text.extend([self.head.name, "_bucket{le=\""]);
            // `{:?}` writes 1 as 1.0, which OpenMetrics calls canonical.
            let written = bounds.get(index).map(|bound| write!(self.text, "{bound:?}"));
            if written.is_none() {
                self.text.push_str("+Inf");
            }
            // Writing to a String cannot fail.
            let _ = write!(self.text, "\"}} {total}");
            if *count > 0 && self.format == Format::OpenMetrics {
                exemplar(index).iter().for_each(|exemplar| self.exemplar(exemplar));
            }
            self.text.push('\n');
        }
        self.text.extend([self.head.name, "_sum"]);
        self.value(sum as f64 / scale);
        self.text.extend([self.head.name, "_count"]);
        self.value(total);
    }

    fn exemplar(&mut self, Exemplar { connection, value_us, at }: &Exemplar) {
        let (value, at) = (*value_us as f64 / MICROSECONDS, at.as_secs_f64());
        let _ = write!(self.text, " # {{connection=\"{connection}\"}} {value:?} {at:.3}");
    }

    fn value(&mut self, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, " {value}");
    }
}

const MICROSECONDS: f64 = 1e6;

/// How many values lie in each bucket and beyond the last, and the sum of all.
fn counts_within<'h>(
    bounds: &[f64],
    scale: f64,
    histograms: impl Iterator<Item = &'h Histogram>,
) -> (Vec<u64>, u64) {
    let mut counts = vec![0; bounds.len() + 1];
    let mut sum = 0;
    for histogram in histograms {
        sum += histogram.sum();
        // Values come in order: the buckets are walked along with them, not searched for each.
        let mut bucket = 0;
        for (recorded, count) in histogram.recorded() {
            let value = recorded as f64 / scale;
            while bounds.get(bucket).is_some_and(|bound| *bound < value) {
                bucket += 1;
            }
            counts[bucket] += count;
        }
    }
    (counts, sum)
}

fn escape_into(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::connection::Connection;

    #[test]
    fn the_scraper_chooses_the_format() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
            text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, format) in [
            (prometheus_3, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text;q=0.5", Format::Prometheus),
            ("application/openmetrics-text; q=0", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("", Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let labels = &["user"];
        let head = Head { name: "x", help: "X.", kind: Kind::Gauge, unit: "", labels };
        let mut page = Page::new(Format::Prometheus, 0);
        page.family(head).put(&["a\"b\\c\nd{é}"], 1);
        let expected = "# HELP x X.\n# TYPE x gauge\nx{user=\"a\\\"b\\\\c\\nd{é}\"} 1\n";
        assert_eq!(page.finish(), expected);
    }

    #[test]
    fn buckets_are_cumulative_and_end_in_all() {
        let (one, other) = (Histogram::default(), Histogram::default());
        for microseconds in [0, 100, 101, 2_000_000] {
            one.record(microseconds);
        }
        other.record(90);
        let head =
            Head { name: "x_seconds", help: "X.", kind: Kind::Histogram, unit: "seconds", labels: &[] };
        let connection = ConnectionId { worker: 3, connection: Connection::websocket(8) };
        let at = Duration::from_millis(1_795_000_000_500);
        let exemplar = |bucket| (bucket == 1).then_some(Exemplar { connection, value_us: 101, at });
        let mut page = Page::new(Format::OpenMetrics, 0);
        page.family(head).distribution(&[0.0001, 1.0], [&one, &other].into_iter(), exemplar);
        let expected = "# HELP x_seconds X.\n# TYPE x_seconds histogram\n# UNIT x_seconds seconds\n\
            x_seconds_bucket{le=\"0.0001\"} 3\nx_seconds_bucket{le=\"1.0\"} 4 # {connection=\"3-w-8\"} 0.000101 1795000000.500\n\
            x_seconds_bucket{le=\"+Inf\"} 5\n\
            x_seconds_sum 2.000291\nx_seconds_count 5\n# EOF\n";
        assert_eq!(page.finish(), expected);
    }
}
