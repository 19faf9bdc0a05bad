//! The life of one core: pin, build the runtime, obey the inbox, serve the listeners, drain.

use crate::core::{Core, Wiring};
use crate::io::dial::health;
use crate::io::gateway;
use crate::io::inbox::{Inbox, Mail};
use crate::io::inspect;
use crate::io::listener::{self, Door, Listener};
use crate::io::sessions::TICK;
use crate::preparation::{Answer, Decision, Order};
use crate::rt::{self, Ready, Runtime, waits};
use ringway_shared::command::{Command, Drill};
use ringway_shared::flight::What;
use ringway_shared::listener::Entrance;
use ringway_shared::reason::Reason;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages read for one wake; then the ring gets its turn.
const INBOX_BUDGET: usize = 256;
/// As many at one wake are noted for the flight recorder.
const BURST: u32 = 64;
/// A tick as late as this is noted too.
const LATE: Duration = Duration::from_millis(20);
/// How long listeners that were left may take to close.
const CLOSING: Duration = Duration::from_millis(10);

/// What a worker's thread is started with.
pub struct Post {
    pub wiring: Wiring,
    pub inbox: Inbox,
    /// Its sockets, each with the number of its address.
    pub listeners: Vec<(u64, Arc<Entrance>, OwnedFd)>,
}

/// What is known once the worker could serve: a notice for the operator, if there is one.
pub type Serving = Result<Option<String>, String>;

/// Runs the worker on the calling thread until it has drained. `serving` is called once, when it could serve or
/// cannot. Returns how many connections were cut.
pub fn run(post: Post, serving: impl FnOnce(Serving)) -> u64 {
    let config = post.wiring.service.config.clone();
    if let Some(cpu) = config.workers.cpus.get(post.wiring.index)
        && let Err(fault) = pin(*cpu)
    {
        serving(Err(fault));
        return 0;
    }
    let mut runtime = match Runtime::build(config.workers.driver) {
        Ok(runtime) => runtime,
        Err(fault) => {
            serving(Err(fault));
            return 0;
        }
    };
    let (driver, notice) = (runtime.driver, runtime.notice.take());
    runtime.run(async move {
        // Within the runtime: the gateway's set is one of its descriptors.
        let core = match Core::new(post.wiring) {
            Ok(core) => core,
            Err(error) => {
                serving(Err(format!("a worker cannot prepare its state: {error}")));
                return 0;
            }
        };
        core.cells.driver.set(driver as u64);
        core.cells.thread_id.set(rustix::thread::gettid().as_raw_nonzero().get() as u64);
        let worker = match Worker::begin(core, post.inbox, post.listeners) {
            Ok(worker) => worker,
            Err(error) => {
                serving(Err(format!("a worker cannot watch its descriptors: {error}")));
                return 0;
            }
        };
        worker.core.note(What::Began);
        serving(Ok(notice));
        worker.obey().await
    })
}

fn pin(cpu: usize) -> Result<(), String> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("workers.cpus: cannot pin a worker to CPU {cpu}: {error}; choose one this process may use (`taskset -p $$`)"))
}

struct Worker {
    core: Rc<Core>,
    inbox: Inbox,
    bell: Ready,
    listeners: Vec<Rc<Listener>>,
    /// What may come next.
    next: Option<Next>,
    cut: u64,
}

/// A configuration that waits for its decision. All that may fail is done.
struct Next {
    order: Order,
    added: Vec<Rc<Listener>>,
}

/// Sockets of this worker, each with the number of its address and where who comes in is counted.
type Sockets = Vec<(u64, Arc<Entrance>, OwnedFd)>;

/// Has the runtime watch sockets.
fn watched(sockets: Sockets) -> std::io::Result<Vec<Rc<Listener>>> {
    sockets.into_iter().map(|(id, entrance, socket)| Listener::new(id, entrance, socket)).collect()
}

impl Worker {
    fn begin(core: Rc<Core>, inbox: Inbox, sockets: Sockets) -> std::io::Result<Worker> {
        let bell = Ready::new(inbox.bell()?)?;
        let listeners = watched(sockets)?;
        spawn(&core, gateway::serve(core.clone()));
        beat(&core);
        spawn(&core, keep_time(core.clone()));
        if core.wiring.index == 0 {
            spawn(&core, health::watch(core.clone()));
        }
        Ok(Worker { core, inbox, bell, listeners, next: None, cut: 0 })
    }

