//! The operator's clock, for rules with days or hours.

use crate::policy::acl::LocalTime;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells local time. It changes once a minute, and is worked out no more often than that.
#[derive(Clone)]
pub struct LocalClock {
    zone: TimeZone,
    /// The latest answer, and the minute of the Unix epoch it was for.
    told: Cell<(i64, LocalTime)>,
}

impl LocalClock {
    /// In the zone of TZ or /etc/localtime as they are now; UTC where neither says one. Reads files.
    #[must_use]
    pub fn system() -> Self {
        LocalClock::in_zone(TimeZone::system())
    }

    fn in_zone(zone: TimeZone) -> Self {
        let clock = LocalClock { zone, told: Cell::default() };
        clock.told.set((0, clock.work_out(0)));
        clock
    }

    #[must_use]
    pub fn now(&self) -> LocalTime {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at_minute(i64::try_from(since_epoch.as_secs() / 60).unwrap_or(0))
    }

    fn at_minute(&self, minute: i64) -> LocalTime {
        let (told_minute, told) = self.told.get();
        if told_minute == minute {
            return told;
        }
        let time = self.work_out(minute);
        self.told.set((minute, time));
        time
    }

    fn work_out(&self, minute: i64) -> LocalTime {
        // No clock shows a time beyond jiff's: year 9999.
        let now = Timestamp::from_second(minute.saturating_mul(60)).unwrap_or(Timestamp::MAX);
        let local = self.zone.to_datetime(now);
        LocalTime {
            day: local.weekday().to_monday_zero_offset().unsigned_abs(),
            minute: u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The minute of the epoch of a time in UTC.
    fn minute(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second() / 60
    }

    #[test]
    fn the_zone_decides_the_day_and_summer_time_the_hour() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let clock = LocalClock::in_zone(berlin);
        for (utc, day, hour, minute_of_hour) in [
            ("1970-01-01T00:00:00Z", 3, 1, 0),
            ("2026-01-04T23:30:00Z", 0, 0, 30),
            ("2026-03-29T00:59:00Z", 6, 1, 59),
            ("2026-03-29T01:00:00Z", 6, 3, 0),
            ("2026-07-06T12:15:00Z", 0, 14, 15),
        ] {
            let time = LocalTime { day, minute: hour * 60 + minute_of_hour };
            assert_eq!(clock.at_minute(minute(utc)), time, "{utc}");
            assert_eq!(clock.at_minute(minute(utc)), time, "{utc} once more");
        }
    }

    #[test]
    fn no_time_is_too_far() {
        let clock = LocalClock::in_zone(TimeZone::UTC);
        for minute in [0, -1, i64::MAX, i64::MIN] {
            let time = clock.at_minute(minute);
            assert!(time.day < 7 && time.minute < 1_440);
        }
    }

    #[test]
    fn now_is_what_the_zone_says() {
        assert!(LocalClock::system().now().minute < 1_440);
    }
}
