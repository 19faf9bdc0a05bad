//! When the next process starts: at once after a crash, later and later if they keep crashing.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// A process that served for so long was no failure.
const LIFE_MIN: Duration = Duration::from_secs(1);

/// 0, 100 ms, 200 ms, 400 ms … 5 s.
#[derive(Default)]
pub struct Backoff {
    wait: Duration,
}

impl Backoff {
    /// How long the last process served.
    pub fn lived(&mut self, life: Duration) {
        if life >= LIFE_MIN {
            self.wait = Duration::ZERO;
        }
    }

    /// How long to wait until the next one is started.
    pub fn next(&mut self) -> Duration {
        let next = (self.wait * 2).clamp(FIRST, LONGEST);
        std::mem::replace(&mut self.wait, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        (0..count).map(|_| backoff.next().as_millis()).collect()
    }

    #[test]
    fn the_first_is_started_at_once_and_later_ones_ever_later() {
        let mut backoff = Backoff::default();
        assert_eq!(waits(&mut backoff, 9), [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn one_that_served_for_a_while_begins_anew() {
        let mut backoff = Backoff::default();
        let _ = waits(&mut backoff, 5);
        backoff.lived(LIFE_MIN - Duration::from_millis(1));
        assert_eq!(waits(&mut backoff, 1), [1600]);
        backoff.lived(LIFE_MIN);
        assert_eq!(waits(&mut backoff, 2), [0, 100]);
    }
}
