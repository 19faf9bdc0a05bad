//! The thread `ringway-history`: writes minutes, forgets old ones, answers questions; one order at a time.
//!
//! What cannot be written waits in memory and is tried again with the next minute; what the file's matter is, is said once. Traffic knows
//! nothing of it.

use super::Health;
use super::answer::{Asked, Refusal, Sources, answer};
use super::store::{Fault, FaultKind, Opened, Store};
use super::tracker::Minute;
use ringway_shared::config::Keep;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Minutes that wait for the file to be well again. Then the oldest is lost, and counted.
const UNWRITTEN_MAX: usize = 60;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What the thread is told.
pub enum Order {
    /// Keeps a minute, and forgets what has been kept for long enough.
    Write(Minute, Keep),
    Answer(Box<Asked>),
    /// The last minute, if there is one; then the file is closed, for another process or for good.
    LetGo(Option<Minute>, oneshot::Sender<()>),
}

/// What the thread has.
pub struct Clerk {
    path: Option<PathBuf>,
    health: Arc<Health>,
    /// `None`: it cannot be opened.
    store: Option<Store>,
    unwritten: VecDeque<Minute>,
    /// What is wrong, in words for the operator.
    fault: Option<String>,
}

impl Clerk {
    #[must_use]
    pub fn new(path: Option<PathBuf>, health: Arc<Health>) -> Clerk {
        Clerk { path, health, store: None, unwritten: VecDeque::new(), fault: None }
    }

    /// Obeys until nobody is left to give orders, or the file has been let go of.
    pub fn serve(mut self, orders: &Receiver<Order>) {
        let opened = self.open();
        self.note(opened);
        while let Ok(order) = orders.recv() {
            match order {
                Order::Write(minute, keep) => {
                    let at = minute.at;
                    self.write(minute);
                    self.forget(&keep, at);
                }
                Order::Answer(asked) => self.answer(*asked),
                Order::LetGo(last, done) => {
                    if let Some(last) = last {
                        self.write(last);
                    }
                    // Closed by being dropped: the log is written back, if nobody else has the file.
                    self.store = None;
                    self.lose(self.unwritten.len());
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn write(&mut self, minute: Minute) {
        self.unwritten.push_back(minute);
        let outcome = match self.write_all() {
            // Opened anew it is looked through, and moved aside.
            Err(fault) if fault.kind == FaultKind::Damaged => {
                self.store = None;
                self.write_all()
            }
            outcome => outcome,
        };
        self.note(outcome);
        self.lose(self.unwritten.len().saturating_sub(UNWRITTEN_MAX));
    }

    fn write_all(&mut self) -> Result<(), Fault> {
        if self.store.as_ref().is_some_and(|store| !store.is_in_place()) {
            tracing::warn!("the history file {} was removed or replaced: it is begun anew", self.shown());
            self.store = None;
        }
        if self.store.is_none() {
            self.open()?;
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        while let Some(minute) = self.unwritten.front() {
            store.write(minute)?;
            self.unwritten.pop_front();
        }
        Ok(())
    }

    fn forget(&mut self, keep: &Keep, now: u64) {
        let Some(store) = &mut self.store else { return };
        let forgotten = match store.trusts(now) {
            Ok(true) => store.expire(keep, now).map(drop),
            trusts => trusts.map(drop),
        };
        let outcome = forgotten.and_then(|()| store.bytes());
        let is_file = store.is_file();
        if let Ok(bytes) = &outcome {
            self.health.file_bytes.store(if is_file { *bytes } else { 0 }, Relaxed);
        } else {
            self.note(outcome.map(drop));
        }
    }

    fn open(&mut self) -> Result<(), Fault> {
        match Store::open(self.path.as_deref()) {
            Ok(Opened { store, moved_aside }) => {
                if let Some((aside, why)) = moved_aside {
                    tracing::error!(
                        "the history file {} is damaged ({why}): it is {} now, and another one is begun; sqlite3's .recover may save \
                         what was in it",
                        self.shown(),
                        aside.display()
                    );
                }
                self.store = Some(store);
                Ok(())
            }
            Err(fault) => Err(Fault { kind: FaultKind::Lost, text: fault.0 }),
        }
    }

    /// Counts a failure, and says it once; or says that all is well again.
    fn note(&mut self, outcome: Result<(), Fault>) {
        match outcome {
            Ok(()) => {
                self.health.failing.store(false, Relaxed);
                if self.fault.take().is_some() {
                    tracing::info!("the history file {} is written again", self.shown());
                }
            }
            Err(fault) => {
                self.health.write_failures.fetch_add(1, Relaxed);
                self.health.failing.store(true, Relaxed);
                if fault.kind != FaultKind::Passing {
                    self.store = None;
                }
                let is_new = self.fault.is_none();
                self.fault = Some(format!("the history cannot be kept in {}: {}", self.shown(), fault.text));
                if is_new {
                    tracing::error!(
                        "the history cannot be kept in {}: {}; the last {UNWRITTEN_MAX} minutes stay in memory until it can; \
                         history.file names it",
                        self.shown(),
                        fault.text
                    );
                }
            }
        }
    }

    /// Gives up the oldest minutes that could not be written.
    fn lose(&mut self, count: usize) {
        self.unwritten.drain(..count);
        self.health.minutes_lost.fetch_add(count as u64, Relaxed);
    }

    fn answer(&mut self, asked: Asked) {
        let Asked { question, running, reply } = asked;
        if reply.is_closed() {
            return;
        }
        let sources = Sources {
            store: self.store.as_ref(),
            besides: self.unwritten.iter().chain(&running).collect(),
            fault: self.fault.as_deref(),
            until: Instant::now() + ANSWER_MAX,
        };
        let outcome = answer(&sources, &question);
        if let Err(Refusal::Unreadable(why)) = &outcome {
            tracing::warn!("the history file {} cannot be read: {why}", self.shown());
        }
        // Who asked may have gone.
        let _ = reply.send(outcome);
    }

    fn shown(&self) -> String {
        self.path.as_ref().map_or("memory".into(), |path| path.display().to_string())
    }
}

#[cfg(test)]
mod tests;
