//! A drain that can be taken back: `POST /admin/drain`, `POST /admin/undrain`.
//!
//! First a grace in which only `/readyz` says so, for load balancers to notice. Then the workers rest: they take no new clients and send WebSocket
//! clients elsewhere, and what is relayed goes on. Nothing is cut and the process stays, unless it is to stop when it is empty.

use ringway_shared::command::Command;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Everything is served as before for so long.
    pub grace: Duration,
    /// It takes itself back after so long.
    pub lasting: Option<Duration>,
    /// The process ends when nobody is left.
    pub stop: bool,
}

/// A drain under way.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    pub wish: Wish,
    pub began: Instant,
    pub since: SystemTime,
    /// When the workers were told to rest.
    pub resting: Option<Instant>,
}

/// How far a drain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Serving,
    Grace,
    Draining,
}

impl Stage {
    #[must_use]
    pub fn label(self) -> &'static str {
        ["serving", "grace", "draining"][self as usize]
    }
}

/// Whether, and since when, the process takes no new clients.
#[derive(Default)]
pub struct Rest {
    drain: Cell<Option<Drain>>,
    /// What the workers are to be told, and who could not be yet: they are told again each round.
    untold: RefCell<Option<(Command, Vec<usize>)>>,
}

impl Rest {
    /// Begins a drain, or changes the one under way: what it has begun with stays.
    pub fn begin(&self, wish: Wish, now: Instant) {
        let fresh = Drain { wish, began: now, since: SystemTime::now(), resting: None };
        self.drain.set(Some(self.drain.get().map_or(fresh, |drain| Drain { wish, ..drain })));
    }

    /// Takes it back. False: there was none.
    pub fn end(&self, workers: usize) -> bool {
        let Some(drain) = self.drain.take() else { return false };
        if drain.resting.is_some() {
            self.untold.replace(Some((Command::Resume, (0..workers).collect())));
        }
        true
    }

    #[must_use]
    pub fn drain(&self) -> Option<Drain> {
        self.drain.get()
    }

    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.drain.get() {
            None => Stage::Serving,
            Some(Drain { resting: None, .. }) => Stage::Grace,
            Some(_) => Stage::Draining,
        }
    }

    /// Whether a worker has not been told yet what all are told.
    #[must_use]
    pub fn is_untold(&self, worker: usize) -> bool {
        self.untold.borrow().as_ref().is_some_and(|(_, workers)| workers.contains(&worker))
    }

    /// Moves on: call it each round, and after each change. True: all are gone, and the process is to end.
    pub fn go_on(
        &self,
        now: Instant,
        workers: usize,
        tell: impl Fn(usize, Command) -> bool,
        left: u64,
    ) -> bool {
        if let Some(drain) = self.drain.get() {
            let age = now.saturating_duration_since(drain.began);
            if drain.wish.lasting.is_some_and(|lasting| age >= lasting) {
                tracing::info!("the drain is over: serving again");
                self.end(workers);
            } else if drain.resting.is_none() && age >= drain.wish.grace {
                tracing::info!("draining: new clients are refused");
                self.drain.set(Some(Drain { resting: Some(now), ..drain }));
                self.untold.replace(Some((Command::Rest, (0..workers).collect())));
            }
        }
        let mut untold = self.untold.borrow_mut();
        if let Some((command, workers)) = &mut *untold {
            workers.retain(|worker| !tell(*worker, *command));
        }
        untold.take_if(|(_, workers)| workers.is_empty());
        let stops = self.drain.get().is_some_and(|drain| drain.wish.stop && drain.resting.is_some());
        stops && untold.is_none() && left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn wish() -> Wish {
        Wish { grace: GRACE, lasting: None, stop: false }
    }

    /// Moves on and notes who was told what.
    fn told(rest: &Rest, now: Instant, deaf: &[usize]) -> Vec<String> {
        let told = RefCell::new(Vec::new());
        let tell = |worker: usize, command: Command| {
            let heard = !deaf.contains(&worker);
            if heard {
                told.borrow_mut().push(format!("{worker} {command:?}"));
            }
            heard
        };
        assert!(!rest.go_on(now, 2, tell, 0));
        told.into_inner()
    }

    #[test]
    fn workers_are_told_after_the_grace_each_once_and_again_to_resume() {
        let (rest, begin) = (Rest::default(), Instant::now());
        rest.begin(wish(), begin);
        assert_eq!((told(&rest, begin, &[]), rest.stage()), (Vec::new(), Stage::Grace));
        assert_eq!(told(&rest, begin + GRACE, &[1]), ["0 Rest"]);
        assert!(rest.is_untold(1) && !rest.is_untold(0) && rest.stage() == Stage::Draining);
        assert_eq!(told(&rest, begin + GRACE, &[]), ["1 Rest"]);
        assert!(told(&rest, begin + 2 * GRACE, &[]).is_empty());
        assert!(rest.end(2) && !rest.end(2));
        assert_eq!(told(&rest, begin + 2 * GRACE, &[]), ["0 Resume", "1 Resume"]);
        assert_eq!(rest.stage(), Stage::Serving);
    }

    #[test]
    fn who_was_never_told_to_rest_need_not_resume() {
        let (rest, begin) = (Rest::default(), Instant::now());
        rest.begin(wish(), begin);
        assert!(rest.end(2));
        assert!(told(&rest, begin + GRACE, &[]).is_empty());
    }

    #[test]
    fn it_takes_itself_back_when_it_is_to() {
        let (rest, begin) = (Rest::default(), Instant::now());
        rest.begin(Wish { grace: Duration::ZERO, lasting: Some(GRACE), ..wish() }, begin);
        assert_eq!(told(&rest, begin, &[]), ["0 Rest", "1 Rest"]);
        assert_eq!(told(&rest, begin + GRACE, &[]), ["0 Resume", "1 Resume"]);
        assert_eq!(rest.stage(), Stage::Serving);
    }

    #[test]
    fn the_process_ends_when_all_are_told_and_nobody_is_left() {
        let (rest, begin) = (Rest::default(), Instant::now());
        rest.begin(Wish { stop: true, ..wish() }, begin);
        assert!(!rest.go_on(begin, 2, |_, _| true, 0), "not within the grace");
        assert!(!rest.go_on(begin + GRACE, 2, |worker, _| worker == 0, 0), "one has not been told");
        assert!(!rest.go_on(begin + GRACE, 2, |_, _| true, 1), "one is left");
        assert!(rest.go_on(begin + GRACE, 2, |_, _| true, 0));
    }
}
