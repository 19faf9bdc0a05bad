//! The life of one core: pin, build the runtime, serve the listeners, obey the inbox, drain.

use crate::core::{Core, Wiring};
use crate::io::dial::health;
use crate::io::gateway;
use crate::io::inbox::{Inbox, Mail};
use crate::io::inspect;
use crate::io::listener::{self, Door};
use crate::io::sessions::TICK;
use crate::rt::{self, Ready, Runtime, waits};
use ringway_shared::command::{Command, Drill};
use ringway_shared::reason::Reason;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Messages read for one wake; then the ring gets its turn.
const INBOX_BUDGET: usize = 256;

/// What a worker's thread is started with.
pub struct Post {
    pub wiring: Wiring,
    pub inbox: Inbox,
    pub listeners: Vec<(Door, OwnedFd)>,
}

/// What is known once the worker serves: a notice for the operator, if there is one.
pub type Serving = Result<Option<String>, String>;

/// Runs the worker on the calling thread until it has drained. `serving` is called once, when it serves or
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
    listeners: Vec<(Door, Rc<Ready>)>,
    cut: u64,
}

impl Worker {
    fn begin(core: Rc<Core>, inbox: Inbox, listeners: Vec<(Door, OwnedFd)>) -> std::io::Result<Worker> {
        let bell = Ready::new(inbox.bell()?)?;
        let watched = |(door, socket)| Ready::new(socket).map(|listener| (door, Rc::new(listener)));
        let listeners: Vec<_> = listeners.into_iter().map(watched).collect::<Result<_, _>>()?;
        for (door, listener) in &listeners {
            spawn(&core, listener::serve(core.clone(), *door, listener.clone()));
        }
        spawn(&core, gateway::serve(core.clone()));
        beat(&core);
        spawn(&core, keep_time(core.clone()));
        if core.wiring.index == 0 {
            spawn(&core, health::watch(core.clone()));
        }
        Ok(Worker { core, inbox, bell, listeners, cut: 0 })
    }

    /// Reads the inbox until told to drain and the last connection has ended.
    async fn obey(mut self) -> u64 {
        loop {
            self.inbox.silence();
            for _ in 0..INBOX_BUDGET {
                let Some(mail) = self.inbox.take() else { break };
                self.core.cells.inbox_messages.add(1);
                self.act_on(mail);
            }
            gateway::after_mail(&self.core);
            if let Some(panic) = self.core.broken() {
                std::panic::resume_unwind(panic);
            }
            if self.core.draining.get() && self.core.cells.websocket.active() == 0 {
                self.close_listeners(|_| true);
                gateway::cut_all(&self.core);
            }
            if !self.inbox.is_empty() {
                self.core.ring_bell();
            } else if self.core.draining.get()
                && self.core.sessions.is_empty()
                && self.core.gateway.is_empty()
            {
                return self.cut;
            }
            if self.bell.readable().await.is_err() {
                return self.cut;
            }
        }
    }

    fn act_on(&mut self, mail: Mail) {
        match mail {
            Mail::Adopt { door, socket, peer } => listener::adopt(&self.core, door, socket, peer),
            Mail::Serve(service) => self.core.serve_under(*service),
            Mail::Answer(ticket, reply) => self.core.questions.answer(ticket, reply),
            Mail::Push(order) => gateway::order(&self.core, order.0, order.1),
            Mail::Inspect(question) => inspect::answer(&self.core, question.0, question.1),
            Mail::Hub(post) => gateway::receive(&self.core, post),
            Mail::Replaced(session) => gateway::replaced(&self.core, session),
            Mail::Command(Command::Drain) => self.drain(),
            Mail::Command(Command::Cut) => {
                self.drain();
                self.cut += self.core.sessions.cut_all(Reason::Drained, &self.core.questions);
                self.cut += gateway::cut_all(&self.core);
            }
            Mail::Command(Command::Drill(drill)) => self.drill(drill),
        }
    }

    fn drain(&mut self) {
        self.core.draining.set(true);
        // Before the backlog is emptied: what comes out of it has only just arrived.
        self.core.sessions.cut_handshakes(Reason::Drained, &self.core.questions);
        gateway::drain(&self.core);
        // The gateway's stay until it is empty: whoever comes is told to go elsewhere, which a closed port cannot.
        self.close_listeners(|door| !door.stays_for_drain());
    }

    fn close_listeners(&mut self, which: impl Fn(Door) -> bool) {
        for (door, listener) in self.listeners.extract_if(.., |(door, _)| which(*door)) {
            listener::close(&self.core, door, &listener);
        }
    }

    fn drill(&self, drill: Drill) {
        match drill {
            Drill::Panic { tasks } => {
                for number in 0..tasks {
                    spawn(&self.core, async move { panic!("drill: task {number} panics on purpose") });
                }
            }
            #[allow(clippy::disallowed_methods, reason = "a drill holds the thread on purpose")]
            Drill::Stall(duration) => std::thread::sleep(duration),
            Drill::Die => panic!("drill: the worker dies on purpose"),
        }
    }
}

impl Drop for Worker {
    /// A worker that dies leaves its tasks, and so its listeners, open for ever: the kernel would go on accepting
    /// clients that nobody serves. After a drain there is none left.
    fn drop(&mut self) {
        for (_, listener) in &self.listeners {
            listener.shutdown();
        }
    }
}

/// Spawns a task whose panic is counted and ends only it.
fn spawn(core: &Rc<Core>, task: impl Future<Output = ()> + 'static) {
    let counting = core.clone();
    rt::spawn(move || counting.cells.tasks_panicked.add(1), task);
}

/// Each tick: say that this core lives, measure how late the tick came, cut what is overdue.
async fn keep_time(core: Rc<Core>) {
    loop {
        let due = Instant::now() + TICK;
        rt::sleep(TICK).await;
        let late = Instant::now().saturating_duration_since(due);
        core.cells.loop_lag.record(late.as_micros() as u64);
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
