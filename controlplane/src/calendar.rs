//! Moments as people write them, in UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::{Duration, SystemTime};

/// A moment, given in milliseconds of the Unix epoch, as the log's lines begin with one.
#[must_use]
pub fn stamp(epoch_ms: u64) -> String {
    let moment = i64::try_from(epoch_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.6}", moment.unwrap_or_default())
}

/// A moment in seconds since 1970, as RFC 3339 writes it: `2026-11-21T10:34:47Z`.
#[must_use]
pub fn seconds(epoch_seconds: u64) -> String {
    let moment = i64::try_from(epoch_seconds).ok().and_then(|at| Timestamp::from_second(at).ok());
    format!("{:.0}", moment.unwrap_or_default())
}

/// Reads a moment as RFC 3339 writes it, in whole seconds since 1970; `None`: it is none, or before that.
#[must_use]
pub fn read(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<Timestamp>().ok()?.as_second()).ok()
}

/// A moment since 1970, to the millisecond, as RFC 3339 has it.
#[must_use]
pub fn moment(since_1970: Duration) -> String {
    let ms = i64::try_from(since_1970.as_millis()).ok();
    let moment = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", moment.unwrap_or_default())
}

/// The year and the month of a moment.
#[must_use]
pub fn month(moment: SystemTime) -> (i16, i8) {
    let moment = Timestamp::try_from(moment).unwrap_or_default().to_zoned(TimeZone::UTC);
    (moment.year(), moment.month())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn moments_are_told_in_utc() {
        assert_eq!(stamp(1_795_257_287_234), "2026-11-21T10:34:47.234000Z");
        assert_eq!(stamp(u64::MAX), "1970-01-01T00:00:00.000000Z");
        assert_eq!(moment(Duration::from_micros(1_795_257_287_234_999)), "2026-11-21T10:34:47.234Z");
    }

    #[test]
    fn whole_seconds_are_written_and_read() {
        assert_eq!(seconds(1_795_257_287), "2026-11-21T10:34:47Z");
        for text in ["2026-11-21T10:34:47Z", "2026-11-21T11:34:47.9+01:00"] {
            assert_eq!(read(text), Some(1_795_257_287), "{text}");
        }
        for text in ["", "tomorrow", "2026-11-21", "1969-12-31T23:59:59Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_month_begins_at_midnight_of_utc() {
        let december = UNIX_EPOCH + Duration::from_secs(1_796_083_200);
        assert_eq!(month(december), (2026, 12));
        assert_eq!(month(december - Duration::from_millis(1)), (2026, 11));
    }
}
