//! Publish and subscribe: who gets which message, in what order, and what of it waits where. Pure: no socket, clock, log or
//! thread; time is an argument, in milliseconds of any clock that only goes on.
//!
//! Each worker has one [`Hub`]. Each topic has a home, one worker that orders its publications ([`names::home`]); hubs talk
//! by [`Post`]s, which the caller carries through the workers' inboxes, in order between any two of them.
//!
//! A connection that is told [`Effect::Subscribed`] gets every publication accepted from then on, in its topic's order and
//! once, unless one is dropped for a reason that [`Counts`] tells.

mod asking;
mod connections;
mod counts;
mod homes;
mod leading;
mod local;
pub mod names;
pub mod namespaces;
mod outbox;
mod post;
mod publishing;
mod subscribing;
mod values;

pub use asking::CHANNELS_MAX;
pub use counts::{Counts, Dropped};
pub use homes::{HomeLimits, IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_TTL_MS};
pub use local::CONNECTION_BYTES;
pub use namespaces::Namespaces;
pub use outbox::{QueueLimits, Sent};
pub use post::{BacklogLimits, Post};
pub use values::{
    Client, Effect, Encode, Epoch, Format, HistoryQuestion, NodeInfo, Position, Protocol, Publication,
    Publish, Publisher, Question, Refusal, Reply, Ticket,
};

use asking::Surveys;
use homes::Homes;
use local::Local;
use post::{Backlogs, What};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a hub is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This worker, below `workers`.
    pub worker: usize,
    pub workers: usize,
    /// Makes epochs differ from those of another run: any number, drawn anew at each start.
    pub seed: u64,
    pub limits: Limits,
    pub namespaces: Arc<Namespaces>,
}

/// Every limit of a hub. The defaults are for a few ten thousand connections on each worker.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub queue: QueueLimits,
    pub backlog: BacklogLimits,
    pub home: HomeLimits,
    /// Questions and publications of this worker that others have not answered yet.
    pub questions_max: usize,
}

/// One worker's share of the hub.
///
/// What the world tells it, in any order: connections ([`join`](Hub::join), [`identify`](Hub::identify),
/// [`subscribe`](Hub::subscribe), [`unsubscribe`](Hub::unsubscribe), [`leave`](Hub::leave)), messages
/// ([`publish`](Hub::publish)), questions ([`ask`](Hub::ask)), other hubs' posts ([`receive`](Hub::receive)), time
/// ([`tick`](Hub::tick)), frames of one connection ([`push_own`](Hub::push_own)).
///
/// What it tells the world, to be polled each time round in this order, so that an acknowledgement is queued before what
/// it promises: [`poll_effect`](Hub::poll_effect) until `None`, [`fan_out`](Hub::fan_out), `poll_effect` again,
/// [`poll_post`](Hub::poll_post) until `None`, then the writing: [`poll_dirty`](Hub::poll_dirty), [`frames`](Hub::frames),
/// write(2), [`sent`](Hub::sent), and [`blocked`](Hub::blocked) and [`writable`](Hub::writable) as the socket says.
pub struct Hub {
    worker: usize,
    namespaces: Arc<Namespaces>,
    local: Local,
    homes: Homes,
    backlogs: Backlogs,
    /// Accepted, for subscribers of this worker; [`Hub::fan_out`] takes them.
    deliveries: VecDeque<Arc<Publication>>,
    delivery_bytes: usize,
    effects: VecDeque<Effect>,
    surveys: Surveys,
    limits: Limits,
    counts: Counts,
    /// The latest time told.
    now_ms: u64,
    /// Kept for their memory alone.
    interested: Vec<u32>,
    too_slow: Vec<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            queue: QueueLimits {
                messages_max: 1_024,
                bytes_max: 1 << 20,
                worker_bytes_max: 256 << 20,
                batch_messages: 0,
                batch_delay_ms: 100,
            },
            backlog: BacklogLimits { posts_max: 16_384, bytes_max: 64 << 20 },
            home: HomeLimits { topics_max: 262_144, history_bytes_max: 64 << 20, keys_max: 16_384 },
            questions_max: 65_536,
        }
    }
}

impl Hub {
    #[must_use]
    pub fn new(settings: Settings) -> Hub {
        let Settings { worker, workers, seed, limits, namespaces } = settings;
        Hub {
            worker,
            namespaces,
            local: Local::new(limits.queue),
            homes: Homes::new(limits.home, seed ^ ((worker as u64) << 48)),
            backlogs: Backlogs::new(worker, workers.max(worker + 1), limits.backlog),
            deliveries: VecDeque::new(),
            delivery_bytes: 0,
            effects: VecDeque::new(),
            surveys: Surveys::default(),
            limits,
            counts: Counts::default(),
            now_ms: 0,
            interested: Vec::new(),
            too_slow: Vec::new(),
        }
    }

