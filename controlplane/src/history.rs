//! Traffic, connections and failures over time: minutes, hours and days, in total, by user and by listener.
//!
//! This page is what the control thread holds: it looks at the counters, and never waits. `tracker` makes minutes of them, `clerk` is
//! the thread `ringway-history` that writes them and answers questions, `store` is the file (the only door to SQLite),
//! `question` what may be asked, `answer` what is said to it.

pub mod answer;
mod clerk;
pub mod question;
mod store;
pub mod tracker;

pub use answer::{Answered, Refusal};
use question::Question;

use crate::observe::{ListenerRow, Snapshot};
use answer::Asked;
use clerk::{Clerk, Order};
use ringway_shared::account::Account;
use ringway_shared::config;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracker::{By, Counters, Figures, Minute, Tracker};

/// Orders that wait for the thread. One that finds no room is dropped, and counted.
const ORDERS_MAX: usize = 64;
/// Questions that wait or are being answered: the other places stay free for minutes.
const QUESTIONS_MAX: usize = 16;
const _: () = assert!(QUESTIONS_MAX < ORDERS_MAX);
/// How long the last minute may take to be written.
const LETTING_GO_MAX: Duration = Duration::from_secs(2);

/// What is known of the thread without asking it.
#[derive(Default)]
pub struct Health {
    /// Times something could not be written.
    pub write_failures: AtomicU64,
    /// The last thing to be written was not.
    pub failing: AtomicBool,
    /// Minutes that are in no file and never will be.
    pub minutes_lost: AtomicU64,
    /// Of the file, without its log; 0 in memory.
    pub file_bytes: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistoryFacts {
    pub write_failures: u64,
    pub last_write_successful: bool,
    pub minutes_lost: u64,
    pub file_bytes: u64,
}

/// The control thread's end of it.
pub struct History {
    tracker: RefCell<Tracker>,
    orders: SyncSender<Order>,
    questions: Semaphore,
    health: Arc<Health>,
    accounts: Box<dyn Fn() -> Vec<Account>>,
    /// Another process has the file: what is still counted here goes to it.
    let_go: std::cell::Cell<bool>,
}

/// What the process before has counted since it let go: what of, the key, and sent bytes, received bytes, connections and failures.
pub type Bequest = (String, [u64; 4]);

impl History {
    /// Opens the file, on the thread, and begins. `accounts` are those of the users that are configured now.
    pub fn begin(
        config: &config::History,
        accounts: impl Fn() -> Vec<Account> + 'static,
    ) -> io::Result<History> {
        let (orders, waiting) = sync_channel(ORDERS_MAX);
        let health = Arc::new(Health::default());
        let clerk = Clerk::new(config.file.clone(), health.clone());
        std::thread::Builder::new().name("ringway-history".into()).spawn(move || clerk.serve(&waiting))?;
        Ok(History {
            tracker: RefCell::default(),
            orders,
            questions: Semaphore::new(QUESTIONS_MAX),
            health,
            accounts: Box::new(accounts),
            let_go: std::cell::Cell::default(),
        })
    }

    /// Takes note of the counters. Once a second is enough, and whenever somebody asks.
    pub fn note(&self, now: &Snapshot, config: &config::History) {
        let accounts = (self.accounts)();
        let finished = {
            let mut tracker = self.tracker.borrow_mut();
            let seconds = now.unix.as_secs();
            tracker.begin(seconds);
            let mut total = Figures::default();
            for listener in &now.listeners {
                let key = format!("{} {}", listener.service, listener.address).into();
                total.join(&tracker.count(By::Listener, &key, of_listener(listener), seconds));
            }
            tracker.count_total(&total, seconds);
            for account in &accounts {
                tracker.count(By::User, &account.user.name, of_user(account), seconds);
            }
            if self.let_go.get() {
                return;
            }
            tracker.roll(seconds, config.users_max)
        };
        if let Some(minute) = finished {
            self.write(minute, config);
        }
    }

