//! Draining with a deadline: from the first reason to stop to the last worker's end.

use super::Life;
use crate::exit::Exit;
use crate::observe::heartbeat_age;
use ringway_dataplane::WorkerState;
use ringway_shared::command::Command;
use ringway_shared::config::Config;
use std::time::{Duration, Instant};

/// After the drain's deadline: how long cut connections have to end.
const CUT_PATIENCE: Duration = Duration::from_secs(5);

/// A drain under way.
pub struct Ending {
    exit: Exit,
    /// What the workers were told last, and who could not be told yet: those are told again each round.
    command: Command,
    untold: Vec<usize>,
    /// When the workers are told to cut what is left; then, when their end is no longer waited for.
    deadline: Instant,
}

impl Ending {
    fn is_cut(&self) -> bool {
        matches!(self.command, Command::Cut)
    }
}

impl Life {
    /// Why the process cannot go on, if it cannot: a worker died, or has given no sign of life for too long.
    pub(super) fn lost_worker(&self) -> Option<String> {
        (0..self.cells.len()).find_map(|worker| {
            match self.workers.state(worker) {
                WorkerState::Died { cause } => Some(format!("worker {worker} died: {cause}")),
                // Its inbox's bell broke; while draining it has done what it was told.
                WorkerState::Ended { .. } => (!self.state.draining.get())
                    .then(|| format!("worker {worker} ended though nobody told it to")),
                WorkerState::Running => self.wedged_for(worker).map(|silent| {
                    format!("worker {worker} is wedged: no heartbeat for {} ms", silent.as_millis())
                }),
            }
        })
    }

    /// Whether every worker shows life, as far as `/livez` is concerned.
    pub(super) fn is_well(&self) -> bool {
        let limit = self.running.config().workers.stalled_after;
        let now = Instant::now();
        let running = |worker: &usize| self.workers.state(*worker) == WorkerState::Running;
        let mut workers = (0..self.cells.len()).filter(running);
        workers.all(|worker| heartbeat_age(&self.cells[worker], self.epoch, now) <= limit)
    }

    /// How long a running worker has been silent, if that is longer than `workers.wedged_after`.
    fn wedged_for(&self, worker: usize) -> Option<Duration> {
        let limit = self.running.config().workers.wedged_after;
        // After a freeze it is chance whether a worker or this thread wakes first.
        let beat = self.epoch + Duration::from_millis(self.cells[worker].heartbeat_ms.get());
        let age = self.vigil.silence(beat);
        let running = self.workers.state(worker) == WorkerState::Running;
        (running && !limit.is_zero() && age > limit).then_some(age)
    }

    /// The first request to stop drains, the second one cuts, the third one no longer waits.
    pub(super) fn asked_to_stop(&self, ending: Option<Ending>) -> Ending {
        match ending {
            None => self.drain(Exit::Done),
            Some(drain) if drain.is_cut() => Ending { deadline: Instant::now(), ..drain },
            Some(drain) => {
                tracing::warn!("asked to stop while draining: cutting what is left");
                self.cut(if drain.exit == Exit::Done { Exit::CutShort } else { drain.exit })
            }
        }
    }

    pub(super) fn drain(&self, exit: Exit) -> Ending {
        let manager = self.manager.borrow();
        manager.stopping("draining");
        if exit == Exit::Done {
            // What it keeps would go on taking clients in. After a loss the next process has them.
            manager.forget();
        }
        self.drain_by(Command::Drain, exit)
    }

    /// Drains as `command` says.
    pub(super) fn drain_by(&self, command: Command, exit: Exit) -> Ending {
        let websockets: u64 = self.cells.iter().map(|cells| cells.websocket.active()).sum();
        let patience = patience(&self.running.config(), websockets > 0);
        let active: u64 = self.cells.iter().map(|cells| cells.active()).sum::<u64>() + websockets;
        tracing::info!("draining {active} connections, for at most {} s", patience.as_secs());
        self.state.draining.set(true);
        self.end(exit, command, patience)
    }

    fn cut(&self, exit: Exit) -> Ending {
        self.end(exit, Command::Cut, CUT_PATIENCE)
    }

    fn end(&self, exit: Exit, command: Command, patience: Duration) -> Ending {
        let untold = self.tell((0..self.cells.len()).collect(), command);
        if !untold.is_empty() {
            tracing::warn!("workers {untold:?} cannot take {command:?} yet: their inboxes are full");
        }
        Ending { exit, command, untold, deadline: Instant::now() + patience }
    }

    /// Moves a drain on. The error is the end: nothing is left to wait for.
    pub(super) fn move_on(&self, mut drain: Ending) -> Result<Ending, Exit> {
        if let (Exit::Done, Some(cause)) = (drain.exit, self.lost_worker()) {
            tracing::error!("{cause}, while draining");
            drain.exit = Exit::WorkerLost;
        }
        drain.untold = self.tell(drain.untold, drain.command);
        // A wedged thread cannot be waited for; it ends with the process.
        let awaited: Vec<_> =
            self.running().into_iter().filter(|worker| self.wedged_for(*worker).is_none()).collect();
        if awaited.is_empty() {
            tracing::info!("stopped; {} connections were cut", self.connections_cut());
            return Err(drain.exit);
        }
        if Instant::now() < drain.deadline {
            return Ok(drain);
        }
        if drain.is_cut() {
            tracing::error!("ending without the workers {awaited:?}: they do not end");
            return Err(if drain.exit == Exit::Done { Exit::WorkerLost } else { drain.exit });
        }
        tracing::warn!("the drain's deadline has passed: cutting what is left");
        Ok(self.cut(drain.exit))
    }

    fn running(&self) -> Vec<usize> {
        (0..self.cells.len()).filter(|worker| self.workers.state(*worker) == WorkerState::Running).collect()
    }

    fn connections_cut(&self) -> u64 {
        let cut = |worker| match self.workers.state(worker) {
            WorkerState::Ended { cut } => cut,
            WorkerState::Running | WorkerState::Died { .. } => 0,
        };
        (0..self.cells.len()).map(cut).sum()
    }

    /// Tells these workers; which of them still run and could not be told.
    fn tell(&self, workers: Vec<usize>, command: Command) -> Vec<usize> {
        let refused = |worker: &usize| {
            !self.workers.tell(*worker, command) && self.workers.state(*worker) == WorkerState::Running
        };
        workers.into_iter().filter(refused).collect()
    }
}

/// How long a drain may take: as SOCKS5 says, and no less than WebSocket clients, if there are any, need to be told.
fn patience(config: &Config, websockets: bool) -> Duration {
    let timeouts = &config.websocket.timeouts;
    let told = timeouts.drain + timeouts.close + Duration::from_secs(1);
    config.socks5.timeouts.drain.max(if websockets { told } else { Duration::ZERO })
}
