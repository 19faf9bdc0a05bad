//! `ringway supervise`: a small parent that holds the listening sockets and keeps a process serving from them.
//!
//! When the process crashes, the sockets stay open: who connects meanwhile waits in their queues, and the next process
//! serves them. The parent does as little as possible, so that there is little in it to crash: it reads no client's
//! bytes, and of the configuration the log and one deadline alone.
//!
//! A parent that is killed leaves its child serving: connections are worth more than order. The child says so in its
//! log, and is an ordinary process from then on.
//!
//! In reading order: `crew` (the processes there are, and what each is for), `backoff` (when the next one starts), `deadlines` (which
//! of them hangs).

mod backoff;
mod crew;
mod deadlines;

use crate::cli::say;
use crate::exit::Exit;
use crate::handover::Message;
use crate::handover::child::{Heir, Recipe, told};
use crate::handover::link::{Lost, Received};
use crate::logs;
use crate::settings::{self, SettingsArguments};
use crate::signals::{Asked, Signals};
use crate::system::raise_descriptor_limit;
use crate::systemd::{self, Manager, NOTIFY_SOCKET, WATCHDOG_USEC, borrowed};
use crate::vigil::Vigil;
use backoff::Backoff;
use crew::{Crew, Member, Role};
use rustix::process::Signal;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

/// How often deadlines are looked after.
const ROUND: Duration = Duration::from_millis(500);
/// Rounds further apart than this: the supervisor did not run. More than it waits for a process that does not listen.
const ABSENCE: Duration = Duration::from_secs(5);
/// How long a process may take to read what it is told.
const TELLING_MAX: Duration = Duration::from_secs(1);
/// How long a process that hung up may take to end.
const END_MAX: Duration = Duration::from_secs(2);
/// Messages that wait to be acted upon.
const MESSAGES_MAX: usize = 64;
/// How long the last log lines may take.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// Supervises until there is nothing left to supervise. The exit code is the process's.
#[must_use]
pub fn run(arguments: &SettingsArguments) -> ExitCode {
    // Before there are threads.
    let activated = systemd::listeners();
    let config = match settings::load(arguments) {
        Ok(loaded) => loaded.config,
        Err(faults) => {
            say(&mut std::io::stderr().lock(), &faults);
            return Exit::BadConfiguration.into();
        }
    };
    let ready_within = config.workers.ready_within;
    let (mut sink, _) = logs::begin(&config.log);
    drop(config);
    // It holds all listeners of a process, and of two during a hot restart.
    raise_descriptor_limit();
    let begin = || -> Result<ExitCode, String> {
        let mut recipe = Recipe::own(arguments.words()).map_err(|error| error.to_string())?;
        // The one whom the service manager knows is this process.
        recipe.without = vec![NOTIFY_SOCKET, WATCHDOG_USEC];
        let kept = activated?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("{error}; raise `ulimit -n`"))?;
        let supervision = async {
            let signals = Signals::catch().map_err(|error| format!("cannot watch signals: {error}"))?;
            let mut supervisor = Supervisor::new(recipe, kept, ready_within);
            tokio::select! {
                code = supervisor.supervise(signals) => Ok(code),
                () = sink.run() => Ok(Exit::Done.into()),
            }
        };
        tokio::task::LocalSet::new().block_on(&runtime, supervision)
    };
    let outcome = begin();
    let code = outcome.unwrap_or_else(|fault| {
        tracing::error!("cannot supervise: {fault}");
        Exit::CannotStart.into()
    });
    sink.flush(FLUSH_PATIENCE);
    code
}

/// What a process said.
enum Word {
    Said(Received),
    /// It said something that was not understood, or not as a whole.
    Garbled(io::Error),
    HungUp,
}

/// Who, and what.
type Heard = (u64, Word);

struct Supervisor {
    recipe: Recipe,
    ready_within: Duration,
    manager: Manager,
    crew: Crew,
    /// The listeners of the process that serves, or served last.
    kept: Vec<OwnedFd>,
    backoff: Backoff,
    /// When the next process is started in the place of one that crashed.
    restart_at: Option<Instant>,
    /// A process has served once: from now on a crash is no reason to give up.
    has_served: bool,
    /// No process is started any more; the code to end with.
    leaving: Option<u8>,
    words: (Sender<Heard>, Receiver<Heard>),
    vigil: Vigil,
}

impl Supervisor {
    fn new(recipe: Recipe, kept: Vec<OwnedFd>, ready_within: Duration) -> Supervisor {
        Supervisor {
            recipe,
            ready_within,
            manager: Manager::of_environment(),
            crew: Crew::default(),
            kept,
            backoff: Backoff::default(),
            restart_at: Some(Instant::now()),
            has_served: false,
            leaving: None,
            words: channel(MESSAGES_MAX),
            vigil: Vigil::new(ABSENCE, Instant::now()),
        }
    }