    /// From now on these hold. What is kept already stays until it is too old or too much for them.
    pub fn reconfigure(&mut self, namespaces: Arc<Namespaces>) {
        self.namespaces = namespaces;
    }

    /// From now on these limits hold. Who is beyond one already loses nothing; only the number of idempotency keys stays as it was.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.local.queues.limits = limits.queue;
        self.homes.limits = limits.home;
        self.backlogs.limits = limits.backlog;
    }

    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The next thing to tell or do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next post and the worker whose inbox it goes to, never this one.
    pub fn poll_post(&mut self) -> Option<(usize, Post)> {
        self.backlogs.poll()
    }

    /// Takes back a post whose inbox was full: it and those behind it wait for [`Hub::retry_posts`].
    pub fn unposted(&mut self, worker: usize, post: Post) {
        self.backlogs.unposted(worker, post);
    }

    /// Lets [`Hub::poll_post`] try full inboxes again: call it once each time round while [`Hub::posts_waiting`].
    pub fn retry_posts(&mut self) {
        self.backlogs.retry();
    }

    /// Posts that wait for other workers' inboxes.
    #[must_use]
    pub fn posts_waiting(&self) -> usize {
        self.backlogs.waiting()
    }

    /// Takes a post of another hub.
    pub fn receive(&mut self, post: Post, now_ms: u64) {
        self.now_ms = now_ms;
        self.handle(post);
        self.settle();
    }

    /// Takes time: call it about every 50 ms, or at [`Hub::next_tick_ms`] when that is sooner.
    pub fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.homes.tick(&self.namespaces, now_ms);
        while let Some(conn) = self.local.queues.poll_waiting(now_ms) {
            if let Some((outbox, queues)) = self.local.outbox(conn) {
                queues.end_wait(conn, outbox);
            }
        }
    }

    /// When a batch is due to leave, if one waits.
    #[must_use]
    pub fn next_tick_ms(&self) -> Option<u64> {
        self.local.queues.wait_ends_ms()
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        let history_evicted = self.homes.totals().history_evicted;
        let Counts { accepted, refused_overloaded, repeated, .. } = self.counts;
        Counts { accepted, refused_overloaded, repeated, history_evicted, ..self.local.queues.counts }
    }

    /// Whether nothing is held or on its way: no topic, subscription, post or frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let counts = self.counts();
        let on_the_way =
            self.backlogs.waiting() + self.deliveries.len() + self.effects.len() + self.surveys.open();
        let held = self.local.names() as u64 + counts.subscriptions + counts.connections + counts.queued;
        on_the_way == 0 && held == 0 && counts.queued_bytes == 0 && self.homes.is_empty()
    }

    /// Does what this worker has to say to itself.
    fn settle(&mut self) {
        while let Some(post) = self.backlogs.take_own() {
            self.handle(post);
        }
    }

    fn handle(&mut self, post: Post) {
        let from = post.from;
        match post.what {
            What::Want { name, life } => {
                let outcome = self.homes.want(from, &name);
                self.backlogs.post(from as usize, What::Wanted { name, life, outcome });
            }
            What::Wanted { name, life, outcome } => self.wanted(&name, life, outcome),
            What::Unwant { name } => self.homes.unwant(from, &name),
            What::Present { topic, client } => self.homes.present(from, &topic, client),
            What::Absent { topic, client } => self.homes.absent(&topic, &client),
            What::Publish { publication, key, ticket } => self.order(from, publication, key, ticket),
            What::Deliver(publication) => {
                self.delivery_bytes += publication.data.len();
                self.deliveries.push_back(publication);
            }
            What::Ask { question, ticket } => {
                let reply = self.answer(&question);
                self.backlogs.post(from as usize, What::Answer { ticket, reply });
            }
            What::Answer { ticket, reply } => {
                self.surveys.closed(from as usize != self.worker);
                self.effects.push_back(Effect::Answer { ticket, reply });
            }
            What::Survey { question, survey } => {
                let part = self.describe(&question);
                self.backlogs.post(from as usize, What::Surveyed { survey, part });
            }
            What::Surveyed { survey, part } => self.surveyed(survey, part),
        }
    }
}
