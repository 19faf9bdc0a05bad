//! Quantiles of late: what was recorded in the last ten seconds, where the workers' histograms hold all there ever was.
//!
//! Once a second is noted how many values each bucket held. What a bucket has more than ten notes ago is recent.

use super::{Merged, empty};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is recent.
const WINDOW: Duration = Duration::from_secs(10);
/// Notes are at least so far apart.
const STEP: Duration = Duration::from_secs(1);
/// So much less will do: who looks every second does not do so to the millisecond.
const SLACK: Duration = Duration::from_millis(50);
/// Notes kept: those within a window, and the one at its begin. The slack may add one.
const NOTES_MAX: usize = (WINDOW.as_secs() / STEP.as_secs()) as usize + 2;
/// What is measured: connect, dns, session, loop lag, push.
pub const MEASURED: usize = 5;

/// Microseconds, all cores merged, of the last ten seconds or so.
pub struct Recent {
    /// How long that is really: less after the start.
    pub seconds: f64,
    pub connect: Merged,
    pub dns: Merged,
    pub session: Merged,
    pub loop_lag: Merged,
    pub websocket_push: Merged,
}

/// Buckets that hold something, ascending: a value of each, and how many it holds. Few are ever used, and they alone take room.
type Held = Box<[(u64, u64)]>;

struct Note {
    at: Instant,
    held: [Held; MEASURED],
}

/// Remembers what histograms held.
#[derive(Default)]
pub struct Memory(VecDeque<Note>);

impl Memory {
    /// What of these has been recorded of late. Nothing at the first look.
    pub fn recent(&mut self, at: Instant, now: [&Merged; MEASURED]) -> Recent {
        let age = |note: &Note| at.saturating_duration_since(note.at);
        while self.0.get(1).is_some_and(|note| age(note) >= WINDOW - SLACK) {
            self.0.pop_front();
        }
        let due = self.0.back().is_none_or(|newest| age(newest) >= STEP - SLACK);
        if due && self.0.len() < NOTES_MAX {
            self.0.push_back(Note { at, held: now.map(held) });
        }
        let begin = self.0.front();
        let [connect, dns, session, loop_lag, websocket_push] = std::array::from_fn(|index| {
            begin.map_or_else(empty, |note| grown(&note.held[index], now[index]))
        });
        let seconds = begin.map_or(0.0, |note| age(note).as_secs_f64());
        Recent { seconds, connect, dns, session, loop_lag, websocket_push }
    }
}

fn held(merged: &Merged) -> Held {
    merged.iter_recorded().map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value())).collect()
}

/// What `now` holds more than it did. Counts only grow: whatever held something holds it still.
fn grown(before: &Held, now: &Merged) -> Merged {
    let (mut grown, mut before) = (empty(), before.iter().peekable());
    for bucket in now.iter_recorded() {
        let value = bucket.value_iterated_to();
        let earlier = before.next_if(|(held, _)| *held == value).map_or(0, |(_, count)| *count);
        let more = bucket.count_at_value().saturating_sub(earlier);
        if more > 0 {
            grown.saturating_record_n(value, more);
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_ten_seconds_is_forgotten_and_nothing_else() {
        let (begin, mut memory, mut all) = (Instant::now(), Memory::default(), empty());
        let nothing = empty();
        for second in 0..60u64 {
            // Slow until the thirtieth second, fast from then on.
            all.record_n(if second < 30 { 50_000 } else { 100 }, 7).unwrap();
            let at = begin + Duration::from_secs(second);
            let recent = memory.recent(at, [&all, &nothing, &nothing, &nothing, &nothing]);
            assert_eq!(recent.connect.len(), 7 * second.min(10));
            assert!((recent.seconds - second.min(10) as f64).abs() < 1e-9);
            assert_eq!(recent.session.len(), 0);
            let slowest = recent.connect.max();
            match second {
                1..39 => assert!(slowest.abs_diff(50_000) < 500, "{second}: {slowest}"),
                39.. => assert!(slowest.abs_diff(100) < 2, "{second}: {slowest}"),
                0 => {}
            }
            assert!(memory.0.len() <= NOTES_MAX);
        }
    }

    #[test]
    fn however_often_it_is_looked_at_the_window_stays() {
        let (begin, mut memory, mut all) = (Instant::now(), Memory::default(), empty());
        let mut recent = 0;
        for step in 0..200u64 {
            all.record_n(step, 1).unwrap();
            let at = begin + Duration::from_millis(step * 250);
            recent = memory.recent(at, [&all; MEASURED]).dns.len();
            assert!(memory.0.len() <= NOTES_MAX);
        }
        assert!((40..=44).contains(&recent), "{recent}");
    }

    #[test]
    fn who_has_not_looked_for_long_is_told_of_all_that_time() {
        let (begin, mut memory, mut all) = (Instant::now(), Memory::default(), empty());
        let _ = memory.recent(begin, [&all; MEASURED]);
        all.record_n(9, 3).unwrap();
        let recent = memory.recent(begin + Duration::from_secs(100), [&all; MEASURED]);
        assert_eq!((recent.loop_lag.len(), recent.seconds.round() as u64), (3, 100));
    }
}