    async fn supervise(&mut self, mut signals: Signals) -> ExitCode {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let (Some(code), true) = (self.leaving, self.crew.is_empty()) {
                return code.into();
            }
            tokio::select! {
                asked = signals.next() => self.obey(asked).await,
                Some((who, word)) = self.words.1.recv() => match word {
                    Word::Said(received) => self.hear(who, received).await,
                    Word::Garbled(fault) => self.miss(who, &fault),
                    Word::HungUp => self.bury(who).await,
                },
                () = due(self.restart_at) => {
                    self.restart_at = None;
                    self.start(Role::Serving).await;
                }
                _ = rounds.tick() => self.look_after(),
            }
        }
    }

    /// Starts a process and gives it the listeners.
    async fn start(&mut self, role: Role) {
        match Heir::start(&self.recipe, true, &borrowed(&self.kept)).await {
            Ok(heir) => {
                tracing::info!("started process {}", heir.pid());
                self.crew.add(heir, role, &self.words.0);
            }
            Err(error) => {
                let program = self.recipe.program.display();
                tracing::error!("cannot start {program}: {error}");
                match role {
                    Role::Serving if self.has_served => {
                        self.restart_at = Some(Instant::now() + self.backoff.next())
                    }
                    Role::Serving => self.leaving = Some(Exit::CannotStart.code()),
                    Role::Coming | Role::Going => {
                        self.tell_serving(&Message::NoHeir { why: "cannot be started".into() }).await;
                    }
                }
            }
        }
    }

    async fn obey(&mut self, asked: Asked) {
        match asked {
            Asked::Stop => {
                self.manager.stopping("stopping");
                self.manager.forget();
                // A queue that nobody serves any more must not take anybody in.
                self.kept.clear();
                self.restart_at = None;
                self.crew.dismiss(Role::Coming);
                // Those that drain do so already: a second request would cut them short, as it is meant to.
                if self.leaving.replace(0).is_some() {
                    self.crew.of_all(Role::Going).for_each(|member| member.heir.signal(Signal::TERM));
                }
                self.stop_serving().await;
            }
            Asked::Reopen => self.crew.signal(Signal::USR1),
            Asked::Upgrade => self.want_upgrade().await,
            Asked::Reload => self.crew.signal(Signal::HUP),
        }
    }

    /// Has the process that serves drain. By the link, for the signal may have been sent to it as well.
    async fn stop_serving(&mut self) {
        let Some(serving) = self.crew.of(Role::Serving) else { return };
        let said = timeout(TELLING_MAX, serving.heir.link.say(&Message::Stop));
        // One that is not ready does not listen yet.
        if !serving.ready || !matches!(said.await, Ok(Ok(()))) {
            serving.heir.signal(Signal::TERM);
        }
    }

    /// Has the process that serves ask for another: not before its reload under way is done, and none begins after that.
    async fn want_upgrade(&mut self) {
        match self.why_no_upgrade() {
            Some(why) => tracing::warn!("no hot restart: {why}"),
            None => self.tell_serving(&Message::Upgrade).await,
        }
    }

    /// Starts a process beside the one that serves.
    async fn upgrade(&mut self) {
        let Some(why) = self.why_no_upgrade() else { return self.start(Role::Coming).await };
        tracing::warn!("no hot restart: {why}");
        self.tell_serving(&Message::NoHeir { why: format!("is not started: {why}") }).await;
    }

    fn why_no_upgrade(&mut self) -> Option<&'static str> {
        if self.leaving.is_some() {
            Some("the supervisor is stopping")
        } else if self.crew.of(Role::Coming).is_some() || self.crew.is_handing_over() {
            Some("another one is under way")
        } else if !self.crew.of(Role::Serving).is_some_and(|member| member.ready) {
            Some("no process serves now, and the next one is being started anyway")
        } else {
            None
        }
    }

    async fn hear(&mut self, who: u64, (message, descriptors): Received) {
        let Some(member) = self.crew.get(who) else { return };
        member.heard = Instant::now();
        match message {
            Message::Alive { well } => member.well = well,
            Message::Listeners { left } => match member.gathering.take(left, descriptors) {
                Ok(Some(set)) => {
                    member.listeners = Some(set);
                    self.keep();
                }
                Ok(None) => {}
                Err(error) => tracing::warn!("process {}: {error}", member.heir.pid()),
            },
            Message::Ready => self.put_to_work(who).await,
            Message::Upgrade => self.upgrade().await,
            Message::Stopping if member.role == Role::Serving => {
                // Who waited in a queue would wait for nobody.
                self.kept.clear();
                self.manager.forget();
            }
            Message::YourTurn if member.handing_over => {
                member.handing_over = false;
                self.tell_serving(&Message::YourTurn).await;
            }
            Message::Counters { .. }
            | Message::Quotas { .. }
            | Message::History { .. }
            | Message::Alerts { .. }
                if member.role == Role::Going =>
            {
                self.tell_serving(&message).await;
            }
            _ => {}
        }
    }

    /// What a process said was lost. Of its listeners those of before are kept.
    fn miss(&mut self, who: u64, fault: &io::Error) {
        let Some(member) = self.crew.get(who) else { return };
        tracing::error!("process {} was not understood, and goes on: {fault}", member.heir.pid());
        member.heard = Instant::now();
        if let Some(lost) = fault.get_ref().and_then(|fault| fault.downcast_ref::<Lost>()) {
            member.gathering.lose(lost.left);
        }
    }

    /// A process could serve: whoever served before hands over to it.
    async fn put_to_work(&mut self, who: u64) {
        let Some(member) = self.crew.get(who) else { return };
        member.ready = true;
        std::mem::take(&mut member.owed).into_iter().for_each(|signal| member.heir.signal(signal));
        tracing::info!("process {} is ready", member.heir.pid());
        let before = self.crew.succeed(who);
        if let Some(before) = before {
            before.handing_over = true;
            let told = timeout(TELLING_MAX, before.heir.link.say(&Message::Retire)).await;
            if !matches!(told, Ok(Ok(()))) {
                tracing::error!("process {} cannot be told to hand over: killing it", before.heir.pid());
                before.heir.kill();
            }
        } else {
            self.tell_serving(&Message::YourTurn).await;
        }
        self.has_served = true;
        self.keep();
        self.manager.ready("serving");
    }

    /// Keeps what the process that serves listens on.
    fn keep(&mut self) {
        let Some(serving) = self.crew.of(Role::Serving) else { return };
        if let (Some(set), None) = (serving.listeners.take(), self.leaving) {
            self.kept = set;
            self.manager.store(&borrowed(&self.kept));
        }
    }

    async fn tell_serving(&mut self, message: &Message) {
        let Some(serving) = self.crew.of(Role::Serving) else { return };
        if !matches!(timeout(TELLING_MAX, serving.heir.link.say(message)).await, Ok(Ok(()))) {
            tracing::warn!("process {} does not listen", serving.heir.pid());
        }
    }

    /// A process hung up: it has ended, or does so now.
    async fn bury(&mut self, who: u64) {
        let Some(Member { mut heir, role, ready, since, handing_over, .. }) = self.crew.remove(who) else {
            return;
        };
        let (pid, status) = (heir.pid(), heir.end(END_MAX).await);
        let became = status.map_or("hung up".into(), told);
        match role {
            Role::Going => {
                tracing::info!("process {pid}, which had handed over, {became}");
                if handing_over {
                    self.tell_serving(&Message::YourTurn).await;
                }
            }
            Role::Coming => {
                tracing::error!("hot restart: the new process {pid} {became}; the old one goes on serving");
                self.tell_serving(&Message::NoHeir { why: became }).await;
            }
            Role::Serving => self.replace(pid, status, ready, since.elapsed()).await,
        }
    }

    /// The process that served has ended.
    async fn replace(&mut self, pid: u32, status: Option<ExitStatus>, ready: bool, lived: Duration) {
        let became = status.map_or("hung up".into(), told);
        let code = status.map_or(1, code_of);
        if let Some(leaving) = &mut self.leaving {
            tracing::info!("process {pid} {became}");
            *leaving = code;
            return;
        }
        let refused =
            !self.has_served && [Exit::BadConfiguration, Exit::CannotStart].map(Exit::code).contains(&code);
        if code == 0 || refused {
            tracing::info!("process {pid} {became}: ending with it");
            self.leaving = Some(code);
            self.crew.dismiss(Role::Coming);
            return;
        }
        self.manager.status("starting anew");
        self.backoff.lived(if ready { lived } else { Duration::ZERO });
        if self.crew.promote() {
            tracing::error!("process {pid} {became}; the one that was to take over serves next");
            return;
        }
        let wait = self.backoff.next();
        tracing::error!("process {pid} {became}; starting another in {} ms", wait.as_millis());
        self.restart_at = Some(Instant::now() + wait);
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// As a shell tells it.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
