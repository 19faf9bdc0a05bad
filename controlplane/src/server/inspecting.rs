//! Questions to workers about their connections, one after the other, and the wait for their answers.
//!
//! A worker answers a slice of its tables at a time; whoever asks goes on from there. No more than [`INSPECTORS_MAX`] requests ask at once, so no more
//! than as many slices lie in one worker's inbox: its connections wait a few milliseconds at the very most.

use super::answer::Answer as Page;
use super::state::State;
use ringway_shared::inspect::{Answer, Ask};
use std::time::Duration;
use tokio::sync::{SemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

/// Requests that ask workers at once; others wait for their turn.
pub const INSPECTORS_MAX: usize = 4;
/// How long a worker may be silent; then the answer goes without it.
const SILENCE_MAX: Duration = Duration::from_millis(500);
/// How long one request may wait for its turn.
const TURN_MAX: Duration = Duration::from_secs(2);

/// One request that looks through the workers' tables.
pub struct Inspector<'a> {
    state: &'a State,
    pub deadline: Instant,
    /// Workers that did not answer.
    pub partial: Vec<usize>,
    _turn: SemaphorePermit<'a>,
}

impl<'a> Inspector<'a> {
    /// Waits for its turn. From then on it has `patience`.
    pub async fn begin(state: &'a State, patience: Duration) -> Result<Inspector<'a>, Page> {
        let turn = timeout_at(Instant::now() + TURN_MAX, state.inspectors.acquire()).await;
        let Ok(Ok(turn)) = turn else {
            let message = "others are looking through the connections already";
            return Err(Page::error(503, message, "ask again in a second, and one page after the other")
                .with("retry-after", "1"));
        };
        Ok(Inspector { state, deadline: Instant::now() + patience, partial: Vec::new(), _turn: turn })
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Asks one worker. `None`: it did not answer in time, has ended or takes no more; it stands in `partial` then.
    pub async fn ask(&mut self, worker: usize, ask: Ask) -> Option<Answer> {
        let (to, answer) = oneshot::channel();
        // Nobody listens any more: the request has been given up.
        let reply = Box::new(move |answer| drop(to.send(answer)));
        if (self.state.staff.inspect)(worker, ask, reply)
            && let Ok(Ok(answer)) = timeout_at(self.silent_at(), answer).await
            && !matches!(answer, Answer::TooLate)
        {
            return Some(answer);
        }
        self.partial.push(worker);
        None
    }

    /// When a worker asked now is given up.
    #[must_use]
    pub fn silent_at(&self) -> Instant {
        self.deadline.min(Instant::now() + SILENCE_MAX)
    }
}
