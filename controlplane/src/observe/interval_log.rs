//! A histogram as an HDR interval log: the text that HdrHistogram's tools of all languages read.

use super::Merged;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use std::time::{Duration, SystemTime};

/// What is said of the values, and when they were measured.
pub struct About<'a> {
    /// One line.
    pub comment: &'a str,
    pub from: SystemTime,
    pub length: Duration,
    /// The maximum, which stands in plain text too, is told in so many units of the values.
    pub maximum_in: f64,
}

/// A log of one interval: format 1.3, the histogram in V2, compressed, base64.
#[must_use]
pub fn interval_log(merged: &Merged, about: &About<'_>) -> String {
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment(about.comment).with_start_time(about.from).with_base_time(about.from);
    builder.with_max_value_divisor(about.maximum_in);
    if let Ok(mut log) = builder.begin_log_with(&mut text, &mut serializer) {
        // Writing to memory cannot fail; what cannot be encoded is left out.
        let _ = log.write_histogram(merged, Duration::ZERO, about.length, None);
    }
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::empty;
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use std::time::UNIX_EPOCH;

    #[test]
    fn what_was_recorded_is_read_back() {
        let mut merged = empty();
        (1..=1_000).for_each(|value| merged.record(value * 1_000).unwrap());
        let about = About {
            comment: "connect, microseconds",
            from: UNIX_EPOCH + Duration::from_secs(1_795_000_000),
            length: Duration::from_secs(60),
            maximum_in: 1_000.0,
        };
        let text = interval_log(&merged, &about);
        assert!(text.starts_with("#connect, microseconds\n"), "{text}");
        let entries = IntervalLogIterator::new(text.as_bytes()).map(Result::unwrap);
        let intervals: Vec<_> = entries
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 1);
        assert_eq!(intervals[0].duration(), Duration::from_secs(60));
        assert!((intervals[0].max() - 1_003.0).abs() < 8.0, "{}", intervals[0].max());
        let bytes = BASE64_STANDARD.decode(intervals[0].encoded_histogram()).unwrap();
        let read: Merged = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!(read, merged);
    }
}
