//! Taking over from the process before, and handing over to the next. `restarting`: how that begins.

mod mentions;
mod restarting;

use super::ending::{By, Ending, Stops};
use super::{ANSWER_PATIENCE, Life};
use crate::exit::Exit;
use crate::export::Format;
use crate::export::carried::Told;
use crate::handover::Message;
use crate::handover::child::{Heir, Recipe};
use crate::handover::desk::{Asker, Outcome, Upgrades};
use crate::handover::inheritance::Inheritance;
use crate::handover::link::Link;
use crate::handover::upgrade::{self, News, Successor};
use crate::signals::{Asked, Signals};
use ringway_shared::command::Command;
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// How long the process before may take until it no longer answers at the control port.
const TURN_MAX: Duration = Duration::from_secs(10);
/// How long a holder may take to hear what our listeners are.
const TELLING_MAX: Duration = Duration::from_secs(1);
/// How long the last counts may take to be told.
const LAST_MAX: Duration = Duration::from_secs(2);

/// Whom this process has from, and whom it gives to.
pub struct Succession {
    /// How to start the next process.
    recipe: Recipe,
    /// Who started this one, as long as it has something to say.
    holder: Option<Holder>,
    /// A hot restart that waits for the reload under way.
    waiting: Option<Task<()>>,
    /// The supervisor has been asked for one.
    asked: bool,
    /// The next process, until it could serve.
    starting: Option<Task<Result<Heir, String>>>,
    /// Handing over, until this process ends.
    handing: Option<Task<()>>,
    /// Requests of the control port, and who waits to be told what came of one.
    requests: Option<Receiver<Asker>>,
    askers: Vec<Asker>,
    /// It is the end: tell the last.
    last: Rc<Notify>,
    /// The holder said so while this process waited for its turn.
    told_to_stop: bool,
    pub(super) stops: Stops,
}

/// Something under way.
type Task<T> = Pin<Box<dyn Future<Output = T>>>;

struct Holder {
    link: Link,
    keeps: bool,
}

/// What there is to do about it.
pub enum Event {
    /// The hot restart may begin.
    Idle,
    /// The supervisor has been asked for a hot restart, and wants to be asked by this process.
    Wanted,
    /// The next process could serve.
    Ready(Heir),
    /// It could not, and is gone.
    Failed(String),
    /// The holder has another process, which could serve.
    Retire(Link),
    /// The holder has been asked to stop.
    Stop,
    /// From the process before.
    News(News),
    /// The control port asks for a hot restart.
    Asked(Asker),
    /// The supervisor has no new process.
    NoHeir(String),
    /// The supervisor has gone, or the process before has ended.
    Alone { was_kept: bool },
}

impl Succession {
    #[must_use]
    pub fn new(recipe: Recipe, inheritance: Option<Inheritance>) -> Succession {
        let holder = inheritance.map(|Inheritance { link, keeps, .. }| Holder { link, keeps });
        Succession {
            recipe,
            holder,
            waiting: None,
            asked: false,
            starting: None,
            handing: None,
            requests: None,
            askers: Vec::new(),
            last: Rc::default(),
            told_to_stop: false,
            stops: Stops::default(),
        }
    }

    /// Sees to what the control port asks, too.
    pub fn serve(&mut self, upgrades: &Upgrades) {
        self.requests = upgrades.requests();
    }

    fn told(&mut self, outcome: &Outcome) {
        for asker in self.askers.drain(..) {
            let _ = asker.send(outcome.clone());
        }
    }

