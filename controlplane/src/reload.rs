//! Another configuration while running: read, compare, prepare everything that may fail, then commit what cannot.
//!
//! Below it, in reading order: `wish` (what somebody wants), `outcome` (what came of it), `refusal` (why nothing did),
//! `preparing` (the control plane's own part), `telling` (log, audit and metrics). Whatever fails, nothing has changed.

mod outcome;
mod preparing;
mod refusal;
mod telling;
mod wish;

pub use outcome::{Outcome, Place};
pub use preparing::Household;
pub use refusal::Refusal;
pub use telling::{Answered, summary};
pub use wish::{OVERRIDES_MAX, Request, Returning, TIME_MAX, Wish, may_be_set_for_a_time};

use crate::logs::Levels;
use crate::running::{Generation, MadeOf, Running};
use crate::server::State;
use crate::settings::Settings;
use preparing::Preparing;
use ringway_dataplane::{Prepared, Readiness, Workers};
use ringway_shared::config::{Change, Fault, Loaded, Override, Reload, Value, difference};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

/// How long a worker may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// How often it is asked.
const ASKED_EVERY: Duration = Duration::from_millis(2);
/// How long one reload waits for those before it.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// After an override could not return.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Puts configurations in force, one at a time.
pub struct Reloader {
    pub settings: Settings,
    pub running: Rc<Running>,
    pub workers: Rc<Workers>,
    pub household: Household,
    pub levels: Levels,
    turn: Mutex<()>,
    /// A hot restart is under way: nothing changes until something has come of it.
    paused: Cell<bool>,
    /// What could be put off meanwhile.
    put_off: Cell<bool>,
    /// What was set for a time could not return, and that was told.
    return_refused: Cell<bool>,
    /// Something ends at another time than was known.
    times_changed: Notify,
    /// A listener has been opened or closed, and whoever keeps them has not been told.
    listeners_changed: Notify,
    listeners_untold: Cell<bool>,
}

impl Reloader {
    #[must_use]
    pub fn new(
        settings: Settings,
        running: Rc<Running>,
        workers: Rc<Workers>,
        household: Household,
        levels: Levels,
    ) -> Reloader {
        Reloader {
            settings,
            running,
            workers,
            household,
            levels,
            turn: Mutex::default(),
            paused: Cell::new(false),
            put_off: Cell::new(false),
            return_refused: Cell::new(false),
            times_changed: Notify::new(),
            listeners_changed: Notify::new(),
            listeners_untold: Cell::new(false),
        }
    }

    /// Does what is wanted, when those before have been served, and tells log, audit and metrics what came of it.
    pub async fn run(&self, state: &State, request: Request) -> Result<Outcome, Refusal> {
        let result = match timeout(TURN_WITHIN, self.turn.lock()).await {
            Ok(_turn) => self.reload(state, &request).await,
            Err(_) => Err(Refusal::Busy),
        };
        if matches!(result, Err(Refusal::Restarting)) && request.can_be_put_off() {
            self.put_off.set(true);
        }
        // The clock tries again and again: once told will do, until something has changed.
        let is_known = self.return_refused.get() && request.is_repeated() && result.is_err();
        if !is_known {
            telling::tell(&self.running, &state.journal, &request, &result);
        }
        if !request.dry_run && (result.is_ok() || request.is_repeated()) {
            self.return_refused.set(result.is_err());
        }
        self.times_changed.notify_one();
        result
    }

    async fn reload(&self, state: &State, request: &Request) -> Result<Outcome, Refusal> {
        if state.draining.get() {
            return Err(Refusal::Draining);
        }
        if self.paused.get() {
            return Err(Refusal::Restarting);
        }
        let before = self.running.current();
        request.agrees_with(&before.tag)?;
        let made_of = self.made_of(&request.wish, &before)?;
        let (loaded, restart_required) = self.load(&made_of, &before)?;
        let changes = difference((&before.config, &before.effective), (&loaded.config, &loaded.effective));
        let changed = !changes.is_empty() || made_of.overrides != before.made_of.overrides;
        let mut outcome = Outcome::of(&before, changed, &changes, restart_required, request.dry_run);
        outcome.notices.extend(self.faults_without_overrides(&made_of));
        if request.dry_run || !changed {
            return Ok(outcome);
        }
        let number = before.number + 1;
        let next = Generation::new(number, loaded, &request.by, SystemTime::now(), made_of, changes);
        self.put_in_force(next, &mut outcome).await?;
        Ok(outcome)
    }

    /// What the configuration is to be made of.
    fn made_of(&self, wish: &Wish, before: &Generation) -> Result<MadeOf, Refusal> {
        let now = Instant::now();
        let mut made_of = match wish {
            Wish::Sources => {
                let texts = Rc::new(self.settings.read_again().map_err(Refusal::Faults)?);
                MadeOf { texts, overrides: before.made_of.overrides.clone() }
            }
            Wish::Rollback(number) => {
                let earlier = self.running.earlier();
                let found = earlier.iter().find(|one| number.is_none_or(|number| one.number == number));
                found.ok_or(Refusal::NoSuchGeneration(*number))?.made_of.clone()
            }
            Wish::Override(_) | Wish::Return(_) => before.made_of.clone(),
        };
        wish.overrule(&mut made_of.overrides)?;
        made_of.overrides.retain(|one| one.due > now);
        Ok(made_of)
    }

