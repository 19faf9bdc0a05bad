//! A watcher that was away cannot say who was silent.
//!
//! When everything is frozen for a while (a paused container, SIGSTOP, a host that is moved), whoever wakes first finds
//! the others silent for all that time. So silence is counted while the watcher itself made its rounds.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The rounds of a watcher.
pub struct Vigil {
    /// Rounds further apart than this are an absence.
    absence: Duration,
    last_round: Cell<Instant>,
    /// Its last absence ended then.
    since: Cell<Instant>,
}

impl Vigil {
    #[must_use]
    pub fn new(absence: Duration, now: Instant) -> Vigil {
        Vigil { absence, last_round: Cell::new(now), since: Cell::new(now) }
    }

    /// A round begins.
    pub fn round(&self, now: Instant) {
        let away = now.saturating_duration_since(self.last_round.replace(now));
        if away > self.absence {
            tracing::info!("no look at the others for {away:?}: their silence is counted from now on");
            self.since.set(now);
        }
    }

    /// How long somebody had been silent, when this round began, who was heard last at `heard`. What has passed since
    /// then does not count: the freeze may come in the middle of a round.
    #[must_use]
    pub fn silence(&self, heard: Instant) -> Duration {
        self.last_round.get().saturating_duration_since(heard.max(self.since.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_while_the_watcher_was_away_does_not_count() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let vigil = Vigil::new(Duration::from_secs(1), begun);
        for second in 1..=5 {
            vigil.round(at(second));
        }
        assert_eq!(vigil.silence(at(2)), Duration::from_secs(3));
        vigil.round(at(60));
        assert_eq!(vigil.silence(at(2)), Duration::ZERO);
        vigil.round(at(61));
        vigil.round(at(62));
        assert_eq!(vigil.silence(at(2)), Duration::from_secs(2));
        assert_eq!(vigil.silence(at(61)), Duration::from_secs(1));
    }
}