    /// Reads the inbox until told to drain and the last connection has ended.
    async fn obey(mut self) -> u64 {
        let mut closed = false;
        loop {
            self.inbox.silence();
            let before = self.core.cells.inbox_messages.get();
            self.follow_decision();
            for _ in 0..INBOX_BUDGET {
                let Some(mail) = self.inbox.take() else { break };
                self.core.cells.inbox_messages.add(1);
                self.act_on(mail);
                // What was posted after a commit is meant for what was committed.
                self.follow_decision();
            }
            let messages = (self.core.cells.inbox_messages.get() - before) as u32;
            if messages >= BURST {
                self.core.note(What::MailBurst { messages });
            }
            gateway::after_mail(&self.core);
            if let Some(panic) = self.core.broken() {
                std::panic::resume_unwind(panic);
            }
            let retiring = self.core.retiring.get();
            if self.core.draining.get() && !retiring && self.core.cells.websocket.active() == 0 {
                self.close_listeners();
                gateway::cut_all(&self.core);
            }
            if !self.inbox.is_empty() {
                self.core.ring_bell();
            } else if self.core.draining.get()
                && self.core.sessions.is_empty()
                && self.core.gateway.is_empty()
            {
                if closed {
                    return self.cut;
                }
                // A runtime that ends leaks its tasks, and with them the sockets of listeners that were left just now.
                closed = true;
                rt::sleep(CLOSING).await;
                continue;
            }
            if self.bell.readable().await.is_err() {
                return self.cut;
            }
        }
    }

    fn act_on(&mut self, mail: Mail) {
        match mail {
            Mail::Adopt { entrance, socket, peer } => {
                self.core.note(What::Adopted);
                listener::adopt(&self.core, &entrance, socket, peer);
            }
            Mail::Welcome(arrival) => gateway::welcome(&self.core, *arrival),
            Mail::Open => self.serve(&self.listeners),
            Mail::Prepare(order) => self.prepare(*order),
            Mail::Answer(ticket, reply) => self.core.questions.answer(ticket, reply),
            Mail::Push(order) => gateway::order(&self.core, order.0, order.1),
            Mail::Inspect(question) => inspect::answer(&self.core, question.0, question.1),
            Mail::Hub(post) => gateway::receive(&self.core, post),
            Mail::Replaced(session) => gateway::replaced(&self.core, session),
            Mail::Command(Command::Drain) => self.drain(),
            Mail::Command(Command::Retire) => {
                // Before the drain would empty their queues: who waits there is the successor's.
                self.listeners.drain(..).for_each(|listener| listener.leave());
                self.core.retiring.set(true);
                self.drain();
            }
            Mail::Command(Command::Rest) => self.rest(true),
            Mail::Command(Command::Resume) => self.rest(false),
            Mail::Command(Command::Cut) => {
                self.core.note(What::Cutting);
                self.drain();
                self.cut += self.core.sessions.cut_all(Reason::Drained, &self.core.questions);
                self.cut += gateway::cut_all(&self.core);
            }
            Mail::Command(Command::Drill(drill)) => self.drill(drill),
        }
    }

    fn serve(&self, listeners: &[Rc<Listener>]) {
        for listener in listeners {
            spawn(&self.core, listener::serve(self.core.clone(), listener.clone()));
        }
    }

    /// Rests, or serves again. Once it drains there is no way back.
    fn rest(&self, resting: bool) {
        if !self.core.draining.get() && self.core.resting.replace(resting) != resting {
            self.core.note(if resting { What::Resting } else { What::Resumed });
            if resting { gateway::drain(&self.core) } else { gateway::resume(&self.core) }
        }
    }

    fn drain(&mut self) {
        if !self.core.draining.replace(true) {
            self.core.note(What::Draining);
        }
        // Before the backlog is emptied: what comes out of it has only just arrived.
        if !self.core.retiring.get() {
            self.core.sessions.cut_handshakes(Reason::Drained, &self.core.questions);
        }
        gateway::drain(&self.core);
        // The gateway's stay until it is empty: whoever comes is told to go elsewhere, which a closed port cannot. Unless
        // somebody else has them too and lets them in.
        let shared = self.core.shares_listeners();
        let stays = |door: Door| door.is_gateway() && !shared;
        for listener in self.listeners.extract_if(.., |listener| !stays(listener.door())) {
            if !listener.door().is_gateway() {
                listener::empty(&self.core, &listener);
            }
            end(&listener, shared);
        }
    }