    /// Makes it, with the keys that need a restart as they are in force, and tells which of them are configured otherwise.
    fn load(&self, made_of: &MadeOf, before: &Generation) -> Result<(Loaded, Vec<Change>), Refusal> {
        let overrides: Vec<Override> = made_of.overrides.iter().map(|one| one.set.clone()).collect();
        let load = |held: &[(&'static str, Value)]| {
            self.settings.load(&made_of.texts, &overrides, held).map_err(Refusal::Faults)
        };
        let wanted = load(&[])?;
        let changes = difference((&before.config, &before.effective), (&wanted.config, &wanted.effective));
        let restart: Vec<Change> =
            changes.into_iter().filter(|change| change.key.reload == Reload::Restart).collect();
        if restart.is_empty() {
            return Ok((wanted, restart));
        }
        let held: Vec<_> = restart.iter().map(|change| (change.key.path, change.from.clone())).collect();
        Ok((load(&held)?, restart))
    }

    /// What is wrong with a configuration that holds only as long as something is set for a time: that could not return.
    fn faults_without_overrides(&self, made_of: &MadeOf) -> Vec<String> {
        if made_of.overrides.is_empty() {
            return Vec::new();
        }
        let notice = |fault: &Fault| {
            format!("valid only while overrides hold, which cannot return: {}: {}", fault.path, fault.message)
        };
        let alone = self.settings.load(&made_of.texts, &[], &[]);
        alone.err().map_or_else(Vec::new, |faults| faults.iter().map(notice).collect())
    }

    /// Prepares everything that may fail, then commits everything. Between the workers' commit and the end nothing waits.
    async fn put_in_force(&self, next: Generation, outcome: &mut Outcome) -> Result<(), Refusal> {
        let config = next.config.clone();
        let unfit = |why: String| Refusal::unfit(&why, &next.effective);
        let own = Preparing::begin(&self.household, &self.running.config(), &config);
        let own = own.map_err(|(key, why)| match key {
            "" => unfit(why),
            key => Refusal::of_key(key, &why, &next.effective),
        })?;
        let control = own.control_addresses(&self.household);
        let prepared = self.workers.prepare(&config, &control, next.number).map_err(unfit)?;
        self.ready(&prepared).await?.map_err(unfit)?;
        let committed = self.workers.commit(prepared).map_err(unfit)?;

        let before = self.household.ports.addresses();
        own.commit(&next.by, &config, &self.household, &self.workers);
        self.levels.configure(config.log.level);
        outcome.generation = next.number;
        outcome.tag.clone_from(&next.tag);
        self.running.replace(next);
        outcome.take(committed, &before, &self.household.ports.addresses());
        if outcome.listens_elsewhere() {
            self.listeners_untold.set(true);
            self.listeners_changed.notify_one();
        }
        Ok(())
    }

    /// Waits until all workers are ready. The inner error: a worker cannot serve under it.
    async fn ready(&self, prepared: &Prepared) -> Result<Result<(), String>, Refusal> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match prepared.readiness() {
                Readiness::Ready => return Ok(Ok(())),
                Readiness::Failed(why) => return Ok(Err(why)),
                Readiness::Waiting { workers } if Instant::now() >= deadline => {
                    return Err(Refusal::Silent(workers));
                }
                Readiness::Waiting { .. } => sleep(ASKED_EVERY).await,
            }
        }
    }

    /// Ends overrides and log levels when their time has come, for as long as it is polled.
    pub async fn keep_time(&self, state: &State) {
        loop {
            let overrides = self.running.current().made_of.overrides.iter().map(|one| one.due).min();
            let next = [overrides, self.levels.next_due()].into_iter().flatten().min();
            let until = next.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
            if timeout(until, self.times_changed.notified()).await.is_ok() {
                continue;
            }
            let now = Instant::now();
            let ended = self.levels.end_due(now);
            if ended > 0 {
                tracing::info!("{ended} log levels are again as log.level says: their time is over");
            }
            let is_over = overrides.is_some_and(|due| due <= now);
            if is_over
                && (state.draining.get()
                    || self.paused.get()
                    || self.run(state, Request::of_the_clock()).await.is_err())
            {
                // What was set is in force until then.
                sleep(RETRY_AFTER).await;
            }
        }
    }

    /// From now on nothing changes; what is under way comes to its end, see [`Self::idle`].
    pub fn pause(&self) {
        self.paused.set(true);
    }

    /// Returns when nothing is under way, and whoever keeps the listeners knows them.
    pub async fn idle(&self) {
        drop(self.turn.lock().await);
        while self.listeners_untold.get() {
            sleep(ASKED_EVERY).await;
        }
    }

    /// Whoever keeps the listeners is told them now.
    pub fn listeners_told(&self) {
        self.listeners_untold.set(false);
    }

    /// Lets the configuration change again. True: a reload was put off.
    pub fn resume(&self) -> bool {
        self.paused.set(false);
        self.put_off.take()
    }

    /// A log level was set for a time, or ended.
    pub fn levels_changed(&self) {
        self.times_changed.notify_one();
    }

    /// Returns when a reload has opened or closed a listener since it was asked last.
    pub async fn listeners_changed(&self) {
        self.listeners_changed.notified().await;
    }
}