    /// Whether somebody keeps our listeners for the process after this one.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.keeps)
    }

    /// Tells who keeps them which listeners there are.
    pub async fn store(&self, listeners: &[OwnedFd]) {
        let Some(Holder { link, keeps: true }) = &self.holder else { return };
        let sockets: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        if !matches!(timeout(TELLING_MAX, link.say_listeners(&sockets)).await, Ok(Ok(()))) {
            tracing::warn!(
                "the supervisor was not told which listeners there are: after a crash some would be bound anew"
            );
        }
    }

    /// Says that this process could serve, and waits for its turn. What the one before had counted until then;
    /// `None`: nobody was before.
    pub async fn take_over(&mut self) -> Option<News> {
        let Holder { link, .. } = self.holder.as_ref()?;
        let mut all = News::default();
        let turn = async {
            link.say(&Message::Ready).await?;
            loop {
                match link.hear().await?.ok_or(Errno::CONNRESET)?.0 {
                    Message::Counters { rows } => all.counters.extend(rows),
                    // Its file has them by now.
                    Message::Quotas { .. } => {}
                    Message::History { rows } => all.history.extend(rows),
                    Message::Alerts { rows } => all.alerts.extend(rows),
                    Message::YourTurn => return Ok::<(), io::Error>(()),
                    Message::Stop => self.told_to_stop = true,
                    _ => {}
                }
            }
        };
        match timeout(TURN_MAX, turn).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                tracing::warn!("the process that handed over has gone: going on without its last counts");
                self.holder = None;
            }
            Err(_) => tracing::warn!(
                "the process that handed over still answers at the control port: going on beside it"
            ),
        }
        Some(all)
    }

    /// What there is to do next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        if std::mem::take(&mut self.told_to_stop) {
            return Event::Stop;
        }
        loop {
            let Succession { holder, waiting, starting, handing, requests, .. } = self;
            let heard = tokio::select! {
                () = polled(waiting) => {
                    self.waiting = None;
                    return Event::Idle;
                }
                outcome = polled(starting) => {
                    self.starting = None;
                    return outcome.map_or_else(Event::Failed, Event::Ready);
                }
                () = polled(handing) => {
                    self.handing = None;
                    continue;
                }
                asker = asked(requests) => return Event::Asked(asker),
                heard = heard(holder) => heard,
            };
            match heard {
                Ok(Some((Message::Counters { rows: counters }, _))) => {
                    return Event::News(News { counters, ..News::default() });
                }
                Ok(Some((Message::Quotas { used: quotas }, _))) => {
                    return Event::News(News { quotas, ..News::default() });
                }
                Ok(Some((Message::History { rows: history }, _))) => {
                    return Event::News(News { history, ..News::default() });
                }
                Ok(Some((Message::Upgrade, _))) => return Event::Wanted,
                Ok(Some((Message::NoHeir { why }, _))) => return Event::NoHeir(why),
                Ok(Some((Message::Stop, _))) => return Event::Stop,
                Ok(Some((Message::Retire, _))) => {
                    if let Some(holder) = self.holder.take() {
                        return Event::Retire(holder.link);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    let was_kept = self.is_kept();
                    self.holder = None;
                    return Event::Alone { was_kept };
                }
            }
        }
    }

    /// Whether the process before this one has not ended yet, and this one passes its counts on.
    #[must_use]
    pub fn passes_on(&self) -> bool {
        self.handing.is_some() && self.holder.is_some()
    }

    /// Tells the last, if this process has handed over.
    pub async fn finish(&mut self) {
        if let Some(handing) = self.handing.take() {
            self.last.notify_one();
            let _ = timeout(LAST_MAX, handing).await;
        }
    }
}