    fn close_listeners(&mut self) {
        for listener in self.listeners.drain(..) {
            listener::empty(&self.core, &listener);
            end(&listener, self.core.shares_listeners());
        }
    }

    /// Makes ready whatever may fail, and says so. An order that came before has been decided by now.
    fn prepare(&mut self, mut order: Order) {
        let added = watched(std::mem::take(&mut order.added));
        let answer = if added.is_ok() { Answer::Ready } else { Answer::Unable };
        order.preparation.answer(self.core.wiring.index, answer);
        self.next = added.ok().map(|added| Next { order, added });
    }

    fn follow_decision(&mut self) {
        let Some(next) = &self.next else { return };
        match next.order.preparation.decision() {
            Decision::Open => {}
            Decision::Abort => self.next = None,
            Decision::Commit => self.take_over(),
        }
    }

    /// Serves under the next configuration. Nothing here can fail.
    fn take_over(&mut self) {
        let Some(Next { order, added }) = self.next.take() else { return };
        let entrance =
            |id: u64| order.kept.iter().find(|(kept, _)| *kept == id).map(|(_, entrance)| entrance);
        // First: who has come there by now came to the former service.
        for listener in self.listeners.extract_if(.., |listener| entrance(listener.id).is_none()) {
            listener::empty(&self.core, &listener);
            listener.shutdown();
        }
        self.core.serve_under(order.service, order.own);
        for listener in &self.listeners {
            if let Some(entrance) = entrance(listener.id) {
                listener.lead_to(entrance.clone());
            }
        }
        self.serve(&added);
        self.listeners.extend(added);
        self.core.cells.generation.set(order.generation);
        self.core.note(What::Generation(order.generation as u32));
    }

    fn drill(&self, drill: Drill) {
        self.core.note(What::Drilled);
        match drill {
            Drill::Panic { tasks } => {
                for number in 0..tasks {
                    spawn(&self.core, async move { panic!("drill: task {number} panics on purpose") });
                }
            }
            #[allow(clippy::disallowed_methods, reason = "a drill holds the thread on purpose")]
            Drill::Stall(duration) => std::thread::sleep(duration),
            Drill::Count { events } => self.core.cells.test_events.add(events.into()),
            Drill::Die => panic!("drill: the worker dies on purpose"),
        }
    }
}

impl Drop for Worker {
    /// A worker that dies leaves its tasks, and so its listeners, open for ever: the kernel would go on accepting
    /// clients that nobody serves. After a drain there is none left.
    fn drop(&mut self) {
        for listener in &self.listeners {
            end(listener, self.core.shares_listeners());
        }
    }
}

/// Accepts nobody any more, nor lets the kernel do so unless others have the socket too.
fn end(listener: &Listener, shared: bool) {
    if shared {
        listener.leave();
    } else {
        listener.shutdown();
    }
}

/// Spawns a task whose panic is counted and ends only it.
fn spawn(core: &Rc<Core>, task: impl Future<Output = ()> + 'static) {
    let counting = core.clone();
    rt::spawn(move || counting.count_panic(), task);
}

/// Each tick: say that this core lives, measure how late the tick came, cut what is overdue.
async fn keep_time(core: Rc<Core>) {
    loop {
        let due = Instant::now() + TICK;
        rt::sleep(TICK).await;
        let late = Instant::now().saturating_duration_since(due);
        core.cells.loop_lag.record(late.as_micros() as u64);
        if late >= LATE {
            core.note(What::LoopLag { ms: u32::try_from(late.as_millis()).unwrap_or(u32::MAX) });
        }
        beat(&core);
        core.sessions.tick(&core.questions);
        gateway::tick(&core);
    }
}

fn beat(core: &Core) {
    core.cells.heartbeat_ms.set(core.wiring.epoch.elapsed().as_millis() as u64);
    let (submitted, completed) = waits::count();
    core.cells.submissions.set(submitted);
    core.cells.completions.set(completed);
}

const _: () = assert!(TICK.as_millis() <= Duration::from_millis(500).as_millis());