    fn write(&self, minute: Minute, config: &config::History) {
        if self.orders.try_send(Order::Write(minute, config.keep)).is_err()
            && self.health.minutes_lost.fetch_add(1, Relaxed) == 0
        {
            tracing::error!("the history's thread does not keep up: a minute is lost; is its disk well?");
        }
    }

    /// Answers a question, the minute under way included. Waits for the thread, which has limits of its own.
    pub async fn ask(&self, question: Question, config: &config::History) -> Result<Answered, Refusal> {
        let Ok(_turn) = self.questions.try_acquire() else { return Err(Refusal::Busy) };
        let (reply, answer) = oneshot::channel();
        let running = self.tracker.borrow().so_far(config.users_max);
        let order = Order::Answer(Box::new(Asked { question, running, reply }));
        match self.orders.try_send(order) {
            Ok(()) => answer.await.unwrap_or(Err(Refusal::Gone)),
            Err(TrySendError::Full(_)) => Err(Refusal::Busy),
            Err(TrySendError::Disconnected(_)) => Err(Refusal::Gone),
        }
    }

    /// Writes what there is of the minute under way and closes the file. What is counted from now on is [`History::bequests`].
    pub async fn let_go(&self, config: &config::History) {
        if self.let_go.replace(true) {
            return;
        }
        let last = self.tracker.borrow_mut().take(config.users_max);
        let (done, gone) = oneshot::channel();
        if self.orders.try_send(Order::LetGo(last, done)).is_ok() {
            let _ = timeout(LETTING_GO_MAX, gone).await;
        }
    }

    /// What has been counted since the last time, for the process that has the file now.
    pub fn bequests(&self) -> Vec<Bequest> {
        let Some(minute) = self.tracker.borrow_mut().take(usize::MAX) else { return Vec::new() };
        let rows = minute.rows.into_iter().map(|row| {
            let Figures { sent_bytes, received_bytes, connections, failed, .. } = row.figures;
            let name = format!("{} {}", row.by.label(), row.key);
            (name, [sent_bytes, received_bytes, connections, failed])
        });
        rows.filter(|(_, figures)| *figures != [0; 4]).collect()
    }

    /// Adds what the process before has counted.
    pub fn inherit(&self, bequests: Vec<Bequest>, now: u64) {
        let mut tracker = self.tracker.borrow_mut();
        for (name, [sent_bytes, received_bytes, connections, failed]) in bequests {
            let (label, key) = name.split_once(' ').unwrap_or((&name, ""));
            let Some(by) = By::of(label) else { continue };
            let figures = Figures { sent_bytes, received_bytes, connections, failed, active_max: 0 };
            tracker.inherit(by, key, &figures, now);
        }
    }

    #[must_use]
    pub fn facts(&self) -> HistoryFacts {
        HistoryFacts {
            write_failures: self.health.write_failures.load(Relaxed),
            last_write_successful: !self.health.failing.load(Relaxed),
            minutes_lost: self.health.minutes_lost.load(Relaxed),
            file_bytes: self.health.file_bytes.load(Relaxed),
        }
    }
}

fn of_user(account: &Account) -> Counters {
    let usage = &account.usage;
    // As everywhere: `closed` first, so that active is never negative.
    let closed = usage.sum(|cells| cells.closed.get());
    let connections = usage.sum(|cells| cells.opened.get());
    Counters {
        sent_bytes: usage.sum(|cells| cells.sent_bytes.get()),
        received_bytes: usage.sum(|cells| cells.received_bytes.get()),
        connections,
        failed: usage.sum(|cells| cells.failed.get()),
        active: connections.saturating_sub(closed),
    }
}

fn of_listener(row: &ListenerRow) -> Counters {
    Counters {
        sent_bytes: row.sent_bytes,
        received_bytes: row.received_bytes,
        connections: row.opened,
        failed: row.failed,
        active: row.active,
    }
}