async fn polled<T>(future: &mut Option<Task<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn asked(requests: &mut Option<Receiver<Asker>>) -> Asker {
    let asker = match requests {
        Some(requests) => requests.recv().await,
        None => None,
    };
    match asker {
        Some(asker) => asker,
        None => std::future::pending().await,
    }
}

async fn heard(holder: &Option<Holder>) -> io::Result<Option<crate::handover::link::Received>> {
    match holder {
        Some(holder) => holder.link.hear().await,
        None => std::future::pending().await,
    }
}

impl Life {
    /// Acts on what happens to the succession.
    pub fn succeed(
        &self,
        succession: &mut Succession,
        event: Event,
        ending: Option<Ending>,
    ) -> Option<Ending> {
        match event {
            Event::Ready(heir) if ending.is_none() => {
                succession.told(&Outcome::HandedOver(Some(heir.pid())));
                return Some(self.retire(succession, Successor::Child(heir)));
            }
            // It is killed by being dropped.
            Event::Ready(_) => {}
            Event::Idle => self.start_next(succession),
            Event::Wanted => drop(self.upgrade(succession, ending.as_ref())),
            Event::Failed(why) => {
                tracing::error!("hot restart: the new process {why}; this one goes on serving");
                succession.told(&Outcome::Failed(why));
                self.go_on(succession);
            }
            Event::NoHeir(why) => {
                succession.told(&Outcome::Failed(why));
                self.go_on(succession);
            }
            Event::Asked(asker) => match self.upgrade(succession, ending.as_ref()) {
                Ok(()) => succession.askers.push(asker),
                Err(why) => drop(asker.send(Outcome::Refused(why))),
            },
            Event::Retire(link) if ending.is_none() => {
                succession.told(&Outcome::HandedOver(None));
                return Some(self.retire(succession, Successor::Unknown(link)));
            }
            // It drains already, because a worker was lost.
            Event::Retire(link) => self.bequeath(succession, Successor::Unknown(link)),
            Event::Stop => return self.stop(succession, By::Supervisor, ending),
            Event::News(news) => self.inherit(news),
            // All is left to the successor.
            Event::Alone { .. } if self.handed_over.get() => {}
            Event::Alone { was_kept: false } => self.ports.leave_files(false),
            Event::Alone { was_kept: true } => {
                tracing::warn!(
                    "the supervisor has gone: this process goes on, and nobody would start another"
                );
                if succession.asked {
                    succession.told(&Outcome::Refused("the supervisor has gone".into()));
                    self.go_on(succession);
                }
                self.unshare_listeners(false);
            }
        }
        ending
    }

    /// The new process could serve: hands over to it, and drains.
    pub fn retire(&self, succession: &mut Succession, successor: Successor) -> Ending {
        if let Successor::Child(heir) = &successor {
            tracing::info!("handing over to process {}", heir.pid());
            self.manager.borrow().handed_to(heir.pid());
        }
        let ending = self.drain_by(Command::Retire, Exit::Done);
        self.pass_reload_on(&successor);
        self.bequeath(succession, successor);
        ending
    }

    /// Leaves everything but the connections to the successor.
    fn bequeath(&self, succession: &mut Succession, successor: Successor) {
        self.manager.borrow_mut().leave();
        // The files are the successor's from now on.
        self.keep_quotas();
        self.handed_over.set(true);
        self.state.succeeded.set(true);
        self.ports.leave_files(true);
        let (ports, past) = (self.ports.clone(), self.let_history_go());
        let closed = async move {
            past.await;
            let _ = timeout(ANSWER_PATIENCE, ports.stop()).await;
        };
        let handing = upgrade::hand_over(successor, closed, self.news(), succession.last.clone());
        succession.handing = Some(Box::pin(handing));
    }

    /// Stays until the process before has ended, for what it counts goes by this one.
    pub async fn pass_on(&self, succession: &mut Succession, signals: &mut Signals) {
        while succession.passes_on() {
            tokio::select! {
                event = succession.next() => drop(self.succeed(succession, event, None)),
                asked = signals.next() => if asked == Asked::Stop {
                    return;
                }
            }
        }
    }

    /// What this process counts from now on; the first time, all that it has published.
    fn news(&self) -> impl FnMut() -> News + 'static {
        let (state, workers, bequests) = (self.state.clone(), self.workers.clone(), self.bequests());
        let mut told = Told::default();
        let mut alerts = Some(state.alerts.clone());
        let quotas = self.quotas.borrow();
        let mut used: HashMap<String, u64> =
            quotas.saved().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        move || {
            let counters = told.news(&state.metrics(Format::Prometheus, Some(std::time::Instant::now())));
            let mut quotas = Vec::new();
            for account in workers.accounts().iter().filter(|account| account.user.quota.is_some()) {
                let now = account.usage.quota_used.load(Relaxed);
                let before = used.insert(account.user.name.to_string(), now).unwrap_or(0);
                if now > before {
                    quotas.push((account.user.name.to_string(), now - before));
                }
            }
            let alerts = alerts.take().map_or_else(Vec::new, |alerts| alerts.bequeath());
            // After the page, whose snapshot is of now.
            News { counters, quotas, history: bequests(), alerts }
        }
    }

    /// Adds what the process before has counted.
    pub fn inherit(&self, mut news: News) {
        self.inherit_history(&mut news);
        self.carried.borrow_mut().add(news.counters);
        self.inherit_alerts(news.alerts);
        let accounts = self.workers.accounts();
        for (name, bytes) in news.quotas {
            if let Some(account) = accounts.iter().find(|account| *account.user.name == *name) {
                account.usage.quota_used.fetch_add(bytes, Relaxed);
            }
        }
    }
}
